//! What was counted, and whether it adds up.

#![expect(clippy::disallowed_types, reason = "the lock of the library is its own")]

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tower_stripe::{
    telemetry::{TelemetryBuilder, TelemetryConfig, TelemetryHandle},
    vocab::{Operation, metric},
};

/// A series: the name of its metric, and its labels but for that of the transport.
type Series = (String, BTreeMap<String, String>);

/// A recorder of one transport, or of several, that can be read.
#[derive(Clone, Default)]
pub(crate) struct Meters(Arc<Inner>);

#[derive(Default)]
struct Inner {
    series: Mutex<BTreeMap<Series, Arc<Value>>>,
    /// How often a series was asked for.
    registrations: AtomicU64,
    /// How many requests came to the client of the transport.
    sent: AtomicU64,
    /// Those of them that are no attempts of a call: the stack's own GETs.
    own: AtomicU64,
}

/// A number, whole or not.
#[derive(Default)]
struct Value {
    number: AtomicU64,
    real: Mutex<f64>,
    /// Of a histogram: what was recorded, all together.
    recorded: Mutex<f64>,
}

impl Meters {
    /// Has a transport write here.
    pub(crate) fn telemetry(&self) -> TelemetryBuilder {
        TelemetryConfig::builder().recorder(Arc::new(Final(self.clone())))
    }

    /// A request came to the client.
    pub(crate) fn sent(&self, path: &str) {
        let of = if path == "/v1/" { &self.0.own } else { &self.0.sent };
        of.fetch_add(1, Relaxed);
    }

    /// The sum of all series of a metric that have these labels; of a histogram, how many values there are.
    pub(crate) fn sum(&self, metric: &metric::Metric, labels: &[(&str, &str)]) -> f64 {
        self.of(metric, labels, Value::read)
    }

    fn of(&self, metric: &metric::Metric, labels: &[(&str, &str)], read: impl Fn(&Value) -> f64) -> f64 {
        let series = self.0.series.lock().expect("nobody panics with it");
        let fits = |series: &Series| {
            series.0 == metric.name
                && labels.iter().all(|(name, value)| series.1.get(*name).map(String::as_str) == Some(*value))
        };
        series.iter().filter(|(series, _)| fits(series)).map(|(_, value)| read(value)).sum()
    }

    /// The sum of what was recorded in the histograms of a metric that have these labels.
    pub(crate) fn seconds(&self, metric: &metric::Metric, labels: &[(&str, &str)]) -> f64 {
        self.of(metric, labels, |value| *value.recorded.lock().expect("nobody panics with it"))
    }

    /// How many series there are.
    pub(crate) fn len(&self) -> usize {
        self.0.series.lock().expect("nobody panics with it").len()
    }

    /// How often series were asked for.
    pub(crate) fn registrations(&self) -> u64 {
        self.0.registrations.load(Relaxed)
    }

    /// All that was written, as text.
    pub(crate) fn text(&self) -> String {
        let series = self.0.series.lock().expect("nobody panics with it");
        series.iter().map(|((name, labels), value)| format!("{name}{labels:?} {}\n", value.read())).collect()
    }

    /// That every label is one of those that the contract allows.
    pub(crate) fn assert_labels(&self) {
        let series = self.0.series.lock().expect("nobody panics with it");
        for (name, labels) in series.keys() {
            let metric =
                metric::ALL.iter().find(|metric| metric.name == name).expect("a metric of the contract");
            let names: Vec<_> = metric.labels.iter().map(|label| label.name).collect();
            assert!(labels.keys().all(|label| names.contains(&label.as_str())), "{name} {labels:?}");
            assert_eq!(labels.len(), names.len(), "{name} {labels:?}");
            for label in metric.labels {
                let value = labels[label.name].as_str();
                let known = match label.name {
                    "operation" => value == "other" || Operation::new(value).is_some(),
                    // Those of Stripe: words of a table, of which none holds a digit as an id does.
                    "code" => value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                    "version" => value == env!("CARGO_PKG_VERSION"),
                    _ => label.values.contains(&value),
                };
                assert!(known, "{name} {} = {value}", label.name);
            }
        }
    }

    /// That what was counted here and there is the same, at a time when no call is under way.
    pub(crate) fn assert_they_add_up(&self) {
        let all = |metric| self.sum(metric, &[]);
        let of = |metric, label, value| self.sum(metric, &[(label, value)]);
        let calls = all(&metric::CALLS);
        assert_eq!(all(&metric::CALLS_IN_FLIGHT), 0.0, "calls in flight");
        assert_eq!(calls, all(&metric::CALL_CERTAINTY), "calls, by certainty");
        assert_eq!(calls, all(&metric::CALL_DURATION), "calls, by duration");
        assert_eq!(
            of(&metric::CALLS, "outcome", "cancelled"),
            all(&metric::CALLS_CANCELLED),
            "cancelled calls"
        );
        assert!(all(&metric::KEYS) <= calls);

        let attempts = all(&metric::ATTEMPTS);
        assert_eq!(attempts, all(&metric::ATTEMPT_DURATION), "attempts, by duration");
        assert_eq!(
            attempts,
            self.0.sent.load(Relaxed) as f64,
            "attempts, and requests that came to the client"
        );
        let first = of(&metric::ATTEMPTS, "purpose", "first");
        assert_eq!(attempts - first, all(&metric::RETRIES), "retries");
        assert!(first <= calls, "no call has two first attempts");
        let limited = of(&metric::ATTEMPTS, "outcome", "rate_limited")
            + of(&metric::ATTEMPTS, "outcome", "lock_timeout");
        assert_eq!(limited, all(&metric::RATE_LIMITED), "429s");
        assert!(all(&metric::GOVERNOR_WAIT) <= attempts);

        let unknown = all(&metric::UNKNOWN);
        assert_eq!(unknown - all(&metric::UNKNOWN_RESOLVED), all(&metric::UNKNOWN_PENDING), "unknown calls");
        assert!(
            unknown <= of(&metric::CALL_CERTAINTY, "certainty", "unknown"),
            "unknown calls, by certainty"
        );
        assert_eq!(
            all(&metric::UNKNOWN_PENDING) == 0.0,
            all(&metric::UNKNOWN_OLDEST) == 0.0 && unknown == all(&metric::UNKNOWN_RESOLVED)
        );

        let circuits = of(&metric::BREAKER_STATE, "state", "closed")
            + of(&metric::BREAKER_STATE, "state", "open")
            + of(&metric::BREAKER_STATE, "state", "half_open");
        assert!(circuits <= all(&metric::BREAKER_STATE));
        self.assert_one_state_each();
        self.assert_labels();
    }

    /// Every circuit is in one state.
    fn assert_one_state_each(&self) {
        for circuit in metric::BREAKER_STATE.labels[0].values {
            let sum = of_circuit(self, circuit);
            assert!(
                sum == 1.0 || sum == 0.0 && !self.text().contains(&format!("\"circuit\": \"{circuit}\"")),
                "{circuit}"
            );
        }
    }
}

fn of_circuit(meters: &Meters, circuit: &str) -> f64 {
    meters.sum(&metric::BREAKER_STATE, &[("circuit", circuit)])
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters")
    }
}

impl Value {
    fn read(&self) -> f64 {
        self.number.load(Relaxed) as f64 + *self.real.lock().expect("nobody panics with it")
    }
}

impl CounterFn for Value {
    fn increment(&self, by: u64) {
        self.number.fetch_add(by, Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.number.fetch_max(value, Relaxed);
    }
}

impl GaugeFn for Value {
    fn increment(&self, by: f64) {
        *self.real.lock().expect("nobody panics with it") += by;
    }

    fn decrement(&self, by: f64) {
        *self.real.lock().expect("nobody panics with it") -= by;
    }

    fn set(&self, value: f64) {
        *self.real.lock().expect("nobody panics with it") = value;
    }
}

/// How many, and their sum.
impl HistogramFn for Value {
    fn record(&self, value: f64) {
        self.number.fetch_add(1, Relaxed);
        *self.recorded.lock().expect("nobody panics with it") += value;
    }
}

impl Meters {
    fn value(&self, key: &Key) -> Arc<Value> {
        self.0.registrations.fetch_add(1, Relaxed);
        let labels = key.labels().filter(|label| label.key() != metric::TRANSPORT);
        let labels = labels.map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
        let mut series = self.0.series.lock().expect("nobody panics with it");
        Arc::clone(series.entry((key.name().to_owned(), labels)).or_default())
    }
}

impl Recorder for Final {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.0.value(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.0.value(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.0.value(key))
    }
}

/// Checks, when the last client of a transport is gone, that everything adds up. Where it went with a call that was
/// dropped half way, that one has not ended yet.
#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) meters: Meters,
    pub(crate) telemetry: TelemetryHandle,
}

impl Drop for Audit {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.meters.sum(&metric::CALLS_IN_FLIGHT, &[]) == 0.0 {
            self.telemetry.sample();
            self.meters.assert_they_add_up();
        }
    }
}

/// A recorder that is gone when the last call is.
struct Final(Meters);

impl Drop for Final {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.0.sum(&metric::CALLS_IN_FLIGHT, &[]), 0.0, "calls in flight at the end");
        }
    }
}
