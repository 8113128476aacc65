//! What can be read off at a glance, and need not be counted call by call.

use super::metric::Metric;

/// Has values that are read when somebody looks, as the states of circuits and the length of a queue.
///
/// What is read only then costs nothing in between. `telemetry` asks its sources whenever the metrics are scraped. One
/// of your own can only pass on what those of this crate say: nobody else writes its metrics, or labels that are not in
/// the contract.
pub trait Source: Send + Sync {
    /// Says how things stand.
    fn sample(&self, sample: &mut Sample<'_>);
}

/// Takes in what a [`Source`] says.
pub struct Sample<'a>(&'a mut dyn FnMut(&'static Metric, &[&'static str], Value));

/// What is said of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Gauge(f64),
    /// How many there were since the process began.
    Total(u64),
}

impl<'a> Sample<'a> {
    #[cfg(feature = "telemetry")]
    pub(crate) fn new(take: &'a mut dyn FnMut(&'static Metric, &[&'static str], Value)) -> Self {
        Self(take)
    }
}

impl Sample<'_> {
    /// The present value of a gauge. The labels' values are in the order of the metric's labels.
    pub(crate) fn gauge(&mut self, metric: &'static Metric, labels: &[&'static str], value: f64) {
        (self.0)(metric, labels, Value::Gauge(value));
    }

    /// How many there have been up to now.
    pub(crate) fn total(&mut self, metric: &'static Metric, labels: &[&'static str], value: u64) {
        (self.0)(metric, labels, Value::Total(value));
    }
}

impl std::fmt::Debug for Sample<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sample")
    }
}
