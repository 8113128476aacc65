//! The metrics of the stack: their names, labels, units and meanings. This file is the contract.
//!
//! # What
//! Every metric that this crate writes stands in [`ALL`], and every label can only take one of the values that stand
//! here with it, an [operation](crate::Operation)'s name, or one of Stripe's codes that this version knows. Dashboards
//! and alert rules are built on these names: one that is published is renamed or removed only with a new major version.
//!
//! # Why
//! A label that can hold an id, a message or a raw code of somebody else's grows without bound, and may hold a secret. A
//! metric that is written in one place and described in another drifts.
//!
//! # When not
//! These count *this process*. What an account did all in all, Stripe's own dashboard knows.
//!
//! `docs/metrics.md` has them as a table.

/// A metric.
#[derive(Debug)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, as in `/metrics`.
    pub name: &'static str,
    /// What can be done with its value.
    pub kind: MetricKind,
    /// What its value counts.
    pub unit: MetricUnit,
    /// Its labels, besides `transport`, which every metric of a transport has.
    pub labels: &'static [MetricLabel],
    /// What it says, in one sentence.
    pub help: &'static str,
}

/// What can be done with the value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows: ask for its rate.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Sorts values into these buckets, by their upper bounds.
    Histogram(&'static [f64]),
}

impl MetricKind {
    /// The word in `/metrics`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What the value of a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricUnit {
    /// Things.
    Count,
    /// Seconds.
    Seconds,
    /// A share, from 0 to 1.
    Ratio,
    /// Calls a second.
    PerSecond,
}

impl MetricUnit {
    /// The word for a table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Seconds => "seconds",
            Self::Ratio => "ratio",
            Self::PerSecond => "calls per second",
        }
    }
}

/// A label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricLabel {
    /// Its name.
    pub name: &'static str,
    /// What it can be; empty where that is a table of its own: operations, and Stripe's codes.
    pub values: &'static [&'static str],
}

impl MetricLabel {
    const fn new(name: &'static str, values: &'static [&'static str]) -> Self {
        Self { name, values }
    }
}

/// The name of the label that tells the transports of a process apart.
pub const TRANSPORT: &str = "transport";

// === what labels can be; the order is that of the types in the vocabulary ===

pub(crate) const OUTCOMES: [&str; 29] = [
    "success",
    "foreign",
    "redirect",
    "invalid_request",
    "key_mismatch",
    "unauthorized",
    "declined",
    "forbidden",
    "not_found",
    "interrupted",
    "conflict",
    "key_in_use",
    "rate_limited",
    "lock_timeout",
    "server_error",
    "refused",
    "cancelled",
    "connect",
    "dns",
    "tcp",
    "tls",
    "connect_timeout",
    "canceled",
    "stream_refused",
    "timeout",
    "reset",
    "body",
    "protocol",
    "other",
];
pub(crate) const RESULTS: [&str; 9] =
    ["success", "rejected", "limited", "failed", "timeout", "transport", "refused", "invalid", "cancelled"];
pub(crate) const CERTAINTIES: [&str; 4] = ["not_sent", "rejected", "executed", "unknown"];
pub(crate) const CLASSES: [&str; 6] = ["money", "write", "read", "search", "upload", "meter"];
pub(crate) const MODES: [&str; 2] = ["live", "sandbox"];
pub(crate) const PRIORITIES: [&str; 3] = ["background", "normal", "critical"];
pub(crate) const PURPOSES: [&str; 5] = ["first", "retry", "poll", "resend", "rotated"];
pub(crate) const LIMITS: [&str; 8] =
    ["attempts", "deadline", "budget", "key_age", "body", "header", "unkeyed", "retry_after"];
pub(crate) const CAUSES: [&str; 5] = ["timeout", "transport", "failed", "in_use", "cancelled"];
pub(crate) const RESOLUTIONS: [&str; 5] = ["executed", "rejected", "told", "expired", "displaced"];
pub(crate) const KEY_SOURCES: [&str; 2] = ["caller", "generated"];
pub(crate) const KEY_ERRORS: [&str; 6] =
    ["mismatch_local", "mismatch_remote", "in_use", "too_old", "conflicting", "invalid"];
pub(crate) const REASONS: [&str; 8] = [
    "global_rate",
    "global_concurrency",
    "endpoint_rate",
    "endpoint_concurrency",
    "resource_specific",
    "other",
    "unstated",
    "lock_timeout",
];
pub(crate) const REFUSALS: [&str; 20] = [
    "invalid_key",
    "conflicting_keys",
    "key_too_old",
    "explicit_key_required",
    "key_birth_unknown",
    "key_reused",
    "deadline_exceeded",
    "host_not_allowed",
    "plain_http",
    "no_randomness",
    "circuit_open",
    "auth_blocked",
    "saturated",
    "wait_too_long",
    "object_cooling",
    "shutting_down",
    "call_ended",
    "report_reused",
    "invalid_uri",
    "wrong_mode",
];
pub(crate) const PHASES: [&str; 3] = ["queued", "in_flight", "backoff"];
pub(crate) const RATE_KINDS: [&str; 2] = ["configured", "effective"];
/// By host, then mode, then traffic, and the local ones behind them.
pub(crate) const CIRCUITS: [&str; 20] = [
    "api/live/read",
    "api/live/write",
    "api/sandbox/read",
    "api/sandbox/write",
    "files/live/read",
    "files/live/write",
    "files/sandbox/read",
    "files/sandbox/write",
    "connect/live/read",
    "connect/live/write",
    "connect/sandbox/read",
    "connect/sandbox/write",
    "meter_events/live/read",
    "meter_events/live/write",
    "meter_events/sandbox/read",
    "meter_events/sandbox/write",
    "api/local",
    "files/local",
    "connect/local",
    "meter_events/local",
];
pub(crate) const CIRCUIT_STATES: [&str; 6] =
    ["closed", "open", "half_open", "forced_open", "forced_closed", "disabled"];
pub(crate) const STATES: [&str; 3] = ["closed", "open", "half_open"];
pub(crate) const WHYS: [&str; 9] = [
    "consecutive",
    "ratio",
    "slow",
    "probe_failed",
    "probe_expired",
    "ramp_failed",
    "interval_over",
    "probes_succeeded",
    "operator",
];
pub(crate) const VERDICTS: [&str; 3] = ["succeeded", "failed", "neutral"];

const OPERATION: MetricLabel = MetricLabel::new("operation", &[]);
const MODE: MetricLabel = MetricLabel::new("mode", &MODES);
const CLASS: MetricLabel = MetricLabel::new("class", &CLASSES);
const PRIORITY: MetricLabel = MetricLabel::new("priority", &PRIORITIES);
const OUTCOME: MetricLabel = MetricLabel::new("outcome", &OUTCOMES);
const RESULT: MetricLabel = MetricLabel::new("result", &RESULTS);
const CIRCUIT: MetricLabel = MetricLabel::new("circuit", &CIRCUITS);

/// OpenTelemetry's buckets for HTTP clients, and beyond its 10 s: Stripe's own libraries wait for up to 80 s, and an
/// attempt of ours for 30 s and more, so that everything that times out would be in one bucket.
///
/// (Source: OpenTelemetry's semantic conventions, `http.client.request.duration`.)
const DURATIONS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0,
    80.0,
];
/// A wait is nothing, or a few turns at tens of calls a second, or a queue.
const WAITS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

macro_rules! metrics {
    ($($(#[$doc:meta])* $id:ident $kind:expr, $unit:ident, $name:literal [$($label:expr),*] $help:literal;)+) => {
        $(
            #[doc = $help]
            $(#[$doc])*
            pub const $id: Metric = Metric {
                name: concat!("stripe_client_", $name),
                kind: $kind,
                unit: MetricUnit::$unit,
                labels: &[$($label),*],
                help: $help,
            };
        )+

        /// All of them.
        pub const ALL: &[&Metric] = &[$(&$id),+];
    };
}

use MetricKind::{Counter, Gauge, Histogram};

metrics! {
    // === calls ===
    CALLS Counter, Count, "calls_total" [OPERATION, MODE, OUTCOME]
        "Calls that have ended, by what their last attempt came to.";
    CALL_DURATION Histogram(DURATIONS), Seconds, "call_duration_seconds" [OPERATION, RESULT]
        "How long calls took, up to the response head, with all attempts and waits.";
    CALL_CERTAINTY Counter, Count, "call_certainty_total" [CLASS, MetricLabel::new("certainty", &CERTAINTIES)]
        "Calls that have ended, by whether Stripe has executed them.";
    CALLS_IN_FLIGHT Gauge, Count, "calls_in_flight" [CLASS]
        "Calls that have begun and not ended.";
    CALLS_CANCELLED Counter, Count, "cancelled_calls_total" [MetricLabel::new("phase", &PHASES)]
        "Calls whose caller went away, by what they were doing.";
    CALLS_RETRIED Counter, Count, "retried_calls_total" [CLASS, RESULT]
        "Calls that took more than one attempt, by how they ended.";

    // === attempts ===
    ATTEMPTS Counter, Count, "attempts_total" [OPERATION, MetricLabel::new("purpose", &PURPOSES), OUTCOME]
        "HTTP exchanges made for calls, by why they were made and what they came to.";
    ATTEMPT_DURATION Histogram(DURATIONS), Seconds, "attempt_duration_seconds" [CLASS, RESULT]
        "How long attempts took, up to the response head and an error body, without waits.";
    RETRIES Counter, Count, "retries_total" [CLASS, MetricLabel::new("reason", &OUTCOMES)]
        "Attempts that were not the first, by what the one before them came to.";
    RETRIES_STOPPED Counter, Count, "retries_stopped_total" [CLASS, MetricLabel::new("limit", &LIMITS)]
        "Calls that a limit ended, and not a final answer.";
    RETRY_BUDGET Gauge, Ratio, "retry_budget_available_ratio" []
        "How much of the retry budget is left.";

    // === money ===
    UNKNOWN Counter, Count, "unknown_calls_total" [CLASS, MetricLabel::new("cause", &CAUSES)]
        "Calls that can move something, and of which nobody knows whether Stripe has executed them.";
    UNKNOWN_RESOLVED Counter, Count, "unknown_resolved_total" [CLASS, MetricLabel::new("how", &RESOLUTIONS)]
        "Unknown calls of which it became known later, or will not any more.";
    UNKNOWN_PENDING Gauge, Count, "unknown_pending" [CLASS]
        "Unknown calls that are not resolved: of unknown_calls_total what unknown_resolved_total has not.";
    UNKNOWN_OLDEST Gauge, Seconds, "unknown_oldest_seconds" []
        "For how long the oldest unknown call has been so; 0 if there is none.";

    // === idempotency ===
    KEYS Counter, Count, "idempotency_keys_total" [CLASS, MetricLabel::new("source", &KEY_SOURCES)]
        "Calls with an idempotency key, by who made it.";
    KEY_ERRORS_TOTAL Counter, Count, "idempotency_errors_total" [MetricLabel::new("kind", &KEY_ERRORS)]
        "What was wrong with idempotency keys.";
    REPLAYS Counter, Count, "replays_total" [CLASS, RESULT]
        "Answers that were the stored one of an earlier request.";

    // === what Stripe said ===
    RATE_LIMITED Counter, Count, "rate_limited_total" [MetricLabel::new("reason", &REASONS)]
        "Attempts that were answered 429, by the limiter's reason.";
    DECLINES Counter, Count, "declines_total" [MetricLabel::new("code", &[])]
        "Declined payments, by decline code.";
    ERRORS Counter, Count, "errors_total" [MetricLabel::new("code", &[])]
        "Answers with an error of Stripe's that is no decline, by error code.";
    NOTICES Counter, Count, "notices_total" []
        "Answers with a notice of Stripe's to whoever maintains the integration.";

    // === what the stack refused ===
    REFUSED Counter, Count, "refusals_total" [CLASS, MetricLabel::new("refusal", &REFUSALS)]
        "Attempts and calls that the stack itself refused, by why.";
    AUTH_BLOCKED Gauge, Count, "auth_gate_blocked_keys" []
        "API keys that the auth gate refuses.";

    // === breaker ===
    BREAKER_STATE Gauge, Count, "breaker_state" [CIRCUIT, MetricLabel::new("state", &CIRCUIT_STATES)]
        "1 for the state that a circuit is in, 0 for the others.";
    BREAKER_TRANSITIONS Counter, Count, "breaker_transitions_total"
        [CIRCUIT, MetricLabel::new("to", &STATES), MetricLabel::new("why", &WHYS)]
        "How often a circuit has gone into a state.";
    BREAKER_PROBES Counter, Count, "breaker_probes_total" [CIRCUIT, MetricLabel::new("verdict", &VERDICTS)]
        "Attempts that were to find out whether Stripe is back, the stack's own GETs included.";
    BREAKER_FAILURES Gauge, Ratio, "breaker_failure_ratio" [CIRCUIT]
        "The share of the attempts in the window that failed.";
    BREAKER_CALLS Gauge, Count, "breaker_window_attempts" [CIRCUIT]
        "The attempts in the window.";

    // === governor ===
    GOVERNOR_WAIT Histogram(WAITS), Seconds, "governor_wait_seconds" [PRIORITY]
        "How long attempts waited for their turn before they were sent.";
    GOVERNOR_WAITING Gauge, Count, "governor_waiting" [MODE, PRIORITY]
        "Attempts that wait for their turn.";
    GOVERNOR_IN_FLIGHT Gauge, Count, "governor_in_flight" [MODE]
        "Attempts that hold a place in flight.";
    GOVERNOR_RATE Gauge, PerSecond, "governor_rate" [MODE, MetricLabel::new("kind", &RATE_KINDS)]
        "Calls a second that the global rule allows the account it allows least, as set and as slowed down by 429s.";

    // === the process ===
    BUILD_INFO Gauge, Count, "build_info" [MetricLabel::new("version", &[])]
        "1, with the version of tower-stripe. Of the process, and not of a transport.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_labels_follow_the_rules_of_prometheus() {
        let mut names = BTreeSet::new();
        let word = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && !text.starts_with('_')
        };
        for metric in ALL {
            assert!(names.insert(metric.name), "{} stands twice", metric.name);
            assert!(word(metric.name) && metric.name.starts_with("stripe_client_"), "{}", metric.name);
            // (Source: Prometheus' guide to naming: counters end in `_total`, units in their base form.)
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Counter, "{}", metric.name);
            assert_eq!(
                metric.name.ends_with("_seconds"),
                metric.unit == MetricUnit::Seconds,
                "{}",
                metric.name
            );
            assert_eq!(metric.name.ends_with("_ratio"), metric.unit == MetricUnit::Ratio, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            let labels: BTreeSet<_> = metric.labels.iter().map(|label| label.name).collect();
            assert_eq!(labels.len(), metric.labels.len(), "{} has a label twice", metric.name);
            for label in metric.labels {
                assert!(word(label.name) && label.name != TRANSPORT && label.name != "le", "{}", metric.name);
                let values: BTreeSet<_> = label.values.iter().collect();
                assert_eq!(
                    values.len(),
                    label.values.len(),
                    "{} {} has a value twice",
                    metric.name,
                    label.name
                );
            }
            if let Histogram(bounds) = metric.kind {
                assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{}", metric.name);
            }
        }
    }
}
