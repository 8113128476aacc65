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
//! | `guard` | off; if on, for 10,000 keys |
//!
//! # How it refuses
//! With [`Refusal::InvalidKey`](crate::Refusal::InvalidKey), [`ConflictingKeys`](crate::Refusal::ConflictingKeys),
//! [`KeyTooOld`](crate::Refusal::KeyTooOld), and [`NoRandomness`](crate::Refusal::NoRandomness); if so configured, with
//! [`ExplicitKeyRequired`](crate::Refusal::ExplicitKeyRequired), [`KeyBirthUnknown`](crate::Refusal::KeyBirthUnknown) and
//! [`KeyReused`](crate::Refusal::KeyReused). Nothing was sent then. A call that waits for another one is refused at its
//! deadline ([`DeadlineExceeded`](crate::Refusal::DeadlineExceeded)).
//!
//! The client's error type must have room for that: put [`EdgeLayer`](crate::edge::EdgeLayer) below, or box it. The body of
//! a request must be known to be repeatable, or not ([`Replay`](crate::vocab::Replay)), and the client be `Clone`: for the
//! guard, even while it is off.
//!
//! # The guard
//! Off unless [`IdempotencyBuilder::guard`] turns it on. It knows the keys that callers bring (those that are generated here
//! have no second owner), each within its account and mode: those of the API key, and of the headers `Stripe-Account` and
//! `Stripe-Context`. Two requests that differ never share a key, and of those that share one, one at a time is sent:
//!
//! - *Other parameters*, another path or another method under a key that was used are refused
//!   ([`Refusal::KeyReused`](crate::Refusal::KeyReused)); the advice is `Reconcile`, and never a new key. The parameters of a
//!   form are compared decoded and in any order, JSON by its value, uploads without the boundary of their parts, anything
//!   else byte by byte. A key that Stripe has not taken (nothing was sent, or the request was rejected before it was
//!   executed) may be used again for a request that was corrected.
//! - *The same key in flight*: the second call waits, as long as its own deadline lets it, and then sends itself with the
//!   same key, so that Stripe replays the answer. Those that wait go one after the other, in the order in which they came.
//! - *What a call left open* stays open for the next ones with its key: as long as that call is under way, or if it may have
//!   been executed, their own refusals, deadlines and rejections leave them `Unknown`, and none of them is advised to take a
//!   new key, even in place of one that was vouched for as fresh.
//!
//! It remembers keyed SHA-256 digests, no key, no credential, no parameter; of at most
//! [`capacity`](GuardConfig::capacity) keys, each until it is too old to be sent. If all of them are in flight, further keys
//! go unguarded, and so do bodies that are not in memory ([`Replay::content`](crate::vocab::Replay::content)) or are larger
//! than 1 MiB: Stripe guards its keys too, and a refusal would turn away calls that nothing is wrong with.
//!
//! It knows this process only, and one layer: a second process, or a second transport, has a guard of its own.
//!
//! # Readiness
//! `poll_ready` is that of the inner service, so a call that is refused leaves it ready and unused: a permit that it holds goes back
//! when this clone is used again or dropped.

mod config;
mod derive;
mod engine;
mod future;
mod guard;
mod layer;
mod service;

pub use self::{
    config::{IdempotencyBuilder, IdempotencyConfig},
    future::ResponseFuture,
    guard::GuardConfig,
    layer::IdempotencyLayer,
    service::Idempotency,
};
