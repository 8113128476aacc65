//! Outages: what the weather at Stripe is, and when.

use std::time::Duration;

use crate::{
    chance::Draws,
    faults::Faults,
    limits::Reason,
    script::{Canned, Step},
};

/// A stretch of time with its own weather. Clear by default: requests pass, or meet the faults that are set anyway.
///
/// ```
/// use std::time::Duration;
/// use stripe_sim::{Canned, Phase, Scenario};
///
/// // A minute in which every third charge ends in a 503, and all of them take five times as long.
/// let bad = Phase::new(Duration::from_secs(60)).answers(Canned::html(503), 0.33).slower(5.0);
/// let scenario = Scenario::new().then(bad.operation("payment_intents.create"));
/// # let _ = scenario;
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Phase {
    lasts: Duration,
    operation: Option<String>,
    traffic: Option<Traffic>,
    step: Option<(Step, f64)>,
    faults: Option<Faults>,
    slower: f64,
    stalls: bool,
}

/// One half of all requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    Reads,
    Writes,
}

/// Phases in a row, from the moment that it is [played](crate::Sim::play). After the last one the weather is clear.
///
/// ```
/// use std::time::Duration;
/// use stripe_sim::{Canned, Phase, Reason, Scenario};
///
/// let minute = Duration::from_secs(60);
/// // Writes fail fast, and at the same time half of all reads are shed.
/// let down = Phase::new(minute).writes().answers(Canned::html(503).after(Duration::from_millis(50)), 1.0);
/// let shed = Phase::new(minute).reads().answers(Canned::rate_limited(Reason::GlobalConcurrency), 0.5);
/// let scenario = Scenario::new().then(Phase::new(minute)).then(down).and(shed);
/// # let _ = scenario;
/// ```
///
/// | script | what it is |
/// |---|---|
/// | [`outage`](Self::outage) | no connection is made |
/// | [`brown_out`](Self::brown_out) | every other answer is a 503, all are ten times as slow |
/// | [`flapping`](Self::flapping) | an outage, then clear, and so on |
/// | [`bad_endpoint`](Self::bad_endpoint) | one operation answers 500 nine times of ten |
/// | [`storm_of_429`](Self::storm_of_429) | nine requests of ten are refused by the global rate limiter |
/// | [`slow_start`](Self::slow_start) | half of the answers are 503 and slow, then fewer and less so |
/// | [`hang`](Self::hang) | requests are read and never answered |
/// | [`stall`](Self::stall) | requests are queued, and handled afterwards |
///
/// Orders with a script of their own are above the weather.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Scenario {
    /// One after the other; the phases of one stretch begin together.
    stretches: Vec<Vec<Phase>>,
}

/// What of a request decides which weather it meets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) operation: &'a str,
    pub(crate) is_read: bool,
}

/// What the weather makes of a request.
#[derive(Debug, PartialEq)]
pub(crate) struct Weather<'a> {
    pub(crate) step: Option<&'a Step>,
    pub(crate) faults: Option<&'a Faults>,
    pub(crate) slower: f64,
}

impl Phase {
    /// Clear weather for this long.
    pub fn new(lasts: Duration) -> Self {
        Self { lasts, operation: None, traffic: None, step: None, faults: None, slower: 1.0, stalls: false }
    }

    /// Only reads notice: GET and HEAD.
    pub fn reads(mut self) -> Self {
        self.traffic = Some(Traffic::Reads);
        self
    }

    /// Only writes notice: everything but GET and HEAD.
    pub fn writes(mut self) -> Self {
        self.traffic = Some(Traffic::Writes);
        self
    }

    /// Only requests for this operation notice, by names such as `payment_intents.confirm`.
    pub fn operation(mut self, name: impl Into<String>) -> Self {
        self.operation = Some(name.into());
        self
    }

    /// A share of the requests, taken into `0.0..=1.0`, is answered with this and not executed.
    pub fn answers(self, answer: Canned, share: f64) -> Self {
        self.takes(Step::Answer(answer), share)
    }

    /// A share of the requests, taken into `0.0..=1.0`, is read, never answered and not executed: see [`Step::Hang`]. In
    /// place of [`answers`](Self::answers).
    pub fn hangs(self, share: f64) -> Self {
        self.takes(Step::Hang, share)
    }

    fn takes(mut self, step: Step, share: f64) -> Self {
        self.step = Some((step, if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }));
        self
    }

    /// The server handles nothing: requests stand in its queue, and have their turn afterwards, at its
    /// [capacity](crate::SimBuilder::capacity). What is answered in Stripe's place, or never gets there, does not queue. It
    /// is the server as a whole that stands still: reads and writes, whatever the phase is for.
    pub fn stalls(mut self) -> Self {
        self.stalls = true;
        self
    }

    /// Faults are drawn from these.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = Some(faults);
        self
    }

    /// Everything takes this many times as long as its [`Latency`](crate::Latency) says.
    pub fn slower(mut self, factor: f64) -> Self {
        self.slower = if factor.is_finite() { factor.max(0.0) } else { 1.0 };
        self
    }

    fn concerns(&self, target: Target<'_>) -> bool {
        self.operation.as_deref().is_none_or(|only| only == target.operation)
            && self.traffic.is_none_or(|only| (only == Traffic::Reads) == target.is_read)
    }
}

impl Scenario {
    /// Clear weather.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a phase more, after the others.
    pub fn then(mut self, phase: Phase) -> Self {
        self.stretches.push(vec![phase]);
        self
    }

    /// With a phase that begins together with the last one. What comes next waits for the longer of them. A request that
    /// both are for meets the one that was named first, and only that.
    pub fn and(mut self, phase: Phase) -> Self {
        match self.stretches.last_mut() {
            Some(stretch) => stretch.push(phase),
            None => self.stretches.push(vec![phase]),
        }
        self
    }

    /// All phases of `other` come after these.
    pub fn followed_by(mut self, other: Self) -> Self {
        self.stretches.extend(other.stretches);
        self
    }

    /// Stripe cannot be reached.
    pub fn outage(lasts: Duration) -> Self {
        Self::new().then(down(lasts))
    }

    /// Stripe takes requests and never answers them.
    pub fn hang(lasts: Duration) -> Self {
        Self::new().then(Phase::new(lasts).hangs(1.0))
    }

    /// Stripe stands still, and then handles what it was sent meanwhile.
    pub fn stall(lasts: Duration) -> Self {
        Self::new().then(Phase::new(lasts).stalls())
    }

    /// Stripe is overloaded.
    pub fn brown_out(lasts: Duration) -> Self {
        Self::new().then(Phase::new(lasts).answers(Canned::html(503), 0.5).slower(10.0))
    }

    /// Stripe is down for a period, up for one, and so on.
    pub fn flapping(period: Duration, times: usize) -> Self {
        (0..times).fold(Self::new(), |scenario, _| scenario.then(down(period)).then(Phase::new(period)))
    }

    /// One operation is broken.
    pub fn bad_endpoint(operation: impl Into<String>, lasts: Duration) -> Self {
        Self::new().then(Phase::new(lasts).operation(operation).answers(Canned::server_error(), 0.9))
    }

    /// Somebody else uses the account's quota up.
    pub fn storm_of_429(lasts: Duration) -> Self {
        Self::new().then(Phase::new(lasts).answers(Canned::rate_limited(Reason::GlobalRate), 0.9))
    }

    /// Stripe is back from an outage, and slowly gets well.
    pub fn slow_start(lasts: Duration) -> Self {
        [(0.5, 20.0), (0.3, 10.0), (0.15, 5.0), (0.05, 2.0)].into_iter().fold(
            Self::new(),
            |scenario, (share, factor)| {
                scenario.then(Phase::new(lasts / 4).answers(Canned::html(503), share).slower(factor))
            },
        )
    }

    /// The weather that the `nth` request of `order` meets, this long after the beginning.
    pub(crate) fn weather(
        &self,
        since: Duration,
        target: Target<'_>,
        seed: u64,
        order: &str,
        nth: u64,
    ) -> Weather<'_> {
        match self.now(since).find(|(phase, _)| phase.concerns(target)) {
            Some((phase, _)) => {
                // Of other numbers than the faults and the latency of the same request.
                let ticket = Draws::of(seed.rotate_left(32) ^ 1, order, nth).unit();
                let step = phase.step.as_ref().filter(|(_, share)| ticket < *share);
                let step = step.map(|(step, _)| step);
                Weather { step, faults: phase.faults.as_ref(), slower: phase.slower }
            }
            None => Weather { step: None, faults: None, slower: 1.0 },
        }
    }

    /// When the stall that is going on ends, since the beginning; `None` if there is none.
    pub(crate) fn stalled_until(&self, since: Duration) -> Option<Duration> {
        self.now(since).filter(|(phase, _)| phase.stalls).map(|(_, end)| end).max()
    }

    /// The phases that are going on, and when each ends.
    fn now(&self, since: Duration) -> impl Iterator<Item = (&Phase, Duration)> {
        let mut next = Duration::ZERO;
        let stretch = self.stretches.iter().find_map(|stretch| {
            let began = next;
            let longest = stretch.iter().map(|phase| phase.lasts).max().unwrap_or_default();
            next = began.saturating_add(longest);
            (since < next).then_some((stretch, began))
        });
        let phases = stretch.into_iter().flat_map(|(stretch, began)| {
            stretch.iter().map(move |phase| (phase, began.saturating_add(phase.lasts)))
        });
        phases.filter(move |(_, end)| since < *end)
    }
}

fn down(lasts: Duration) -> Phase {
    Phase::new(lasts).faults(Faults::probability(1.0).only(crate::faults::FaultKind::F0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn read(operation: &str) -> Target<'_> {
        Target { operation, is_read: true }
    }

    fn write(operation: &str) -> Target<'_> {
        Target { operation, is_read: false }
    }

    #[test]
    fn phases_follow_one_another_and_then_it_is_clear() {
        let scenario = Scenario::flapping(SECOND * 10, 2);
        let is_down = |since: u32| scenario.weather(SECOND * since, read("x"), 1, "o", 0).faults.is_some();
        let down: Vec<_> = [0, 9, 10, 19, 20, 29, 30, 100].into_iter().map(is_down).collect();
        assert_eq!(down, [true, true, false, false, true, true, false, false]);
    }

    #[test]
    fn a_share_of_the_requests_is_answered() {
        let answered = |scenario: &Scenario, operation: &str| {
            let met = (0..1_000)
                .filter(|nth| scenario.weather(Duration::ZERO, read(operation), 1, "o", *nth).step.is_some());
            met.count()
        };
        let bad = Scenario::bad_endpoint("charges.list", SECOND);
        assert!((870..930).contains(&answered(&bad, "charges.list")));
        assert_eq!(answered(&bad, "charges.retrieve"), 0);
        assert!((450..550).contains(&answered(&Scenario::brown_out(SECOND), "x")));
        assert_eq!(answered(&Scenario::outage(SECOND), "x"), 0);
    }

    #[test]
    fn a_slow_start_gets_better() {
        let scenario = Scenario::slow_start(SECOND * 40);
        let factors =
            [0, 10, 20, 30, 40].map(|at| scenario.weather(SECOND * at, read("x"), 1, "o", 0).slower);
        assert_eq!(factors, [20.0, 10.0, 5.0, 2.0, 1.0]);
    }

    #[test]
    fn phases_of_one_stretch_overlap_and_each_lasts_as_long_as_it_says() {
        let scenario = Scenario::new()
            .and(Phase::new(SECOND * 30).writes().answers(Canned::html(503), 1.0))
            .and(Phase::new(SECOND * 10).reads().hangs(1.0))
            .then(Phase::new(SECOND).slower(2.0));
        let meets = |since: u32, target| {
            let weather = scenario.weather(SECOND * since, target, 1, "o", 0);
            (weather.step.cloned(), weather.slower)
        };
        let down = Some(Step::Answer(Canned::html(503)));
        for (since, reads, writes) in [
            (0, (Some(Step::Hang), 1.0), (down.clone(), 1.0)),
            (9, (Some(Step::Hang), 1.0), (down.clone(), 1.0)),
            (10, (None, 1.0), (down.clone(), 1.0)),
            (29, (None, 1.0), (down, 1.0)),
            (30, (None, 2.0), (None, 2.0)),
            (31, (None, 1.0), (None, 1.0)),
        ] {
            assert_eq!(meets(since, read("x")), reads, "reads after {since} s");
            assert_eq!(meets(since, write("x")), writes, "writes after {since} s");
        }
    }

    #[test]
    fn the_first_phase_that_is_for_a_request_is_the_one_it_meets() {
        let scenario = Scenario::new()
            .then(Phase::new(SECOND).reads().operation("charges.list").slower(2.0))
            .and(Phase::new(SECOND).reads().slower(3.0))
            .and(Phase::new(SECOND).slower(4.0));
        let slower = |target| scenario.weather(Duration::ZERO, target, 1, "o", 0).slower;
        let met = [read("charges.list"), write("charges.list"), read("x"), write("x")].map(slower);
        assert_eq!(met, [2.0, 4.0, 3.0, 4.0]);
    }

    #[test]
    fn a_stall_ends_with_the_longest_phase_that_stalls() {
        let scenario = Scenario::stall(SECOND)
            .then(Phase::new(SECOND * 9))
            .and(Phase::new(SECOND * 4).stalls())
            .and(Phase::new(SECOND * 2).stalls());
        let ends = [0, 1, 3, 4, 5, 10].map(|since| scenario.stalled_until(SECOND * since));
        let five = Some(SECOND * 5);
        assert_eq!(ends, [Some(SECOND), five, five, five, None, None]);
    }
}
