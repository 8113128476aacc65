//! What to do with the idempotency key now.

use std::fmt;

use super::{
    CallKind, Certainty,
    certainty::{Ended, Standing},
    key::History,
};

/// What a caller may safely do next with a call and its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Executed. Nothing is to be done.
    Done,
    /// Send the same request again with the same key, until it is resolved; after a refusal, once what was wrong with the
    /// request is corrected.
    SameKey,
    /// Nothing was executed, and no other call ever used this key: a new one is safe. After an answer of Stripe's it is
    /// needed, since that answer may be stored under this one.
    NewKey,
    /// The call has no key, and sending it again is safe: it was not executed, or repeating it changes nothing.
    Resend,
    /// No repetition can settle it. Look the object up by your own id, or wait for its webhook.
    Reconcile,
}

impl Advice {
    /// The word for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::SameKey => "same_key",
            Self::NewKey => "new_key",
            Self::Resend => "resend",
            Self::Reconcile => "reconcile",
        }
    }

    /// The advice for a call that came to `standing`.
    ///
    /// `history` is that of its key, if it has one; `expired` says that the key is older than Stripe is sure to
    /// remember it.
    ///
    /// `NewKey` is the advice that can charge twice when it is wrong, so it is given only for a key that this call was
    /// the first to use: an earlier call of unknown fate may still own any other.
    #[must_use]
    pub fn of(standing: &Standing, kind: CallKind, history: Option<History>, expired: bool) -> Self {
        let certainty = standing.certainty();
        if certainty == Certainty::Executed {
            return Self::Done;
        }
        let Some(history) = history else {
            return if kind.repeatable() || certainty != Certainty::Unknown {
                Self::Resend
            } else {
                Self::Reconcile
            };
        };
        if expired || standing.beyond_the_key() {
            return Self::Reconcile;
        }
        match (certainty, standing.ended(), history) {
            (Certainty::Unknown, ..) | (_, Ended::Unheard, _) | (.., History::Unknown) => Self::SameKey,
            (.., History::Fresh) => Self::NewKey,
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
