//! No secret can be printed by what a caller holds.

use stripe_client_core::StripeRequest;
use stripe_core::customer::RetrieveCustomer;
use stripe_sim::{Canned, Step};
use tower_stripe::{IdempotencyKey, ReportHandle};

use crate::support::{API_KEY, client, config, configured, idempotent, payment, payment_with, sim};

fn assert_silent(text: &str) {
    for secret in [API_KEY, "order-8812", "_secret_sim", "pm_card", "said by stripe"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clients_debug_shows_no_key() {
    let sim = sim();
    let key = IdempotencyKey::new("order-8812").expect("a key");
    let client = configured(&sim, config().account_id("acct_1".into())).with(key).with(ReportHandle::new());
    let text = format!("{client:?} {client:#?}");
    assert_silent(&text);
    assert!(text.contains("acct_1") && text.contains("Sensitive"), "{text}");
}

/// The error of a decline holds the payment intent, with the secret by which a browser confirms it.
#[tokio::test(start_paused = true)]
async fn an_errors_debug_and_display_show_no_text_of_stripes() {
    let sim = sim();
    let declined = payment_with("o", "pm_card_chargeDeclinedStolenCard").customize();
    let error = declined.request_strategy(idempotent("order-8812")).send(&client(&sim)).await;
    let error = error.expect_err("declined");
    let api = error.api_error().expect("Stripe's error");
    assert_eq!(api.decline_code.as_deref(), Some("stolen_card"));
    assert!(api.payment_intent.as_ref().is_some_and(|intent| intent.client_secret.is_some()));
    let text = format!("{error} {error:?} {error:#?}");
    assert_silent(&text);
    assert!(text.contains("generic_decline") && !text.contains("stolen"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_code_that_nobody_knows_is_not_printed() {
    let body = serde_json::json!({ "error": { "type": "said by stripe", "code": "said by stripe" } });
    let sim = sim();
    sim.script("o", [Step::Answer(Canned::json(400, &body))]);
    let error = payment("o").send(&client(&sim)).await.expect_err("refused");
    assert!(error.api_error().is_some());
    assert_silent(&format!("{error} {error:?}"));
}

#[tokio::test(start_paused = true)]
async fn refused_input_is_not_printed() {
    let sim = sim();
    let key = payment("o").customize().request_strategy(idempotent("order-8812 "));
    let error = key.send(&client(&sim)).await.expect_err("invalid");
    assert_silent(&format!("{error} {error:?}"));
    let error = RetrieveCustomer::new("order-8812#").send(&client(&sim)).await.expect_err("invalid");
    assert_silent(&format!("{error} {error:?}"));
}
