//! What the outage of a run comes to.

use std::{fmt, ops::Range, time::Duration};

use crate::drill::{Call, Run};

const SECOND: Duration = Duration::from_secs(1);
/// In which steps recovery is looked for.
const STEP: Duration = Duration::from_millis(250);
/// How long after the outage a herd is looked for.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// Of the 30 s in which Stripe was down, and of what came after them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) offered: usize,
    /// Requests that reached the server, first attempts and others.
    pub(crate) reached: usize,
    /// Of those that were offered, whenever that was.
    pub(crate) succeeded: usize,
    /// How long after the outage calls succeeded again; `None` if they did not as long as it was looked for.
    pub(crate) recovered: Option<Duration>,
    /// The most requests in any second of the ten after the outage, by the mean of what was offered in one.
    pub(crate) herd: f64,
}

impl Figures {
    pub(crate) fn of(run: &Run) -> Self {
        let (down, recovery) = run.script.outage_and_recovery();
        let offered: Vec<_> = within(&run.calls, &down).collect();
        Self {
            offered: offered.len(),
            reached: run.on_the_wire.iter().filter(|at| down.contains(*at)).count(),
            succeeded: offered.iter().filter(|call| call.succeeded).count(),
            recovered: recovered(&run.calls, &recovery),
            herd: herd(&run.calls, &run.on_the_wire, down.end),
        }
    }
}

fn within<'a>(calls: &'a [Call], time: &'a Range<Duration>) -> impl Iterator<Item = &'a Call> {
    calls.iter().filter(|call| time.contains(&call.offered))
}

/// From when on 99 of 100 calls that are offered within a second succeed.
fn recovered(calls: &[Call], recovery: &Range<Duration>) -> Option<Duration> {
    let mut from = recovery.start;
    while from + SECOND <= recovery.end {
        let second = from..from + SECOND;
        let offered = within(calls, &second).count();
        let succeeded = within(calls, &second).filter(|call| call.succeeded).count();
        if offered > 0 && succeeded * 100 >= offered * 99 {
            return Some(from - recovery.start);
        }
        from += STEP;
    }
    None
}

#[expect(clippy::cast_precision_loss, reason = "there are not that many")]
fn herd(calls: &[Call], on_the_wire: &[Duration], end: Duration) -> f64 {
    let afterwards = end..end + AFTERWARDS;
    let offered = within(calls, &afterwards).count();
    let mut arrivals: Vec<_> = on_the_wire.iter().copied().filter(|at| afterwards.contains(at)).collect();
    arrivals.sort_unstable();
    let mut oldest = 0;
    let peak = (0..arrivals.len()).map(|newest| {
        while arrivals[newest] - arrivals[oldest] >= SECOND {
            oldest += 1;
        }
        newest + 1 - oldest
    });
    peak.max().unwrap_or_default() as f64 * AFTERWARDS.as_secs_f64() / offered.max(1) as f64
}

/// The last line, for machines: of several outages the median of the recovery, and the worst of the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary(Figures);

impl Summary {
    pub(crate) fn of(all: &[Figures]) -> Self {
        Self(Figures {
            offered: all.iter().map(|figures| figures.offered).min().unwrap_or_default(),
            reached: all.iter().map(|figures| figures.reached).max().unwrap_or_default(),
            succeeded: all.iter().map(|figures| figures.succeeded).min().unwrap_or_default(),
            recovered: median(all),
            herd: all.iter().map(|figures| figures.herd).fold(0.0, f64::max),
        })
    }
}

/// Of an even number of outages the later one of the two in the middle.
pub(crate) fn median(all: &[Figures]) -> Option<Duration> {
    let mut recovered: Vec<_> =
        all.iter().map(|figures| figures.recovered.unwrap_or(Duration::MAX)).collect();
    recovered.sort_unstable();
    recovered.get(recovered.len() / 2).copied().filter(|time| *time < Duration::MAX)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { offered, reached, recovered, herd, .. } = self.0;
        let recovered = recovered.map_or(f64::INFINITY, |time| time.as_secs_f64());
        write!(f, "offered={offered} reached={reached} recovered_s={recovered:.2} herd_ratio={herd:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Ten calls a second, of which those offered within `failing` fail.
    fn calls(failing: Range<u32>) -> Vec<Call> {
        let call = |number: u32| Call {
            offered: MS * 100 * number,
            done: MS * 100 * number,
            succeeded: !failing.contains(&(number * 100)),
        };
        (0..300).map(call).collect()
    }

    #[test]
    fn recovery_is_the_first_window_from_which_a_second_succeeds() {
        let recovery = SECOND * 10..SECOND * 20;
        for (failing, expected) in [
            (0..10_000, Some(Duration::ZERO)),
            (0..10_100, Some(MS * 250)),
            (0..13_000, Some(MS * 3_000)),
            (0..13_001, Some(MS * 3_250)),
            (0..19_000, Some(MS * 9_000)),
            (0..19_001, None),
            // A second that is only in part good does not count.
            (10_900..12_000, Some(MS * 2_000)),
        ] {
            assert_eq!(recovered(&calls(failing.clone()), &recovery), expected, "{failing:?}");
        }
    }

    #[test]
    fn a_herd_is_the_busiest_second_wherever_it_begins() {
        let calls = calls(0..0);
        let steady: Vec<_> = (0..300).map(|number| MS * 100 * number).collect();
        assert!((herd(&calls, &steady, SECOND * 10) - 1.0).abs() < 1e-9);
        // Ten more, across a full second, on top of ten: two full seconds would show half of it.
        let herd_of = |more: Vec<Duration>| {
            herd(&calls, &steady.iter().copied().chain(more).collect::<Vec<_>>(), SECOND * 10)
        };
        let across = (0..10).map(|number| MS * (11_950 + 10 * number)).collect();
        assert!((herd_of(across) - 2.0).abs() < 1e-9);
        let before = (0..10).map(|number| MS * (9_900 + number)).collect();
        assert!((herd_of(before) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_summary_has_the_median_and_the_worst() {
        let of = |reached, recovered: Option<u32>, herd| Figures {
            offered: 6_000,
            reached,
            succeeded: 0,
            recovered: recovered.map(|secs| SECOND * secs),
            herd,
        };
        let three = [of(10, Some(1), 1.5), of(30, None, 1.0), of(20, Some(2), 1.25)];
        let line = "offered=6000 reached=30 recovered_s=2.00 herd_ratio=1.50";
        assert_eq!(Summary::of(&three).to_string(), line);
        let never = Summary::of(&three[1..2]).to_string();
        assert_eq!(never, "offered=6000 reached=30 recovered_s=inf herd_ratio=1.00");
    }
}
