//! How long to wait before a retry.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A ladder of delays: doubling from `base` up to `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ladder {
    pub(super) base: Duration,
    pub(super) cap: Duration,
}

impl Ladder {
    /// The delay before the `n`-th retry, counted from 1. `draw` places it in the upper half of its rung, so that clients
    /// that failed together do not come back together, not even on the first retry.
    pub(super) fn delay(self, n: u32, draw: u64) -> Duration {
        let rung = 2_u32
            .checked_pow(n.saturating_sub(1))
            .and_then(|factor| self.base.checked_mul(factor))
            .map_or(self.cap, |delay| delay.min(self.cap));
        let half = rung / 2;
        half + up_to(rung - half, draw)
    }
}

/// A part of `range`, by `draw`.
pub(super) fn up_to(range: Duration, draw: u64) -> Duration {
    // In nanoseconds, so that whole seconds jitter as well; 128 bits hold the product of any two 64-bit numbers.
    let nanos = (range.as_nanos().min(u128::from(u64::MAX)) * u128::from(draw)) >> 64;
    Duration::from_nanos(nanos as u64)
}

/// Draws for jitter: splitmix64, of which one atomic addition is shared.
#[derive(Debug)]
pub(super) struct Jitter(AtomicU64);

impl Jitter {
    pub(super) const fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(super) fn draw(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const ORDINARY: Ladder = Ladder { base: Duration::from_millis(500), cap: Duration::from_secs(5) };

    #[test]
    fn rungs_double_up_to_the_cap() {
        let tops: Vec<_> = (1..=6).map(|n| ORDINARY.delay(n, u64::MAX).as_millis()).collect();
        assert_eq!(tops, [499, 999, 1_999, 3_999, 4_999, 4_999]);
        let floors: Vec<_> = (1..=6).map(|n| ORDINARY.delay(n, 0).as_millis()).collect();
        assert_eq!(floors, [250, 500, 1_000, 2_000, 2_500, 2_500]);
    }

    #[test]
    fn every_rung_is_diverse_even_of_whole_seconds() {
        let jitter = Jitter::seeded(1);
        let ladder = Ladder { base: Duration::from_secs(1), cap: Duration::from_secs(30) };
        for n in 1..=8 {
            let drawn: HashSet<_> = (0..1_000).map(|_| ladder.delay(n, jitter.draw())).collect();
            assert!(drawn.len() > 990, "rung {n} has only {} delays", drawn.len());
        }
    }

    #[test]
    fn the_mean_of_a_rung_is_three_quarters_of_it() {
        let jitter = Jitter::seeded(2);
        let sum: Duration = (0..10_000).map(|_| ORDINARY.delay(2, jitter.draw())).sum();
        let mean = (sum / 10_000).as_millis();
        assert!((740..=760).contains(&mean), "{mean} ms");
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let (a, b) = (Jitter::seeded(7), Jitter::seeded(7));
        assert!((0..100).all(|_| a.draw() == b.draw()));
    }

    proptest! {
        #[test]
        fn a_delay_is_within_its_rung_and_never_overflows(
            base in 1_u64..=100_000_000_000, cap in 1_u64..=4_000_000_000_000, n in any::<u32>(), draw in any::<u64>(),
        ) {
            let ladder = Ladder { base: Duration::from_nanos(base), cap: Duration::from_nanos(cap) };
            let rung = (u128::from(base) << (n.saturating_sub(1)).min(64)).min(u128::from(cap));
            let delay = ladder.delay(n, draw).as_nanos();
            prop_assert!(rung / 2 <= delay && delay <= rung, "{delay} of {rung}");
        }
    }
}
