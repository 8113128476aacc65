//! What all clones of a telemetry service share.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue, Request, header::AUTHORIZATION};
use metrics::{NoopRecorder, Recorder};

use super::{
    TelemetryConfig,
    handle::PendingCall,
    meter::{Meter, leaves_a_question},
    pending::{How, Pending, Resolved, Subject},
    registrar::Registrar,
};
use crate::vocab::{
    IdempotencyKey, Mode, Operation, Outcome, Sample, Source, Value, metric, report::Summary, sync::Lock,
    time,
};

/// So many unknown calls are remembered. Whoever has more has a problem that another one does not make worse.
const CAPACITY: usize = 4_096;

/// Whose account it is about, besides the API key's.
const ACCOUNTS: [HeaderName; 2] =
    [HeaderName::from_static("stripe-account"), HeaderName::from_static("stripe-context")];

pub(super) struct Shared {
    pub(super) config: TelemetryConfig,
    pub(super) meter: Arc<Meter>,
    hasher: RandomState,
    pending: Lock<Pending>,
    /// How many unknown calls had no key.
    unkeyed: AtomicU64,
    /// Whether anything is pending: while nothing is, nobody takes the lock.
    any: AtomicBool,
    sources: Lock<Vec<Arc<dyn Source>>>,
}

impl Shared {
    pub(super) fn new(config: TelemetryConfig) -> Self {
        // Turned off, it writes nothing, and not even zeros over what another transport of the same name counts.
        let nobody = || Some(Arc::new(NoopRecorder) as Arc<dyn Recorder + Send + Sync>);
        let recorder = if config.enabled { config.recorder.clone() } else { nobody() };
        let registrar = Registrar::new(recorder, &config.transport);
        Self {
            meter: Arc::new(Meter::new(registrar, config.max_operations.get())),
            config,
            hasher: RandomState::new(),
            pending: Lock::new(Pending::new(CAPACITY)),
            unkeyed: AtomicU64::new(0),
            any: AtomicBool::new(false),
            sources: Lock::new(Vec::new()),
        }
    }

    pub(super) fn watch(&self, source: Arc<dyn Source>) {
        self.sources.with(|sources| sources.push(source));
    }

    /// For whom a request is made, and where it goes, so that its key is not taken for that of another account, or of
    /// another request: Stripe binds a key to all of it.
    pub(super) fn place<B>(&self, request: &Request<B>) -> u64 {
        let headers = request.headers();
        let value = |name| headers.get(name).map(HeaderValue::as_bytes);
        let whose = (value(AUTHORIZATION), ACCOUNTS.map(value));
        self.hasher.hash_one((whose, request.method(), request.uri().path()))
    }

    fn key(&self, key: &IdempotencyKey) -> u64 {
        self.hasher.hash_one(key.as_str())
    }

    /// A call has ended.
    pub(super) fn ended(
        &self,
        operation: Operation,
        (mode, place): (Mode, u64),
        outcome: Outcome,
        summary: &Summary,
        took: Duration,
    ) {
        self.meter.call_ended(operation, mode, outcome, summary, took);
        let unknown = leaves_a_question(summary);
        if !unknown && (summary.bound.is_none() || !self.any.load(Ordering::Acquire)) {
            return;
        }
        let subject = |key| Subject { place, key };
        let known = summary.key.as_ref().map(|key| subject(self.key(key)));
        if unknown {
            self.meter.unknown(operation.class(), summary.doubt);
            // Without a key no later call can tell: it is on its own, whatever others do.
            let subject = known.unwrap_or_else(|| {
                subject(self.hasher.hash_one(self.unkeyed.fetch_add(1, Ordering::Relaxed)))
            });
            let displaced = self.change(|pending| pending.add(subject, operation, time::now()));
            displaced.into_iter().for_each(|resolved| self.meter.resolved(resolved));
        } else if let (Some(subject), Some(bound)) = (known, summary.bound) {
            let resolved = self.change(|pending| pending.resolve(subject, How::by(bound), time::now()));
            resolved.into_iter().for_each(|resolved| self.meter.resolved(resolved));
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut Pending) -> R) -> R {
        self.pending.with(|pending| {
            let result = change(pending);
            self.any.store(!pending.is_empty(), Ordering::Release);
            result
        })
    }

    /// Somebody knows what became of the calls with this key, or of all.
    pub(super) fn told(&self, key: Option<&IdempotencyKey>) -> u64 {
        let key = key.map(|key| self.key(key));
        let resolved = self.change(|pending| pending.resolve_all(key, How::Told));
        resolved.iter().for_each(|resolved| self.meter.resolved(*resolved));
        resolved.iter().map(|resolved| resolved.calls).sum()
    }

    pub(super) fn pending(&self) -> Vec<PendingCall> {
        let now = time::now();
        let (expired, entries) = self.change(|pending| (pending.expire(now), pending.entries()));
        expired.into_iter().for_each(|resolved| self.meter.resolved(resolved));
        entries.into_iter().map(|entry| PendingCall::new(entry, now)).collect()
    }

    /// Brings the gauges up to date.
    pub(super) fn sample(&self) {
        let now = time::now();
        self.sample_pending(now);
        let registrar = self.meter.registrar();
        let sources = self.sources.with(|sources| sources.clone());
        let mut take = |metric, labels: &[&'static str], value| match value {
            Value::Gauge(value) => registrar.gauge(metric, labels).set(value),
            Value::Total(value) => registrar.counter(metric, labels).absolute(value),
        };
        let mut sample = Sample::new(&mut take);
        sources.iter().for_each(|source| source.sample(&mut sample));
    }

    fn sample_pending(&self, now: Instant) {
        let (expired, calls, oldest): (Vec<Resolved>, _, _) =
            self.change(|pending| (pending.expire(now), pending.calls(), pending.oldest()));
        expired.into_iter().for_each(|resolved| self.meter.resolved(resolved));
        let registrar = self.meter.registrar();
        for (class, calls) in metric::CLASSES.iter().zip(calls) {
            registrar.gauge(&metric::UNKNOWN_PENDING, &[class]).set(calls as f64);
        }
        let age = oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        registrar.gauge(&metric::UNKNOWN_OLDEST, &[]).set(age.as_secs_f64());
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}
