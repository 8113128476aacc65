//! What may be asked of callers' keys: that they are there, that their age is known, and that each is for one request.

use stripe_sim::Sim;
use tower_stripe::{
    Advice, Certainty, IdempotencyKey, Operation, Refusal, ResponseExt, StripeTransport,
    idempotency::{IdempotencyBuilder, IdempotencyConfig},
    vocab::time::WallClock,
};

use crate::support::{SimClient, get, keyed, payment, post, sim, transport_of, with};

fn stripe_with(sim: &Sim, settings: IdempotencyBuilder) -> StripeTransport<SimClient> {
    transport_of(sim, StripeTransport::builder().idempotency(settings))
}

// === what money asks of its keys ===

/// S-31
#[tokio::test(start_paused = true)]
async fn money_without_a_callers_key_is_refused_where_one_is_required() {
    let sim = sim();
    let stripe = stripe_with(&sim, IdempotencyConfig::builder().require_explicit_key(true));
    let read = Operation::new("customers.list").expect("an operation");
    // No name that the caller gives it makes a payment another thing.
    for request in [payment("o"), with(payment("o"), read)] {
        let error = stripe.send(request).await.expect_err("refused");
        assert_eq!(error.refusal(), Some(&Refusal::ExplicitKeyRequired));
        assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::Resend));
        assert_eq!((error.attempts(), error.idempotency_key()), (0, None));
    }
    assert!(sim.log().is_empty());

    stripe.send(keyed(payment("o"), "mine")).await.expect("paid");
    assert_eq!(sim.ledger().executions("o"), 1);
    // What moves no money, and what Stripe heeds no key on, is as ever.
    stripe.send(post("/v1/customers", "c", "name=x")).await.expect("answered");
    stripe.send(get("/v1/customers", "l")).await.expect("answered");
    assert_eq!(sim.log().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn money_with_a_key_of_unknown_birth_is_refused_where_one_is_required() {
    let sim = sim();
    let stripe = stripe_with(&sim, IdempotencyConfig::builder().require_key_birth(true));
    let mut in_header = payment("o");
    in_header.headers_mut().insert("idempotency-key", "mine".parse().expect("a header"));
    for request in [in_header, keyed(payment("o"), "mine")] {
        let error = stripe.send(request).await.expect_err("refused");
        assert_eq!(error.refusal(), Some(&Refusal::KeyBirthUnknown));
        assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::SameKey));
        assert_eq!(error.idempotency_key().as_ref().map(IdempotencyKey::as_str), Some("mine"));
    }
    assert!(sim.log().is_empty());

    let key = |name: &str| IdempotencyKey::new(name).expect("a key");
    let born = key("mine").born_at(WallClock::SYSTEM.now());
    for (order, request) in [
        ("born", with(payment("born"), born)),
        ("fresh", with(payment("fresh"), key("new").fresh())),
        ("generated", payment("generated")),
    ] {
        let response = stripe.send(request).await.expect("paid");
        assert_eq!(sim.ledger().executions(order), 1);
        // The key that is handed back has a birth, unless nobody ever knew it.
        let report = response.report().expect("a report");
        assert!(report.idempotency_key().is_some_and(|key| key.birth().is_some()), "{order}");
    }
    stripe.send(keyed(post("/v1/customers", "c", "name=x"), "other")).await.expect("answered");
    assert_eq!(sim.log().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_required_unless_it_is_asked_for() {
    let sim = sim();
    let stripe = stripe_with(&sim, IdempotencyConfig::builder());
    stripe.send(payment("o")).await.expect("paid");
    stripe.send(keyed(payment("p"), "mine")).await.expect("paid");
    assert_eq!(sim.ledger().total(), 2);
}
