//! Not only that something is counted, but how much.

use std::{num::NonZeroU32, time::SystemTime};

use http::{Request, Response};
use http_body_util::{Empty, Full};
use stripe_sim::{Canned, Fault, Reason, Step};
use tower::{Layer, ServiceExt, service_fn};
use tower_stripe::{
    BoxError, IdempotencyKey, RetryLimit,
    governor::{Bucket, GovernorConfig, Limit},
    idempotency::IdempotencyConfig,
    telemetry::TelemetryLayer,
    vocab::{metric, time::WallClock},
};

use super::{builder, metered_by_default};
use crate::support::{keyed, metered, meters::Meters, never_open, payment, post, secs, sim, with};

#[tokio::test(start_paused = true)]
async fn a_wait_is_the_wait_an_attempt_the_exchange_and_a_call_both() {
    let sim = sim();
    let slow = Limit::per_second(NonZeroU32::MIN).burst(2);
    let governor = GovernorConfig::builder().limit(Bucket::Global, slow);
    let (stripe, meters) = metered(&sim, builder().governor(governor));
    for order in ["first", "second"] {
        stripe.send(payment(order)).await.expect("paid");
    }
    let all = || {
        let of = [&metric::GOVERNOR_WAIT, &metric::ATTEMPT_DURATION, &metric::CALL_DURATION];
        of.map(|metric| meters.seconds(metric, &[]))
    };
    let before = all();
    sim.script("o", [Step::Answer(Canned::json(200, &serde_json::json!({})).after(secs(5)))]);
    stripe.send(payment("o")).await.expect("paid");
    let took: Vec<_> = all().iter().zip(before).map(|(after, before)| (after - before).round()).collect();
    assert_eq!(took, [1.0, 5.0, 6.0]);
}

#[tokio::test(start_paused = true)]
async fn what_a_429_and_retries_leave_is_seen_in_the_rate_and_in_the_budget() {
    let sim = sim();
    sim.script("limited", [Step::Answer(Canned::rate_limited(Reason::GlobalRate))]);
    sim.script("broken", std::iter::repeat_n(Step::Answer(Canned::server_error()), 3));
    let (stripe, meters) = metered_by_default(&sim);
    stripe.send(payment("o")).await.expect("paid");
    assert_eq!(meters.sum(&metric::CALLS_RETRIED, &[]), 0.0, "one attempt is no retry");
    stripe.send(with(payment("limited"), RetryLimit::NONE)).await.expect("answered");
    stripe.send(payment("broken")).await.expect("answered");
    stripe.telemetry().sample();
    let rate = |kind| meters.sum(&metric::GOVERNOR_RATE, &[("mode", "sandbox"), ("kind", kind)]);
    assert!(rate("effective") < rate("configured") && rate("effective") > 0.0);
    let left = meters.sum(&metric::RETRY_BUDGET, &[]);
    assert!(left < 1.0 && left > 0.0, "{left}");
    let stopped = |limit| meters.sum(&metric::RETRIES_STOPPED, &[("class", "money"), ("limit", limit)]);
    assert_eq!(stopped("attempts"), 1.0, "of the 429; a second 500 is final by itself");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_accepted_is_seen_to_be_blocked() {
    let sim = sim();
    let (stripe, meters) = metered_by_default(&sim);
    for order in ["a", "b", "c"] {
        sim.script(order, [Step::Answer(Canned::unauthorized())]);
        stripe.send(payment(order)).await.expect("answered");
    }
    stripe.telemetry().sample();
    assert_eq!(meters.sum(&metric::AUTH_BLOCKED, &[]), 1.0);
    stripe.auth_gate().reset();
    stripe.telemetry().sample();
    assert_eq!(meters.sum(&metric::AUTH_BLOCKED, &[]), 0.0);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_key_is_counted_also_where_stripe_says_so() {
    let sim = sim();
    let (stripe, meters) = metered_by_default(&sim);
    stripe.send(keyed(post("/v1/customers", "a", "name=a"), "order-1")).await.expect("made");
    stripe.send(keyed(post("/v1/customers", "b", "name=b"), "order-1")).await.expect("answered");
    assert_eq!(meters.sum(&metric::KEY_ERRORS_TOTAL, &[("kind", "mismatch_remote")]), 1.0);
}

/// The attempt's own outcome is in the attempts; the call ended with the refusal.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_after_an_attempt_ended_refused_and_is_a_question() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3), Step::Answer(Canned::server_error())]);
    let clock = WallClock::manual(SystemTime::UNIX_EPOCH + secs(1_800_000_000));
    let idempotency = IdempotencyConfig::builder().wall_clock(clock.clone());
    let (stripe, meters) = metered(&sim, builder().idempotency(idempotency).breaker(never_open()));
    let key = IdempotencyKey::new("order-1").expect("a key").born_at(clock.now());
    let late = async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        clock.set(clock.now() + secs(86_400));
    };
    let (result, ()) = tokio::join!(stripe.send(with(payment("o"), key)), late);
    result.expect_err("its key has grown too old while it waited");
    assert_eq!(meters.sum(&metric::ATTEMPTS, &[("outcome", "reset")]), 1.0);
    assert_eq!(meters.sum(&metric::REFUSED, &[("refusal", "key_too_old")]), 1.0);
    assert_eq!(meters.sum(&metric::CALLS, &[("outcome", "refused")]), 1.0);
    assert_eq!(meters.sum(&metric::CALL_DURATION, &[("result", "invalid")]), 1.0);
    assert_eq!(meters.sum(&metric::UNKNOWN, &[("cause", "transport")]), 1.0);
}

#[tokio::test(start_paused = true)]
async fn those_that_have_no_room_are_resolved_as_displaced() {
    let lost = service_fn(|_: Request<Full<bytes::Bytes>>| async {
        Err::<Response<Empty<bytes::Bytes>>, BoxError>("the connection is gone".into())
    });
    let meters = Meters::default();
    let layer = TelemetryLayer::new(meters.telemetry().build().expect("valid settings"));
    for _ in 0..4_100 {
        layer.layer(lost).oneshot(payment("o")).await.expect_err("lost");
    }
    layer.handle().sample();
    assert_eq!(meters.sum(&metric::UNKNOWN, &[]), 4_100.0);
    assert_eq!(meters.sum(&metric::UNKNOWN_RESOLVED, &[("how", "displaced")]), 4.0);
    assert_eq!(meters.sum(&metric::UNKNOWN_PENDING, &[]), 4_096.0);
}
