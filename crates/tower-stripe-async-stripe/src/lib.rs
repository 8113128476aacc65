//! Makes the calls of [async-stripe](https://docs.rs/async-stripe) over `tower-stripe`'s hardened transport.
//!
//! # What
//! [`Client`] implements async-stripe's [`StripeClient`](stripe_client_core::StripeClient) over a
//! [`StripeTransport`](tower_stripe::StripeTransport). Whatever has a `send(&client)` is used unchanged: all generated
//! request crates, their customised requests, lists and searches page by page.
//!
//! # Why
//! async-stripe's own client makes a new connection for each call, retries a POST without an idempotency key unless it was
//! built to make keys, and says of a lost answer only that it was lost. Over this transport each call that can move something
//! has a key, is retried only if Stripe would recognise it, keeps to Stripe's rate limits, and ends with
//! [what to do now](tower_stripe::Advice).
//!
//! # When not
//! For blocking code: only the asynchronous trait is implemented. And where Stripe's API is called in few places, the
//! transport alone will do.
//!
//! # Example
//! ```no_run
//! use stripe_core::customer::CreateCustomer;
//! use tower_stripe::{StripeTransport, edge::hyper_util};
//! use tower_stripe_async_stripe::Client;
//!
//! # async fn sign_up() -> Result<(), Box<dyn std::error::Error>> {
//! let transport = StripeTransport::new(hyper_util::Client::new());
//! let client = Client::new(transport, "sk_test_…")?;
//!
//! let customer = CreateCustomer::new().email("ada@example.com").send(&client).await?;
//! println!("{}", customer.id);
//! # Ok(())
//! # }
//! ```
//! With more to say about one call, by async-stripe's own means and by [`Client::with`]:
//! ```no_run
//! use stripe_client_core::{RequestStrategy, StripeRequest};
//! use stripe_core::refund::CreateRefund;
//! use tower_stripe::{Advice, IdempotencyKey, ReportHandle};
//! use tower_stripe_async_stripe::Client;
//!
//! # async fn refund(client: &Client) {
//! let report = ReportHandle::new();
//! let client = client.with(IdempotencyKey::derive("refund", &["order-8812"])).with(report.clone());
//! let refund = CreateRefund::new().payment_intent("pi_123").customize().account_id("acct_1".into());
//! match refund.send(&client).await {
//!     Ok(refund) => println!("{}: {:?}", refund.id, report.report().request_ids().last()),
//!     Err(error) if error.advice() == Advice::SameKey => println!("try again later with the same key: {error}"),
//!     Err(error) => println!("{error}; advice: {}", error.advice()),
//! }
//! # }
//! ```
//!
//! # What becomes of async-stripe's settings
//! | async-stripe | here |
//! |---|---|
//! | `RequestStrategy::Idempotent(key)` | the [`IdempotencyKey`](tower_stripe::IdempotencyKey); retried as the transport is set to, since the key makes that safe |
//! | `RequestStrategy::Once` | [`RetryLimit::NONE`](tower_stripe::RetryLimit::NONE); with a generated key all the same |
//! | `RequestStrategy::Retry(n)`, `ExponentialBackoff(n)` | [`RetryLimit`](tower_stripe::RetryLimit) of n − 1, after the first attempt; waits, budget and deadline are the transport's |
//! | no strategy | as the transport is set to (async-stripe: once) |
//! | `timeout` | [`AttemptTimeout`](tower_stripe::AttemptTimeout): for each attempt, up to the head of the answer; its body must end before the deadline of the call |
//! | `account_id` | `Stripe-Account` |
//! | API version, `client_id`, `app_info` | `Stripe-Version`, `Client-Id`, the end of `User-Agent` |
//! | `url` | the same, if the transport [allows the host](tower_stripe::transport::Builder::allow_host) |
//!
//! async-stripe's own retries are not used. What a request is customised with stands above [`Client::with`], and that above
//! the client's configuration.
//!
//! # Reports
//! An [`Error`] has the report of its call. A success of async-stripe's is the object alone; for its report, give the call a
//! [`ReportHandle`](tower_stripe::ReportHandle) by [`Client::with`]. The clone of the client is for that one call, so
//! calls that run at the same time cannot mix their reports up. Each page of a list is a call.
//!
//! # How it refuses
//! With [`ConfigError`](tower_stripe::ConfigError) when it is made, with [`InvalidRequest`] and
//! [`Refusal`](tower_stripe::Refusal) when a request cannot be sent, and as the transport does. An answer of more than 64
//! MiB is not read to its end.
//!
//! # Features
//! | feature | default | brings |
//! |---|---|---|
//! | `stripe-error` | no | `From<Error>` for `stripe::StripeError`, for functions that return that |
//!
//! # Secrets
//! Neither [`Client`] nor [`Error`] shows a key or a text of Stripe's. async-stripe's objects and requests show all they have:
//! its feature `redact-generated-debug` changes that.

mod answer;
mod client;
mod error;
mod request;
mod settings;

pub use self::{
    client::Client,
    error::{Error, InvalidRequest},
};

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
