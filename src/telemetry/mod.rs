//! Counts, traces and logs what the stack decides.
//!
//! # What
//! - **Metrics** of calls and attempts, of what is unknown and pending, of keys, retries, refusals and of what Stripe
//!   said, on the [`metrics`] facade; and, of the layers it [watches](TelemetryLayer::watch), how they stand. All names
//!   and labels are in [`vocab::metric`](crate::vocab::metric).
//! - **A span for each call**, `stripe.call`, and within it one for each attempt, `stripe.attempt`
//!   ([`AttemptSpanLayer`], which belongs inside of what sends again), with the names of OpenTelemetry's conventions
//!   for HTTP clients. Retries, waits, circuits, the auth gate and Stripe's notices are events in them.
//! - **A line for each call**, as `POST payment_intents.create => 402 in 312ms (1 attempt, req_4f6DzA, declined)`.
//!
//! # Why
//! What was decided about money must be seen by whoever is called at night. A label that holds an id, or a log line
//! that holds a key, is worse than none: labels are closed sets, and neither keys, bodies nor messages are recorded
//! anywhere.
//!
//! # When not
//! [`TelemetryConfig`] turns it off. Without a recorder and a subscriber it costs little: see the README for figures.
//!
//! # What is unknown
//! A call that can move something and ended [`Unknown`](crate::Certainty::Unknown) is *pending* until a later call with
//! its key tells what became of it, or somebody does, by [`TelemetryHandle::resolve`]; for as long as Stripe knows the
//! key, and in this process. So `unknown_calls_total` − `unknown_resolved_total` = `unknown_pending`. GETs and v1
//! DELETEs are left out: whoever repeats them changes nothing. Of keys and accounts only hashes are kept.
//!
//! # Example
//! ```
//! use tower::ServiceBuilder;
//! use tower_stripe::{BoxError, telemetry::{AttemptSpanLayer, TelemetryConfig, TelemetryLayer}};
//! # let client = tower::service_fn(|_: http::Request<String>| async {
//! #     Ok::<_, BoxError>(http::Response::new(http_body_util::Full::<bytes::Bytes>::default()))
//! # });
//!
//! let layer = TelemetryLayer::default();
//! // … or
//! let layer = TelemetryLayer::new(TelemetryConfig::builder().transport("payouts").build()?);
//! let telemetry = layer.handle();
//! let client = ServiceBuilder::new().layer(layer).layer(AttemptSpanLayer::default()).service(client);
//!
//! // … when a webhook has told what became of an order:
//! telemetry.resolve(&tower_stripe::IdempotencyKey::derive("pay", &["order-8812"]));
//! # let _ = client;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Defaults
//! | setting | default |
//! |---|---|
//! | `enabled` | yes |
//! | `transport` | `default`: the label that tells the transports of a process apart |
//! | `max_operations` | 200; what comes after them is counted as `other` |
//! | `recorder` | the one of the process, as it is installed when the layer is made |
//!
//! # Levels
//! | level | calls |
//! |---|---|
//! | error | a program or a configuration is wrong: 400, 401, 403, keys that break a rule, the auth gate |
//! | warn | nobody knows whether it was executed; Stripe or the network failed; a limiter, here or there, said no |
//! | info | declined, not found; well, but not at the first attempt |
//! | debug | well; cancelled, where that leaves no question |
//!
//! # How it refuses
//! With [`Refusal::ReportReused`](crate::Refusal::ReportReused) alone, as every layer that opens the account of a call.
//!
//! # Of several
//! Only the outermost counts a call, as of one transport within another. It belongs outside of what sends again:
//! within, it takes each attempt for a call.
//!
//! # Readiness
//! `poll_ready` is the inner service's.

pub(crate) mod attempt;
mod config;
mod future;
mod handle;
mod labels;
mod layer;
mod meter;
mod notice;
mod pending;
#[cfg(feature = "prometheus")]
pub mod prometheus;
mod registrar;
mod sample;
mod service;
mod shared;
mod watch;

pub use self::{
    attempt::{AttemptSpan, AttemptSpanLayer},
    config::{TelemetryBuilder, TelemetryConfig},
    future::ResponseFuture,
    handle::{PendingCall, TelemetryHandle},
    layer::TelemetryLayer,
    sample::sample,
    service::Telemetry,
};
