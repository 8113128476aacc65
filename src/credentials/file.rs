//! An API key in a file.

use std::{
    borrow::Cow,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::sleep};
use zeroize::Zeroizing;

use super::{ApiKey, CredentialError, CredentialProvider, InvalidApiKey, NewestKey, provider::declared};
use crate::vocab::sync::Lock;

/// A file with an API key in it has no more bytes than this.
const LIMIT: usize = 4_096;

/// For so long a file must stay as it is before a key that is new in it is taken.
const SETTLED: Duration = Duration::from_millis(50);

/// Takes the API key from a file, and the next one when the file changes.
///
/// The file holds the key and nothing else; white space around it does not matter. A file that is missing, empty, or no
/// key leaves the one in use where it is. So does one that is being written: what is new in it must be the same in two
/// looks, 50 ms apart. Still, replace it by renaming another file, which is atomic.
///
/// ```no_run
/// use tower_stripe::{BoxError, StripeTransport, credentials::KeyFile, edge::hyper_util, vocab::Mode};
/// use tower::Layer;
///
/// # fn main() -> Result<(), BoxError> {
/// let stripe = StripeTransport::builder()
///     .credentials(KeyFile::new("/run/secrets/stripe"))
///     .expect_mode(Mode::Live)
///     .build()?
///     .layer(hyper_util::Client::new());
/// # let _ = stripe;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    look_every: Duration,
    account: Option<Box<str>>,
    /// What was given last, and need not be looked at twice.
    given: Lock<Option<ApiKey>>,
}

impl KeyFile {
    /// From the file at this path.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), look_every: Duration::from_secs(10), account: None, given: Lock::new(None) }
    }

    /// How often to look whether it has changed, while the key in use is accepted. A call does it, when it is time, before
    /// it is sent. Default: 10 s.
    #[must_use]
    pub const fn look_every(mut self, interval: Duration) -> Self {
        self.look_every = interval;
        self
    }

    /// Declares of which account its keys are: see [`ApiKey::of_account`].
    #[must_use]
    pub fn of_account(mut self, account: &str) -> Self {
        self.account = Some(account.into());
        self
    }

    async fn read(&self) -> Result<ApiKey, CredentialError> {
        let path = self.path.clone();
        // A file may be on a network.
        let key = spawn_blocking(move || read(&path)).await;
        Ok(declared(key.map_err(|error| CredentialError::Provider(error.into()))??, self.account.as_deref()))
    }

    fn give(&self, key: ApiKey) -> ApiKey {
        self.given.with(|given| *given = Some(key.clone()));
        key
    }
}

impl CredentialProvider for KeyFile {
    fn key(&self) -> Result<ApiKey, CredentialError> {
        Ok(self.give(declared(read(&self.path)?, self.account.as_deref())))
    }

    fn newest(&self) -> NewestKey<'_> {
        Box::pin(async move {
            let first = self.read().await?;
            if self.given.with(|given| given.as_ref().is_some_and(|given| given.is_same(&first))) {
                return Ok(first);
            }
            sleep(SETTLED).await;
            let second = self.read().await?;
            if !second.is_same(&first) {
                return Err(CredentialError::Changing { path: self.path.as_path().into() });
            }
            Ok(self.give(second))
        })
    }

    fn look_interval(&self) -> Option<Duration> {
        Some(self.look_every)
    }

    fn describe(&self) -> Cow<'_, str> {
        Cow::Owned(format!("file {}", self.path.display()))
    }
}

fn read(path: &Path) -> Result<ApiKey, CredentialError> {
    let failed = |source| CredentialError::File { path: path.into(), source };
    // Large enough from the start, as a buffer that grows leaves a copy behind.
    let mut content = Zeroizing::new(Vec::with_capacity(2 * LIMIT));
    let file = File::open(path).map_err(failed)?;
    file.take(LIMIT as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() > LIMIT {
        return Err(CredentialError::TooLarge { path: path.into(), limit: LIMIT });
    }
    let secret = std::str::from_utf8(content.trim_ascii()).map_err(|_| InvalidApiKey::Character)?;
    Ok(ApiKey::new(secret)?)
}

#[cfg(test)]
mod tests;
