//! Stripe's error object, typed.

use std::fmt;

use http::Response;
use serde_json::{Map, Value};

#[cfg(feature = "telemetry")]
use super::meaning::codes;
use super::{AdviceCode, Decline, DeclineCode, Meaning};
#[cfg(feature = "telemetry")]
use crate::vocab::{Word, Words};

/// The error that Stripe answered with, v1 or v2, from the body of a response.
///
/// All fields are optional: Stripe leaves out what does not apply, v2 errors may have no type, and a body may have come
/// from something in between. `Debug` shows none of the texts, since Stripe's messages may quote what was sent; read
/// them by their accessors. It masks decline codes as [`Decline`] does.
///
/// (Source of the fields: Stripe's API reference, "Errors", and the error classes of its own libraries, 2026-11.)
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StripeError {
    error_type: Option<Box<str>>,
    code: Option<Box<str>>,
    message: Option<Box<str>>,
    user_message: Option<Box<str>>,
    param: Option<Box<str>>,
    doc_url: Option<Box<str>>,
    request_log_url: Option<Box<str>>,
    decline_code: Option<Box<str>>,
    advice_code: Option<Box<str>>,
    network_decline_code: Option<Box<str>>,
    network_advice_code: Option<Box<str>>,
    charge: Option<Box<str>>,
    payment_method_type: Option<Box<str>>,
    payment_intent: Option<RelatedObject>,
    payment_method: Option<RelatedObject>,
    setup_intent: Option<RelatedObject>,
    source: Option<RelatedObject>,
    oauth: bool,
}

/// Declares one accessor for each text field.
macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $field:ident),+ $(,)?) => {
        $(
            $(#[doc = $doc])+
            #[must_use]
            pub fn $field(&self) -> Option<&str> {
                self.$field.as_deref()
            }
        )+
    };
}

impl StripeError {
    /// The error in the extensions of a response, where [`Classify`](super::Classify) puts it.
    #[must_use]
    pub fn of<B>(response: &Response<B>) -> Option<&Self> {
        response.extensions().get()
    }

    /// Reads an error body; `None` if it is not Stripe's: not JSON, or without an `error`.
    ///
    /// A field of another type than expected is left out rather than taken for a failure: the body is from the network,
    /// and its head has said the most important thing already.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let Value::Object(mut body) = serde_json::from_slice(body).ok()? else { return None };
        match body.remove("error")? {
            Value::Object(error) => Some(Self::from_object(error)),
            // OAuth: the code alone, and the message beside it.
            Value::String(code) => {
                let message = body.remove("error_description").and_then(text);
                Some(Self { code: Some(code.into()), message, oauth: true, ..Self::default() })
            }
            _ => None,
        }
    }

    fn from_object(mut error: Map<String, Value>) -> Self {
        let mut text = |name: &str| error.remove(name).and_then(text);
        Self {
            error_type: text("type"),
            code: text("code"),
            message: text("message"),
            user_message: text("user_message"),
            param: text("param"),
            doc_url: text("doc_url"),
            request_log_url: text("request_log_url"),
            decline_code: text("decline_code"),
            advice_code: text("advice_code"),
            network_decline_code: text("network_decline_code"),
            network_advice_code: text("network_advice_code"),
            charge: text("charge"),
            payment_method_type: text("payment_method_type"),
            payment_intent: error.remove("payment_intent").and_then(RelatedObject::read),
            payment_method: error.remove("payment_method").and_then(RelatedObject::read),
            setup_intent: error.remove("setup_intent").and_then(RelatedObject::read),
            source: error.remove("source").and_then(RelatedObject::read),
            oauth: false,
        }
    }

    /// Whether it has the shape of OAuth's errors, as of `/oauth/token`: its `error` is a text, which [`code`](Self::code)
    /// returns, with an `error_description` beside it, which is the [`message`](Self::message).
    ///
    /// Their codes are words of their own, so nothing is concluded from them but their [`meaning`](Self::meaning). Gateways
    /// answer in the same shape. (Source: Stripe's OAuth reference.)
    #[must_use]
    pub const fn is_oauth(&self) -> bool {
        self.oauth
    }

    /// What is to be known of a declined payment; `None` if it is another error.
    ///
    /// A decline is what has a decline code, every `card_error`, and what has one of the error codes that act as a
    /// decline. A v2 error is none.
    #[must_use]
    pub fn decline(&self) -> Option<Decline> {
        if self.oauth {
            return None;
        }
        let code = DeclineCode::of_error(self.error_type(), self.code(), self.decline_code())?;
        let decline = Decline::new(code);
        Some(self.advice_code().and_then(AdviceCode::parse).map_or(decline, |advice| decline.advised(advice)))
    }

    /// Its words, as far as they are known: a decline has one of its own, anything else an error code.
    #[cfg(feature = "telemetry")]
    pub(super) fn words(&self) -> Words {
        match self.decline() {
            Some(decline) => Words { code: None, decline: Some(decline.code().word()) },
            None => {
                Words { code: Some(self.code().and_then(codes::word).unwrap_or(Word::OTHER)), decline: None }
            }
        }
    }

    /// Whose business it is. [`Meaning::of`] takes the outcome of the response into account as well.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        if self.oauth {
            return Meaning::of_oauth(self.code());
        }
        match self.decline() {
            Some(_) => Meaning::Business,
            None => Meaning::of_error(self.error_type(), self.code()),
        }
    }

    texts! {
        /// Stripe's `type`, as `card_error`. Too coarse to decide by.
        error_type,
        /// Stripe's `code`, as `card_declined`; of an OAuth error, its `error`.
        code,
        /// For developers. It may quote parameters of the request.
        message,
        /// For users; v2 only.
        user_message,
        /// The parameter that the error is about.
        param,
        /// Where the code is documented.
        doc_url,
        /// The request in Stripe's dashboard.
        request_log_url,
        /// Why the issuer declined, in Stripe's own word: not to be shown to the payer. [`decline`](Self::decline) is.
        decline_code,
        /// What the issuer advises: `try_again_later`, `do_not_try_again` or `confirm_card_data`.
        advice_code,
        /// The card network's own code. As telling as the decline code.
        network_decline_code,
        /// The card network's own advice.
        network_advice_code,
        /// The id of the failed charge.
        charge,
        /// The type of the payment method, as `card`.
        payment_method_type,
    }

    /// The PaymentIntent that failed.
    #[must_use]
    pub const fn payment_intent(&self) -> Option<&RelatedObject> {
        self.payment_intent.as_ref()
    }

    /// The payment method that failed.
    #[must_use]
    pub const fn payment_method(&self) -> Option<&RelatedObject> {
        self.payment_method.as_ref()
    }

    /// The SetupIntent that failed.
    #[must_use]
    pub const fn setup_intent(&self) -> Option<&RelatedObject> {
        self.setup_intent.as_ref()
    }

    /// The source that failed.
    #[must_use]
    pub const fn source(&self) -> Option<&RelatedObject> {
        self.source.as_ref()
    }
}

/// Codes only.
impl fmt::Debug for StripeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripeError")
            .field("type", &word(&self.error_type))
            .field("code", &word(&self.code))
            .field("decline_code", &masked(&self.decline_code))
            .field("advice_code", &word(&self.advice_code))
            .field("payment_intent", &self.payment_intent)
            .field("setup_intent", &self.setup_intent)
            .finish_non_exhaustive()
    }
}

/// A decline code as far as it may be told.
fn masked(code: &Option<Box<str>>) -> Option<&str> {
    match code.as_deref().map(DeclineCode::parse) {
        Some(code) if code.is_masked() => Some(code.masked().as_str()),
        _ => word(code),
    }
}

/// What may be printed of a text from the network: a short word, as codes are; a key or an id has capitals, and a
/// sentence spaces.
fn word(text: &Option<Box<str>>) -> Option<&str> {
    let text = text.as_deref()?;
    let is_word =
        text.len() <= 64 && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    Some(if is_word { text } else { "(not a word)" })
}

fn text(value: Value) -> Option<Box<str>> {
    match value {
        Value::String(text) => Some(text.into()),
        _ => None,
    }
}

/// An object that an error is about: its outline.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelatedObject {
    /// Its id.
    pub id: Option<Box<str>>,
    /// Its kind, as `payment_intent`.
    pub object: Option<Box<str>>,
    /// Its status, as `requires_payment_method`.
    pub status: Option<Box<str>>,
    /// The secret by which a browser may go on with it.
    pub client_secret: Option<ClientSecret>,
}

impl RelatedObject {
    /// Stripe sends the object, or its id alone.
    fn read(value: Value) -> Option<Self> {
        match value {
            Value::String(id) => Some(Self { id: Some(id.into()), ..Self::default() }),
            Value::Object(mut object) => {
                let mut text = |name: &str| object.remove(name).and_then(text);
                Some(Self {
                    id: text("id"),
                    object: text("object"),
                    status: text("status"),
                    client_secret: text("client_secret").map(ClientSecret),
                })
            }
            _ => None,
        }
    }
}

impl fmt::Debug for RelatedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelatedObject")
            .field("object", &word(&self.object))
            .field("status", &word(&self.status))
            .finish_non_exhaustive()
    }
}

/// A secret that lets whoever has it confirm a payment. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(Box<str>);

impl ClientSecret {
    /// The secret itself. Keep it out of logs.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(redacted)")
    }
}

#[cfg(test)]
mod tests;
