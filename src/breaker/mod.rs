//! Leaves alone what has been failing, and finds out carefully when it is back.
//!
//! # What
//! One circuit for each partition: host × mode (live, sandbox) × traffic (reads, writes). A circuit that has seen too
//! many failures opens: calls are refused at once, `NotSent`. After an interval one probe at a time is let through.
//! When three have succeeded it closes, and over half a second the share of calls that it admits grows from a tenth to
//! all.
//!
//! It opens when at least 50 % of at least 50 calls of the last minute failed, or ten in a row did; as an option also
//! when too many were slow. A row is ended by a success that was *sent* after it began, since what was sent before an
//! outage and comes back during it says nothing; and it opens only once it has lasted as long as a success usually
//! takes (a second at most), and unless more successes than failures came back meanwhile, since failures are often
//! faster than successes.
//!
//! | counts | what |
//! |---|---|
//! | as a failure | 5xx; a timeout, a lost connection, or what is not HTTP; an attempt whose caller went away after 10 s |
//! | as a success | 2xx, and any 4xx of Stripe's own but 429: declines, wrong parameters, missing objects are Stripe at work; a lock timeout |
//! | not at all | a limiter's 429, redirects, answers of something in between, attempts given up early or refused |
//! | locally | failures to connect: DNS, TCP, TLS |
//!
//! Failures to connect open a *local* circuit of the host instead, for which the fault is most likely on this side.
//! Many calls wait for one connection: a connection that cannot be made is one failure, however many waited for it, and
//! as many as four where it took longer than a second to fail.
//!
//! # Why
//! Calls to a service that is down wait for their timeouts, keep everything above them busy, and are what it has to work
//! off when it comes back. Stripe sheds reads and the sandbox first, so an outage of these must not stop live payments.
//!
//! # When not
//! Where the calls of one process are few and far between: ten failures in a row within a minute are hardly ever seen
//! then, and the breaker has nothing to say.
//!
//! # Probes
//! Any GET may probe reads. A write is not sent just to see whether Stripe is back, as long as a GET can tell:
//!
//! * An open write circuit whose interval is over wants a GET that Stripe itself has answered since it opened. The
//!   reads of the same host and mode show that, or their probe does. Where no caller sends a GET, the write sends one
//!   of its own first, a GET of `/v1/` with its API key (for `api.stripe.com` and `files.stripe.com`).
//! * Then one write at a time is let through. First those that move no money and may be repeated; money with a retry
//!   left only if 250 ms brought none of them; what cannot be repeated only after another 2 s.
//! * After three rounds in which GETs gave no evidence, halfway to the next GET, and where none may be sent, writes are
//!   probed without.
//!
//! A probe holds a lease. One that is not over after 5 s has failed; one that is dropped frees it; after one that said
//! nothing, as a limiter's 429, the next waits for a second. Three that succeed too late, one after the other, close it
//! as well: some calls always take longer. Anything else that was admitted before a transition says nothing about the
//! time after it, and is ignored.
//!
//! # Example
//! ```
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//! use tower_stripe::{
//!     BoxError,
//!     breaker::{BreakerConfig, BreakerLayer, Partition, State, Traffic},
//!     vocab::{Host, Mode},
//! };
//! # let client = tower::service_fn(|_: http::Request<http_body_util::Full<bytes::Bytes>>| async {
//! #     Ok::<_, BoxError>(http::Response::new(String::new()))
//! # });
//!
//! let layer = BreakerLayer::default();
//! // … or
//! let layer = BreakerLayer::new(BreakerConfig::builder().max_interval(Duration::from_secs(30)).build()?);
//! let breaker = layer.handle();
//! let client = ServiceBuilder::new().layer(layer).service(client);
//! # let _ = client;
//!
//! let payments = Partition { host: Host::Api, mode: Mode::Live, traffic: Traffic::Write };
//! assert_eq!(breaker.state(payments), State::Closed);
//! breaker.force_open(payments); // … until breaker.automatic(payments)
//! assert_eq!(breaker.state(payments), State::Open);
//! # Ok::<(), tower_stripe::ConfigError>(())
//! ```
//!
//! # Defaults
//! | setting | default |
//! |---|---|
//! | `window` | 60 s, in ten buckets |
//! | `failure_ratio`, `min_calls` | 50 % of at least 50 calls |
//! | `consecutive_failures` | 10 |
//! | `slow_calls` | off |
//! | `abandoned_after` | 10 s |
//! | `base_interval`, `max_interval` | 1 s × 2ⁿ, at most 5 s, jittered over the upper half |
//! | `probe_lease`, `probe_successes` | 5 s, 3 |
//! | `ramp` | 0.5 s |
//! | `probe_grace`, `money_grace` | 100 ms, 250 ms |
//! | `synthetic_probes`, `local` | on |
//!
//! # Metrics
//! `breaker_state`, `breaker_transitions_total`, `breaker_probes_total`, `breaker_failure_ratio` and
//! `breaker_window_attempts`, by circuit, of a [handle](BreakerHandle) that a telemetry layer
//! [watches](crate::vocab::Source); the transport's watches it. What it refuses is in `refusals_total`.
//!
//! # How it refuses
//! With [`Refusal::CircuitOpen`](crate::Refusal::CircuitOpen), which says when a call may be worth trying again. Calls
//! that were admitted, and still wait for their turn further in when the circuit opens, are refused too.
//!
//! # What it costs
//! One lock for each host, held for a few instructions when a call is admitted and when it ends; no task, no timer. A
//! subscriber to its [transitions](BreakerHandle::subscribe) is told outside of it.

mod config;
mod engine;
mod gate;
mod handle;
mod layer;
mod sample;
mod state;
mod tally;
mod waiters;

#[cfg(all(test, shuttle))]
mod shuttle_tests;

pub use self::{
    config::{BreakerBuilder, BreakerConfig},
    gate::{BreakerGate, Permit},
    handle::BreakerHandle,
    layer::{Breaker, BreakerLayer},
    state::{Circuit, CircuitSnapshot, Control, Partition, Scope, State, Traffic, Transition, Why},
};
