//! The stack's own no, said before anything was sent.

use std::{fmt, time::Duration};

use super::{Failure, FailureKind, InvalidKey, TransportError};

/// Why the stack itself refused to send. Never to be mixed up with what Stripe rejected.
///
/// A layer that can refuse asks of its inner service only `S::Error: From<Refusal>`. [`Error`](super::Error) and boxed
/// errors have it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The idempotency key breaks a rule.
    InvalidKey(InvalidKey),
    /// Two idempotency keys that differ were given: two headers, or a header and an extension.
    ConflictingKeys,
    /// The idempotency key is so old that Stripe may have forgotten it, and would execute anew.
    KeyTooOld {
        /// How old it is; `None` where the clocks contradict each other.
        age: Option<Duration>,
        /// The age from which on a key is refused.
        limit: Duration,
    },
    /// There is no time left before the deadline of the call.
    DeadlineExceeded,
    /// The request is for a host that was not allowed.
    HostNotAllowed {
        /// The host, or nothing where the URI has none.
        host: Box<str>,
    },
    /// The request is for plain http, to a host that is not loopback.
    PlainHttp {
        /// The host.
        host: Box<str>,
    },
    /// The operating system gave no random bytes for an idempotency key.
    NoRandomness,
}

impl Refusal {
    /// The word for logs and labels.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::InvalidKey(_) => "invalid_key",
            Self::ConflictingKeys => "conflicting_keys",
            Self::KeyTooOld { .. } => "key_too_old",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::HostNotAllowed { .. } => "host_not_allowed",
            Self::PlainHttp { .. } => "plain_http",
            Self::NoRandomness => "no_randomness",
        }
    }

    /// When it may be worth trying again, where that is known.
    #[must_use]
    pub const fn retry_in(&self) -> Option<Duration> {
        None
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidKey(why) => write!(f, "refused before sending: {why}"),
            Self::ConflictingKeys => {
                f.write_str("refused before sending: two idempotency keys that differ were given")
            }
            Self::KeyTooOld { age: Some(age), limit } => write!(
                f,
                "refused before sending: the idempotency key is {age:.0?} old, and is safe only for {limit:.0?}"
            ),
            Self::KeyTooOld { age: None, limit } => write!(
                f,
                "refused before sending: the clocks contradict each other about the age of the idempotency key, \
                 which is safe only for {limit:.0?}"
            ),
            Self::DeadlineExceeded => {
                f.write_str("refused before sending: no time is left before the deadline")
            }
            Self::HostNotAllowed { host } if host.is_empty() => {
                f.write_str("refused before sending: the URI names no host")
            }
            Self::HostNotAllowed { host } => write!(
                f,
                "refused before sending: {host:?} is not a host of Stripe's; allow_host admits another one"
            ),
            Self::PlainHttp { host } => write!(
                f,
                "refused before sending: plain http to {host:?}; it is allowed only to loopback addresses"
            ),
            Self::NoRandomness => f.write_str(
                "refused before sending: the operating system gave no randomness for an idempotency key",
            ),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InvalidKey(why) => Some(why),
            _ => None,
        }
    }
}

impl TransportError for Refusal {
    fn failure(&self) -> Failure {
        Failure::not_sent(FailureKind::Other)
    }

    fn as_source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self)
    }
}
