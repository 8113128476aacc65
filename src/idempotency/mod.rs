//! Gives every request that can move something the key by which Stripe knows it again.
//!
//! # What
//! A v1 POST, a v2 POST and a v2 DELETE leave with exactly one `Idempotency-Key`: the caller's, or one that is generated
//! here, once per call, so that all attempts of the call share it. Keys are checked before anything is sent, and a key
//! that Stripe may have forgotten is refused.
//!
//! # Why
//! A request whose answer was lost can only be repeated safely if Stripe can tell the repetition from a second order. A
//! key that is made anew for each attempt, or that rolls over at midnight, charges twice.
//!
//! # When not
//! A GET, a v1 DELETE, and all below `/oauth/` are passed through unchanged, a caller's key included: Stripe does not heed
//! it there. Keys do not protect a call that is made again after a restart, unless the caller derives them from its own
//! ids.
//!
//! # Example
//! ```
//! use tower::ServiceBuilder;
//! use tower_stripe::{BoxError, IdempotencyKey, idempotency::{IdempotencyConfig, IdempotencyLayer}};
//! # let client = tower::service_fn(|_: http::Request<()>| async { Ok::<_, BoxError>(http::Response::new(())) });
//!
//! let layer = IdempotencyLayer::default();
//! // … or
//! let layer = IdempotencyLayer::new(IdempotencyConfig::builder().prefix("shop").build()?);
//! let client = ServiceBuilder::new().layer(layer).service(client);
//!
//! // A key that comes out the same after a restart, since it is made of the caller's own ids and nothing else:
//! let key = IdempotencyKey::derive("capture", &["order-8812", "payment-1"]);
//! let request = http::Request::post("https://api.stripe.com/v1/payment_intents/pi_1/capture").extension(key).body(())?;
//! # Ok::<(), BoxError>(())
//! ```
//!
//! # Defaults
//! | setting | default |
//! |---|---|
//! | `prefix` of generated keys | `ts` |
//! | `max_age_v1` | 23 h: Stripe may forget a key after 24 |
//! | `max_age_v2` | 29 d: Stripe forgets a key after 30 |
//! | `require_explicit_key` for calls that may move money | no: one is generated |
//! | `require_key_birth` of such calls' keys | no: an unknown age is allowed |
//!
//! # How it refuses
//! With [`Refusal::InvalidKey`](crate::Refusal::InvalidKey), [`ConflictingKeys`](crate::Refusal::ConflictingKeys),
//! [`KeyTooOld`](crate::Refusal::KeyTooOld), and [`NoRandomness`](crate::Refusal::NoRandomness); if so configured, with
//! [`ExplicitKeyRequired`](crate::Refusal::ExplicitKeyRequired) and [`KeyBirthUnknown`](crate::Refusal::KeyBirthUnknown).
//! Nothing was sent then.
//!
//! The client's error type must have room for that: put [`EdgeLayer`](crate::edge::EdgeLayer) below, or box it. `poll_ready`
//! is that of the inner service, so a call that is refused leaves it ready and unused: a permit that it holds goes back
//! when this clone is used again or dropped.

mod config;
mod derive;
mod engine;
mod future;
mod layer;
mod service;

pub use self::{
    config::{IdempotencyBuilder, IdempotencyConfig},
    future::ResponseFuture,
    layer::IdempotencyLayer,
    service::Idempotency,
};
