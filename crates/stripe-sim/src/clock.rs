//! Stripe's clock: tokio's time plus an offset that a test can move.
//!
//! Everything that ages in the simulator (keys, limiters, `created`) reads this clock and nothing else. With tokio's
//! time paused it stands still until the test moves it, so a run repeats to the nanosecond. Build the simulator inside
//! the runtime whose time it should follow.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Where Stripe's clock starts unless the builder says otherwise: 2026-01-01T00:00:00Z.
pub(crate) const DEFAULT_EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// Stripe's clock. Clones show the same time.
#[derive(Clone)]
pub struct Clock {
    start: Instant,
    epoch: SystemTime,
    offset: Arc<AtomicI64>,
}

impl Clock {
    pub(crate) fn starting_at(epoch: SystemTime) -> Self {
        Self { start: tick(), epoch, offset: Arc::new(AtomicI64::new(0)) }
    }

    /// Stripe's time of day: what `created` is stamped with and what keys age by.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        let elapsed = self.elapsed();
        let offset = self.offset.load(Ordering::SeqCst);
        let moved = Duration::from_nanos(offset.unsigned_abs());
        let ahead = self.epoch.checked_add(elapsed).unwrap_or(self.epoch);
        let shifted = if offset < 0 { ahead.checked_sub(moved) } else { ahead.checked_add(moved) };
        shifted.unwrap_or(ahead)
    }

    /// Tokio's time since the simulator was built. Moving this clock does not change it: it tells what
    /// [`Exchange::at`](crate::Exchange::at) counts from.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        tick().saturating_duration_since(self.start)
    }

    /// The same moment in seconds since 1970, as Stripe writes it.
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        unix_seconds(self.now())
    }

    /// Moves Stripe's clock forward. Timers do not move with it: those follow tokio's time.
    pub fn advance(&self, by: Duration) {
        self.shift(nanos(by));
    }

    /// Moves Stripe's clock back.
    pub fn rewind(&self, by: Duration) {
        self.shift(-nanos(by));
    }

    fn shift(&self, by: i64) {
        // The update never declines, so there is no failure to report.
        let _ = self
            .offset
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |offset| Some(offset.saturating_add(by)));
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("unix_seconds", &self.unix_seconds()).finish()
    }
}

/// Tokio's time as the standard library's type.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads a clock; it follows tokio's paused time"
)]
pub(crate) fn tick() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Seconds since 1970, zero for anything before.
pub(crate) fn unix_seconds(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

/// Seconds since 1970 the way v2 writes a moment: `2026-01-01T00:00:00.000Z`.
pub(crate) fn iso_8601(seconds: u64) -> String {
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // Civil date of a day number, in eras of 400 years that begin in March, so that leap days come last.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    let (hour, minute, second) = (clock / 3_600, clock / 60 % 60, clock % 60);
    format!("{:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.000Z", era * 400 + year)
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_767_225_600, "2026-01-01T00:00:00.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(iso_8601(seconds), text);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_follows_tokios_time_and_the_offset() {
        let clock = Clock::starting_at(SystemTime::UNIX_EPOCH + DEFAULT_EPOCH);
        let start = clock.unix_seconds();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.unix_seconds(), start + 5);
        clock.advance(Duration::from_secs(86_400));
        assert_eq!(clock.unix_seconds(), start + 86_405);
        clock.rewind(Duration::from_secs(86_410));
        assert_eq!(clock.unix_seconds(), start - 5);
    }
}
