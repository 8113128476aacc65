//! How often what has happened, circuit by circuit: for whoever samples it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    engine::Verdict,
    state::{Circuit, State, Why},
};
use crate::vocab::{Sample, metric};

const STATES: usize = metric::STATES.len();
const WHYS: usize = metric::WHYS.len();
const VERDICTS: usize = metric::VERDICTS.len();

/// Counts what seldom happens, so it need not be fast.
pub(super) struct Tally([OfCircuit; metric::CIRCUITS.len()]);

#[derive(Default)]
struct OfCircuit {
    transitions: [[AtomicU64; WHYS]; STATES],
    probes: [AtomicU64; VERDICTS],
}

/// Which causes lead to which state.
const LEADS: [(State, &[usize]); STATES] =
    [(State::Closed, &[7, 8]), (State::Open, &[0, 1, 2, 3, 4, 5, 8]), (State::HalfOpen, &[6])];

impl Default for Tally {
    fn default() -> Self {
        Self(std::array::from_fn(|_| OfCircuit::default()))
    }
}

impl Tally {
    pub(super) fn went(&self, circuit: Circuit, to: State, why: Why) {
        self.0[circuit.index()].transitions[to as usize][index(why)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn probed(&self, circuit: Circuit, verdict: Verdict) {
        let verdict = match verdict {
            Verdict::Success => 0,
            Verdict::Failure => 1,
            Verdict::Neutral => 2,
        };
        self.0[circuit.index()].probes[verdict].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sample(&self, circuit: Circuit, sample: &mut Sample<'_>) {
        let of_circuit = &self.0[circuit.index()];
        for (to, whys) in LEADS {
            for why in whys {
                let times = of_circuit.transitions[to as usize][*why].load(Ordering::Relaxed);
                let labels = [circuit.as_str(), to.as_str(), metric::WHYS[*why]];
                sample.total(&metric::BREAKER_TRANSITIONS, &labels, times);
            }
        }
        for (verdict, times) in metric::VERDICTS.into_iter().zip(&of_circuit.probes) {
            let times = times.load(Ordering::Relaxed);
            sample.total(&metric::BREAKER_PROBES, &[circuit.as_str(), verdict], times);
        }
    }
}

const fn index(why: Why) -> usize {
    match why {
        Why::Consecutive { .. } => 0,
        Why::Ratio { .. } => 1,
        Why::Slow { .. } => 2,
        Why::ProbeFailed => 3,
        Why::ProbeExpired => 4,
        Why::RampFailed => 5,
        Why::IntervalOver => 6,
        Why::ProbesSucceeded => 7,
        Why::Operator => 8,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{breaker::Partition, breaker::Traffic, vocab::Host, vocab::Mode};

    #[test]
    fn every_circuit_and_every_cause_has_the_place_of_its_word() {
        let mut seen = BTreeSet::new();
        for host in Host::ALL {
            for mode in [Mode::Live, Mode::Sandbox] {
                for traffic in [Traffic::Read, Traffic::Write] {
                    let circuit = Circuit::Partition(Partition { host, mode, traffic });
                    assert_eq!(circuit.as_str(), format!("{host}/{mode}/{traffic}"));
                    seen.insert(circuit.index());
                }
            }
            assert_eq!(Circuit::Local(host).as_str(), format!("{host}/local"));
            seen.insert(Circuit::Local(host).index());
        }
        assert_eq!(seen, (0..metric::CIRCUITS.len()).collect());
        let whys = [
            Why::Consecutive { failures: 1 },
            Why::Ratio { failures: 1, calls: 1 },
            Why::Slow { slow: 1, calls: 1 },
            Why::ProbeFailed,
            Why::ProbeExpired,
            Why::RampFailed,
            Why::IntervalOver,
            Why::ProbesSucceeded,
            Why::Operator,
        ];
        for (place, why) in whys.into_iter().enumerate() {
            assert_eq!((index(why), why.as_str()), (place, metric::WHYS[place]));
        }
        for (place, state) in [State::Closed, State::Open, State::HalfOpen].into_iter().enumerate() {
            assert_eq!((state as usize, state.as_str()), (place, metric::STATES[place]));
            assert_eq!(LEADS[place].0, state);
        }
    }
}
