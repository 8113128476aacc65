//! Telemetry where nobody expects it: alone, within other layers, twice, and around clients that fail as none should.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use stripe_sim::{Canned, Fault, Step};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_stripe::{
    BoxError, RetryLimit, classify::ClassifyLayer, detach::DetachLayer, edge::EdgeLayer,
    idempotency::IdempotencyLayer, retry::RetryLayer, telemetry::TelemetryLayer, vocab::metric,
};

use super::{builder, metered_by_default};
use crate::support::{
    client, get, metered, meters::Meters, millis, never_open, payment, payment_with, secs, sim, ungoverned,
    with,
};

fn layer(meters: &Meters) -> TelemetryLayer {
    TelemetryLayer::new(meters.telemetry().build().expect("valid settings"))
}

/// Each of its attempts looks like a call then; but what is declined is declined.
#[tokio::test(start_paused = true)]
async fn within_a_layer_that_retries_it_does_not_take_what_is_known_for_a_question() {
    let sim = sim();
    let meters = Meters::default();
    sim.script("limited", [Step::Answer(Canned::rate_limited(stripe_sim::Reason::GlobalRate))]);
    sim.script("lost", [Step::Fault(Fault::F3)]);
    let telemetry = layer(&meters);
    let stripe = ServiceBuilder::new()
        .layer(IdempotencyLayer::default())
        .layer(RetryLayer::default())
        .layer(telemetry.clone())
        .layer(ClassifyLayer::default())
        .layer(EdgeLayer::new())
        .service(client(&sim));
    stripe.clone().oneshot(payment_with("declined", "pm_card_chargeDeclined")).await.expect("answered");
    stripe.clone().oneshot(payment("limited")).await.expect("paid");
    assert_eq!(meters.sum(&metric::UNKNOWN, &[]), 0.0);
    stripe.oneshot(payment("lost")).await.expect("paid");
    telemetry.handle().sample();
    assert_eq!((meters.sum(&metric::UNKNOWN, &[]), meters.sum(&metric::UNKNOWN_PENDING, &[])), (1.0, 0.0));
    assert_eq!(meters.sum(&metric::ATTEMPTS, &[]), sim.log().len() as f64, "what the other side saw");
    assert_eq!(meters.sum(&metric::CALLS_IN_FLIGHT, &[]), 0.0);
}

/// As of one transport within another: two counts of one call are no count.
#[tokio::test(start_paused = true)]
async fn a_call_is_counted_and_told_by_the_outermost_alone() {
    let sim = sim();
    sim.script("lost", [Step::Fault(Fault::F3)]);
    let (within, outside) = (Meters::default(), Meters::default());
    let inner = builder().telemetry(within.telemetry()).build().expect("valid settings");
    let stripe = layer(&outside).layer(inner.layer(client(&sim)));
    stripe.clone().oneshot(payment("o")).await.expect("paid");
    stripe.oneshot(with(payment("lost"), RetryLimit::NONE)).await.expect_err("lost");
    assert_eq!(outside.sum(&metric::CALLS, &[]), 2.0);
    assert_eq!(outside.sum(&metric::ATTEMPTS, &[]), sim.log().len() as f64);
    assert_eq!(outside.sum(&metric::UNKNOWN, &[]), 1.0);
    for metric in [&metric::CALLS, &metric::ATTEMPTS, &metric::UNKNOWN] {
        assert_eq!(within.sum(metric, &[]), 0.0, "{}", metric.name);
    }
}

/// Also where no layer of ours has looked at the answer.
#[tokio::test(start_paused = true)]
async fn alone_it_sees_stripes_notices() {
    let client = service_fn(|_: Request<Full<Bytes>>| async {
        let response =
            Response::builder().header("request-id", "req_1").header("stripe-notice", "upgrade soon");
        response.body(Empty::<Bytes>::new()).map_err(BoxError::from)
    });
    let meters = Meters::default();
    layer(&meters).layer(client).oneshot(payment("o")).await.expect("answered");
    assert_eq!(meters.sum(&metric::NOTICES, &[]), 1.0);
    assert_eq!(meters.sum(&metric::ATTEMPTS, &[("purpose", "first"), ("outcome", "success")]), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_future_that_nobody_polled_was_no_attempt_and_leaves_no_question() {
    let sim = sim();
    let (mut stripe, meters) = metered_by_default(&sim);
    let ready = ServiceExt::<Request<Full<Bytes>>>::ready(&mut stripe).await.expect("it is ready");
    drop(ready.call(payment("o")));
    assert_eq!(meters.sum(&metric::CALLS, &[("outcome", "cancelled")]), 1.0);
    assert_eq!(meters.sum(&metric::CALLS_CANCELLED, &[("phase", "queued")]), 1.0);
    assert_eq!(meters.sum(&metric::CALL_CERTAINTY, &[("certainty", "not_sent")]), 1.0);
    assert_eq!((meters.sum(&metric::ATTEMPTS, &[]), meters.sum(&metric::UNKNOWN, &[])), (0.0, 0.0));
    assert!(sim.log().is_empty());
}

/// Panics when it is polled.
struct Panicking;

impl Future for Panicking {
    type Output = Result<Response<Empty<Bytes>>, BoxError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        panic!("a client that should not be used")
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_panics_leaves_nothing_in_flight() {
    let meters = Meters::default();
    let transport = builder().telemetry(meters.telemetry()).build().expect("valid settings");
    let stripe = transport.layer(service_fn(|_: Request<Full<Bytes>>| Panicking));
    let call = std::panic::AssertUnwindSafe(stripe.send(payment("o")));
    call.catch_unwind().await.expect_err("it panics");
    assert_eq!(meters.sum(&metric::CALLS_IN_FLIGHT, &[]), 0.0);
    assert_eq!(meters.sum(&metric::ATTEMPTS, &[("outcome", "cancelled")]), 1.0);
    assert_eq!(meters.sum(&metric::CALL_CERTAINTY, &[("certainty", "unknown")]), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_detached_call_is_counted_when_it_ends_and_not_when_its_caller_goes() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::Slow { delay: secs(10) })]);
    let (stripe, meters) = metered(&sim, builder().breaker(never_open()).governor(ungoverned()));
    let detached = DetachLayer::default();
    let call = detached.layer(stripe).oneshot(payment("o"));
    tokio::time::timeout(millis(100), call).await.expect_err("its caller is gone");
    assert_eq!((meters.sum(&metric::CALLS, &[]), meters.sum(&metric::CALLS_IN_FLIGHT, &[])), (0.0, 1.0));
    tokio::time::sleep(secs(60)).await;
    assert_eq!(meters.sum(&metric::CALLS, &[("outcome", "success")]), 1.0);
    assert_eq!((meters.sum(&metric::CALLS, &[]), meters.sum(&metric::CALLS_IN_FLIGHT, &[])), (1.0, 0.0));
    assert_eq!(meters.sum(&metric::UNKNOWN, &[]), 0.0);
}

/// Whenever its caller goes: what was counted is what the other side saw.
#[tokio::test(start_paused = true)]
async fn whenever_a_caller_goes_away_everything_adds_up() {
    for moment in (0..3_000).step_by(50) {
        let sim = sim();
        sim.script(
            "o",
            [
                Step::Answer(Canned::rate_limited(stripe_sim::Reason::GlobalRate)),
                Step::Fault(Fault::F3),
                Step::Answer(Canned::server_error()),
            ],
        );
        // It is looked at by the client's audit, when that is dropped.
        let (stripe, meters) = metered_by_default(&sim);
        let _ = tokio::time::timeout(millis(moment), stripe.send(payment("o"))).await;
        let _ = tokio::time::timeout(millis(moment), stripe.send(get("/v1/customers", "read"))).await;
        stripe.telemetry().sample();
        meters.assert_they_add_up();
        assert_eq!(meters.sum(&metric::ATTEMPTS, &[]), sim.log().len() as f64, "{moment}");
    }
}
