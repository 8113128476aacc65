//! What one rule allows one account: tokens, and places in flight. Pure.

use std::num::NonZeroU32;

use super::{
    adapt::Cut,
    bucket::{Pace, SECOND, Tick, TokenBucket},
    limits::Allowed,
    slots::{Slots, kept},
};
use crate::vocab::Ratio;

/// A rate that grows back does so in steps of this length: fine enough for nobody to notice.
const STEP: Tick = SECOND / 4;

/// No limit is lowered further than to one call a second.
const FLOOR: u64 = 1_000_000;

/// Calls per second, in millionths: what a cut is counted in.
fn rate(interval: u64) -> u64 {
    SECOND * 1_000_000 / interval
}

#[derive(Clone, Debug)]
pub(super) struct Allowance {
    /// The pace when nothing is cut.
    full: Option<Pace>,
    bucket: Option<TokenBucket>,
    /// How many tokens were taken of the buckets before.
    taken: u64,
    cut: Option<Cut>,
    stepped: Tick,
    pub(super) slots: Slots,
}

impl Allowance {
    pub(super) fn new(allowed: Allowed) -> Self {
        Self {
            full: allowed.pace,
            bucket: allowed.pace.map(TokenBucket::new),
            taken: 0,
            cut: None,
            stepped: 0,
            slots: Slots::new(allowed.in_flight),
        }
    }

    /// Whether a call can go; or else when that may change by itself, or `Tick::MAX`. With a reserve, some must be left.
    pub(super) fn ready(&mut self, reserve: Option<Ratio>, now: Tick) -> Result<(), Tick> {
        self.step(now);
        if !self.slots.has_one(reserve, now) {
            return Err(self.slots.grows_at(now).unwrap_or(Tick::MAX));
        }
        match &self.bucket {
            Some(bucket) => bucket.check(wanted(bucket, reserve), now),
            None => Ok(()),
        }
    }

    /// Takes a token, there being one or not.
    pub(super) fn take(&mut self, now: Tick) -> u64 {
        self.bucket.as_mut().map_or(0, |bucket| bucket.take(now))
    }

    pub(super) fn refund(&mut self, serial: u64) {
        if let Some(bucket) = &mut self.bucket {
            bucket.refund(serial);
        }
    }

    /// When the token for a call can be had at the earliest, that many others going first.
    pub(super) fn token_at(&self, ahead: u64, reserve: Option<Ratio>, now: Tick) -> Tick {
        let Some(bucket) = &self.bucket else { return now };
        let wanted = u64::from(wanted(bucket, reserve).get());
        let at = bucket.ready_at(ahead.saturating_add(wanted), now);
        match (self.cut, self.full) {
            // The rate grows meanwhile: it is at most what it will be in the end.
            (Some(cut), Some(full)) => {
                let (slow, fast) = (rate(bucket.pace().interval), cut.value(rate(full.interval), at));
                let wait = u128::from(at - now) * u128::from(slow) / u128::from(fast.max(slow).max(1));
                now + u64::try_from(wait).unwrap_or(u64::MAX)
            }
            _ => at,
        }
    }

    /// How many tokens there are until `then`, at the rate of today.
    pub(super) fn tokens_by(&self, then: Tick, now: Tick) -> u64 {
        self.bucket.as_ref().map_or(u64::MAX, |bucket| bucket.ready_by(then, now))
    }

    /// Stripe said that the rate is too high.
    pub(super) fn lower_rate(&mut self, sent: Tick, now: Tick) {
        let (Some(full), Some(_)) = (self.full, &self.bucket) else { return };
        let cut = self.cut.filter(|cut| !cut.is_over(now));
        self.cut = Some(Cut::after(cut, rate(full.interval), |value| (value / 2).max(FLOOR), sent, now));
        self.apply(now);
    }

    /// Another limit is in force. What is missing of tokens stays missing, and a cut stays a cut.
    pub(super) fn retune(&mut self, allowed: Allowed, now: Tick) {
        self.slots.resize(allowed.in_flight);
        self.full = allowed.pace;
        match (allowed.pace, &self.bucket) {
            (Some(pace), None) => self.bucket = Some(TokenBucket::in_place_of(pace, self.taken)),
            (None, Some(bucket)) => {
                self.taken = bucket.taken();
                (self.bucket, self.cut) = (None, None);
            }
            (None, None) => {}
            (Some(_), Some(_)) => {}
        }
        self.apply(now);
    }

    /// Calls per second in force, if there is a limit.
    pub(super) fn rate_in_force(&mut self, now: Tick) -> Option<f64> {
        self.step(now);
        self.bucket.as_ref().map(|bucket| SECOND as f64 / bucket.pace().interval as f64)
    }

    fn step(&mut self, now: Tick) {
        if let Some(cut) = self.cut
            && (now >= self.stepped + STEP || cut.is_over(now))
        {
            self.apply(now);
        }
    }

    fn apply(&mut self, now: Tick) {
        self.stepped = now;
        self.cut = self.cut.filter(|cut| !cut.is_over(now));
        if let (Some(full), Some(bucket)) = (self.full, &mut self.bucket) {
            let interval = match self.cut {
                Some(cut) => (SECOND * 1_000_000)
                    .div_ceil(cut.value(rate(full.interval), now).max(1))
                    .max(full.interval),
                None => full.interval,
            };
            bucket.retune(Pace { interval, ..full }, now);
        }
    }
}

/// How many tokens must be there for one to be taken.
fn wanted(bucket: &TokenBucket, reserve: Option<Ratio>) -> NonZeroU32 {
    let kept = reserve.map_or(0, |reserve| kept(bucket.pace().burst.get(), reserve));
    NonZeroU32::MIN.saturating_add(kept)
}

#[cfg(test)]
mod tests;
