//! The codes of declines, and what each means by itself.

use std::fmt;

use super::{MessageKey, Remedy, TryAgain};
#[cfg(feature = "telemetry")]
use crate::vocab::Word;

/// What a code means by itself.
#[derive(Clone, Copy)]
pub(super) struct Row {
    word: &'static str,
    pub(super) remedy: Remedy,
    pub(super) try_again: TryAgain,
    pub(super) message: MessageKey,
}

macro_rules! decline_codes {
    ($($variant:ident $word:literal $remedy:ident $try_again:ident $message:ident;)+) => {
        /// Why a payment was declined: Stripe's decline codes, and those of its error codes that act as one. A closed set
        /// and [`Other`](Self::Other), which is what a code that this version does not know becomes.
        ///
        /// `Debug` masks the codes that must not be told to the payer, as [`Decline`](super::Decline) explains;
        /// [`as_str`](Self::as_str) has the true word.
        ///
        /// (Source: Stripe's guide to decline codes, and the error codes of its own libraries, 2026-11.)
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum DeclineCode {
            $(
                #[doc = concat!("`", $word, "`")]
                $variant,
            )+
            /// A code that this version does not know. It is treated as a generic decline.
            Other,
        }

        impl DeclineCode {
            /// All of them, `Other` included.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+ Self::Other];

            pub(super) const fn row(self) -> Row {
                match self {
                    $(
                        Self::$variant => Row {
                            word: $word,
                            remedy: Remedy::$remedy,
                            try_again: TryAgain::$try_again,
                            message: MessageKey::$message,
                        },
                    )+
                    Self::Other => Row { word: "other", ..Self::GenericDecline.row() },
                }
            }

            /// Reads Stripe's word.
            #[must_use]
            pub fn parse(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    _ => Self::Other,
                }
            }
        }
    };
}

decline_codes! {
    // variant                     Stripe's word                              remedy         try again           message

    // Stripe's decline codes.
    ApproveWithId                  "approve_with_id"                          Issuer         Later               TryAgainLater;
    AuthenticationRequired         "authentication_required"                  CustomerAction AfterAuthentication Authenticate;
    CallIssuer                     "call_issuer"                              Issuer         Later               ContactIssuer;
    CardNotSupported               "card_not_supported"                       AnotherCard    Never               UseAnotherCard;
    CardVelocityExceeded           "card_velocity_exceeded"                   Issuer         Later               ContactIssuer;
    CurrencyNotSupported           "currency_not_supported"                   Issuer         Later               ContactIssuer;
    DoNotHonor                     "do_not_honor"                             Issuer         Later               ContactIssuer;
    DoNotTryAgain                  "do_not_try_again"                         Issuer         Never               ContactIssuer;
    DuplicateTransaction           "duplicate_transaction"                    Merchant       Never               CheckRecentPayments;
    ExpiredCard                    "expired_card"                             AnotherCard    Never               UseAnotherCard;
    Fraudulent                     "fraudulent"                               Nobody         Never               CardDeclined;
    GenericDecline                 "generic_decline"                          Issuer         Later               CardDeclined;
    IncorrectCvc                   "incorrect_cvc"                            CardData       OtherData           CheckCardDetails;
    IncorrectNumber                "incorrect_number"                         CardData       OtherData           CheckCardDetails;
    IncorrectPin                   "incorrect_pin"                            CardData       OtherData           EnterPin;
    IncorrectZip                   "incorrect_zip"                            CardData       OtherData           CheckCardDetails;
    InsufficientFunds              "insufficient_funds"                       AnotherCard    Later               InsufficientFunds;
    InvalidAccount                 "invalid_account"                          Issuer         Later               ContactIssuer;
    InvalidAmount                  "invalid_amount"                           Issuer         Later               ContactIssuer;
    InvalidCvc                     "invalid_cvc"                              CardData       OtherData           CheckCardDetails;
    InvalidExpiryMonth             "invalid_expiry_month"                     CardData       OtherData           CheckCardDetails;
    InvalidExpiryYear              "invalid_expiry_year"                      CardData       OtherData           CheckCardDetails;
    InvalidNumber                  "invalid_number"                           CardData       OtherData           CheckCardDetails;
    InvalidPin                     "invalid_pin"                              CardData       OtherData           EnterPin;
    IssuerNotAvailable             "issuer_not_available"                     Nobody         Later               TryAgainLater;
    LostCard                       "lost_card"                                AnotherCard    Never               CardDeclined;
    MerchantBlacklist              "merchant_blacklist"                       Merchant       Never               CardDeclined;
    NewAccountInformationAvailable "new_account_information_available"        Issuer         Later               ContactIssuer;
    NoActionTaken                  "no_action_taken"                          Issuer         Later               ContactIssuer;
    NotPermitted                   "not_permitted"                            Issuer         Later               ContactIssuer;
    OfflinePinRequired             "offline_pin_required"                     CustomerAction AfterAuthentication EnterPin;
    OnlineOrOfflinePinRequired     "online_or_offline_pin_required"           CustomerAction AfterAuthentication EnterPin;
    PickupCard                     "pickup_card"                              Issuer         Never               ContactIssuer;
    PinTryExceeded                 "pin_try_exceeded"                         AnotherCard    Never               UseAnotherCard;
    ProcessingError                "processing_error"                         Nobody         Later               TryAgainLater;
    ReenterTransaction             "reenter_transaction"                      Nobody         Later               TryAgainLater;
    RestrictedCard                 "restricted_card"                          Issuer         Never               ContactIssuer;
    RevocationOfAllAuthorizations  "revocation_of_all_authorizations"         Issuer         Never               ContactIssuer;
    RevocationOfAuthorization      "revocation_of_authorization"              Issuer         Never               ContactIssuer;
    SecurityViolation              "security_violation"                       Issuer         Later               ContactIssuer;
    ServiceNotAllowed              "service_not_allowed"                      Issuer         Later               ContactIssuer;
    StolenCard                     "stolen_card"                              AnotherCard    Never               CardDeclined;
    StopPaymentOrder               "stop_payment_order"                       Issuer         Never               ContactIssuer;
    TestmodeDecline                "testmode_decline"                         AnotherCard    Never               UseAnotherCard;
    TransactionNotAllowed          "transaction_not_allowed"                  Issuer         Later               ContactIssuer;
    TryAgainLater                  "try_again_later"                          Nobody         Later               TryAgainLater;
    WithdrawalCountLimitExceeded   "withdrawal_count_limit_exceeded"          AnotherCard    Later               UseAnotherCard;

    // Error codes that act as a decline, where they are not among the above.
    AccountClosed                  "account_closed"                           AnotherCard    Never               UseAnotherCard;
    BankAccountDeclined            "bank_account_declined"                    AnotherCard    Never               UseAnotherCard;
    BankAccountRestricted          "bank_account_restricted"                  AnotherCard    Never               UseAnotherCard;
    CardDeclineRateLimitExceeded   "card_decline_rate_limit_exceeded"         AnotherCard    Never               UseAnotherCard;
    DebitNotAuthorized             "debit_not_authorized"                     AnotherCard    Never               UseAnotherCard;
    IncorrectAddress               "incorrect_address"                        CardData       OtherData           CheckCardDetails;
    IndiaRecurringMandateCanceled  "india_recurring_payment_mandate_canceled" CustomerAction AfterAuthentication Authenticate;
    InvalidCardType                "invalid_card_type"                        AnotherCard    Never               UseAnotherCard;
    NoAccount                      "no_account"                               CardData       OtherData           CheckCardDetails;
    PaymentAuthenticationFailure   "payment_intent_authentication_failure"    CustomerAction AfterAuthentication Authenticate;
    PaymentAttemptExpired          "payment_intent_payment_attempt_expired"   CustomerAction AfterAuthentication Authenticate;
    PaymentAttemptFailed           "payment_intent_payment_attempt_failed"    Issuer         Later               CardDeclined;
    BankAccountBlocked             "payment_method_bank_account_blocked"      AnotherCard    Never               UseAnotherCard;
    CustomerDecline                "payment_method_customer_decline"          CustomerAction AfterAuthentication Authenticate;
    ProviderDecline                "payment_method_provider_decline"          Issuer         Later               CardDeclined;
    ProviderTimeout                "payment_method_provider_timeout"          Nobody         Later               TryAgainLater;
    ReferToCustomer                "refer_to_customer"                        Issuer         Never               ContactIssuer;
    SetupAttemptFailed             "setup_attempt_failed"                     Issuer         Later               CardDeclined;
    SetupAuthenticationFailure     "setup_intent_authentication_failure"      CustomerAction AfterAuthentication Authenticate;
    SetupAttemptExpired            "setup_intent_setup_attempt_expired"       CustomerAction AfterAuthentication Authenticate;
}

impl DeclineCode {
    /// The decline that an error tells, by its `type`, `code` and `decline_code`.
    ///
    /// The decline code decides. Where there is none, Stripe's `card_error` is a decline whatever its code, and other v1
    /// errors are by theirs. A v2 error never is: its `insufficient_funds` is about the merchant's own money.
    pub(in crate::classify) fn of_error(
        error_type: Option<&str>,
        code: Option<&str>,
        decline_code: Option<&str>,
    ) -> Option<Self> {
        if let Some(word) = decline_code {
            return Some(Self::parse(word));
        }
        match (error_type?, code) {
            // There is a reason, and it is not told.
            ("card_error", Some("card_declined")) => Some(Self::GenericDecline),
            ("card_error", code) => Some(code.map_or(Self::Other, Self::parse)),
            ("invalid_request_error" | "api_error", Some(code)) => {
                Some(Self::parse(code)).filter(|code| *code != Self::Other)
            }
            _ => None,
        }
    }

    /// Stripe's word, unmasked; `other` for what is not known. For the merchant alone: see
    /// [`Decline`](super::Decline).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().word
    }

    /// Whether the payer must not be told it.
    #[must_use]
    pub const fn is_masked(self) -> bool {
        matches!(self, Self::Fraudulent | Self::LostCard | Self::MerchantBlacklist | Self::StolenCard)
    }

    /// What may be told of it, as a word of a table.
    #[cfg(feature = "telemetry")]
    pub(in super::super) fn word(self) -> Word {
        let masked = self.masked();
        let index = (0..).zip(Self::ALL).find(|(_, code)| **code == masked).map_or(0, |(index, _)| index);
        Word { index, text: masked.as_str() }
    }

    /// What may be told of it: itself, or `generic_decline`.
    #[must_use]
    pub const fn masked(self) -> Self {
        if self.is_masked() { Self::GenericDecline } else { self }
    }
}

/// Masked.
impl fmt::Debug for DeclineCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.masked().as_str())
    }
}
