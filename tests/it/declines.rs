//! A declined payment is told with what to do about it, is never tried again by the stack, warns no thief, and is no
//! failure to whoever traces.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use stripe_sim::{Canned, Fault, Sim, Step};
use tower::{Layer, ServiceExt};
use tower_http::trace::TraceLayer;
use tower_stripe::{
    Certainty, Operation, Outcome, ResponseExt, StripeTransport,
    classify::{
        AdviceCode, ClassifyLayer, Decline, DeclineCode, Meaning, MessageKey, Remedy, StripeError,
        StripeMakeClassifier, TryAgain,
    },
};

use crate::support::{
    API_KEY, NetworkError, client, get, keyed, notes::Notes, payment, payment_with, post, sim, statuses,
    transport, with,
};

fn canned(status: u16, error: &Value) -> Step {
    Step::Answer(Canned::json(status, &json!({ "error": error })))
}

/// A card that Stripe declines in its own words.
fn declined(decline_code: &str, advice_code: Option<&str>) -> Step {
    canned(
        402,
        &json!({
            "type": "card_error",
            "code": "card_declined",
            "decline_code": decline_code,
            "advice_code": advice_code,
            "message": "Your card 4242424242424242 was declined.",
        }),
    )
}

/// What comes of a payment, and what the other side saw of it.
async fn decline_of(sim: &Sim, order: &str) -> (Decline, Vec<Option<u16>>) {
    let response = transport(sim).send(payment(order)).await.expect("answered");
    assert_eq!(
        (response.outcome(), response.certainty()),
        (Some(Outcome::Declined), Some(Certainty::Rejected))
    );
    assert_eq!(Meaning::of(&response), Some(Meaning::Business));
    let decline = StripeError::of(&response).and_then(StripeError::decline).expect("a decline");
    (decline, statuses(sim, order))
}

#[tokio::test(start_paused = true)]
async fn a_declined_card_comes_with_its_advice() {
    let sim = sim();
    for (card, code, message) in [
        ("pm_card_chargeDeclined", DeclineCode::GenericDecline, MessageKey::CardDeclined),
        (
            "pm_card_chargeDeclinedInsufficientFunds",
            DeclineCode::InsufficientFunds,
            MessageKey::InsufficientFunds,
        ),
    ] {
        let response = transport(&sim).send(payment_with(card, card)).await.expect("answered");
        let decline = StripeError::of(&response).and_then(StripeError::decline).expect("a decline");
        assert_eq!((decline.code(), decline.message()), (code, message));
        assert_eq!(decline.advice_code(), Some(AdviceCode::TryAgainLater));
        assert_eq!(decline.try_again(), TryAgain::Later);
        assert_eq!(statuses(&sim, card), [Some(402)]);
    }
}

/// Whether it may be tried again is for the shop to say, with another key.
#[tokio::test(start_paused = true)]
async fn no_decline_is_tried_again_by_the_stack_whatever_it_advises() {
    let sim = sim();
    for (number, decline_code) in DeclineCode::ALL.iter().map(|code| code.as_str()).enumerate() {
        let advice = AdviceCode::ALL.get(number % 4).map(|advice| advice.as_str());
        let order = format!("order-{number}");
        sim.script(&order, [declined(decline_code, advice)]);
        let (decline, statuses) = decline_of(&sim, &order).await;
        assert_eq!(decline.code().as_str(), decline_code);
        assert_eq!(statuses, [Some(402)], "{decline_code}");
        assert_eq!(sim.ledger().executions(&order), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stolen_card_looks_like_any_declined_one_but_to_the_merchant() {
    let sim = sim();
    for (order, code) in
        [("a", "fraudulent"), ("b", "lost_card"), ("c", "merchant_blacklist"), ("d", "stolen_card")]
    {
        sim.script(order, [declined(code, Some("do_not_try_again"))]);
        let response = transport(&sim).send(payment(order)).await.expect("answered");
        let error = StripeError::of(&response).expect("an error of Stripe's");
        let decline = error.decline().expect("a decline");
        assert_eq!((decline.message(), decline.as_str()), (MessageKey::CardDeclined, "generic_decline"));
        assert_eq!((decline.try_again(), decline.code().as_str()), (TryAgain::Never, code));
        let shown = format!("{decline} {decline:?} {error:?} {response:?}");
        assert!(!shown.contains(code), "{shown}");
    }
}

/// S-117
#[tokio::test(start_paused = true)]
async fn a_decline_code_that_nobody_knows_yet_is_other_and_its_message_is_safe() {
    let sim = sim();
    sim.script("o", [declined("brand_new_reason", None)]);
    let (decline, _) = decline_of(&sim, "o").await;
    assert_eq!((decline.code(), decline.as_str()), (DeclineCode::Other, "other"));
    assert_eq!(decline.message(), MessageKey::CardDeclined);
}

#[tokio::test(start_paused = true)]
async fn a_card_that_asks_for_authentication_is_tried_again_after_it() {
    let sim = sim();
    let code = "authentication_required";
    sim.script("o", [canned(402, &json!({ "type": "card_error", "code": code, "decline_code": code }))]);
    let (decline, _) = decline_of(&sim, "o").await;
    assert_eq!(
        (decline.remedy(), decline.try_again(), decline.message()),
        (Remedy::CustomerAction, TryAgain::AfterAuthentication, MessageKey::Authenticate),
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_says_whose_business_it_is_by_its_code_or_else_by_its_status() {
    let sim = sim();
    for (number, (step, outcome, meaning)) in [
        (
            canned(401, &json!({ "type": "invalid_request_error", "code": "api_key_expired" })),
            Outcome::Unauthorized,
            Meaning::Config,
        ),
        // A wrong API key has no code.
        (Step::Answer(Canned::unauthorized()), Outcome::Unauthorized, Meaning::Config),
        (
            canned(400, &json!({ "type": "invalid_request_error", "code": "livemode_mismatch" })),
            Outcome::InvalidRequest,
            Meaning::Config,
        ),
        (Step::Answer(Canned::idempotency_error()), Outcome::KeyMismatch, Meaning::Caller),
        (
            canned(400, &json!({ "type": "invalid_request_error", "code": "balance_insufficient" })),
            Outcome::InvalidRequest,
            Meaning::Business,
        ),
        (canned(400, &json!({ "code": "brand_new" })), Outcome::InvalidRequest, Meaning::Caller),
        (
            canned(400, &json!({ "type": "fx_quote_needs_refresh" })),
            Outcome::InvalidRequest,
            Meaning::Business,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let order = format!("order-{number}");
        sim.script(&order, [step]);
        let response = transport(&sim).send(payment(&order)).await.expect("answered");
        assert_eq!((response.outcome(), Meaning::of(&response)), (Some(outcome), Some(meaning)), "{number}");
    }
    let paid = transport(&sim).send(payment("paid")).await.expect("paid");
    assert_eq!(Meaning::of(&paid), None);
}

#[tokio::test(start_paused = true)]
async fn an_oauth_error_is_understood_by_its_status_and_its_own_words() {
    let sim = sim();
    for (order, status, code, outcome, meaning) in [
        ("grant", 400, "invalid_grant", Outcome::InvalidRequest, Meaning::Business),
        ("client", 401, "invalid_client", Outcome::Unauthorized, Meaning::Config),
        // A word of the other kind of errors is none of OAuth's.
        ("limited", 429, "lock_timeout", Outcome::RateLimited(RATE), Meaning::Transient),
    ] {
        let body = json!({ "error": code, "error_description": "ac_hidden was used" });
        sim.script(order, vec![Step::Answer(Canned::json(status, &body)); 4]);
        let request = with(post("/oauth/token", order, "code=ac_hidden"), tower_stripe::RetryLimit::NONE);
        let response = transport(&sim).send(request).await.expect("answered");
        assert_eq!((response.outcome(), Meaning::of(&response)), (Some(outcome), Some(meaning)), "{order}");
        let error = StripeError::of(&response).expect("an error of Stripe's");
        assert!(error.is_oauth() && error.decline().is_none());
        assert_eq!((error.code(), error.message()), (Some(code), Some("ac_hidden was used")));
        assert!(!format!("{error:?}").contains("ac_hidden"));
    }
}

const RATE: tower_stripe::vocab::RateLimitReason = tower_stripe::vocab::RateLimitReason::Unstated;

// === tracing ===

fn classes(notes: &[String]) -> Vec<&str> {
    notes.iter().filter_map(|note| note.strip_prefix("classification=")).collect()
}

fn assert_no_secret(notes: &[String]) {
    for note in notes {
        for secret in
            [API_KEY, "my-own-key", "4242", "amount=", "card_declined", "lost_card", "shopper@", "metadata"]
        {
            assert!(!note.contains(secret), "{secret} in {note}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_trace_around_the_transport_takes_declines_for_answers_and_outages_for_failures() {
    let sim = sim();
    let mut notes = Notes::taken();
    let trace = TraceLayer::new(StripeMakeClassifier::for_client::<NetworkError>()).make_span_with(
        |request: &http::Request<_>| {
            let operation = Operation::resolve(request.method(), request.uri().path());
            tracing::info_span!("stripe", %operation)
        },
    );
    let stripe = trace.layer(transport(&sim));
    let late = Fault::F5 { delay: Duration::from_secs(200) };
    for (order, script, expected) in [
        ("paid", vec![], None),
        ("again", vec![Step::Answer(Canned::html(503))], None),
        ("lost", vec![declined("lost_card", None)], None),
        ("wrong", vec![canned(400, &json!({ "code": "parameter_missing" }))], None),
        ("key", vec![Step::Answer(Canned::unauthorized())], None),
        ("html", vec![Step::Answer(Canned::html(503)); 4], Some("server_error")),
        ("locked", vec![Step::Answer(Canned::lock_timeout()); 8], Some("lock_timeout")),
        ("late", vec![Step::Fault(late); 4], Some("timeout")),
        ("refused", vec![Step::Fault(Fault::F0); 8], Some("tcp")),
        ("reset", vec![Step::Fault(Fault::F3); 8], Some("reset")),
    ] {
        sim.script(order, script);
        let request = keyed(payment(order), &format!("my-own-key-{order}"));
        if let Ok(response) = stripe.clone().oneshot(request).await {
            let _ = response.into_body().collect().await;
        }
        let notes = notes.read();
        assert_eq!(classes(&notes), expected.map(|class| vec![class]).unwrap_or_default(), "{order}");
        assert!(notes.contains(&"operation=payment_intents.create".to_owned()), "{notes:?}");
        assert_no_secret(&notes);
    }
    let search = get("/v1/customers/search?query=email:'shopper@example.com'", "search");
    stripe.clone().oneshot(search).await.expect("answered");
    assert_no_secret(&notes.read());
}

#[tokio::test(start_paused = true)]
async fn a_trace_around_the_client_sees_every_attempt_by_its_head() {
    let sim = sim();
    let mut notes = Notes::taken();
    let trace = TraceLayer::new(StripeMakeClassifier::for_client::<NetworkError>());
    let traced = ClassifyLayer::default().layer(trace.layer(client(&sim)));
    for (order, step, expected) in [
        ("paid", None, None),
        ("locked", Some(Step::Answer(Canned::lock_timeout())), Some("rate_limited")),
        ("declined", Some(declined("lost_card", None)), None),
        ("lost", Some(Step::Fault(Fault::F3)), Some("reset")),
    ] {
        sim.script(order, step);
        let _ = traced.clone().oneshot(keyed(payment(order), "my-own-key")).await;
        let notes = notes.read();
        assert_eq!(classes(&notes), expected.map(|class| vec![class]).unwrap_or_default(), "{order}");
        assert_no_secret(&notes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_whose_body_breaks_off_is_a_failure_when_it_does() {
    let sim = sim();
    let mut notes = Notes::taken();
    let stripe = TraceLayer::new(StripeMakeClassifier::for_client::<NetworkError>())
        .layer(StripeTransport::new(client(&sim)));
    sim.script("o", [Step::Fault(Fault::F4Cut)]);
    let response = stripe.clone().oneshot(payment("o")).await.expect("a head");
    assert_eq!(response.certainty(), Some(Certainty::Executed));
    assert_eq!(classes(&notes.read()), [""; 0], "its head is a success");
    response.into_body().collect().await.expect_err("it breaks off");
    assert_eq!(classes(&notes.read()), ["other"]);
}
