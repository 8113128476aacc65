//! What Stripe answers arrives as async-stripe's own types; what cannot be read still says whether money moved.

use std::future::ready;

use serde_json::json;
use stripe_client_core::{RequestStrategy, StripeRequest};
use stripe_core::{PaymentIntentStatus, customer::RetrieveCustomer};
use stripe_shared::{ApiErrorsCode, ApiErrorsType};
use stripe_sim::{Canned, Fault, Sim, Step};
use tower_stripe::{
    Advice, Certainty,
    classify::{Remedy, StripeError},
};
use tower_stripe_async_stripe::{Client, Error};

use crate::support::{API_KEY, client, customer, idempotent, payment, payment_with, sim};

async fn pay(sim: &Sim) -> Error {
    payment("o").send(&client(sim)).await.expect_err("no payment intent")
}

fn answering(canned: Canned) -> Sim {
    let sim = sim();
    sim.script("o", vec![Step::Answer(canned); 3]);
    sim
}

fn status(error: &Error) -> Option<u16> {
    error.status().map(|status| status.as_u16())
}

#[tokio::test(start_paused = true)]
async fn a_decline_is_async_stripes_own_error() {
    let sim = sim();
    let declined = payment_with("o", "pm_card_chargeDeclinedInsufficientFunds");
    let error = declined.send(&client(&sim)).await.expect_err("declined");

    let api = error.api_error().expect("Stripe's error");
    assert_eq!((&api.type_, &api.code), (&ApiErrorsType::CardError, &Some(ApiErrorsCode::CardDeclined)));
    assert_eq!(api.decline_code.as_deref(), Some("insufficient_funds"));
    let intent = api.payment_intent.as_ref().expect("the intent that failed");
    assert_eq!(intent.status, PaymentIntentStatus::RequiresPaymentMethod);
    assert!(api.charge.is_some());

    assert_eq!((status(&error), error.attempts()), (Some(402), 1));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Rejected, Advice::NewKey));
    let decline = error.stripe_error().and_then(StripeError::decline).expect("a decline");
    assert_eq!(decline.remedy(), Remedy::AnotherCard);
    assert_eq!((sim.ledger().declines("o"), sim.ledger().executions("o")), (1, 0));

    let id = error.request_id().expect("Stripe named the request");
    assert_eq!(sim.log_of("o")[0].request_id, id.as_str());
    assert_eq!(
        error.to_string(),
        format!("stripe answered 402 (insufficient_funds); stripe executed nothing (last answer: {id})")
    );
}

/// A key that the caller brings may have a past, so that it is not given up.
#[tokio::test(start_paused = true)]
async fn a_decline_under_a_callers_key_keeps_the_key() {
    let sim = sim();
    let declined = payment_with("o", "pm_card_chargeDeclined").customize().request_strategy(idempotent("k"));
    let error = declined.send(&client(&sim)).await.expect_err("declined");
    assert_eq!((error.certainty(), error.advice()), (Certainty::Rejected, Advice::SameKey));
}

#[tokio::test(start_paused = true)]
async fn every_error_of_stripes_has_its_type_code_and_status() {
    for (canned, expected, kind, code) in [
        (Canned::unauthorized(), 401, ApiErrorsType::InvalidRequestError, None),
        (Canned::idempotency_error(), 400, ApiErrorsType::IdempotencyError, None),
        (Canned::lock_timeout(), 429, ApiErrorsType::InvalidRequestError, Some(ApiErrorsCode::LockTimeout)),
        (
            Canned::key_in_use(),
            409,
            ApiErrorsType::InvalidRequestError,
            Some(ApiErrorsCode::IdempotencyKeyInUse),
        ),
        (Canned::server_error(), 500, ApiErrorsType::ApiError, None),
    ] {
        let sim = answering(canned);
        let call = payment("o").customize().request_strategy(RequestStrategy::Once);
        let error = call.send(&client(&sim)).await.expect_err("refused");
        let api = error.api_error().expect("Stripe's error");
        assert_eq!((status(&error), &api.type_), (Some(expected), &kind), "{error}");
        assert_eq!(api.code, code, "{error}");
        assert!(!error.is_unreadable());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_a_404() {
    let sim = sim();
    let error = RetrieveCustomer::new("cus_gone").send(&client(&sim)).await.expect_err("missing");
    let code = error.api_error().and_then(|api| api.code.clone());
    assert_eq!((status(&error), code), (Some(404), Some(ApiErrorsCode::ResourceMissing)));
}

/// It reads an error only if it can read all of it.
#[tokio::test(start_paused = true)]
async fn a_decline_around_an_object_that_async_stripe_cannot_read_is_a_decline_all_the_same() {
    let body = json!({ "error": {
        "type": "card_error", "code": "card_declined", "decline_code": "lost_card", "payment_intent": { "id": "pi_1" },
    } });
    let error = pay(&answering(Canned::json(402, &body))).await;
    assert!(error.api_error().is_none() && error.is_unreadable());
    let stripe = error.stripe_error().expect("the stack reads it");
    assert_eq!(
        (stripe.code(), stripe.decline().map(|decline| decline.as_str())),
        (Some("card_declined"), Some("generic_decline"))
    );
    assert_eq!((status(&error), error.certainty()), (Some(402), Certainty::Rejected));
}

#[tokio::test(start_paused = true)]
async fn the_page_of_something_in_between_is_no_success() {
    let error = pay(&answering(Canned::html(200))).await;
    assert!(error.is_unreadable() && error.api_error().is_none());
    assert_eq!((status(&error), error.certainty()), (Some(200), Certainty::Unknown));
    assert_eq!(error.advice(), Advice::SameKey);
    assert_eq!(
        error.to_string(),
        "the answer with status 200 is not known to be stripe's; stripe may have executed the call"
    );

    let error = pay(&answering(Canned::html(503))).await;
    assert_eq!((status(&error), error.certainty()), (Some(503), Certainty::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_success_that_async_stripe_cannot_read_was_executed() {
    let error =
        pay(&answering(Canned::json(200, &json!({ "id": "pi_1", "object": "payment_intent" })))).await;
    assert!(error.is_unreadable());
    assert_eq!((error.certainty(), error.advice()), (Certainty::Executed, Advice::Done));
}

#[tokio::test(start_paused = true)]
async fn a_success_whose_body_breaks_off_was_executed() {
    for fault in [Fault::F4Cut, Fault::F4Stall] {
        let sim = sim();
        sim.script("o", [Step::Fault(fault)]);
        let error = pay(&sim).await;
        assert!(error.is_unreadable(), "{fault:?}");
        assert_eq!((status(&error), error.certainty()), (Some(200), Certainty::Executed));
        assert_eq!(error.advice(), Advice::Done);
        assert!(std::error::Error::source(&error).is_some());
        assert_eq!((sim.ledger().executions("o"), sim.log_of("o").len()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_an_end_is_not_read_for_ever() {
    let page = vec![b' '; (64 << 20) + 1];
    let error = pay(&answering(Canned::raw(200, page).header("request-id", "req_1"))).await;
    assert!(error.is_unreadable());
    assert_eq!((status(&error), error.certainty()), (Some(200), Certainty::Executed));
}

/// A service that calls itself a transport, and says nothing of its calls.
#[tokio::test(start_paused = true)]
async fn a_success_without_a_report_is_not_believed() {
    let transport = tower::service_fn(|_| ready(Ok::<_, tower_stripe::Error>(customer())));
    let client = Client::new(transport, API_KEY).expect("a valid key");
    let error = RetrieveCustomer::new("cus_1").send(&client).await.expect_err("whose answer is it?");
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::Reconcile));
    assert!(error.report().is_none());
}

/// For functions that return async-stripe's error.
#[cfg(feature = "stripe-error")]
#[tokio::test(start_paused = true)]
async fn each_error_has_its_like_among_async_stripes_own() {
    use stripe::StripeError as Theirs;

    async fn pay(sim: &Sim) -> Result<(), Theirs> {
        payment("o").send(&client(sim)).await?;
        Ok(())
    }

    let declined = pay(&answering(Canned::declined("insufficient_funds"))).await;
    assert!(
        matches!(declined, Err(Theirs::Stripe(api, 402)) if api.code == Some(ApiErrorsCode::CardDeclined))
    );
    assert!(matches!(pay(&answering(Canned::html(503))).await, Err(Theirs::JSONDeserialize(_))));
    assert!(matches!(pay(&answering(Canned::json(200, &json!({})))).await, Err(Theirs::JSONDeserialize(_))));

    let lost = sim();
    lost.script("o", vec![Step::Fault(Fault::F3); 3]);
    assert!(matches!(pay(&lost).await, Err(Theirs::ClientError(_))));
    let hanging = sim();
    hanging.script("o", vec![Step::Hang; 3]);
    assert!(matches!(pay(&hanging).await, Err(Theirs::Timeout)));
    let path = RetrieveCustomer::new("cus_1#").send(&client(&sim())).await.expect_err("no path");
    assert!(matches!(path.into(), Theirs::ConfigError(_)));
}
