//! What is seen of a breaker when somebody looks.

use super::{
    handle::BreakerHandle,
    state::{CircuitSnapshot, Control},
};
use crate::vocab::{Sample, Source, metric};

/// The circuits that have been used.
impl Source for BreakerHandle {
    fn sample(&self, sample: &mut Sample<'_>) {
        for seen in self.snapshot() {
            let circuit = seen.circuit.as_str();
            let now = word(&seen);
            for state in metric::CIRCUIT_STATES {
                let value = if state == now { 1.0 } else { 0.0 };
                sample.gauge(&metric::BREAKER_STATE, &[circuit, state], value);
            }
            let ratio = if seen.attempts == 0 { 0.0 } else { seen.failures as f64 / seen.attempts as f64 };
            sample.gauge(&metric::BREAKER_FAILURES, &[circuit], ratio);
            sample.gauge(&metric::BREAKER_CALLS, &[circuit], seen.attempts as f64);
            self.shared.tally.sample(seen.circuit, sample);
        }
    }
}

/// What is the case: what somebody forces, or the state. One that only observes shows what it would do.
const fn word(seen: &CircuitSnapshot) -> &'static str {
    match seen.control {
        Control::Automatic | Control::ObserveOnly => seen.state.as_str(),
        Control::ForcedOpen | Control::ForcedClosed | Control::Disabled => seen.control.as_str(),
    }
}
