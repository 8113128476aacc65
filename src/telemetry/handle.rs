use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{pending::Entry, shared::Shared};
use crate::vocab::{IdempotencyKey, Operation};

/// Reads what is pending, and strikes out what has become known. See the [module docs](super).
#[derive(Clone)]
pub struct TelemetryHandle {
    shared: Arc<Shared>,
}

impl TelemetryHandle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The calls of which nobody knows whether Stripe has executed them, the oldest first.
    #[must_use]
    pub fn pending(&self) -> Vec<PendingCall> {
        self.shared.pending()
    }

    /// Brings the gauges that are read and not counted up to date. [`sample`](super::sample) does so for all transports
    /// of the process, but for those with a recorder of their own.
    pub fn sample(&self) {
        self.shared.sample();
    }

    /// Somebody knows what became of the calls with this key: from a webhook, or by looking the object up. How many
    /// calls are not pending any more.
    pub fn resolve(&self, key: &IdempotencyKey) -> u64 {
        self.shared.told(Some(key))
    }

    /// Somebody knows what became of all of them. How many calls are not pending any more.
    pub fn resolve_all(&self) -> u64 {
        self.shared.told(None)
    }
}

impl fmt::Debug for TelemetryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryHandle").finish_non_exhaustive()
    }
}

/// Calls of which nobody knows whether Stripe has executed them, that have one idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingCall {
    operation: Operation,
    age: Duration,
    calls: u64,
}

impl PendingCall {
    pub(super) fn new(entry: Entry, now: Instant) -> Self {
        let Entry { operation, since, calls } = entry;
        Self { operation, age: now.saturating_duration_since(since), calls }
    }

    /// What the first of them was.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// How long ago the first of them ended.
    #[must_use]
    pub const fn age(&self) -> Duration {
        self.age
    }

    /// How many there were.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.calls
    }
}
