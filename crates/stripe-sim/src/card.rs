//! The test cards: which are charged, which want the customer, and how the others are declined.
//!
//! Names and numbers are those of Stripe's own test cards. Beside them `pm_sim_declined_<decline code>` is declined with
//! any of Stripe's decline codes.

/// What becomes of a charge to a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Approved,
    Declined(Decline),
    /// The customer has to authenticate; `then` is how the card is declined after that.
    Authenticate {
        then: Option<Decline>,
    },
}

/// Why a card was declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decline {
    pub(crate) code: &'static str,
    pub(crate) decline_code: Option<&'static str>,
    pub(crate) advice_code: Option<&'static str>,
    /// The issuer's own, as card networks write it.
    pub(crate) network_code: Option<&'static str>,
    pub(crate) message: &'static str,
}

/// A decline for which the customer would have to authenticate, and is not there.
pub(crate) const AUTHENTICATION: Decline = Decline {
    code: "authentication_required",
    decline_code: Some("authentication_required"),
    advice_code: None,
    network_code: None,
    message: "the customer has to authenticate this payment",
};

const LATER: Option<&str> = Some("try_again_later");
const NEVER: Option<&str> = Some("do_not_try_again");
const FIX: Option<&str> = Some("confirm_card_data");

/// Decline code, advice, the network's code where one is the usual one.
const DECLINES: [(&str, Option<&str>, Option<&str>); 46] = [
    ("approve_with_id", LATER, None),
    ("call_issuer", None, Some("01")),
    ("card_not_supported", NEVER, None),
    ("card_velocity_exceeded", LATER, Some("65")),
    ("currency_not_supported", NEVER, None),
    ("do_not_honor", LATER, Some("05")),
    ("do_not_try_again", NEVER, None),
    ("duplicate_transaction", NEVER, Some("94")),
    ("expired_card", FIX, Some("54")),
    ("fraudulent", NEVER, Some("59")),
    ("generic_decline", LATER, Some("05")),
    ("incorrect_number", FIX, Some("14")),
    ("incorrect_cvc", FIX, Some("82")),
    ("incorrect_pin", FIX, Some("55")),
    ("incorrect_zip", FIX, None),
    ("insufficient_funds", LATER, Some("51")),
    ("invalid_account", NEVER, None),
    ("invalid_amount", None, Some("13")),
    ("invalid_cvc", FIX, Some("82")),
    ("invalid_expiry_month", FIX, None),
    ("invalid_expiry_year", FIX, None),
    ("invalid_number", FIX, Some("14")),
    ("invalid_pin", FIX, Some("55")),
    ("issuer_not_available", LATER, Some("91")),
    ("lost_card", NEVER, Some("41")),
    ("merchant_blacklist", NEVER, None),
    ("new_account_information_available", NEVER, None),
    ("no_action_taken", LATER, None),
    ("not_permitted", NEVER, None),
    ("offline_pin_required", None, None),
    ("online_or_offline_pin_required", None, None),
    ("pickup_card", NEVER, Some("04")),
    ("pin_try_exceeded", NEVER, Some("75")),
    ("processing_error", LATER, Some("96")),
    ("reenter_transaction", LATER, Some("19")),
    ("restricted_card", NEVER, Some("62")),
    ("revocation_of_all_authorizations", NEVER, None),
    ("revocation_of_authorization", NEVER, None),
    ("security_violation", NEVER, Some("63")),
    ("service_not_allowed", NEVER, None),
    ("stolen_card", NEVER, Some("43")),
    ("stop_payment_order", NEVER, None),
    ("testmode_decline", None, None),
    ("transaction_not_allowed", NEVER, Some("57")),
    ("try_again_later", LATER, None),
    ("withdrawal_count_limit_exceeded", LATER, Some("65")),
];

/// The decline with this decline code, if Stripe has it.
pub(crate) fn decline(decline_code: &str) -> Option<Decline> {
    if decline_code == "authentication_required" {
        return Some(AUTHENTICATION);
    }
    let (name, advice_code, network_code) = DECLINES.into_iter().find(|(name, ..)| *name == decline_code)?;
    // Some reasons have an error code of their own, which then says it all.
    let own = matches!(name, "expired_card" | "incorrect_cvc" | "incorrect_number" | "processing_error");
    Some(Decline {
        code: if own { name } else { "card_declined" },
        decline_code: (!own).then_some(name),
        advice_code,
        network_code,
        message: "the card was declined",
    })
}

fn declined(decline_code: &str) -> Option<Verdict> {
    decline(decline_code).map(Verdict::Declined)
}

fn authenticate_then(decline_code: &str) -> Option<Verdict> {
    Some(Verdict::Authenticate { then: decline(decline_code) })
}

/// The verdict on a named test card, in either mode; `None` if there is no such payment method.
pub(crate) fn by_name(payment_method: &str) -> Option<Verdict> {
    if let Some(decline_code) = payment_method.strip_prefix("pm_sim_declined_") {
        return declined(decline_code);
    }
    let card = payment_method.strip_prefix("pm_card_").or_else(|| payment_method.strip_prefix("tok_"))?;
    // The network's name stands before some of the declines, and did not always.
    let plain = card.strip_prefix("visa_").filter(|rest| rest.starts_with("chargeDeclined"));
    match plain.unwrap_or(card) {
        "visa"
        | "visa_debit"
        | "mastercard"
        | "mastercard_debit"
        | "mastercard_prepaid"
        | "amex"
        | "discover"
        | "diners"
        | "jcb"
        | "unionpay"
        | "bypassPending"
        | "createDispute"
        | "riskLevelElevated"
        | "threeDSecureOptional"
        | "amex_threeDSecureNotSupported" => Some(Verdict::Approved),
        "chargeDeclined" | "chargeCustomerFail" => declined("generic_decline"),
        "chargeDeclinedInsufficientFunds" => declined("insufficient_funds"),
        "chargeDeclinedLostCard" => declined("lost_card"),
        "chargeDeclinedStolenCard" => declined("stolen_card"),
        "chargeDeclinedExpiredCard" => declined("expired_card"),
        "chargeDeclinedIncorrectCvc" => declined("incorrect_cvc"),
        "chargeDeclinedProcessingError" => declined("processing_error"),
        "chargeDeclinedVelocityLimitExceeded" => declined("card_velocity_exceeded"),
        "chargeDeclinedFraudulent" | "radarBlock" | "riskLevelHighest" => declined("fraudulent"),
        "threeDSecure2Required"
        | "threeDSecureRequired"
        | "authenticationRequired"
        | "authenticationRequiredOnSetup" => Some(Verdict::Authenticate { then: None }),
        "threeDSecureRequiredChargeDeclined" => authenticate_then("generic_decline"),
        "threeDSecureRequiredProcessingError" => authenticate_then("processing_error"),
        "authenticationRequiredChargeDeclinedInsufficientFunds" => authenticate_then("insufficient_funds"),
        _ => None,
    }
}

/// The verdict on a card number, which may be written with spaces.
pub(crate) fn by_number(number: &str) -> Verdict {
    let digits: String = number.chars().filter(|letter| *letter != ' ').collect();
    let verdict = match digits.as_str() {
        "4242424242424242" | "4000056655665556" | "5555555555554444" | "2223003122003222"
        | "5200828282828210" | "5105105105105100" | "378282246310005" | "371449635398431"
        | "6011111111111117" | "6011000990139424" | "3056930009020004" | "36227206271667"
        | "3566002020360505" | "6200000000000005" | "4000000000000077" | "4000000000000259"
        | "4000000000009235" | "4000000000003055" => Some(Verdict::Approved),
        "4000000000000002" | "4000000000000341" => declined("generic_decline"),
        "4000000000009995" => declined("insufficient_funds"),
        "4000000000009987" => declined("lost_card"),
        "4000000000009979" => declined("stolen_card"),
        "4000000000000069" => declined("expired_card"),
        "4000000000000127" => declined("incorrect_cvc"),
        "4000000000000119" => declined("processing_error"),
        "4000000000006975" => declined("card_velocity_exceeded"),
        "4100000000000019" | "4000000000004954" => declined("fraudulent"),
        "4000000000003220" | "4000000000003063" | "4000002760003184" | "4000002500003155" => {
            Some(Verdict::Authenticate { then: None })
        }
        "4000008400001629" => authenticate_then("generic_decline"),
        "4000008400001280" => authenticate_then("processing_error"),
        "4000008260003178" => authenticate_then("insufficient_funds"),
        _ => declined("incorrect_number"),
    };
    verdict.unwrap_or(Verdict::Approved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_test_cards_have_names() {
        for name in ["pm_card_visa", "tok_visa_debit", "pm_card_visa_chargeDeclined", "tok_chargeDeclined"] {
            assert!(by_name(name).is_some(), "{name}");
        }
        for name in ["pm_card_debit", "pm_card_visa_amex", "pm_visa", "visa", "pm_sim_declined_", "pm_card_"]
        {
            assert_eq!(by_name(name), None, "{name}");
        }
    }

    #[test]
    fn no_decline_code_stands_twice() {
        for (at, (name, ..)) in DECLINES.into_iter().enumerate() {
            assert_eq!(DECLINES.into_iter().position(|(other, ..)| other == name), Some(at));
            assert!(
                decline(name).is_some_and(|decline| decline.decline_code.unwrap_or(decline.code) == name)
            );
        }
    }
}
