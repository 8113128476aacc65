use std::sync::Arc;

use tower::Layer;

use super::{Credentials, CredentialsConfig, CredentialsHandle, shared::Shared};

/// Makes calls under an API key that can be rotated. See the [module docs](super).
///
/// All services of one layer share the key.
#[derive(Clone, Debug, Default)]
pub struct CredentialsLayer {
    shared: Arc<Shared>,
}

impl CredentialsLayer {
    /// With these settings.
    #[must_use]
    pub fn new(config: CredentialsConfig) -> Self {
        Self { shared: Arc::new(Shared::new(config)) }
    }

    /// Reads what is known of the key, and looks for another one.
    #[must_use]
    pub fn handle(&self) -> CredentialsHandle {
        CredentialsHandle::new(Arc::clone(&self.shared))
    }
}

impl<S> Layer<S> for CredentialsLayer {
    type Service = Credentials<S>;

    fn layer(&self, inner: S) -> Credentials<S> {
        Credentials::new(inner, Arc::clone(&self.shared))
    }
}
