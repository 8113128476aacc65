//! A key that Stripe may have forgotten is never sent, whatever the clocks do.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use stripe_sim::{Fault, Sim, Step};
use tower_stripe::{
    Advice, BoxError, Certainty, IdempotencyKey, Refusal, ResponseExt, StripeTransport,
    idempotency::IdempotencyConfig,
    retry::RetryConfig,
    vocab::{Stop, time::WallClock},
};

use crate::support::{
    SimClient, assert_one_key_and_body, millis, payment, secs, sim, statuses, stop, stop_of, transport_of,
    with,
};

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

/// A transport whose wall clock shows Stripe's time, and that clock.
fn transport_and_clock(sim: &Sim) -> (StripeTransport<SimClient>, WallClock) {
    let clock = WallClock::manual(sim.clock().now());
    let settings = IdempotencyConfig::builder().wall_clock(clock.clone());
    (transport_of(sim, StripeTransport::builder().idempotency(settings)), clock)
}

fn born(birth: SystemTime) -> IdempotencyKey {
    IdempotencyKey::new("order-8812").expect("a valid key").born_at(birth)
}

/// S-35
#[tokio::test(start_paused = true)]
async fn a_key_of_23_hours_is_refused_and_a_younger_one_is_sent() {
    for (age, sent) in [
        (Duration::ZERO, true),
        (22 * HOUR + 59 * MINUTE, true),
        (23 * HOUR - millis(1), true),
        (23 * HOUR, false),
        (23 * HOUR + 59 * MINUTE, false),
        (25 * HOUR, false),
        (24 * 365 * HOUR, false),
    ] {
        let sim = sim();
        let (stripe, clock) = transport_and_clock(&sim);
        let result = stripe.send(with(payment("o"), born(clock.now() - age))).await;
        assert_eq!((sim.log().len(), sim.ledger().total()), (usize::from(sent), u32::from(sent)), "{age:?}");
        match result {
            Ok(response) => assert_eq!(response.certainty(), Some(Certainty::Executed)),
            Err(error) => {
                let expected = Refusal::KeyTooOld { age: Some(age), limit: 23 * HOUR };
                assert_eq!(error.refusal(), Some(&expected));
                assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::Reconcile));
                assert_eq!(error.attempts(), 0);
                let text = error.to_string();
                assert!(text.contains(&format!("{age:.0?} old")) && text.contains("82800s"), "{text}");
            }
        }
    }
}

/// S-37
#[tokio::test(start_paused = true)]
async fn a_v2_key_is_sent_up_to_29_days() {
    let noon = SystemTime::UNIX_EPOCH + 500_000 * HOUR;
    let day = 24 * HOUR;
    for (age, sent) in [(28 * day, true), (29 * day - secs(1), true), (29 * day, false), (30 * day, false)] {
        let clock = WallClock::manual(noon);
        let client = tower::service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, BoxError>(
                Response::builder().header("request-id", "req_1").body(Full::<Bytes>::default())?,
            )
        });
        let settings = IdempotencyConfig::builder().wall_clock(clock);
        let layer = StripeTransport::builder().idempotency(settings).build().expect("valid settings");
        let request = Request::post("https://api.stripe.com/v2/core/accounts")
            .extension(born(noon - age))
            .body(Full::from("{}"))
            .expect("a valid request");
        let result = tower::Layer::layer(&layer, client).send(request).await;
        assert_eq!(result.is_ok(), sent, "{age:?}");
        if let Err(error) = result {
            assert!(matches!(error.refusal(), Some(Refusal::KeyTooOld { limit, .. }) if *limit == 29 * day));
        }
    }
}

/// S-36
#[tokio::test(start_paused = true)]
async fn a_retry_that_would_come_too_late_for_the_key_is_not_made() {
    let sim = sim();
    let (stripe, clock) = transport_and_clock(&sim);
    // The first wait is 250 to 500 ms long; the wall clock stands, so only the other one can tell that it passed.
    sim.script("o", [Step::Fault(Fault::F3)]);
    let birth = clock.now() - (23 * HOUR - millis(200));
    let error = stripe.send(with(payment("o"), born(birth))).await.expect_err("the answer is lost");

    assert!(error.is_transport());
    assert_eq!(stop_of(&error), Some(Stop::KeyAge));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!((statuses(&sim, "o"), sim.ledger().executions("o")), (vec![None], 1));
    clock.set(clock.now() + secs(1));
    assert_eq!(error.advice(), Advice::Reconcile, "a moment later the key is no good any more");
}

/// S-36: the key grows old during the attempt itself.
#[tokio::test(start_paused = true)]
async fn a_key_that_grew_old_in_flight_is_not_sent_again() {
    let sim = sim();
    let (stripe, clock) = transport_and_clock(&sim);
    sim.script("o", [Step::Fault(Fault::F5 { delay: secs(50) })]);
    let birth = clock.now() - (23 * HOUR - secs(10));
    let error = stripe.send(with(payment("o"), born(birth))).await.expect_err("it times out");

    assert!(error.is_timeout());
    assert_eq!(stop_of(&error), Some(Stop::KeyAge));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::Reconcile));
    sim.quiesce().await;
    assert_eq!((statuses(&sim, "o").len(), sim.ledger().executions("o")), (1, 1));
}

/// S-36 and S-39: the wall clock jumps ahead while the call waits for its retry.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_during_a_wait_stops_the_retry() {
    let sim = sim();
    let (stripe, clock) = transport_and_clock(&sim);
    sim.script("o", [Step::Fault(Fault::F3)]);
    let call = tokio::spawn(stripe.send(payment("o")));
    tokio::time::sleep(millis(100)).await;
    clock.set(clock.now() + 25 * HOUR);
    let error = call.await.expect("no panic").expect_err("the retry is refused");

    assert!(matches!(error.refusal(), Some(Refusal::KeyTooOld { age: Some(age), .. }) if *age == 25 * HOUR));
    assert_eq!(stop_of(&error), Some(Stop::KeyAge));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::Reconcile));
    assert_eq!(error.attempts(), 1);
    assert_eq!((statuses(&sim, "o"), sim.ledger().executions("o")), (vec![None], 1));
}

/// S-38
#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_back_during_a_wait_stops_the_retry() {
    let sim = sim();
    let (stripe, clock) = transport_and_clock(&sim);
    sim.script("o", [Step::Fault(Fault::F3)]);
    let call = tokio::spawn(stripe.send(with(payment("o"), born(clock.now() - HOUR))));
    tokio::time::sleep(millis(100)).await;
    clock.set(clock.now() - 2 * HOUR);
    let error = call.await.expect("no panic").expect_err("the retry is refused");

    assert!(matches!(error.refusal(), Some(Refusal::KeyTooOld { age: None, .. })));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::Reconcile));
    assert_eq!((statuses(&sim, "o").len(), sim.ledger().executions("o")), (1, 1));
}

/// S-38
#[tokio::test(start_paused = true)]
async fn a_key_born_in_the_future_is_refused() {
    let sim = sim();
    let (stripe, clock) = transport_and_clock(&sim);
    let error = stripe.send(with(payment("o"), born(clock.now() + 2 * HOUR))).await.expect_err("refused");

    assert_eq!(error.refusal(), Some(&Refusal::KeyTooOld { age: None, limit: 23 * HOUR }));
    assert_eq!(error.certainty(), Certainty::NotSent);
    assert!(sim.log().is_empty());
}

/// The hour that a call may last at most is an hour that a key may grow older: the retries of one call never go
/// past the age at which Stripe forgets.
#[tokio::test(start_paused = true)]
async fn no_request_carries_a_key_that_is_older_than_its_limit() {
    let sim = sim();
    let clock = WallClock::manual(sim.clock().now());
    let retry = RetryConfig::builder().max_attempts(u32::MAX.try_into().expect("not zero")).deadline(HOUR);
    let idempotency = IdempotencyConfig::builder().wall_clock(clock.clone());
    let stripe = transport_of(&sim, StripeTransport::builder().idempotency(idempotency).retry(retry));
    sim.script("o", vec![Step::Fault(Fault::F2); 2_000]);
    let birth = clock.now() - (23 * HOUR - 5 * MINUTE);
    let error = stripe.send(with(payment("o"), born(birth))).await.expect_err("every answer is lost");

    assert_eq!(stop_of(&error), Some(Stop::KeyAge));
    let log = sim.log_of("o");
    let first = log.first().expect("a first request").arrived;
    assert!(log.len() > 20, "only {} requests", log.len());
    assert!(log.iter().all(|seen| seen.arrived - first < 5 * MINUTE));
    assert_one_key_and_body(&sim, "o");
}

/// A birth is what makes the age known: without one a caller's key counts from this call on.
#[tokio::test(start_paused = true)]
async fn a_key_of_unknown_birth_is_sent() {
    let sim = sim();
    let (stripe, _) = transport_and_clock(&sim);
    let key = IdempotencyKey::new("order-8812").expect("a valid key");
    let response = stripe.send(with(payment("o"), key)).await.expect("paid");
    assert_eq!((stop(&response), sim.ledger().executions("o")), (Some(Stop::Final), 1));
}
