//! Waiting: for a moment, and for a release.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use tokio::time::sleep_until;

use super::{
    fault::FaultKind,
    pace::after,
    signal::Listener,
    stats::{Board, Counted},
};
use crate::clock::tick;

/// A direction, or a handshake, that waits to be released.
pub(super) struct Stall {
    listener: Listener,
    until: Option<Instant>,
    _stalled: Counted,
}

impl Stall {
    pub(super) fn begin(
        kind: FaultKind,
        limit: Option<Duration>,
        board: &Board,
        listener: &Listener,
    ) -> Self {
        let listener = listener.anew();
        board.fault(kind);
        Self { listener, until: limit.map(|limit| after(tick(), limit)), _stalled: board.stalled() }
    }

    /// Waits until it is released, or its limit is reached.
    pub(super) async fn over(&mut self) {
        tokio::select! {
            () = self.listener.released() => {}
            () = reach(self.until) => {}
        }
    }
}

/// Waits until `due`, for ever if there is no such moment.
pub(super) async fn reach(due: Option<Instant>) {
    match due {
        None => pending().await,
        Some(due) if due <= tick() => {}
        Some(due) => sleep_until(due.into()).await,
    }
}
