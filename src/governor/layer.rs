use tower::Layer;

use super::{Governor, GovernorConfig, GovernorGate, GovernorHandle};

/// Keeps calls within Stripe's rate limits. All services that it makes share them. See the [module docs](super).
#[derive(Clone, Debug, Default)]
pub struct GovernorLayer {
    gate: GovernorGate,
}

impl GovernorLayer {
    /// With these settings.
    #[must_use]
    pub fn new(config: GovernorConfig) -> Self {
        Self { gate: GovernorGate::new(config) }
    }

    /// What changes limits, and tells how things stand.
    #[must_use]
    pub fn handle(&self) -> GovernorHandle {
        self.gate.handle()
    }
}

impl<S> Layer<S> for GovernorLayer {
    type Service = Governor<S>;

    fn layer(&self, inner: S) -> Governor<S> {
        Governor::new(inner, self.gate.clone())
    }
}
