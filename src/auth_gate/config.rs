use std::{num::NonZeroU32, time::Duration};

use crate::vocab::{ConfigError, Problem, Setting};

/// The settings of the [auth gate](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthGateConfig {
    pub(crate) enabled: bool,
    pub(crate) rejections: NonZeroU32,
    pub(crate) probe_interval: Duration,
}

impl AuthGateConfig {
    /// Starts at the defaults.
    #[must_use]
    pub fn builder() -> AuthGateBuilder {
        AuthGateBuilder::default()
    }

    /// The settings in force, by name.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::new("enabled", self.enabled),
            Setting::new("rejections", self.rejections),
            Setting::time("probe_interval", self.probe_interval),
        ]
    }
}

impl Default for AuthGateConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            rejections: NonZeroU32::MIN.saturating_add(2),
            probe_interval: Duration::from_secs(30),
        }
    }
}

/// Builds an [`AuthGateConfig`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthGateBuilder {
    config: AuthGateConfig,
}

impl AuthGateBuilder {
    /// Whether the gate closes at all. Default: yes.
    #[must_use]
    pub const fn enabled(mut self, enabled: bool) -> Self {
        self.config.enabled = enabled;
        self
    }

    /// So many 401s in a row close it. Default: 3.
    #[must_use]
    pub const fn rejections(mut self, rejections: NonZeroU32) -> Self {
        self.config.rejections = rejections;
        self
    }

    /// How long a key that was rejected is left alone, before one call tries it again. Default: 30 s.
    #[must_use]
    pub const fn probe_interval(mut self, interval: Duration) -> Self {
        self.config.probe_interval = interval;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] when the interval is zero, or longer than a day.
    pub fn build(self) -> Result<AuthGateConfig, ConfigError> {
        let mut problems = Vec::new();
        self.check(&mut problems);
        ConfigError::unless_none(problems)?;
        Ok(self.config)
    }

    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        let interval = self.config.probe_interval;
        if interval.is_zero() || interval > Duration::from_secs(86_400) {
            problems.push(
                Setting::time("auth_gate.probe_interval", interval)
                    .must_be("more than zero, and at most 86400s"),
            );
        }
    }

    #[cfg(feature = "transport")]
    pub(crate) const fn unchecked(self) -> AuthGateConfig {
        self.config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_that_cannot_be_is_refused_with_its_name_and_value() {
        let error = AuthGateConfig::builder().probe_interval(Duration::ZERO).build().expect_err("zero");
        assert_eq!(
            error.to_string(),
            "auth_gate.probe_interval = 0ns must be more than zero, and at most 86400s"
        );
        assert!(AuthGateConfig::builder().probe_interval(Duration::from_secs(86_401)).build().is_err());
        assert!(AuthGateConfig::builder().probe_interval(Duration::from_secs(86_400)).build().is_ok());
    }
}
