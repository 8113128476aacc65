use super::*;

fn allowed(per_second: u64) -> Allowed {
    let pace = Pace { interval: SECOND / per_second, burst: NonZeroU32::MIN.saturating_add(1) };
    Allowed { pace: Some(pace), in_flight: None }
}

fn rates(allowance: &mut Allowance, at: impl IntoIterator<Item = u64>) -> Vec<f64> {
    at.into_iter().map(|at| allowance.rate_in_force(at * SECOND).expect("a limit").round()).collect()
}

#[test]
fn a_rate_is_halved_down_to_one_and_is_back_within_a_minute() {
    let mut allowance = Allowance::new(allowed(100));
    allowance.lower_rate(1, 1);
    assert_eq!(rates(&mut allowance, [1, 15, 30, 59, 60, 61]), [51.0, 62.0, 75.0, 99.0, 100.0, 100.0]);
    let mut allowance = Allowance::new(allowed(100));
    (1..20).for_each(|at| allowance.lower_rate(at, at));
    assert_eq!(rates(&mut allowance, [0, 30, 60]), [1.0, 50.0, 100.0]);
}

#[test]
fn a_limit_that_is_lower_than_the_floor_is_never_raised() {
    let pace = Pace { interval: 20 * SECOND, burst: NonZeroU32::MIN.saturating_add(1) };
    let mut allowance = Allowance::new(Allowed { pace: Some(pace), in_flight: None });
    (1..20).for_each(|at| allowance.lower_rate(at, at));
    assert_eq!(allowance.rate_in_force(SECOND), Some(0.05));
}

#[test]
fn another_limit_keeps_the_cut_and_what_is_missing() {
    let mut allowance = Allowance::new(allowed(100));
    allowance.lower_rate(0, 0);
    (0..2).for_each(|_| {
        allowance.take(0);
    });
    assert_eq!(allowance.ready(None, 0), Err(SECOND / 50));
    allowance.retune(allowed(10), 0);
    assert_eq!(allowance.ready(None, 0), Err(SECOND / 10));
    assert_eq!(rates(&mut allowance, [0]), [10.0]);
    allowance.retune(allowed(100), 0);
    assert_eq!(rates(&mut allowance, [0]), [50.0]);
}

#[test]
fn a_limit_can_be_lifted_and_set_again() {
    let mut allowance = Allowance::new(allowed(1));
    let serials = [allowance.take(0), allowance.take(0)];
    allowance.retune(Allowed { pace: None, in_flight: None }, 0);
    assert_eq!(allowance.ready(None, 0), Ok(()));
    let none = allowance.take(0);
    allowance.lower_rate(1, 1);
    allowance.refund(none);
    allowance.retune(allowed(1), 0);
    // What was taken of the old bucket is not given back to the new one.
    serials.into_iter().for_each(|serial| allowance.refund(serial));
    (0..2).for_each(|_| {
        assert_eq!(allowance.ready(None, 0), Ok(()));
        allowance.take(0);
    });
    assert!(allowance.ready(None, 0).is_err());
}
