//! The full stack: the one place that knows the order of the layers.
//!
//! # What
//! [`StripeTransport`] wraps an HTTP client. From the outside in:
//!
//! ```text
//! telemetry      count, trace and log the call
//! hosts          refuse what is not for Stripe; the API key is marked, so that no client prints it
//! idempotency    inject the key, check it                        once per call
//! retry          keep a copy, own deadline and budget
//! ───────────────────────────────────────────────────────────────────────────────
//! credentials    the API key, where a request brings none        once per attempt
//! auth gate      refuse while the API key is not accepted
//! breaker        refuse while this part of Stripe is failing
//! governor       wait for a turn, payments first
//! span           show the attempt
//! timeout        limit the attempt
//! request id     Request-Id → report
//! classify       status, headers, error body → outcome
//! edge           what the client's error proves → report
//! ```
//!
//! # Why this order
//! Telemetry is outermost: it sees what any layer refuses, and for how long a caller waited all in all. The span of an
//! attempt is inside of what admits it, so that it shows the exchange and not the queue. The key is outside of retry:
//! all attempts of a call share it. The time limit of an attempt is inside of retry, so that waits do not count against
//! it. What admits an attempt is between the two: each attempt on the wire spends Stripe's quota, and the time in the
//! queue is not the attempt's. The breaker is outside of the governor, so that an open circuit neither queues nor
//! spends, and outside of the time limit, so that an outage that hangs trips it. Classification is inside of the time
//! limit, so that an error body that never ends cannot hang a call. The API key comes inside of retry, so that what is
//! sent again after a rotation carries the new one, and outside of the auth gate, which tells calls apart by it. The
//! edge is innermost, because only there the client's own error type is known.
//!
//! # What it asks of a client
//! A `Service<http::Request<B>>` that is `Clone`, whose error says what it proves ([`TransportError`], which boxed
//! errors have), and whose response body yields `Bytes` and is `Unpin`; a request body that is known to be repeatable,
//! or not ([`Replay`]); and a tokio runtime with timers.
//!
//! [`TransportError`]: crate::TransportError
//! [`Replay`]: crate::vocab::Replay
//!
//! # When not
//! If something above or below retries as well; turn that off. Each call that comes in without a key gets one of its
//! own, so that a retry above is a second order. The client must not follow redirects either: a redirected POST would
//! leave for another host with the API key.
//!
//! # Example
//! ```no_run
//! use http_body_util::Full;
//! use tower_stripe::{BoxError, IdempotencyKey, ResponseExt, StripeTransport, edge::hyper_util};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let key = "sk_test_123";
//! let stripe = StripeTransport::new(hyper_util::Client::new());
//!
//! let request = http::Request::post("https://api.stripe.com/v1/payment_intents")
//!     .header("authorization", format!("Bearer {key}"))
//!     .header("content-type", "application/x-www-form-urlencoded")
//!     .extension(IdempotencyKey::derive("pay", &["order-8812"]))
//!     .body(Full::from("amount=1099&currency=usd"))?;
//! match stripe.send(request).await {
//!     Ok(response) => println!("{} {:?}", response.status(), response.request_id()),
//!     Err(error) => println!("{error}: {}", error.advice()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Defaults
//! Those of the layers, together; see their modules. Hosts: `api`, `files`, `connect` and `meter-events` at
//! `stripe.com`, by https.
//!
//! # How it refuses
//! With [`Refusal::HostNotAllowed`](crate::Refusal::HostNotAllowed) and [`PlainHttp`](crate::Refusal::PlainHttp), and as
//! its layers do. Every error carries the report of its call.

mod attempt;
mod builder;
mod description;
mod future;
mod hosts;
mod profile;
mod service;

pub use self::{
    builder::Builder,
    description::Description,
    future::{ResponseFuture, Sending},
    profile::Profile,
    service::{StripeTransport, TransportLayer},
};
