//! Whose values are read when somebody looks: the telemetry of every transport that writes to the recorder of the
//! process.

use std::sync::{LazyLock, Weak};

use super::shared::Shared;
use crate::vocab::sync::Lock;

/// All there is in this process, as the recorder is one for the process.
static ALIVE: LazyLock<Lock<Vec<Weak<Shared>>>> = LazyLock::new(Lock::default);

pub(super) fn register(shared: Weak<Shared>) {
    ALIVE.with(|alive| {
        alive.retain(|other| other.strong_count() > 0);
        alive.push(shared);
    });
}

/// Brings the gauges that are read and not counted up to date, for all transports of the process that write to its
/// recorder: the states of circuits, the queues, the retry budget, what is pending. One with a recorder of its own has
/// [`TelemetryHandle::sample`](super::TelemetryHandle::sample).
///
/// Call it before each scrape if you expose the metrics yourself. What [`prometheus`](super::prometheus) installs does.
pub fn sample() {
    // Outside of the lock: a source may be anybody's.
    let alive = ALIVE.with(|alive| alive.clone());
    alive.iter().filter_map(Weak::upgrade).for_each(|shared| shared.sample());
}
