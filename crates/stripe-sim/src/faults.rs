//! What can go wrong with a request, and how often it does.
//!
//! A fault is drawn from the seed, the order and how many requests that order has made, never from a shared generator:
//! the third request of `order-1` meets the same fault in every run, whatever else goes on. Exact sequences are
//! scripted with [`Sim::script`](crate::Sim::script) instead.

use std::{ops::RangeInclusive, time::Duration};

use crate::chance::Draws;

/// One way for a request to fail.
///
/// | fault | body read | executed | what the client sees |
/// |---|---|---|---|
/// | `F0` | no | never | a refused connection |
/// | `F1` | in part | never | a reset |
/// | `F2` | yes | never | a reset |
/// | `F3` | yes | at once | a reset before the response head |
/// | `F4Cut` | yes | at once | the head, half of the body, then a reset |
/// | `F4Stall` | yes | at once | the head, half of the body, then silence up to [`Faults::stall_limit`] |
/// | `F5` | yes | after `delay`, client or no client | silence, then the answer if it is still there |
/// | `Slow` | yes | begins at once, ends after `delay` | silence, then the answer if it is still there |
/// | `StoredServerError` | yes | as `executed` says | a 500; v1 stores it under the key and replays it, v2 executes the rest when the key comes again |
/// | `NoFunds` | yes | never | a 402; v1 stores it, v2 executes again when the key comes again |
///
/// | `RefusedStream` | no | never | `REFUSED_STREAM` on HTTP/2, the connection goes on |
/// | `GoAway` | no | never | `GOAWAY` on HTTP/2 for this stream and all later ones |
///
/// "Executed" means handled as ever: limiters, API key and idempotency key still have their say.
///
/// `F0`, `F1`, `RefusedStream` and `GoAway` need to know the order before the body is touched, so name it in the head of the request
/// (`X-Sim-Order`, or the query). If the order stands in the body alone, the body has been read by the time the fault is
/// known, and [`SimError::body_pulled`](crate::SimError::body_pulled) says so. Over TCP a connection that carries a
/// request was by then accepted: there `F0` resets it without reading the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The connection is refused.
    F0,
    /// The connection dies while the request is written, after `pulled` frames of its body.
    F1 {
        /// Frames of the body that are taken from the client first.
        pulled: usize,
    },
    /// The request is read, then lost without being executed.
    F2,
    /// The request is executed, the response is lost.
    F3,
    /// The request is executed, the body of the response breaks off.
    F4Cut,
    /// The request is executed, the body of the response stops coming.
    F4Stall,
    /// The request lies somewhere for `delay`, and then arrives and is executed. The key store is consulted when it
    /// arrives, so a retry that overtook it makes it a replay.
    F5 {
        /// How late it arrives.
        delay: Duration,
    },
    /// The execution takes `delay`. Meanwhile the idempotency key is in use, and a slot of the concurrency limiters is
    /// taken.
    Slow {
        /// How long it takes.
        delay: Duration,
    },
    /// Stripe breaks down in the middle of the execution: a 500 is stored under the key and replayed from then on. It
    /// takes effect only if the request gets as far as executing. In v2 nothing is stored but what was achieved, and the
    /// next request with the key does the rest.
    StoredServerError {
        /// Whether the side effect was made. It shows in the ledger at once, but objects show it only after
        /// [`Sim::settle`](crate::Sim::settle).
        executed: bool,
    },
    /// The server refuses the stream before it looks at it. HTTP/1.1 has no such thing: there the connection is reset.
    RefusedStream,
    /// The server says goodbye before it looks at the stream. Where a later stream of the connection was looked at already,
    /// only this one is refused; on HTTP/1.1 the connection is reset.
    GoAway,
    /// The execution fails for lack of money. It takes effect only if the request gets as far as executing.
    NoFunds,
}

impl Fault {
    /// Which of the faults this is.
    #[must_use]
    pub fn kind(self) -> FaultKind {
        match self {
            Self::F0 => FaultKind::F0,
            Self::F1 { .. } => FaultKind::F1,
            Self::F2 => FaultKind::F2,
            Self::F3 => FaultKind::F3,
            Self::F4Cut => FaultKind::F4Cut,
            Self::F4Stall => FaultKind::F4Stall,
            Self::F5 { .. } => FaultKind::F5,
            Self::Slow { .. } => FaultKind::Slow,
            Self::StoredServerError { .. } => FaultKind::StoredServerError,
            Self::RefusedStream => FaultKind::RefusedStream,
            Self::GoAway => FaultKind::GoAway,
            Self::NoFunds => FaultKind::NoFunds,
        }
    }
}

/// A [`Fault`] without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are those of `Fault`")]
pub enum FaultKind {
    F0,
    F1,
    F2,
    F3,
    F4Cut,
    F4Stall,
    F5,
    Slow,
    StoredServerError,
    RefusedStream,
    GoAway,
    NoFunds,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::F0,
        Self::F1,
        Self::F2,
        Self::F3,
        Self::F4Cut,
        Self::F4Stall,
        Self::F5,
        Self::Slow,
        Self::StoredServerError,
        Self::RefusedStream,
        Self::GoAway,
        Self::NoFunds,
    ];
}

/// How often requests fail, and how.
///
/// | setting | default |
/// |---|---|
/// | [`weight`](Self::weight) | 1, but 0 for `NoFunds`, which is no accident |
/// | [`late`](Self::late), the delay of `F5` | 31 s to 60 s |
/// | [`slow`](Self::slow), the delay of `Slow` | 1 s to 5 s |
/// | [`stall_limit`](Self::stall_limit) | 120 s |
///
/// ```
/// use stripe_sim::{FaultKind, Faults};
///
/// // Three requests in ten fail; half of those are executed and lose their answer.
/// let faults = Faults::probability(0.3).weight(FaultKind::F3, 7);
/// # let _ = faults;
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Faults {
    probability: f64,
    weights: [u32; FaultKind::ALL.len()],
    late: RangeInclusive<Duration>,
    slow: RangeInclusive<Duration>,
    stall_limit: Duration,
}

impl Faults {
    /// No faults but the scripted ones.
    pub fn none() -> Self {
        Self::probability(0.0)
    }

    /// Each request fails with probability `p`, which is taken into `0.0..=1.0`; not a number counts as zero.
    pub fn probability(p: f64) -> Self {
        Self {
            probability: if p.is_nan() { 0.0 } else { p.clamp(0.0, 1.0) },
            weights: FaultKind::ALL.map(|kind| u32::from(kind != FaultKind::NoFunds)),
            late: Duration::from_secs(31)..=Duration::from_secs(60),
            slow: Duration::from_secs(1)..=Duration::from_secs(5),
            stall_limit: Duration::from_secs(120),
        }
    }

    /// How often a failing request meets this fault, relative to the others. Zero: never.
    pub fn weight(mut self, kind: FaultKind, weight: u32) -> Self {
        for (slot, candidate) in self.weights.iter_mut().zip(FaultKind::ALL) {
            if candidate == kind {
                *slot = weight;
            }
        }
        self
    }

    /// Only this fault, with the weight 1.
    pub fn only(mut self, kind: FaultKind) -> Self {
        self.weights = [0; FaultKind::ALL.len()];
        self.weight(kind, 1)
    }

    /// From which range the delay of a drawn [`Fault::F5`] comes. Put it past the client's timeout.
    pub fn late(mut self, range: RangeInclusive<Duration>) -> Self {
        self.late = range;
        self
    }

    /// From which range the delay of a drawn [`Fault::Slow`] comes.
    pub fn slow(mut self, range: RangeInclusive<Duration>) -> Self {
        self.slow = range;
        self
    }

    /// How long the simulator keeps a client waiting at most, whatever the fault; then the connection is lost. Late
    /// executions land all the same.
    pub fn stall_limit(mut self, limit: Duration) -> Self {
        self.stall_limit = limit;
        self
    }

    pub(crate) fn patience(&self) -> Duration {
        self.stall_limit
    }

    /// The fault that the `nth` request of `order` meets.
    pub(crate) fn draw(&self, seed: u64, order: &str, nth: u64) -> Option<Fault> {
        let mut draws = Draws::of(seed, order, nth);
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
        Some(match kind {
            FaultKind::F0 => Fault::F0,
            FaultKind::F1 => Fault::F1 { pulled: usize::from(draws.below(2) == 1) },
            FaultKind::F2 => Fault::F2,
            FaultKind::F3 => Fault::F3,
            FaultKind::F4Cut => Fault::F4Cut,
            FaultKind::F4Stall => Fault::F4Stall,
            FaultKind::F5 => Fault::F5 { delay: draws.within(&self.late) },
            FaultKind::Slow => Fault::Slow { delay: draws.within(&self.slow) },
            FaultKind::StoredServerError => Fault::StoredServerError { executed: draws.below(2) == 1 },
            FaultKind::RefusedStream => Fault::RefusedStream,
            FaultKind::GoAway => Fault::GoAway,
            FaultKind::NoFunds => Fault::NoFunds,
        })
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_faults() {
        let faults = Faults::probability(0.5);
        let run = |seed| (0..200).map(|nth| faults.draw(seed, "order", nth)).collect::<Vec<_>>();
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn every_fault_comes_up_and_none_without_probability() {
        let always = Faults::probability(1.0).weight(FaultKind::NoFunds, 1);
        let drawn: BTreeSet<_> =
            (0..400).filter_map(|nth| always.draw(3, "o", nth)).map(Fault::kind).collect();
        assert_eq!(drawn, BTreeSet::from(FaultKind::ALL));
        for never in [Faults::none(), Faults::probability(f64::NAN), Faults::probability(-1.0)] {
            assert!((0..400).all(|nth| never.draw(3, "o", nth).is_none()));
        }
    }

    #[test]
    fn weights_decide_which_fault_it_is() {
        let only = Faults::probability(7.0).only(FaultKind::F3);
        assert!((0..100).all(|nth| only.draw(3, "o", nth) == Some(Fault::F3)));
        let mut none = Faults::probability(1.0).only(FaultKind::F3);
        none = none.weight(FaultKind::F3, 0);
        assert!((0..100).all(|nth| none.draw(3, "o", nth).is_none()));
    }

    #[test]
    fn delays_stay_in_their_range() {
        let range = Duration::from_secs(2)..=Duration::from_secs(3);
        let faults = Faults::probability(1.0).only(FaultKind::F5).late(range.clone());
        for nth in 0..100 {
            let Some(Fault::F5 { delay }) = faults.draw(1, "o", nth) else { panic!("only F5 has a weight") };
            assert!(range.contains(&delay));
        }
    }
}
