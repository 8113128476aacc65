//! Every layer and the whole transport are ordinary services: they can be spawned, shared, stored and wrapped.
//!
//! The spawned blocks are written out by a macro, not by a generic function: behind a bound the compiler does not look
//! into the futures, and what fails there ("not general enough") would not show.

use std::{
    convert::Infallible,
    future::{Ready, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use stripe_sim::{Canned, Fault, SimBody, Step};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt,
    buffer::{Buffer, BufferLayer},
    limit::{ConcurrencyLimit, ConcurrencyLimitLayer},
    util::BoxCloneSyncService,
};
use tower_http::trace::TraceLayer;
use tower_stripe::{
    Advice, BoxError, Certainty, Outcome, Refusal, ReportHandle, ResponseExt, RetryLimit, StripeBody,
    StripeTransport,
    classify::{self, Classify, ClassifyLayer},
    edge::{self, Edge, hyper_util},
    idempotency::{self, Idempotency, IdempotencyLayer},
    request_id::{self, ExtractRequestId, RequestIdLayer},
    retry::{self, Retry, RetryLayer},
    timeout::{self, Timeout, TimeoutConfig, TimeoutLayer},
    transport::{self, TransportLayer},
    vocab::{Stop, time},
};

use crate::support::{SimClient, bytes, client, millis, payment, secs, sim};

type RequestBody = Full<Bytes>;

/// A client as applications often store it: boxed, error and all.
type Boxed = BoxCloneSyncService<Request<RequestBody>, Response<RequestBody>, BoxError>;

type Recommended = hyper_util::Client<hyper_util::Https, RequestBody>;

fn answer() -> Response<RequestBody> {
    Response::builder().header("request-id", "req_1").body(Full::from("{}")).expect("a response")
}

fn boxed() -> Boxed {
    BoxCloneSyncService::new(tower::service_fn(|_| ready(Ok::<_, BoxError>(answer()))))
}

/// It cannot fail, and its type has a name.
#[derive(Clone, Copy, Debug)]
struct Infallibly;

impl Service<Request<RequestBody>> for Infallibly {
    type Response = Response<RequestBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<RequestBody>) -> Self::Future {
        ready(Ok(answer()))
    }
}

/// Never connects: the URI has no host, which the client notices before anything else.
fn nowhere() -> Request<RequestBody> {
    Request::post("/v1/charges").body(Full::from("amount=1099")).expect("a request")
}

const fn is_shareable<T: Clone + Send + Sync + 'static>(_: &T) {}

const fn is_movable<T: Send + 'static>(_: &T) {}

/// Spawns `$service.oneshot(request)` in the way that users write it.
macro_rules! spawned {
    ($service:expr, $request:expr) => {{
        let service = $service;
        is_shareable(&service);
        let request = $request;
        tokio::spawn(async move { service.oneshot(request).await }).await.expect("no panic")
    }};
}

macro_rules! answered {
    ($service:expr) => {{
        let response = spawned!($service, payment("o")).expect("an answer");
        assert_eq!(response.certainty(), Some(Certainty::Executed));
        assert_eq!(response.attempts(), Some(1));
        assert_eq!(bytes(response).await, "{}");
    }};
}

#[tokio::test(start_paused = true)]
async fn every_layer_alone_can_be_spawned_over_a_boxed_client() {
    answered!(IdempotencyLayer::default().layer(boxed()));
    answered!(RetryLayer::default().layer(boxed()));
    answered!(TimeoutLayer::default().layer(boxed()));
    answered!(RequestIdLayer::new().layer(boxed()));
    answered!(ClassifyLayer::default().layer(boxed()));
    answered!(Edge::new(boxed()));
}

#[tokio::test(start_paused = true)]
async fn the_whole_transport_can_be_spawned_over_a_boxed_client_in_both_ways() {
    let stripe = StripeTransport::new(boxed());
    answered!(stripe.clone());

    let sent = stripe.send(payment("o"));
    is_movable(&sent);
    let response = tokio::spawn(sent).await.expect("no panic").expect("an answer");
    assert_eq!(response.certainty(), Some(Certainty::Executed));

    // The future borrows nothing: the transport may go before it is polled.
    let sent = StripeTransport::new(boxed()).send(payment("o"));
    tokio::spawn(sent).await.expect("no panic").expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn a_boxed_transport_is_a_client_for_another_layer() {
    let stripe: BoxCloneSyncService<_, Response<StripeBody<RequestBody>>, BoxError> =
        BoxCloneSyncService::new(StripeTransport::new(boxed()).map_err(BoxError::from));
    answered!(RequestIdLayer::new().layer(stripe.clone()));
    answered!(TimeoutLayer::default().layer(stripe));
}

#[tokio::test(start_paused = true)]
async fn every_layer_and_the_transport_can_be_spawned_over_the_recommended_client() {
    let client = || -> Recommended { hyper_util::Builder::new().build() };
    let not_sent = |certainty| assert_eq!(certainty, Certainty::NotSent);

    spawned!(RequestIdLayer::new().layer(client()), nowhere()).expect_err("no host");
    spawned!(ClassifyLayer::default().layer(client()), nowhere()).expect_err("no host");
    let error = spawned!(Edge::new(client()), nowhere()).expect_err("no host");
    not_sent(error.certainty());

    // What refuses needs an error that can say so.
    let error = spawned!(IdempotencyLayer::default().layer(Edge::new(client())), nowhere());
    not_sent(error.expect_err("no host").certainty());
    let error = spawned!(TimeoutLayer::default().layer(Edge::new(client())), nowhere());
    not_sent(error.expect_err("no host").certainty());
    let error = spawned!(RetryLayer::default().layer(Edge::new(client())), nowhere());
    not_sent(error.expect_err("no host").certainty());

    let stripe = StripeTransport::new(client());
    let error = spawned!(stripe.clone(), nowhere()).expect_err("no host");
    assert!(matches!(error.refusal(), Some(Refusal::HostNotAllowed { .. })));
    let error = tokio::spawn(stripe.send(nowhere())).await.expect("no panic").expect_err("no host");
    not_sent(error.certainty());
    let error: BoxError = error.into();
    assert!(error.downcast_ref::<tower_stripe::Error<hyper_util::ClientError>>().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_cannot_fail_needs_no_error_type_of_its_own() {
    answered!(RequestIdLayer::new().layer(Infallibly));
    answered!(ClassifyLayer::default().layer(Infallibly));
    answered!(Edge::new(Infallibly));
    answered!(IdempotencyLayer::default().layer(Edge::new(Infallibly)));
    answered!(RetryLayer::default().layer(Edge::new(Infallibly)));
    answered!(TimeoutLayer::default().layer(Edge::new(Infallibly)));
    answered!(StripeTransport::new(Infallibly));
    let sent = StripeTransport::new(Infallibly).send(payment("o"));
    tokio::spawn(sent).await.expect("no panic").expect("an answer");
}

/// What an application writes down: no type parameter, no box, no `impl Trait`.
#[derive(Clone, Debug)]
struct Shop {
    stripe: StripeTransport<Recommended>,
    legacy: StripeTransport<Boxed>,
    layer: TransportLayer,
    key_only: Idempotency<Boxed>,
    retry_only: Retry<Boxed>,
    timeout_only: Timeout<Boxed>,
    id_only: ExtractRequestId<Boxed>,
    classify_only: Classify<Boxed>,
    edge_only: Edge<Recommended>,
}

/// Futures, of single layers too, can be kept by name.
struct UnderWay {
    sent: transport::Sending<StripeTransport<Boxed>, RequestBody>,
    called: transport::ResponseFuture<Boxed, RequestBody, RequestBody>,
    retried: retry::ResponseFuture<Boxed, RequestBody, RequestBody>,
    keyed: idempotency::ResponseFuture<Boxed, RequestBody>,
    limited: timeout::ResponseFuture<<Boxed as Service<Request<RequestBody>>>::Future, BoxError>,
    identified: request_id::ResponseFuture<<Boxed as Service<Request<RequestBody>>>::Future>,
    classified: classify::ResponseFuture<<Boxed as Service<Request<RequestBody>>>::Future, RequestBody>,
    at_the_edge: edge::ResponseFuture<<Infallibly as Service<Request<RequestBody>>>::Future>,
}

#[tokio::test(start_paused = true)]
async fn services_and_their_futures_have_names_and_can_be_stored() {
    let layer = TransportLayer::default();
    let mut shop = Shop {
        stripe: StripeTransport::new(hyper_util::Builder::new().build()),
        legacy: layer.layer(boxed()),
        layer,
        key_only: IdempotencyLayer::default().layer(boxed()),
        retry_only: RetryLayer::default().layer(boxed()),
        timeout_only: TimeoutLayer::default().layer(boxed()),
        id_only: RequestIdLayer::new().layer(boxed()),
        classify_only: ClassifyLayer::default().layer(boxed()),
        edge_only: Edge::new(hyper_util::Builder::new().build()),
    };
    is_shareable(&shop);
    assert!(shop.clone().stripe.send(nowhere()).await.is_err());
    assert!(shop.edge_only.clone().oneshot(nowhere()).await.is_err());
    shop.legacy = shop.layer.layer(boxed());

    let under_way = UnderWay {
        sent: shop.legacy.send(payment("o")),
        called: shop.legacy.ready().await.expect("ready").call(payment("o")),
        retried: shop.retry_only.ready().await.expect("ready").call(payment("o")),
        keyed: shop.key_only.ready().await.expect("ready").call(payment("o")),
        limited: shop.timeout_only.ready().await.expect("ready").call(payment("o")),
        identified: shop.id_only.ready().await.expect("ready").call(payment("o")),
        classified: shop.classify_only.ready().await.expect("ready").call(payment("o")),
        at_the_edge: Edge::new(Infallibly).ready().await.expect("ready").call(payment("o")),
    };
    is_movable(&under_way);
    drop(shop);
    tokio::spawn(async move {
        under_way.sent.await.expect("an answer");
        under_way.called.await.expect("an answer");
        under_way.retried.await.expect("an answer");
        under_way.keyed.await.expect("an answer");
        under_way.limited.await.expect("an answer");
        under_way.identified.await.expect("an answer");
        under_way.classified.await.expect("an answer");
        under_way.at_the_edge.await.expect("an answer");
    })
    .await
    .expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn it_works_under_a_trace_layer() {
    let service =
        ServiceBuilder::new().layer(TraceLayer::new_for_http()).service(StripeTransport::new(Infallibly));
    answered!(service);
    let stripe = StripeTransport::new(hyper_util::Builder::new().build());
    let service = ServiceBuilder::new().layer(TraceLayer::new_for_http()).service(stripe);
    assert!(spawned!(service, nowhere()).is_err());

    // Over a boxed error only its own future can be spawned, not a block that awaits it: tower-http asks that the error
    // be `'static`, which the compiler cannot show for every region. That is tower-http's bound.
    let service =
        ServiceBuilder::new().layer(TraceLayer::new_for_http()).service(StripeTransport::new(boxed()));
    is_shareable(&service);
    tokio::spawn(service.oneshot(payment("o"))).await.expect("no panic").expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn it_works_with_a_buffer_inside_and_outside() {
    answered!(StripeTransport::new(Buffer::new(Infallibly, 8)));
    answered!(RetryLayer::default().layer(Buffer::new(Infallibly, 8)));

    answered!(Buffer::new(StripeTransport::new(Infallibly), 8));
    let stripe = StripeTransport::new(hyper_util::Builder::new().build());
    spawned!(Buffer::new(stripe, 8), nowhere()).expect_err("no host");

    // Where a boxed error meets the buffer, only its own future can be spawned, not a block that awaits it: tower asks
    // that the error be `Into<BoxError>`, which the compiler cannot show for every region. That is tower's bound.
    let inside = StripeTransport::new(Buffer::new(boxed(), 8));
    tokio::spawn(inside.send(payment("o"))).await.expect("no panic").expect("an answer");
    let outside = ServiceBuilder::new().layer(BufferLayer::new(8)).service(StripeTransport::new(boxed()));
    tokio::spawn(outside.oneshot(payment("o"))).await.expect("no panic").expect("an answer");
    let both = StripeTransport::new(Buffer::new(Infallibly, 8));
    let both = ServiceBuilder::new().layer(BufferLayer::new(8)).service(both);
    tokio::spawn(both.oneshot(payment("o"))).await.expect("no panic").expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn it_works_with_a_concurrency_limit_inside_and_outside() {
    answered!(StripeTransport::new(ConcurrencyLimit::new(boxed(), 1)));
    answered!(ConcurrencyLimit::new(StripeTransport::new(boxed()), 1));
    answered!(
        ServiceBuilder::new()
            .layer(ConcurrencyLimitLayer::new(1))
            .layer(TransportLayer::default())
            .layer(ConcurrencyLimitLayer::new(1))
            .service(Infallibly)
    );
    let stripe = StripeTransport::new(ConcurrencyLimit::new(hyper_util::Builder::new().build(), 1));
    spawned!(ConcurrencyLimit::new(stripe, 1), nowhere()).expect_err("no host");
}

#[tokio::test(start_paused = true)]
async fn buffers_inside_and_outside_work_under_load() {
    let sim = sim();
    let crowded = || ConcurrencyLimit::new(client(&sim), 4);
    let inside = TransportLayer::default().layer(Buffer::new(crowded(), 3));
    let outside = Buffer::new(TransportLayer::default().layer(crowded()), 3);
    let order = |n: usize| {
        // One in four loses its first answer, so that retries queue among first attempts.
        let order = format!("order-{n}");
        if n.is_multiple_of(4) {
            sim.script(&order, [Step::Fault(Fault::F3)]);
        }
        payment(&order)
    };
    let through_inside: Vec<_> = (0..200).map(|n| tokio::spawn(inside.send(order(n)))).collect();
    let through_outside: Vec<_> =
        (200..400).map(|n| tokio::spawn(outside.clone().oneshot(order(n)))).collect();
    for call in through_inside {
        assert_eq!(call.await.expect("no panic").expect("an answer").status(), 200);
    }
    for call in through_outside {
        assert_eq!(call.await.expect("no panic").expect("an answer").status(), 200);
    }
    let ledger = sim.ledger();
    assert_eq!((ledger.total(), ledger.charged_twice(), sim.in_flight()), (400, vec![], 0));
}

// === wrapped in the wrong order, and alone ===

/// What a caller that kept the handle reads of a call.
fn told(handle: &ReportHandle) -> (Certainty, u32, Option<Stop>) {
    let report = handle.report();
    (report.certainty(), report.attempts_made(), report.stopped())
}

fn watched(order: &str) -> (Request<RequestBody>, ReportHandle) {
    let handle = ReportHandle::new();
    let mut request = payment(order);
    request.headers_mut().insert("idempotency-key", order.parse().expect("a value"));
    request.extensions_mut().insert(handle.clone());
    (request, handle)
}

/// S-112: the limit of an attempt around all of them is a limit of the call, and what it cuts is told all the same.
#[tokio::test(start_paused = true)]
async fn a_timeout_outside_of_retry_cuts_the_call_and_the_report_stays_true() {
    let hangs = || Step::Fault(Fault::F5 { delay: secs(3_600) });
    let lost = || Step::Fault(Fault::F3);
    for (script, limit, attempts) in [
        (vec![hangs()], secs(5), 1),
        (vec![lost(), hangs()], secs(5), 2),
        // In the backoff, which is at least 250 ms.
        (vec![lost()], millis(100), 1),
    ] {
        let sim = sim();
        sim.script("o", script.clone());
        let config = TimeoutConfig::builder().attempt(limit).build().expect("valid settings");
        let layers = ServiceBuilder::new()
            .layer(TimeoutLayer::new(config))
            .layer(RetryLayer::default())
            .service(Edge::new(client(&sim)));
        let (request, handle) = watched("o");
        let began = time::now();
        let error = layers.oneshot(request).await.expect_err("timed out");
        assert_eq!(time::now() - began, limit);
        assert!(error.is_timeout());
        assert_eq!(told(&handle), (Certainty::Unknown, attempts, Some(Stop::Cancelled)), "{script:?}");

        // Around the whole transport.
        sim.script("p", script.clone());
        let (request, handle) = watched("p");
        let whole = TimeoutLayer::new(config).layer(StripeTransport::new(client(&sim)));
        assert!(whole.oneshot(request).await.expect_err("timed out").is_timeout());
        assert_eq!(told(&handle), (Certainty::Unknown, attempts, Some(Stop::Cancelled)), "{script:?}");
        assert_eq!(handle.report().advice(), Advice::SameKey);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_inside_of_a_timeout_counts_each_attempt_once_also_when_it_is_answered() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3)]);
    let service = ServiceBuilder::new()
        .layer(RequestIdLayer::new())
        .layer(TimeoutLayer::default())
        .layer(RetryLayer::default())
        .layer(ClassifyLayer::default())
        .service(Edge::new(client(&sim)));
    let (request, handle) = watched("o");
    let response = service.oneshot(request).await.expect("an answer");
    assert_eq!(response.outcome(), Some(Outcome::Success));
    assert_eq!(told(&handle), (Certainty::Executed, 2, Some(Stop::Final)));
    assert_eq!(sim.log_of("o").len(), 2);
}

/// The simulator behind an error that can say why nothing was sent, but not what happened on the network.
fn boxing(client: SimClient) -> BoxCloneSyncService<Request<RequestBody>, Response<SimBody>, BoxError> {
    BoxCloneSyncService::new(ServiceExt::<Request<RequestBody>>::map_err(client, BoxError::from))
}

/// Calls through `$layer` alone: answered, declined, failed, never connected, and dropped.
macro_rules! alone_tells_the_truth {
    ($layer:expr, $of_failures:expr) => {{
        let sim = sim();
        let service = $layer(client(&sim));
        let (request, handle) = watched("answered");
        service.clone().oneshot(request).await.expect("an answer");
        assert_eq!(told(&handle).0, Certainty::Executed);

        sim.script("declined", [Step::Answer(Canned::raw(402, "{}"))]);
        let (request, handle) = watched("declined");
        service.clone().oneshot(request).await.expect("an answer");
        assert_eq!(told(&handle).0, Certainty::Rejected);

        for (fault, certainty) in [(Fault::F3, Certainty::Unknown), (Fault::F0, $of_failures)] {
            sim.script("failed", vec![Step::Fault(fault); 3]);
            let (mut request, handle) = watched("failed");
            request.extensions_mut().insert(RetryLimit::NONE);
            assert!(service.clone().oneshot(request).await.is_err());
            assert_eq!((told(&handle).0, told(&handle).1), (certainty, 1), "{fault:?}");
        }

        sim.script("dropped", [Step::Fault(Fault::Slow { delay: secs(2) })]);
        let (request, handle) = watched("dropped");
        let call = tokio::time::timeout(secs(1), service.clone().oneshot(request));
        assert!(call.await.is_err());
        assert_eq!(told(&handle), (Certainty::Unknown, 1, Some(Stop::Cancelled)));
        sim.quiesce().await;
        assert_eq!(sim.ledger().executions("dropped"), 1, "which is why it may not say otherwise");
    }};
}

#[tokio::test(start_paused = true)]
async fn each_layer_alone_tells_the_truth_however_a_call_ends() {
    // Who looks into the client's error knows that nothing was sent; the others know it by the untouched body, and who
    // is outside of the attempts knows neither.
    alone_tells_the_truth!(Edge::new, Certainty::NotSent);
    alone_tells_the_truth!(
        |client: SimClient| RetryLayer::default().layer(boxing(client)),
        Certainty::NotSent
    );
    alone_tells_the_truth!(|client: SimClient| RequestIdLayer::new().layer(client), Certainty::NotSent);
    alone_tells_the_truth!(|client: SimClient| ClassifyLayer::default().layer(client), Certainty::NotSent);
    alone_tells_the_truth!(
        |client: SimClient| TimeoutLayer::default().layer(boxing(client)),
        Certainty::NotSent
    );
    alone_tells_the_truth!(
        |client: SimClient| IdempotencyLayer::default().layer(boxing(client)),
        Certainty::Unknown
    );
}
