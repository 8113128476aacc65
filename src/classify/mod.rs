//! Understands what Stripe answered.
//!
//! # What
//! Status, headers and, of an error, a bounded part of the body become an [`Outcome`](crate::Outcome) and a
//! [`Certainty`](crate::Certainty) in the report of the call, and a typed [`StripeError`] in the extensions of the
//! response. The body is handed on byte for byte: what sits above still parses it as if nothing had happened.
//!
//! # Why
//! A status is not enough. 429 may come from a limiter or from a locked object, 409 may mean that a request with the same
//! key is executing now, and a 200 may be a captive portal's. An error body that is not read to its end also costs its
//! HTTP/1.1 connection.
//!
//! # When not
//! The body of a success is never read, buffered or delayed, unless [`buffer`](ClassifyBuilder::buffer) asks for it: then
//! `retry` fetches a success again whose body broke off, if the request is a GET or has a key.
//!
//! # Example
//! ```
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_stripe::{BoxError, Outcome, ResponseExt, classify::{ClassifyLayer, StripeError}};
//! # use bytes::Bytes; use http_body_util::Full;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let client = tower::service_fn(|_: http::Request<()>| async {
//! #     let body = r#"{"error":{"type":"card_error","code":"card_declined","decline_code":"insufficient_funds"}}"#;
//! #     http::Response::builder().status(402).body(Full::from(body)).map_err(BoxError::from)
//! # });
//! let mut client = ServiceBuilder::new().layer(ClassifyLayer::default()).service(client);
//!
//! let request = http::Request::post("https://api.stripe.com/v1/payment_intents").body(())?;
//! let response = client.ready().await?.call(request).await?;
//! assert_eq!(response.outcome(), Some(Outcome::Declined));
//! let error = StripeError::of(&response).expect("stripe's error body");
//! assert_eq!(error.decline_code(), Some("insufficient_funds"));
//! # Ok(())
//! # }
//! ```
//!
//! With other bounds:
//! ```
//! use std::time::Duration;
//! use tower_stripe::classify::{ClassifyConfig, ClassifyLayer};
//!
//! let config = ClassifyConfig::builder().max_bytes(16 * 1024).max_time(Duration::from_millis(500)).build()?;
//! let layer = ClassifyLayer::new(config);
//! # Ok::<(), tower_stripe::ConfigError>(())
//! ```
//!
//! # Declines
//! [`StripeError::decline`] says of a declined payment who can mend it ([`Remedy`]), whether it may be tried again
//! ([`TryAgain`]), and what a shop may say to the payer ([`MessageKey`]). The issuer's advice stands above the code, and
//! what would warn a thief is masked. This crate itself retries no 402.
//! ```
//! use tower_stripe::classify::{MessageKey, Remedy, StripeError, TryAgain};
//!
//! let body = br#"{"error":{"type":"card_error","code":"card_declined","decline_code":"stolen_card"}}"#;
//! let decline = StripeError::parse(body).and_then(|error| error.decline()).expect("a decline");
//! assert_eq!(decline.message(), MessageKey::CardDeclined); // for the payer: no more than that
//! assert_eq!(decline.as_str(), "generic_decline"); // for logs and labels
//! assert_eq!(decline.code().as_str(), "stolen_card"); // for the merchant alone
//! assert_eq!((decline.remedy(), decline.try_again()), (Remedy::AnotherCard, TryAgain::Never));
//! ```
//!
//! # Alerts
//! [`Meaning`] sorts all known error codes by whose business they are: `config` pages a human, `caller` is a defect of the
//! program, `business` is everyday life, `transient` passes.
//!
//! # Tracing
//! [`StripeMakeClassifier`] tells `tower-http`'s `TraceLayer` which answers are failures. A declined card is none.
//! ```
//! use tower_http::trace::TraceLayer;
//! use tower_stripe::classify::StripeMakeClassifier;
//!
//! let trace = TraceLayer::new(StripeMakeClassifier::new());
//! ```
//!
//! # Defaults
//! | setting | default |
//! |---|---|
//! | `max_bytes` of an error body that are read | 64 KiB |
//! | `max_time` for reading it | 1 s |
//! | `buffer`: bytes of a success that are read first | 0 |
//!
//! What exceeds either is handed on unread, and its head alone decides.
//!
//! # How it refuses
//! It does not, and asks nothing of the error type.

mod config;
mod decline;
mod error;
mod future;
mod layer;
mod meaning;
mod service;
mod trace;

#[cfg(test)]
mod tests;

pub use self::{
    config::{ClassifyBuilder, ClassifyConfig},
    decline::{AdviceCode, Decline, DeclineCode, MessageKey, Remedy, TryAgain},
    error::{ClientSecret, RelatedObject, StripeError},
    future::ResponseFuture,
    layer::ClassifyLayer,
    meaning::Meaning,
    service::Classify,
    trace::{StripeClassifier, StripeClassifyEos, StripeMakeClassifier},
};
