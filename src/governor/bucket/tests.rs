use gcra::{clock::FakeRelativeClock, state::InMemoryState};
use proptest::prelude::*;

use super::*;

const MS: Tick = 1_000_000;

fn pace(interval: u64, burst: u32) -> Pace {
    Pace { interval, burst: NonZeroU32::new(burst).expect("not zero") }
}

/// Counts what is missing, in time.
#[derive(Clone, Debug)]
struct Naive {
    pace: Pace,
    missing: u64,
    last: Tick,
}

impl Naive {
    fn new(pace: Pace) -> Self {
        Self { pace, missing: 0, last: 0 }
    }

    fn refill(&mut self, now: Tick) {
        self.missing = self.missing.saturating_sub(now - self.last);
        self.last = now;
    }

    fn has(&mut self, tokens: u32, now: Tick) -> bool {
        self.refill(now);
        self.missing + u64::from(tokens) * self.pace.interval
            <= u64::from(self.pace.burst.get()) * self.pace.interval
    }

    fn take(&mut self, now: Tick) {
        self.refill(now);
        self.missing += self.pace.interval;
    }
}

fn paces() -> impl Strategy<Value = Pace> {
    (1_u64..50 * MS, 1_u32..20).prop_map(|(interval, burst)| pace(interval, burst))
}

proptest! {
    #[test]
    fn it_gives_what_the_crate_gives_that_it_is_made_of(
        pace in paces(),
        steps in prop::collection::vec((0_u64..60 * MS, 1_u32..5), 1..80),
    ) {
        let clock = FakeRelativeClock::default();
        let quota = Quota::with_period(Duration::from_nanos(pace.interval)).expect("not zero");
        let limiter = RateLimiter::<_, InMemoryState, _, _>::direct_with_clock(
            quota.allow_burst(pace.burst),
            clock.clone(),
        );
        let (mut bucket, mut now) = (TokenBucket::new(pace), 0);
        for (elapsed, tokens) in steps {
            now += elapsed;
            clock.advance(Duration::from_nanos(elapsed));
            if tokens > pace.burst.get() {
                continue;
            }
            let tokens = NonZeroU32::new(tokens).expect("not zero");
            match (bucket.check(tokens, now), limiter.check_n(tokens).expect("room")) {
                (Ok(()), Ok(())) => (0..tokens.get()).for_each(|_| { bucket.take(now); }),
                (Err(at), Err(not_until)) => prop_assert_eq!(at, not_until.earliest_possible().as_u64()),
                (ours, theirs) => prop_assert!(false, "{ours:?}, but {theirs:?}"),
            }
        }
    }

    #[test]
    fn it_gives_what_a_naive_bucket_gives(
        pace in paces(),
        steps in prop::collection::vec((0_u64..60 * MS, 1_u32..5, any::<bool>()), 1..80),
    ) {
        let (mut bucket, mut naive, mut now) = (TokenBucket::new(pace), Naive::new(pace), 0);
        for (elapsed, tokens, force) in steps {
            now += elapsed;
            let tokens = tokens.min(pace.burst.get());
            let has = bucket.check(NonZeroU32::new(tokens).expect("not zero"), now).is_ok();
            prop_assert_eq!(has, naive.has(tokens, now));
            if has || force {
                bucket.take(now);
                naive.take(now);
            }
        }
    }

    #[test]
    fn it_says_when_a_token_comes(
        pace in paces(),
        steps in prop::collection::vec((0_u64..60 * MS, any::<bool>()), 1..20),
        ahead in 1_u64..40,
    ) {
        let (mut bucket, mut now) = (TokenBucket::new(pace), 0);
        for (elapsed, take) in steps {
            now += elapsed;
            if take {
                bucket.take(now);
            }
        }
        let said = bucket.ready_at(ahead, now);
        let mut at = now;
        let mut copy = bucket.clone();
        for _ in 0..ahead {
            if let Err(later) = copy.check(NonZeroU32::MIN, at) {
                prop_assert!(copy.check(NonZeroU32::MIN, later - 1).is_err());
                at = later;
            }
            copy.take(at);
        }
        prop_assert_eq!(said, at);
        prop_assert!(bucket.ready_by(said, now) >= ahead);
        if said > now {
            prop_assert!(bucket.ready_by(said - 1, now) < ahead);
        }
    }

    /// Those that were kept could have been had without the others.
    #[test]
    fn what_is_given_back_never_gives_more_than_was_there(
        pace in paces(),
        steps in prop::collection::vec((0_u64..40 * MS, prop::option::of(any::<prop::sample::Index>())), 1..120),
    ) {
        let (mut bucket, mut now) = (TokenBucket::new(pace), 0);
        let (mut kept, mut open) = (Vec::new(), Vec::new());
        for (elapsed, refund) in steps {
            now += elapsed;
            match refund {
                Some(which) if !open.is_empty() => {
                    let (serial, at) = open.swap_remove(which.index(open.len()));
                    bucket.refund(serial);
                    kept.retain(|(other, _)| *other != serial);
                    let _: Tick = at;
                }
                _ if bucket.check(NonZeroU32::MIN, now).is_ok() => {
                    let serial = bucket.take(now);
                    kept.push((serial, now));
                    open.push((serial, now));
                }
                _ => {}
            }
        }
        let mut naive = Naive::new(pace);
        for (_, at) in kept {
            prop_assert!(naive.has(1, at), "one too many at {at}");
            naive.take(at);
        }
    }

    #[test]
    fn the_last_token_can_be_given_back_without_a_trace(
        pace in paces(),
        steps in prop::collection::vec(0_u64..40 * MS, 0..20),
    ) {
        let (mut bucket, mut now) = (TokenBucket::new(pace), 0);
        for elapsed in steps {
            now += elapsed;
            bucket.take(now);
        }
        let before = bucket.clone();
        let serial = bucket.take(now);
        bucket.refund(serial);
        prop_assert_eq!(bucket.ready_at(1, now), before.ready_at(1, now));
        prop_assert_eq!(bucket.ready_at(7, now), before.ready_at(7, now));
    }

    #[test]
    fn another_pace_leaves_as_many_tokens_missing(
        interval in 1_000_u64..50 * MS,
        other in 1_000_u64..50 * MS,
        burst in 1_u32..20,
        taken in 0_u32..30,
        uptime in 0_u64..10_000 * SECOND,
    ) {
        let mut bucket = TokenBucket::new(pace(interval, burst));
        (0..taken).for_each(|_| { bucket.take(uptime); });
        bucket.retune(pace(other, burst), uptime);
        let mut fresh = TokenBucket::new(pace(other, burst));
        (0..taken).for_each(|_| { fresh.take(uptime); });
        let (ours, ideal) = (bucket.ready_at(3, uptime), fresh.ready_at(3, uptime));
        prop_assert!(ours.abs_diff(ideal) <= 1, "{ours} {ideal}");
    }
}

/// A limiter of the crate's, given a new quota, takes the time since the start for a debt: after an hour, it blocks for one.
#[test]
fn a_faster_pace_after_an_hour_does_not_block_for_an_hour() {
    let hour = 3_600 * SECOND;
    let mut bucket = TokenBucket::new(pace(SECOND, 2));
    (0..5).for_each(|_| {
        bucket.take(hour);
    });
    assert_eq!(bucket.ready_at(1, hour), hour + 4 * SECOND);
    bucket.retune(pace(SECOND / 100, 2), hour);
    assert_eq!(bucket.ready_at(1, hour), hour + SECOND / 25);
    bucket.retune(pace(SECOND, 2), hour);
    assert_eq!(bucket.ready_at(1, hour), hour + 4 * SECOND);
}

#[test]
fn a_burst_that_shrinks_leaves_no_debt_behind() {
    let mut bucket = TokenBucket::new(pace(SECOND, 10));
    (0..10).for_each(|_| {
        bucket.take(0);
    });
    bucket.retune(pace(SECOND, 3), 0);
    assert_eq!(bucket.ready_at(1, 0), SECOND);
    // But a debt that there was stays.
    let mut bucket = TokenBucket::new(pace(SECOND, 10));
    (0..14).for_each(|_| {
        bucket.take(0);
    });
    bucket.retune(pace(SECOND, 3), 0);
    assert_eq!(bucket.ready_at(1, 0), 5 * SECOND);
}
