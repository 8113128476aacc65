use std::{fmt, sync::Arc};

use tower::Layer;

use super::{Detach, DetachConfig, DetachHandle, shared::Shared};

/// Lets calls finish whose callers have gone. See the [module docs](super).
///
/// All services of one layer share its bound, its count and its drain.
#[derive(Clone)]
pub struct DetachLayer {
    shared: Arc<Shared>,
}

impl DetachLayer {
    /// With these settings.
    #[must_use]
    pub fn new(config: DetachConfig) -> Self {
        Self { shared: Shared::new(config) }
    }

    /// Watches the calls of all services of this layer, and drains them.
    #[must_use]
    pub fn handle(&self) -> DetachHandle {
        DetachHandle::new(Arc::clone(&self.shared))
    }
}

impl Default for DetachLayer {
    fn default() -> Self {
        Self::new(DetachConfig::default())
    }
}

impl<S: 'static> Layer<S> for DetachLayer {
    type Service = Detach<S>;

    fn layer(&self, inner: S) -> Detach<S> {
        Detach::new(inner, Arc::clone(&self.shared))
    }
}

impl fmt::Debug for DetachLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DetachLayer").field(&self.handle()).finish()
    }
}
