//! A sidecar that gives every Stripe SDK, in any language, the hardened transport of `tower-stripe`.
//!
//! # What
//! [`Egress`] serves HTTP/1.1 on loopback. An SDK whose base URL it is sends it what it would send to Stripe; it goes through
//! the full stack, payments detached, and what Stripe answers comes back as it is, with an account of the call in
//! `X-Stripe-Egress-*` headers. Where there is no answer of Stripe's, the client gets one in Stripe's shape, with one of the
//! [`CODES`].
//!
//! # Why
//! The stack is a library for Rust. Services in other languages get the same from a process beside them, without a change of
//! their code.
//!
//! # When not
//! In Rust: use `tower-stripe` itself. Between machines: what passes is in the clear, API keys included.
//!
//! # Example
//! ```no_run
//! use stripe_egress::{Egress, Settings};
//! use tokio::net::TcpListener;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::from_toml("[governor]\nreplicas = 3")?;
//! let listener = TcpListener::bind(settings.listen_addr()).await?;
//! let serving = Egress::new(settings)?.serve(listener, None)?;
//! tokio::signal::ctrl_c().await?;
//! for call in serving.drain().await.unresolved {
//!     println!("look up {}: {:?}", call.operation, call.report.request_ids().last());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Defaults, flags, codes and headers
//! are in the README.

mod account;
mod admin;
mod body;
mod call;
mod egress;
mod forward;
mod headers;
mod intents;
mod lock;
mod notes;
mod refusal;
mod reload;
mod server;
mod settings;
mod shared;
mod upstream;

pub use self::{
    egress::{Drained, Egress, Serving},
    refusal::{CODES, Code},
    reload::Reloaded,
    settings::{Finding, Settings, SettingsError},
};
