//! Lets calls finish whose callers have gone, and drains them on shutdown.
//!
//! # What
//! A call that may move money runs in a task of its own from its first poll on. If its caller goes away, by a timeout, a
//! closed connection or a `select!`, what happens depends on what was sent:
//!
//! * Nothing yet: it waits for its turn, or for the client. The call ends with its caller, and its report says
//!   [`NotSent`](crate::Certainty::NotSent).
//! * Something: the call goes on, with its retries, up to its deadline. How it ended is logged (`info`, or `warn` where it
//!   is unknown) with operation, certainty, advice, attempts and request id, and is in the
//!   [`ReportHandle`](crate::ReportHandle) of a caller that kept one.
//!
//! All other calls are polled in place. Whether one may move money is asked of its method and path alone.
//!
//! # Why
//! A payment that is dropped in flight is [`Unknown`](crate::Certainty::Unknown), though Stripe would have told a moment
//! later, or upon one retry; and a server drops its handlers whenever a browser goes away. A process that ends should wait
//! for its payments first, and say of which it does not know.
//!
//! # When not
//! If callers rely on dropping a call to stop its retries. And it is no journal: what is under way when the process dies is
//! known to nobody, so derive keys from ids of your own ([`IdempotencyKey::derive`](crate::IdempotencyKey::derive)).
//!
//! # Example
//! Around the whole stack:
//! ```no_run
//! use std::time::Duration;
//! use http_body_util::Full;
//! use tower::Layer;
//! use tower_stripe::{BoxError, StripeTransport, detach::DetachLayer, edge::hyper_util};
//!
//! # async fn shop() -> Result<(), BoxError> {
//! let detach = DetachLayer::default();
//! let stripe = detach.layer(StripeTransport::new(hyper_util::Client::new()));
//!
//! let request = http::Request::post("https://api.stripe.com/v1/refunds")
//!     .header("authorization", "Bearer sk_test_…")
//!     .body(Full::from("payment_intent=pi_123"))?;
//! // Whoever gives up here does not give up the refund.
//! let _ = tokio::time::timeout(Duration::from_secs(3), stripe.send(request)).await;
//!
//! // On shutdown:
//! let drained = detach.handle().drain(Duration::from_secs(20)).await;
//! for call in &drained.unresolved {
//!     println!("look up {}: {:?}", call.operation, call.report.request_ids().last());
//! }
//! # Ok(())
//! # }
//! ```
//! With fewer calls at a time:
//! ```
//! use tower_stripe::detach::{DetachConfig, DetachLayer};
//!
//! let layer = DetachLayer::new(DetachConfig::builder().max_detached(100).build()?);
//! # let _ = layer;
//! # Ok::<(), tower_stripe::ConfigError>(())
//! ```
//!
//! # Defaults
//! | setting | default |
//! |---|---|
//! | `max_detached`, calls that move money under way | 1,024 |
//! | `max_unresolved`, remembered for the drain | 1,024 |
//!
//! # The deadline
//! is that of the stack within. Should nothing within keep it, a call whose caller has gone is given up 5 s after it: after
//! the deadline that a layer within has set, or else after the operation's own, 75 s. While its caller is there, this layer
//! sets no limit.
//!
//! # Drain
//! [`DetachHandle::drain`] takes no more calls that move money, waits for those under way, cuts off the rest, and reports
//! what is [`Unknown`](crate::Certainty::Unknown) of what was cut off, and of what ended earlier with nobody to tell.
//!
//! # How it refuses
//! With [`Refusal::Saturated`](crate::Refusal::Saturated) beyond `max_detached` (never does it run such a call undetached),
//! and with [`Refusal::ShuttingDown`](crate::Refusal::ShuttingDown) during and after a drain, where there is no tokio
//! runtime, and for a call under way whose task was cut off; its report says what it may have done.
//! What it refuses itself is not in the metrics: telemetry is within.
//!
//! The client's error type must have room for that: put [`EdgeLayer`](crate::edge::EdgeLayer) below, or box it.
//!
//! # What it asks of the inner service
//! It must be `Clone + Send + 'static`, and so must its futures and answers be; the body of the request must be
//! `Send + 'static`. A boxed error is fine, in spawned blocks too. A body type that itself names a boxed error, such as
//! `BoxBody<Bytes, BoxError>`, works as far as `tokio::spawn(stripe.send(request))`; in a block that awaits it, the compiler
//! may not be able to show for every region what it knows for the one that is.
//!
//! Over a client alone, of which no layer of this crate gives an account, every call that was handed to it counts as sent.
//!
//! # Panics
//! A panic of the inner service goes to the caller, as if there were no task. Without a caller it is logged, and the call
//! is unknown. In both cases its place is free again.

mod config;
mod engine;
mod future;
mod handle;
mod layer;
mod service;
mod shared;
mod task;

pub use self::{
    config::{DetachBuilder, DetachConfig},
    engine::{Drained, Unresolved},
    future::ResponseFuture,
    handle::DetachHandle,
    layer::DetachLayer,
    service::Detach,
};
