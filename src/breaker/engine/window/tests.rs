use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "some instant to count from")]
fn start() -> Instant {
    Instant::now()
}

#[test]
fn it_slides_after_a_million_successes() {
    let start = start();
    let mut window = Window::new(MINUTE, start);
    for i in 0..1_000_000_u64 {
        window.success(Duration::ZERO, false, start + Duration::from_micros(i));
    }
    let later = start + MINUTE + Duration::from_secs(1);
    assert_eq!(window.failure(later), Counts { calls: 1, failures: 1, slow: 1, run: 1 });
}

#[test]
fn a_year_of_idleness_costs_ten_steps_and_leaves_nothing() {
    let start = start();
    let mut window = Window::new(Duration::from_nanos(10), start);
    window.failure(start);
    // At a nanosecond a bucket it would take centuries to step through each of them.
    let counts = window.failure(start + Duration::from_secs(365 * 86_400));
    assert_eq!(counts, Counts { calls: 1, failures: 1, slow: 1, run: 1 });
}

#[test]
fn a_clock_that_steps_back_counts_in_the_newest_bucket() {
    let start = start();
    let mut window = Window::new(MINUTE, start);
    window.failure(start + Duration::from_secs(30));
    assert_eq!(window.failure(start).run, 2);
    assert_eq!(window.failure(start + Duration::from_secs(89)).run, 3);
    assert_eq!(window.failure(start + Duration::from_secs(90)).run, 2);
}

#[test]
fn a_run_expires_and_a_success_ends_it() {
    let start = start();
    let mut window = Window::new(MINUTE, start);
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!([0, 30, 59].map(|s| window.failure(at(s)).run), [1, 2, 3]);
    assert_eq!(window.failure(at(61)).run, 3, "the first is too old");
    assert_eq!(
        window.success(Duration::ZERO, true, at(61)),
        Counts { calls: 4, failures: 3, slow: 4, run: 0 }
    );
    assert_eq!(window.failure(at(61)).run, 1);
    window.clear();
    assert_eq!(
        window.success(Duration::ZERO, false, at(61)),
        Counts { calls: 1, failures: 0, slow: 0, run: 0 }
    );
}

proptest! {
    #[test]
    fn the_counts_equal_a_naive_models(
        length in 1_u64..100_000,
        events in prop::collection::vec((0_u64..30_000, 0..3_u8), 1..300),
    ) {
        let start = start();
        let mut window = Window::new(Duration::from_nanos(length * 10), start);
        let mut past: VecDeque<(u64, u8)> = VecDeque::new();
        let mut now = 0;
        for (step, event) in events {
            now += step;
            let at = start + Duration::from_nanos(now);
            let counts = if event == 0 { window.failure(at) } else { window.success(Duration::ZERO, event == 1, at) };
            past.push_back((now / length, event));
            past.retain(|(bucket, _)| bucket + 10 > now / length);
            let count = |f: fn(u8) -> bool| past.iter().filter(|(_, event)| f(*event)).count() as u64;
            prop_assert_eq!(counts, Counts {
                calls: past.len() as u64,
                failures: count(|event| event == 0),
                slow: count(|event| event <= 1),
                run: past.iter().rev().take_while(|(_, event)| *event == 0).count() as u64,
            });
        }
    }
}

/// As where answers are read in batches: all of them were sent before the first failure among them was seen.
#[test]
fn a_batch_in_which_a_third_fails_is_no_run() {
    let start = start();
    let at = |ms| start + Duration::from_millis(ms);
    let mut window = Window::new(Duration::from_secs(60), start);
    for i in 0..30 {
        window.failure(at(100));
        window.success(Duration::from_millis(50), false, at(100 + i));
        window.success(Duration::from_millis(50 + i), false, at(100 + i));
    }
    assert_eq!(window.failure(at(400)).run, 31, "none of them was sent since");
    assert!(!window.run_is_ripe(at(400)), "but twice as many came back");
    for _ in 0..29 {
        window.failure(at(400));
    }
    assert!(window.run_is_ripe(at(400)), "until the failures outnumber them");
}
