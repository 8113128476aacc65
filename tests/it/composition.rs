//! However the layers are put together, and whatever is put around them, what a caller is told to do charges nobody
//! twice.
//!
//! By design, and so not tested here: a client that retries or hedges by itself shows only its last exchange; `retry`
//! alone does not end an attempt that hangs, `timeout` does; and a layer that refuses keeps the readiness of its inner
//! service until it is dropped.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::json;
use stripe_sim::{Canned, Fault, Step};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_stripe::{
    Advice, AttemptTimeout, BoxError, Certainty, Deadline, Error, Failure, FailureKind, IdempotencyKey,
    Operation, Outcome, Refusal, ReportHandle, ResponseExt, RetryLimit, StripeBody, StripeTransport,
    classify::{ClassifyLayer, StripeError},
    edge::Edge,
    idempotency::{IdempotencyConfig, IdempotencyLayer},
    request_id::RequestIdLayer,
    retry::{BudgetConfig, RetryConfig, RetryLayer},
    timeout::TimeoutLayer,
    vocab::{ApiVersion, Ratio, Recorder, Stop, time::WallClock, tracked::Tracked},
};

use crate::support::{
    NetworkError, SimClient, assert_one_key_and_body, client, get, keyed, keys, payment, post, request, secs,
    sim, statuses, stop, stop_of, transport, transport_of, with,
};

type RequestBody = Full<Bytes>;

const HOUR: Duration = Duration::from_secs(3_600);

/// What Stripe says of a request that it finds wrong.
fn wrong() -> Step {
    let code = "payment_intent_unexpected_state";
    Step::Answer(Canned::json(400, &json!({"error": {"type": "invalid_request_error", "code": code}})))
}

// === what a call hands back ===

/// A key that comes out of a report has a past, also where the call that made it vouched that it had none.
#[tokio::test(start_paused = true)]
async fn whoever_follows_the_advice_with_the_key_handed_back_charges_once() {
    let sim = sim();
    let stripe = transport(&sim);
    // The first request lands ten minutes later; then there is no connection for a while.
    sim.script("o", [Step::Fault(Fault::F5 { delay: secs(600) })]);
    let first = with(with(payment("o"), RetryLimit::NONE), AttemptTimeout::new(secs(5)));
    let mut error = stripe.send(first).await.expect_err("it is late");
    sim.script("o", vec![Step::Fault(Fault::F0); 6]);

    for calls in 1.. {
        let next = match error.advice() {
            Advice::SameKey => with(payment("o"), error.idempotency_key().expect("the key in force")),
            Advice::NewKey | Advice::Resend => payment("o"),
            advice => panic!("{advice} is no way to go on"),
        };
        error = match stripe.send(next).await {
            Err(error) => error,
            Ok(response) => {
                assert_eq!((response.certainty(), calls), (Some(Certainty::Executed), 3));
                break;
            }
        };
    }
    sim.quiesce().await;
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

/// Stripe has forgotten it by then, and would execute anew.
#[tokio::test(start_paused = true)]
async fn a_key_handed_back_knows_its_birth_and_is_refused_two_days_later() {
    let sim = sim();
    let clock = WallClock::manual(sim.clock().now());
    let settings = IdempotencyConfig::builder().wall_clock(clock.clone());
    let stripe = transport_of(&sim, StripeTransport::builder().idempotency(settings));
    sim.script("o", [Step::Fault(Fault::F3)]);
    let error = stripe.send(with(payment("o"), RetryLimit::NONE)).await.expect_err("the answer is lost");
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));

    let key = error.idempotency_key().expect("the key in force");
    clock.set(clock.now() + 48 * HOUR);
    let error = stripe.send(with(payment("o"), key)).await.expect_err("refused");
    let expected = Refusal::KeyTooOld { age: Some(48 * HOUR), limit: 23 * HOUR };
    assert_eq!((error.refusal(), error.advice()), (Some(&expected), Advice::Reconcile));
    assert_eq!((sim.log().len(), sim.ledger().executions("o")), (1, 1));
}

// === what is put around the transport ===

/// Calls again as `tower::retry` does: it has cloned the request, extensions and all, before it let go of it.
async fn tried_again(
    stripe: &StripeTransport<SimClient>,
    request: Request<RequestBody>,
) -> Result<Response<StripeBody<stripe_sim::SimBody>>, Error<NetworkError>> {
    let clone = request.clone();
    match stripe.send(request).await {
        Ok(response) => Ok(response),
        Err(_) => stripe.send(clone).await,
    }
}

/// The clone has no key, and would get another one: it would pay once more, or wipe out what is unknown by a decline.
#[tokio::test(start_paused = true)]
async fn a_retry_around_the_transport_that_clones_a_report_handle_is_refused_and_the_handle_stays_true() {
    for second in [None, Some(Step::Answer(Canned::raw(402, "{}")))] {
        let sim = sim();
        sim.script("o", [Step::Fault(Fault::F3)].into_iter().chain(second));
        let handle = ReportHandle::new();
        let watched = with(with(payment("o"), handle.clone()), RetryLimit::NONE);
        let error = tried_again(&transport(&sim), watched).await.expect_err("refused");

        assert_eq!((error.refusal(), error.attempts()), (Some(&Refusal::ReportReused), 0));
        assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::Reconcile));
        let report = handle.report();
        assert_eq!((report.certainty(), report.advice()), (Certainty::Unknown, Advice::SameKey));
        assert_eq!((report.attempts_made(), report.stopped()), (1, Some(Stop::Attempts)));
        assert_eq!((statuses(&sim, "o"), sim.ledger().executions("o")), (vec![None], 1));

        let key = report.idempotency_key().expect("the key in force").clone();
        transport(&sim).send(with(payment("o"), key)).await.expect("answered");
        assert_eq!(sim.ledger().executions("o"), 1);
        assert_one_key_and_body(&sim, "o");
    }
}

/// Nobody has looked at the key when the future is dropped.
#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_polled_keeps_a_callers_key() {
    let sim = sim();
    let handle = ReportHandle::new();
    drop(transport(&sim).send(with(keyed(payment("o"), "mine"), handle.clone())));
    assert_eq!((handle.certainty(), handle.report().advice()), (Certainty::NotSent, Advice::SameKey));
    assert!(sim.log().is_empty());
}

/// The inner one makes the attempts; the outer one neither counts them again nor takes the call for one that was dropped.
#[tokio::test(start_paused = true)]
async fn a_call_through_two_retries_ends_as_the_inner_one_says() {
    let sim = sim();
    let stripe = StripeTransport::new(StripeTransport::new(client(&sim)));
    let response = stripe.send(payment("paid")).await.expect("paid");
    assert_eq!((stop(&response), response.attempts()), (Some(Stop::Final), Some(1)));

    sim.script("lost", vec![Step::Fault(Fault::F3); 9]);
    let error = stripe.send(payment("lost")).await.expect_err("no answer arrives");
    assert_eq!((stop_of(&error), error.attempts()), (Some(Stop::Attempts), 3));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!((sim.log_of("lost").len(), sim.ledger().executions("lost")), (3, 1));

    let service = ServiceBuilder::new()
        .layer(IdempotencyLayer::default())
        .layer(RetryLayer::default())
        .layer(RetryLayer::default())
        .service(Edge::new(client(&sim)));
    let response = service.oneshot(payment("alone")).await.expect("paid");
    assert_eq!((stop(&response), response.attempts()), (Some(Stop::Final), Some(1)));
}

// === stacks of single layers ===

/// A refusal proves that *this* attempt was not sent, and nothing of the one before.
#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_lost_attempt_carries_the_account_also_without_the_transport() {
    let (client, mut peer) = tower_test::mock::pair::<Request<RequestBody>, Response<RequestBody>>();
    peer.allow(1);
    let service = ServiceBuilder::new()
        .layer(IdempotencyLayer::default())
        .layer(RetryLayer::default())
        .service(Edge::new(client));
    let call = tokio::spawn(service.oneshot(payment("o")));
    let (_, send) = peer.next_request().await.expect("the first attempt");
    send.send_error("reset");
    // It never gets ready again.
    let error = call.await.expect("no panic").expect_err("refused");
    assert_eq!(error.refusal(), Some(&Refusal::DeadlineExceeded));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!(error.attempts(), 1);
    assert!(error.idempotency_key().is_some());
}

/// The attempt is theirs, and they saw the request before it got its key.
#[tokio::test(start_paused = true)]
async fn layers_outside_of_idempotency_know_of_the_key_that_it_gives() {
    let sim = sim();
    sim.script("timeout", [Step::Answer(Canned::empty(409).header("request-id", "req_1"))]);
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::default())
        .layer(IdempotencyLayer::default())
        .layer(ClassifyLayer::default())
        .service(Edge::new(client(&sim)));
    let response = service.oneshot(payment("timeout")).await.expect("answered");
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Unknown), Some(Advice::SameKey)));

    let replayed = Canned::empty(500).header("request-id", "req_1").header("idempotent-replayed", "true");
    sim.script("request id", [Step::Answer(replayed)]);
    let service = ServiceBuilder::new()
        .layer(RequestIdLayer::new())
        .layer(IdempotencyLayer::default())
        .service(Edge::new(client(&sim)));
    let response = service.oneshot(payment("request id")).await.expect("answered");
    assert_eq!(
        (response.certainty(), response.advice()),
        (Some(Certainty::Unknown), Some(Advice::Reconcile))
    );
}

/// The caller's key may have a past, though nobody has looked at it when the call is refused.
#[tokio::test(start_paused = true)]
async fn a_timeout_outside_of_idempotency_that_refuses_keeps_a_callers_key() {
    let sim = sim();
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::default())
        .layer(IdempotencyLayer::default())
        .service(Edge::new(client(&sim)));
    let late = with(keyed(payment("o"), "mine"), Deadline::after(Duration::ZERO));
    let error = service.oneshot(late).await.expect_err("refused");
    assert_eq!(error.refusal(), Some(&Refusal::DeadlineExceeded));
    assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::SameKey));
    assert_eq!(error.idempotency_key().as_ref().map(IdempotencyKey::as_str), Some("mine"));
    assert!(sim.log().is_empty());
}

/// The layers within then begin an account of their own, which knows of one attempt only.
#[tokio::test(start_paused = true)]
async fn the_outermost_account_counts_where_something_between_the_layers_drops_the_extensions() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3), wrong()]);
    let service = ServiceBuilder::new()
        .layer(IdempotencyLayer::default())
        .layer(RetryLayer::default())
        .map_request(|mut request: Request<RequestBody>| {
            request.extensions_mut().clear();
            request
        })
        .layer(ClassifyLayer::default())
        .service(Edge::new(client(&sim)));
    let response = service.oneshot(payment("o")).await.expect("answered");
    assert_eq!((response.status().as_u16(), response.attempts()), (400, Some(2)));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Unknown), Some(Advice::SameKey)));
    assert_eq!(sim.ledger().executions("o"), 1, "which is why it may not say otherwise");
}

/// A client that makes two requests out of one: the second, which nobody has read, proves nothing of the first.
#[tokio::test(start_paused = true)]
async fn an_untouched_body_does_not_hide_one_that_left_before_it() {
    let client = tower::service_fn(|request: Request<RequestBody>| async move {
        let recorder = request.extensions().get::<Recorder>().cloned().expect("the account of the call");
        let (mut first, proof) = Tracked::new(request.body().clone());
        recorder.register_proof(proof);
        first.frame().await.expect("a frame").expect("no error");
        let (_second, proof) = Tracked::new(request.into_body());
        recorder.register_proof(proof);
        pending::<Result<Response<RequestBody>, BoxError>>().await
    });
    let call = StripeTransport::new(client).send(with(payment("o"), RetryLimit::NONE));
    let error = call.await.expect_err("no answer");
    assert!(error.is_timeout());
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
}

// === what counts as a key ===

/// By Stripe's rules, whatever stands in the header: without a key it would not know the repetition again.
#[tokio::test(start_paused = true)]
async fn retry_alone_repeats_a_write_of_unknown_fate_only_under_a_key_that_stripe_can_heed() {
    let (long, longest) = ("k".repeat(256), "k".repeat(255));
    for (lines, repeated) in [
        (&[][..], false),
        (&[""], false),
        (&["", ""], false),
        (&["one", "two"], false),
        (&["one", ""], false),
        (&[&*long], false),
        (&[&*longest], true),
        (&["one"], true),
        (&["one", "one"], true),
    ] {
        let sim = sim();
        sim.script("o", [Step::Fault(Fault::F3)]);
        let service = RetryLayer::default().layer(Edge::new(client(&sim)));
        let handle = ReportHandle::new();
        let mut request = with(payment("o"), handle.clone());
        for line in lines {
            request.headers_mut().append("idempotency-key", line.parse().expect("a header"));
        }
        let result = service.oneshot(request).await;
        assert_eq!((sim.log().len(), result.is_ok()), (1 + usize::from(repeated), repeated), "{lines:?}");
        assert!(sim.ledger().charged_twice().is_empty(), "{lines:?}");
        let expected = if repeated { Stop::Final } else { Stop::Unkeyed };
        assert_eq!(handle.report().stopped(), Some(expected), "{lines:?}");
    }
}

/// An operation of this version and method.
fn operation(api: ApiVersion, method: &str) -> Operation {
    Operation::all()
        .find(|operation| operation.api_version() == api && operation.method() == Some(method))
        .expect("the table has one")
}

/// Stripe goes by the path that it is sent, not by what the caller calls it.
#[tokio::test(start_paused = true)]
async fn no_operation_stretches_the_life_of_a_key() {
    let noon = SystemTime::UNIX_EPOCH + 500_000 * HOUR;
    let (v1, v2) = (operation(ApiVersion::V1, "POST"), operation(ApiVersion::V2, "POST"));
    for (path, called, limit) in
        [("/v1/payment_intents", v2, Some(23 * HOUR)), ("/v2/core/event_destinations", v1, None)]
    {
        let sim = sim();
        sim.script("o", [Step::Answer(Canned::json(200, &json!({})))]);
        let settings = IdempotencyConfig::builder().wall_clock(WallClock::manual(noon));
        let stripe = transport_of(&sim, StripeTransport::builder().idempotency(settings));
        let age = 5 * 24 * HOUR;
        let key = IdempotencyKey::new("mine").expect("a key").born_at(noon - age);
        let result = stripe.send(with(with(post(path, "o", "a=1"), key), called)).await;
        let refusal = limit.map(|limit| Refusal::KeyTooOld { age: Some(age), limit });
        assert_eq!(result.err().and_then(|error| error.refusal().cloned()), refusal, "{path}");
        assert_eq!(sim.log().len(), usize::from(limit.is_none()), "{path}");
    }
}

/// As above: a v2 DELETE executes twice without a key, and a v1 DELETE has none to be known by.
#[tokio::test(start_paused = true)]
async fn no_operation_changes_which_requests_carry_a_key_and_which_are_repeated() {
    let called = [
        operation(ApiVersion::V1, "GET"),
        operation(ApiVersion::V1, "POST"),
        operation(ApiVersion::V1, "DELETE"),
        operation(ApiVersion::V2, "GET"),
        operation(ApiVersion::V2, "POST"),
        Operation::resolve(&Method::GET, "/nowhere"),
    ];
    for (method, path, has_key) in [
        ("POST", "/v1/refunds", true),
        ("POST", "/v2/core/event_destinations", true),
        ("DELETE", "/v2/core/event_destinations/ed_1", true),
        ("DELETE", "/v1/customers/cus_1", false),
        ("GET", "/v1/customers", false),
    ] {
        for called in called {
            let at = format!("{method} {path} called {called:?}");
            let sim = sim();
            sim.script("o", [Step::Fault(Fault::F2), Step::Answer(Canned::json(200, &json!({})))]);
            let response = transport(&sim).send(with(request(method, path, "o", "a=1"), called)).await;
            assert_eq!(response.expect("an answer").attempts(), Some(2), "{at}");
            assert!(keys(&sim, "o").iter().all(|key| key.is_some() == has_key), "{at}");
            if has_key {
                assert_one_key_and_body(&sim, "o");
            }
        }
        // And where nobody gives keys, only what repeats harmlessly is repeated.
        for called in called {
            let sim = sim();
            sim.script("o", [Step::Fault(Fault::F2), Step::Answer(Canned::json(200, &json!({})))]);
            let service = RetryLayer::default().layer(Edge::new(client(&sim)));
            let result = service.oneshot(with(request(method, path, "o", "a=1"), called)).await;
            assert_eq!(result.is_ok(), !has_key, "{method} {path} called {called:?}");
        }
    }
}

// === answers that nobody expects ===

/// JSON, but not Stripe's: the key may be in use all the same.
#[tokio::test(start_paused = true)]
async fn a_gateways_conflict_in_json_is_unknown() {
    for body in
        [json!({"error": "conflict"}), json!({"message": "conflict"}), json!([]), json!({"error": {}})]
    {
        let sim = sim();
        sim.script("o", [Step::Answer(Canned::json(409, &body).without_request_id())]);
        let call = transport(&sim).send(with(payment("o"), RetryLimit::NONE));
        let response = call.await.expect("something answered");
        assert_eq!(response.outcome(), Some(Outcome::Conflict), "{body}");
        let told = (response.certainty(), response.advice());
        assert_eq!(told, (Some(Certainty::Unknown), Some(Advice::SameKey)), "{body}");
    }
}

/// `http` panics where a map gets too many headers; what fits once must fit again.
#[tokio::test(start_paused = true)]
async fn a_request_of_very_many_header_lines_is_sent_again_without_a_panic() {
    let many = |order: &str, name: fn(usize) -> String, lines| {
        let mut request = get("/v1/customers", order);
        for n in 0..lines {
            let name: HeaderName = name(n).parse().expect("a name");
            request.headers_mut().append(name, "1".parse().expect("a header"));
        }
        request
    };
    let sim = sim();
    let retry = RetryLayer::default().layer(Edge::new(client(&sim)));
    for request in [
        many("same", |_| "x-line".to_owned(), 25_000),
        many("distinct", |n| format!("x-line-{n}"), 20_000),
        many("both", |n| format!("x-line-{}", n % 10_000), 25_000),
    ] {
        let order = request.headers()["x-sim-order"].to_str().expect("text").to_owned();
        sim.script(&order, vec![Step::Fault(Fault::F0); 2]);
        let response = retry.clone().oneshot(request.clone()).await.expect("an answer");
        assert_eq!(response.attempts(), Some(3), "{order}");
        let response = transport(&sim).send(request).await.expect("an answer");
        assert_eq!(response.attempts(), Some(1), "{order}");
    }
}

/// Nothing is pending, and no limit of bytes is ever reached: only their number ends them.
#[tokio::test(start_paused = true)]
async fn an_error_body_of_empty_frames_without_end_is_given_up() {
    let frames = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&frames);
    let client = tower::service_fn(move |_: Request<RequestBody>| {
        let counter = Arc::clone(&counter);
        let endless = (0..1_000_000).map(move |_| {
            counter.fetch_add(1, Relaxed);
            Ok::<_, Infallible>(Frame::data(Bytes::new()))
        });
        let response = Response::builder().status(503).body(StreamBody::new(stream::iter(endless)));
        async { response.map_err(BoxError::from) }
    });
    let retry = || RetryLayer::default().layer(Edge::new(client.clone()));
    answered_503("classify", ClassifyLayer::default().layer(client.clone()), 1, &frames).await;
    answered_503("retry", IdempotencyLayer::default().layer(retry()), 3, &frames).await;
    answered_503("transport", StripeTransport::new(client.clone()), 3, &frames).await;
}

/// Sends a payment that comes to a 503 after so many attempts, each of which took a bounded number of frames.
async fn answered_503<S, R>(name: &str, service: S, attempts: u32, frames: &AtomicU32)
where
    S: Service<Request<RequestBody>, Response = Response<R>>,
{
    frames.store(0, Relaxed);
    let Ok(response) = service.oneshot(payment("o")).await else { panic!("{name} got no answer") };
    assert_eq!((response.status().as_u16(), response.attempts()), (503, Some(attempts)), "{name}");
    let polled = frames.load(Relaxed);
    assert!(polled <= attempts * 10_000, "{name} took {polled} frames");
}

/// No sum of times overflows, whatever is asked for and allowed.
#[tokio::test(start_paused = true)]
async fn a_retry_after_of_ages_is_beyond_the_deadline_and_no_panic() {
    for value in ["18446744073709551615", "99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let sim = sim();
        sim.script("o", [Step::Answer(Canned::html(503).header("retry-after", value))]);
        let retry = RetryConfig::builder().max_retry_after(Duration::MAX).max_delay(Duration::MAX);
        let stripe = transport_of(&sim, StripeTransport::builder().retry(retry));
        let call = stripe.send(with(payment("o"), Deadline::after(Duration::MAX)));
        assert_eq!(stop(&call.await.expect("an answer")), Some(Stop::Deadline), "{value}");
        assert_eq!(sim.log().len(), 1);
    }
}

// === what a retry costs, and what is printed ===

/// Nothing was sent, so nobody is to be spared.
#[tokio::test(start_paused = true)]
async fn a_retry_that_the_stack_itself_refuses_costs_no_budget() {
    let calls = Arc::new(AtomicU32::new(0));
    let refuses_the_second = tower::service_fn(move |mut request: Request<RequestBody>| {
        let recorder = Recorder::of(&mut request);
        let lost = calls.fetch_add(1, Relaxed).is_multiple_of(2);
        async move {
            Err::<Response<RequestBody>, Error<Lost>>(if lost {
                Error::transport(Lost)
            } else {
                recorder.refuse(Refusal::DeadlineExceeded).into()
            })
        }
    });
    let one_retry = BudgetConfig::default().ratio(Ratio::percent(0)).per_second(0).max_balance(1);
    let retry = RetryConfig::builder().budget(one_retry).build().expect("valid settings");
    let service = ServiceBuilder::new()
        .layer(IdempotencyLayer::default())
        .layer(RetryLayer::new(retry))
        .service(refuses_the_second);
    for call in 0..3 {
        let error = service.clone().oneshot(payment("o")).await.expect_err("refused");
        assert_eq!((stop_of(&error), error.attempts()), (Some(Stop::Deadline), 1), "call {call}");
        assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey), "call {call}");
    }
}

/// The answer to a request is lost.
#[derive(Debug)]
struct Lost;

impl tower_stripe::TransportError for Lost {
    fn failure(&self) -> Failure {
        Failure::unknown(FailureKind::Reset)
    }

    fn as_source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}

/// I7: a gateway may put any text where Stripe has its codes.
#[tokio::test(start_paused = true)]
async fn the_text_of_an_error_that_is_not_stripes_is_not_printed() {
    let secret = "sk_live_51abc";
    let text = format!("Invalid API Key provided: {secret}");
    for body in [
        json!({"error": text}),
        json!({"error": text, "error_description": text}),
        json!({"error": {"type": text, "code": text, "message": text, "decline_code": text, "param": text}}),
    ] {
        let sim = sim();
        sim.script("o", [Step::Answer(Canned::json(401, &body))]);
        let response = transport(&sim).send(payment("o")).await.expect("answered");
        let shown = format!("{:?} {response:?} {:?}", StripeError::of(&response), response.report());
        assert!(!shown.contains(secret) && !shown.contains("Invalid API Key"), "{shown}");
    }
}
