use proptest::prelude::*;

use super::*;
use crate::vocab::time;

// === what a valid key is ===

#[test]
fn keys_that_stripe_would_not_take_as_they_are_are_refused() {
    let longest = "k".repeat(255);
    let too_long = "k".repeat(256);
    let at = |position| Err(InvalidKey::Character { position });
    for (key, expected) in [
        ("", Err(InvalidKey::Empty)),
        ("k", Ok(())),
        (longest.as_str(), Ok(())),
        (too_long.as_str(), Err(InvalidKey::TooLong { length: 256 })),
        ("order 8812", Ok(())),
        ("!~#%&'\"\\,;=", Ok(())),
        (" order", Err(InvalidKey::SurroundingSpace)),
        ("order ", Err(InvalidKey::SurroundingSpace)),
        (" ", Err(InvalidKey::SurroundingSpace)),
        ("\torder", at(0)),
        ("order\n", at(5)),
        ("or\rder", at(2)),
        ("or\0der", at(2)),
        ("or\u{1f}der", at(2)),
        ("order\u{7f}", at(5)),
        ("ordér", at(3)),
        ("订单", at(0)),
        ("order\u{a0}", at(5)),
    ] {
        let made = IdempotencyKey::new(key);
        assert_eq!(made.as_ref().map(|_| ()), expected.as_ref().map(|_| ()), "{key:?}");
        if let Ok(made) = &made {
            assert_eq!(made.as_str(), key);
        }
        // A header can hold no control characters at all; all the others must fare the same there.
        if let Ok(value) = HeaderValue::from_bytes(key.as_bytes()) {
            assert_eq!(IdempotencyKey::from_header(&value), made, "{key:?}");
        }
    }
}

#[test]
fn a_refused_key_is_named_by_its_rule_and_place_and_never_shown() {
    let too_long = format!("secret-order{}", "k".repeat(250));
    for (key, expected) in [
        ("", "the idempotency key is empty"),
        (too_long.as_str(), "the idempotency key has 262 characters, more than 255"),
        ("secret-order\n", "the idempotency key has a character that is not printable ASCII at position 12"),
        (" secret-order", "the idempotency key begins or ends with a space"),
    ] {
        let error = IdempotencyKey::new(key).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?} {error}").contains("secret-order"));
    }
}

#[test]
fn debug_shows_nothing_of_a_key() {
    let key = IdempotencyKey::new("order-8812").unwrap().fresh();
    assert_eq!(format!("{key:?}"), "IdempotencyKey { history: Fresh, born: None, .. }");
    let header = HeaderValue::from_static("order-8812");
    assert!(!format!("{:?}", IdempotencyKey::from_header(&header)).contains("8812"));
}

#[test]
fn nothing_is_known_of_a_callers_key_until_the_caller_says_so() {
    let key = IdempotencyKey::new("k").unwrap();
    assert_eq!((key.history(), key.birth()), (History::Unknown, None));
    let header = IdempotencyKey::from_header(&HeaderValue::from_static("k")).unwrap();
    assert_eq!(header.history(), History::Unknown);
    let born = SystemTime::UNIX_EPOCH + HOUR;
    let key = key.fresh().born_at(born);
    assert_eq!((key.history(), key.birth()), (History::Fresh, Some(born)));
}

proptest! {
    #[test]
    fn any_text_is_a_key_or_says_why_not(key in "\\PC{0,300}") {
        match IdempotencyKey::new(&key) {
            Ok(made) => {
                prop_assert_eq!(made.as_str(), key.trim());
                prop_assert!(HeaderValue::from_str(made.as_str()).is_ok());
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

// === how old it may become ===

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const V1: Duration = Duration::from_secs(23 * 3_600);
const V2: Duration = Duration::from_secs(29 * 86_400);

/// Some time in 2026.
fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_182_400)
}

/// A key's clock, with both hands in reach.
struct Hands {
    wall: WallClock,
    began: Instant,
    clock: KeyClock,
}

impl Hands {
    fn start(birth: Option<SystemTime>, limit: Duration) -> Self {
        let (wall, began) = (WallClock::manual(noon()), time::now());
        let clock = KeyClock::start(wall.clone(), began, birth, limit);
        Self { wall, began, clock }
    }

    fn aged(age: Duration, limit: Duration) -> Self {
        Self::start(Some(noon() - age), limit)
    }

    /// Both clocks go on by as much, as they do in a machine that is awake.
    fn after(&self, time: Duration) -> Result<(), Refusal> {
        self.wall.set(noon() + time);
        self.clock.check(self.began + time)
    }
}

fn too_old(age: Duration, limit: Duration) -> Result<(), Refusal> {
    Err(Refusal::KeyTooOld { age: Some(age), limit })
}

fn contradiction(limit: Duration) -> Result<(), Refusal> {
    Err(Refusal::KeyTooOld { age: None, limit })
}

#[test]
fn a_v1_key_of_23_hours_is_refused_and_a_younger_one_is_not() {
    let nearly_a_day = DAY - MINUTE;
    assert_eq!(Hands::aged(nearly_a_day, V1).after(Duration::ZERO), too_old(nearly_a_day, V1));
    assert_eq!(Hands::aged(V1, V1).after(Duration::ZERO), too_old(V1, V1));
    assert_eq!(Hands::aged(V1 - MINUTE, V1).after(Duration::ZERO), Ok(()));
    assert!(Hands::aged(V1, V1).clock.expired(time::now()));
}

#[test]
fn a_v2_key_of_29_days_is_refused_and_a_younger_one_is_not() {
    assert_eq!(Hands::aged(V2, V2).after(Duration::ZERO), too_old(V2, V2));
    assert_eq!(Hands::aged(30 * DAY, V2).after(Duration::ZERO), too_old(30 * DAY, V2));
    assert_eq!(Hands::aged(V2 - MINUTE, V2).after(Duration::ZERO), Ok(()));
    assert_eq!(Hands::aged(V1, V2).after(Duration::ZERO), Ok(()));
}

#[test]
fn a_key_that_ages_past_the_limit_during_a_call_is_refused_from_then_on() {
    let hands = Hands::aged(V1 - 5 * MINUTE, V1);
    assert_eq!(hands.after(Duration::ZERO), Ok(()), "the first attempt");
    assert_eq!(hands.after(4 * MINUTE), Ok(()), "a retry");
    assert_eq!(hands.after(5 * MINUTE), too_old(V1, V1), "the retry after the next wait");
    assert_eq!(hands.after(6 * MINUTE), too_old(V1 + MINUTE, V1));
}

#[test]
fn a_wall_clock_that_steps_back_leaves_no_age_to_trust() {
    for birth in [None, Some(noon()), Some(noon() - HOUR)] {
        let hands = Hands::start(birth, V1);
        hands.wall.set(noon() - 2 * HOUR);
        assert_eq!(hands.clock.age(hands.began + MINUTE), Age::Unknowable);
        assert_eq!(hands.clock.check(hands.began + MINUTE), contradiction(V1));
        assert!(hands.clock.expired(hands.began + MINUTE));
    }
    // As far as time servers correct a clock in passing, the other hand stands in for it.
    let hands = Hands::start(None, V1);
    hands.wall.set(noon() - MINUTE);
    assert_eq!(hands.clock.age(hands.began + HOUR), Age::Of(HOUR));
    hands.wall.set(noon() - MINUTE - Duration::from_nanos(1));
    assert_eq!(hands.clock.age(hands.began + HOUR), Age::Unknowable);
}

#[test]
fn a_step_back_after_a_long_time_does_not_make_a_key_younger() {
    let hands = Hands::start(Some(noon() - HOUR), V1);
    hands.wall.set(noon() + 2 * HOUR);
    assert_eq!(hands.clock.age(hands.began + 20 * HOUR), Age::Of(21 * HOUR));
}

#[test]
fn a_wall_clock_that_jumps_a_day_ahead_makes_every_key_too_old() {
    for (birth, age) in [(None, 25 * HOUR), (Some(noon() - HOUR), 26 * HOUR)] {
        let hands = Hands::start(birth, V1);
        hands.wall.set(noon() + 25 * HOUR);
        assert_eq!(hands.clock.check(hands.began), too_old(age, V1));
    }
}

#[test]
fn time_asleep_counts_though_the_monotonic_clock_did_not_run() {
    let hands = Hands::start(None, V1);
    hands.wall.set(noon() + 23 * HOUR);
    assert_eq!(hands.clock.check(hands.began + MINUTE), too_old(23 * HOUR, V1));
}

#[test]
fn a_birth_in_the_future_leaves_no_age_to_trust() {
    assert_eq!(Hands::start(Some(noon() + HOUR), V1).after(Duration::ZERO), contradiction(V1));
    assert_eq!(Hands::start(Some(noon() + MINUTE), V1).after(Duration::ZERO), Ok(()), "within the slack");
    let far = SystemTime::UNIX_EPOCH + 400_000 * DAY;
    assert_eq!(Hands::start(Some(far), V1).after(Duration::ZERO), contradiction(V1));
    let hands = Hands::start(Some(noon() + MINUTE), V1);
    assert_eq!(hands.clock.age(hands.began), Age::Of(Duration::ZERO), "it is not younger than new");
}

#[test]
fn an_instant_before_the_first_is_no_age_at_all() {
    let hands = Hands::start(None, V1);
    assert_eq!(hands.clock.age(hands.began - MINUTE), Age::Of(Duration::ZERO));
    assert_eq!(hands.clock.limit(), V1);
}

#[test]
fn a_birth_at_the_beginning_of_time_is_too_old_and_no_panic() {
    let age = noon().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(Hands::start(Some(SystemTime::UNIX_EPOCH), V1).after(Duration::ZERO), too_old(age, V1));
}

proptest! {
    /// The naive age is the larger of what the two clocks say. What is reported is never below it: either it is at least
    /// that, or nothing is reported and the key is refused.
    #[test]
    fn the_age_is_never_below_the_naive_maximum(
        before in prop::option::of(-90_000_i64..3_000_000),
        monotonic in 0_u64..3_000_000, wall in -90_000_i64..3_000_000, limit in 1_u64..3_000_000,
    ) {
        let shifted = |by: i64| match u64::try_from(by) {
            Ok(ahead) => noon() + Duration::from_secs(ahead),
            Err(_) => noon() - Duration::from_secs(by.unsigned_abs()),
        };
        let limit = Duration::from_secs(limit);
        let birth = before.map(|before| shifted(-before));
        let hands = Hands::start(birth, limit);
        hands.wall.set(shifted(wall));
        let now = hands.began + Duration::from_secs(monotonic);

        let by_wall = wall + before.unwrap_or(0);
        let by_monotonic = monotonic as i64 + before.unwrap_or(0);
        let naive = Duration::from_secs(u64::try_from(by_wall.max(by_monotonic)).unwrap_or(0));
        match hands.clock.age(now) {
            Age::Of(age) => {
                prop_assert!(age >= naive, "{age:?} of {naive:?}");
                prop_assert_eq!(hands.clock.check(now).is_ok(), age < limit);
            }
            Age::Unknowable => {
                prop_assert!(wall < -60 || by_wall < -60, "the clocks agree");
                prop_assert_eq!(hands.clock.check(now), contradiction(limit));
            }
        }
        prop_assert_eq!(hands.clock.expired(now), hands.clock.check(now).is_err());
    }
}
