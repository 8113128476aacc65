//! What happened so far, for tests to wait for.

use std::sync::Arc;

use tokio::sync::watch;

use super::fault::{Direction, FaultKind};

/// What a [`FaultProxy`](super::FaultProxy) has seen and done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many connections were accepted. The number of the next one is this.
    pub connections: u64,
    /// How many of them are open, on either side.
    pub live: u64,
    /// How many directions and handshakes are stalled at present.
    pub stalled: u64,
    /// How many connections were reset because the upstream could not be reached.
    pub upstream_failures: u64,
    /// How many bytes were written to the upstream.
    pub to_upstream: u64,
    /// How many bytes of the upstream were written to clients. What the proxy says itself does not count.
    pub to_client: u64,
    applied: [u64; FaultKind::ALL.len()],
}

impl Stats {
    /// How many faults of this kind were applied. A fault counts when it strikes, just before its effect can be seen; one
    /// whose point was never reached does not count. [`FaultProxy::reset_all`](super::FaultProxy::reset_all) and
    /// [`FaultProxy::cut_all`](super::FaultProxy::cut_all) count once for each connection.
    #[must_use]
    pub fn applied(&self, kind: FaultKind) -> u64 {
        self.applied
            .iter()
            .zip(FaultKind::ALL)
            .find_map(|(count, candidate)| (candidate == kind).then_some(*count))
            .unwrap_or_default()
    }

    /// How many faults were applied, of whatever kind.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.applied.iter().sum()
    }
}

/// Where everything is counted. Clones count on the same board.
#[derive(Clone, Debug)]
pub(super) struct Board(Arc<watch::Sender<Stats>>);

impl Board {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Stats::default())))
    }

    pub(super) fn stats(&self) -> Stats {
        *self.0.borrow()
    }

    pub(super) async fn wait_for(&self, mut holds: impl FnMut(&Stats) -> bool) -> Stats {
        let mut receiver = self.0.subscribe();
        let waited = receiver.wait_for(|stats| holds(stats)).await.map(|stats| *stats);
        // It fails only if the sender is gone, which is `self`.
        waited.unwrap_or_else(|_| self.stats())
    }

    /// Counts a connection, which is live until the guard is dropped.
    pub(super) fn accepted(&self) -> Counted {
        self.0.send_modify(|stats| {
            stats.connections += 1;
            stats.live += 1;
        });
        Counted { board: self.clone(), count: |stats| &mut stats.live }
    }

    /// Counts a stall, which goes on until the guard is dropped.
    pub(super) fn stalled(&self) -> Counted {
        self.0.send_modify(|stats| stats.stalled += 1);
        Counted { board: self.clone(), count: |stats| &mut stats.stalled }
    }

    pub(super) fn fault(&self, kind: FaultKind) {
        self.0.send_modify(|stats| {
            for (count, candidate) in stats.applied.iter_mut().zip(FaultKind::ALL) {
                if candidate == kind {
                    *count += 1;
                }
            }
        });
    }

    pub(super) fn written(&self, direction: Direction, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.0.send_modify(|stats| match direction {
            Direction::ToUpstream => stats.to_upstream = stats.to_upstream.saturating_add(bytes),
            Direction::ToClient => stats.to_client = stats.to_client.saturating_add(bytes),
        });
    }

    pub(super) fn upstream_failed(&self) {
        self.0.send_modify(|stats| stats.upstream_failures += 1);
    }
}

/// One of something that goes on, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    board: Board,
    count: fn(&mut Stats) -> &mut u64,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.board.0.send_modify(|stats| *(self.count)(stats) -= 1);
    }
}
