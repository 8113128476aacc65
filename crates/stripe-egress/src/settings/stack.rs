//! The part of the file that is about the stack: its keys are the names of the builder's methods.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tower_stripe::{
    Operation,
    auth_gate::AuthGateConfig,
    breaker::{BreakerConfig, Control},
    classify::ClassifyConfig,
    credentials::{Environment, KeyFile},
    governor::{Bucket, GovernorConfig, Limit},
    idempotency::{GuardConfig, IdempotencyConfig},
    retry::RetryConfig,
    transport::Builder,
    vocab::Mode,
};

use super::{Governor, fields::Fields};

/// A limit that was set: its name in the file, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitSet {
    pub(crate) name: Arc<str>,
    pub(crate) bucket: Bucket,
    pub(crate) limit: Limit,
}

/// `set!(builder, fields.time: base_delay, max_delay)`: calls the methods of these names, as far as they are given.
macro_rules! set {
    ($builder:ident, $fields:ident.$read:ident: $($name:ident),*) => {$(
        if let Some(value) = $fields.$read(stringify!($name)) {
            $builder = $builder.$name(value);
        }
    )*};
}

pub(super) fn read(fields: &mut Fields<'_>) -> (Builder, Governor) {
    let builder = default();
    let builder = idempotency(builder, fields.table("idempotency"));
    let builder = retry(builder, fields.table("retry"));
    let builder = credentials(builder, fields.table("credentials"));
    let builder = auth_gate(builder, fields.table("auth_gate"));
    let builder = breaker(builder, fields.table("breaker"));
    governor(builder, fields.table("governor"))
}

pub(super) fn timeouts(
    mut builder: Builder,
    attempt: Option<Duration>,
    deadline: Option<Duration>,
) -> Builder {
    if let Some(limit) = attempt {
        builder = builder.attempt_timeout(limit);
    }
    if let Some(limit) = deadline {
        builder = builder.deadline(limit);
    }
    builder
}

/// The answer to a payment that breaks off half-way is fetched again here: an SDK above would only know that it is broken.
const BUFFER: usize = 64 * 1024;

pub(super) fn responses(builder: Builder, fields: &mut Fields<'_>) -> Builder {
    let buffer = fields.count("buffer").map_or(BUFFER, |bytes| bytes as usize);
    builder.classify(ClassifyConfig::builder().buffer(buffer))
}

/// What the file does not have to say.
pub(super) fn default() -> Builder {
    Builder::default().classify(ClassifyConfig::builder().buffer(BUFFER))
}

fn idempotency(builder: Builder, mut fields: Fields<'_>) -> Builder {
    let mut layer = IdempotencyConfig::builder();
    if let Some(prefix) = fields.text("prefix") {
        layer = layer.prefix(&prefix);
    }
    set!(layer, fields.flag: require_explicit_key);
    if fields.flag("guard") == Some(true) {
        layer = layer.guard(GuardConfig::default());
    }
    fields.end();
    builder.idempotency(layer)
}

fn retry(builder: Builder, mut fields: Fields<'_>) -> Builder {
    let mut layer = RetryConfig::builder();
    set!(layer, fields.some: max_attempts);
    set!(layer, fields.time: base_delay, max_delay, limiter_base_delay, limiter_max_delay, max_retry_after, min_attempt);
    fields.end();
    builder.retry(layer)
}

/// The API key that the sidecar holds: from one place.
fn credentials(mut builder: Builder, mut fields: Fields<'_>) -> Builder {
    let (file, env) = (fields.text("file"), fields.text("env"));
    let (account, look_every) = (fields.text("account"), fields.time("look_every"));
    let modes = [Mode::Live, Mode::Sandbox];
    let mode = fields.read("expect_mode", "live or sandbox", |value| {
        modes.into_iter().find(|mode| Some(mode.as_str()) == value.as_str())
    });
    if let Some(mode) = mode {
        builder = builder.expect_mode(mode);
    }
    match (&file, &env) {
        (Some(path), None) => {
            let mut provider = KeyFile::new(path);
            if let Some(interval) = look_every {
                provider = provider.look_every(interval);
            }
            if let Some(account) = &account {
                provider = provider.of_account(account);
            }
            builder = builder.credentials(provider);
        }
        (None, Some(name)) => {
            let mut provider = Environment::new(name);
            if let Some(account) = &account {
                provider = provider.of_account(account);
            }
            builder = builder.credentials(provider);
        }
        (Some(_), Some(_)) => {
            fields.problem(
                "credentials.file and credentials.env must not both be set: the key is in one place".into(),
            );
        }
        (None, None) if account.is_some() || look_every.is_some() => {
            fields.problem(
                "credentials must say where the key is: in a file, or in the environment (env)".into(),
            );
        }
        (None, None) => {}
    }
    if look_every.is_some() && file.is_none() && env.is_some() {
        fields.problem("credentials.look_every is for a file; the environment does not change".into());
    }
    fields.end();
    builder
}

fn auth_gate(builder: Builder, mut fields: Fields<'_>) -> Builder {
    let mut layer = AuthGateConfig::builder();
    set!(layer, fields.flag: enabled);
    set!(layer, fields.some: rejections);
    set!(layer, fields.time: probe_interval);
    fields.end();
    builder.auth_gate(layer)
}

fn breaker(builder: Builder, mut fields: Fields<'_>) -> Builder {
    let mut layer = BreakerConfig::builder();
    if fields.flag("enabled") == Some(false) {
        layer = layer.control(Control::Disabled);
    }
    set!(layer, fields.time: window, abandoned_after, base_interval, max_interval, probe_lease, ramp, probe_grace, money_grace);
    set!(layer, fields.count: min_calls, consecutive_failures, probe_successes);
    set!(layer, fields.ratio: failure_ratio);
    set!(layer, fields.flag: synthetic_probes, local);
    fields.end();
    builder.breaker(layer)
}

fn governor(builder: Builder, mut fields: Fields<'_>) -> (Builder, Governor) {
    let mut layer = GovernorConfig::builder();
    set!(layer, fields.flag: enabled, serialize_objects);
    set!(layer, fields.ratio: share, reserve);
    set!(layer, fields.count: max_in_flight, max_queue);
    let replicas = fields.some("replicas").unwrap_or(NonZeroU32::MIN);
    layer = layer.replicas(replicas);
    let mut limits = Vec::new();
    fields.tables("limits", |name, fields| limits.extend(limit(name, fields)));
    for set in &limits {
        layer = layer.limit(set.bucket, set.limit);
    }
    fields.end();
    (builder.governor(layer), Governor { replicas, limits })
}

/// A limit under the name of a bucket, or of an operation.
fn limit(name: &str, mut fields: Fields<'_>) -> Option<LimitSet> {
    let rate = fields.some("per_second");
    let mut limit = rate.map_or(Limit::UNLIMITED, Limit::per_second);
    set!(limit, fields.count: burst, in_flight);
    let named = BUCKETS.iter().copied().find(|bucket| bucket.to_string() == name);
    let bucket = named.or_else(|| Operation::new(name).map(Bucket::Operation));
    if bucket.is_none() {
        let known: Vec<_> = BUCKETS.iter().map(ToString::to_string).collect();
        let problem = format!(
            "governor.limits.{name} is not known; it must be one of {}, or the name of an operation, as \
             payment_intents.create, in quotes",
            known.join(", ")
        );
        fields.problem(problem);
    }
    fields.end();
    bucket.map(|bucket| LimitSet { name: name.into(), bucket, limit })
}

const BUCKETS: [Bucket; 10] = [
    Bucket::Global,
    Bucket::EachOperation,
    Bucket::Search,
    Bucket::FilesRead,
    Bucket::FilesWrite,
    Bucket::PayoutsCreate,
    Bucket::AccountsCreate,
    Bucket::MeterEvents,
    Bucket::MeterEventsV2,
    Bucket::MeterEventStream,
];
