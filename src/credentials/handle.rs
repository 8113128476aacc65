use std::{fmt, sync::Arc};

use super::{CredentialError, shared::Shared};
use crate::vocab::{Deadline, Mode, time};

/// Reads what is known of the API key, and looks for another one. See the [module docs](super).
#[derive(Clone)]
pub struct CredentialsHandle {
    shared: Arc<Shared>,
}

impl CredentialsHandle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The mode of the API key in use; `None` without a provider.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        self.shared.ring.as_ref().map(|ring| ring.mode())
    }

    /// How often the API key in use was replaced.
    #[must_use]
    pub fn rotations(&self) -> u64 {
        self.shared.ring.as_ref().map_or(0, |ring| ring.rotations())
    }

    /// Asks the provider now, as on a signal to reload. Returns whether the API key in use was replaced.
    ///
    /// # Errors
    /// [`CredentialError`], when the provider gave no key, or one that is refused. The one in use is kept.
    pub async fn look(&self) -> Result<bool, CredentialError> {
        match &self.shared.ring {
            Some(ring) => ring.look(time::now() + Deadline::MAX).await,
            None => Ok(false),
        }
    }
}

/// Shows no key.
impl fmt::Debug for CredentialsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsHandle")
            .field("mode", &self.mode())
            .field("rotations", &self.rotations())
            .finish()
    }
}
