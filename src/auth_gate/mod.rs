//! Fails calls at once while Stripe does not accept their API key.
//!
//! # What
//! After three 401s in a row for one API key, the gate closes for that key: calls with it are refused, `NotSent`, until
//! a probe, one call every 30 s, is answered by anything but a 401. Other keys are not concerned.
//!
//! # Why
//! A key that was revoked, or rolled over, fails every call until somebody changes it. Sending them all the same uses up
//! the quota of the account, hides the cause behind thousands of 401s, and looks to Stripe like somebody trying keys.
//!
//! # What counts
//! A 401 counts only if it is Stripe's own: JSON with a `Request-Id`, or an error body that was understood. The page of a
//! proxy does not. Any other answer of Stripe's shows that the key is accepted, a 403 included. A limiter's 429 and a 5xx
//! show nothing: they may come before the key was looked at. (Source: the order in which Stripe's limiters,
//! authentication and API answer, as its guides to rate limits and errors describe it.)
//!
//! Answers of `connect.stripe.com` do not count: of OAuth, a 401 is about the client that the body names. Nor does what was
//! sent before the gate closed, or the stack's own GET.
//!
//! # When not
//! Where one process makes calls under keys of many others, of which few are good: it remembers 256 bad ones.
//!
//! # Example
//! ```
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//! use tower_stripe::{BoxError, auth_gate::{AuthGateConfig, AuthGateLayer}};
//! # let client = tower::service_fn(|_: http::Request<String>| async { Ok::<_, BoxError>(http::Response::new(String::new())) });
//!
//! let layer = AuthGateLayer::default();
//! // … or
//! let layer = AuthGateLayer::new(AuthGateConfig::builder().probe_interval(Duration::from_secs(5)).build()?);
//! let gate = layer.handle();
//! let client = ServiceBuilder::new().layer(layer).service(client);
//! assert_eq!(gate.blocked(), 0);
//! # Ok::<(), tower_stripe::ConfigError>(())
//! ```
//!
//! # Defaults
//! | setting | default |
//! |---|---|
//! | `enabled` | yes |
//! | `rejections` | 3 in a row |
//! | `probe_interval` | 30 s |
//!
//! # Metrics
//! `auth_gate_blocked_keys`, of a [handle](AuthGateHandle) that a telemetry layer
//! [watches](crate::vocab::Source); the transport's watches it. What it refuses is in `refusals_total`.
//!
//! # How it refuses
//! With [`Refusal::AuthBlocked`](crate::Refusal::AuthBlocked), which says when the key is tried again.
//!
//! # What it remembers
//! Of a key that was rejected, a hash under a secret of this process, and a count. While no key is bad, a call costs one
//! atomic read, and no lock.

mod config;
mod engine;
mod gate;
mod handle;
mod layer;

pub use self::{
    config::{AuthGateBuilder, AuthGateConfig},
    gate::{AuthGate, Permit},
    handle::AuthGateHandle,
    layer::{Auth, AuthGateLayer},
};
