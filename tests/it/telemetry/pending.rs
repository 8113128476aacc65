//! What is unknown stays pending until it becomes known: by a later call with its key, by somebody who knows, or never.

use http::Request;
use stripe_sim::{Canned, Fault, Step};
use tower_stripe::{
    Deadline, IdempotencyKey, ReportHandle, RetryLimit, StripeTransport,
    idempotency::{GuardConfig, IdempotencyConfig},
    vocab::metric,
};

use super::{builder, metered_by_default};
use crate::support::{
    SimClient, get, keyed, metered, meters::Meters, payment, post, request, secs, sim, with,
};

fn pending(stripe: &StripeTransport<SimClient>, meters: &Meters) -> f64 {
    stripe.telemetry().sample();
    meters.sum(&metric::UNKNOWN_PENDING, &[])
}

fn resolved(meters: &Meters, how: &str) -> f64 {
    meters.sum(&metric::UNKNOWN_RESOLVED, &[("how", how)])
}

#[tokio::test(start_paused = true)]
async fn a_later_call_with_the_key_tells_what_became_of_it() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3)]);
    let (stripe, meters) = metered_by_default(&sim);
    let once = || with(keyed(payment("o"), "order-8812"), RetryLimit::NONE);
    stripe.send(once()).await.expect_err("the answer was lost");
    assert_eq!(meters.sum(&metric::UNKNOWN, &[("class", "money"), ("cause", "transport")]), 1.0);
    assert_eq!(pending(&stripe, &meters), 1.0);
    tokio::time::sleep(secs(60)).await;
    stripe.telemetry().sample();
    assert_eq!(meters.sum(&metric::UNKNOWN_OLDEST, &[]), 60.0);
    let [call] = &stripe.telemetry().pending()[..] else { panic!("one is pending") };
    assert_eq!((call.operation().name(), call.age(), call.calls()), ("payment_intents.create", secs(60), 1));

    stripe.send(once()).await.expect("the stored answer");
    assert_eq!((pending(&stripe, &meters), resolved(&meters, "executed")), (0.0, 1.0));
    assert_eq!(meters.sum(&metric::UNKNOWN_OLDEST, &[]), 0.0);
    assert_eq!(sim.ledger().executions("o"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_decline_of_the_same_key_tells_as_well_and_a_429_does_not() {
    let sim = sim();
    let answers = [Canned::rate_limited(stripe_sim::Reason::GlobalRate), Canned::declined("do_not_honor")];
    sim.script("o", [Step::Fault(Fault::F2)].into_iter().chain(answers.map(Step::Answer)));
    let (stripe, meters) = metered_by_default(&sim);
    let once = || with(keyed(payment("o"), "order-8812"), RetryLimit::NONE);
    stripe.send(once()).await.expect_err("lost");
    stripe.send(once()).await.expect("limited");
    assert_eq!(pending(&stripe, &meters), 1.0, "the first one may have been executed all the same");
    stripe.send(once()).await.expect("declined");
    assert_eq!((pending(&stripe, &meters), resolved(&meters, "rejected")), (0.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn another_account_with_the_same_key_tells_nothing() {
    let headers =
        [("stripe-account", "acct_1"), ("stripe-context", "acct_1"), ("authorization", "Bearer sk_test_2")];
    for (header, value) in headers {
        let sim = sim();
        sim.script("o", [Step::Fault(Fault::F3)]);
        // What the simulator knows of accounts is not what this is about.
        sim.script("p", [Step::Answer(Canned::json(200, &serde_json::json!({})))]);
        let (stripe, meters) = metered_by_default(&sim);
        stripe.send(with(keyed(payment("o"), "order-1"), RetryLimit::NONE)).await.expect_err("lost");
        let mut connected = keyed(payment("p"), "order-1");
        connected.headers_mut().insert(header, value.parse().expect("a header"));
        stripe.send(connected).await.expect("paid, for somebody else");
        assert_eq!(pending(&stripe, &meters), 1.0, "{header}");
    }
}

/// It proves that the first one was *not* executed, if anything.
#[tokio::test(start_paused = true)]
async fn an_execution_on_another_path_with_the_same_key_tells_nothing() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F2)]);
    let (stripe, meters) = metered_by_default(&sim);
    stripe.send(with(keyed(payment("o"), "order-1"), RetryLimit::NONE)).await.expect_err("lost");
    stripe.send(keyed(post("/v1/customers", "c", ""), "order-1")).await.expect("made");
    assert_eq!((pending(&stripe, &meters), resolved(&meters, "executed")), (1.0, 0.0));
    assert_eq!(sim.ledger().executions("o"), 0);

    let path = "/v2/core/event_destinations/ed_1";
    sim.script("update", [Step::Fault(Fault::F2)]);
    sim.script("delete", [Step::Answer(Canned::json(200, &serde_json::json!({})))]);
    let update = keyed(request("POST", path, "update", "{}"), "order-2");
    stripe.send(with(update, RetryLimit::NONE)).await.expect_err("lost");
    stripe.send(keyed(request("DELETE", path, "delete", ""), "order-2")).await.expect("deleted");
    assert_eq!(
        (pending(&stripe, &meters), resolved(&meters, "executed")),
        (2.0, 0.0),
        "nor does another method"
    );
}

/// Nobody scrapes this one: what it says must not depend on that.
#[tokio::test(start_paused = true)]
async fn what_stripe_has_forgotten_is_not_resolved_by_what_it_executes_anew() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3)]);
    let (stripe, meters) = metered_by_default(&sim);
    let once = || with(keyed(payment("o"), "order-8812"), RetryLimit::NONE);
    stripe.send(once()).await.expect_err("lost");
    tokio::time::sleep(secs(25 * 3_600)).await;
    stripe.send(once()).await.expect("paid, once more");
    assert_eq!((resolved(&meters, "executed"), resolved(&meters, "expired")), (0.0, 1.0));

    sim.script("p", [Step::Fault(Fault::F3), Step::Pass, Step::Fault(Fault::F3)]);
    let lost = || with(keyed(payment("p"), "order-8813"), RetryLimit::NONE);
    stripe.send(lost()).await.expect_err("lost");
    tokio::time::sleep(secs(25 * 3_600)).await;
    assert_eq!(stripe.telemetry().pending(), [], "nobody will learn it by the key any more");
}

/// Another call than the handle's may be the same order once more, so that one is a question too, with its key.
#[tokio::test(start_paused = true)]
async fn a_call_that_brought_a_used_handle_is_resolved_by_its_key() {
    let sim = sim();
    let (stripe, meters) = metered_by_default(&sim);
    let handle = ReportHandle::new();
    stripe.send(with(get("/v1/balance", "read"), handle.clone())).await.expect("answered");
    let call = || keyed(payment("o"), "order-8812");
    stripe.send(with(call(), handle)).await.expect_err("it belongs to another call");
    assert_eq!((pending(&stripe, &meters), meters.sum(&metric::UNKNOWN, &[("cause", "in_use")])), (1.0, 1.0));
    stripe.send(call()).await.expect("paid");
    assert_eq!((pending(&stripe, &meters), resolved(&meters, "executed")), (0.0, 1.0));
}

/// It was not its own caller who went away.
#[tokio::test(start_paused = true)]
async fn what_a_call_inherits_is_a_question_because_its_key_is_in_use() {
    let sim = sim();
    sim.script("o", [Step::Hang]);
    let guarded = IdempotencyConfig::builder().guard(GuardConfig::new());
    let (stripe, meters) = metered(&sim, builder().idempotency(guarded));
    let call = |patience| -> Request<_> {
        with(with(keyed(payment("o"), "order-1"), RetryLimit::NONE), Deadline::after(secs(patience)))
    };
    let (first, second) = tokio::join!(stripe.send(call(20)), stripe.send(call(5)));
    assert!(first.is_err() && second.is_err());
    let cause = |cause| meters.sum(&metric::UNKNOWN, &[("cause", cause)]);
    assert_eq!((cause("timeout"), cause("in_use"), cause("cancelled")), (1.0, 1.0, 0.0));
    assert_eq!(pending(&stripe, &meters), 2.0);
}

/// Below `/oauth` there are no keys.
#[tokio::test(start_paused = true)]
async fn calls_without_a_key_are_pending_each_on_its_own() {
    let sim = sim();
    let (stripe, meters) = metered_by_default(&sim);
    let lost = |order| {
        sim.script(order, [Step::Fault(Fault::F3)]);
        let mut request = post("/oauth/token", order, "");
        *request.uri_mut() = "https://connect.stripe.com/oauth/token".parse().expect("a URI");
        stripe.send(with(request, RetryLimit::NONE))
    };
    let (a, b) = tokio::join!(lost("a"), lost("b"));
    assert!(a.is_err() && b.is_err());
    assert_eq!(stripe.telemetry().pending().iter().map(|call| call.calls()).collect::<Vec<_>>(), [1, 1]);
    assert_eq!((pending(&stripe, &meters), stripe.telemetry().resolve_all()), (2.0, 2));
}

#[tokio::test(start_paused = true)]
async fn somebody_who_knows_can_say_so() {
    let sim = sim();
    let (stripe, meters) = metered_by_default(&sim);
    for order in ["a", "b", "c"] {
        sim.script(order, [Step::Fault(Fault::F3)]);
        stripe.send(with(keyed(payment(order), order), RetryLimit::NONE)).await.expect_err("lost");
    }
    let telemetry = stripe.telemetry();
    assert_eq!(telemetry.resolve(&IdempotencyKey::new("b").expect("a key")), 1);
    assert_eq!(telemetry.resolve(&IdempotencyKey::new("b").expect("a key")), 0);
    assert_eq!(pending(&stripe, &meters), 2.0);
    assert_eq!(telemetry.resolve_all(), 2);
    assert_eq!((pending(&stripe, &meters), resolved(&meters, "told")), (0.0, 3.0));
}

#[tokio::test(start_paused = true)]
async fn what_stripe_has_forgotten_is_expired() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3)]);
    let (stripe, meters) = metered_by_default(&sim);
    stripe.send(with(payment("o"), RetryLimit::NONE)).await.expect_err("lost");
    tokio::time::sleep(secs(86_300)).await;
    assert_eq!(pending(&stripe, &meters), 1.0);
    tokio::time::sleep(secs(200)).await;
    assert_eq!((pending(&stripe, &meters), resolved(&meters, "expired")), (0.0, 1.0));
}

/// Whoever repeats them changes nothing.
#[tokio::test(start_paused = true)]
async fn a_read_or_a_delete_whose_answer_was_lost_is_no_question() {
    let sim = sim();
    let (stripe, meters) = metered_by_default(&sim);
    for (order, lost) in [
        ("read", get("/v1/customers/cus_1", "read")),
        ("deleted", request("DELETE", "/v1/customers/cus_1", "deleted", "")),
    ] {
        sim.script(order, [Step::Fault(Fault::F3)]);
        stripe.send(with(lost, RetryLimit::NONE)).await.expect_err("lost");
    }
    assert_eq!((pending(&stripe, &meters), meters.sum(&metric::UNKNOWN, &[])), (0.0, 0.0));
    assert_eq!(meters.sum(&metric::CALL_CERTAINTY, &[("certainty", "unknown")]), 2.0);
}
