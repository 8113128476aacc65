//! What one attempt came to.

use std::fmt;

use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};

use super::{
    CallKind, Certainty, FailureKind, Verb,
    headers::{REQUEST_ID, STRIPE_RATE_LIMITED_REASON},
};

/// What one attempt came to. A closed set: it is the label of metrics and the type of errors in spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// 2xx from Stripe.
    Success,
    /// 2xx that is not Stripe's: neither a `Request-Id` nor JSON. Something in between answered.
    Foreign,
    /// 3xx. Never followed.
    Redirect,
    /// 400, and any other 4xx that has no name of its own here.
    InvalidRequest,
    /// 400 or 404 `idempotency_error`: the key was used before, with other parameters.
    KeyMismatch,
    /// 401: the API key is not accepted.
    Unauthorized,
    /// 402: the parameters were valid and the request failed, as a declined card does.
    Declined,
    /// 403: the API key lacks a permission.
    Forbidden,
    /// 404.
    NotFound,
    /// 408, 424 or 499: given up in the middle, by Stripe or by something in between.
    Interrupted,
    /// 409, but not because of the key.
    Conflict,
    /// 409 `idempotency_key_in_use`: a request with this key is executing now.
    KeyInUse,
    /// 429 from a limiter.
    RateLimited(RateLimitReason),
    /// 429 `lock_timeout`: the object was in use for too long.
    LockTimeout,
    /// 5xx.
    ServerError,
    /// There was no answer.
    Transport(FailureKind),
    /// The stack itself said no before sending.
    Refused,
    /// The caller went away.
    Cancelled,
}

impl Outcome {
    /// The word for logs and labels. The reasons of a limiter and the kinds of a failure have labels of their own.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Foreign => "foreign",
            Self::Redirect => "redirect",
            Self::InvalidRequest => "invalid_request",
            Self::KeyMismatch => "key_mismatch",
            Self::Unauthorized => "unauthorized",
            Self::Declined => "declined",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Interrupted => "interrupted",
            Self::Conflict => "conflict",
            Self::KeyInUse => "key_in_use",
            Self::RateLimited(_) => "rate_limited",
            Self::LockTimeout => "lock_timeout",
            Self::ServerError => "server_error",
            Self::Transport(kind) => kind.as_str(),
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
        }
    }

    /// What a response head says, and what that proves.
    ///
    /// The head decides; the body only refines ([`refined`](Self::refined)). A 409 to a keyed request counts as
    /// `Unknown` until its body has been read: it may say that the key is executing at this moment.
    #[must_use]
    pub fn of_head(kind: CallKind, status: StatusCode, headers: &HeaderMap) -> (Self, Certainty) {
        match status.as_u16() {
            200..=299 if is_stripes(headers) => (Self::Success, Certainty::Executed),
            ..=299 => (Self::Foreign, Certainty::Unknown),
            300..=399 if kind.verb == Verb::Get => (Self::Redirect, Certainty::Rejected),
            300..=399 => (Self::Redirect, Certainty::Unknown),
            401 => (Self::Unauthorized, Certainty::Rejected),
            402 => (Self::Declined, Certainty::Rejected),
            403 => (Self::Forbidden, Certainty::Rejected),
            404 => (Self::NotFound, Certainty::Rejected),
            408 | 424 | 499 => (Self::Interrupted, Certainty::Unknown),
            409 if kind.keyed => (Self::Conflict, Certainty::Unknown),
            409 => (Self::Conflict, Certainty::Rejected),
            429 => (Self::RateLimited(RateLimitReason::of(headers)), Certainty::Rejected),
            400..=499 => (Self::InvalidRequest, Certainty::Rejected),
            500.. => (Self::ServerError, Certainty::Unknown),
        }
    }

    /// What the error body adds to an answer's head: Stripe's `code` and `type`, either of which may be missing.
    ///
    /// The type alone is too coarse: a lock timeout, and a key in use, have both been seen as
    /// `invalid_request_error`.
    #[must_use]
    pub fn refined(
        self,
        certainty: Certainty,
        code: Option<&str>,
        error_type: Option<&str>,
    ) -> (Self, Certainty) {
        match (self, code, error_type) {
            (Self::Conflict, Some("idempotency_key_in_use"), _) => (Self::KeyInUse, Certainty::Unknown),
            // It says nothing, or only that it is about the key: that is no answer to whether the key is in use.
            (Self::Conflict, None, None | Some("idempotency_error")) => (self, certainty),
            (Self::Conflict, ..) => (Self::Conflict, Certainty::Rejected),
            (Self::RateLimited(_), Some("lock_timeout"), _) => (Self::LockTimeout, certainty),
            // `rate_limit_error` is the word of old API versions.
            (Self::RateLimited(RateLimitReason::Unstated), Some("rate_limit"), _)
            | (Self::RateLimited(RateLimitReason::Unstated), _, Some("rate_limit" | "rate_limit_error")) => {
                (Self::RateLimited(RateLimitReason::Other), certainty)
            }
            // As 400, or as 404 where the key was first used with another path.
            (Self::InvalidRequest | Self::NotFound, _, Some("idempotency_error")) => {
                (Self::KeyMismatch, certainty)
            }
            _ => (self, certainty),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether a 2xx is Stripe's own: it carries a `Request-Id`, or JSON. A captive portal's page has neither.
fn is_stripes(headers: &HeaderMap) -> bool {
    headers.contains_key(REQUEST_ID) || is_json(headers)
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
            || essence.len() > 5 && essence[essence.len() - 5..].eq_ignore_ascii_case("+json")
    })
}

/// Why a limiter of Stripe's said no, by its `Stripe-Rate-Limited-Reason` header. (Source: Stripe's guide to rate
/// limits.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RateLimitReason {
    /// Too many requests a second in the account.
    GlobalRate,
    /// Too many requests at once in the account.
    GlobalConcurrency,
    /// Too many requests a second to this operation.
    EndpointRate,
    /// Too many requests at once to this operation.
    EndpointConcurrency,
    /// Too many requests for this one object, in a window of minutes to days.
    ResourceSpecific,
    /// A limiter for a reason that this version does not know, or that only the body tells of.
    Other,
    /// No reason was given, and nothing says that it was a limiter of Stripe's at all.
    Unstated,
}

impl RateLimitReason {
    fn of(headers: &HeaderMap) -> Self {
        match headers.get(STRIPE_RATE_LIMITED_REASON).map(|value| value.as_bytes()) {
            None => Self::Unstated,
            Some(b"global-rate") => Self::GlobalRate,
            Some(b"global-concurrency") => Self::GlobalConcurrency,
            Some(b"endpoint-rate") => Self::EndpointRate,
            Some(b"endpoint-concurrency") => Self::EndpointConcurrency,
            Some(b"resource-specific") => Self::ResourceSpecific,
            Some(_) => Self::Other,
        }
    }

    /// The word for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GlobalRate => "global_rate",
            Self::GlobalConcurrency => "global_concurrency",
            Self::EndpointRate => "endpoint_rate",
            Self::EndpointConcurrency => "endpoint_concurrency",
            Self::ResourceSpecific => "resource_specific",
            Self::Other => "other",
            Self::Unstated => "unstated",
        }
    }
}

impl fmt::Display for RateLimitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
