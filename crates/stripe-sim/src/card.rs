//! The test cards: which are charged, and how the others are declined.

/// What becomes of a charge to a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Approved,
    Declined(Decline),
}

/// Why a card was declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decline {
    pub(crate) code: &'static str,
    pub(crate) decline_code: Option<&'static str>,
    pub(crate) advice_code: &'static str,
    pub(crate) message: &'static str,
}

const GENERIC: Verdict = Verdict::Declined(Decline {
    code: "card_declined",
    decline_code: Some("generic_decline"),
    advice_code: "try_again_later",
    message: "the card was declined",
});

const NO_FUNDS: Verdict = Verdict::Declined(Decline {
    code: "card_declined",
    decline_code: Some("insufficient_funds"),
    advice_code: "try_again_later",
    message: "the card was declined: its account is short of money",
});

const NO_SUCH_NUMBER: Verdict = Verdict::Declined(Decline {
    code: "incorrect_number",
    decline_code: None,
    advice_code: "confirm_card_data",
    message: "this is not a number of one of the test cards",
});

/// The verdict on a named test card, in either mode; `None` if there is no such payment method.
pub(crate) fn by_name(payment_method: &str) -> Option<Verdict> {
    match payment_method {
        "pm_card_visa" | "pm_card_mastercard" | "pm_card_amex" => Some(Verdict::Approved),
        "pm_card_chargeDeclined" => Some(GENERIC),
        "pm_card_chargeDeclinedInsufficientFunds" => Some(NO_FUNDS),
        _ => None,
    }
}

/// The verdict on a card number, which may be written with spaces.
pub(crate) fn by_number(number: &str) -> Verdict {
    let digits: String = number.chars().filter(|letter| *letter != ' ').collect();
    match digits.as_str() {
        "4242424242424242" | "5555555555554444" | "378282246310005" => Verdict::Approved,
        "4000000000000002" => GENERIC,
        "4000000000009995" => NO_FUNDS,
        _ => NO_SUCH_NUMBER,
    }
}
