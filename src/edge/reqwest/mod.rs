//! reqwest: as the client of a stack, and with its own requests and responses.
//!
//! # What
//!
//! [`Client`] is a [`tower::Service`] of `http` requests over reqwest. [`ReqwestExt`] sends reqwest's own requests through
//! a stack, and hands reqwest's responses back: [`execute`](ReqwestExt::execute) stands in for reqwest's, and
//! [`call`](ReqwestExt::call) takes what there is to say about one call.
//!
//! # Why
//!
//! For programs that make their calls with reqwest already: they go on building requests and reading responses as
//! before, and share its proxy settings, its roots and its resolver.
//!
//! # When not
//!
//! In a program that has no reqwest: [`edge::hyper_util`](crate::edge::hyper_util) has fewer layers, and proves more.
//!
//! # Example
//!
//! ```no_run
//! use tower_stripe::{BoxError, Priority, ResponseExt, StripeTransport, edge::reqwest::{Client, ReqwestExt}};
//!
//! # async fn pay() -> Result<(), BoxError> {
//! # let key = "sk_test_123";
//! let client = Client::new()?;
//! let http = client.get_ref().clone();
//! let stripe = StripeTransport::new(client);
//!
//! let form = [("amount", "1099"), ("currency", "eur")];
//! let request = http.post("https://api.stripe.com/v1/payment_intents").bearer_auth(key).form(&form).build()?;
//! let response: reqwest::Response = stripe.execute(request).await?;
//! println!("{:?} {}", response.advice(), response.text().await?);
//!
//! let request = http.get("https://api.stripe.com/v1/charges?limit=100").bearer_auth(key).build()?;
//! let response = stripe.call(request).priority(Priority::Background).no_retry().await?;
//! # let _ = response;
//! # Ok(())
//! # }
//! ```
//!
//! Customised: with the program's own settings, here a proxy.
//!
//! ```
//! use tower_stripe::{StripeTransport, edge::reqwest::Client};
//!
//! let proxy = reqwest::Proxy::https("http://proxy.internal:3128")?;
//! let stripe = StripeTransport::new(Client::build(Client::builder().proxy(proxy))?);
//! # let _ = stripe;
//! # Ok::<(), reqwest::Error>(())
//! ```
//!
//! What layers leave in the extensions of a response is in those of reqwest's: [`ResponseExt`](crate::ResponseExt) reads the
//! report, and `response.extensions().get::<StripeError>()` the error as it was understood.
//!
//! # Uploads
//!
//! A stream is sent once, and its report says so ([`Stop::Body`](crate::vocab::Stop::Body)). To reqwest every multipart
//! form is a stream, also if all of it is in memory. Where an upload is to be retried, collect it first:
//!
//! ```no_run
//! use http_body_util::{BodyExt, Limited};
//! # use tower_stripe::{BoxError, StripeTransport, edge::reqwest::{Client, ReqwestExt}};
//! # async fn upload(http: reqwest::Client, stripe: StripeTransport<Client>, evidence: Vec<u8>) -> Result<(), BoxError> {
//!
//! let file = reqwest::multipart::Part::bytes(evidence).file_name("evidence.pdf");
//! let form = reqwest::multipart::Form::new().text("purpose", "dispute_evidence").part("file", file);
//! let mut request = http.post("https://files.stripe.com/v1/files").bearer_auth("sk_test_…").multipart(form).build()?;
//!
//! let body = request.body_mut().take().unwrap_or_default();
//! let body = Limited::new(body, 16 << 20).collect().await?.to_bytes();
//! *request.body_mut() = Some(body.into());
//! let response = stripe.execute(request).await?;
//! # let _ = response;
//! # Ok(())
//! # }
//! ```
//!
//! # reqwest-middleware
//!
//! A Tower stack cannot be built around its `Next`, which is borrowed. But the last middleware of a chain need not call
//! it: this one sends what arrives through the stack, and all that are before it work as they did, for each call and
//! not for each attempt. Take a middleware that retries out of the chain.
//!
//! ```
//! use reqwest_middleware::{ClientBuilder, Error, Middleware, Next, Result};
//! use tower_stripe::{Priority, StripeTransport, edge::reqwest::{Client, ReqwestExt}};
//!
//! struct Stripe(StripeTransport<Client>);
//!
//! #[async_trait::async_trait]
//! impl Middleware for Stripe {
//!     async fn handle(
//!         &self,
//!         request: reqwest::Request,
//!         extensions: &mut http::Extensions, // `RequestBuilder::with_extension` puts things there
//!         _: Next<'_>,
//!     ) -> Result<reqwest::Response> {
//!         let mut call = self.0.call(request);
//!         if let Some(priority) = extensions.get::<Priority>() {
//!             call = call.priority(*priority);
//!         }
//!         call.await.map_err(Error::middleware)
//!     }
//! }
//!
//! let client = Client::new()?;
//! let http = client.get_ref().clone();
//! let http = ClientBuilder::new(http).with(Stripe(StripeTransport::new(client))).build();
//! # let _ = http;
//! # Ok::<(), reqwest::Error>(())
//! ```
//!
//! The stack's own [`Error`](crate::Error) is then the source of `Error::Middleware`: `downcast_ref` has it.
//!
//! # Defaults
//!
//! | setting | default |
//! |---|---|
//! | DNS, TCP and TLS, together | 10 s |
//! | idle connections | 60 s, 64 per host |
//! | HTTP/2 pings | every 20 s, idle too; answered within 10 s |
//! | TLS | rustls with ring, roots of webpki; ALPN offers `h2` and `http/1.1` |
//! | retries, redirects | off, cannot be turned on |
//! | time limits of reqwest's | none |
//!
//! # A client that is there already
//!
//! [`Client::wrap`] takes one as it is. It ought to be made with `redirect(Policy::none())`, `retry(retry::never())` and
//! without a time limit, but reqwest has no way to ask it. So this is what holds for a client of which nothing is known:
//!
//! - Whatever has content is sent once. To reqwest each body is a stream, which neither its retries nor its redirects
//!   can send again. What has none may be, under the same key.
//! - An answer from another URL than the one that was asked is an error, [`is_redirected`](ClientError::is_redirected),
//!   and `Unknown`. A redirect to the *same* URL, with another method, is not told from an answer.
//! - Its last exchange proves nothing of those before. Only content of which nothing was pulled proves `NotSent`.
//! - Its default headers are added below the stack, which does not know them. An API key among them looks like a call in
//!   live mode under no key at all: put it on the request.
//!
//! # Errors
//!
//! [`ClientError`] tells its [`Failure`](crate::Failure). It is `NotSent` only where that is proven, as in
//! [`edge::hyper_util`](crate::edge::hyper_util#errors), less what only the pool knows: that a request was never given to a
//! connection. Of a URL that is no URI, the call is refused: [`Refusal::InvalidUri`](crate::Refusal::InvalidUri).
//!
//! # Limits
//!
//! A request that a pooled connection hands back untouched, as it closes, goes to another connection within the same attempt: that
//! is hyper-util's doing, and reqwest does not let it be turned off. It was not sent before.
//!
//! A call that is given up over HTTP/2 resets its stream, but the connection stays in the rotation: reqwest does not let
//! it be taken out. The pings find one that is dead.

mod body;
mod call;
mod client;
mod error;

pub use self::{
    call::{Call, Executing, ReqwestExt},
    client::{Client, ResponseFuture},
    error::ClientError,
};

pub(crate) use self::error::known_failure;

#[cfg(test)]
mod tests;
