//! Extracts Stripe's `Request-Id`.
//!
//! # What
//! The id of each exchange goes into the report of the call, and so to [`ResponseExt::request_id`], to the errors of the
//! stack, and into every attempt's account. Of a replayed answer, the id of the original request is kept too.
//!
//! # Why
//! It is what Stripe's support asks for first, on success no less than on failure.
//!
//! # When not
//! Answers of something in between (a load balancer, a captive portal) have no id, and neither has a lock timeout of
//! Stripe's: do not take its absence for a failure.
//!
//! # Example
//! ```
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_stripe::{BoxError, ResponseExt, request_id::RequestIdLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let client = tower::service_fn(|_: http::Request<()>| async {
//! #     http::Response::builder().header("request-id", "req_4f6DzA").body(()).map_err(BoxError::from)
//! # });
//! let mut client = ServiceBuilder::new().layer(RequestIdLayer::new()).service(client);
//!
//! let request = http::Request::get("https://api.stripe.com/v1/balance").body(())?;
//! let response = client.ready().await?.call(request).await?;
//! assert_eq!(response.request_id().expect("stripe answered").as_str(), "req_4f6DzA");
//! # Ok(())
//! # }
//! ```
//!
//! # How it refuses
//! It does not, and asks nothing of the error type.
//!
//! [`ResponseExt::request_id`]: crate::ResponseExt::request_id

mod future;
mod layer;
mod service;

pub use self::{future::ResponseFuture, layer::RequestIdLayer, service::ExtractRequestId};
