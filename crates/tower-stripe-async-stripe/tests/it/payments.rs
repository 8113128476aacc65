//! async-stripe's own requests make payments, unchanged, and none of them twice.

use stripe_core::{
    PaymentIntentCaptureMethod, PaymentIntentStatus,
    customer::CreateCustomer,
    payment_intent::{CapturePaymentIntent, ConfirmPaymentIntent, CreatePaymentIntent},
    refund::CreateRefund,
};
use stripe_sim::{Fault, Step};
use stripe_types::Currency;
use tower_stripe::{Advice, Certainty};

use crate::support::{assert_once, client, keys, of_order, payment, sim};

#[tokio::test(start_paused = true)]
async fn a_payment_goes_from_the_customer_to_the_refund() {
    let sim = sim();
    let client = client(&sim);

    let customer = CreateCustomer::new().email("a@b.test").send(&client).await.expect("created");
    assert_eq!(customer.email.as_deref(), Some("a@b.test"));

    let intent = CreatePaymentIntent::new(1099, Currency::EUR)
        .customer(customer.id.as_str())
        .capture_method(PaymentIntentCaptureMethod::Manual)
        .send(&client)
        .await
        .expect("created");
    assert_eq!(intent.status, PaymentIntentStatus::RequiresPaymentMethod);

    let confirm = ConfirmPaymentIntent::new(intent.id.clone()).payment_method("pm_card_visa");
    let held = confirm.send(&client).await.expect("confirmed");
    assert_eq!((held.status, held.amount_capturable), (PaymentIntentStatus::RequiresCapture, 1099));

    let taken = CapturePaymentIntent::new(intent.id.clone()).send(&client).await.expect("captured");
    assert_eq!((taken.status, taken.amount_received), (PaymentIntentStatus::Succeeded, 1099));

    let refund =
        CreateRefund::new().payment_intent(intent.id.as_str()).send(&client).await.expect("refunded");
    assert_eq!(refund.amount, 1099);

    let id = &intent.id;
    let seen: Vec<_> = sim.log().iter().map(|seen| (seen.path.clone(), seen.executed)).collect();
    let expected = [
        "/v1/customers".to_owned(),
        "/v1/payment_intents".to_owned(),
        format!("/v1/payment_intents/{id}/confirm"),
        format!("/v1/payment_intents/{id}/capture"),
        "/v1/refunds".to_owned(),
    ];
    assert_eq!(seen, expected.map(|path| (path, true)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_is_asked_for_again_with_the_same_key_and_charged_once() {
    for lost in [Fault::F2, Fault::F3] {
        let sim = sim();
        sim.script("o", [Step::Fault(lost), Step::Fault(lost)]);
        let paid = payment("o").send(&client(&sim)).await.expect("paid in the end");
        assert_eq!(paid.status, PaymentIntentStatus::Succeeded);
        assert_once(&sim, "o", 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_payment_that_no_attempt_learns_of_may_have_been_executed() {
    let sim = sim();
    sim.script("o", vec![Step::Fault(Fault::F3); 3]);
    let error = payment("o").send(&client(&sim)).await.expect_err("no answer arrived");
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!((error.attempts(), error.status()), (3, None));
    assert!(error.no_response().is_some_and(tower_stripe::Error::is_transport));
    // What to come back with.
    let key = error.idempotency_key().expect("it has a key");
    assert_eq!(keys(&sim, "o")[0].as_deref(), Some(key.as_str()));

    let paid = payment("o").send(&client(&sim).with(key)).await.expect("replayed");
    assert_eq!(paid.status, PaymentIntentStatus::Succeeded);
    assert_once(&sim, "o", 4);
}

#[tokio::test(start_paused = true)]
async fn each_call_has_a_key_of_its_own() {
    let sim = sim();
    let client = client(&sim);
    for order in ["a", "b"] {
        CreateCustomer::new().metadata(of_order(order)).send(&client).await.expect("created");
    }
    assert_ne!(keys(&sim, "a"), keys(&sim, "b"));
}
