//! Sequences that a careless rule gets wrong: each ends in a second charge, or in a question that is never asked.

use http::StatusCode;
use serde_json::json;
use stripe_sim::{Canned, Fault, Reason, Step};
use tower_stripe::{
    Advice, AttemptTimeout, Certainty, IdempotencyKey, Outcome, ResponseExt, RetryLimit, vocab::Stop,
};

use crate::support::{
    assert_one_key_and_body, keyed, keys, payment, post, secs, sim, statuses, stop, stop_of, transport, with,
};

fn late(by: u64) -> Step {
    Step::Fault(Fault::F5 { delay: secs(by) })
}

fn invalid(status: u16) -> Canned {
    Canned::json(status, &json!({"error": {"type": "invalid_request_error", "message": "no"}}))
}

/// The first call's request is still on its way. To the second call, in another process, all that Stripe says of it is
/// about itself; only the key ties the two together, and it must not be let go.
#[tokio::test(start_paused = true)]
async fn no_refusal_of_a_second_call_lets_go_of_a_key_whose_first_call_is_unresolved() {
    let rejected = Some(Certainty::Rejected);
    for (what, step, certainty) in [
        ("limited", Step::Answer(Canned::rate_limited(Reason::GlobalRate)), rejected),
        ("limited for the object", Step::Answer(Canned::rate_limited(Reason::ResourceSpecific)), rejected),
        ("locked", Step::Answer(Canned::lock_timeout()), rejected),
        ("unauthorised", Step::Answer(Canned::unauthorized()), rejected),
        ("forbidden", Step::Answer(invalid(403)), rejected),
        ("invalid", Step::Answer(invalid(400)), rejected),
        ("not found", Step::Answer(invalid(404)), rejected),
        ("in conflict", Step::Answer(Canned::conflict()), rejected),
        ("in use", Step::Answer(Canned::key_in_use()), Some(Certainty::Unknown)),
        ("answered by a proxy", Step::Answer(Canned::html(200)), Some(Certainty::Unknown)),
        ("not connected", Step::Fault(Fault::F0), None),
        ("handed back", Step::Fault(Fault::RefusedStream), None),
    ] {
        let sim = sim();
        let again = if what == "handed back" { 2 } else { 1 };
        sim.script("o", [late(120)].into_iter().chain(vec![step; again]));
        let first = with(keyed(payment("o"), "order-8812"), AttemptTimeout::new(secs(5)));
        let error = transport(&sim).send(with(first, RetryLimit::NONE)).await.expect_err("it is given up");
        assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));

        let second = with(keyed(payment("o"), "order-8812"), RetryLimit::NONE);
        let (told, advice) = match transport(&sim).send(second).await {
            Ok(response) => (response.certainty(), response.advice()),
            Err(error) => {
                assert_eq!(error.certainty(), Certainty::NotSent, "{what}");
                (None, Some(error.advice()))
            }
        };
        assert_eq!((told, advice), (certainty, Some(Advice::SameKey)), "{what}");
        assert_eq!(sim.ledger().executions("o"), 0, "{what}");
        sim.quiesce().await;
        assert_eq!(sim.ledger().executions("o"), 1, "{what}: the first one landed");

        let third = transport(&sim).send(keyed(payment("o"), "order-8812")).await.expect("answered");
        assert_eq!((third.was_replayed(), third.advice()), (Some(true), Some(Advice::Done)), "{what}");
        assert_eq!(sim.ledger().executions("o"), 1, "{what}");
        assert_one_key_and_body(&sim, "o");
    }
}

/// The other parameters of a mismatch may be those of the call that is unresolved: no repetition helps.
#[tokio::test(start_paused = true)]
async fn a_mismatch_of_a_second_call_is_to_be_looked_up() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3)]);
    let first = with(keyed(payment("o"), "order-8812"), RetryLimit::NONE);
    transport(&sim).send(first).await.expect_err("the answer is lost");
    let other = post("/v1/payment_intents", "other", "amount=2099&currency=eur&metadata[order]=other");
    let response = transport(&sim).send(keyed(other, "order-8812")).await.expect("stripe answered");
    assert_eq!(response.outcome(), Some(Outcome::KeyMismatch));
    assert_eq!(response.advice(), Some(Advice::Reconcile));
    assert_eq!((statuses(&sim, "other"), sim.ledger().total()), (vec![Some(400)], 1));
}

/// S-46: a process dies while Stripe executes; the next one finds the key in use, and has no time to see the end of it.
#[tokio::test(start_paused = true)]
async fn a_key_in_use_up_to_the_deadline_after_a_restart_is_unknown_and_settled_later() {
    let sim = sim();
    let pay = || with(payment("o"), IdempotencyKey::derive("pay", &["8812", "1"]));
    sim.script("o", [Step::Fault(Fault::Slow { delay: secs(300) })]);
    let dying = tokio::time::timeout(secs(3), transport(&sim).send(pay())).await;
    assert!(dying.is_err(), "it dies in the middle");

    let response = transport(&sim).send(pay()).await.expect("stripe answered");
    assert_eq!((response.outcome(), stop(&response)), (Some(Outcome::KeyInUse), Some(Stop::Deadline)));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Unknown), Some(Advice::SameKey)));
    let seen = statuses(&sim, "o");
    assert!(seen.len() > 10 && seen[1..].iter().all(|status| *status == Some(409)), "{seen:?}");

    sim.quiesce().await;
    let response = transport(&sim).send(pay()).await.expect("stripe answered");
    assert_eq!((response.was_replayed(), response.advice()), (Some(true), Some(Advice::Done)));
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

/// Stripe may say that it is worth another try; without a key nothing would tell the second try from a second order.
#[tokio::test(start_paused = true)]
async fn an_unkeyed_post_is_not_sent_again_though_stripe_says_so() {
    for (order, answer, certainty, advice) in [
        ("500", Canned::server_error(), Certainty::Unknown, Advice::Reconcile),
        ("503", Canned::html(503), Certainty::Unknown, Advice::Reconcile),
        ("409", Canned::conflict(), Certainty::Rejected, Advice::Resend),
        ("424", Canned::external_dependency(), Certainty::Unknown, Advice::Reconcile),
    ] {
        let sim = sim();
        sim.script(order, [Step::Answer(answer.header("stripe-should-retry", "true"))]);
        let response = transport(&sim)
            .send(post("/oauth/token", order, "grant_type=authorization_code&code=ac_1"))
            .await
            .expect("stripe answered");
        assert_eq!((sim.log().len(), stop(&response)), (1, Some(Stop::Unkeyed)), "{order}");
        assert_eq!((keys(&sim, order), response.attempts()), (vec![None], Some(1)));
        assert_eq!((response.certainty(), response.advice()), (Some(certainty), Some(advice)), "{order}");
    }

    // What proves that nothing was done is repeated, as ever.
    let sim = sim();
    let limited = Canned::rate_limited(Reason::GlobalRate).header("stripe-should-retry", "true");
    sim.script("429", [Step::Answer(limited)]);
    let code = "grant_type=authorization_code&code=ac_1";
    let response = transport(&sim).send(post("/oauth/token", "429", code)).await.expect("stripe answered");
    assert_eq!((response.status(), statuses(&sim, "429")), (StatusCode::OK, vec![Some(429), Some(200)]));
    sim.script("lost", [Step::Fault(Fault::F3)]);
    let code = "grant_type=authorization_code&code=ac_2";
    let error = transport(&sim).send(post("/oauth/token", "lost", code)).await.expect_err("it is lost");
    assert_eq!((sim.log_of("lost").len(), stop_of(&error)), (1, Some(Stop::Unkeyed)));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::Reconcile));
}

/// The page of a proxy after an attempt that timed out: a 200 that settles nothing.
#[tokio::test(start_paused = true)]
async fn a_page_of_a_proxy_settles_nothing_of_the_attempt_before_it() {
    let sim = sim();
    sim.script("o", [late(90), Step::Answer(Canned::html(200))]);
    let response = transport(&sim).send(payment("o")).await.expect("something answered");
    assert_eq!((response.status(), response.outcome()), (StatusCode::OK, Some(Outcome::Foreign)));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Unknown), Some(Advice::SameKey)));
    assert_eq!((statuses(&sim, "o"), sim.ledger().executions("o")), (vec![None, Some(200)], 0));
    sim.quiesce().await;
    assert_eq!(sim.ledger().executions("o"), 1, "the first one landed");
}

/// S-18c: a 400 that is stored nowhere, since Stripe refused before it executed.
#[tokio::test(start_paused = true)]
async fn a_zombie_that_lands_a_minute_after_a_plain_400_is_the_only_charge() {
    let sim = sim();
    sim.script("o", [late(95), Step::Answer(invalid(400))]);
    let stripe = transport(&sim);
    let response = stripe.send(payment("o")).await.expect("stripe answered");

    assert_eq!(response.outcome(), Some(Outcome::InvalidRequest));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Unknown), Some(Advice::SameKey)));
    let answered = sim.log_of("o")[1].arrived;
    let key =
        response.report().and_then(|report| report.idempotency_key().cloned()).expect("the key in force");
    sim.quiesce().await;
    let landed = tower_stripe::vocab::time::now() - answered;
    assert!(landed >= secs(60), "{landed:?}");
    assert_eq!(sim.ledger().executions("o"), 1, "it landed");

    // Whoever took a new key for what "was rejected" would pay twice; as advised, it is found out.
    let response = stripe.send(with(payment("o"), key)).await.expect("stripe answered");
    assert_eq!((response.was_replayed(), response.advice()), (Some(true), Some(Advice::Done)));
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

/// S-94: a loop around the transport multiplies requests, not charges, as long as the key is the caller's.
#[tokio::test(start_paused = true)]
async fn a_loop_around_the_transport_charges_once_under_a_callers_key() {
    let sim = sim();
    let stripe = transport(&sim);
    sim.script("o", vec![Step::Fault(Fault::F3); 5]);
    let request = keyed(payment("o"), "order-8812");
    let mut answer = stripe.clone().send(request.clone()).await;
    for _ in 0..2 {
        if answer.is_err() {
            answer = stripe.clone().send(request.clone()).await;
        }
    }
    let response = answer.expect("the sixth request is answered");
    assert_eq!((response.was_replayed(), statuses(&sim, "o").len()), (Some(true), 6));
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}
