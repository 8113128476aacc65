//! What configurations have in common: how they are refused, and how a share is written.

use std::{fmt, time::Duration};

#[cfg(any(feature = "retry", feature = "timeout"))]
use super::Deadline;

/// Settings that cannot be: every problem at once, so that one correction is enough.
///
/// ```
/// use std::time::Duration;
/// use tower_stripe::timeout::TimeoutConfig;
///
/// let error = TimeoutConfig::builder()
///     .attempt(Duration::from_secs(90))
///     .deadline(Duration::from_secs(7_200))
///     .build()
///     .unwrap_err();
/// assert_eq!(error.to_string(), "deadline = 7200s must be at most 3600s");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// `Ok` if there is no problem.
    ///
    /// # Errors
    /// All of `problems`, if there are any.
    pub fn unless_none(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// The problems, in the order of the settings.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A setting breaks a rule of its own.
    Invalid {
        /// The setting.
        setting: Setting,
        /// What it must be.
        rule: &'static str,
    },
    /// Two settings contradict each other.
    Contradiction {
        /// The one.
        setting: Setting,
        /// What it must be, in relation to the other.
        rule: &'static str,
        /// The other.
        other: Setting,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { setting, rule } => write!(f, "{setting} must be {rule}"),
            Self::Contradiction { setting, rule, other } => write!(f, "{setting} must be {rule} {other}"),
        }
    }
}

/// The name of a setting and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    name: &'static str,
    value: String,
}

impl Setting {
    /// A setting whose value prints itself.
    #[must_use]
    pub fn new(name: &'static str, value: impl fmt::Display) -> Self {
        Self { name, value: value.to_string() }
    }

    /// A setting that is a time.
    #[must_use]
    pub fn time(name: &'static str, value: Duration) -> Self {
        Self { name, value: format!("{value:?}") }
    }

    /// The deadline in force: the one that was set under this name, or the default.
    #[cfg(any(feature = "retry", feature = "timeout"))]
    pub(crate) fn deadline(name: &'static str, set: Option<Duration>) -> Self {
        match set {
            Some(deadline) => Self::time(name, deadline),
            None => Self { name, value: format!("{:?} (the default)", Deadline::DEFAULT) },
        }
    }

    /// Its name, as in the builder.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// This setting breaks `rule`.
    #[must_use]
    pub const fn must_be(self, rule: &'static str) -> Problem {
        Problem::Invalid { setting: self, rule }
    }

    /// This setting breaks `rule` towards `other`.
    #[must_use]
    pub const fn must_be_towards(self, rule: &'static str, other: Self) -> Problem {
        Problem::Contradiction { setting: self, rule, other }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.name, self.value)
    }
}

/// A share, in whole thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u16);

impl Ratio {
    /// So many hundredths.
    #[must_use]
    pub const fn percent(percent: u8) -> Self {
        Self(percent as u16 * 10)
    }

    /// So many thousandths.
    #[must_use]
    pub const fn permille(permille: u16) -> Self {
        Self(permille)
    }

    /// In thousandths.
    #[must_use]
    pub const fn as_permille(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenths) = (self.0 / 10, self.0 % 10);
        if tenths == 0 { write!(f, "{whole} %") } else { write!(f, "{whole}.{tenths} %") }
    }
}

#[cfg(test)]
mod tests;
