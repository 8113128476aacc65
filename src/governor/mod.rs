//! Keeps calls within Stripe's rate limits, payments first.
//!
//! # What
//! Every attempt takes a token from each rule that it is subject to (the account's, its operation's, a special one), and
//! holds a place in flight until it has ended. If all are there, it goes at once. If not, it waits in a queue of bounded
//! length:
//!
//! - [`Critical`](crate::Priority::Critical) goes before [`Normal`](crate::Priority::Normal), that before
//!   [`Background`](crate::Priority::Background), and within a priority who came first. Who waits only for the rule of its
//!   own operation does not hold up others. A part of every burst and of the places in flight is left for `Critical`; and
//!   while less urgent calls wait, one admission in 50 is theirs.
//! - How long it must wait at least is known before. If that is past its deadline, it is refused at once.
//! - A full queue refuses the newest call of the lowest priority.
//!
//! When Stripe answers 429, its reason (`Stripe-Rate-Limited-Reason`) decides what becomes slower:
//!
//! | reason | what happens |
//! |---|---|
//! | `global-rate`, or one that is not known | the account's rate is halved |
//! | `endpoint-rate` | the rates of that operation are halved |
//! | `global-concurrency`, `endpoint-concurrency` | half as many may be in flight as are now, in the account or of that operation |
//! | `resource-specific` | calls that change that object are refused for 60 s |
//! | `lock_timeout`, or no sign of a limiter | nothing |
//!
//! A limit is lowered once for all that was sent before, never below one a second, and grows back evenly within 60 s of
//! the last 429.
//!
//! # Why
//! Stripe's limits are per account: a nightly report takes away the tokens of payments. Who waits on this side knows for
//! how long; who is answered 429 can only guess, and all that guess come back together.
//!
//! # When not
//! It knows this process only: say how many [`replicas`](GovernorBuilder::replicas) share the account. It does not know
//! the limits of single objects, until Stripe answers that one is used up. Operations that the table does not have share
//! one rule for each API version and method.
//!
//! # Example
//! ```
//! use std::num::NonZeroU32;
//! use tower::ServiceBuilder;
//! use tower_stripe::{BoxError, governor::{Bucket, GovernorConfig, GovernorLayer, Limit}, vocab::Ratio};
//! # let client = tower::service_fn(|_: http::Request<String>| async { Ok::<_, tower_stripe::Error>(http::Response::new(String::new())) });
//!
//! let layer = GovernorLayer::default();
//! // … or
//! let n = |n| NonZeroU32::new(n).expect("not zero");
//! let config = GovernorConfig::builder()
//!     .replicas(n(3))
//!     .limit(Bucket::Search, Limit::per_second(n(5)))
//!     .reserve(Ratio::percent(30))
//!     .build()?;
//! let layer = GovernorLayer::new(config);
//! let handle = layer.handle();
//! let client = ServiceBuilder::new().layer(layer).service(client);
//! # let _ = (client, handle.snapshot());
//! # Ok::<(), tower_stripe::ConfigError>(())
//! ```
//!
//! # Defaults
//! 90 % (`share`) of what Stripe publishes, divided by `replicas`:
//!
//! | rule | live | sandbox | burst |
//! |---|---|---|---|
//! | [`Global`](Bucket::Global) | 100/s | 25/s | 10 |
//! | [`EachOperation`](Bucket::EachOperation) | 25/s | 25/s | 3 |
//! | [`Search`](Bucket::Search), [`FilesRead`](Bucket::FilesRead), [`FilesWrite`](Bucket::FilesWrite) | 20/s | 20/s | 3 |
//! | [`PayoutsCreate`](Bucket::PayoutsCreate) | 15/s, 30 in flight | 15/s, 30 in flight | 3 |
//! | [`AccountsCreate`](Bucket::AccountsCreate) | 30/s | 5/s | 3 |
//! | [`MeterEvents`](Bucket::MeterEvents), [`MeterEventsV2`](Bucket::MeterEventsV2) | 1,000/s, outside the global rule | as any call | 5 |
//! | [`MeterEventStream`](Bucket::MeterEventStream) | 10,000/s, outside the global rule | as any call | 50 |
//!
//! | setting | default |
//! |---|---|
//! | `max_in_flight` | 100 |
//! | `max_queue` | 1,024 |
//! | `reserve` | 20 %: 2 of the global burst of 10, 20 of 100 in flight |
//! | `default_priority` | that of the operation |
//! | `serialize_objects` | off |
//!
//! With replicas, the default bursts are divided too, down to 2.
//!
//! # Metrics
//! `governor_waiting`, `governor_in_flight` and `governor_rate`, of a [handle](GovernorHandle) that a telemetry layer
//! [watches](crate::vocab::Source); the transport's watches it. What it refuses is in `refusals_total`.
//!
//! # How it refuses
//! With [`WaitTooLong`](crate::Refusal::WaitTooLong), [`Saturated`](crate::Refusal::Saturated),
//! [`ObjectCooling`](crate::Refusal::ObjectCooling), and with
//! [`DeadlineExceeded`](crate::Refusal::DeadlineExceeded) where a wait has lasted until the deadline after all.
//!
//! The client's error type must have room for that: put [`EdgeLayer`](crate::edge::EdgeLayer) below, or box it.

mod account;
mod accounts;
mod adapt;
mod allowance;
mod bucket;
mod config;
mod dispatch;
mod gate;
mod handle;
mod layer;
mod limits;
mod objects;
mod queue;
mod slots;
mod turn;

#[cfg(all(test, shuttle))]
mod shuttle_tests;
#[cfg(test)]
mod tests;

pub use self::{
    config::{GovernorBuilder, GovernorConfig},
    gate::{GovernorGate, Permit, Wait},
    handle::{AccountSnapshot, GovernorHandle},
    layer::GovernorLayer,
    limits::{Bucket, Limit},
};

/// A service that is called as fast as Stripe's rate limits allow. See the [module docs](self).
pub type Governor<S> = crate::vocab::Gated<GovernorGate, S>;
