//! The recent past of one circuit: exact counts over a sliding window, at a constant cost per call.

use std::time::{Duration, Instant};

/// Into how many buckets the window is cut. The oldest leaves as a whole, so what is counted is never older than the
/// window, and never less than nine tenths of it.
const BUCKETS: usize = 10;

/// What is in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) failures: u64,
    /// Successes that took long, and all failures.
    pub(super) slow: u64,
    /// Failures since the last success.
    pub(super) run: u64,
}

impl Counts {
    const fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.slow += other.slow;
        self.run += other.run;
    }

    const fn subtract(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
        self.run -= other.run;
    }
}

#[derive(Clone, Debug)]
pub(super) struct Window {
    width: u64,
    origin: Instant,
    /// The number of the newest bucket, counted from `origin`.
    newest: u64,
    buckets: [Counts; BUCKETS],
    sum: Counts,
    /// When the first failure of the run ended.
    run_began: Instant,
    /// How many successes have come back since, all of them sent before.
    stragglers: u64,
    /// How long a success takes: the mean of the recent ones, in nanoseconds.
    usual: u64,
}

/// However long a success takes, as an upload does: a run that has lasted for so long is one.
const RIPE: Duration = Duration::from_secs(1);

/// How many successes the mean reaches back to, about.
const MEMORY: u64 = 64;

impl Window {
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        let width = u64::try_from(length.as_nanos() / BUCKETS as u128).unwrap_or(u64::MAX).max(1);
        Self {
            width,
            origin: now,
            newest: 0,
            buckets: [Counts::default(); BUCKETS],
            sum: Counts::default(),
            run_began: now,
            stragglers: 0,
            usual: 0,
        }
    }

    /// What is in it at `now`.
    pub(super) fn at(&self, now: Instant) -> Counts {
        let mut window = self.clone();
        window.slide(now);
        window.sum
    }

    pub(super) fn clear(&mut self) {
        self.buckets = [Counts::default(); BUCKETS];
        self.sum = Counts::default();
    }

    /// A success that took `on_wire`. It ends a run of failures only if it was sent after that had begun: what was sent
    /// before an outage, and comes back during it, says nothing about the present.
    pub(super) fn success(&mut self, on_wire: Duration, slow: bool, now: Instant) -> Counts {
        self.slide(now);
        let took = u64::try_from(on_wire.as_nanos()).unwrap_or(u64::MAX);
        self.usual = if self.usual == 0 { took } else { self.usual - self.usual / MEMORY + took / MEMORY };
        let is_news = now.checked_sub(on_wire).is_some_and(|sent| sent >= self.run_began);
        if self.sum.run > 0 && is_news {
            self.buckets.iter_mut().for_each(|bucket| bucket.run = 0);
            self.sum.run = 0;
        }
        self.stragglers += 1;
        self.add(Counts { calls: 1, failures: 0, slow: u64::from(slow), run: 0 })
    }

    pub(super) fn failure(&mut self, now: Instant) -> Counts {
        self.slide(now);
        if self.sum.run == 0 {
            (self.run_began, self.stragglers) = (now, 0);
        }
        self.add(Counts { calls: 1, failures: 1, slow: 1, run: 1 })
    }

    /// Whether a run of failures says something. Failures are often faster than successes, and a few that come back while
    /// many a success is still under way are no outage: so a run must have lasted for as long as a success takes, since any
    /// that was sent after it had begun would have ended it; and what still came back meanwhile must not be more.
    pub(super) fn run_is_ripe(&self, now: Instant) -> bool {
        let lasted = now.saturating_duration_since(self.run_began);
        lasted >= Duration::from_nanos(self.usual).min(RIPE) && self.stragglers <= self.sum.run
    }

    fn add(&mut self, one: Counts) -> Counts {
        self.buckets[(self.newest % BUCKETS as u64) as usize].add(one);
        self.sum.add(one);
        self.sum
    }

    /// Lets go of what is too old. However long nothing happened, at most every bucket is emptied once. A clock that
    /// steps back counts in the newest bucket.
    fn slide(&mut self, now: Instant) {
        let age = u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX);
        let number = age / self.width;
        for passed in 1..=number.saturating_sub(self.newest).min(BUCKETS as u64) {
            let bucket = &mut self.buckets[((self.newest + passed) % BUCKETS as u64) as usize];
            self.sum.subtract(std::mem::take(bucket));
        }
        self.newest = self.newest.max(number);
    }
}

#[cfg(test)]
mod tests;
