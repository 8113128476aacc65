//! A stateful Stripe that can be told to fail in every way that Stripe and a network can.
//!
//! # What
//!
//! Customers, payment intents, charges, refunds, events and a few resources of v2, with Stripe's rules about idempotency
//! keys, rate limits, locks and errors, reached in-process as a [`tower::Service`] ([`Sim::service`]) or over TCP
//! ([`Server`]). Faults come by chance ([`Faults`]), by script ([`Sim::script`]) or by weather ([`Scenario`]). A [`Ledger`]
//! counts how often each order was really executed, which is the one thing that a client can never know.
//!
//! An order is what must be executed at most once. A request says which it belongs to with the header `X-Sim-Order`, with
//! `metadata[order]` in its query or its form, or with `metadata.order` in its JSON; failing that, each idempotency key is
//! an order, and each method and path.
//!
//! # Why
//!
//! A mock answers what the test expects. It cannot show that a retry charged twice, because nothing in it is charged.
//! Here a request can be executed and its answer lost, or lie in a queue and be executed a minute after the client gave
//! up, and the ledger tells.
//!
//! In-process, under paused tokio time on a single thread, everything repeats exactly: ids, faults and times come from
//! the seed and from tokio's clock.
//!
//! # When not
//!
//! To learn what Stripe accepts, use Stripe's sandbox: parameters that have no part in the simulation are ignored here,
//! unless [`SimBuilder::strict_parameters`] is on, and even then only their names are looked at. Webhooks are not sent.
//! State is never dropped, so memory grows with the number of requests.
//!
//! # Example
//!
//! The answer to a charge is lost, the client tries again with the same key, and the money moves once:
//!
//! ```
//! use http::{Request, StatusCode};
//! use http_body_util::Full;
//! use stripe_sim::{Fault, Limits, Sim, Step};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sim = Sim::builder().seed(7).limits(Limits::unlimited()).build();
//! sim.script("8812", [Step::Fault(Fault::F3)]);
//!
//! let charge = || {
//!     Request::post("http://localhost/v1/payment_intents")
//!         .header("authorization", "Bearer sk_test_sim")
//!         .header("idempotency-key", "order-8812")
//!         .body(Full::from(
//!             "amount=1099&currency=eur&confirm=true&payment_method=pm_card_visa&metadata[order]=8812",
//!         ))
//! };
//! assert!(sim.service().oneshot(charge()?).await.is_err());
//! let response = sim.service().oneshot(charge()?).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! assert_eq!(response.headers()["idempotent-replayed"], "true");
//! assert_eq!(sim.ledger().executions("8812"), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # How it refuses
//!
//! As Stripe does, in this order: limiters (429), API key (401), parameters (400, 404), key store (409, 400), the lock on
//! the object (429), execution (402, 400, 404, 500). The first three and the lock leave no trace in the key store; nor does
//! a parameter that names an object that does not exist. What an execution came to is stored: v1 keeps the answer,
//! whatever it was, for 24 hours; v2 keeps what was achieved for 30 days, and executes a failure again.

mod answer;
mod api_error;
mod body;
mod card;
mod chance;
mod clock;
mod command;
mod control;
mod engine;
mod error;
mod execution;
mod expand;
mod faults;
mod fields;
mod form;
mod keys;
mod latency;
mod ledger;
mod limiter;
mod limits;
mod lists;
mod lock;
mod log;
mod multipart;
mod notice;
mod oauth;
mod objects;
mod page;
mod plan;
pub mod proxy;
mod pull;
mod queue;
mod request;
mod route;
mod scenario;
mod script;
mod server;
mod service;
mod settings;
mod shared;
mod shelf;
mod sim;
mod strict;
#[cfg(feature = "tls")]
mod tls;
mod v2;
mod wire;
mod world;

pub use body::SimBody;
pub use clock::Clock;
pub use error::{SimError, SimErrorKind};
pub use faults::{Fault, FaultKind, Faults};
pub use fields::SettingsError;
pub use latency::{Latency, Profile};
pub use ledger::Ledger;
pub use limits::{Limits, Reason};
pub use log::Exchange;
pub use scenario::{Phase, Scenario};
pub use script::{Canned, Step};
pub use server::Server;
pub use service::{ResponseFuture, SimService};
pub use sim::{Sim, SimBuilder};
