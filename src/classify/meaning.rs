//! Whose business an error is.

use std::fmt;

use http::Response;

use super::{StripeError, decline::words};
use crate::vocab::{Outcome, ResponseExt};

pub(super) mod codes;

words! {
    /// Whose business an error is: for alerts, dashboards and labels.
    ///
    /// It decides nothing about retries: statuses, headers and keys do. What is `Transient` may be sent again by whoever
    /// made the call, if its [`Advice`](crate::Advice) says so.
    ///
    /// ```
    /// use tower_stripe::classify::{Meaning, StripeError};
    ///
    /// let body = br#"{"error":{"type":"invalid_request_error","code":"api_key_expired"}}"#;
    /// let error = StripeError::parse(body).expect("an error of Stripe's");
    /// assert_eq!(error.meaning(), Meaning::Config);
    /// assert!(error.meaning().pages());
    /// ```
    ///
    /// (Source of the codes: Stripe's guide to error codes and its own libraries, 2026-11. What each means for an
    /// operator is this crate's reading of their descriptions.)
    Meaning {
        /// Keys, accounts, modes, permissions or capabilities are not set up for this. All such calls fail until
        /// somebody changes something: page them.
        Config = "config",
        /// The request is wrong, or came too late or twice: a defect of the program that made it, which a repetition
        /// does not cure.
        Caller = "caller",
        /// The request is well formed, and the money, the state of an object or what the payer typed says no. Declines are this,
        /// all of them.
        Business = "business",
        /// Nothing is wrong with the request. The same may go through later, without anybody doing anything.
        Transient = "transient",
        /// A code that this version does not know, or nothing to tell by.
        Other = "other",
    }
}

impl Meaning {
    /// Whether somebody has to be woken: all further calls of the kind fail as well.
    #[must_use]
    pub const fn pages(self) -> bool {
        matches!(self, Self::Config)
    }

    /// What the error in a response means: by its body, and where that does not tell, by its outcome, as of a 401 that
    /// has no code. `None` for a success, and for a response that went through no layer of this crate.
    #[must_use]
    pub fn of<B>(response: &Response<B>) -> Option<Self> {
        let by_body = StripeError::of(response).map(StripeError::meaning);
        match (by_body, response.outcome()) {
            (Some(meaning), _) if meaning != Self::Other => Some(meaning),
            (_, Some(outcome)) => Self::of_outcome(outcome),
            (by_body, None) => by_body,
        }
    }

    /// What an outcome means by itself: the least that can be said where there is no body. `None` for a success.
    ///
    /// (Source: the statuses in Stripe's API reference, "Errors".)
    #[must_use]
    pub const fn of_outcome(outcome: Outcome) -> Option<Self> {
        Some(match outcome {
            Outcome::Success => return None,
            Outcome::Unauthorized | Outcome::Forbidden => Self::Config,
            Outcome::InvalidRequest | Outcome::KeyMismatch | Outcome::NotFound => Self::Caller,
            Outcome::Declined => Self::Business,
            Outcome::Interrupted
            | Outcome::Conflict
            | Outcome::KeyInUse
            | Outcome::RateLimited(_)
            | Outcome::LockTimeout
            | Outcome::ServerError
            | Outcome::Transport(_) => Self::Transient,
            // Somebody else's answer, or none that was waited for.
            Outcome::Foreign | Outcome::Redirect | Outcome::Refused | Outcome::Cancelled => Self::Other,
        })
    }

    /// What an error tells by its words. The code decides, since the type is too coarse: lock timeouts and wrong API keys
    /// have both been seen as `invalid_request_error`.
    pub(super) fn of_error(error_type: Option<&str>, code: Option<&str>) -> Self {
        let by_code = code.and_then(|code| find(codes::CODES, code));
        let by_type = || error_type.and_then(|word| find(codes::TYPES, word));
        // A type of v1 tells something only where there is no code: a code that is not known may mean anything.
        let by_coarse_type =
            || error_type.filter(|_| code.is_none()).and_then(|word| find(codes::V1_TYPES, word));
        by_code.or_else(by_type).or_else(by_coarse_type).unwrap_or(Self::Other)
    }

    /// What an OAuth error tells.
    pub(super) fn of_oauth(code: Option<&str>) -> Self {
        code.and_then(|code| find(codes::OAUTH, code)).unwrap_or(Self::Other)
    }
}

fn find(table: codes::Table, word: &str) -> Option<Meaning> {
    table.iter().find(|(_, words)| words.contains(&word)).map(|(meaning, _)| *meaning)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::known;
