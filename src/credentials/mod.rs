//! Holds the API key, and goes on through its rotation without losing a call.
//!
//! # What
//! Each attempt of a call that brings no `Authorization` header gets the [`ApiKey`] that is in use. When Stripe does not
//! accept it, its [`CredentialProvider`] is asked for another one, and the call is sent once more under that, with the
//! same idempotency key. A provider is an [`ApiKey`], the [`Environment`], a [`KeyFile`] that is watched for rotation, or
//! one of your own.
//!
//! # Why
//! Keys are rotated, at the latest when one has leaked, and then in a hurry. Without this, every call between the moment
//! the old key ends and the moment the last process has the new one fails with a 401, payments included; or processes
//! are restarted with payments under way. And an API key that application code passes around is printed sooner or later.
//!
//! # When not
//! Where each request is made under another key, as by a platform that holds keys of many accounts. A request that brings
//! an `Authorization` header keeps it, unchanged, and a 401 to it is final: nobody here knows what would replace it. (A
//! platform that acts for connected accounts under a key of its own, by `Stripe-Account`, has one key, and can be helped.)
//!
//! # How a rotation goes
//! 1. A call in ten seconds ([`KeyFile::look_every`]) looks into the file before it is sent. Once there is another key,
//!    all attempts from then on carry it. Where both keys are accepted for a while, as after rolling one in Stripe's dashboard,
//!    nobody notices anything.
//! 2. Should the old key have ended before, attempts under it are answered 401. Of those, one asks the provider, and the
//!    others wait for what it gets. Each is sent once more under the new key: at once, uncounted, also where retries
//!    are forbidden or the retry budget is empty, since Stripe has executed nothing.
//! 3. If the *new* key is not accepted, the one before it is used again: it is kept in a second slot until Stripe has not
//!    accepted it either. The new one is not taken up again until the provider has yet another one.
//!
//! So a call under way loses one attempt at most, or two requests where two keys in a row are bad. Only a 401 of
//! Stripe's own counts, not a proxy's, and none of `connect.stripe.com`, where it is about the client that the body names.
//! While the [auth gate](crate::auth_gate) is closed for a key, calls that it refuses ask the provider, once a second, and
//! go on under the new key as soon as there is one.
//!
//! # What is refused
//! A key that replaces another one must be of the same [mode](crate::vocab::Mode), and have been declared to be of the same
//! account ([`ApiKey::of_account`]), for the idempotency keys that are in use mean nothing in another one. Any other is
//! refused, with a warning in the log, and the old one kept. [`expect_mode`](CredentialsBuilder::expect_mode) goes
//! further: a live configuration cannot be built with a test key, and a request that brings one is refused.
//!
//! # Example
//! ```no_run
//! use tower_stripe::{BoxError, StripeTransport, credentials::ApiKey, edge::hyper_util};
//! use tower::Layer;
//!
//! # fn main() -> Result<(), BoxError> {
//! let key = ApiKey::new(std::env::var("STRIPE_API_KEY")?)?;
//! let stripe = StripeTransport::builder().credentials(key).build()?.layer(hyper_util::Client::new());
//! # let _ = stripe;
//! # Ok(())
//! # }
//! ```
//! Customised: a file that a secret store rotates, of a live account. See [`KeyFile`] for a whole transport.
//! ```no_run
//! use std::time::Duration;
//! use tower_stripe::{credentials::{CredentialsConfig, CredentialsLayer, KeyFile}, vocab::Mode};
//!
//! let file = KeyFile::new("/run/secrets/stripe").look_every(Duration::from_secs(60)).of_account("acct_1Abc");
//! let layer = CredentialsLayer::new(CredentialsConfig::builder().provider(file).expect_mode(Mode::Live).build()?);
//! let keys = layer.handle(); // `keys.look().await` on a signal to reload
//! # let _ = keys;
//! # Ok::<(), tower_stripe::ConfigError>(())
//! ```
//!
//! # Defaults
//! | setting | default |
//! |---|---|
//! | `provider` | none: each request brings its API key |
//! | `expect_mode` | for keys of the provider, the mode of the first one; else any |
//! | `look_every` | of a [`KeyFile`] 10 s; others are asked only when a key is not accepted |
//!
//! A provider that does not answer within 5 s, or before the deadline of the call that asks, counts as having no other key.
//!
//! # How it refuses
//! With [`Refusal::WrongMode`](crate::Refusal::WrongMode). It asks of the error type `TransportError + From<Refused>`.
//!
//! # Where keys are seen
//! In the `Authorization` header of requests within this layer, marked as sensitive. What the client and TLS copy of it is
//! out of reach. Layers outside of this one do not see it: the guard of [`idempotency`](crate::idempotency) takes all calls
//! that bring no key of their own for calls of one account, which they are.

mod api_key;
mod config;
mod engine;
mod error;
mod file;
mod future;
mod handle;
mod layer;
mod provider;
mod service;
mod shared;

pub use self::{
    api_key::{ApiKey, InvalidApiKey},
    config::{CredentialsBuilder, CredentialsConfig},
    error::CredentialError,
    file::KeyFile,
    future::ResponseFuture,
    handle::CredentialsHandle,
    layer::CredentialsLayer,
    provider::{CredentialProvider, Environment, NewestKey},
    service::Credentials,
};
