//! What the outcome of an attempt says about Stripe, and about the way there.

use std::time::Duration;

use super::ticket::Verdict;
use crate::vocab::{FailureKind, Outcome};

/// What an attempt says about connecting to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Dial {
    /// Something at the other end spoke HTTP.
    Connected,
    /// No connection could be made.
    Failed,
    /// Nothing.
    Neutral,
}

/// What it says about Stripe. `on_wire`: how long it was, if it was sent.
///
/// A decline, a wrong parameter or a missing object is Stripe at work. A limiter protects Stripe and is obeyed
/// elsewhere. What something in between has answered says nothing about Stripe.
pub(in super::super) fn verdict(
    outcome: Outcome,
    genuine: bool,
    on_wire: Option<Duration>,
    abandoned_after: Duration,
) -> Verdict {
    use FailureKind as F;
    match outcome {
        Outcome::Success | Outcome::LockTimeout => Verdict::Success,
        Outcome::InvalidRequest
        | Outcome::KeyMismatch
        | Outcome::Unauthorized
        | Outcome::Declined
        | Outcome::Forbidden
        | Outcome::NotFound
        | Outcome::Conflict
        | Outcome::KeyInUse
            if genuine =>
        {
            Verdict::Success
        }
        Outcome::ServerError | Outcome::Transport(F::Timeout | F::Reset | F::Protocol | F::Other) => {
            Verdict::Failure
        }
        // Otherwise an upstream that hangs would never be noticed behind a caller's own, shorter timeout.
        Outcome::Cancelled if on_wire.is_some_and(|time| time >= abandoned_after) => Verdict::Failure,
        _ => Verdict::Neutral,
    }
}

/// What it says about connecting.
pub(in super::super) const fn dial(outcome: Outcome) -> Dial {
    use FailureKind as F;
    match outcome {
        Outcome::Transport(F::Connect | F::Dns | F::Tcp | F::Tls | F::ConnectTimeout) => Dial::Failed,
        Outcome::Transport(_) | Outcome::Refused | Outcome::Cancelled => Dial::Neutral,
        _ => Dial::Connected,
    }
}
