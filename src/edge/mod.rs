//! Where the stack meets an HTTP client.
//!
//! [`Edge`] ([`EdgeLayer`]) makes any `Service<http::Request<_>>` the innermost part of a stack: it turns the client's errors into
//! [`Error`](crate::Error), and writes what they prove into the report. [`hyper_util`] (feature `hyper-util`) is the
//! recommended client, whose errors prove the most. [`reqwest`] (feature `reqwest`) is for programs that have reqwest.
//!
//! `StripeTransport` has an edge of its own. Single layers that can refuse or time out need an error type that has room
//! for it, and an edge below them is the way to get one:
//!
//! ```
//! use tower::ServiceBuilder;
//! use tower_stripe::edge::EdgeLayer;
//! # let client = tower::service_fn(|_: http::Request<()>| async { Err::<http::Response<()>, _>(std::io::Error::other("lost")) });
//!
//! // `Error<std::io::Error>` instead of `std::io::Error`; any layer of this crate fits on top.
//! let client = ServiceBuilder::new().layer(EdgeLayer::new()).service(client);
//! ```
//!
//! A client whose error type is not known here, and is another crate's, is boxed first: `.map_err(BoxError::from)`. What
//! it did not send can then not be proven, and is reported as `Unknown`.
//!
//! The client must neither follow redirects nor retry by itself: what it reports is its last exchange, and an earlier one
//! may have charged a card.

mod boxed;
mod layer;
mod service;

#[cfg(feature = "hyper-util")]
pub mod hyper_util;
#[cfg(feature = "reqwest")]
pub mod reqwest;
#[cfg(feature = "hyper-util")]
mod told;

pub use self::{
    layer::EdgeLayer,
    service::{Edge, ResponseFuture},
};
