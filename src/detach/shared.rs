//! What all services and handles of one layer share.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{sync::Notify, task::AbortHandle, time::timeout};

use super::{
    DetachConfig, Drained, Unresolved,
    engine::{Id, Registry},
};
use crate::vocab::{Certainty, Operation, Refusal, ReportHandle, RequestId, sync::Lock};

/// How long a drain waits for calls that it has cut off: they need to be scheduled once.
const CUT_GRACE: Duration = Duration::from_millis(500);

pub(super) struct Shared {
    registry: Lock<Registry<AbortHandle>>,
    /// Told when the last call has ended of a registry that takes no more.
    idle: Notify,
}

impl Shared {
    pub(super) fn new(config: DetachConfig) -> Arc<Self> {
        Arc::new(Self { registry: Lock::new(Registry::new(config)), idle: Notify::new() })
    }

    pub(super) fn in_flight(&self) -> usize {
        self.registry.with(|registry| registry.in_flight())
    }

    pub(super) fn abandoned(&self) -> usize {
        self.registry.with(|registry| registry.abandoned())
    }

    /// Takes a call in.
    pub(super) fn admit(
        self: &Arc<Self>,
        operation: Operation,
        account: &ReportHandle,
    ) -> Result<Slot, Refusal> {
        let id = self.registry.with(|registry| registry.admit(operation, account.clone()))?;
        Ok(Slot { shared: Arc::clone(self), id })
    }

    /// The task of the call has been started.
    pub(super) fn started(&self, id: Id, abort: AbortHandle) {
        if let Some(abort) = self.registry.with(|registry| registry.started(id, abort)) {
            abort.abort();
        }
    }

    /// A call has ended, and its caller went away with the answer unread.
    pub(super) fn unread(&self, operation: Operation, account: &ReportHandle) {
        let untold = Unresolved { operation, report: account.report() };
        self.registry.with(|registry| registry.remember(&untold));
        note(&untold);
    }

    pub(super) fn close(&self) {
        self.registry.with(Registry::close);
    }

    /// Waits until no call is under way, then or after `within` cuts off what is left, and says what is unresolved.
    pub(super) async fn drain(&self, within: Duration) -> Drained {
        if timeout(within, self.idle()).await.is_err() {
            for abort in self.registry.with(Registry::cut) {
                abort.abort();
            }
            // One that never gives its thread back is not to keep the process from ending: the account tells of it as
            // it is.
            let _stuck = timeout(CUT_GRACE, self.idle()).await;
        }
        self.registry.with(|registry| registry.drained())
    }

    async fn idle(&self) {
        loop {
            let mut notified = pin!(self.idle.notified());
            // Before the look, so that nothing is missed in between.
            notified.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// The place of a call among those under way. Dropped, it is free.
pub(super) struct Slot {
    shared: Arc<Shared>,
    id: Id,
}

impl Slot {
    pub(super) const fn id(&self) -> Id {
        self.id
    }

    /// The caller has gone.
    pub(super) fn abandon(&self) {
        self.shared.registry.with(|registry| registry.abandon(self.id));
    }

    /// The call has ended; `untold`: and its caller went away before it could be told.
    pub(super) fn end(&self, untold: bool) {
        let Some(ended) = self.shared.registry.with(|registry| registry.end(self.id, untold)) else { return };
        if let Some(untold) = &ended.untold {
            note(untold);
        }
        if ended.last && self.shared.registry.with(|registry| registry.is_closed()) {
            self.shared.idle.notify_waiters();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// Logs what nobody was told: never the key, never a body.
fn note(Unresolved { operation, report }: &Unresolved) {
    let request_id = report.request_ids().last().map(RequestId::as_str);
    macro_rules! event {
        ($level:ident) => {
            tracing::$level!(
                operation = operation.name(),
                certainty = report.certainty().as_str(),
                advice = report.advice().as_str(),
                attempts = report.attempts_made(),
                request_id,
                "a call was cut off, or has ended without its caller"
            )
        };
    }
    match report.certainty() {
        Certainty::Unknown => event!(warn),
        _ => event!(info),
    }
}
