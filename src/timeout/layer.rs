use tower::Layer;

use super::{Timeout, TimeoutConfig};

/// Bounds each attempt. See the [module docs](super).
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeoutLayer {
    config: TimeoutConfig,
}

impl TimeoutLayer {
    /// With these settings.
    #[must_use]
    pub const fn new(config: TimeoutConfig) -> Self {
        Self { config }
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, inner: S) -> Timeout<S> {
        Timeout::new(inner, self.config)
    }
}
