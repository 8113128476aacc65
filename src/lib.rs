//! Tower middleware that turns any HTTP client into a hardened transport for calls to Stripe: it never charges twice,
//! always says whether money may have moved, and never makes an outage worse.
//!
//! # What
//! [`StripeTransport`] wraps an HTTP client, any `Service<http::Request<B>>`, with all layers in the one order that is
//! safe. Each layer also works alone: [`idempotency`], [`retry`], [`auth_gate`], [`breaker`], [`governor`], [`timeout`],
//! [`request_id`], [`classify`], [`telemetry`]. [`edge`] has the recommended client, [`detach`] lets payments finish whose callers have gone.
//!
//! # Why
//! A request whose answer was lost may have charged a card. Whoever sends it again without a key charges twice; whoever
//! gives up loses an order; and who is not told which of both it may be can only guess. Every call through this crate
//! ends with a [`Certainty`] and an [`Advice`], in its response ([`ResponseExt`]), its [`Error`], and its [`Report`].
//!
//! # When not
//! It does not know Stripe's objects: build requests and parse bodies with whatever you like. It does not remember
//! anything across restarts: derive keys from your own ids ([`IdempotencyKey::derive`]) for that.
//!
//! # Example
//! ```no_run
//! use http_body_util::Full;
//! use tower_stripe::{Advice, BoxError, IdempotencyKey, ResponseExt, StripeTransport, edge::hyper_util};
//!
//! # async fn pay() -> Result<(), BoxError> {
//! let stripe = StripeTransport::new(hyper_util::Client::new());
//!
//! let request = http::Request::post("https://api.stripe.com/v1/refunds")
//!     .header("authorization", "Bearer sk_test_…")
//!     .header("content-type", "application/x-www-form-urlencoded")
//!     .extension(IdempotencyKey::derive("refund", &["order-8812"]))
//!     .body(Full::from("payment_intent=pi_123"))?;
//! let advice = match stripe.send(request).await {
//!     Ok(response) => response.advice().expect("it came through the stack"),
//!     Err(error) => error.advice(),
//! };
//! match advice {
//!     Advice::Done => println!("refunded"),
//!     Advice::SameKey => println!("not known yet: try again later with the same key"),
//!     Advice::NewKey | Advice::Resend => println!("not refunded: try again as you like"),
//!     Advice::Reconcile => println!("look the refund up before doing anything"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! | feature | default | brings |
//! |---|---|---|
//! | `transport` | yes | [`StripeTransport`] and all layers |
//! | `idempotency`, `retry`, `auth-gate`, `breaker`, `governor`, `timeout`, `request-id`, `classify`, `telemetry` | yes | one layer each |
//! | `credentials` | yes | [`credentials`]: the API key, kept by the transport and rotated without losing a call |
//! | `detach` | yes | [`detach`], which is put around the transport by hand |
//! | `prometheus` | no | [`telemetry::prometheus`], which serves `/metrics` |
//! | `hyper-util` | no | [`edge::hyper_util`], the recommended client |
//! | `reqwest` | no | [`edge::reqwest`]: reqwest as a client, and its own requests and responses through a stack |
//!
//! The vocabulary in [`vocab`] is always there. Longer explanations are in [`_documentation`].

pub mod edge;
pub mod vocab;

#[cfg(feature = "auth-gate")]
pub mod auth_gate;
#[cfg(feature = "breaker")]
pub mod breaker;
#[cfg(feature = "classify")]
pub mod classify;
#[cfg(feature = "credentials")]
pub mod credentials;
#[cfg(feature = "detach")]
pub mod detach;
#[cfg(feature = "governor")]
pub mod governor;
#[cfg(feature = "idempotency")]
pub mod idempotency;
#[cfg(feature = "request-id")]
pub mod request_id;
#[cfg(feature = "retry")]
pub mod retry;
#[cfg(feature = "telemetry")]
pub mod telemetry;
#[cfg(feature = "timeout")]
pub mod timeout;
#[cfg(feature = "transport")]
pub mod transport;

#[cfg(feature = "transport")]
pub use transport::StripeTransport;
pub use vocab::{
    Advice, AttemptTimeout, BoxError, Certainty, ConfigError, Deadline, Error, Failure, FailureKind,
    IdempotencyKey, Operation, Outcome, Priority, Refusal, Report, ReportHandle, ResponseExt, RetryLimit,
    StripeBody, TransportError,
};

/// Longer explanations, for reading.
pub mod _documentation {
    #[doc = include_str!("../DESIGN.md")]
    pub mod design {}

    #[doc = include_str!("../CHANGELOG.md")]
    pub mod changelog {}
}

/// The README's examples are tests.
#[cfg(all(doctest, feature = "hyper-util", feature = "reqwest"))]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// So is the one of the guide.
#[cfg(all(doctest, feature = "hyper-util", feature = "reqwest"))]
#[doc = include_str!("../docs/key-rotation.md")]
pub struct KeyRotation;
