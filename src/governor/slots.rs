//! How many calls are in flight. Pure.

use super::{adapt::Cut, bucket::Tick};
use crate::vocab::Ratio;

/// The places of calls in flight.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    used: u32,
    limit: Option<u32>,
    cut: Option<Cut>,
}

/// Where a limit that did not exist is to grow back to, before it ceases to exist again.
const UNLIMITED: u32 = 100;

impl Slots {
    pub(super) const fn new(limit: Option<u32>) -> Self {
        Self { used: 0, limit, cut: None }
    }

    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    pub(super) const fn take(&mut self) {
        self.used += 1;
    }

    pub(super) const fn free(&mut self) {
        self.used = self.used.saturating_sub(1);
    }

    pub(super) const fn resize(&mut self, limit: Option<u32>) {
        self.limit = limit;
    }

    /// Whether one is free, beside those in reserve for others.
    pub(super) fn has_one(&self, reserve: Option<Ratio>, now: Tick) -> bool {
        self.limit(now).is_none_or(|limit| {
            let kept = reserve.map_or(0, |reserve| kept(limit, reserve));
            self.used < limit - kept
        })
    }

    /// When time alone may free one.
    pub(super) fn grows_at(&self, now: Tick) -> Option<Tick> {
        let cut = self.cut.filter(|cut| !cut.is_over(now))?;
        let full = u64::from(self.full());
        Some(cut.reaches(cut.value(full, now) + 1, full).max(now + 1))
    }

    /// Stripe said that so many are too many.
    pub(super) fn lower(&mut self, sent: Tick, now: Tick) {
        let half = u64::from(self.used / 2).max(1);
        let cut = self.cut.filter(|cut| !cut.is_over(now));
        self.cut = Some(Cut::after(cut, u64::from(self.full()), |_| half, sent, now));
    }

    pub(super) fn limit(&self, now: Tick) -> Option<u32> {
        match self.cut.filter(|cut| !cut.is_over(now)) {
            Some(cut) => u32::try_from(cut.value(u64::from(self.full()), now)).ok(),
            None => self.limit,
        }
    }

    fn full(&self) -> u32 {
        self.limit.unwrap_or(UNLIMITED)
    }
}

/// How many of `all` are left for `Critical`: never all of them.
pub(super) fn kept(all: u32, reserve: Ratio) -> u32 {
    let share = u64::from(all) * u64::from(reserve.as_permille()) / 1_000;
    u32::try_from(share).unwrap_or(u32::MAX).min(all.saturating_sub(1))
}

#[cfg(test)]
mod tests;
