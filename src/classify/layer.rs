use tower::Layer;

use super::{Classify, ClassifyConfig};

/// Understands what Stripe answered. See the [module docs](super).
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassifyLayer {
    config: ClassifyConfig,
}

impl ClassifyLayer {
    /// With these settings.
    #[must_use]
    pub const fn new(config: ClassifyConfig) -> Self {
        Self { config }
    }
}

impl<S> Layer<S> for ClassifyLayer {
    type Service = Classify<S>;

    fn layer(&self, inner: S) -> Classify<S> {
        Classify::new(inner, self.config)
    }
}
