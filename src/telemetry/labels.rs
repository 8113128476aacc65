//! What becomes of the vocabulary's types as labels: places in the lists of the contract.

use crate::vocab::{
    Certainty, Class, FailureKind, Mode, Outcome, Priority, Purpose, RateLimitReason, Refusal, report::Stop,
};

/// A type whose values are the values of a label, in the same order.
pub(super) trait Label {
    /// Its place in the list.
    fn index(&self) -> usize;
}

impl Label for Outcome {
    fn index(&self) -> usize {
        match self {
            Self::Success => 0,
            Self::Foreign => 1,
            Self::Redirect => 2,
            Self::InvalidRequest => 3,
            Self::KeyMismatch => 4,
            Self::Unauthorized => 5,
            Self::Declined => 6,
            Self::Forbidden => 7,
            Self::NotFound => 8,
            Self::Interrupted => 9,
            Self::Conflict => 10,
            Self::KeyInUse => 11,
            Self::RateLimited(_) => 12,
            Self::LockTimeout => 13,
            Self::ServerError => 14,
            Self::Refused => 15,
            Self::Cancelled => 16,
            Self::Transport(kind) => {
                17 + match kind {
                    FailureKind::Connect => 0,
                    FailureKind::Dns => 1,
                    FailureKind::Tcp => 2,
                    FailureKind::Tls => 3,
                    FailureKind::ConnectTimeout => 4,
                    FailureKind::Canceled => 5,
                    FailureKind::StreamRefused => 6,
                    FailureKind::Timeout => 7,
                    FailureKind::Reset => 8,
                    FailureKind::Body => 9,
                    FailureKind::Protocol => 10,
                    FailureKind::Other => 11,
                }
            }
        }
    }
}

impl Label for Certainty {
    fn index(&self) -> usize {
        match self {
            Self::NotSent => 0,
            Self::Rejected => 1,
            Self::Executed => 2,
            Self::Unknown => 3,
        }
    }
}

impl Label for Class {
    fn index(&self) -> usize {
        match self {
            Self::Money => 0,
            Self::Write => 1,
            Self::Read => 2,
            Self::Search => 3,
            Self::Upload => 4,
            Self::Meter => 5,
        }
    }
}

impl Label for Mode {
    fn index(&self) -> usize {
        match self {
            Self::Live => 0,
            Self::Sandbox => 1,
        }
    }
}

impl Label for Priority {
    fn index(&self) -> usize {
        match self {
            Self::Background => 0,
            Self::Normal => 1,
            Self::Critical => 2,
        }
    }
}

impl Label for Purpose {
    fn index(&self) -> usize {
        match self {
            Self::First => 0,
            Self::Retry => 1,
            Self::Poll => 2,
            Self::Resend => 3,
            Self::Rotated => 4,
        }
    }
}

impl Label for RateLimitReason {
    fn index(&self) -> usize {
        match self {
            Self::GlobalRate => 0,
            Self::GlobalConcurrency => 1,
            Self::EndpointRate => 2,
            Self::EndpointConcurrency => 3,
            Self::ResourceSpecific => 4,
            Self::Other => 5,
            Self::Unstated => 6,
        }
    }
}

/// The place of lock timeouts, behind the reasons of limiters.
pub(super) const LOCK_TIMEOUT: usize = 7;

impl Label for Refusal {
    fn index(&self) -> usize {
        match self {
            Self::InvalidKey(_) => 0,
            Self::ConflictingKeys => 1,
            Self::KeyTooOld { .. } => 2,
            Self::ExplicitKeyRequired => 3,
            Self::KeyBirthUnknown => 4,
            Self::KeyReused => 5,
            Self::DeadlineExceeded => 6,
            Self::HostNotAllowed { .. } => 7,
            Self::PlainHttp { .. } => 8,
            Self::NoRandomness => 9,
            Self::CircuitOpen { .. } => 10,
            Self::AuthBlocked { .. } => 11,
            Self::Saturated { .. } => 12,
            Self::WaitTooLong { .. } => 13,
            Self::ObjectCooling { .. } => 14,
            Self::ShuttingDown => 15,
            Self::CallEnded => 16,
            Self::ReportReused => 17,
            Self::InvalidUri => 18,
            Self::WrongMode { .. } => 19,
        }
    }
}

/// The place of a limit that ended a call; `None` for what else ends one.
pub(super) const fn limit(stop: Stop) -> Option<usize> {
    Some(match stop {
        Stop::Attempts => 0,
        Stop::Deadline => 1,
        Stop::Budget => 2,
        Stop::KeyAge => 3,
        Stop::Body => 4,
        Stop::Header => 5,
        Stop::Unkeyed => 6,
        Stop::RetryAfter => 7,
        Stop::Final | Stop::Refused | Stop::Cancelled => return None,
    })
}

/// What an attempt or a call came to, more coarsely: for durations, which have a bucket for each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It went well.
    Success,
    /// Stripe said no, for a reason that lies in the request or in the payment.
    Rejected,
    /// Stripe said not now: a limiter, or a lock.
    Limited,
    /// Stripe failed, or something else answered in its place.
    Failed,
    Timeout,
    /// No connection, or a lost one.
    Transport,
    /// The stack said not now.
    Refused,
    /// The stack refused what breaks a rule.
    Invalid,
    Cancelled,
}

impl Ending {
    pub(super) const fn of(outcome: Outcome, refusal: Option<&Refusal>) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::InvalidRequest
            | Outcome::KeyMismatch
            | Outcome::Unauthorized
            | Outcome::Declined
            | Outcome::Forbidden
            | Outcome::NotFound
            | Outcome::Conflict => Self::Rejected,
            Outcome::KeyInUse | Outcome::RateLimited(_) | Outcome::LockTimeout => Self::Limited,
            Outcome::Foreign | Outcome::Redirect | Outcome::Interrupted | Outcome::ServerError => {
                Self::Failed
            }
            Outcome::Transport(FailureKind::Timeout | FailureKind::ConnectTimeout) => Self::Timeout,
            Outcome::Transport(_) => Self::Transport,
            Outcome::Refused => match refusal {
                Some(refusal) if is_a_rule(refusal) => Self::Invalid,
                _ => Self::Refused,
            },
            Outcome::Cancelled => Self::Cancelled,
        }
    }
}

impl Label for Ending {
    fn index(&self) -> usize {
        *self as usize
    }
}

/// Whether it is the caller that must change something, and not time that must pass.
const fn is_a_rule(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::InvalidKey(_)
            | Refusal::ConflictingKeys
            | Refusal::KeyTooOld { .. }
            | Refusal::ExplicitKeyRequired
            | Refusal::KeyBirthUnknown
            | Refusal::KeyReused
            | Refusal::HostNotAllowed { .. }
            | Refusal::PlainHttp { .. }
            | Refusal::CallEnded
            | Refusal::ReportReused
            | Refusal::InvalidUri
            | Refusal::WrongMode { .. }
    )
}

/// What left it open whether a call was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Timeout,
    /// The connection was lost.
    Transport,
    /// Stripe failed, or something else answered in its place.
    Failed,
    /// Another request with the same key is executing, or may have been executed.
    InUse,
    /// The caller went away.
    Cancelled,
}

impl Cause {
    pub(super) const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Transport(FailureKind::Timeout) => Self::Timeout,
            Outcome::Transport(_) => Self::Transport,
            Outcome::Conflict | Outcome::KeyInUse => Self::InUse,
            Outcome::Cancelled => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

impl Label for Cause {
    fn index(&self) -> usize {
        *self as usize
    }
}

/// What was wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyError {
    MismatchLocal,
    MismatchRemote,
    InUse,
    TooOld,
    Conflicting,
    /// It breaks a rule, or is one that the settings do not allow.
    Invalid,
}

impl KeyError {
    pub(super) const fn of_refusal(refusal: &Refusal) -> Option<Self> {
        Some(match refusal {
            Refusal::KeyReused => Self::MismatchLocal,
            Refusal::KeyTooOld { .. } => Self::TooOld,
            Refusal::ConflictingKeys => Self::Conflicting,
            Refusal::InvalidKey(_) | Refusal::ExplicitKeyRequired | Refusal::KeyBirthUnknown => Self::Invalid,
            _ => return None,
        })
    }

    pub(super) const fn of_outcome(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::KeyMismatch => Some(Self::MismatchRemote),
            Outcome::KeyInUse => Some(Self::InUse),
            _ => None,
        }
    }
}

impl Label for KeyError {
    fn index(&self) -> usize {
        *self as usize
    }
}

#[cfg(test)]
mod tests;
