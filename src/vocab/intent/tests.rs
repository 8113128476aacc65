use super::*;
use crate::vocab::time;

#[test]
fn a_deadline_counts_from_the_call_or_stands_and_is_an_hour_away_at_most() {
    let now = time::now();
    let (minute, hour, day) = (Duration::from_secs(60), Deadline::MAX, Duration::from_secs(86_400));
    for (deadline, expected) in [
        (Deadline::after(minute), now + minute),
        (Deadline::after(hour), now + hour),
        (Deadline::after(day), now + hour),
        (Deadline::after(Duration::MAX), now + hour),
        (Deadline::after(Duration::ZERO), now),
        (Deadline::at(now + minute), now + minute),
        (Deadline::at(now + day), now + hour),
        (Deadline::at(now - minute), now - minute),
    ] {
        assert_eq!(deadline.instant(now), expected, "{deadline:?}");
    }
    let later = now + minute;
    assert_eq!(Deadline::after(minute).instant(later), now + 2 * minute);
    assert_eq!(Deadline::at(now).instant(later), now, "a point in time does not move");
}

#[test]
fn a_limit_counts_retries_and_not_attempts() {
    assert_eq!(RetryLimit::NONE, RetryLimit::new(0));
    assert_eq!(RetryLimit::NONE.retries(), 0);
    assert_eq!(RetryLimit::new(u32::MAX).retries(), u32::MAX);
}
