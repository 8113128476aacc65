//! The keys of v2 remember what was achieved, not what was answered: a failure is executed again, and proves nothing.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use stripe_sim::{Fault, Sim, Step};
use tower_stripe::{
    Advice, Certainty, IdempotencyKey, Outcome, Refusal, ResponseExt, RetryLimit, StripeTransport,
    idempotency::IdempotencyConfig,
    vocab::{Purpose, Stop, time::WallClock},
};

use crate::support::{
    SimClient, assert_one_key_and_body, bytes, keyed, keys, payment, post, request, secs, sim, statuses,
    stop, stop_of, transport, transport_of, with,
};

fn json_post(path: &str, order: &str, fields: &Value) -> Request<Full<Bytes>> {
    let mut request = post(path, order, fields.to_string());
    let headers = request.headers_mut();
    headers.insert("content-type", "application/json".parse().expect("a value"));
    headers.insert("stripe-version", "2026-10-28.endive".parse().expect("a value"));
    request
}

/// The creation of an account for one order.
fn account(order: &str) -> Request<Full<Bytes>> {
    json_post("/v2/core/accounts", order, &json!({ "display_name": "Ada", "metadata": { "order": order } }))
}

fn broken(executed: bool) -> Step {
    Step::Fault(Fault::StoredServerError { executed })
}

/// S-17
#[tokio::test(start_paused = true)]
async fn a_v2_failure_is_executed_again_until_it_succeeds_and_is_no_replay_then() {
    for (steps, expected) in [
        (vec![broken(false), broken(false)], vec![Some(500), Some(500), Some(200)]),
        (vec![broken(true)], vec![Some(500), Some(200)]),
        (vec![broken(true), broken(false)], vec![Some(500), Some(500), Some(200)]),
    ] {
        let sim = sim();
        sim.script("o", steps);
        let response = transport(&sim).send(account("o")).await.expect("stripe recovers");

        assert_eq!(statuses(&sim, "o"), expected);
        assert_eq!((response.was_replayed(), response.advice()), (Some(false), Some(Advice::Done)));
        assert_eq!((response.certainty(), stop(&response)), (Some(Certainty::Executed), Some(Stop::Final)));
        let purposes = response.report().expect("a report");
        let purposes: Vec<_> = purposes.attempts().iter().skip(1).map(|attempt| attempt.purpose).collect();
        assert!(purposes.iter().all(|purpose| *purpose == Purpose::Retry), "{purposes:?}");
        assert_eq!(sim.ledger().executions("o"), 1);
        assert_one_key_and_body(&sim, "o");
    }
}

/// S-17: as often as attempts allow, and never a stored failure: the key is as good as it was.
#[tokio::test(start_paused = true)]
async fn a_v2_failure_that_lasts_leaves_a_key_to_come_back_with() {
    for executed in [true, false] {
        let sim = sim();
        sim.script("o", vec![broken(executed); 3]);
        let stripe = transport(&sim);
        let response = stripe.send(account("o")).await.expect("stripe answered");
        assert_eq!(statuses(&sim, "o"), [Some(500); 3]);
        assert_eq!(stop(&response), Some(Stop::Attempts));
        assert_eq!((response.certainty(), response.was_replayed()), (Some(Certainty::Unknown), Some(false)));
        assert_eq!(response.advice(), Some(Advice::SameKey));
        assert_eq!(sim.ledger().executions("o"), u32::from(executed));

        let report = response.report().expect("a report");
        let key = report.idempotency_key().expect("the key in force").clone();
        let response = stripe.send(with(account("o"), key)).await.expect("stripe is back");
        assert_eq!((response.status(), response.advice()), (StatusCode::OK, Some(Advice::Done)));
        assert_eq!(sim.ledger().executions("o"), 1);
        assert_one_key_and_body(&sim, "o");
    }
}

/// The 402 speaks of the second attempt alone; in v1, where the key is bound to it, it speaks of both.
#[tokio::test(start_paused = true)]
async fn in_v2_a_402_says_nothing_of_the_attempt_that_timed_out_before_it() {
    let sim = sim();
    let stripe = transport(&sim);
    let late = [Step::Fault(Fault::F5 { delay: secs(60) }), Step::Fault(Fault::NoFunds)];
    sim.script("v2", late.clone());
    let response = stripe.send(account("v2")).await.expect("stripe answered");
    assert_eq!(statuses(&sim, "v2"), [None, Some(402)]);
    assert_eq!(response.outcome(), Some(Outcome::Declined));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Unknown), Some(Advice::SameKey)));
    assert_eq!(sim.ledger().executions("v2"), 0);

    sim.script("v1", late);
    let bound = stripe.send(payment("v1")).await.expect("stripe answered");
    assert_eq!((statuses(&sim, "v1"), bound.outcome()), (vec![None, Some(402)], Some(Outcome::Declined)));
    assert_eq!((bound.certainty(), bound.advice()), (Some(Certainty::Rejected), Some(Advice::NewKey)));

    sim.quiesce().await;
    assert_eq!(sim.ledger().executions("v2"), 1, "the first one landed");
    assert_eq!(sim.ledger().executions("v1"), 0, "the first one landed on a decline");

    // As advised: it has been done, and is not done again.
    let report = response.report().expect("a report");
    let key = report.idempotency_key().expect("the key in force").clone();
    let again = stripe.send(with(account("v2"), key)).await.expect("stripe answered");
    assert_eq!((again.status(), again.certainty()), (StatusCode::OK, Some(Certainty::Executed)));
    assert_eq!(sim.ledger().executions("v2"), 1);
    assert_one_key_and_body(&sim, "v2");
}

/// The same in two calls: the second one knows nothing of the first but its key.
#[tokio::test(start_paused = true)]
async fn in_v2_a_402_to_a_key_of_unknown_history_keeps_it() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F5 { delay: secs(60) }), Step::Fault(Fault::NoFunds)]);
    let pay = || with(keyed(account("o"), "order-8812"), RetryLimit::NONE);
    let error = transport(&sim).send(pay()).await.expect_err("it is given up");
    assert_eq!((error.certainty(), stop_of(&error)), (Certainty::Unknown, Some(Stop::Attempts)));

    let response = transport(&sim).send(pay()).await.expect("stripe answered");
    assert_eq!((statuses(&sim, "o"), sim.ledger().executions("o")), (vec![None, Some(402)], 0));
    assert_eq!(response.advice(), Some(Advice::SameKey));
    sim.quiesce().await;
    assert_eq!(transport(&sim).send(pay()).await.expect("stripe answered").status(), 200);
    assert_eq!(sim.ledger().executions("o"), 1);
}

async fn destination(stripe: &StripeTransport<SimClient>, sim: &Sim) -> String {
    let fields = json!({
        "name": "hook", "type": "webhook_endpoint", "event_payload": "thin",
        "enabled_events": ["v1.billing.meter.no_meter_found"], "metadata": { "order": "made" },
    });
    sim.script("made", [Step::Fault(Fault::F3)]);
    let made = stripe.send(json_post("/v2/core/event_destinations", "made", &fields)).await.expect("made");
    let made: Value = serde_json::from_slice(&bytes(made).await).expect("json");
    format!("/v2/core/event_destinations/{}", made["id"].as_str().expect("an id"))
}

/// S-24
#[tokio::test(start_paused = true)]
async fn a_v2_post_and_a_v2_delete_are_repeated_under_one_key_and_a_v2_get_without() {
    let sim = sim();
    let stripe = transport(&sim);
    let path = destination(&stripe, &sim).await;
    assert_eq!((statuses(&sim, "made"), sim.ledger().executions("made")), (vec![None, Some(200)], 1));
    assert_one_key_and_body(&sim, "made");

    sim.script("read", [Step::Fault(Fault::F3)]);
    stripe.send(request("GET", &path, "read", "")).await.expect("read");
    assert_eq!(keys(&sim, "read"), [None, None]);

    sim.script("gone", [Step::Fault(Fault::F3)]);
    let gone = stripe.send(request("DELETE", &path, "gone", "")).await.expect("deleted");
    assert_eq!((gone.status(), gone.certainty()), (StatusCode::OK, Some(Certainty::Executed)));
    assert_eq!((statuses(&sim, "gone"), sim.ledger().executions("gone")), (vec![None, Some(200)], 1));
    assert_one_key_and_body(&sim, "gone");
    assert_ne!(keys(&sim, "made")[0], keys(&sim, "gone")[0]);
}

/// S-37: by Stripe's own memory of 30 days, and a clock that agrees with it.
#[tokio::test(start_paused = true)]
async fn a_v2_key_finds_what_it_achieved_for_29_days_and_is_not_sent_any_more_then() {
    const DAY: u64 = 24 * 3_600;
    let sim = sim();
    let clock = WallClock::manual(sim.clock().now());
    let settings = IdempotencyConfig::builder().wall_clock(clock.clone());
    let stripe = transport_of(&sim, StripeTransport::builder().idempotency(settings));
    let key = IdempotencyKey::new("order-8812").expect("a valid key").born_at(clock.now());
    let pass = |time| {
        sim.clock().advance(time);
        clock.set(clock.now() + time);
    };
    for days in [secs(0), secs(29 * DAY - 1)] {
        pass(days);
        let response = stripe.send(with(account("o"), key.clone())).await.expect("stripe answered");
        assert_eq!((response.status(), sim.ledger().executions("o")), (StatusCode::OK, 1));
    }
    for days in [secs(1), secs(2 * DAY)] {
        pass(days);
        let error = stripe.send(with(account("o"), key.clone())).await.expect_err("refused");
        assert!(matches!(error.refusal(), Some(Refusal::KeyTooOld { .. })));
        assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::Reconcile));
    }
    assert_eq!((statuses(&sim, "o"), sim.ledger().executions("o")), (vec![Some(200); 2], 1));
    assert_one_key_and_body(&sim, "o");
}
