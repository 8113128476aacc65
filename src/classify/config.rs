use std::time::Duration;

use crate::vocab::{ConfigError, Problem, Setting};

/// The settings of [`Classify`](super::Classify). See the [module docs](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassifyConfig {
    pub(super) max_bytes: usize,
    pub(super) max_time: Duration,
    /// How much of a success is read before it is handed on; 0 for nothing.
    pub(super) buffer: usize,
}

impl ClassifyConfig {
    /// Starts at the defaults.
    #[must_use]
    pub fn builder() -> ClassifyBuilder {
        ClassifyBuilder::default()
    }

    /// The settings in force, by name.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::new("max_bytes", self.max_bytes),
            Setting::time("max_time", self.max_time),
            Setting::new("buffer", self.buffer),
        ]
    }
}

impl Default for ClassifyConfig {
    fn default() -> Self {
        Self { max_bytes: 64 * 1024, max_time: Duration::from_secs(1), buffer: 0 }
    }
}

/// Builds a [`ClassifyConfig`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassifyBuilder {
    config: ClassifyConfig,
}

impl ClassifyBuilder {
    /// The largest error body that is read. Default: 64 KiB.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.config.max_bytes = bytes;
        self
    }

    /// The longest time that is spent on reading it. Default: 1 s.
    #[must_use]
    pub const fn max_time(mut self, time: Duration) -> Self {
        self.config.max_time = time;
        self
    }

    /// Reads the body of a success too, up to so many bytes, before the response is handed on: the buffered mode.
    /// Default: off. 1 MiB suits answers of Stripe's API.
    ///
    /// Without it, a success whose body breaks off is the caller's to fetch again. With it, `retry` does that, if the
    /// request is a GET or has a key, and the time limit of an attempt covers the body. What is longer is handed on as it
    /// comes.
    #[must_use]
    pub const fn buffer(mut self, bytes: usize) -> Self {
        self.config.buffer = bytes;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] when nothing is to be read, or more than 1 MiB: it is held in memory for every failed attempt under
    /// way.
    pub fn build(self) -> Result<ClassifyConfig, ConfigError> {
        let mut problems = Vec::new();
        self.check(&mut problems);
        ConfigError::unless_none(problems)?;
        Ok(self.config)
    }

    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        if self.config.max_bytes > 1024 * 1024 {
            problems.push(Setting::new("max_bytes", self.config.max_bytes).must_be("at most 1048576"));
        }
        if self.config.buffer > 1024 * 1024 {
            problems.push(Setting::new("buffer", self.config.buffer).must_be("at most 1048576"));
        }
        if self.config.max_bytes == 0 {
            problems.push(Setting::new("max_bytes", 0).must_be("more than zero"));
        }
        if self.config.max_time.is_zero() {
            problems.push(Setting::time("max_time", Duration::ZERO).must_be("more than zero"));
        }
    }

    #[cfg(feature = "transport")]
    pub(crate) const fn unchecked(self) -> ClassifyConfig {
        self.config
    }
}

#[cfg(test)]
mod tests;
