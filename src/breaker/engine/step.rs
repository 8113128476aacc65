//! What every step of a circuit needs, and the rules by which it opens.

use std::time::{Duration, Instant};

use super::{
    super::{
        config::{BreakerConfig, SlowCalls},
        state::{State, Why},
    },
    window::Counts,
};
use crate::vocab::Ratio;

/// What a step needs besides the circuit.
#[derive(Debug)]
pub(in super::super) struct Step<'a> {
    pub(in super::super) rules: &'a BreakerConfig,
    pub(in super::super) now: Instant,
    /// A random number.
    pub(in super::super) draw: u64,
    /// Where the transitions go.
    pub(in super::super) changes: &'a mut Vec<Change>,
}

/// A transition of one circuit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Change {
    pub(in super::super) which: Which,
    pub(in super::super) from: State,
    pub(in super::super) to: State,
    pub(in super::super) why: Why,
    pub(in super::super) at: Instant,
    pub(in super::super) generation: u64,
}

/// Which circuit of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Which {
    Read,
    Write,
    /// Whether the host can be connected to at all.
    Local,
}

impl Which {
    pub(super) const fn slow(self, rules: &BreakerConfig) -> Option<SlowCalls> {
        match self {
            Self::Read => rules.slow_calls[0],
            Self::Write => rules.slow_calls[1],
            Self::Local => None,
        }
    }

    /// The rule that these counts break.
    pub(super) fn tripped(self, rules: &BreakerConfig, counts: Counts, run_is_ripe: bool) -> Option<Why> {
        let Counts { calls, failures, slow, run } = counts;
        if run_is_ripe && rules.consecutive_failures.is_some_and(|limit| run >= u64::from(limit)) {
            return Some(Why::Consecutive { failures: run });
        }
        if self == Self::Local || calls < u64::from(rules.min_calls) {
            return None;
        }
        let reaches = |part: u64, ratio: Ratio| {
            part.saturating_mul(1_000) >= calls.saturating_mul(u64::from(ratio.as_permille()))
        };
        if rules.failure_ratio.is_some_and(|ratio| reaches(failures, ratio)) {
            return Some(Why::Ratio { failures, calls });
        }
        let limit = self.slow(rules)?;
        reaches(slow, limit.ratio).then_some(Why::Slow { slow, calls })
    }
}

/// What remains of `time` since `start`.
pub(super) fn rest(step: &Step<'_>, start: Instant, time: Duration) -> Duration {
    time.saturating_sub(step.now.saturating_duration_since(start))
}

/// How long to stay open for the `level`-th time, counted from 0: doubling up to the maximum, and placed by `draw` in the
/// upper half, so that those who failed together do not come back together.
pub(super) fn interval(rules: &BreakerConfig, level: u32, draw: u64) -> Duration {
    let whole = 2_u32
        .checked_pow(level)
        .and_then(|factor| rules.base_interval.checked_mul(factor))
        .map_or(rules.max_interval, |time| time.min(rules.max_interval));
    let half = whole / 2;
    let nanos = ((whole - half).as_nanos() * u128::from(draw)) >> 64;
    half + Duration::from_nanos(nanos as u64)
}
