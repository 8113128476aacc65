use std::{fmt, num::NonZeroU32, sync::Arc};

use super::{
    accounts::{Core, enter},
    limits::{Bucket, Limit},
};
use crate::vocab::{ConfigError, Mode, Priority, Sample, Source, metric, time};

/// Changes the limits of a running [`Governor`](super::Governor), and tells how things stand.
#[derive(Clone)]
pub struct GovernorHandle {
    core: Arc<Core>,
}

impl GovernorHandle {
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Replaces a limit, for calls that wait and for those to come. What was used of the old one counts for the new one.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use tower_stripe::{governor::{Bucket, GovernorGate, Limit}, vocab::Mode};
    ///
    /// let gate = GovernorGate::default();
    /// let slow = Limit::per_second(NonZeroU32::new(10).expect("not zero"));
    /// gate.handle().set_limit(Mode::Live, Bucket::Global, slow)?;
    /// assert!(gate.handle().set_limit(Mode::Live, Bucket::Global, slow.burst(0)).is_err());
    /// # Ok::<(), tower_stripe::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] if the limit could not have been set from the start. Nothing changes then.
    pub fn set_limit(&self, mode: Mode, bucket: Bucket, limit: Limit) -> Result<(), ConfigError> {
        self.core.replace(self.core.tick(time::now()), |limits| {
            if bucket == Bucket::Global && limit.sets_in_flight() {
                limits.max_in_flight = None; // It is what is replaced.
            }
            limits.replace(mode, bucket, limit);
            let mut problems = Vec::new();
            limits.check(&mut problems);
            ConfigError::unless_none(problems)
        })
    }

    /// Shares the account among so many processes from now on.
    ///
    /// # Errors
    /// [`ConfigError`] if there are too many for any of them to make a call an hour. Nothing changes then.
    pub fn set_replicas(&self, replicas: NonZeroU32) -> Result<(), ConfigError> {
        self.core.replace(self.core.tick(time::now()), |limits| {
            limits.replicas = replicas;
            let mut problems = Vec::new();
            limits.check(&mut problems);
            ConfigError::unless_none(problems)
        })
    }

    /// How things stand, account by account, in no order. What is counted for one was so at one moment.
    #[must_use]
    pub fn snapshot(&self) -> Vec<AccountSnapshot> {
        let now = self.core.tick(time::now());
        let accounts = self.core.all();
        let snapshot = |account: &super::accounts::Shared| {
            enter(account, |account| AccountSnapshot {
                mode: account.mode(),
                waiting: account.waiting(),
                in_flight: account.in_flight(),
                global_rate: account.global_rate(now),
            })
        };
        accounts.iter().map(snapshot).collect()
    }
}

/// All accounts together. Of the rates, those of the account that is slowed down most.
impl Source for GovernorHandle {
    fn sample(&self, sample: &mut Sample<'_>) {
        let accounts = self.snapshot();
        for mode in [Mode::Live, Mode::Sandbox] {
            let of_mode = || accounts.iter().filter(|account| account.mode() == mode);
            for priority in [Priority::Background, Priority::Normal, Priority::Critical] {
                let waiting: usize = of_mode().map(|account| account.waiting(priority)).sum();
                sample.gauge(&metric::GOVERNOR_WAITING, &[mode.as_str(), priority.as_str()], waiting as f64);
            }
            let in_flight: u32 = of_mode().map(AccountSnapshot::in_flight).sum();
            sample.gauge(&metric::GOVERNOR_IN_FLIGHT, &[mode.as_str()], f64::from(in_flight));
            let configured = self.core.global_rate(mode);
            let effective =
                of_mode().filter_map(AccountSnapshot::global_rate).reduce(f64::min).or(configured);
            for (kind, rate) in metric::RATE_KINDS.into_iter().zip([configured, effective]) {
                if let Some(rate) = rate {
                    // Intervals are whole nanoseconds: their reciprocals are not quite what was set.
                    let rate = (rate * 1_000.0).round() / 1_000.0;
                    sample.gauge(&metric::GOVERNOR_RATE, &[mode.as_str(), kind], rate);
                }
            }
        }
    }
}

impl fmt::Debug for GovernorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GovernorHandle").finish_non_exhaustive()
    }
}

/// How things stand in one account. Which one it is, it does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountSnapshot {
    mode: Mode,
    waiting: [usize; 3],
    in_flight: u32,
    global_rate: Option<f64>,
}

impl AccountSnapshot {
    /// Its mode.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// How many calls of this priority wait.
    #[must_use]
    pub const fn waiting(&self, priority: Priority) -> usize {
        self.waiting[super::queue::level(priority)]
    }

    /// How many calls are in flight, or are taken to be: one that timed out counts for another second.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// How many calls a second the global rule allows at present, if there is one.
    #[must_use]
    pub const fn global_rate(&self) -> Option<f64> {
        self.global_rate
    }
}
