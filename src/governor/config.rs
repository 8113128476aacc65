use std::num::NonZeroU32;

use super::{
    account::Settings,
    limits::{Bucket, Limit, Limits},
};
use crate::vocab::{ConfigError, Mode, Priority, Problem, Ratio, Setting};

/// The settings of [`Governor`](super::Governor). See the [module docs](super).
#[derive(Clone, Debug)]
pub struct GovernorConfig {
    pub(super) enabled: bool,
    pub(super) limits: Limits,
    pub(super) max_queue: u32,
    pub(super) reserve: Ratio,
    pub(super) default_priority: Option<Priority>,
    pub(super) serialize_objects: bool,
}

impl GovernorConfig {
    /// Starts at the defaults.
    #[must_use]
    pub fn builder() -> GovernorBuilder {
        GovernorBuilder::default()
    }

    /// The settings in force at first, by name; a handle may change limits since.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        if !self.enabled {
            return vec![Setting::new("enabled", false)];
        }
        let priority = self.default_priority.map_or("that of the operation", Priority::as_str);
        let mut settings = vec![
            Setting::new("enabled", self.enabled),
            Setting::new("max_queue", self.max_queue),
            Setting::new("reserve", self.reserve),
            Setting::new("default_priority", priority),
            Setting::new("serialize_objects", self.serialize_objects),
        ];
        settings.extend(self.limits.settings());
        settings
    }

    pub(super) const fn scheduling(&self) -> Settings {
        Settings { max_queue: self.max_queue as usize, reserve: self.reserve }
    }
}

impl Default for GovernorConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            limits: Limits::default(),
            max_queue: 1_024,
            reserve: Ratio::percent(20),
            default_priority: None,
            serialize_objects: false,
        }
    }
}

/// Builds a [`GovernorConfig`].
#[derive(Clone, Debug, Default)]
pub struct GovernorBuilder {
    config: GovernorConfig,
}

impl GovernorBuilder {
    /// Whether it does anything at all. Default: it does.
    #[must_use]
    pub const fn enabled(mut self, enabled: bool) -> Self {
        self.config.enabled = enabled;
        self
    }

    /// How much of Stripe's published limits is used. Limits that are set are used in full. Default: 90 %.
    #[must_use]
    pub const fn share(mut self, share: Ratio) -> Self {
        self.config.limits.share = share;
        self
    }

    /// How many processes share the account: each gets its part of every rate, also of those that are set. Default: 1.
    #[must_use]
    pub const fn replicas(mut self, replicas: NonZeroU32) -> Self {
        self.config.limits.replicas = replicas;
        self
    }

    /// Replaces a limit, in both modes. What is said last counts. Default: Stripe's published limits.
    #[must_use]
    pub fn limit(self, bucket: Bucket, limit: Limit) -> Self {
        self.limit_in(Mode::Live, bucket, limit).limit_in(Mode::Sandbox, bucket, limit)
    }

    /// Replaces a limit in one mode. What is said last counts. Default: Stripe's published limits.
    #[must_use]
    pub fn limit_in(mut self, mode: Mode, bucket: Bucket, limit: Limit) -> Self {
        self.config.limits.replace(mode, bucket, limit);
        self
    }

    /// How many calls of an account may be in flight in this process. Default: 100, and as many for each kind of meter
    /// event in live mode.
    #[must_use]
    pub const fn max_in_flight(mut self, calls: u32) -> Self {
        self.config.limits.max_in_flight = Some(calls);
        self
    }

    /// How many calls of an account may wait. With zero, what cannot go at once is refused. Default: 1,024.
    #[must_use]
    pub const fn max_queue(mut self, calls: u32) -> Self {
        self.config.max_queue = calls;
        self
    }

    /// How much of each burst, and of what may be in flight, is left for [`Priority::Critical`]; never all of it.
    /// Default: 20 %.
    #[must_use]
    pub const fn reserve(mut self, share: Ratio) -> Self {
        self.config.reserve = share;
        self
    }

    /// The priority of calls that do not say one themselves. Default: that of the operation.
    #[must_use]
    pub const fn default_priority(mut self, priority: Option<Priority>) -> Self {
        self.config.default_priority = priority;
        self
    }

    /// Whether changes of one object wait for each other, so that Stripe does not answer with lock timeouts. Default: no.
    #[must_use]
    pub const fn serialize_objects(mut self, serialize: bool) -> Self {
        self.config.serialize_objects = serialize;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] when the share is none or more than all, the reserve more than all, nothing may be in flight, a
    /// burst is below 2, or a rate is more than a million calls a second or less than one an hour.
    pub fn build(self) -> Result<GovernorConfig, ConfigError> {
        let mut problems = Vec::new();
        self.check(&mut problems);
        ConfigError::unless_none(problems)?;
        Ok(self.config)
    }

    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        self.config.limits.check(problems);
        if self.config.reserve > Ratio::percent(100) {
            problems.push(Setting::new("reserve", self.config.reserve).must_be("at most 100 %"));
        }
    }

    #[cfg(feature = "transport")]
    pub(crate) fn unchecked(self) -> GovernorConfig {
        self.config
    }
}

#[cfg(test)]
mod tests;
