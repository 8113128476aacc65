use std::sync::Arc;

use tower::Layer;

use super::{Retry, RetryConfig, service::Shared};

/// Sends again what may be sent again. See the [module docs](super).
///
/// All services of one layer share its budget.
#[derive(Clone, Debug)]
pub struct RetryLayer {
    shared: Arc<Shared>,
}

impl RetryLayer {
    /// With these settings.
    #[must_use]
    pub fn new(config: RetryConfig) -> Self {
        Self { shared: Arc::new(Shared::new(config)) }
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new(RetryConfig::default())
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Retry<S> {
        Retry::new(inner, Arc::clone(&self.shared))
    }
}
