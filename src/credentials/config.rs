use std::{fmt, sync::Arc, time::Duration};

use super::{ApiKey, CredentialError, CredentialProvider};
use crate::vocab::{ConfigError, Mode, Problem, Setting};

/// The settings of [`credentials`](super).
#[derive(Clone, Default)]
pub struct CredentialsConfig {
    pub(super) source: Option<Source>,
    pub(super) expected: Option<Mode>,
}

/// Where keys come from, and the one to begin with.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) provider: Arc<dyn CredentialProvider>,
    pub(super) first: ApiKey,
}

impl CredentialsConfig {
    /// Starts at the defaults.
    #[must_use]
    pub fn builder() -> CredentialsBuilder {
        CredentialsBuilder::default()
    }

    /// The settings in force, by name.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let Some(Source { provider, first }) = &self.source else {
            return vec![
                Setting::new("provider", "none: each request brings its API key"),
                Setting::new("expect_mode", or(self.expected, "any")),
            ];
        };
        vec![
            Setting::new("provider", provider.describe()),
            Setting::new("mode", first.mode()),
            Setting::new("account", or(first.account(), "not declared")),
            Setting::new("expect_mode", or(self.expected, "that of the first key")),
            match provider.look_interval() {
                Some(interval) => Setting::time("look_every", interval),
                None => Setting::new("look_every", "only when the key is not accepted"),
            },
        ]
    }
}

fn or<T: fmt::Display>(value: Option<T>, otherwise: &str) -> String {
    value.map_or_else(|| otherwise.to_owned(), |value| value.to_string())
}

/// Shows no key.
impl fmt::Debug for CredentialsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsConfig").field("settings", &self.settings()).finish()
    }
}

/// Builds a [`CredentialsConfig`].
#[derive(Clone, Default)]
pub struct CredentialsBuilder {
    provider: Option<Arc<dyn CredentialProvider>>,
    first: Option<Arc<Result<ApiKey, CredentialError>>>,
    expected: Option<Mode>,
}

impl CredentialsBuilder {
    /// Where the API key of calls that bring none comes from. Default: nowhere.
    #[must_use]
    pub fn provider(mut self, provider: impl CredentialProvider) -> Self {
        self.provider = Some(Arc::new(provider));
        self
    }

    /// The mode that API keys must be of: a provider with a key of another mode is not accepted, and calls that bring one
    /// are refused. Default: for keys of the provider, that of its first one; else any.
    #[must_use]
    pub const fn expect_mode(mut self, mode: Mode) -> Self {
        self.expected = Some(mode);
        self
    }

    /// Takes the first key from the provider, and checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no key, when it is of another mode than the expected one, or when the provider is to
    /// be looked at without a pause.
    pub fn build(mut self) -> Result<CredentialsConfig, ConfigError> {
        let mut problems = Vec::new();
        self.check(&mut problems);
        ConfigError::unless_none(problems)?;
        Ok(self.unchecked())
    }

    /// Takes the first key, once, so that what is built has the key that was checked.
    pub(crate) fn check(&mut self, problems: &mut Vec<Problem>) {
        let Some(provider) = &self.provider else { return };
        if provider.look_interval().is_some_and(|interval| interval < Duration::from_millis(100)) {
            let interval = provider.look_interval().unwrap_or_default();
            problems.push(Setting::time("credentials.look_every", interval).must_be("at least 100ms"));
        }
        let first = self.first.insert(Arc::new(provider.key()));
        match (&**first, self.expected) {
            (Ok(key), Some(expected)) if key.mode() != expected => problems.push(
                Setting::new("credentials.mode", key.mode())
                    .must_be_towards("equal to", Setting::new("expect_mode", expected)),
            ),
            (Ok(_), _) => {}
            (Err(error), _) => problems.push(
                Setting::new("credentials", format_args!("{} ({error})", provider.describe()))
                    .must_be("a source of a secret or restricted API key"),
            ),
        }
    }

    pub(crate) fn unchecked(self) -> CredentialsConfig {
        let first = self.first.as_deref().and_then(|first| first.as_ref().ok().cloned());
        let source = self.provider.zip(first).map(|(provider, first)| Source { provider, first });
        CredentialsConfig { source, expected: self.expected }
    }
}

/// Shows no key.
impl fmt::Debug for CredentialsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsBuilder")
            .field("provider", &self.provider.as_ref().map(|provider| provider.describe()))
            .field("expect_mode", &self.expected)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::{Environment, KeyFile};

    fn key(secret: &str) -> ApiKey {
        ApiKey::new(secret).expect("a key")
    }

    /// S-101.
    #[test]
    fn a_key_of_another_mode_than_expected_is_no_configuration() {
        let built = |secret, mode| {
            CredentialsConfig::builder().provider(key(secret)).expect_mode(mode).build().map(|_| ())
        };
        for (secret, mode, problem) in [
            ("sk_live_1", Mode::Live, None),
            ("rk_test_1", Mode::Sandbox, None),
            ("sk_test_1", Mode::Live, Some("credentials.mode = sandbox must be equal to expect_mode = live")),
            (
                "rk_live_1",
                Mode::Sandbox,
                Some("credentials.mode = live must be equal to expect_mode = sandbox"),
            ),
        ] {
            let told = built(secret, mode).err().map(|error| error.to_string());
            assert_eq!(told.as_deref(), problem, "{secret}");
        }
        assert!(CredentialsConfig::builder().provider(key("sk_test_1")).build().is_ok());
    }

    #[test]
    fn a_provider_without_a_key_is_no_configuration_and_says_why() {
        let told = |builder: CredentialsBuilder| builder.build().expect_err("no key").to_string();
        let environment = Environment::new("TOWER_STRIPE_NO_SUCH_VARIABLE");
        assert_eq!(
            told(CredentialsConfig::builder().provider(environment)),
            "credentials = environment variable TOWER_STRIPE_NO_SUCH_VARIABLE (the environment variable \
             TOWER_STRIPE_NO_SUCH_VARIABLE is not set, or is not text) must be a source of a secret or restricted \
             API key"
        );
        let file = KeyFile::new("no/such/file").look_every(Duration::ZERO);
        let told = told(CredentialsConfig::builder().provider(file));
        assert!(told.starts_with("credentials.look_every = 0ns must be at least 100ms; "), "{told}");
        assert!(told.contains("the file no/such/file cannot be read (entity not found)"), "{told}");
    }

    #[test]
    fn what_is_in_force_shows_where_the_key_is_from_and_not_the_key() {
        let key = key("sk_live_secret").of_account("acct_1");
        let config = CredentialsConfig::builder().provider(key).build().expect("valid settings");
        let shown = config.settings().iter().map(Setting::to_string).collect::<Vec<_>>();
        assert_eq!(
            shown,
            [
                "provider = one key",
                "mode = live",
                "account = acct_1",
                "expect_mode = that of the first key",
                "look_every = only when the key is not accepted",
            ]
        );
        assert!(!format!("{config:?}").contains("secret"));
        assert_eq!(CredentialsConfig::default().settings().len(), 2);
    }
}
