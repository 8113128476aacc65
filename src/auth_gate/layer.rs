use tower::Layer;

use super::{AuthGate, AuthGateConfig, AuthGateHandle};
use crate::vocab::Gated;

/// A service behind an auth gate. See the [module docs](super).
pub type Auth<S> = Gated<AuthGate, S>;

/// Fails calls at once while Stripe does not accept their API key. See the [module docs](super).
///
/// All services of one layer share what they know.
#[derive(Clone, Debug, Default)]
pub struct AuthGateLayer {
    gate: AuthGate,
}

impl AuthGateLayer {
    /// With these settings.
    #[must_use]
    pub fn new(config: AuthGateConfig) -> Self {
        Self { gate: AuthGate::new(config) }
    }

    /// Reads and resets it.
    #[must_use]
    pub fn handle(&self) -> AuthGateHandle {
        self.gate.handle()
    }
}

impl<S> Layer<S> for AuthGateLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Gated::new(inner, self.gate.clone())
    }
}
