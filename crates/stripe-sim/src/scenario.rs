//! Outages: what the weather at Stripe is, and when.

use std::time::Duration;

use crate::{chance::Draws, faults::Faults, limits::Reason, script::Canned};

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
    answer: Option<(Canned, f64)>,
    faults: Option<Faults>,
    slower: f64,
}

/// Phases in a row, from the moment that it is [played](crate::Sim::play). After the last one the weather is clear.
///
/// | script | what it is |
/// |---|---|
/// | [`outage`](Self::outage) | no connection is made |
/// | [`brown_out`](Self::brown_out) | every other answer is a 503, all are ten times as slow |
/// | [`flapping`](Self::flapping) | an outage, then clear, and so on |
/// | [`bad_endpoint`](Self::bad_endpoint) | one operation answers 500 nine times of ten |
/// | [`storm_of_429`](Self::storm_of_429) | nine requests of ten are refused by the global rate limiter |
/// | [`slow_start`](Self::slow_start) | half of the answers are 503 and slow, then fewer and less so |
///
/// Orders with a script of their own are above the weather.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Scenario {
    phases: Vec<Phase>,
}

/// What the weather makes of a request.
#[derive(Debug, PartialEq)]
pub(crate) struct Weather<'a> {
    pub(crate) answer: Option<&'a Canned>,
    pub(crate) faults: Option<&'a Faults>,
    pub(crate) slower: f64,
}

impl Phase {
    /// Clear weather for this long.
    pub fn new(lasts: Duration) -> Self {
        Self { lasts, operation: None, answer: None, faults: None, slower: 1.0 }
    }

    /// Only requests for this operation notice, by names such as `payment_intents.confirm`.
    pub fn operation(mut self, name: impl Into<String>) -> Self {
        self.operation = Some(name.into());
        self
    }

    /// A share of the requests, taken into `0.0..=1.0`, is answered with this and not executed.
    pub fn answers(mut self, answer: Canned, share: f64) -> Self {
        self.answer = Some((answer, if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }));
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
}

impl Scenario {
    /// Clear weather.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a phase more, after the others.
    pub fn then(mut self, phase: Phase) -> Self {
        self.phases.push(phase);
        self
    }

    /// All phases of `other` come after these.
    pub fn followed_by(mut self, other: Self) -> Self {
        self.phases.extend(other.phases);
        self
    }

    /// Stripe cannot be reached.
    pub fn outage(lasts: Duration) -> Self {
        Self::new().then(down(lasts))
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
        operation: &str,
        seed: u64,
        order: &str,
        nth: u64,
    ) -> Weather<'_> {
        let clear = Weather { answer: None, faults: None, slower: 1.0 };
        let mut end = Duration::ZERO;
        let now = self.phases.iter().find(|phase| {
            end = end.saturating_add(phase.lasts);
            since < end
        });
        match now {
            Some(phase) if phase.operation.as_deref().is_none_or(|only| only == operation) => {
                // Of other numbers than the faults and the latency of the same request.
                let ticket = Draws::of(seed.rotate_left(32) ^ 1, order, nth).unit();
                let answer = phase.answer.as_ref().filter(|(_, share)| ticket < *share);
                let answer = answer.map(|(answer, _)| answer);
                Weather { answer, faults: phase.faults.as_ref(), slower: phase.slower }
            }
            _ => clear,
        }
    }
}

fn down(lasts: Duration) -> Phase {
    Phase::new(lasts).faults(Faults::probability(1.0).only(crate::faults::FaultKind::F0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn phases_follow_one_another_and_then_it_is_clear() {
        let scenario = Scenario::flapping(SECOND * 10, 2);
        let is_down = |since: u32| scenario.weather(SECOND * since, "x", 1, "o", 0).faults.is_some();
        let down: Vec<_> = [0, 9, 10, 19, 20, 29, 30, 100].into_iter().map(is_down).collect();
        assert_eq!(down, [true, true, false, false, true, true, false, false]);
    }

    #[test]
    fn a_share_of_the_requests_is_answered() {
        let answered = |scenario: &Scenario, operation: &str| {
            let met = (0..1_000)
                .filter(|nth| scenario.weather(Duration::ZERO, operation, 1, "o", *nth).answer.is_some());
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
        let factors = [0, 10, 20, 30, 40].map(|at| scenario.weather(SECOND * at, "x", 1, "o", 0).slower);
        assert_eq!(factors, [20.0, 10.0, 5.0, 2.0, 1.0]);
    }
}
