//! Randomness that repeats: every draw is a function of the seed and of what it is drawn for.
//!
//! No generator is shared between requests, so the interleaving of requests cannot change what any of them draws.

use std::{ops::RangeInclusive, time::Duration};

/// A bijection on 64 bits whose output looks random: the finaliser of splitmix64.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// FNV-1a, to turn the name of an order into a number.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The draws that belong to one request.
#[derive(Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    /// The draws of the `nth` request of `order`.
    pub(crate) fn of(seed: u64, order: &str, nth: u64) -> Self {
        Self(mix(mix(seed) ^ digest(order)).wrapping_add(mix(nth)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `0.0..1.0`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `bound`, or zero if there is none.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The bias of the remainder is far below what any test could see.
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// A duration in `range`, in steps of a millisecond.
    pub(crate) fn within(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let width = range.end().saturating_sub(*range.start());
        let steps = u64::try_from(width.as_millis()).unwrap_or(u64::MAX - 1);
        *range.start() + Duration::from_millis(self.below(steps.saturating_add(1)))
    }
}

/// Ids that look like Stripe's, from a counter and the seed.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: u64,
    next: u64,
}

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed: mix(seed), next: 0 }
    }

    /// A fresh `req_…`.
    pub(crate) fn request(&mut self) -> String {
        self.make("req", 14)
    }

    /// A fresh id of an object, `<prefix>_…`.
    pub(crate) fn object(&mut self, prefix: &str) -> String {
        self.make(prefix, 24)
    }

    fn make(&mut self, prefix: &str, length: usize) -> String {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        self.next += 1;
        // Eleven digits hold all 64 bits of a bijection of the counter: two ids never meet.
        let mut words = [mix(self.seed ^ self.next), mix(self.seed.wrapping_add(mix(self.next))), 0];
        words[2] = mix(words[1]);
        let digits = words.into_iter().flat_map(|mut word| {
            (0..11).map(move |_| {
                let digit = usize::try_from(word % 62).unwrap_or(0);
                word /= 62;
                char::from(DIGITS[digit])
            })
        });
        let mut id = String::with_capacity(prefix.len() + 1 + length);
        id.push_str(prefix);
        id.push('_');
        id.extend(digits.take(length));
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_order_and_count_alone() {
        let draw = |seed, order, nth| Draws::of(seed, order, nth).next();
        assert_eq!(draw(1, "a", 0), draw(1, "a", 0));
        assert_ne!(draw(1, "a", 0), draw(2, "a", 0));
        assert_ne!(draw(1, "a", 0), draw(1, "b", 0));
        assert_ne!(draw(1, "a", 0), draw(1, "a", 1));
    }

    #[test]
    fn units_are_spread_evenly() {
        let hits = (0..10_000).filter(|nth| Draws::of(7, "order", *nth).unit() < 0.3).count();
        assert!((2_800..3_200).contains(&hits), "{hits} of 10000");
    }

    #[test]
    fn durations_stay_within_their_range() {
        let range = Duration::from_millis(10)..=Duration::from_millis(13);
        for nth in 0..100 {
            assert!(range.contains(&Draws::of(1, "x", nth).within(&range)));
        }
        let point = Duration::MAX..=Duration::MAX;
        assert_eq!(Draws::of(1, "x", 0).within(&point), Duration::MAX);
    }

    #[test]
    fn ids_never_repeat_and_repeat_by_seed() {
        let ids = |seed| {
            let mut ids = Ids::new(seed);
            (0..5_000).map(|_| ids.request()).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(ids(1).len(), 5_000);
        assert_eq!(ids(1), ids(1));
        assert!(ids(1).is_disjoint(&ids(2)));
    }
}
