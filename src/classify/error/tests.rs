use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(body: &Value) -> StripeError {
    StripeError::parse(body.to_string().as_bytes()).expect("an error of stripe's")
}

/// A v1 error with every field that there is.
fn everything() -> Value {
    json!({ "error": {
        "type": "card_error",
        "code": "card_declined",
        "message": "Your card 4242424242424242 was declined.",
        "user_message": "Please use another card.",
        "param": "payment_method",
        "doc_url": "https://docs.stripe.com/error-codes/card-declined",
        "request_log_url": "https://dashboard.stripe.com/logs/req_1",
        "decline_code": "insufficient_funds",
        "advice_code": "try_again_later",
        "network_decline_code": "51",
        "network_advice_code": "03",
        "charge": "ch_1",
        "payment_method_type": "card",
        "payment_intent": {
            "id": "pi_1",
            "object": "payment_intent",
            "status": "requires_payment_method",
            "client_secret": "pi_1_secret_hidden",
        },
        "payment_method": { "id": "pm_1", "object": "payment_method", "card": { "last4": "4242" } },
        "setup_intent": {
            "id": "seti_1", "object": "setup_intent", "status": "canceled", "client_secret": "seti_1_secret_hidden",
        },
        "source": "src_1",
    }})
}

#[test]
fn every_field_of_a_v1_error_is_read() {
    let error = parse(&everything());
    for (read, expected) in [
        (error.error_type(), "card_error"),
        (error.code(), "card_declined"),
        (error.message(), "Your card 4242424242424242 was declined."),
        (error.user_message(), "Please use another card."),
        (error.param(), "payment_method"),
        (error.doc_url(), "https://docs.stripe.com/error-codes/card-declined"),
        (error.request_log_url(), "https://dashboard.stripe.com/logs/req_1"),
        (error.decline_code(), "insufficient_funds"),
        (error.advice_code(), "try_again_later"),
        (error.network_decline_code(), "51"),
        (error.network_advice_code(), "03"),
        (error.charge(), "ch_1"),
        (error.payment_method_type(), "card"),
    ] {
        assert_eq!(read, Some(expected));
    }
    let intent = error.payment_intent().unwrap();
    assert_eq!(intent.id.as_deref(), Some("pi_1"));
    assert_eq!(intent.object.as_deref(), Some("payment_intent"));
    assert_eq!(intent.status.as_deref(), Some("requires_payment_method"));
    assert_eq!(intent.client_secret.as_ref().map(ClientSecret::expose), Some("pi_1_secret_hidden"));
    let method = error.payment_method().unwrap();
    assert_eq!((method.id.as_deref(), method.status.as_deref()), (Some("pm_1"), None));
    assert!(method.client_secret.is_none());
    assert_eq!(error.setup_intent().unwrap().id.as_deref(), Some("seti_1"));
    let source = RelatedObject { id: Some("src_1".into()), ..RelatedObject::default() };
    assert_eq!(error.source(), Some(&source), "an id alone");
}

#[test]
fn a_v2_error_is_read_with_or_without_a_type() {
    let typed = parse(&json!({ "error": {
        "type": "temporary_session_expired",
        "code": "billing_meter_event_session_expired",
        "message": "The session has expired.",
        "user_message": "Please try again.",
        "fields": { "amount": ["too small"] },
    }}));
    assert_eq!(typed.error_type(), Some("temporary_session_expired"));
    assert_eq!(typed.code(), Some("billing_meter_event_session_expired"));
    assert_eq!(typed.user_message(), Some("Please try again."));
    let untyped = parse(&json!({ "error": { "code": "invalid_fields", "message": "No." } }));
    assert_eq!((untyped.error_type(), untyped.code()), (None, Some("invalid_fields")));
}

#[test]
fn an_oauth_error_is_a_text_with_its_message_beside_it() {
    let error = parse(&json!({ "error": "invalid_grant", "error_description": "This code was used." }));
    assert_eq!((error.code(), error.message()), (Some("invalid_grant"), Some("This code was used.")));
    assert_eq!(error.error_type(), None);
    let bare = parse(&json!({ "error": "server_error", "error_description": 5 }));
    assert_eq!((bare.code(), bare.message()), (Some("server_error"), None));
}

#[test]
fn a_field_of_another_type_is_left_out_and_the_others_are_kept() {
    for wrong in [json!(null), json!(5), json!(true), json!([]), json!({}), json!(["x"])] {
        let Value::Object(fields) = everything()["error"].clone() else { panic!("an object") };
        for name in fields.keys() {
            let mut body = everything();
            body["error"][name] = wrong.clone();
            let error = parse(&body);
            let other = if name == "code" { error.error_type() } else { error.code() };
            assert!(other.is_some(), "{name} = {wrong}");
        }
        let error = parse(&json!({ "error": { "type": wrong, "code": "card_declined" } }));
        assert_eq!((error.error_type(), error.code()), (None, Some("card_declined")), "{wrong}");
    }
    assert_eq!(parse(&json!({ "error": {} })), StripeError::default());
    let hollow = parse(&json!({ "error": { "payment_intent": { "id": 5, "client_secret": null } } }));
    assert_eq!(hollow.payment_intent(), Some(&RelatedObject::default()));
}

#[test]
fn what_is_not_an_error_of_stripes_is_none() {
    for body in [
        "",
        " ",
        "<html><body>503</body></html>",
        "null",
        "5",
        "[]",
        "\"error\"",
        "{}",
        "{\"error\":null}",
        "{\"error\":5}",
        "{\"error\":[{\"code\":\"x\"}]}",
        "{\"message\":\"no\"}",
        "{\"error\":{\"code\":\"x\"}} and more",
        "{\"error\":{\"code\":\"x\"",
    ] {
        assert_eq!(StripeError::parse(body.as_bytes()), None, "{body}");
    }
    assert_eq!(StripeError::parse(b"{\"error\":{\"code\":\"\xff\"}}"), None, "not UTF-8");
    assert!(StripeError::parse(b" \n{ \"error\" : { } }\n").is_some(), "space around it is allowed");
}

#[test]
fn no_depth_overflows_the_stack() {
    for depth in [10, 100, 127, 128, 200, 10_000, 1_000_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let body = format!("{{\"error\":{{\"code\":\"x\",\"extra\":{nested}}}}}");
            let error = StripeError::parse(body.as_bytes());
            let code = error.as_ref().and_then(StripeError::code);
            assert_eq!(code.is_some(), depth <= 100, "{depth} {open}");
            let _ = StripeError::parse(&body.as_bytes()[..body.len() / 2]);
        }
    }
}

#[test]
fn a_body_cut_anywhere_is_no_error_of_stripes() {
    let body = everything().to_string();
    for end in 0..body.len() {
        assert_eq!(StripeError::parse(&body.as_bytes()[..end]), None, "cut at {end}");
    }
}

#[test]
fn debug_shows_codes_and_neither_messages_nor_secrets() {
    let error = parse(&everything());
    let shown = format!("{error:?} {error:#?} {:?} {:?}", error.payment_intent(), error.setup_intent());
    assert!(shown.contains("card_declined") && shown.contains("insufficient_funds"));
    let secret = error.payment_intent().unwrap().client_secret.as_ref().unwrap();
    assert_eq!(format!("{secret:?}"), "ClientSecret(redacted)");
    for hidden in ["4242", "hidden", "Your card", "Please use", "pm_1", "dashboard"] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
    let oauth = parse(&json!({ "error": "invalid_grant", "error_description": "code ac_hidden" }));
    assert!(!format!("{oauth:?}").contains("hidden"));
}

#[test]
fn debug_does_not_tell_what_must_not_be_told_to_the_payer() {
    for hidden in ["fraudulent", "lost_card", "merchant_blacklist", "stolen_card"] {
        let body = |code| json!({ "error": { "type": "card_error", "code": "card_declined", "decline_code": code } });
        let error = parse(&body(hidden));
        assert_eq!(format!("{error:?}"), format!("{:?}", parse(&body("generic_decline"))));
        assert_eq!(error.decline_code(), Some(hidden), "the merchant can read it");
    }
    let unknown = parse(&json!({ "error": { "decline_code": "brand_new" } }));
    assert!(format!("{unknown:?}").contains("brand_new"), "a word that is not known hides nothing");
}

#[test]
fn a_decline_carries_the_advice_that_came_with_it_as_far_as_it_is_known() {
    let body = |advice: Value| {
        json!({ "error": {
            "type": "card_error", "code": "card_declined", "decline_code": "do_not_honor", "advice_code": advice,
            "network_advice_code": "02", "network_decline_code": "41",
        }})
    };
    for (advice, expected) in [
        (json!("try_again_later"), Some(AdviceCode::TryAgainLater)),
        (json!("do_not_try_again"), Some(AdviceCode::DoNotTryAgain)),
        (json!("confirm_card_data"), Some(AdviceCode::ConfirmCardData)),
        (json!("brand_new"), None),
        (json!(null), None),
        (json!(2), None),
    ] {
        let decline = parse(&body(advice.clone())).decline().expect("a decline");
        assert_eq!((decline.code(), decline.advice_code()), (DeclineCode::DoNotHonor, expected), "{advice}");
    }
}

#[test]
fn only_a_text_as_error_has_the_shape_of_oauth() {
    assert!(
        parse(&json!({ "error": "invalid_grant", "error_description": "This code was used." })).is_oauth()
    );
    assert!(parse(&json!({ "error": "invalid_grant" })).is_oauth());
    assert!(!parse(&everything()).is_oauth());
    // Stripe's own shape, with a description beside it that belongs to none.
    let v1 = parse(&json!({ "error": { "code": "rate_limit" }, "error_description": "x" }));
    assert_eq!((v1.is_oauth(), v1.code(), v1.message()), (false, Some("rate_limit"), None));
}

#[test]
fn an_error_is_found_in_the_extensions_of_a_response() {
    let mut response = Response::new(());
    assert_eq!(StripeError::of(&response), None);
    response.extensions_mut().insert(parse(&everything()));
    assert_eq!(StripeError::of(&response).and_then(StripeError::code), Some("card_declined"));
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = StripeError::parse(&body);
    }

    #[test]
    fn no_text_like_json_panics(body in "[{}\\[\\]\":,a-e0-9 \\\\u]{0,200}") {
        let _ = StripeError::parse(body.as_bytes());
        let _ = StripeError::parse(format!("{{\"error\":{body}}}").as_bytes());
    }

    #[test]
    fn one_byte_changed_anywhere_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = everything().to_string().into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        let _ = StripeError::parse(&body);
    }

    #[test]
    fn any_text_of_a_field_comes_out_as_it_went_in(text in any::<String>()) {
        let error = parse(&json!({ "error": { "code": text, "message": text } }));
        prop_assert_eq!((error.code(), error.message()), (Some(text.as_str()), Some(text.as_str())));
    }
}
