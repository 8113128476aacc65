//! The handle by which a caller reads.

use std::{
    fmt,
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

#[cfg(feature = "telemetry")]
use super::observer::Observer;
use super::{account::Report, state::State};
use crate::vocab::{Attempt, Certainty, Operation, sync::Lock, time};

/// Reads the account of one call.
///
/// Put one into the extensions of a request to read its report even after the call was dropped. It belongs to that one
/// call: a request that brings a handle which another call has used is refused
/// ([`Refusal::ReportReused`](crate::Refusal::ReportReused)), since the two accounts would run together.
///
/// ```
/// use tower_stripe::{Certainty, ReportHandle};
///
/// let handle = ReportHandle::new();
/// let request = http::Request::post("https://api.stripe.com/v1/refunds").extension(handle.clone()).body(())?;
/// // … the call is made, and dropped before it ends …
/// assert_eq!(handle.report().certainty(), Certainty::NotSent); // here it never began
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct ReportHandle(pub(super) Arc<Shared>);

/// The account of a call.
///
/// The state is behind a lock that only the task of the call takes, for a few instructions at a time: it is contended
/// only if somebody reads a report of a call under way.
#[derive(Default)]
pub(super) struct Shared {
    /// Whether a call has begun to use it.
    pub(super) begun: AtomicBool,
    pub(super) operation: OnceLock<Operation>,
    /// Whether an attempt is open: a hint that saves the lock.
    pub(super) open: AtomicBool,
    pub(super) state: Lock<State>,
    #[cfg(feature = "telemetry")]
    pub(super) observer: OnceLock<Arc<dyn Observer>>,
}

impl ReportHandle {
    /// A handle for one call.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The account up to now. While the call goes on, nothing is certain but an execution.
    #[must_use]
    pub fn report(&self) -> Report {
        let operation = self.0.operation.get().copied();
        let now = time::now();
        self.0.state.with(|state| Report {
            operation,
            certainty: state.certainty_now(),
            advice: state.advice(now),
            key: state.key(),
            attempts: state.first.iter().chain(&state.later).chain(&state.current).cloned().collect(),
            attempts_made: state.made_now(),
            waited: state.waited,
            stopped: state.stopped,
            retry_in: state.retry_in,
            may_be_gone: state.may_be_gone(),
        })
    }

    /// Whether Stripe has executed the call, as far as is known up to now.
    #[must_use]
    pub fn certainty(&self) -> Certainty {
        self.0.state.with(|state| state.certainty_now())
    }

    /// Reads the last attempt, closed or open.
    pub(crate) fn last_attempt<R>(&self, read: impl FnOnce(&Attempt) -> R) -> Option<R> {
        self.0.state.with(|state| state.latest().map(read))
    }

    /// How many attempts were made on the wire.
    #[must_use]
    pub fn attempts_made(&self) -> u32 {
        self.0.state.with(|state| state.made_now())
    }
}

impl fmt::Debug for ReportHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReportHandle").field(&self.report()).finish()
    }
}
