//! Where handles of metrics come from: the recorder of the process, or one of the user's own.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use metrics::{
    Counter, Gauge, Histogram, Key, Label as KeyLabel, Level, Metadata, Recorder, SharedString, Unit,
};

use crate::vocab::metric::{ALL, Metric, MetricKind, MetricUnit, TRANSPORT};

const METADATA: Metadata<'static> =
    Metadata::new("tower_stripe", Level::INFO, Some("tower_stripe::telemetry"));

/// Makes the handles of one transport's metrics.
#[derive(Clone)]
pub(super) struct Registrar {
    recorder: Option<Arc<dyn Recorder + Send + Sync>>,
    transport: SharedString,
}

impl Registrar {
    pub(super) fn new(recorder: Option<Arc<dyn Recorder + Send + Sync>>, transport: &str) -> Self {
        let registrar = Self { recorder, transport: SharedString::from_owned(transport.into()) };
        registrar.describe();
        registrar
    }

    pub(super) fn counter(&self, metric: &'static Metric, labels: &[&'static str]) -> Counter {
        self.with(|recorder| recorder.register_counter(&self.key(metric, labels), &METADATA))
    }

    pub(super) fn gauge(&self, metric: &'static Metric, labels: &[&'static str]) -> Gauge {
        self.with(|recorder| recorder.register_gauge(&self.key(metric, labels), &METADATA))
    }

    pub(super) fn histogram(&self, metric: &'static Metric, labels: &[&'static str]) -> Histogram {
        self.with(|recorder| recorder.register_histogram(&self.key(metric, labels), &METADATA))
    }

    /// A gauge of the process, which no transport's name belongs to.
    pub(super) fn gauge_of_process(&self, metric: &'static Metric, value: &'static str) -> Gauge {
        let label = KeyLabel::from_static_parts(metric.labels[0].name, value);
        let key = Key::from_parts(metric.name, vec![label]);
        self.with(|recorder| recorder.register_gauge(&key, &METADATA))
    }

    fn key(&self, metric: &'static Metric, values: &[&'static str]) -> Key {
        debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
        let transport = KeyLabel::new(TRANSPORT, self.transport.clone());
        let labels = metric.labels.iter().zip(values);
        let labels = labels.map(|(label, value)| KeyLabel::from_static_parts(label.name, value));
        Key::from_parts(metric.name, std::iter::once(transport).chain(labels).collect::<Vec<_>>())
    }

    fn describe(&self) {
        self.with(|recorder| {
            for metric in ALL {
                let unit = match metric.unit {
                    MetricUnit::Seconds => Some(Unit::Seconds),
                    MetricUnit::Count => Some(Unit::Count),
                    MetricUnit::Ratio | MetricUnit::PerSecond => None,
                };
                let (name, help) = (metric.name.into(), metric.help.into());
                match metric.kind {
                    MetricKind::Counter => recorder.describe_counter(name, unit, help),
                    MetricKind::Gauge => recorder.describe_gauge(name, unit, help),
                    MetricKind::Histogram(_) => recorder.describe_histogram(name, unit, help),
                }
            }
        });
    }

    fn with<R>(&self, f: impl FnOnce(&dyn Recorder) -> R) -> R {
        match &self.recorder {
            Some(recorder) => f(&**recorder),
            None => metrics::with_recorder(f),
        }
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrar").field("transport", &self.transport).finish_non_exhaustive()
    }
}

/// The series of a metric, each registered when it is first needed and found by its place from then on.
pub(super) struct Family<H> {
    metric: &'static Metric,
    cells: Box<[OnceLock<H>]>,
}

impl<H> Family<H> {
    /// Room for so many series.
    pub(super) fn new(metric: &'static Metric, series: usize) -> Self {
        Self { metric, cells: (0..series).map(|_| OnceLock::new()).collect() }
    }

    /// One series for each combination of the labels' values.
    pub(super) fn closed(metric: &'static Metric) -> Self {
        Self::new(metric, metric.labels.iter().map(|label| label.values.len()).product())
    }

    /// The series at this place.
    pub(super) fn at(&self, place: usize, register: impl FnOnce(&'static Metric) -> H) -> Option<&H> {
        self.cells.get(place).map(|cell| cell.get_or_init(|| register(self.metric)))
    }
}

impl Family<Counter> {
    /// The series with these values of the labels, by their places.
    pub(super) fn count<const N: usize>(&self, registrar: &Registrar, places: [usize; N], by: u64) {
        let counter =
            self.at(place(self.metric, places), |metric| registrar.counter(metric, &values(metric, places)));
        counter.into_iter().for_each(|counter| counter.increment(by));
    }

    /// Registers all series, so that the first event of each can be seen to be one: a counter that appears as 1 has not
    /// increased.
    pub(super) fn begin_at_zero(self, registrar: &Registrar) -> Self {
        for place in 0..self.cells.len() {
            self.at(place, |metric| registrar.counter(metric, &values_at(metric, place)));
        }
        self
    }
}

impl Family<Histogram> {
    pub(super) fn record<const N: usize>(&self, registrar: &Registrar, places: [usize; N], seconds: f64) {
        let series = self
            .at(place(self.metric, places), |metric| registrar.histogram(metric, &values(metric, places)));
        series.into_iter().for_each(|histogram| histogram.record(seconds));
    }
}

/// The place of a combination of values: those of the first label count most.
const fn place<const N: usize>(metric: &Metric, places: [usize; N]) -> usize {
    let (mut place, mut label) = (0, 0);
    while label < N {
        place = place * metric.labels[label].values.len() + places[label];
        label += 1;
    }
    place
}

fn values<const N: usize>(metric: &Metric, places: [usize; N]) -> [&'static str; N] {
    std::array::from_fn(|label| metric.labels[label].values[places[label]])
}

/// The other way round: which values are at a place.
fn values_at(metric: &Metric, mut place: usize) -> Vec<&'static str> {
    let mut values = Vec::new();
    for label in metric.labels.iter().rev() {
        values.push(label.values[place % label.values.len()]);
        place /= label.values.len();
    }
    values.reverse();
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::metric;

    #[test]
    fn each_combination_of_values_has_a_place_of_its_own() {
        for metric in metric::ALL {
            let [first, second] = metric.labels else { continue };
            if first.values.is_empty() || second.values.is_empty() {
                continue;
            }
            let mut expected = 0;
            for (i, a) in first.values.iter().enumerate() {
                for (j, b) in second.values.iter().enumerate() {
                    let at = place(metric, [i, j]);
                    assert_eq!(at, expected, "{}", metric.name);
                    assert_eq!(values(metric, [i, j]), [*a, *b]);
                    assert_eq!(values_at(metric, at), [*a, *b]);
                    expected += 1;
                }
            }
        }
    }
}
