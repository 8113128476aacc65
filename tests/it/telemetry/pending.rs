//! What is unknown stays pending until it becomes known: by a later call with its key, by somebody who knows, or never.

use stripe_sim::{Canned, Fault, Step};
use tower_stripe::{IdempotencyKey, RetryLimit, StripeTransport, vocab::metric};

use super::metered_by_default;
use crate::support::{SimClient, get, keyed, meters::Meters, payment, request, secs, sim, with};

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
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3)]);
    let (stripe, meters) = metered_by_default(&sim);
    stripe.send(with(keyed(payment("o"), "order-1"), RetryLimit::NONE)).await.expect_err("lost");
    let mut connected = keyed(payment("p"), "order-1");
    connected.headers_mut().insert("stripe-account", "acct_1".parse().expect("a header"));
    stripe.send(connected).await.expect("paid, for somebody else");
    assert_eq!(pending(&stripe, &meters), 1.0);
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
