use std::{num::NonZeroUsize, time::Duration};

use crate::vocab::{Deadline, Problem, Setting};

/// The settings of the [guard](super::super#the-guard), for [`IdempotencyBuilder::guard`].
///
/// ```
/// use std::num::NonZeroUsize;
/// use tower_stripe::idempotency::{GuardConfig, IdempotencyConfig};
///
/// let config = IdempotencyConfig::builder().guard(GuardConfig::new()).build()?;
/// // … or
/// let guard = GuardConfig::new().capacity(NonZeroUsize::new(50_000).expect("not zero"));
/// let config = IdempotencyConfig::builder().guard(guard).build()?;
/// # Ok::<(), tower_stripe::ConfigError>(())
/// ```
///
/// [`IdempotencyBuilder::guard`]: super::super::IdempotencyBuilder::guard
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it is given to IdempotencyBuilder::guard"]
pub struct GuardConfig {
    pub(super) capacity: NonZeroUsize,
    pub(super) deadline: Option<Duration>,
}

impl GuardConfig {
    /// How many keys it knows at most.
    pub(in super::super) const fn most(&self) -> NonZeroUsize {
        self.capacity
    }

    /// On, with the defaults.
    pub const fn new() -> Self {
        Self { capacity: NonZeroUsize::new(10_000).expect("it is not zero"), deadline: None }
    }

    /// How many keys are remembered, at about 200 bytes each. Default: 10,000.
    ///
    /// Beyond that the ones that will be too old first are forgotten first. A key in flight is never forgotten: a call
    /// that comes while all of them are in flight goes unguarded.
    pub const fn capacity(mut self, keys: NonZeroUsize) -> Self {
        self.capacity = keys;
        self
    }

    /// The deadline of a call that has to wait for another one and brings none of its own: the same as that of `retry`.
    /// Default: by the operation. Of no use in the transport, which has one deadline for all its layers.
    pub const fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    pub(in super::super) fn check(&self, problems: &mut Vec<Problem>) {
        let Some(deadline) = self.deadline else { return };
        if deadline.is_zero() {
            problems.push(Setting::time("guard.deadline", deadline).must_be("more than zero"));
        }
        if deadline > Deadline::MAX {
            problems.push(Setting::time("guard.deadline", deadline).must_be("at most 3600s"));
        }
    }
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self::new()
    }
}
