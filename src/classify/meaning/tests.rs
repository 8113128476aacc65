use std::collections::{BTreeMap, BTreeSet};

use proptest::{option, prelude::*, sample::select};
use serde_json::json;

use super::{
    codes::{CODES, OAUTH, TYPES, Table, V1_TYPES},
    *,
};
use crate::{
    classify::DeclineCode,
    vocab::{FailureKind, RateLimitReason},
};

/// The words of a kind that Stripe is known to use: `known.tsv`.
pub(in crate::classify) fn known(kind: &str) -> Vec<&'static str> {
    let mut lines = include_str!("known.tsv").lines();
    assert_eq!(lines.next(), Some("kind\tword"));
    let words = lines.map(|line| line.split_once('\t').expect("two columns"));
    words.filter(|(other, _)| *other == kind).map(|(_, word)| word).collect()
}

fn words(table: Table) -> Vec<&'static str> {
    table.iter().flat_map(|(_, words)| *words).copied().collect()
}

fn error(body: &serde_json::Value) -> StripeError {
    StripeError::parse(json!({ "error": body }).to_string().as_bytes()).expect("an error of Stripe's")
}

// === the tables ===

#[test]
fn the_tables_have_every_word_that_is_known_once_and_no_other() {
    let types = known("v1_type").into_iter().chain(known("v2_type"));
    for (table, known) in [
        (words(CODES), known("v1_code").into_iter().chain(known("v2_code")).collect::<Vec<_>>()),
        (words(TYPES).into_iter().chain(words(V1_TYPES)).collect(), types.collect()),
        (words(OAUTH), known("oauth")),
    ] {
        let distinct: BTreeSet<_> = table.iter().copied().collect();
        assert_eq!(distinct.len(), table.len(), "a word stands twice");
        // `idempotency_error` is a type of both.
        let known: BTreeSet<_> = known.into_iter().collect();
        assert_eq!(distinct.difference(&known).collect::<Vec<_>>(), [&""; 0], "not known");
        assert_eq!(known.difference(&distinct).collect::<Vec<_>>(), [&""; 0], "not classified");
    }
}

#[test]
fn the_list_of_known_words_is_whole() {
    for (kind, count) in [
        ("v1_code", 195),
        ("v2_code", 1),
        ("v1_type", 7),
        ("v2_type", 21),
        ("oauth", 6),
        ("decline_code", 47),
        ("advice_code", 3),
    ] {
        assert_eq!(known(kind).len(), count, "{kind}");
    }
}

#[test]
fn only_the_type_that_is_too_coarse_is_other() {
    for table in [CODES, TYPES, OAUTH] {
        assert!(table.iter().all(|(meaning, _)| *meaning != Meaning::Other));
    }
    let coarse: Vec<_> = V1_TYPES.iter().filter(|(meaning, _)| *meaning == Meaning::Other).collect();
    assert_eq!(coarse, [&(Meaning::Other, &["invalid_request_error"][..])]);
}

#[test]
fn every_known_word_is_classified_in_an_error_of_its_kind() {
    for code in known("v1_code") {
        let meaning = error(&json!({ "type": "invalid_request_error", "code": code })).meaning();
        assert_ne!(meaning, Meaning::Other, "{code}");
    }
    for error_type in known("v2_type") {
        let meaning = error(&json!({ "type": error_type, "code": "brand_new" })).meaning();
        assert_ne!(meaning, Meaning::Other, "{error_type}");
    }
    for code in known("decline_code") {
        let meaning = error(&json!({ "type": "card_error", "code": code, "decline_code": code })).meaning();
        assert_eq!(meaning, Meaning::Business, "{code}");
    }
    for code in known("oauth") {
        let body = json!({ "error": code, "error_description": "no" }).to_string();
        assert_ne!(StripeError::parse(body.as_bytes()).unwrap().meaning(), Meaning::Other, "{code}");
    }
}

#[test]
fn every_code_that_acts_as_a_decline_is_business() {
    for code in DeclineCode::ALL {
        let meaning = Meaning::of_error(None, Some(code.as_str()));
        assert!(matches!(meaning, Meaning::Business | Meaning::Other), "{}", code.as_str());
    }
}

#[test]
fn a_wrong_configuration_pages_somebody_and_nothing_else_does() {
    for code in [
        "account_invalid",
        "api_key_expired",
        "livemode_mismatch",
        "platform_account_required",
        "platform_api_key_expired",
        "secret_key_required",
        "testmode_charges_only",
        "tls_version_unsupported",
    ] {
        assert!(error(&json!({ "type": "invalid_request_error", "code": code })).meaning().pages(), "{code}");
    }
    let pages: Vec<_> = Meaning::ALL.iter().filter(|meaning| meaning.pages()).collect();
    assert_eq!(pages, [&Meaning::Config]);
}

#[test]
fn the_words_that_the_stack_acts_upon_mean_what_it_does() {
    for (error_type, code, meaning) in [
        (Some("invalid_request_error"), Some("lock_timeout"), Meaning::Transient),
        (Some("invalid_request_error"), Some("rate_limit"), Meaning::Transient),
        (Some("idempotency_error"), Some("idempotency_key_in_use"), Meaning::Transient),
        (Some("idempotency_error"), None, Meaning::Caller),
        (Some("idempotency_error"), Some("brand_new"), Meaning::Caller),
        (Some("rate_limit"), None, Meaning::Transient),
        (Some("api_error"), None, Meaning::Transient),
        (Some("card_error"), None, Meaning::Business),
        (Some("authentication_error"), None, Meaning::Config),
        (None, Some("invalid_fields"), Meaning::Caller),
        (Some("invalid_request_error"), Some("resource_missing"), Meaning::Caller),
        // A code that is not known may mean anything, and this type nothing.
        (Some("api_error"), Some("brand_new"), Meaning::Other),
        (Some("invalid_request_error"), Some("brand_new"), Meaning::Other),
        (Some("invalid_request_error"), None, Meaning::Other),
        (Some("brand_new"), Some("brand_new"), Meaning::Other),
        (None, None, Meaning::Other),
    ] {
        let read = error(&json!({ "type": error_type, "code": code })).meaning();
        assert_eq!(read, meaning, "{error_type:?} {code:?}");
    }
}

#[test]
fn an_oauth_error_means_what_oauths_words_do_and_is_never_a_decline() {
    for (code, meaning) in [
        ("invalid_client", Meaning::Config),
        ("invalid_grant", Meaning::Business),
        ("invalid_scope", Meaning::Caller),
        ("rate_limit", Meaning::Other),
        ("card_declined", Meaning::Other),
        ("Service Unavailable", Meaning::Other),
    ] {
        let body = json!({ "error": code, "error_description": "no" }).to_string();
        let error = StripeError::parse(body.as_bytes()).unwrap();
        assert!(error.is_oauth());
        assert_eq!((error.meaning(), error.decline()), (meaning, None), "{code}");
    }
}

// === with the response around it ===

#[test]
fn every_outcome_but_success_means_something() {
    let outcomes = BTreeMap::from([
        ("config", vec![Outcome::Unauthorized, Outcome::Forbidden]),
        ("caller", vec![Outcome::InvalidRequest, Outcome::KeyMismatch, Outcome::NotFound]),
        ("business", vec![Outcome::Declined]),
        (
            "transient",
            vec![
                Outcome::Interrupted,
                Outcome::Conflict,
                Outcome::KeyInUse,
                Outcome::RateLimited(RateLimitReason::Other),
                Outcome::LockTimeout,
                Outcome::ServerError,
                Outcome::Transport(FailureKind::Tls),
            ],
        ),
        ("other", vec![Outcome::Foreign, Outcome::Redirect, Outcome::Refused, Outcome::Cancelled]),
    ]);
    assert_eq!(Meaning::of_outcome(Outcome::Success), None);
    for (meaning, outcomes) in outcomes {
        for outcome in outcomes {
            assert_eq!(Meaning::of_outcome(outcome).map(Meaning::as_str), Some(meaning), "{outcome}");
        }
    }
}

#[test]
fn a_response_that_no_layer_saw_means_what_its_error_does() {
    let mut response = Response::new(());
    assert_eq!(Meaning::of(&response), None);
    response.extensions_mut().insert(error(&json!({ "code": "lock_timeout" })));
    assert_eq!(Meaning::of(&response), Some(Meaning::Transient));
    response.extensions_mut().insert(error(&json!({ "code": "brand_new" })));
    assert_eq!(Meaning::of(&response), Some(Meaning::Other));
}

// === any text ===

fn any_word() -> impl Strategy<Value = String> {
    let known: Vec<_> = ["v1_code", "v1_type", "v2_type", "oauth"].into_iter().flat_map(known).collect();
    prop_oneof![any::<String>(), "[a-z_]{0,40}", select(known).prop_map(str::to_owned)]
}

proptest! {
    #[test]
    fn any_words_lead_to_a_meaning(
        error_type in option::of(any_word()), code in option::of(any_word()), oauth in any_word(),
    ) {
        let read = error(&json!({ "type": error_type, "code": code })).meaning();
        prop_assert!(Meaning::ALL.contains(&read));
        let body = json!({ "error": oauth }).to_string();
        let read = StripeError::parse(body.as_bytes()).unwrap().meaning();
        prop_assert_eq!(read == Meaning::Other, !known("oauth").contains(&oauth.as_str()));
    }

    #[test]
    fn a_code_that_is_not_known_is_other(code in "[a-z_]{0,40}") {
        prop_assume!(!known("v1_code").contains(&code.as_str()) && !known("v2_code").contains(&code.as_str()));
        for error_type in [None, Some("invalid_request_error"), Some("api_error"), Some("brand_new")] {
            prop_assert_eq!(error(&json!({ "type": error_type, "code": &code })).meaning(), Meaning::Other);
        }
    }
}
