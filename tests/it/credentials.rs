//! Calls under an API key that Stripe does not accept fail at once, and those under any other key are not concerned.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Request};
use http_body_util::Full;
use stripe_sim::{Canned, Fault, Latency, Limits, Profile, Sim, Step};
use tokio::time::sleep;
use tokio_test::task;
use tower_stripe::{
    Advice, Certainty, Error, IdempotencyKey, Outcome, Refusal, ResponseExt, StripeTransport,
    auth_gate::AuthGateConfig,
    idempotency::{GuardConfig, IdempotencyConfig},
    vocab::{Stop, time},
};

use crate::support::{
    circuits::{READS, WRITES, all_day, clear, once, read, transitions, weather, write},
    keyed, millis, payment, secs, sim, statuses, stop, stop_of, transport, transport_of, ungoverned,
};

/// The same request under another API key.
fn under(api_key: &str, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let value = HeaderValue::from_str(&format!("Bearer {api_key}")).expect("a header");
    request.headers_mut().insert("authorization", value);
    request
}

/// How long until the key is tried again; a panic if the answer is no such refusal.
#[track_caller]
fn blocked_for<R, E: tower_stripe::TransportError>(answer: Result<R, Error<E>>) -> Duration {
    let Err(error) = answer else { panic!("it was not refused") };
    match error.refusal() {
        Some(Refusal::AuthBlocked { retry_in }) => *retry_in,
        other => panic!("{other:?}: {error:?}"),
    }
}

/// S-96
#[tokio::test(start_paused = true)]
async fn one_401_is_answered_and_not_tried_again() {
    let sim = sim();
    let stripe = transport(&sim);
    let answer = stripe.send(under("sk_test_gone", payment("o"))).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.outcome()), (401, Some(Outcome::Unauthorized)));
    assert_eq!(answer.certainty(), Some(Certainty::Rejected));
    assert_eq!((stop(&answer), answer.advice()), (Some(Stop::Final), Some(Advice::SameKey)));
    assert_eq!((sim.log().len(), stripe.auth_gate().blocked()), (1, 0));
}

/// S-97
#[tokio::test(start_paused = true)]
async fn three_401s_in_a_row_close_the_gate_and_one_call_in_thirty_seconds_looks_again() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    let bad = |request| stripe.send(under("sk_test_gone", request));
    for _ in 0..3 {
        assert_eq!(stripe.auth_gate().blocked(), 0);
        assert_eq!(bad(payment("o")).await.expect("an answer").status(), 401);
    }
    assert_eq!(stripe.auth_gate().blocked(), 1);
    let asked = time::now();
    let error = bad(payment("o")).await.expect_err("blocked");
    assert_eq!(time::now() - asked, Duration::ZERO);
    assert_eq!((error.certainty(), error.attempts()), (Certainty::NotSent, 0));
    assert_eq!((error.advice(), stop_of(&error)), (Advice::NewKey, Some(Stop::Refused)));
    assert_eq!(error.retry_in(), Some(secs(30)));

    // Ten calls a second for five minutes: nine of three thousand are sent.
    for n in 0..3_000_u64 {
        if let Err(error) = bad(write("o")).await {
            let next = 30_000 - (n * 100) % 30_000;
            assert!(blocked_for::<(), _>(Err(error)) <= millis(next), "call {n}");
        }
        sleep(millis(100)).await;
    }
    assert_eq!(statuses(&sim, "o").len(), 3 + 9);
    // It is no outage, and no reason to slow down.
    assert!(stripe.breaker().states().all(|(_, state)| state == tower_stripe::breaker::State::Closed));
}

/// S-97
#[tokio::test(start_paused = true)]
async fn of_a_hundred_callers_one_looks_and_what_it_finds_opens_the_gate() {
    let sim = sim();
    sim.latency(Latency::all(Profile::constant(millis(50))));
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    weather(&sim, all_day().answers(Canned::unauthorized(), 1.0));
    for _ in 0..3 {
        stripe.send(write("o")).await.expect("an answer");
    }
    clear(&sim);
    sleep(secs(30)).await;
    let known = sim.log().len();
    let answers = join_all((0..100).map(|_| stripe.send(write("o")))).await;
    assert_eq!((sim.log().len() - known, answers.iter().filter(|answer| answer.is_ok()).count()), (1, 1));
    assert_eq!(stripe.auth_gate().blocked(), 0);
    for answer in join_all((0..100).map(|_| stripe.send(write("o")))).await {
        answer.expect("the gate is open");
    }
}

/// S-97
#[tokio::test(start_paused = true)]
async fn what_says_nothing_of_the_key_leaves_the_gate_as_it_is() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    // The page of a proxy, ever so often.
    weather(&sim, all_day().answers(Canned::html(401), 1.0));
    for _ in 0..100 {
        assert_eq!(stripe.send(write("o")).await.expect("an answer").status(), 401);
    }
    assert_eq!(stripe.auth_gate().blocked(), 0);
    // Two, and then a sign that the key is accepted, over and over.
    for accepted in [200, 400, 402, 403, 404] {
        for status in [401, 401, accepted] {
            let body = serde_json::json!({"error": {"type": "invalid_request_error"}});
            weather(&sim, all_day().answers(Canned::json(status, &body), 1.0));
            stripe.send(once(write("o"))).await.expect("an answer");
        }
    }
    assert_eq!(stripe.auth_gate().blocked(), 0);
    // What may come before the key was looked at is no such sign.
    for status in [401, 503, 401, 429, 401] {
        let answer = if status == 401 { Canned::unauthorized() } else { Canned::html(status) };
        weather(&sim, all_day().answers(answer, 1.0));
        stripe.send(once(write("o"))).await.expect("an answer");
    }
    assert_eq!(stripe.auth_gate().blocked(), 1);
}

/// S-99
#[tokio::test(start_paused = true)]
async fn a_key_that_is_bad_does_not_shut_out_a_good_one() {
    let sim = Sim::builder().limits(Limits::unlimited()).account("sk_test_new").build();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    let elsewhere = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    // Half of the calls still come under the old key.
    let mut sent_under_old = 0;
    for n in 0..100 {
        let new = stripe.send(under("sk_test_new", payment(&format!("o{n}")))).await.expect("accepted");
        assert_eq!(new.status(), 200);
        sent_under_old += usize::from(stripe.send(under("sk_test_old", payment("old"))).await.is_ok());
    }
    assert_eq!((sent_under_old, stripe.auth_gate().blocked()), (3, 1));
    assert_eq!(sim.log().len(), 103);
    assert_eq!(sim.ledger().total(), 100);
    // Another transport has to find out by itself.
    assert_eq!(elsewhere.auth_gate().blocked(), 0);
    assert_eq!(elsewhere.send(under("sk_test_old", payment("old"))).await.expect("an answer").status(), 401);
    // Once the key is accepted, whoever knows can say so.
    stripe.auth_gate().reset();
    assert_eq!(stripe.auth_gate().blocked(), 0);
    assert_eq!(stripe.send(under("sk_test_old", payment("old"))).await.expect("an answer").status(), 401);
}

/// S-100
#[tokio::test(start_paused = true)]
async fn a_403_is_a_matter_of_one_call() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    let mut told = stripe.breaker().subscribe();
    let body = serde_json::json!({"error": {"type": "invalid_request_error", "message": "not permitted"}});
    weather(&sim, all_day().answers(Canned::json(403, &body), 1.0));
    for _ in 0..200 {
        let answer = stripe.send(payment("o")).await.expect("an answer");
        assert_eq!(
            (answer.outcome(), answer.certainty()),
            (Some(Outcome::Forbidden), Some(Certainty::Rejected))
        );
        assert_eq!((stop(&answer), answer.advice()), (Some(Stop::Final), Some(Advice::SameKey)));
    }
    assert_eq!((sim.log().len(), stripe.auth_gate().blocked()), (200, 0));
    assert_eq!((transitions(&mut told, WRITES), transitions(&mut told, READS)), (vec![], vec![]));
}

/// S-05
#[tokio::test(start_paused = true)]
async fn a_gate_that_closes_before_a_retry_leaves_the_first_attempt_unknown() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    sim.script("o", [Step::Fault(Fault::F3)]);
    let call = tokio::spawn(stripe.send(payment("o")));
    sleep(millis(10)).await;
    weather(&sim, all_day().answers(Canned::unauthorized(), 1.0));
    for _ in 0..3 {
        stripe.send(write("other")).await.expect("an answer");
    }
    clear(&sim);
    // The key is tried again in 30 s, which is within the call's time: it waits, and learns that money moved.
    let answer = call.await.expect("no panic").expect("its retry was worth the wait");
    assert_eq!((answer.certainty(), answer.was_replayed()), (Some(Certainty::Executed), Some(true)));
    assert_eq!((sim.ledger().executions("o"), stripe.auth_gate().blocked()), (1, 0));

    sim.script("hasty", [Step::Fault(Fault::F3)]);
    let hasty = crate::support::with(payment("hasty"), tower_stripe::Deadline::after(secs(10)));
    let call = tokio::spawn(stripe.send(hasty));
    sleep(millis(10)).await;
    weather(&sim, all_day().answers(Canned::unauthorized(), 1.0));
    for _ in 0..3 {
        stripe.send(write("other")).await.expect("an answer");
    }
    let error = call.await.expect("no panic").expect_err("there is no time to wait");
    assert!(matches!(error.refusal(), Some(Refusal::AuthBlocked { .. })));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!(sim.ledger().executions("hasty"), 1);
}

/// S-103
#[tokio::test(start_paused = true)]
async fn one_idempotency_key_for_two_accounts_is_two_keys() {
    let sim = sim();
    let idempotency = IdempotencyConfig::builder().guard(GuardConfig::new());
    let stripe = transport_of(&sim, StripeTransport::builder().idempotency(idempotency));
    let of = |account: &'static str, order: &str| {
        let mut request = keyed(payment(order), "one-key");
        request.headers_mut().insert("stripe-account", HeaderValue::from_static(account));
        request
    };
    for (account, order) in [("acct_a", "a"), ("acct_b", "b")] {
        let answer = stripe.send(of(account, order)).await.expect("another account is another scope");
        assert_eq!((answer.status().as_u16(), answer.was_replayed()), (200, Some(false)));
        assert_eq!(sim.ledger().executions(order), 1);
    }
    let error = stripe.send(of("acct_a", "c")).await.expect_err("within one account it is the same key");
    assert!(matches!(error.refusal(), Some(Refusal::KeyReused)));
    assert_eq!(error.idempotency_key().as_ref().map(IdempotencyKey::as_str), Some("one-key"));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_dropped_anywhere_lets_the_next_call_look_at_once() {
    let mut polls = 0;
    loop {
        let sim = sim();
        sim.latency(Latency::all(Profile::constant(millis(3))));
        let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
        weather(&sim, all_day().answers(Canned::unauthorized(), 1.0));
        for _ in 0..3 {
            stripe.send(read("o")).await.expect("an answer");
        }
        clear(&sim);
        sleep(secs(30)).await;
        let mut look = task::spawn(stripe.send(read("dropped")));
        let mut over = false;
        for _ in 0..polls {
            over = look.poll().is_ready();
            if over {
                break;
            }
            sleep(millis(1)).await;
        }
        drop(look);
        let next = stripe.send(read("next")).await;
        next.unwrap_or_else(|error| panic!("after {polls} polls: {error}"));
        assert_eq!((stripe.auth_gate().blocked(), sim.in_flight()), (0, 0));
        if over {
            break;
        }
        polls += 1;
    }
    assert!(polls >= 4, "it took {polls} polls to its end");
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_is_turned_off_lets_every_call_learn_it_from_stripe() {
    let sim = sim();
    let off = AuthGateConfig::builder().enabled(false);
    let stripe = transport_of(&sim, StripeTransport::builder().auth_gate(off).governor(ungoverned()));
    for _ in 0..10 {
        assert_eq!(stripe.send(under("sk_test_gone", read("o"))).await.expect("an answer").status(), 401);
    }
}
