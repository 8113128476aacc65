//! Bounds each attempt.
//!
//! # What
//! An attempt that has not answered within its limit is given up: the request is dropped, and the call fails with
//! [`AttemptTimedOut`](crate::vocab::AttemptTimedOut). The limit covers the response head and whatever the layers within
//! read of an error body.
//!
//! # Why
//! A client without a time limit waits for as long as a broken network lets it. After a timeout nobody knows whether
//! Stripe executed the request, and the report says just that: [`Unknown`](crate::Certainty::Unknown).
//!
//! # When not
//! The body of a success is not covered: it belongs to the caller, and ends at the deadline of the call where
//! [`classify`](crate::classify) is in the stack. Waiting for `poll_ready` is not covered either, and so no time spent in
//! a queue counts against Stripe.
//!
//! # Example
//! ```
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//! use tower_stripe::{BoxError, timeout::{TimeoutConfig, TimeoutLayer}};
//! # let client = tower::service_fn(|_: http::Request<()>| async { Ok::<_, BoxError>(http::Response::new(())) });
//!
//! // By the operation: 20 s for a read, 30 s for a write …
//! let layer = TimeoutLayer::default();
//! // … or the same for all.
//! let layer = TimeoutLayer::new(TimeoutConfig::builder().attempt(Duration::from_secs(10)).build()?);
//! let client = ServiceBuilder::new().layer(layer).service(client);
//! # Ok::<(), tower_stripe::ConfigError>(())
//! ```
//!
//! # Defaults
//! | setting | default |
//! |---|---|
//! | `attempt` | 30 s; reads 20 s, lists and searches 45 s, uploads 120 s |
//! | `deadline` | 75 s, uploads 300 s |
//!
//! [`AttemptTimeout`](crate::AttemptTimeout) and [`Deadline`](crate::Deadline) in the extensions of a request replace
//! them for one call. The attempt is cut at the deadline of the call, whoever set it.
//!
//! # How it refuses
//! With [`Refusal::DeadlineExceeded`](crate::Refusal::DeadlineExceeded), when no time is left at all.
//!
//! The client's error type must have room for that: put [`EdgeLayer`](crate::edge::EdgeLayer) below, or box it. `poll_ready`
//! is that of the inner service, so a call that is refused leaves it ready and unused: a permit that it holds goes back
//! when this clone is used again or dropped.

mod config;
mod future;
mod layer;
mod service;

pub use self::{
    config::{TimeoutBuilder, TimeoutConfig},
    future::ResponseFuture,
    layer::TimeoutLayer,
    service::Timeout,
};
