//! Has Stripe executed this? What one attempt proves, and how ambiguity sticks to a call.

use std::fmt;

use super::{Attempt, CallKind, Outcome, operation::ApiVersion};

/// Whether Stripe has executed a call, as far as can be known.
///
/// The question behind it is whether money may have moved. Nothing here is a guess: where it cannot be proven,
/// it is [`Unknown`](Self::Unknown).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// It never reached Stripe: nothing was executed, and nothing will be.
    NotSent,
    /// Stripe said no: nothing was executed, and nothing will be.
    Rejected,
    /// Stripe has executed it.
    Executed,
    /// It may have been executed, or may be executed yet. Money may have moved.
    Unknown,
}

impl Certainty {
    /// The word for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Rejected => "rejected",
            Self::Executed => "executed",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What all attempts of a call prove together.
///
/// Ambiguity sticks: once an attempt ended `Unknown`, a later refusal proves nothing about *that* attempt, which may
/// still be on its way. Only three answers speak for the key as a whole:
///
/// - a 2xx: executed;
/// - with a v1 key, a 402: Stripe stores the first result of a key, so this one is bound to a decline;
/// - with a v1 key, a replayed 4xx, for the same reason.
///
/// A replayed 500 is final in another way: Stripe stored a failure whose effects nobody knows, and repairs by webhook.
/// (Source: Stripe's API reference, "Idempotent requests", and its guide to low-level errors.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    executed: bool,
    unknown: bool,
    rejected: bool,
    stored_failure: bool,
    mismatch: bool,
    /// Whether another call with the same key may have executed it.
    inherited: bool,
    /// Whether Stripe has bound the key to an answer that says no.
    declined: bool,
    ended: Ended,
}

/// What a call leaves behind for the next one with its key.
#[cfg(feature = "idempotency")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeyPast {
    /// Stripe has not taken it: it is as good as unused.
    #[default]
    Unused,
    /// Stripe is sure to say no again.
    Declined,
    /// It was executed, or may have been, or may be yet.
    Open,
}

/// How the last attempt that got as far as the wire ended, as far as advice depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ended {
    #[default]
    NotSent,
    /// An answer that says nothing about the key: limited, locked, or not authorised.
    Unheard,
    Rejected,
    Other,
}

impl Standing {
    /// Takes one more attempt into account.
    pub fn observe(&mut self, kind: CallKind, attempt: &Attempt) {
        if !attempt.on_the_wire() {
            return; // Our own refusal, or a wait given up, says nothing about what Stripe did before.
        }
        let v1_key = kind.keyed && kind.api == ApiVersion::V1;
        self.ended = Ended::Other;
        match attempt.certainty {
            Certainty::Executed => self.executed = true,
            Certainty::Unknown => {
                self.unknown = true;
                // In v2 Stripe stores no failure; of any other version than these two, the worse is presumed.
                self.stored_failure |= kind.keyed
                    && kind.api != ApiVersion::V2
                    && attempt.replayed
                    && matches!(attempt.outcome, Outcome::ServerError);
            }
            Certainty::Rejected => {
                self.rejected = true;
                self.mismatch |= matches!(attempt.outcome, Outcome::KeyMismatch);
                if v1_key && (attempt.replayed || matches!(attempt.outcome, Outcome::Declined)) {
                    self.unknown = self.stored_failure;
                    self.inherited = false;
                    self.declined = true;
                }
                self.ended = match attempt.outcome {
                    Outcome::RateLimited(_)
                    | Outcome::LockTimeout
                    | Outcome::Unauthorized
                    | Outcome::Forbidden => Ended::Unheard,
                    _ => Ended::Rejected,
                };
            }
            Certainty::NotSent => self.ended = Ended::NotSent,
        }
    }

    /// The certainty of the call.
    #[must_use]
    pub const fn certainty(&self) -> Certainty {
        if self.executed {
            Certainty::Executed
        } else if self.unknown || self.inherited {
            Certainty::Unknown
        } else if self.rejected {
            Certainty::Rejected
        } else {
            Certainty::NotSent
        }
    }

    /// Takes over what other calls with the same key leave open, or learns that they left nothing open.
    #[cfg(feature = "idempotency")]
    pub(super) const fn inherit(&mut self, open: bool) {
        self.inherited = open;
    }

    /// The key is another request's.
    #[cfg(feature = "idempotency")]
    pub(super) const fn mismatched(&mut self) {
        self.mismatch = true;
    }

    /// What the next call with the same key must presume.
    #[cfg(feature = "idempotency")]
    pub(super) const fn key_past(&self) -> KeyPast {
        if self.executed {
            KeyPast::Open
        } else if self.mismatch {
            KeyPast::Unused // Stripe holds it for other parameters, so these are not the ones to be held to.
        } else if self.unknown || self.inherited {
            KeyPast::Open
        } else if self.declined {
            KeyPast::Declined
        } else {
            KeyPast::Unused
        }
    }

    /// What Stripe has bound the key to: an execution, or a rejection that it will repeat.
    #[cfg(feature = "telemetry")]
    pub(super) const fn bound(&self) -> Option<Certainty> {
        if self.executed {
            Some(Certainty::Executed)
        } else if self.declined && !self.unknown {
            Some(Certainty::Rejected)
        } else {
            None
        }
    }

    pub(super) const fn ended(&self) -> Ended {
        self.ended
    }

    /// Whether looking the object up is all that is left: Stripe stored a failure, or holds other parameters.
    pub(super) const fn beyond_the_key(&self) -> bool {
        self.stored_failure || self.mismatch
    }
}
