//! When a run of bytes that was read now may be written.

use std::time::{Duration, Instant};

use super::fault::{Direction, Link};
use crate::chance::{Draws, mix};

/// The longest run of bytes that is read at once.
pub(super) const CHUNK: usize = 16 * 1024;

/// How many runs a limited link takes for a second's worth of bytes.
const RUNS_PER_SECOND: u64 = 50;

/// Far enough for any wait, and near enough that no clock overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// `wait` after `now`, as far as clocks go.
pub(super) fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait.min(LONGEST)).unwrap_or(now)
}

/// The pace of one direction of one connection.
#[derive(Debug)]
pub(super) struct Pace {
    link: Link,
    seed: u64,
    direction: Direction,
    connection: u64,
    /// How many bytes were scheduled.
    position: u64,
    /// When the link has put the last byte on its way.
    free: Option<Instant>,
    /// When the last byte arrives.
    last: Option<Instant>,
}

impl Pace {
    pub(super) fn new(link: Link, seed: u64, direction: Direction, connection: u64) -> Self {
        Self { link, seed, direction, connection, position: 0, free: None, last: None }
    }

    /// How many bytes to read at once, so that a slow link delivers evenly.
    pub(super) fn chunk(&self) -> usize {
        self.link.bandwidth.map_or(CHUNK, |rate| {
            usize::try_from(rate.get() / RUNS_PER_SECOND).unwrap_or(CHUNK).clamp(1, CHUNK)
        })
    }

    /// When `length` bytes that were read at `now` arrive. The close is a run of no bytes.
    pub(super) fn arrival(&mut self, now: Instant, length: usize) -> Instant {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let begin = self.free.map_or(now, |free| free.max(now));
        let sent = after(begin, self.transmission(length));
        self.free = Some(sent);
        let arrival = after(sent, self.link.latency.saturating_add(self.jitter()));
        let arrival = self.last.map_or(arrival, |last| last.max(arrival));
        self.last = Some(arrival);
        self.position = self.position.saturating_add(length);
        arrival
    }

    fn transmission(&self, length: u64) -> Duration {
        self.link.bandwidth.map_or(Duration::ZERO, |rate| {
            let nanos = u128::from(length) * 1_000_000_000 / u128::from(rate.get());
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        })
    }

    fn jitter(&self) -> Duration {
        if self.link.jitter.is_zero() {
            return Duration::ZERO;
        }
        let name = match self.direction {
            Direction::ToUpstream => "to upstream",
            Direction::ToClient => "to client",
        };
        Draws::of(self.seed, name, mix(self.connection) ^ self.position)
            .within(&(Duration::ZERO..=self.link.jitter))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::clock::tick;

    const MS: Duration = Duration::from_millis(1);

    fn pace(link: Link) -> Pace {
        Pace::new(link, 1, Direction::ToClient, 0)
    }

    #[test]
    fn a_plain_link_delivers_at_once() {
        let now = tick();
        assert_eq!(pace(Link::default()).arrival(now, 100), now);
        assert_eq!(pace(Link::default()).chunk(), CHUNK);
    }

    #[test]
    fn latency_delays_and_does_not_limit() {
        let now = tick();
        let mut pace = pace(Link::default().latency(50 * MS));
        assert_eq!(pace.arrival(now, 1), now + 50 * MS);
        assert_eq!(pace.arrival(now + MS, 1), now + 51 * MS);
    }

    #[test]
    fn bandwidth_spreads_bytes_over_time() {
        let now = tick();
        let rate = NonZeroU64::new(1_000).expect("not zero");
        let mut pace = pace(Link::default().bandwidth(rate).latency(5 * MS));
        assert_eq!(pace.chunk(), 20);
        assert_eq!(pace.arrival(now, 20), now + 25 * MS);
        assert_eq!(pace.arrival(now, 20), now + 45 * MS);
        // The link was idle meanwhile: nothing was saved up.
        assert_eq!(pace.arrival(now + 1_000 * MS, 20), now + 1_025 * MS);
    }

    #[test]
    fn jitter_repeats_stays_within_its_bound_and_reorders_nothing() {
        let now = tick();
        let run = |connection| {
            let link = Link::default().latency(10 * MS).jitter(20 * MS);
            let mut pace = Pace::new(link, 1, Direction::ToClient, connection);
            (0..200).map(|_| pace.arrival(now, 10) - now).collect::<Vec<_>>()
        };
        assert_eq!(run(0), run(0));
        assert_ne!(run(0)[0..3], run(1)[0..3]);
        assert!(run(0).is_sorted());
        assert!(run(0).iter().all(|wait| (10 * MS..=30 * MS).contains(wait)));
    }

    #[test]
    fn no_duration_is_too_long() {
        let now = tick();
        let rate = NonZeroU64::MIN;
        let mut pace = pace(Link::default().latency(Duration::MAX).jitter(Duration::MAX).bandwidth(rate));
        assert!(pace.arrival(now, usize::MAX) > now);
        assert!(pace.arrival(now, usize::MAX) > now);
    }
}
