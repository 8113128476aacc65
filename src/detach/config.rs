use crate::vocab::{ConfigError, Problem, Setting};

/// The settings of [`Detach`](super::Detach). See the [module docs](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetachConfig {
    pub(super) max_detached: usize,
    pub(super) max_unresolved: usize,
}

impl DetachConfig {
    /// The most that either number can be set to.
    pub const MAX: usize = 65_536;

    /// Starts at the defaults.
    #[must_use]
    pub fn builder() -> DetachBuilder {
        DetachBuilder::default()
    }
}

impl Default for DetachConfig {
    fn default() -> Self {
        Self { max_detached: 1_024, max_unresolved: 1_024 }
    }
}

/// Builds a [`DetachConfig`].
#[derive(Clone, Copy, Debug, Default)]
pub struct DetachBuilder {
    config: DetachConfig,
}

impl DetachBuilder {
    /// How many calls that may move money are under way at most, whether their callers are there or not. Beyond it, they
    /// are refused. Default: 1,024.
    #[must_use]
    pub const fn max_detached(mut self, calls: usize) -> Self {
        self.config.max_detached = calls;
        self
    }

    /// How many calls are remembered that ended unknown with nobody to tell, for the report of a drain: the last ones.
    /// Those beyond it are only counted. Default: 1,024.
    #[must_use]
    pub const fn max_unresolved(mut self, calls: usize) -> Self {
        self.config.max_unresolved = calls;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] when a number is zero or more than [`DetachConfig::MAX`].
    pub fn build(self) -> Result<DetachConfig, ConfigError> {
        let mut problems = Vec::new();
        self.check(&mut problems);
        ConfigError::unless_none(problems)?;
        Ok(self.config)
    }

    fn check(&self, problems: &mut Vec<Problem>) {
        let DetachConfig { max_detached, max_unresolved } = self.config;
        for (name, value) in [("max_detached", max_detached), ("max_unresolved", max_unresolved)] {
            if !(1..=DetachConfig::MAX).contains(&value) {
                problems.push(Setting::new(name, value).must_be("from 1 to 65536"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_at_once_and_the_bounds_themselves_are_allowed() {
        let built = |detached, unresolved| {
            DetachConfig::builder().max_detached(detached).max_unresolved(unresolved).build()
        };
        assert_eq!(
            built(0, 65_537).unwrap_err().to_string(),
            "max_detached = 0 must be from 1 to 65536; max_unresolved = 65537 must be from 1 to 65536"
        );
        assert_eq!(built(65_537, 0).unwrap_err().problems().len(), 2);
        assert!(built(1, 65_536).is_ok() && built(65_536, 1).is_ok());
        assert_eq!(built(1_024, 1_024), Ok(DetachConfig::default()));
        assert_eq!(DetachConfig::builder().build(), Ok(DetachConfig::default()));
    }
}
