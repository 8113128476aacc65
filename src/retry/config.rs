use std::{num::NonZeroU32, time::Duration};

use super::{backoff::Ladder, budget::BudgetConfig};
use crate::vocab::{ConfigError, Deadline, Problem, Setting, time::WallClock};

/// The settings of [`Retry`](super::Retry). See the [module docs](super).
#[derive(Clone, Debug)]
pub struct RetryConfig {
    pub(super) max_attempts: NonZeroU32,
    pub(super) ordinary: Ladder,
    pub(super) limiter: Ladder,
    pub(super) max_retry_after: Duration,
    pub(super) deadline: Option<Duration>,
    pub(super) min_attempt: Duration,
    pub(super) budget: BudgetConfig,
    pub(super) jitter_seed: Option<u64>,
    pub(super) wall_clock: WallClock,
}

impl RetryConfig {
    /// Starts at the defaults.
    #[must_use]
    pub fn builder() -> RetryBuilder {
        RetryBuilder::default()
    }

    /// The settings in force, by name.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = vec![
            Setting::new("max_attempts", self.max_attempts),
            Setting::time("base_delay", self.ordinary.base),
            Setting::time("max_delay", self.ordinary.cap),
            Setting::time("limiter_base_delay", self.limiter.base),
            Setting::time("limiter_max_delay", self.limiter.cap),
            Setting::time("max_retry_after", self.max_retry_after),
            match self.deadline {
                Some(deadline) => Setting::time("deadline", deadline),
                None => Setting::new("deadline", "by the operation"),
            },
            Setting::time("min_attempt", self.min_attempt),
        ];
        settings.extend(self.budget.settings());
        settings
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_attempts: NonZeroU32::MIN.saturating_add(2),
            ordinary: Ladder { base: Duration::from_millis(500), cap: Duration::from_secs(5) },
            limiter: Ladder { base: Duration::from_secs(2), cap: Duration::from_secs(30) },
            max_retry_after: Duration::from_secs(60),
            deadline: None,
            min_attempt: Duration::from_secs(1),
            budget: BudgetConfig::default(),
            jitter_seed: None,
            wall_clock: WallClock::SYSTEM,
        }
    }
}

/// Builds a [`RetryConfig`].
#[derive(Clone, Debug, Default)]
pub struct RetryBuilder {
    config: RetryConfig,
}

impl RetryBuilder {
    /// How many attempts a call has, the first included. One means none is repeated. Default: 3.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: NonZeroU32) -> Self {
        self.config.max_attempts = attempts;
        self
    }

    /// The delay before the first retry; it doubles from one to the next. Default: 0.5 s.
    #[must_use]
    pub const fn base_delay(mut self, delay: Duration) -> Self {
        self.config.ordinary.base = delay;
        self
    }

    /// The longest delay. Default: 5 s.
    #[must_use]
    pub const fn max_delay(mut self, delay: Duration) -> Self {
        self.config.ordinary.cap = delay;
        self
    }

    /// The delay before the first retry of what a limiter of Stripe's refused. Default: 2 s.
    #[must_use]
    pub const fn limiter_base_delay(mut self, delay: Duration) -> Self {
        self.config.limiter.base = delay;
        self
    }

    /// The longest delay before what a limiter refused. Default: 30 s.
    #[must_use]
    pub const fn limiter_max_delay(mut self, delay: Duration) -> Self {
        self.config.limiter.cap = delay;
        self
    }

    /// The longest `Retry-After` that is waited for. A longer one ends the call, which then says when to come back.
    /// Default: 60 s.
    #[must_use]
    pub const fn max_retry_after(mut self, limit: Duration) -> Self {
        self.config.max_retry_after = limit;
        self
    }

    /// The limit of the whole call, whatever the operation. Default: by the operation.
    #[must_use]
    pub const fn deadline(mut self, limit: Duration) -> Self {
        self.config.deadline = Some(limit);
        self
    }

    /// How much time must be left for an attempt: a wait that leaves less is not begun. Default: 1 s, or half of a deadline
    /// that is shorter than 2 s.
    #[must_use]
    pub const fn min_attempt(mut self, time: Duration) -> Self {
        self.config.min_attempt = time;
        self
    }

    /// How many retries all calls together may make. Default: [`BudgetConfig::default`].
    #[must_use]
    pub const fn budget(mut self, budget: BudgetConfig) -> Self {
        self.config.budget = budget;
        self
    }

    /// Makes the jitter repeatable, for tests. Default: seeded by the operating system.
    #[must_use]
    pub const fn jitter_seed(mut self, seed: u64) -> Self {
        self.config.jitter_seed = Some(seed);
        self
    }

    /// Where the time of day comes from, for dates in `Retry-After`.
    #[must_use]
    pub fn wall_clock(mut self, clock: WallClock) -> Self {
        self.config.wall_clock = clock;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] when a delay is zero, or longer than its maximum, the deadline zero or longer than an hour, too short
    /// for any retry, or the budget cannot be.
    pub fn build(self) -> Result<RetryConfig, ConfigError> {
        let mut problems = Vec::new();
        self.check(&mut problems);
        self.check_against(("deadline", self.config.deadline), &mut problems);
        ConfigError::unless_none(problems)?;
        Ok(self.config)
    }

    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        let config = &self.config;
        for (base, cap, ladder) in [
            ("base_delay", "max_delay", config.ordinary),
            ("limiter_base_delay", "limiter_max_delay", config.limiter),
        ] {
            if ladder.base.is_zero() {
                problems.push(Setting::time(base, ladder.base).must_be("more than zero"));
            }
            if ladder.base > ladder.cap {
                problems.push(
                    Setting::time(base, ladder.base)
                        .must_be_towards("at most", Setting::time(cap, ladder.cap)),
                );
            }
        }
        match config.deadline {
            Some(deadline) if deadline.is_zero() => {
                problems.push(Setting::time("deadline", deadline).must_be("more than zero"));
            }
            Some(deadline) if deadline > Deadline::MAX => {
                problems.push(Setting::time("deadline", deadline).must_be("at most 3600s"));
            }
            _ => {}
        }
        config.budget.check(problems);
    }

    /// Against the deadline in force, by the name under which it was set: a retry must be possible at all.
    pub(crate) fn check_against(
        &self,
        deadline: (&'static str, Option<Duration>),
        problems: &mut Vec<Problem>,
    ) {
        let limit = deadline.1.unwrap_or(Deadline::DEFAULT);
        let config = &self.config;
        for (name, time) in [("min_attempt", config.min_attempt), ("base_delay", config.ordinary.base)] {
            // A shorter default than the deadline allows is cut, not refused.
            if time >= limit && time > Self::default().config.min_attempt {
                problems.push(
                    Setting::time(name, time)
                        .must_be_towards("less than", Setting::deadline(deadline.0, deadline.1)),
                );
            }
        }
    }

    #[cfg(feature = "transport")]
    pub(crate) fn at_most_min_attempt(mut self, time: Duration) -> Self {
        self.config.min_attempt = self.config.min_attempt.min(time);
        self
    }

    #[cfg(feature = "transport")]
    pub(crate) const fn deadline_set(&self) -> Option<Duration> {
        self.config.deadline
    }

    #[cfg(feature = "transport")]
    pub(crate) fn unchecked(self) -> RetryConfig {
        self.config
    }
}

#[cfg(test)]
mod tests;
