//! Sends again what may be sent again.
//!
//! # What
//! After each attempt an engine decides: again, and when, or not, and why not. The order of its rules:
//!
//! 1. A success and a redirect are final; so is what provably cannot be cured, as a decline or a certificate that is
//!    not trusted.
//! 2. What may have been executed is sent again only if Stripe would know it again: a GET, a v1 DELETE, or anything with
//!    an idempotency key.
//! 3. `Stripe-Should-Retry: true` or `false` decides where it is sent.
//! 4. 409 is retried; while the key is in use by another request, that one is polled until the deadline.
//! 5. 429 from a limiter waits longer than anything else; a lock timeout is retried as usual; the limit of a single
//!    object, which lasts from minutes to days, is not.
//! 6. 5xx is retried; a v1 POST that was answered 500 once at most, since Stripe has stored that answer.
//! 7. A failure to connect is retried, and what the client knows has never left is sent again at once, once per call.
//!
//! Then the limits: attempts, deadline, retry budget, the age of the key, and whether the body can be had again.
//!
//! # Why
//! Stripe's own libraries retry too, but without jitter on the first retry, without a budget, without a deadline, and each
//! with other gaps. A retry without a key may charge twice; retries of everybody at the same moment keep an outage alive.
//!
//! # When not
//! Where something above retries as well: the attempts multiply, and unless the caller gives the key, each round gets a new one
//! and may charge again. Keep one owner of retries.
//!
//! # Example
//! ```
//! use std::{num::NonZeroU32, time::Duration};
//! use tower::ServiceBuilder;
//! use tower_stripe::{BoxError, retry::{RetryConfig, RetryLayer}};
//! # let client = tower::service_fn(|_: http::Request<String>| async { Ok::<_, BoxError>(http::Response::new(String::new())) });
//!
//! let layer = RetryLayer::default();
//! // … or
//! let config = RetryConfig::builder()
//!     .max_attempts(NonZeroU32::new(5).expect("not zero"))
//!     .base_delay(Duration::from_millis(250))
//!     .deadline(Duration::from_secs(20))
//!     .build()?;
//! let client = ServiceBuilder::new().layer(RetryLayer::new(config)).service(client);
//! # Ok::<(), tower_stripe::ConfigError>(())
//! ```
//!
//! # Defaults
//! | setting | default |
//! |---|---|
//! | `max_attempts` | 3 |
//! | `base_delay`, `max_delay` | 0.5 s × 2ⁿ⁻¹ before the n-th retry, at most 5 s |
//! | `limiter_base_delay`, `limiter_max_delay` | 2 s × 2ⁿ⁻¹, at most 30 s |
//! | jitter | over the upper half of each delay, from the first retry on |
//! | `max_retry_after` | 60 s; a server that asks for more is not waited for |
//! | `deadline` | 75 s, uploads 300 s |
//! | `min_attempt` | 1 s must be left for an attempt after a wait |
//! | `budget` | 10 % of calls + 1 retry/s, a balance of at most 100, shared by all clones |
//!
//! [`RetryLimit`](crate::RetryLimit) and [`Deadline`](crate::Deadline) in the extensions of a request replace them for
//! one call.
//!
//! # Metrics
//! `retry_budget_available_ratio`, of a [layer](RetryLayer) that a telemetry layer
//! [watches](crate::vocab::Source); the transport's watches it. Its retries are in `retries_total` and `retries_stopped_total`.
//!
//! # How it refuses
//! A call that stops retrying returns its last response or error, and the report says why it stopped. Only when the last
//! response is gone already, because the wait began, does it refuse: with
//! [`Refusal::DeadlineExceeded`](crate::Refusal::DeadlineExceeded) when the inner service is not ready in time, and
//! [`Refusal::KeyTooOld`](crate::Refusal::KeyTooOld) when a clock jumped.
//!
//! The client's error type must have room for that: put [`EdgeLayer`](crate::edge::EdgeLayer) below, or box it.
//!
//! # What it leaves to others
//! The deadline bounds the waits, and the wait for the client; an attempt that hangs is the `timeout` layer's to
//! end. The client must neither retry nor hedge by itself.
//!
//! # Readiness
//! `poll_ready` is always ready. Each call clones the inner service, and waits for it before each attempt, inside the future, so that
//! nothing of the inner service is held during a wait.

mod backoff;
mod budget;
mod config;
mod drain;
mod engine;
mod future;
mod layer;
mod retry_after;
mod saved;
mod service;

pub use self::{
    budget::BudgetConfig,
    config::{RetryBuilder, RetryConfig},
    future::ResponseFuture,
    layer::RetryLayer,
    service::Retry,
};
