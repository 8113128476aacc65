use std::time::Duration;

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use proptest::prelude::*;

use super::*;
use crate::vocab::{FailureKind, RateLimitReason, time};

const INTERVAL: Duration = Duration::from_secs(30);

fn key(name: &str) -> Credential {
    let value = HeaderValue::from_str(name).expect("a header");
    Credential::of(&HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

fn engine() -> Engine {
    Engine::new(AuthGateConfig::default())
}

fn reject(engine: &mut Engine, key: Credential, times: u32, now: Instant) {
    for _ in 0..times {
        let _ = engine.settle(key, None, Shown::Rejected, now, now);
    }
}

#[test]
fn three_rejections_in_a_row_close_it_for_that_key_alone() {
    let (mut engine, now) = (engine(), time::now());
    reject(&mut engine, key("a"), 2, now);
    assert_eq!(engine.admit(key("a"), now), Admission::Free);
    assert_eq!(engine.settle(key("a"), None, Shown::Rejected, now, now), Some(Change::Closed));
    assert_eq!(engine.admit(key("a"), now), Admission::Blocked { until: now + INTERVAL });
    assert_eq!(engine.admit(key("b"), now), Admission::Free);
    assert_eq!(engine.blocked(), 1);
}

#[test]
fn an_answer_in_between_starts_the_count_anew() {
    let (mut engine, now) = (engine(), time::now());
    for _ in 0..10 {
        reject(&mut engine, key("a"), 2, now);
        assert_eq!(engine.settle(key("a"), None, Shown::Accepted, now, now), None);
    }
    assert_eq!((engine.blocked(), engine.suspects()), (0, 0));
}

#[test]
fn one_call_per_interval_tries_the_key_again() {
    let (mut engine, mut now) = (engine(), time::now());
    reject(&mut engine, key("a"), 3, now);
    for _ in 0..5 {
        assert!(matches!(engine.admit(key("a"), now + INTERVAL / 2), Admission::Blocked { .. }));
        now += INTERVAL;
        let Admission::Probe(lease) = engine.admit(key("a"), now) else { panic!("its time has come") };
        assert!(matches!(engine.admit(key("a"), now), Admission::Blocked { .. }), "one at a time");
        assert_eq!(engine.settle(key("a"), Some(lease), Shown::Rejected, now, now), None);
    }
    now += INTERVAL;
    let Admission::Probe(lease) = engine.admit(key("a"), now) else { panic!("its time has come") };
    assert_eq!(engine.settle(key("a"), Some(lease), Shown::Accepted, now, now), Some(Change::Opened));
    assert_eq!(engine.admit(key("a"), now), Admission::Free);
}

#[test]
fn a_probe_that_shows_nothing_or_is_lost_makes_room_for_the_next() {
    let (mut engine, now) = (engine(), time::now());
    reject(&mut engine, key("a"), 3, now);
    let later = now + INTERVAL;
    let Admission::Probe(lease) = engine.admit(key("a"), later) else { panic!("its time has come") };
    engine.release(key("a"), Some(lease));
    let Admission::Probe(second) = engine.admit(key("a"), later) else { panic!("the first was given back") };
    // What was given back once does not give back what another holds.
    engine.release(key("a"), Some(lease));
    assert!(matches!(engine.admit(key("a"), later), Admission::Blocked { .. }));
    // The second one is never heard of again.
    let Admission::Probe(third) = engine.admit(key("a"), later + INTERVAL) else { panic!("it is lost") };
    assert_ne!(second, third);
    // Its verdict comes too late to count.
    engine.settle(key("a"), Some(second), Shown::Rejected, later + INTERVAL, later + INTERVAL);
    assert_eq!(
        engine.settle(key("a"), Some(third), Shown::Accepted, later + INTERVAL, later + INTERVAL),
        Some(Change::Opened)
    );
}

#[test]
fn only_so_many_keys_are_remembered_and_the_closed_ones_longest() {
    let (mut engine, now) = (engine(), time::now());
    reject(&mut engine, key("closed"), 3, now);
    for n in 0..10_000_u32 {
        reject(&mut engine, key(&n.to_string()), 1, now + Duration::from_millis(u64::from(n)));
    }
    assert_eq!(engine.suspects(), CAPACITY);
    assert!(matches!(engine.admit(key("closed"), now), Admission::Blocked { .. }));
}

#[test]
fn only_stripes_own_401_counts_and_only_an_answer_from_behind_it_clears() {
    use Outcome::*;
    let now = time::now();
    let shown = |outcome, genuine| Shown::by(&Ended::new(outcome, genuine, now, now));
    assert_eq!(shown(Unauthorized, true), Shown::Rejected);
    assert_eq!(shown(Unauthorized, false), Shown::Nothing);
    assert_eq!(shown(Success, false), Shown::Accepted);
    for accepted in
        [InvalidRequest, KeyMismatch, Declined, Forbidden, NotFound, Conflict, KeyInUse, LockTimeout]
    {
        assert_eq!(shown(accepted, true), Shown::Accepted, "{accepted}");
        assert_eq!(shown(accepted, false), Shown::Nothing, "{accepted}");
    }
    for nothing in [
        Foreign,
        Redirect,
        Interrupted,
        RateLimited(RateLimitReason::GlobalRate),
        ServerError,
        Transport(FailureKind::Timeout),
        Refused,
        Cancelled,
    ] {
        assert_eq!(shown(nothing, true), Shown::Nothing, "{nothing}");
    }
}

proptest! {
    /// Whatever happens to one key: a probe a time, none before its time, and it opens as soon as it is accepted.
    #[test]
    fn a_gate_is_never_stuck(steps in prop::collection::vec((0_u8..4, 0_u64..60), 1..200)) {
        let (mut engine, mut now) = (engine(), time::now());
        let mut held = None;
        for (step, seconds) in steps {
            now += Duration::from_secs(seconds);
            match step {
                0 => reject(&mut engine, key("a"), 1, now),
                1 => if let Admission::Probe(lease) = engine.admit(key("a"), now) { held = Some(lease) },
                2 => engine.release(key("a"), held.take()),
                _ => { let _ = engine.settle(key("a"), held.take(), Shown::Rejected, now, now); }
            }
        }
        now += INTERVAL * 2;
        match engine.admit(key("a"), now) {
            Admission::Free => {}
            Admission::Probe(lease) => {
                prop_assert!(!matches!(engine.admit(key("a"), now), Admission::Probe(_)));
                prop_assert_eq!(engine.settle(key("a"), Some(lease), Shown::Accepted, now, now), Some(Change::Opened));
                prop_assert_eq!(engine.admit(key("a"), now), Admission::Free);
            }
            Admission::Blocked { .. } => prop_assert!(false, "stuck"),
        }
    }
}
