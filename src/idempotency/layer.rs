use std::sync::Arc;

use tower::Layer;

use super::{Idempotency, IdempotencyConfig, service::Shared};

/// Gives every request that can move something its key. See the [module docs](super).
///
/// All services of one layer share its guard, if it has one.
#[derive(Clone, Debug, Default)]
pub struct IdempotencyLayer {
    shared: Arc<Shared>,
}

impl IdempotencyLayer {
    /// With these settings.
    #[must_use]
    pub fn new(config: IdempotencyConfig) -> Self {
        Self { shared: Arc::new(Shared::new(config)) }
    }
}

impl<S> Layer<S> for IdempotencyLayer {
    type Service = Idempotency<S>;

    fn layer(&self, inner: S) -> Idempotency<S> {
        Idempotency::new(inner, Arc::clone(&self.shared))
    }
}
