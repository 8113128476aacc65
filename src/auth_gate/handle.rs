use std::sync::Arc;

use super::gate::Shared;

/// Reads an auth gate, and resets it. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct AuthGateHandle {
    shared: Arc<Shared>,
}

impl AuthGateHandle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// For how many API keys it is closed.
    #[must_use]
    pub fn blocked(&self) -> usize {
        self.shared.with(|engine| engine.blocked())
    }

    /// Opens it for all keys, for somebody who has just mended one.
    pub fn reset(&self) {
        self.shared.with(|engine| engine.reset());
    }
}
