//! Why a payment was declined, and what follows from it.

use std::fmt;

mod code;

pub use self::code::DeclineCode;

/// A declined payment: who can mend it, whether it may be tried again, and what a shop may say about it.
///
/// It comes from [`StripeError::decline`](super::StripeError::decline), or from the codes that a webhook or a stored
/// PaymentIntent (`last_payment_error`) carries:
///
/// ```
/// use tower_stripe::classify::{AdviceCode, Decline, DeclineCode, MessageKey, Remedy, TryAgain};
///
/// let decline = Decline::new(DeclineCode::parse("insufficient_funds"));
/// assert_eq!((decline.remedy(), decline.try_again()), (Remedy::AnotherCard, TryAgain::Later));
///
/// // The issuer's own advice stands above what the code alone would mean.
/// let decline = decline.advised(AdviceCode::DoNotTryAgain);
/// assert_eq!(decline.try_again(), TryAgain::Never);
/// assert_eq!(decline.message(), MessageKey::InsufficientFunds);
/// ```
///
/// # What may be said to whom
/// `lost_card`, `stolen_card`, `fraudulent` and `merchant_blacklist` must not be told to the payer, who may be the thief:
/// they look like any `generic_decline`. [`message`](Self::message) and [`as_str`](Self::as_str) mask them, and so do
/// `Debug` and `Display`, since a log or a label ends up on more screens than one thinks. The merchant reads the true code
/// by [`code`](Self::code) and [`DeclineCode::as_str`]. [`remedy`](Self::remedy) and [`try_again`](Self::try_again) are true
/// as well, and so for the merchant alone: only `message` is made for the payer.
///
/// (Source: Stripe's guides to declines and to decline codes.)
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decline {
    code: DeclineCode,
    advice: Option<AdviceCode>,
}

impl Decline {
    /// A decline with this code, and without advice.
    #[must_use]
    pub const fn new(code: DeclineCode) -> Self {
        Self { code, advice: None }
    }

    /// The same with advice, as Stripe passes it on in `advice_code`.
    #[must_use]
    pub const fn advised(mut self, advice: AdviceCode) -> Self {
        self.advice = Some(advice);
        self
    }

    /// The true code, for the merchant alone.
    #[must_use]
    pub const fn code(self) -> DeclineCode {
        self.code
    }

    /// What the issuer or the card network advises, if they do.
    #[must_use]
    pub const fn advice_code(self) -> Option<AdviceCode> {
        self.advice
    }

    /// The word for logs and labels: the code, masked.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.code.masked().as_str()
    }

    /// Who can mend it. For the merchant: it tells a stolen card from a generic decline.
    #[must_use]
    pub const fn remedy(self) -> Remedy {
        match (self.advice, self.code.row().remedy) {
            (Some(AdviceCode::ConfirmCardData), _) => Remedy::CardData,
            // What they could mend is not to be tried again.
            (Some(AdviceCode::DoNotTryAgain), Remedy::CardData | Remedy::CustomerAction | Remedy::Nobody) => {
                Remedy::AnotherCard
            }
            (_, remedy) => remedy,
        }
    }

    /// Whether the payment may be tried again with this card. For the merchant, as [`remedy`](Self::remedy).
    #[must_use]
    pub const fn try_again(self) -> TryAgain {
        match (self.advice, self.code.row().try_again) {
            (Some(AdviceCode::DoNotTryAgain), _) => TryAgain::Never,
            (Some(AdviceCode::ConfirmCardData), _) => TryAgain::OtherData,
            // It allows a further try, and does not lift the condition that the code sets for it.
            (Some(AdviceCode::TryAgainLater), TryAgain::Never) => TryAgain::Later,
            (_, again) => again,
        }
    }

    /// What a shop may say to the payer.
    #[must_use]
    pub const fn message(self) -> MessageKey {
        match (self.advice, self.code.row().message) {
            (Some(AdviceCode::ConfirmCardData), _) => MessageKey::CheckCardDetails,
            // Those would invite another try.
            (
                Some(AdviceCode::DoNotTryAgain),
                MessageKey::TryAgainLater
                | MessageKey::CheckCardDetails
                | MessageKey::Authenticate
                | MessageKey::EnterPin,
            ) => MessageKey::UseAnotherCard,
            (_, message) => message,
        }
    }
}

impl From<DeclineCode> for Decline {
    fn from(code: DeclineCode) -> Self {
        Self::new(code)
    }
}

/// The masked word.
impl fmt::Display for Decline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Masked, and without what the mask hides.
impl fmt::Debug for Decline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decline")
            .field("code", &self.code)
            .field("advice", &self.advice)
            .field("message", &self.message())
            .finish_non_exhaustive()
    }
}

/// Declares a closed set of words: an enum, all its values, and the word of each.
macro_rules! words {
    (
        $(#[$docs:meta])*
        $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+ }
    ) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for logs and labels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(super) use words;

words! {
    /// What the issuer or the card network advises: Stripe's `advice_code`.
    ///
    /// It stands above what the code of the decline means by itself. The networks' own `network_advice_code` is not
    /// read: Stripe has translated it. (Source: Stripe's guide to declines.)
    AdviceCode {
        /// The same card may go through later.
        TryAgainLater = "try_again_later",
        /// Never with this card, for this payment.
        DoNotTryAgain = "do_not_try_again",
        /// The card's data are wrong: the payer must look at them.
        ConfirmCardData = "confirm_card_data",
    }
}

impl AdviceCode {
    /// Reads Stripe's word. `None` if this version does not know it: then the code of the decline decides.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|advice| advice.as_str() == word)
    }
}

words! {
    /// Who can mend a decline.
    ///
    /// (Source: the next steps in Stripe's guide to decline codes.)
    Remedy {
        /// The payer, by correcting what they typed: number, expiry, CVC, PIN, postal code.
        CardData = "card_data",
        /// The payer, by an action: 3D Secure, an approval, a card that has to be inserted.
        CustomerAction = "customer_action",
        /// The payer, with another card or another way to pay.
        AnotherCard = "another_card",
        /// The issuer, whom the payer has to ask.
        Issuer = "issuer",
        /// The merchant: their own block list, or a payment that was made already.
        Merchant = "merchant",
        /// Nobody. Either time mends it, or nothing does: [`Decline::try_again`] says which.
        Nobody = "nobody",
    }
}

words! {
    /// Whether a declined payment may be tried again *with the same card*.
    ///
    /// A transport never does: no 402 is retried by this crate, whatever it says. It is the shop's decision, a few times
    /// at most, since card networks charge for too many tries.
    ///
    /// A further try is another order to Stripe, and needs another idempotency key: a v1 key is bound to its 402, which
    /// Stripe would replay. So both must agree: this one says whether the issuer minds, and
    /// [`Advice::NewKey`](crate::Advice::NewKey) says that a new key cannot charge twice.
    ///
    /// (Source: Stripe's guides to declines and to decline codes.)
    TryAgain {
        /// Not with this card, for this payment.
        Never = "never",
        /// Later: in hours or days, or once whoever can has mended it.
        Later = "later",
        /// At once, with corrected data.
        OtherData = "other_data",
        /// At once, when the payer has authenticated: by 3D Secure, an approval, a PIN.
        AfterAuthentication = "after_authentication",
    }
}

words! {
    /// The key of a text that is safe to show to the payer; the texts are the shop's, in its own languages.
    ///
    /// [`ALL`](Self::ALL) lists the texts that a shop needs. None of them tells a lost, stolen or suspicious card from a
    /// generic decline.
    MessageKey {
        /// The payment was declined; nothing more is said. The one for every code that is hidden or unknown.
        CardDeclined = "card_declined",
        /// There is not enough money.
        InsufficientFunds = "insufficient_funds",
        /// Please check number, expiry date, CVC and postal code.
        CheckCardDetails = "check_card_details",
        /// Please confirm the payment with your bank.
        Authenticate = "authenticate",
        /// Please insert the card, or enter the PIN.
        EnterPin = "enter_pin",
        /// Please try again later.
        TryAgainLater = "try_again_later",
        /// Please use another card or another way to pay.
        UseAnotherCard = "use_another_card",
        /// Please ask the bank that issued the card.
        ContactIssuer = "contact_issuer",
        /// It looks like a payment that was made a moment ago: please check before paying again.
        CheckRecentPayments = "check_recent_payments",
    }
}

#[cfg(test)]
mod tests;
