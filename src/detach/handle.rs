use std::{fmt, future::Future, sync::Arc, time::Duration};

use super::{Drained, shared::Shared};

/// Watches the calls of a layer, and ends them. See the [module docs](super).
#[derive(Clone)]
pub struct DetachHandle {
    shared: Arc<Shared>,
}

impl DetachHandle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// How many calls that may move money are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight()
    }

    /// How many of them go on although their callers have gone.
    #[must_use]
    pub fn abandoned(&self) -> usize {
        self.shared.abandoned()
    }

    /// Takes no more calls that may move money, for good and from this moment on, whether the future is polled or not:
    /// they are refused with [`Refusal::ShuttingDown`](crate::Refusal::ShuttingDown). All other calls still pass.
    ///
    /// The future waits until those under way have ended, but not longer than `within`; what is left then is cut off. It
    /// says what is unresolved: calls that may have been executed, and were cut off or ended after their callers had gone.
    /// Look them up by their keys. Calls that were cut off while their callers waited are listed too, and fail with
    /// `ShuttingDown` and their report.
    ///
    /// It can be dropped and called again, and each report is complete.
    ///
    /// # Panics
    /// The future, when it is polled outside of a tokio runtime with its timers enabled.
    #[must_use = "what is unresolved is said by the future"]
    pub fn drain(&self, within: Duration) -> impl Future<Output = Drained> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        shared.close();
        async move { shared.drain(within).await }
    }
}

impl fmt::Debug for DetachHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetachHandle")
            .field("in_flight", &self.in_flight())
            .field("abandoned", &self.abandoned())
            .finish_non_exhaustive()
    }
}
