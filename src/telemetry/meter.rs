//! What is counted, and into which series.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use metrics::{Counter, Gauge, Histogram};

use super::{
    labels::{Cause, Ending, KeyError, LOCK_TIMEOUT, Label, limit},
    notice::Notice,
    pending::Resolved,
    registrar::{Family, Registrar},
};
use crate::vocab::{
    Attempt, Certainty, Class, Mode, Operation, Outcome, Purpose, Refusal, Word, metric,
    report::{Observer, Summary},
};

/// The series of one transport. Each is found by its place, and none by its name.
pub(super) struct Meter {
    registrar: Registrar,
    operations: Operations,
    certainty: Family<Counter>,
    in_flight: Vec<Gauge>,
    cancelled: Family<Counter>,
    retried: Family<Counter>,
    attempt_duration: Family<Histogram>,
    retries: Family<Counter>,
    retries_stopped: Family<Counter>,
    unknown: Family<Counter>,
    unknown_resolved: Family<Counter>,
    keys: Family<Counter>,
    key_errors: Family<Counter>,
    replays: Family<Counter>,
    rate_limited: Family<Counter>,
    declines: Family<Counter>,
    errors: Family<Counter>,
    notices: Counter,
    refused: Family<Counter>,
    governor_wait: Family<Histogram>,
}

impl Meter {
    pub(super) fn new(registrar: Registrar, max_operations: usize) -> Self {
        let lazy = Family::<Counter>::closed;
        // What nobody may miss the first of.
        let at_zero = |metric| lazy(metric).begin_at_zero(&registrar);
        registrar.gauge_of_process(&metric::BUILD_INFO, env!("CARGO_PKG_VERSION")).set(1.0);
        Self {
            operations: Operations::new(max_operations),
            certainty: at_zero(&metric::CALL_CERTAINTY),
            in_flight: metric::CLASSES
                .iter()
                .map(|class| registrar.gauge(&metric::CALLS_IN_FLIGHT, &[class]))
                .collect(),
            cancelled: at_zero(&metric::CALLS_CANCELLED),
            retried: lazy(&metric::CALLS_RETRIED),
            attempt_duration: Family::closed(&metric::ATTEMPT_DURATION),
            retries: lazy(&metric::RETRIES),
            retries_stopped: lazy(&metric::RETRIES_STOPPED),
            unknown: at_zero(&metric::UNKNOWN),
            unknown_resolved: at_zero(&metric::UNKNOWN_RESOLVED),
            keys: at_zero(&metric::KEYS),
            key_errors: at_zero(&metric::KEY_ERRORS_TOTAL),
            replays: lazy(&metric::REPLAYS),
            rate_limited: at_zero(&metric::RATE_LIMITED),
            declines: Family::new(&metric::DECLINES, Word::MAX),
            errors: Family::new(&metric::ERRORS, Word::MAX),
            notices: registrar.counter(&metric::NOTICES, &[]),
            refused: lazy(&metric::REFUSED),
            governor_wait: Family::closed(&metric::GOVERNOR_WAIT),
            registrar,
        }
    }

    pub(super) const fn registrar(&self) -> &Registrar {
        &self.registrar
    }

    pub(super) fn call_began(&self, class: Class) {
        self.in_flight[class.index()].increment(1.0);
    }

    /// A call has ended, with this outcome.
    pub(super) fn call_ended(
        &self,
        operation: Operation,
        mode: Mode,
        outcome: Outcome,
        summary: &Summary,
        took: Duration,
    ) {
        let registrar = &self.registrar;
        let class = operation.class().index();
        let ending = Ending::of(outcome, summary.refusal.as_ref());
        self.in_flight[class].decrement(1.0);
        let series = self.operations.of(operation);
        series.calls(registrar, mode, outcome).increment(1);
        series.duration(registrar, ending).record(took.as_secs_f64());
        self.certainty.count(registrar, [class, summary.certainty.index()], 1);
        if summary.attempts > 1 {
            self.retried.count(registrar, [class, ending.index()], 1);
        }
        if let Some(limit) = summary.stopped.and_then(limit) {
            self.retries_stopped.count(registrar, [class, limit], 1);
        }
        if let Some(key) = &summary.key {
            self.keys.count(registrar, [class, usize::from(key.is_generated())], 1);
        }
        if outcome == Outcome::Cancelled {
            let phase = match summary.cut {
                Some(on_the_wire) => usize::from(on_the_wire),
                // Between two attempts, or before the first.
                None => 2 * usize::from(summary.attempts > 0),
            };
            self.cancelled.count(registrar, [phase], 1);
        }
    }

    pub(super) fn unknown(&self, class: Class, doubt: Option<Outcome>) {
        // Where no attempt of its own leaves it open, another call with the key does.
        let cause = doubt.map_or(Cause::InUse, Cause::of);
        self.unknown.count(&self.registrar, [class.index(), cause.index()], 1);
    }

    pub(super) fn resolved(&self, resolved: Resolved) {
        let Resolved { class, how, calls } = resolved;
        self.unknown_resolved.count(&self.registrar, [class.index(), how.index()], calls);
    }

    fn refusal(&self, operation: Operation, refusal: &Refusal) {
        self.refused.count(&self.registrar, [operation.class().index(), refusal.index()], 1);
        if let Some(error) = KeyError::of_refusal(refusal) {
            self.key_errors.count(&self.registrar, [error.index()], 1);
        }
    }

    fn word(&self, family: &Family<Counter>, word: Option<Word>) {
        let Some(Word { index, text }) = word else { return };
        let counter = family.at(usize::from(index), |metric| self.registrar.counter(metric, &[text]));
        counter.into_iter().for_each(|counter| counter.increment(1));
    }
}

impl Observer for Meter {
    fn attempt(&self, operation: Operation, attempt: &Attempt, before: Option<Outcome>) {
        let registrar = &self.registrar;
        let class = operation.class().index();
        if let (Outcome::Refused, Some(refusal)) = (attempt.outcome, &attempt.refusal) {
            self.refusal(operation, refusal);
        }
        if !attempt.on_the_wire() {
            return;
        }
        let ending = Ending::of(attempt.outcome, None);
        self.operations.of(operation).attempts(registrar, attempt.purpose, attempt.outcome).increment(1);
        self.attempt_duration.record(registrar, [class, ending.index()], attempt.took.as_secs_f64());
        if let Some(priority) = attempt.admitted_as() {
            self.governor_wait.record(registrar, [priority.index()], attempt.queued.as_secs_f64());
        }
        if attempt.purpose != Purpose::First {
            let reason = before.unwrap_or(Outcome::Cancelled);
            self.retries.count(registrar, [class, reason.index()], 1);
        }
        match attempt.outcome {
            Outcome::RateLimited(reason) => self.rate_limited.count(registrar, [reason.index()], 1),
            Outcome::LockTimeout => self.rate_limited.count(registrar, [LOCK_TIMEOUT], 1),
            _ => {}
        }
        if let Some(error) = KeyError::of_outcome(attempt.outcome) {
            self.key_errors.count(registrar, [error.index()], 1);
        }
        if attempt.replayed {
            self.replays.count(registrar, [class, ending.index()], 1);
        }
        self.word(&self.declines, attempt.words().decline);
        self.word(&self.errors, attempt.words().code);
    }

    fn refused(&self, operation: Operation, refusal: &Refusal) {
        self.refusal(operation, refusal);
    }

    fn noticed(&self, notice: &HeaderValue) {
        self.notices.increment(1);
        let notice = Notice::of(notice);
        tracing::warn!(target: "tower_stripe", %notice, "stripe has a notice");
    }
}

/// The series by operation. Nearly every process uses a few dozen of the 670, and registers only these.
struct Operations {
    series: Box<[OnceLock<Arc<Series>>]>,
    other: OnceLock<Arc<Series>>,
    /// How many more may have series of their own.
    room: AtomicUsize,
}

/// The series of one operation.
struct Series {
    name: &'static str,
    calls: Family<Counter>,
    durations: Family<Histogram>,
    attempts: Family<Counter>,
}

impl Operations {
    fn new(max: usize) -> Self {
        let series = (0..Operation::COUNT).map(|_| OnceLock::new()).collect();
        Self { series, other: OnceLock::new(), room: AtomicUsize::new(max) }
    }

    fn of(&self, operation: Operation) -> &Series {
        self.series[operation.index()].get_or_init(|| {
            let fits = |room: usize| room.checked_sub(1);
            let name = operation.name();
            if name != OTHER && self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok() {
                Arc::new(Series::new(name))
            } else {
                Arc::clone(self.other.get_or_init(|| Arc::new(Series::new(OTHER))))
            }
        })
    }
}

/// The name of what the table does not list, and of what comes after the last operation that has room.
const OTHER: &str = "other";

impl Series {
    fn new(name: &'static str) -> Self {
        let (modes, outcomes, purposes) =
            (metric::MODES.len(), metric::OUTCOMES.len(), metric::PURPOSES.len());
        Self {
            name,
            calls: Family::new(&metric::CALLS, modes * outcomes),
            durations: Family::new(&metric::CALL_DURATION, metric::RESULTS.len()),
            attempts: Family::new(&metric::ATTEMPTS, purposes * outcomes),
        }
    }

    fn calls(&self, registrar: &Registrar, mode: Mode, outcome: Outcome) -> &Counter {
        let place = mode.index() * metric::OUTCOMES.len() + outcome.index();
        let labels = [self.name, mode.as_str(), outcome.as_str()];
        self.calls
            .at(place, |metric| registrar.counter(metric, &labels))
            .expect("it has room for all combinations")
    }

    fn duration(&self, registrar: &Registrar, ending: Ending) -> &Histogram {
        let labels = [self.name, metric::RESULTS[ending.index()]];
        let series = self.durations.at(ending.index(), |metric| registrar.histogram(metric, &labels));
        series.expect("it has room for all endings")
    }

    fn attempts(&self, registrar: &Registrar, purpose: Purpose, outcome: Outcome) -> &Counter {
        let place = purpose.index() * metric::OUTCOMES.len() + outcome.index();
        let labels = [self.name, purpose.as_str(), outcome.as_str()];
        self.attempts
            .at(place, |metric| registrar.counter(metric, &labels))
            .expect("it has room for all combinations")
    }
}

/// Whether what ended like this leaves a question that somebody must answer.
pub(super) fn leaves_a_question(summary: &Summary) -> bool {
    summary.certainty == Certainty::Unknown && !summary.kind.is_some_and(|kind| kind.harmless())
}
