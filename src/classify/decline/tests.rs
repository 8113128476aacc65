use std::collections::BTreeSet;

use proptest::{option, prelude::*, sample::select};

use super::*;
use crate::classify::meaning::known;

/// Those that Stripe asks not to be told to the payer.
const HIDDEN: [&str; 4] = ["fraudulent", "lost_card", "merchant_blacklist", "stolen_card"];

fn decline(word: &str) -> Decline {
    Decline::new(DeclineCode::parse(word))
}

fn advices() -> impl Iterator<Item = Option<AdviceCode>> {
    AdviceCode::ALL.iter().copied().map(Some).chain([None])
}

fn with(decline: Decline, advice: Option<AdviceCode>) -> Decline {
    advice.map_or(decline, |advice| decline.advised(advice))
}

fn is_label(word: &str) -> bool {
    !word.is_empty() && word.len() <= 64 && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'))
}

// === the table ===

#[test]
fn every_decline_code_that_is_known_has_a_row() {
    let known = known("decline_code");
    assert_eq!(known.len(), 47);
    for word in known {
        assert_eq!(DeclineCode::parse(word).as_str(), word);
        assert_ne!(DeclineCode::parse(word), DeclineCode::Other, "{word}");
    }
}

#[test]
fn every_row_has_a_word_that_is_known_and_no_two_the_same() {
    let known: BTreeSet<_> = known("decline_code").into_iter().chain(known("v1_code")).collect();
    let words: BTreeSet<_> = DeclineCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(words.len(), DeclineCode::ALL.len());
    for code in DeclineCode::ALL {
        assert!(is_label(code.as_str()), "{}", code.as_str());
        assert_eq!(DeclineCode::parse(code.as_str()), *code);
        assert!(*code == DeclineCode::Other || known.contains(code.as_str()), "{}", code.as_str());
    }
}

#[test]
fn every_advice_code_that_is_known_is_read_and_no_other() {
    let words: Vec<_> = known("advice_code");
    assert_eq!(words.len(), AdviceCode::ALL.len());
    for word in words {
        assert_eq!(AdviceCode::parse(word).map(AdviceCode::as_str), Some(word));
    }
    for word in ["", "TRY_AGAIN_LATER", "try_again_later ", "02", "new"] {
        assert_eq!(AdviceCode::parse(word), None, "{word}");
    }
}

#[test]
fn who_mends_a_decline_and_when_to_try_again_agree() {
    for code in DeclineCode::ALL {
        for advice in advices() {
            let decline = with(Decline::new(*code), advice);
            let (remedy, again, message) = (decline.remedy(), decline.try_again(), decline.message());
            let shown = (code.as_str(), advice, remedy, again, message);
            // Data that are to be corrected may be sent at once; nobody else can correct them.
            if again == TryAgain::OtherData {
                assert_eq!(remedy, Remedy::CardData, "{shown:?}");
            }
            if again == TryAgain::AfterAuthentication {
                assert_eq!(remedy, Remedy::CustomerAction, "{shown:?}");
            }
            // Nobody is sent away to do something that would not help.
            if again == TryAgain::Never {
                assert!(!matches!(remedy, Remedy::CardData | Remedy::CustomerAction), "{shown:?}");
                assert!(
                    !matches!(
                        message,
                        MessageKey::TryAgainLater
                            | MessageKey::CheckCardDetails
                            | MessageKey::Authenticate
                            | MessageKey::EnterPin
                    ),
                    "{shown:?}"
                );
            }
        }
    }
}

#[test]
fn the_rows_say_what_stripe_says_to_do_next() {
    use {MessageKey as Say, Remedy as By, TryAgain as Again};
    for (word, by, again, say) in [
        ("authentication_required", By::CustomerAction, Again::AfterAuthentication, Say::Authenticate),
        ("insufficient_funds", By::AnotherCard, Again::Later, Say::InsufficientFunds),
        ("expired_card", By::AnotherCard, Again::Never, Say::UseAnotherCard),
        ("incorrect_cvc", By::CardData, Again::OtherData, Say::CheckCardDetails),
        ("do_not_honor", By::Issuer, Again::Later, Say::ContactIssuer),
        ("pickup_card", By::Issuer, Again::Never, Say::ContactIssuer),
        ("issuer_not_available", By::Nobody, Again::Later, Say::TryAgainLater),
        ("processing_error", By::Nobody, Again::Later, Say::TryAgainLater),
        ("offline_pin_required", By::CustomerAction, Again::AfterAuthentication, Say::EnterPin),
        ("duplicate_transaction", By::Merchant, Again::Never, Say::CheckRecentPayments),
        ("merchant_blacklist", By::Merchant, Again::Never, Say::CardDeclined),
        ("fraudulent", By::Nobody, Again::Never, Say::CardDeclined),
        ("generic_decline", By::Issuer, Again::Later, Say::CardDeclined),
        ("card_decline_rate_limit_exceeded", By::AnotherCard, Again::Never, Say::UseAnotherCard),
    ] {
        let decline = decline(word);
        assert_eq!((decline.remedy(), decline.try_again(), decline.message()), (by, again, say), "{word}");
    }
}

#[test]
fn what_stripe_says_never_to_try_again_is_never() {
    for word in [
        "do_not_try_again",
        "fraudulent",
        "lost_card",
        "merchant_blacklist",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "stolen_card",
        "stop_payment_order",
    ] {
        assert_eq!(decline(word).try_again(), TryAgain::Never, "{word}");
    }
}

#[test]
fn what_stripe_says_to_try_again_may_be_tried_later() {
    for word in [
        "approve_with_id",
        "issuer_not_available",
        "processing_error",
        "reenter_transaction",
        "try_again_later",
    ] {
        assert_eq!(decline(word).try_again(), TryAgain::Later, "{word}");
    }
}

// === advice ===

#[test]
fn advice_stands_above_the_code() {
    for code in DeclineCode::ALL {
        let code = Decline::new(*code);
        let never = code.advised(AdviceCode::DoNotTryAgain);
        assert_eq!(never.try_again(), TryAgain::Never, "{}", code.code().as_str());
        let data = code.advised(AdviceCode::ConfirmCardData);
        assert_eq!(
            (data.remedy(), data.try_again(), data.message()),
            (Remedy::CardData, TryAgain::OtherData, MessageKey::CheckCardDetails),
        );
        assert_ne!(code.advised(AdviceCode::TryAgainLater).try_again(), TryAgain::Never);
    }
}

#[test]
fn advice_to_try_again_does_not_lift_the_condition_of_the_code() {
    for word in ["authentication_required", "incorrect_number"] {
        let advised = decline(word).advised(AdviceCode::TryAgainLater);
        assert_eq!(advised.try_again(), decline(word).try_again(), "{word}");
        assert_eq!(advised.message(), decline(word).message(), "{word}");
    }
}

// === the mask ===

#[test]
fn exactly_the_four_codes_that_warn_a_thief_are_masked() {
    let masked: Vec<_> =
        DeclineCode::ALL.iter().filter(|code| code.is_masked()).map(|code| code.as_str()).collect();
    assert_eq!(masked, HIDDEN);
    for code in DeclineCode::ALL.iter().filter(|code| !code.is_masked()) {
        assert_eq!(code.masked(), *code);
    }
}

#[test]
fn a_masked_decline_looks_like_a_generic_one_whatever_is_advised() {
    for word in HIDDEN {
        for advice in advices() {
            let (hidden, generic) = (with(decline(word), advice), with(decline("generic_decline"), advice));
            assert_eq!(hidden.message(), generic.message(), "{word}");
            assert_eq!(hidden.as_str(), "generic_decline");
            assert_eq!(hidden.to_string(), generic.to_string());
            assert_eq!(format!("{hidden:?} {hidden:#?}"), format!("{generic:?} {generic:#?}"));
            assert_eq!(format!("{:?}", hidden.code()), "generic_decline");
            assert_eq!(hidden.code().as_str(), word, "the merchant can read it");
        }
    }
}

#[test]
fn every_message_is_used_and_every_other_word_too() {
    let all: Vec<_> = DeclineCode::ALL
        .iter()
        .flat_map(|code| advices().map(|advice| with(Decline::new(*code), advice)))
        .collect();
    for message in MessageKey::ALL {
        assert!(all.iter().any(|decline| decline.message() == *message), "{message}");
    }
    for remedy in Remedy::ALL {
        assert!(all.iter().any(|decline| decline.remedy() == *remedy), "{remedy}");
    }
    for again in TryAgain::ALL {
        assert!(all.iter().any(|decline| decline.try_again() == *again), "{again}");
    }
}

#[test]
fn the_words_are_labels() {
    let words = (MessageKey::ALL.iter().map(|word| word.as_str()))
        .chain(Remedy::ALL.iter().map(|word| word.as_str()))
        .chain(TryAgain::ALL.iter().map(|word| word.as_str()))
        .chain(AdviceCode::ALL.iter().map(|word| word.as_str()));
    for word in words {
        assert!(is_label(word), "{word}");
    }
    assert_eq!(format!("{:>9}|{:<8}|", Remedy::Issuer, TryAgain::Later), "   issuer|later   |");
}

/// S-117
#[test]
fn an_unknown_code_is_other_and_says_no_more_than_a_generic_decline() {
    for word in ["", "other", "brand_new_reason", "LOST_CARD", "lost_card ", "sk_live_123"] {
        let unknown = decline(word);
        let generic = decline("generic_decline");
        assert_eq!((unknown.code(), unknown.as_str()), (DeclineCode::Other, "other"), "{word}");
        assert_eq!(
            (unknown.remedy(), unknown.try_again(), unknown.message()),
            (generic.remedy(), generic.try_again(), MessageKey::CardDeclined),
        );
    }
}

// === which errors are declines ===

#[test]
fn an_error_is_a_decline_by_its_decline_code_then_its_type_and_code() {
    for (error_type, code, decline_code, expected) in [
        (Some("card_error"), Some("card_declined"), Some("lost_card"), Some("lost_card")),
        (Some("card_error"), Some("expired_card"), Some("expired_card"), Some("expired_card")),
        (None, None, Some("do_not_honor"), Some("do_not_honor")),
        (Some("card_error"), Some("card_declined"), Some("brand_new"), Some("other")),
        (Some("card_error"), Some("card_declined"), None, Some("generic_decline")),
        (Some("card_error"), Some("incorrect_cvc"), None, Some("incorrect_cvc")),
        (Some("card_error"), Some("authentication_required"), None, Some("authentication_required")),
        (Some("card_error"), Some("brand_new"), None, Some("other")),
        (Some("card_error"), None, None, Some("other")),
        (Some("invalid_request_error"), Some("no_account"), None, Some("no_account")),
        (Some("api_error"), Some("processing_error"), None, Some("processing_error")),
        (Some("invalid_request_error"), Some("parameter_missing"), None, None),
        (Some("invalid_request_error"), None, None, None),
        (Some("idempotency_error"), Some("card_declined"), None, None),
        // v2: the merchant's own money.
        (Some("insufficient_funds"), Some("insufficient_funds"), None, None),
        (None, Some("insufficient_funds"), None, None),
        (None, None, None, None),
    ] {
        let read = DeclineCode::of_error(error_type, code, decline_code).map(DeclineCode::as_str);
        assert_eq!(read, expected, "{error_type:?} {code:?} {decline_code:?}");
    }
}

// === any text ===

fn any_word() -> impl Strategy<Value = String> {
    let known: Vec<_> = known("decline_code").into_iter().chain(known("v1_code")).collect();
    prop_oneof![any::<String>(), "[a-z_]{0,40}", select(known).prop_map(str::to_owned)]
}

proptest! {
    #[test]
    fn any_texts_lead_to_labels_of_the_closed_set(
        error_type in option::of(prop_oneof![Just("card_error".to_owned()), any_word()]),
        code in option::of(any_word()),
        decline_code in option::of(any_word()),
        advice in option::of(any_word()),
    ) {
        let labels: BTreeSet<_> = DeclineCode::ALL.iter().map(|code| code.as_str()).collect();
        let read = DeclineCode::of_error(error_type.as_deref(), code.as_deref(), decline_code.as_deref());
        prop_assert!(decline_code.is_none() || read.is_some());
        if let Some(code) = read {
            let decline = with(Decline::new(code), advice.as_deref().and_then(AdviceCode::parse));
            prop_assert!(labels.contains(decline.as_str()) && !HIDDEN.contains(&decline.as_str()));
            prop_assert!(MessageKey::ALL.contains(&decline.message()));
            let shown = format!("{decline} {decline:?}");
            prop_assert!(HIDDEN.iter().all(|word| !shown.contains(word)), "{}", shown);
        }
    }
}
