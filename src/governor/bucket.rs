//! Tokens. Pure: what the time is, the caller says.
//!
//! The arithmetic is that of the `governor` crate (GCRA: one number, the time at which the bucket will be full again).
//! It brings no refund, no look without taking and no change of rate, so its state is kept here, and lent to it.

use std::{cell::Cell, num::NonZeroU32, time::Duration};

use gcra::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{NotKeyed, StateStore},
};

/// Nanoseconds since the governor was made.
pub(super) type Tick = u64;

pub(super) const SECOND: Tick = 1_000_000_000;

/// The time of a limiter. It begins at zero whenever one is made, since a limiter measures from there.
struct Fed(Cell<Tick>);

impl Clock for Fed {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.get().into()
    }
}

/// When the bucket will be full again.
struct Lent<'a>(&'a Cell<Tick>);

impl StateStore for Lent<'_> {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (decision, full_at) = decide(Some(self.0.get().into()))?;
        self.0.set(full_at.as_u64());
        Ok(decision)
    }
}

/// How fast tokens come, and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Nanoseconds from one token to the next.
    pub(super) interval: u64,
    pub(super) burst: NonZeroU32,
}

impl Pace {
    fn burst(self) -> u64 {
        u64::from(self.burst.get())
    }
}

/// One bucket of tokens.
#[derive(Clone, Debug)]
pub(super) struct TokenBucket {
    pace: Pace,
    full_at: Tick,
    /// How many tokens were ever taken, and when the last one was: what a refund needs to know.
    taken: u64,
    last: Tick,
    /// What was taken before was taken of another bucket.
    first: u64,
}

impl TokenBucket {
    /// A full one.
    pub(super) const fn new(pace: Pace) -> Self {
        Self::in_place_of(pace, 0)
    }

    /// A full one, in place of one of which so many tokens were taken.
    pub(super) const fn in_place_of(pace: Pace, taken: u64) -> Self {
        Self { pace, full_at: 0, taken, last: 0, first: taken }
    }

    /// How many tokens were taken of it, and of those before it.
    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) const fn pace(&self) -> Pace {
        self.pace
    }

    /// Whether there are `tokens`, which may not be more than the burst; or else when there will be.
    pub(super) fn check(&self, tokens: NonZeroU32, now: Tick) -> Result<(), Tick> {
        self.ask(tokens.min(self.pace.burst), now).map(|_| ())
    }

    /// Takes a token, and goes into debt if there is none. Returns what [`refund`](Self::refund) wants to know.
    pub(super) fn take(&mut self, now: Tick) -> u64 {
        self.full_at = match self.ask(NonZeroU32::MIN, now) {
            Ok(full_at) => full_at,
            Err(_) => self.full_at.max(now) + self.pace.interval,
        };
        self.taken += 1;
        self.last = now;
        self.taken
    }

    /// Gives back a token that was not used.
    ///
    /// Had it never been taken, the bucket might have been full for a while, and what came then would have been lost: a
    /// token that others were taken after gives back only what certainly was not. So the tokens that were kept never
    /// exceed what the bucket had given to them alone.
    pub(super) fn refund(&mut self, serial: u64) {
        if serial <= self.first || serial > self.taken {
            return;
        }
        let later = self.taken - serial;
        let at_least = if later == 0 {
            0
        } else {
            self.last.saturating_add(later.saturating_mul(self.pace.interval)).min(self.full_at)
        };
        self.full_at = self.full_at.saturating_sub(self.pace.interval).max(at_least);
    }

    /// When the last of so many tokens can be taken, if all are taken as soon as they come. They may be more than the
    /// burst.
    pub(super) fn ready_at(&self, tokens: u64, now: Tick) -> Tick {
        let ahead = self.pace.interval.saturating_mul(tokens.saturating_sub(1));
        self.full_at.max(now).saturating_add(ahead).saturating_sub(self.tolerance()).max(now)
    }

    /// How many tokens can be taken until `then`, if all are taken as soon as they come.
    pub(super) fn ready_by(&self, then: Tick, now: Tick) -> u64 {
        let first = self.full_at.max(now);
        match then.saturating_add(self.tolerance()).checked_sub(first) {
            Some(time) => time / self.pace.interval + 1,
            None => 0,
        }
    }

    /// Changes the pace. As many tokens are missing afterwards as before; of a burst that shrinks, what does not fit is
    /// lost.
    pub(super) fn retune(&mut self, pace: Pace, now: Tick) {
        let old = std::mem::replace(&mut self.pace, pace);
        let missing = u128::from(self.full_at.saturating_sub(now));
        let scaled = missing * u128::from(pace.interval) / u128::from(old.interval);
        let mut missing = u64::try_from(scaled).unwrap_or(u64::MAX);
        let lost = old.burst().saturating_sub(pace.burst()) * pace.interval;
        let empty = pace.burst() * pace.interval;
        if missing > empty {
            missing = missing.saturating_sub(lost).max(empty);
        }
        self.full_at = now.saturating_add(missing);
    }

    /// When the bucket would be full again if so many tokens were taken, or when they can be.
    fn ask(&self, tokens: NonZeroU32, now: Tick) -> Result<Tick, Tick> {
        let cell = Cell::new(self.full_at);
        let Some(quota) = Quota::with_period(Duration::from_nanos(self.pace.interval)) else {
            return Ok(now);
        };
        let limiter: RateLimiter<_, _, _, NoOpMiddleware<Nanos>> =
            RateLimiter::new(quota.allow_burst(self.pace.burst), Lent(&cell), Fed(Cell::new(0)));
        limiter.clock().0.set(now);
        match limiter.check_n(tokens) {
            Ok(Ok(())) => Ok(cell.get()),
            Ok(Err(not_until)) => Err(not_until.earliest_possible().as_u64()),
            // More than the burst: nobody asks for that.
            Err(_) => Err(Tick::MAX),
        }
    }

    /// How far ahead of its time a token may be taken.
    fn tolerance(&self) -> u64 {
        self.pace.interval * (self.pace.burst() - 1)
    }
}

#[cfg(test)]
mod tests;
