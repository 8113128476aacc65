//! Where API keys come from.

use std::{
    borrow::Cow,
    env,
    future::{Future, ready},
    pin::Pin,
    time::Duration,
};

use super::{ApiKey, CredentialError};

/// The key that a provider has now, once it is known.
pub type NewestKey<'a> = Pin<Box<dyn Future<Output = Result<ApiKey, CredentialError>> + Send + 'a>>;

/// Gives the API key that calls are made under, and the one that replaces it.
///
/// An [`ApiKey`] is one, that never changes; [`Environment`] and [`KeyFile`](super::KeyFile) are others. For one of your
/// own, as over the client of a secret store:
///
/// ```
/// use tower_stripe::credentials::{ApiKey, CredentialError, CredentialProvider, NewestKey};
///
/// struct Vault {
///     at_start: ApiKey,
/// }
///
/// impl CredentialProvider for Vault {
///     fn key(&self) -> Result<ApiKey, CredentialError> {
///         Ok(self.at_start.clone())
///     }
///
///     fn newest(&self) -> NewestKey<'_> {
///         Box::pin(async move {
///             let secret = fetch().await.map_err(CredentialError::Provider)?;
///             Ok(ApiKey::new(secret)?)
///         })
///     }
/// }
/// # async fn fetch() -> Result<String, tower_stripe::BoxError> { Ok("sk_test_123".into()) }
/// ```
pub trait CredentialProvider: Send + Sync + 'static {
    /// The key to begin with. Asked once, when the layer is built.
    ///
    /// # Errors
    /// [`CredentialError`], if there is none: the layer is then not built.
    fn key(&self) -> Result<ApiKey, CredentialError>;

    /// The key that is in force now. Asked when Stripe does not accept the one in use, by one call at a time, and as often
    /// as [`look_interval`](Self::look_interval) says. By default the one that [`key`](Self::key) gives, which must not
    /// take long then.
    ///
    /// An error keeps the key that is in use. The future may be dropped before it ends.
    fn newest(&self) -> NewestKey<'_> {
        Box::pin(ready(self.key()))
    }

    /// How often it is worth looking for another key while the one in use is accepted. By default never.
    fn look_interval(&self) -> Option<Duration> {
        None
    }

    /// What it is, for [`describe`](crate::StripeTransport::describe). It must not show a key.
    fn describe(&self) -> Cow<'_, str> {
        Cow::Borrowed("the program's own")
    }
}

/// A key that never changes.
impl CredentialProvider for ApiKey {
    fn key(&self) -> Result<ApiKey, CredentialError> {
        Ok(self.clone())
    }

    fn describe(&self) -> Cow<'_, str> {
        Cow::Borrowed("one key")
    }
}

/// Takes the API key from an environment variable.
///
/// What the environment of a process says changes only if the process changes it: to rotate a key without a restart, use a
/// [`KeyFile`](super::KeyFile).
#[derive(Clone, Debug)]
pub struct Environment {
    name: Box<str>,
    account: Option<Box<str>>,
}

impl Environment {
    /// From the variable of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), account: None }
    }

    /// Declares of which account it is: see [`ApiKey::of_account`].
    #[must_use]
    pub fn of_account(mut self, account: &str) -> Self {
        self.account = Some(account.into());
        self
    }
}

impl CredentialProvider for Environment {
    fn key(&self) -> Result<ApiKey, CredentialError> {
        let secret =
            env::var(&*self.name).map_err(|_| CredentialError::Variable { name: self.name.clone() })?;
        Ok(declared(ApiKey::new(secret)?, self.account.as_deref()))
    }

    fn describe(&self) -> Cow<'_, str> {
        Cow::Owned(format!("environment variable {}", self.name))
    }
}

pub(super) fn declared(key: ApiKey, account: Option<&str>) -> ApiKey {
    match account {
        Some(account) => key.of_account(account),
        None => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::InvalidApiKey;

    #[test]
    fn a_variable_that_is_not_there_is_named_and_one_that_is_no_key_is_not_shown() {
        let error = Environment::new("TOWER_STRIPE_NO_SUCH_VARIABLE").key().expect_err("not set");
        let text = error.to_string();
        assert_eq!(text, "the environment variable TOWER_STRIPE_NO_SUCH_VARIABLE is not set, or is not text");
        // Cargo sets this one, for every test.
        let error = Environment::new("CARGO_MANIFEST_DIR").key().expect_err("a path");
        assert!(matches!(error, CredentialError::Invalid(InvalidApiKey::Character)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains(env!("CARGO_MANIFEST_DIR")));
    }

    #[tokio::test]
    async fn a_key_is_a_provider_that_never_changes() {
        let key = ApiKey::new("sk_test_1").expect("a key").of_account("acct_1");
        let newest = key.newest().await.expect("a key");
        assert!(newest.is_same(&key) && newest.account() == Some("acct_1"));
        assert_eq!((key.look_interval(), &*key.describe()), (None, "one key"));
    }
}
