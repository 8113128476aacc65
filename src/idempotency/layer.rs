use std::sync::Arc;

use tower::Layer;

use super::{Idempotency, IdempotencyConfig};

/// Gives every request that can move something its key. See the [module docs](super).
#[derive(Clone, Debug, Default)]
pub struct IdempotencyLayer {
    config: Arc<IdempotencyConfig>,
}

impl IdempotencyLayer {
    /// With these settings.
    #[must_use]
    pub fn new(config: IdempotencyConfig) -> Self {
        Self { config: Arc::new(config) }
    }
}

impl<S> Layer<S> for IdempotencyLayer {
    type Service = Idempotency<S>;

    fn layer(&self, inner: S) -> Idempotency<S> {
        Idempotency::new(inner, Arc::clone(&self.config))
    }
}
