//! Which fault each connection meets: a function of the seed and the number of the connection.

use std::{collections::BTreeMap, num::NonZeroU64, ops::RangeInclusive, time::Duration};

use super::fault::{Direction, Fault, FaultKind, Link, Point};
use crate::chance::Draws;

/// Which [`Fault`] each connection meets.
///
/// Connections are numbered from 0 in the order in which the proxy accepts them, for as long as the proxy lives. What
/// is set for a number with [`nth`](Self::nth) wins, then [`every`](Self::every), then
/// [`always`](Self::always) or what is drawn.
///
/// | setting | default |
/// |---|---|
/// | [`seed`](Self::seed) | 0 |
/// | [`link`](Self::link) | as fast as loopback |
/// | [`weight`](Self::weight) | 1 for every fault |
/// | [`bytes`](Self::bytes), where a drawn fault strikes | 0 to 1024 |
/// | [`slow_link`](Self::slow_link), the link of a drawn [`Fault::Link`] | 20 ms and up to 10 ms of jitter |
/// | [`slow_close`](Self::slow_close), the delay of a drawn [`Fault::SlowClose`] | 10 ms to 100 ms |
/// | [`stall_limit`](Self::stall_limit), the limit of a drawn stall or hang | 120 s |
///
/// ```
/// use stripe_sim::proxy::{Fault, FaultKind, Plan, Point};
///
/// // Three connections in ten suffer, most of them from a reset; the first one does for certain.
/// let plan = Plan::probability(0.3)
///     .seed(7)
///     .weight(FaultKind::Reset, 20)
///     .nth(0, Fault::Reset(Point::Start));
/// assert_eq!(plan.for_connection(0), Fault::Reset(Point::Start));
/// assert_eq!(plan.for_connection(1), plan.for_connection(1));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Plan {
    seed: u64,
    link: Link,
    nth: BTreeMap<u64, Fault>,
    every: Option<(NonZeroU64, Fault)>,
    always: Option<Fault>,
    probability: f64,
    weights: [u32; FaultKind::ALL.len()],
    bytes: RangeInclusive<u64>,
    slow_link: Link,
    slow_close: RangeInclusive<Duration>,
    stall_limit: Duration,
}

impl Plan {
    /// No faults but those that are set for a number.
    pub fn none() -> Self {
        Self::probability(0.0)
    }

    /// Every connection meets this fault.
    pub fn always(fault: Fault) -> Self {
        Self { always: Some(fault), ..Self::none() }
    }

    /// Each connection suffers with probability `p`, which is taken into `0.0..=1.0`; not a number counts as zero.
    pub fn probability(p: f64) -> Self {
        Self {
            seed: 0,
            link: Link::default(),
            nth: BTreeMap::new(),
            every: None,
            always: None,
            probability: if p.is_nan() { 0.0 } else { p.clamp(0.0, 1.0) },
            weights: [1; FaultKind::ALL.len()],
            bytes: 0..=1024,
            slow_link: Link::default().latency(Duration::from_millis(20)).jitter(Duration::from_millis(10)),
            slow_close: Duration::from_millis(10)..=Duration::from_millis(100),
            stall_limit: Duration::from_secs(120),
        }
    }

    /// What drawn faults and jitter derive from.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The link of every connection that has no [`Fault::Link`] of its own.
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// The fault of the connection with this number, counted from 0.
    pub fn nth(mut self, connection: u64, fault: Fault) -> Self {
        self.nth.insert(connection, fault);
        self
    }

    /// The fault of every `n`-th connection: with 3, of the connections 2, 5, 8 and so on.
    pub fn every(mut self, n: NonZeroU64, fault: Fault) -> Self {
        self.every = Some((n, fault));
        self
    }

    /// How often a suffering connection meets this fault, relative to the others. Zero: never.
    pub fn weight(mut self, kind: FaultKind, weight: u32) -> Self {
        for (slot, candidate) in self.weights.iter_mut().zip(FaultKind::ALL) {
            if candidate == kind {
                *slot = weight;
            }
        }
        self
    }

    /// Only this fault is drawn, with the weight 1.
    pub fn only(mut self, kind: FaultKind) -> Self {
        self.weights = [0; FaultKind::ALL.len()];
        self.weight(kind, 1)
    }

    /// From which range the byte comes at which a drawn fault strikes.
    pub fn bytes(mut self, range: RangeInclusive<u64>) -> Self {
        self.bytes = range;
        self
    }

    /// The link of a drawn [`Fault::Link`].
    pub fn slow_link(mut self, link: Link) -> Self {
        self.slow_link = link;
        self
    }

    /// From which range the delay of a drawn [`Fault::SlowClose`] comes.
    pub fn slow_close(mut self, range: RangeInclusive<Duration>) -> Self {
        self.slow_close = range;
        self
    }

    /// How long a drawn stall or hanging handshake lasts at most.
    pub fn stall_limit(mut self, limit: Duration) -> Self {
        self.stall_limit = limit;
        self
    }

    /// The fault of the connection with this number, counted from 0. It depends on nothing but the plan and the number.
    #[must_use]
    pub fn for_connection(&self, n: u64) -> Fault {
        if let Some(fault) = self.nth.get(&n) {
            return *fault;
        }
        if let Some((period, fault)) = self.every
            && n % period == period.get() - 1
        {
            return fault;
        }
        self.always.or_else(|| self.draw(n)).unwrap_or(Fault::None)
    }

    /// The link of a connection that meets `fault`.
    pub(super) fn link_under(&self, fault: Fault) -> Link {
        if let Fault::Link(link) = fault { link } else { self.link }
    }

    pub(super) fn seed_of_jitter(&self) -> u64 {
        self.seed
    }

    fn draw(&self, n: u64) -> Option<Fault> {
        let mut draws = Draws::of(self.seed, "connection", n);
        if draws.unit() >= self.probability {
            return None;
        }
        let total = self.weights.iter().copied().map(u64::from).sum();
        let mut ticket = draws.below(total);
        let kind = self.weights.into_iter().zip(FaultKind::ALL).find_map(|(weight, kind)| {
            let weight = u64::from(weight);
            if ticket < weight {
                return Some(kind);
            }
            ticket -= weight;
            None
        })?;
        let limit = Some(self.stall_limit);
        Some(match kind {
            FaultKind::Link => Fault::Link(self.slow_link),
            FaultKind::Reset => Fault::Reset(self.point(&mut draws)),
            FaultKind::Cut => Fault::Cut(self.point(&mut draws)),
            FaultKind::HalfClose => {
                Fault::HalfClose { direction: direction(&mut draws), at: self.byte(&mut draws) }
            }
            FaultKind::SlowClose => {
                Fault::SlowClose { direction: direction(&mut draws), delay: draws.within(&self.slow_close) }
            }
            FaultKind::Stall => {
                Fault::Stall { direction: direction(&mut draws), at: self.byte(&mut draws), limit }
            }
            FaultKind::TlsHang => Fault::TlsHang { limit },
            FaultKind::TlsAlert => {
                // What servers refuse a handshake with most often: failure, version, name, internal error.
                let alert = match draws.below(4) {
                    0 => 40,
                    1 => 70,
                    2 => 112,
                    _ => 80,
                };
                Fault::TlsAlert(alert)
            }
            FaultKind::TlsGarbage => Fault::TlsGarbage,
        })
    }

    fn point(&self, draws: &mut Draws) -> Point {
        match draws.below(5) {
            0 => Point::Start,
            1 => Point::AfterResponse,
            2 => Point::NextRequest,
            3 => Point::Byte(Direction::ToUpstream, self.byte(draws)),
            _ => Point::Byte(Direction::ToClient, self.byte(draws)),
        }
    }

    fn byte(&self, draws: &mut Draws) -> u64 {
        let (first, last) = self.bytes.clone().into_inner();
        first + draws.below(last.saturating_sub(first).saturating_add(1))
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self::none()
    }
}

fn direction(draws: &mut Draws) -> Direction {
    if draws.below(2) == 0 { Direction::ToUpstream } else { Direction::ToClient }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const RESET: Fault = Fault::Reset(Point::Start);

    fn run(plan: &Plan) -> Vec<Fault> {
        (0..400).map(|n| plan.for_connection(n)).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_faults_in_any_order() {
        let plan = Plan::probability(0.5).seed(1);
        let backwards: Vec<_> = (0..400).rev().map(|n| plan.for_connection(n)).collect();
        assert_eq!(run(&plan), backwards.into_iter().rev().collect::<Vec<_>>());
        assert_ne!(run(&plan), run(&plan.clone().seed(2)));
    }

    #[test]
    fn every_fault_comes_up_and_none_without_probability() {
        let drawn: BTreeSet<_> = run(&Plan::probability(1.0)).into_iter().filter_map(Fault::kind).collect();
        assert_eq!(drawn, BTreeSet::from(FaultKind::ALL));
        for never in [Plan::none(), Plan::probability(f64::NAN), Plan::probability(-1.0)] {
            assert!(run(&never).into_iter().all(|fault| fault == Fault::None));
        }
    }

    #[test]
    fn the_probability_is_kept() {
        let hits = run(&Plan::probability(0.25)).into_iter().filter(|fault| *fault != Fault::None).count();
        assert!((70..130).contains(&hits), "{hits} of 400");
    }

    #[test]
    fn a_weight_of_zero_is_never_drawn() {
        let only = Plan::probability(1.0).only(FaultKind::Stall).stall_limit(Duration::from_secs(3));
        for fault in run(&only) {
            assert!(matches!(fault, Fault::Stall { limit: Some(limit), .. } if limit.as_secs() == 3));
        }
        assert_eq!(
            Plan::probability(1.0).only(FaultKind::Cut).weight(FaultKind::Cut, 0).for_connection(0),
            Fault::None
        );
    }

    #[test]
    fn a_number_wins_over_a_period_and_a_period_over_the_rest() {
        let period = NonZeroU64::new(3).expect("not zero");
        let plan = Plan::always(Fault::TlsGarbage).every(period, RESET).nth(5, Fault::None);
        let taken: Vec<_> = (0..7).map(|n| plan.for_connection(n)).collect();
        let rest = Fault::TlsGarbage;
        assert_eq!(taken, [rest, rest, RESET, rest, rest, Fault::None, rest]);
    }

    #[test]
    fn drawn_bytes_stay_within_their_range() {
        for range in [5..=9, 7..=7, 0..=u64::MAX] {
            let plan = Plan::probability(1.0).only(FaultKind::HalfClose).bytes(range.clone());
            for fault in run(&plan) {
                assert!(matches!(fault, Fault::HalfClose { at, .. } if range.contains(&at)), "{fault:?}");
            }
        }
    }

    #[test]
    fn all_points_and_both_directions_are_drawn() {
        let plan = Plan::probability(1.0).only(FaultKind::Reset).bytes(0..=0);
        let drawn: BTreeSet<_> = run(&plan).into_iter().map(|fault| format!("{fault:?}")).collect();
        assert_eq!(drawn.len(), 5, "{drawn:?}");
    }
}
