use super::*;

fn half(value: u64) -> u64 {
    value / 2
}

#[test]
fn a_limit_is_lowered_once_for_all_that_was_sent_before() {
    let cut = Cut::after(None, 100, half, 5, 10);
    assert_eq!(cut.value(100, 10), 50);
    let again = Cut::after(Some(cut), 100, half, 10, 12);
    assert_eq!(again.value(100, 12), cut.value(100, 12));
    let later = Cut::after(Some(again), 100, half, 11, 13);
    assert_eq!(later.value(100, 13), 25);
}

#[test]
fn it_is_back_a_minute_after_the_last_of_them_and_grows_evenly() {
    let cut = Cut::after(None, 100, half, 0, 0);
    assert_eq!([15, 30, 45, 59, 60, 90].map(|at| cut.value(100, at * SECOND)), [62, 75, 87, 99, 100, 100]);
    assert!(!cut.is_over(60 * SECOND - 1) && cut.is_over(60 * SECOND));
    // Another one to what was sent before: not lower, but longer.
    let cut = Cut::after(Some(cut), 100, half, 0, 30 * SECOND);
    assert_eq!([30, 60, 90].map(|at| cut.value(100, at * SECOND)), [75, 87, 100]);
}

#[test]
fn it_says_when_it_will_be_back_at_a_value() {
    let cut = Cut::after(None, 100, |_| 3, 0, SECOND);
    for value in 4..=100 {
        let at = cut.reaches(value, 100);
        assert!(cut.value(100, at) >= value && cut.value(100, at - 2) < value, "{value}");
    }
}

#[test]
fn no_answer_ever_raises_a_limit() {
    let mut cut = None;
    let mut last = 100;
    for storm in 0..1_000 {
        let now = storm * 1_000;
        let next = Cut::after(cut, 100, |value| (value / 2).max(10), now, now);
        assert!(next.value(100, now) <= last.max(10));
        last = next.value(100, now);
        cut = Some(next);
    }
    assert_eq!(last, 10);
    // One that is lower than the floor stays there.
    assert_eq!(Cut::after(None, 5, |value| (value / 2).max(10), 0, 0).value(5, 0), 5);
}
