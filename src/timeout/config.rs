use std::time::Duration;

use crate::vocab::{ConfigError, Deadline, Problem, Setting};

/// The settings of [`Timeout`](super::Timeout). See the [module docs](super).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeoutConfig {
    pub(crate) attempt: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
}

impl TimeoutConfig {
    /// Starts at the defaults.
    #[must_use]
    pub fn builder() -> TimeoutBuilder {
        TimeoutBuilder::default()
    }

    /// The settings in force, by name.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        [("attempt", self.attempt), ("deadline", self.deadline)]
            .map(|(name, limit)| match limit {
                Some(limit) => Setting::time(name, limit),
                None => Setting::new(name, "by the operation"),
            })
            .to_vec()
    }
}

/// Builds a [`TimeoutConfig`].
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeoutBuilder {
    config: TimeoutConfig,
}

impl TimeoutBuilder {
    /// The limit of every attempt, whatever the operation. Default: by the operation.
    #[must_use]
    pub const fn attempt(mut self, limit: Duration) -> Self {
        self.config.attempt = Some(limit);
        self
    }

    /// The limit of the whole call, whatever the operation. Default: by the operation.
    #[must_use]
    pub const fn deadline(mut self, limit: Duration) -> Self {
        self.config.deadline = Some(limit);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] when a limit is zero, the deadline longer than an hour, or the attempt longer than the deadline.
    pub fn build(self) -> Result<TimeoutConfig, ConfigError> {
        let mut problems = Vec::new();
        self.check(&mut problems);
        self.check_against(("deadline", self.config.deadline), &mut problems);
        ConfigError::unless_none(problems)?;
        Ok(self.config)
    }

    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        let TimeoutConfig { attempt, deadline } = self.config;
        for (name, limit) in [("attempt_timeout", attempt), ("deadline", deadline)] {
            if limit == Some(Duration::ZERO) {
                problems.push(Setting::time(name, Duration::ZERO).must_be("more than zero"));
            }
        }
        if let Some(deadline) = deadline.filter(|deadline| *deadline > Deadline::MAX) {
            problems.push(Setting::time("deadline", deadline).must_be("at most 3600s"));
        }
    }

    /// Against the deadline in force, by the name under which it was set.
    pub(crate) fn check_against(
        &self,
        deadline: (&'static str, Option<Duration>),
        problems: &mut Vec<Problem>,
    ) {
        let limit = deadline.1.unwrap_or(Deadline::DEFAULT);
        if let Some(attempt) = self.config.attempt.filter(|attempt| *attempt > limit) {
            problems.push(
                Setting::time("attempt_timeout", attempt)
                    .must_be_towards("at most", Setting::deadline(deadline.0, deadline.1)),
            );
        }
    }

    #[cfg(feature = "transport")]
    pub(crate) const fn unchecked(self) -> TimeoutConfig {
        self.config
    }
}

#[cfg(test)]
mod tests;
