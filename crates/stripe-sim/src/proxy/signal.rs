//! What the handle tells the connections that are live.

use std::{future::pending, sync::Arc};

use tokio::sync::watch;

use super::connection::Ending;

/// How often each signal was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Given {
    resets: u64,
    cuts: u64,
    releases: u64,
}

/// The handle's side.
#[derive(Clone, Debug)]
pub(super) struct Signals(Arc<watch::Sender<Given>>);

impl Signals {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Given::default())))
    }

    pub(super) fn reset(&self) {
        self.0.send_modify(|given| given.resets += 1);
    }

    pub(super) fn cut(&self) {
        self.0.send_modify(|given| given.cuts += 1);
    }

    pub(super) fn release(&self) {
        self.0.send_modify(|given| given.releases += 1);
    }

    /// Listens for what is given from now on.
    pub(super) fn listen(&self) -> Listener {
        let receiver = self.0.subscribe();
        let seen = *receiver.borrow();
        Listener { receiver, seen }
    }
}

/// A connection's side.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    receiver: watch::Receiver<Given>,
    seen: Given,
}

impl Listener {
    /// Listens for what is given from now on.
    pub(super) fn anew(&self) -> Self {
        let seen = *self.receiver.borrow();
        Self { receiver: self.receiver.clone(), seen }
    }

    /// Waits until the connection is to end.
    pub(super) async fn ended(&mut self) -> Ending {
        let seen = self.seen;
        let given = self.until(|given| (given.resets, given.cuts) != (seen.resets, seen.cuts)).await;
        if given.resets == seen.resets { Ending::Cut } else { Ending::Reset }
    }

    /// Waits until stalls are to end.
    pub(super) async fn released(&mut self) {
        let seen = self.seen;
        self.until(|given| given.releases != seen.releases).await;
    }

    async fn until(&mut self, holds: impl FnMut(&Given) -> bool) -> Given {
        let given = self.receiver.wait_for(holds).await.map(|given| *given);
        match given {
            Ok(given) => given,
            // The proxy is gone, and this task with it at its next turn.
            Err(_) => pending().await,
        }
    }
}
