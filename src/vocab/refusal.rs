//! The stack's own no, said before anything was sent.

use std::{fmt, time::Duration};

use super::{Failure, FailureKind, InvalidKey, Mode, ReportHandle, TransportError};

/// Why the stack itself refused to send. Never to be mixed up with what Stripe rejected.
///
/// It comes as [`Refused`], with the account of its call.
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
    /// The call may move money and its caller gave no idempotency key, which the settings require.
    ExplicitKeyRequired,
    /// The call may move money and its caller's idempotency key does not say when it was first used, which the settings
    /// require.
    KeyBirthUnknown,
    /// The idempotency key was used before, with other parameters or on another path.
    KeyReused,
    /// There is no time left before the deadline of the call.
    DeadlineExceeded,
    /// The request is for a host that was not allowed.
    HostNotAllowed {
        /// The host, or nothing where the URI has none.
        host: Box<str>,
    },
    /// The URL of the request is no URI of HTTP's.
    InvalidUri,
    /// The request is for plain http, to a host that is not loopback.
    PlainHttp {
        /// The host.
        host: Box<str>,
    },
    /// The API key of the request is of another mode than the settings expect.
    WrongMode {
        /// The mode that is expected.
        expected: Mode,
        /// The mode of the key.
        found: Mode,
    },
    /// The operating system gave no random bytes for an idempotency key.
    NoRandomness,
    /// The circuit to this part of Stripe is open: it has been failing, and is left alone for a while.
    CircuitOpen {
        /// When it may be worth trying again; `None` where somebody holds it open.
        retry_in: Option<Duration>,
    },
    /// Stripe has rejected the API key of this call again and again: no call with it can succeed.
    AuthBlocked {
        /// When the key is tried again.
        retry_in: Duration,
    },
    /// Too many calls are waiting for their turn already.
    Saturated {
        /// When there may be room.
        retry_in: Duration,
    },
    /// The turn of this call would come after its deadline.
    WaitTooLong {
        /// How long it would have to wait, at least.
        wait: Duration,
    },
    /// Stripe's limit for this one object is used up.
    ObjectCooling {
        /// When the object is tried again.
        retry_in: Duration,
    },
    /// No more calls that may move money are taken: the process is shutting down. A call that was under way when it was
    /// cut off ends with this, too, and its report says what it may have done.
    ShuttingDown,
    /// The call that the request belongs to has ended without it, and was said not to have been sent.
    CallEnded,
    /// The request brought a [`ReportHandle`] that belongs to another call. If that was the same order, as when something
    /// outside of the stack retries, it may have been executed: look it up.
    ReportReused,
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
            Self::InvalidUri => "invalid_uri",
            Self::PlainHttp { .. } => "plain_http",
            Self::WrongMode { .. } => "wrong_mode",
            Self::NoRandomness => "no_randomness",
            Self::CallEnded => "call_ended",
            Self::ReportReused => "report_reused",
            Self::ExplicitKeyRequired => "explicit_key_required",
            Self::KeyBirthUnknown => "key_birth_unknown",
            Self::KeyReused => "key_reused",
            Self::CircuitOpen { .. } => "circuit_open",
            Self::AuthBlocked { .. } => "auth_blocked",
            Self::Saturated { .. } => "saturated",
            Self::WaitTooLong { .. } => "wait_too_long",
            Self::ObjectCooling { .. } => "object_cooling",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// When it may be worth trying again, where that is known.
    #[must_use]
    pub const fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::CircuitOpen { retry_in } => *retry_in,
            Self::AuthBlocked { retry_in }
            | Self::Saturated { retry_in }
            | Self::ObjectCooling { retry_in }
            | Self::WaitTooLong { wait: retry_in } => Some(*retry_in),
            _ => None,
        }
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
            Self::ExplicitKeyRequired => f.write_str(
                "refused before sending: a call that may move money needs an idempotency key of its caller's",
            ),
            Self::KeyBirthUnknown => f.write_str(
                "refused before sending: the idempotency key of a call that may move money does not say when it was \
                 first used",
            ),
            Self::KeyReused => f.write_str(
                "refused before sending: the idempotency key was used with other parameters or on another path",
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
            Self::InvalidUri => {
                f.write_str("refused before sending: the url of the request is no uri of http")
            }
            Self::PlainHttp { host } => write!(
                f,
                "refused before sending: plain http to {host:?}; it is allowed only to loopback addresses"
            ),
            Self::WrongMode { expected, found } => write!(
                f,
                "refused before sending: the api key is of {found} mode, where {expected} is expected"
            ),
            Self::NoRandomness => f.write_str(
                "refused before sending: the operating system gave no randomness for an idempotency key",
            ),
            Self::CallEnded => {
                f.write_str("refused before sending: the call that it belongs to has ended without it")
            }
            Self::ReportReused => f.write_str(
                "refused before sending: the report handle of the request belongs to another call; \
                 give each call its own",
            ),
            Self::ShuttingDown => f.write_str(
                "refused before sending: the process is shutting down, and takes no more calls that may move money",
            ),
            Self::CircuitOpen { retry_in: Some(retry_in) } => write!(
                f,
                "refused before sending: stripe has been failing, and the circuit is open for another {retry_in:.1?}"
            ),
            Self::CircuitOpen { retry_in: None } => {
                f.write_str("refused before sending: the circuit is held open")
            }
            Self::AuthBlocked { retry_in } => write!(
                f,
                "refused before sending: stripe does not accept this api key; it is tried again in {retry_in:.1?}"
            ),
            Self::Saturated { retry_in } => write!(
                f,
                "refused before sending: too many calls are waiting; there may be room in {retry_in:.1?}"
            ),
            Self::WaitTooLong { wait } => write!(
                f,
                "refused before sending: its turn would come in {wait:.1?}, after its deadline"
            ),
            Self::ObjectCooling { retry_in } => write!(
                f,
                "refused before sending: stripe's limit for this object is used up; it is tried again in {retry_in:.1?}"
            ),
        }
    }
}

impl std::error::Error for Refusal {}

/// A refusal, with the account of its call: an earlier attempt may have been sent all the same.
///
/// A layer that can refuse asks of its inner service only `S::Error: From<Refused>`. [`Error`](super::Error) and boxed
/// errors have it.
#[derive(Clone, Debug)]
pub struct Refused {
    refusal: Refusal,
    report: Option<ReportHandle>,
}

impl Refused {
    /// A refusal of the call that `report` is of.
    #[must_use]
    pub const fn new(refusal: Refusal, report: ReportHandle) -> Self {
        Self { refusal, report: Some(report) }
    }

    /// Why.
    #[must_use]
    pub const fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// The account of the call.
    #[must_use]
    pub const fn report(&self) -> Option<&ReportHandle> {
        self.report.as_ref()
    }

    pub(super) fn into_parts(self) -> (Refusal, Option<ReportHandle>) {
        (self.refusal, self.report)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, report: None }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.refusal, f)
    }
}

impl std::error::Error for Refused {}

/// Proves nothing of earlier attempts.
impl TransportError for Refused {
    fn failure(&self) -> Failure {
        Failure::not_sent(FailureKind::Other)
    }

    fn as_source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self)
    }
}
