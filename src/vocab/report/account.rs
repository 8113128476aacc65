//! The account itself: what a caller reads.

use std::{fmt, time::Duration};

#[cfg(feature = "retry")]
use crate::vocab::Refusal;
use crate::vocab::{Advice, Attempt, Certainty, IdempotencyKey, Operation, RequestId};

/// The account of a call: what was tried, what came of it, and what to do next.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) operation: Option<Operation>,
    pub(super) certainty: Certainty,
    pub(super) advice: Advice,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) attempts_made: u32,
    pub(super) waited: Duration,
    pub(super) stopped: Option<Stop>,
    pub(super) retry_in: Option<Duration>,
    pub(super) may_be_gone: bool,
}

impl Report {
    /// The operation of Stripe's API; `None` as long as no layer has seen the request.
    #[must_use]
    pub const fn operation(&self) -> Option<Operation> {
        self.operation
    }

    /// Whether Stripe has executed the call.
    #[must_use]
    pub const fn certainty(&self) -> Certainty {
        self.certainty
    }

    /// What to do with the key now.
    #[must_use]
    pub const fn advice(&self) -> Advice {
        self.advice
    }

    /// The idempotency key in force: the one to come back with, or to look the call up by.
    #[must_use]
    pub const fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        self.key.as_ref()
    }

    /// The attempts, and refusals in place of attempts, in order: the first one and the last fifteen.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// How many attempts were made on the wire, including those no longer listed.
    #[must_use]
    pub const fn attempts_made(&self) -> u32 {
        self.attempts_made
    }

    /// How long the call waited: between attempts, and to be admitted.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// Why no further attempt was made; `None` while the call goes on.
    #[must_use]
    pub const fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// When it may be worth trying again, if somebody said so: `Retry-After`, or a refusal.
    #[must_use]
    pub const fn retry_in(&self) -> Option<Duration> {
        self.retry_in
    }

    /// Whether a DELETE was answered 404 after an attempt whose answer was lost: that one may have deleted it already.
    #[must_use]
    pub const fn may_be_gone(&self) -> bool {
        self.may_be_gone
    }

    /// Stripe's ids of the attempts that it answered, in order.
    pub fn request_ids(&self) -> impl Iterator<Item = &RequestId> {
        self.attempts.iter().filter_map(|attempt| attempt.request_id.as_ref())
    }
}

/// Why no further attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// The answer is final, or the failure is one that repeating cannot cure.
    Final,
    /// All attempts are used up.
    Attempts,
    /// What is left before the deadline is too little.
    Deadline,
    /// The retry budget, shared by all calls, is empty.
    Budget,
    /// The idempotency key has become too old to be sent.
    KeyAge,
    /// The body of the request cannot be sent twice.
    Body,
    /// Stripe said not to (`Stripe-Should-Retry: false`).
    Header,
    /// It may have been executed, and has no key by which Stripe would know it again.
    Unkeyed,
    /// The server asked for a longer wait than the stack is willing to take.
    RetryAfter,
    /// The stack itself refused.
    Refused,
    /// The caller went away.
    Cancelled,
}

impl Stop {
    /// Why a call stops that `refusal` ends.
    #[cfg(feature = "retry")]
    pub(crate) const fn at(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::DeadlineExceeded | Refusal::WaitTooLong { .. } => Self::Deadline,
            Refusal::KeyTooOld { .. } => Self::KeyAge,
            _ => Self::Refused,
        }
    }

    /// The word for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Attempts => "attempts",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
            Self::KeyAge => "key_age",
            Self::Body => "body",
            Self::Header => "header",
            Self::Unkeyed => "unkeyed",
            Self::RetryAfter => "retry_after",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
