//! Where the stack meets an HTTP client.
//!
//! [`Edge`] makes any `Service<http::Request<_>>` the innermost part of a stack: it turns the client's errors into
//! [`Error`](crate::Error), and writes what they prove into the report. [`hyper_util`] (feature `hyper-util`) is the
//! recommended client, whose errors prove the most.

mod service;

#[cfg(feature = "hyper-util")]
pub mod hyper_util;

pub use self::service::{Edge, ResponseFuture};
