use std::time::Duration;

use super::GuardConfig;
use crate::vocab::{ConfigError, IdempotencyKey, Problem, Setting, time::WallClock};

/// How long Stripe is sure to remember a v1 key, and a v2 key. (Source: its API reference, and its API v2 overview.)
const REMEMBERED_V1: Duration = Duration::from_secs(24 * 3_600);
const REMEMBERED_V2: Duration = Duration::from_secs(30 * 86_400);

/// The settings of [`Idempotency`](super::Idempotency). See the [module docs](super).
#[derive(Clone, Debug)]
pub struct IdempotencyConfig {
    pub(super) prefix: Box<str>,
    pub(super) max_age_v1: Duration,
    pub(super) max_age_v2: Duration,
    pub(super) require_explicit_key: bool,
    pub(super) require_key_birth: bool,
    pub(super) guard: Option<GuardConfig>,
    pub(super) wall_clock: WallClock,
}

impl IdempotencyConfig {
    /// Starts at the defaults.
    #[must_use]
    pub fn builder() -> IdempotencyBuilder {
        IdempotencyBuilder::default()
    }

    /// The settings in force, by name.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = vec![
            Setting::new("prefix", format_args!("{:?}", self.prefix)),
            Setting::time("max_age_v1", self.max_age_v1),
            Setting::time("max_age_v2", self.max_age_v2),
            Setting::new("require_explicit_key", self.require_explicit_key),
            Setting::new("require_key_birth", self.require_key_birth),
            Setting::new("guard", self.guard.is_some()),
        ];
        if let Some(guard) = &self.guard {
            settings.push(Setting::new("guard.capacity", guard.most()));
        }
        settings
    }
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self {
            prefix: "ts".into(),
            max_age_v1: Duration::from_secs(23 * 3_600),
            max_age_v2: Duration::from_secs(29 * 86_400),
            require_explicit_key: false,
            require_key_birth: false,
            guard: None,
            wall_clock: WallClock::SYSTEM,
        }
    }
}

/// Builds an [`IdempotencyConfig`].
#[derive(Clone, Debug, Default)]
pub struct IdempotencyBuilder {
    config: IdempotencyConfig,
}

impl IdempotencyBuilder {
    /// What generated keys begin with, so that one finds one's own in Stripe's logs. Default: `ts`.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.config.prefix = prefix.into();
        self
    }

    /// The age from which on a v1 key is refused. Default: 23 h.
    #[must_use]
    pub const fn max_age_v1(mut self, age: Duration) -> Self {
        self.config.max_age_v1 = age;
        self
    }

    /// The age from which on a v2 key is refused. Default: 29 d.
    #[must_use]
    pub const fn max_age_v2(mut self, age: Duration) -> Self {
        self.config.max_age_v2 = age;
        self
    }

    /// Whether a call that may move money is refused unless its caller gives it a key
    /// ([`Refusal::ExplicitKeyRequired`]). Default: no, a key is generated.
    ///
    /// A generated key protects a call from its own retries, and from nothing that begins anew: a restart, a queue that
    /// delivers twice, a second click. What may move money is told from method and path
    /// ([`Operation::is_money`](crate::Operation::is_money)), whatever the caller calls it; what Stripe heeds no key on is
    /// not refused.
    ///
    /// [`Refusal::ExplicitKeyRequired`]: crate::Refusal::ExplicitKeyRequired
    #[must_use]
    pub const fn require_explicit_key(mut self, required: bool) -> Self {
        self.config.require_explicit_key = required;
        self
    }

    /// Whether a caller's key is refused on a call that may move money unless it is known since when it has been in use
    /// ([`Refusal::KeyBirthUnknown`]). Default: no.
    ///
    /// Stripe executes a key anew that it has forgotten, and the age of a key is only known from its birth
    /// ([`IdempotencyKey::born_at`]). A key that its caller vouches for as [`fresh`](IdempotencyKey::fresh) is born with its
    /// call, as a generated one is.
    ///
    /// [`Refusal::KeyBirthUnknown`]: crate::Refusal::KeyBirthUnknown
    #[must_use]
    pub const fn require_key_birth(mut self, required: bool) -> Self {
        self.config.require_key_birth = required;
        self
    }

    /// Guards the keys that callers bring, within this process. Default: off. See [the guard](super#the-guard).
    #[must_use]
    pub fn guard(mut self, settings: GuardConfig) -> Self {
        self.config.guard = Some(settings);
        self
    }

    /// Where the time of day comes from, for the age of keys.
    #[must_use]
    pub fn wall_clock(mut self, clock: WallClock) -> Self {
        self.config.wall_clock = clock;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] when the prefix is not one to 64 printable ASCII characters without spaces, or when a key could be
    /// sent that Stripe may have forgotten.
    pub fn build(self) -> Result<IdempotencyConfig, ConfigError> {
        let mut problems = Vec::new();
        self.check(&mut problems);
        ConfigError::unless_none(problems)?;
        Ok(self.config)
    }

    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        let config = &self.config;
        let graphic = config.prefix.bytes().all(|byte| byte.is_ascii_graphic());
        if IdempotencyKey::new(&config.prefix).is_err() || !graphic || config.prefix.len() > 64 {
            problems.push(
                Setting::new("prefix", format_args!("{:?}", config.prefix))
                    .must_be("1 to 64 printable ASCII characters without spaces"),
            );
        }
        for (name, age, remembered, rule) in [
            (
                "max_age_v1",
                config.max_age_v1,
                REMEMBERED_V1,
                "less than the 86400s that stripe remembers a v1 key",
            ),
            (
                "max_age_v2",
                config.max_age_v2,
                REMEMBERED_V2,
                "less than the 2592000s that stripe remembers a v2 key",
            ),
        ] {
            if age >= remembered {
                problems.push(Setting::time(name, age).must_be(rule));
            }
            if age.is_zero() {
                problems.push(Setting::time(name, age).must_be("more than zero"));
            }
        }
        if let Some(guard) = &config.guard {
            guard.check(problems);
        }
    }

    /// The deadline of the whole stack holds for waiting calls, too.
    #[cfg(feature = "transport")]
    pub(crate) fn guard_deadline(mut self, deadline: Duration) -> Self {
        self.config.guard = self.config.guard.map(|guard| guard.deadline(deadline));
        self
    }

    #[cfg(feature = "transport")]
    pub(crate) fn unchecked(self) -> IdempotencyConfig {
        self.config
    }
}

#[cfg(test)]
mod tests;
