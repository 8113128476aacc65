use std::sync::Arc;

use super::gate::Shared;
use crate::vocab::{Sample, Source, metric};

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

/// For how many API keys it is closed.
impl Source for AuthGateHandle {
    fn sample(&self, sample: &mut Sample<'_>) {
        sample.gauge(&metric::AUTH_BLOCKED, &[], self.blocked() as f64);
    }
}
