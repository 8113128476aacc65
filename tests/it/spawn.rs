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
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt,
    buffer::{Buffer, BufferLayer},
    limit::{ConcurrencyLimit, ConcurrencyLimitLayer},
    util::{BoxCloneSyncService, Oneshot},
};
use tower_http::trace::TraceLayer;
use tower_stripe::{
    BoxError, Certainty, Refusal, ResponseExt, StripeBody, StripeTransport,
    classify::{self, Classify, ClassifyLayer},
    edge::{self, Edge, hyper_util},
    idempotency::{self, Idempotency, IdempotencyLayer},
    request_id::{self, ExtractRequestId, RequestIdLayer},
    retry::{self, Retry, RetryLayer},
    timeout::{self, Timeout, TimeoutLayer},
    transport::{self, TransportLayer},
};

use crate::support::{bytes, payment, sim};

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
    let client = || hyper_util::Builder::new().build::<RequestBody>();
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
    sent: Oneshot<StripeTransport<Boxed>, Request<RequestBody>>,
    called: transport::ResponseFuture<Boxed, RequestBody, RequestBody>,
    retried: retry::ResponseFuture<Boxed, RequestBody, RequestBody>,
    keyed: idempotency::ResponseFuture<<Boxed as Service<Request<RequestBody>>>::Future, BoxError>,
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
async fn one_transport_serves_many_tasks_at_once() {
    let sim = sim();
    let stripe = crate::support::transport(&sim);
    let calls: Vec<_> = (0..50).map(|n| tokio::spawn(stripe.send(payment(&format!("order-{n}"))))).collect();
    for call in calls {
        assert_eq!(call.await.expect("no panic").expect("an answer").status(), 200);
    }
    assert_eq!(sim.ledger().total(), 50);
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
