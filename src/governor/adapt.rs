//! Limits that were cut, because Stripe said that they were too high, and that grow back. Pure.

use super::bucket::{SECOND, Tick};

/// How long after the last 429 a limit is what it was.
pub(super) const RECOVERY: Tick = 60 * SECOND;

/// A limit below its full value. What unit it has, its owner knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// What it was at the last 429.
    from: u64,
    since: Tick,
    /// When it was lowered. What was sent before that says nothing about the lower limit.
    lowered: Tick,
}

impl Cut {
    /// After a 429 to something that was sent at `sent`: lowered, unless it was lowered since; never raised.
    pub(super) fn after(
        before: Option<Self>,
        full: u64,
        lower: impl FnOnce(u64) -> u64,
        sent: Tick,
        now: Tick,
    ) -> Self {
        let value = before.map_or(full, |cut| cut.value(full, now));
        match before {
            Some(cut) if sent <= cut.lowered => Self { from: value, since: now, lowered: cut.lowered },
            _ => Self { from: lower(value).min(value), since: now, lowered: now },
        }
    }

    /// The limit now: it grows evenly from the last 429 on.
    pub(super) fn value(self, full: u64, now: Tick) -> u64 {
        let Some(missing) = full.checked_sub(self.from) else { return full };
        let elapsed = now.saturating_sub(self.since).min(RECOVERY);
        self.from + scale(missing, elapsed, RECOVERY)
    }

    /// When the limit will be at least `value`.
    pub(super) fn reaches(self, value: u64, full: u64) -> Tick {
        let missing = full.saturating_sub(self.from);
        let wanted = value.saturating_sub(self.from).min(missing);
        if missing == 0 {
            return self.since;
        }
        // Rounded up, so that it is reached by then.
        self.since + scale(wanted, RECOVERY, missing) + 1
    }

    pub(super) const fn is_over(self, now: Tick) -> bool {
        now >= self.since + RECOVERY
    }
}

fn scale(value: u64, by: u64, of: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(by) / u128::from(of)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
