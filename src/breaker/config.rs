use std::time::Duration;

use super::{Control, Traffic};
use crate::vocab::{ConfigError, Problem, Ratio, Setting};

/// Instants are added to, and must not overflow.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The settings of [`Breaker`](super::Breaker). See the [module docs](super).
#[derive(Clone, Debug)]
pub struct BreakerConfig {
    pub(super) window: Duration,
    pub(super) min_calls: u32,
    pub(super) failure_ratio: Option<Ratio>,
    pub(super) consecutive_failures: Option<u32>,
    pub(super) slow_calls: [Option<SlowCalls>; 2],
    pub(super) abandoned_after: Duration,
    pub(super) base_interval: Duration,
    pub(super) max_interval: Duration,
    pub(super) probe_lease: Duration,
    pub(super) probe_successes: u32,
    pub(super) ramp: Duration,
    pub(super) probe_grace: Duration,
    pub(super) money_grace: Duration,
    pub(super) synthetic_probes: bool,
    pub(super) local: bool,
    pub(super) control: Control,
    pub(super) jitter_seed: Option<u64>,
}

/// From when on a call is slow, and how many may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlowCalls {
    pub(super) limit: Duration,
    pub(super) ratio: Ratio,
}

impl BreakerConfig {
    /// Starts at the defaults.
    #[must_use]
    pub fn builder() -> BreakerBuilder {
        BreakerBuilder::default()
    }

    /// The settings in force, by name.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = vec![
            Setting::new("control", self.control),
            Setting::time("window", self.window),
            Setting::new("min_calls", self.min_calls),
            or_off("failure_ratio", self.failure_ratio),
            or_off("consecutive_failures", self.consecutive_failures),
        ];
        for (traffic, slow) in [Traffic::Read, Traffic::Write].into_iter().zip(self.slow_calls) {
            if let Some(SlowCalls { limit, ratio }) = slow {
                settings.push(Setting::new("slow_calls", format_args!("{traffic}, {limit:?}, {ratio}")));
            }
        }
        settings.extend([
            Setting::time("abandoned_after", self.abandoned_after),
            Setting::time("base_interval", self.base_interval),
            Setting::time("max_interval", self.max_interval),
            Setting::time("probe_lease", self.probe_lease),
            Setting::new("probe_successes", self.probe_successes),
            Setting::time("ramp", self.ramp),
            Setting::time("probe_grace", self.probe_grace),
            Setting::time("money_grace", self.money_grace),
            Setting::new("synthetic_probes", self.synthetic_probes),
            Setting::new("local", self.local),
        ]);
        settings
    }
}

fn or_off(name: &'static str, value: Option<impl std::fmt::Display>) -> Setting {
    match value {
        Some(value) => Setting::new(name, value),
        None => Setting::new(name, "off"),
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            min_calls: 50,
            failure_ratio: Some(Ratio::percent(50)),
            consecutive_failures: Some(10),
            slow_calls: [None; 2],
            abandoned_after: Duration::from_secs(10),
            base_interval: Duration::from_secs(1),
            max_interval: Duration::from_secs(5),
            probe_lease: Duration::from_secs(5),
            probe_successes: 3,
            ramp: Duration::from_millis(500),
            probe_grace: Duration::from_millis(100),
            money_grace: Duration::from_millis(250),
            synthetic_probes: true,
            local: true,
            control: Control::Automatic,
            jitter_seed: None,
        }
    }
}

/// Builds a [`BreakerConfig`].
#[derive(Clone, Debug, Default)]
pub struct BreakerBuilder {
    config: BreakerConfig,
}

impl BreakerBuilder {
    /// How long results are remembered. Default: 60 s.
    #[must_use]
    pub const fn window(mut self, window: Duration) -> Self {
        self.config.window = window;
        self
    }

    /// How many calls must be in the window before a ratio says anything. Default: 50.
    #[must_use]
    pub const fn min_calls(mut self, calls: u32) -> Self {
        self.config.min_calls = calls;
        self
    }

    /// The share of failures in the window that opens; `None` turns the rule off. Default: 50 %.
    #[must_use]
    pub fn failure_ratio(mut self, ratio: impl Into<Option<Ratio>>) -> Self {
        self.config.failure_ratio = ratio.into();
        self
    }

    /// How many failures in a row, all within the window, open; `None` turns the rule off, and with it the local
    /// circuits. Default: 10.
    #[must_use]
    pub fn consecutive_failures(mut self, failures: impl Into<Option<u32>>) -> Self {
        self.config.consecutive_failures = failures.into();
        self
    }

    /// Opens when at least `ratio` of the calls in the window failed or took `limit` or longer on the wire; needs
    /// [`min_calls`](Self::min_calls) too. Default: off.
    ///
    /// A write that is slow has succeeded: think twice before refusing others for it.
    #[must_use]
    pub const fn slow_calls(mut self, traffic: Traffic, limit: Duration, ratio: Ratio) -> Self {
        self.config.slow_calls[traffic as usize] = Some(SlowCalls { limit, ratio });
        self
    }

    /// How long an attempt must have been on the wire so that it counts as a failure when its caller goes away:
    /// otherwise an upstream that hangs would never be noticed behind a caller's own, shorter timeout. Default: 10 s.
    #[must_use]
    pub const fn abandoned_after(mut self, time: Duration) -> Self {
        self.config.abandoned_after = time;
        self
    }

    /// How long a circuit is open at first; it doubles each time it opens again, until it has been closed for a whole
    /// window. Default: 1 s.
    #[must_use]
    pub const fn base_interval(mut self, interval: Duration) -> Self {
        self.config.base_interval = interval;
        self
    }

    /// The longest time a circuit is open before it is probed. Default: 5 s.
    #[must_use]
    pub const fn max_interval(mut self, interval: Duration) -> Self {
        self.config.max_interval = interval;
        self
    }

    /// How long a probe may take: after that it has failed, whatever comes of it. Default: 5 s.
    #[must_use]
    pub const fn probe_lease(mut self, time: Duration) -> Self {
        self.config.probe_lease = time;
        self
    }

    /// How many probes must succeed before the circuit closes. Default: 3.
    #[must_use]
    pub const fn probe_successes(mut self, successes: u32) -> Self {
        self.config.probe_successes = successes;
        self
    }

    /// Over what time the share that is admitted grows from 10 % to all after closing; zero admits all at once.
    /// Default: 0.5 s.
    #[must_use]
    pub const fn ramp(mut self, time: Duration) -> Self {
        self.config.ramp = time;
        self
    }

    /// How long a write waits for a GET to probe the reads, before a synthetic GET does. Default: 100 ms.
    #[must_use]
    pub const fn probe_grace(mut self, time: Duration) -> Self {
        self.config.probe_grace = time;
        self
    }

    /// How long half-open writes wait for one that moves no money, before one that does is the probe. Default: 250 ms.
    #[must_use]
    pub const fn money_grace(mut self, time: Duration) -> Self {
        self.config.money_grace = time;
        self
    }

    /// Whether a GET of our own may ask if Stripe is back where no caller sends any. Default: yes.
    #[must_use]
    pub const fn synthetic_probes(mut self, on: bool) -> Self {
        self.config.synthetic_probes = on;
        self
    }

    /// Whether failures to connect open a circuit of their own for the host. Default: yes.
    #[must_use]
    pub const fn local(mut self, on: bool) -> Self {
        self.config.local = on;
        self
    }

    /// Who decides at first: the circuits themselves, or an operator. Default: [`Control::Automatic`].
    #[must_use]
    pub const fn control(mut self, control: Control) -> Self {
        self.config.control = control;
        self
    }

    /// Makes the jitter repeatable, for tests. Default: seeded by the operating system.
    #[must_use]
    pub const fn jitter_seed(mut self, seed: u64) -> Self {
        self.config.jitter_seed = Some(seed);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] when a time that must pass is zero, or longer than an hour, a ratio or a count cannot be, or both
    /// rules that open are off.
    pub fn build(self) -> Result<BreakerConfig, ConfigError> {
        let mut problems = Vec::new();
        self.check(&mut problems);
        ConfigError::unless_none(problems)?;
        Ok(self.config)
    }

    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        let config = &self.config;
        positive("breaker.window", config.window, problems);
        if config.min_calls == 0 {
            problems.push(Setting::new("breaker.min_calls", config.min_calls).must_be("at least 1"));
        }
        if let Some(ratio) = config.failure_ratio {
            check_ratio("breaker.failure_ratio", ratio, problems);
        }
        match (config.consecutive_failures, config.failure_ratio) {
            (Some(0), _) => {
                problems.push(Setting::new("breaker.consecutive_failures", 0).must_be("at least 1, or off"));
            }
            (None, None) => problems.push(
                Setting::new("breaker.consecutive_failures", "off")
                    .must_be_towards("on, with", Setting::new("breaker.failure_ratio", "off")),
            ),
            _ => {}
        }
        for (limit, ratio, slow) in [
            ("breaker.slow_calls(read).limit", "breaker.slow_calls(read).ratio", config.slow_calls[0]),
            ("breaker.slow_calls(write).limit", "breaker.slow_calls(write).ratio", config.slow_calls[1]),
        ] {
            if let Some(slow) = slow {
                positive(limit, slow.limit, problems);
                check_ratio(ratio, slow.ratio, problems);
            }
        }
        positive("breaker.base_interval", config.base_interval, problems);
        if config.base_interval > config.max_interval {
            problems.push(
                Setting::time("breaker.base_interval", config.base_interval)
                    .must_be_towards("at most", Setting::time("breaker.max_interval", config.max_interval)),
            );
        }
        positive("breaker.probe_lease", config.probe_lease, problems);
        for (name, time) in [
            ("breaker.abandoned_after", config.abandoned_after),
            ("breaker.max_interval", config.max_interval),
            ("breaker.probe_lease", config.probe_lease),
            ("breaker.ramp", config.ramp),
            ("breaker.probe_grace", config.probe_grace),
            ("breaker.money_grace", config.money_grace),
        ] {
            if time > LONGEST {
                problems.push(Setting::time(name, time).must_be("at most 3600s"));
            }
        }
        if config.probe_successes == 0 {
            problems.push(Setting::new("breaker.probe_successes", 0).must_be("at least 1"));
        }
    }

    /// Against the longest time that one attempt may take, by the name under which it was set: a window that holds less
    /// than two of them may never hold enough results for a ratio while all attempts time out.
    #[cfg(feature = "transport")]
    pub(crate) fn check_against(
        &self,
        attempt_timeout: (&'static str, Duration),
        problems: &mut Vec<Problem>,
    ) {
        let (name, timeout) = attempt_timeout;
        let runs = matches!(self.config.control, Control::Automatic | Control::ObserveOnly);
        if runs && self.config.failure_ratio.is_some() && self.config.window < timeout.saturating_mul(2) {
            problems.push(
                Setting::time("breaker.window", self.config.window)
                    .must_be_towards("at least twice", Setting::time(name, timeout)),
            );
        }
    }

    /// What is given up by a time limit can never be abandoned later.
    #[cfg(feature = "transport")]
    pub(crate) fn at_most_abandoned_after(mut self, time: Duration) -> Self {
        self.config.abandoned_after = self.config.abandoned_after.min(time);
        self
    }

    #[cfg(feature = "transport")]
    pub(crate) const fn unchecked(self) -> BreakerConfig {
        self.config
    }
}

fn positive(name: &'static str, time: Duration, problems: &mut Vec<Problem>) {
    if time.is_zero() {
        problems.push(Setting::time(name, time).must_be("more than zero"));
    }
}

fn check_ratio(name: &'static str, ratio: Ratio, problems: &mut Vec<Problem>) {
    if !(1..=1_000).contains(&ratio.as_permille()) {
        problems.push(Setting::new(name, ratio).must_be("more than 0 %, and at most 100 %"));
    }
}

#[cfg(test)]
mod tests;
