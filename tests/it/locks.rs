//! What Stripe has locked is waited for, with the same key, and without mistaking it for a limit.

use stripe_sim::{Canned, Fault, Reason, Step};
use tower_stripe::{
    Advice, Certainty, Outcome, ResponseExt, RetryLimit, StripeTransport,
    vocab::{Purpose, Stop, time},
};

use crate::support::{
    assert_one_key_and_body, bytes, gaps, get, keyed, keys, millis, payment, post, request, secs, sim,
    statuses, stop, transport, transport_of, with,
};

/// S-42
#[tokio::test(start_paused = true)]
async fn a_lock_timeout_is_tried_again_soon_and_needs_no_request_id() {
    let sim = sim();
    let without_advice = || Step::Answer(Canned::lock_timeout().header("stripe-should-retry", "perhaps"));
    sim.script("o", [Step::Answer(Canned::lock_timeout()), without_advice()]);
    let response = transport(&sim).send(payment("o")).await.expect("the lock is free in the end");

    assert_eq!(statuses(&sim, "o"), [Some(429), Some(429), Some(200)]);
    let report = response.report().expect("a report");
    for locked in &report.attempts()[..2] {
        assert_eq!((locked.outcome, locked.certainty), (Outcome::LockTimeout, Certainty::Rejected));
        assert_eq!(locked.request_id, None);
    }
    assert_eq!(response.certainty(), Some(Certainty::Executed));
    let gaps = gaps(&sim, "o");
    assert!(millis(250) <= gaps[0] && gaps[0] <= millis(502), "{gaps:?}: the ordinary wait, no limiter's");
    assert!(millis(500) <= gaps[1] && gaps[1] <= millis(1_002), "{gaps:?}");
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

/// S-42
#[tokio::test(start_paused = true)]
async fn a_lock_that_is_never_free_executes_nothing_and_keeps_the_key() {
    let sim = sim();
    sim.script("o", vec![Step::Answer(Canned::lock_timeout()); 3]);
    let response = transport(&sim).send(payment("o")).await.expect("stripe answered");

    assert_eq!(statuses(&sim, "o"), [Some(429); 3]);
    assert_eq!(response.outcome(), Some(Outcome::LockTimeout));
    assert_eq!(response.certainty(), Some(Certainty::Rejected));
    assert_eq!(response.advice(), Some(Advice::SameKey));
    assert_eq!((response.request_id(), stop(&response)), (None, Some(Stop::Attempts)));
    assert!(bytes(response).await.starts_with(b"{\"error\""), "the body is handed on");
    assert_eq!(sim.ledger().executions("o"), 0);
    assert_one_key_and_body(&sim, "o");
}

/// S-45
#[tokio::test(start_paused = true)]
async fn a_conflict_is_retried_with_its_key_and_then_rejected() {
    let sim = sim();
    sim.script("o", vec![Step::Answer(Canned::conflict()); 3]);
    let response = transport(&sim).send(payment("o")).await.expect("stripe answered");

    assert_eq!(statuses(&sim, "o"), [Some(409); 3]);
    assert_eq!(response.outcome(), Some(Outcome::Conflict));
    assert_eq!(response.certainty(), Some(Certainty::Rejected));
    assert_eq!(sim.ledger().executions("o"), 0);
    assert_one_key_and_body(&sim, "o");

    sim.script("cured", [Step::Answer(Canned::conflict())]);
    let response = transport(&sim).send(payment("cured")).await.expect("stripe answered");
    assert_eq!((response.status(), sim.ledger().executions("cured")), (200.try_into().expect("a status"), 1));
}

/// S-45: a 409 that cannot be read may mean that the key is executing.
#[tokio::test(start_paused = true)]
async fn a_conflict_that_cannot_be_read_is_unknown() {
    let sim = sim();
    sim.script("o", vec![Step::Answer(Canned::html(409)); 3]);
    let response = transport(&sim).send(payment("o")).await.expect("something answered");

    assert_eq!(statuses(&sim, "o"), [Some(409); 3]);
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Unknown), Some(Advice::SameKey)));
    assert_eq!(sim.ledger().executions("o"), 0);
    assert_one_key_and_body(&sim, "o");
}

#[tokio::test(start_paused = true)]
async fn conflicts_of_reads_and_v1_deletes_are_retried_without_a_key() {
    let sim = sim();
    for (method, path) in [("GET", "/v1/customers"), ("DELETE", "/v1/customers/cus_1")] {
        sim.script(method, [Step::Answer(Canned::conflict())]);
        let response =
            transport(&sim).send(request(method, path, method, "")).await.expect("stripe answered");
        assert_eq!(statuses(&sim, method), [Some(409), Some(response.status().as_u16())]);
        assert_eq!(keys(&sim, method), [None, None]);
    }
}

/// S-06, by the simulator's own key store: the first request is still executing while the second asks.
#[tokio::test(start_paused = true)]
async fn a_payment_that_outlasts_its_attempt_is_polled_and_charged_once() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::Slow { delay: secs(50) })]);
    let response = transport(&sim).send(payment("o")).await.expect("the key is free in the end");

    assert_eq!(response.was_replayed(), Some(true));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Executed), Some(Advice::Done)));
    let statuses = statuses(&sim, "o");
    assert_eq!((statuses[0], statuses[statuses.len() - 1]), (None, Some(200)));
    let polled = &statuses[1..statuses.len() - 1];
    assert!(polled.len() > 3 && polled.iter().all(|status| *status == Some(409)), "{statuses:?}");
    let report = response.report().expect("a report");
    assert_eq!(report.attempts()[2].purpose, Purpose::Poll, "polls are no attempts");
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

/// S-06
#[tokio::test(start_paused = true)]
async fn polls_use_up_no_attempts() {
    let sim = sim();
    let mut steps = vec![Step::Answer(Canned::key_in_use()); 5];
    steps.extend(vec![Step::Answer(Canned::html(503)); 2]);
    sim.script("o", steps);
    let response = transport(&sim).send(payment("o")).await.expect("stripe is back");

    let report = response.report().expect("a report");
    let purposes: Vec<_> = report.attempts().iter().map(|attempt| attempt.purpose).collect();
    let (first, poll, retry) = (Purpose::First, Purpose::Poll, Purpose::Retry);
    assert_eq!(purposes, [first, poll, poll, poll, poll, poll, retry, retry]);
    assert_eq!(report.attempts_made(), 8, "they are requests all the same");
    assert_eq!((statuses(&sim, "o").len(), sim.ledger().executions("o")), (8, 1));
    assert_one_key_and_body(&sim, "o");
}

/// S-46
#[tokio::test(start_paused = true)]
async fn a_key_that_stays_in_use_is_polled_up_to_the_deadline_and_unknown() {
    let sim = sim();
    sim.script("o", vec![Step::Answer(Canned::key_in_use()); 1_000]);
    let began = time::now();
    let response = transport(&sim).send(payment("o")).await.expect("stripe answered");

    assert_eq!(response.outcome(), Some(Outcome::KeyInUse));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Unknown), Some(Advice::SameKey)));
    assert_eq!(stop(&response), Some(Stop::Deadline));
    let took = time::now() - began;
    assert!(secs(68) <= took && took <= secs(75), "{took:?}");
    let gaps = gaps(&sim, "o");
    assert!(gaps.iter().all(|gap| *gap <= secs(5) + millis(2)), "{gaps:?}");
    assert_eq!(sim.ledger().executions("o"), 0);
    assert_one_key_and_body(&sim, "o");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_wants_no_retry_gets_no_poll() {
    let sim = sim();
    sim.script("o", [Step::Answer(Canned::key_in_use())]);
    let response = transport(&sim).send(with(payment("o"), RetryLimit::NONE)).await.expect("stripe answered");

    assert_eq!(statuses(&sim, "o"), [Some(409)]);
    assert_eq!(stop(&response), Some(Stop::Attempts));
    assert_eq!(response.certainty(), Some(Certainty::Unknown));
}

/// Two processes with one key: the second waits for the first, and nobody is charged twice.
#[tokio::test(start_paused = true)]
async fn two_calls_with_one_key_charge_once_and_get_one_answer() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::Slow { delay: secs(4) })]);
    let (one, two) = (transport(&sim), transport(&sim));
    let (first, second) =
        tokio::join!(one.send(keyed(payment("o"), "k")), two.send(keyed(payment("o"), "k")));
    let (first, second) = (first.expect("paid"), second.expect("paid"));

    assert_eq!((first.was_replayed(), second.was_replayed()), (Some(false), Some(true)));
    assert_eq!(bytes(first).await, bytes(second).await);
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

/// The limit of a single object lasts from minutes to days: waiting for it is no use.
#[tokio::test(start_paused = true)]
async fn the_limit_of_one_object_is_not_retried() {
    let sim = sim();
    sim.script("o", [Step::Answer(Canned::rate_limited(Reason::ResourceSpecific))]);
    let update = post("/v1/payment_intents/pi_1", "o", "description=x");
    let response = transport(&sim).send(update).await.expect("stripe answered");

    assert_eq!((statuses(&sim, "o"), stop(&response)), (vec![Some(429)], Some(Stop::Final)));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Rejected), Some(Advice::SameKey)));
}

#[tokio::test(start_paused = true)]
async fn a_limiter_is_given_more_time_than_a_lock() {
    let sim = sim();
    for reason in
        [Reason::GlobalRate, Reason::GlobalConcurrency, Reason::EndpointRate, Reason::EndpointConcurrency]
    {
        let order = reason.as_str();
        sim.script(order, vec![Step::Answer(Canned::rate_limited(reason)); 2]);
        let stripe = transport_of(&sim, StripeTransport::builder());
        let response = stripe.send(get("/v1/customers", order)).await.expect("stripe answered");
        assert_eq!(statuses(&sim, order), [Some(429), Some(429), Some(200)]);
        assert_eq!(response.attempts(), Some(3));
        let gaps = gaps(&sim, order);
        assert!(secs(1) <= gaps[0] && gaps[0] <= millis(2_002), "{gaps:?}");
        assert!(secs(2) <= gaps[1] && gaps[1] <= millis(4_002), "{gaps:?}");
    }
}
