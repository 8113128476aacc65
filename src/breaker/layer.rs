use tower::Layer;

use super::{BreakerConfig, BreakerGate, BreakerHandle};
use crate::vocab::Gated;

/// A service behind a circuit breaker. See the [module docs](super).
pub type Breaker<S> = Gated<BreakerGate, S>;

/// Leaves alone what has been failing. See the [module docs](super).
///
/// All services of one layer share its circuits.
#[derive(Clone, Debug, Default)]
pub struct BreakerLayer {
    gate: BreakerGate,
}

impl BreakerLayer {
    /// With these settings.
    #[must_use]
    pub fn new(config: BreakerConfig) -> Self {
        Self { gate: BreakerGate::new(config) }
    }

    /// Shows and controls it.
    #[must_use]
    pub fn handle(&self) -> BreakerHandle {
        self.gate.handle()
    }
}

impl<S> Layer<S> for BreakerLayer {
    type Service = Breaker<S>;

    fn layer(&self, inner: S) -> Breaker<S> {
        Gated::new(inner, self.gate.clone())
    }
}
