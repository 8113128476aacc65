//! The recommended client: pooled hyper with rustls, HTTP/2 and HTTP/1.1.
//!
//! # What
//!
//! [`Client`] is a [`tower::Service`] of requests, over hyper-util's connection pool. [`Builder`] makes one, with a
//! [`Connector`] that puts one limit around DNS, TCP and TLS together and says by type which of them failed.
//!
//! # Why
//!
//! Any `Service<http::Request<B>>` can carry calls to Stripe. This one adds what decides whether money may have moved:
//!
//! - **It proves more.** Its errors tell a request that never left from one that may have been executed: by the type
//!   of the failure, by whether a connection was chosen at all, and by whether anyone pulled a frame of the request
//!   body ([`Tracked`](crate::vocab::tracked::Tracked)). That last proof also holds for an attempt that timed out.
//! - **It never sends twice by itself.** hyper-util's own resending is off; whoever retries sees every attempt.
//! - **It never reuses a doubtful connection.** If the future of a response is dropped before the response came (timed
//!   out, cancelled), the connection leaves the rotation. HTTP/1.1 closes it; HTTP/2 resets that one stream, and the
//!   other streams on the connection finish.
//!
//! # When not
//!
//! With reqwest already in the program, wrap that instead: one pool is better than two. Behind an HTTP proxy, give
//! [`Builder::build_with`] a connector that knows it.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use tower_stripe::edge::hyper_util::{Builder, Client};
//!
//! let client = Client::new(); // for `Full<Bytes>` bodies
//! let client = Builder::new().build::<Full<Bytes>>(); // the same
//! # let _ = client;
//! ```
//!
//! Customised: a server on loopback that speaks HTTP/2 without TLS.
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use tower_stripe::edge::hyper_util::{Builder, Client};
//!
//! let client: Client<_, Full<Bytes>> = Builder::new()
//!     .http2_only(true)
//!     .connect_timeout(Duration::from_secs(2))
//!     .build();
//! # let _ = client;
//! ```
//!
//! # Defaults
//!
//! | setting | default |
//! |---|---|
//! | [`connect_timeout`](Builder::connect_timeout): DNS, TCP and TLS together | 10 s |
//! | [`http2_only`](Builder::http2_only) | off: ALPN offers `h2` and `http/1.1` |
//! | [`http2_ping_interval`](Builder::http2_ping_interval), [`http2_ping_timeout`](Builder::http2_ping_timeout) | 20 s, 10 s |
//! | [`pool_idle_timeout`](Builder::pool_idle_timeout) | 60 s |
//! | [`pool_max_idle_per_host`](Builder::pool_max_idle_per_host) | 64 |
//! | [`tls_config`](Builder::tls_config) | ring, roots of webpki, no client certificate |
//! | resending by the pool | off, cannot be turned on |
//! | `TCP_NODELAY` | on |
//!
//! Plain `http` is spoken if the URI says so, as a test server on loopback needs it: which hosts may be called, and
//! how, is decided by the transport above, not here.
//!
//! # Errors
//!
//! [`ClientError`] tells its [`Failure`](crate::Failure) by [`TransportError`](crate::TransportError). It is
//! `NotSent` only where that is proven:
//!
//! | what happened | kind | resend |
//! |---|---|---|
//! | no connection | `dns`, `tcp`, `tls`, `connect_timeout`, `connect` | no |
//! | a pooled connection died before it took the request | `canceled` | yes |
//! | the remote end refused the stream (`REFUSED_STREAM`) | `stream_refused` | yes |
//! | the remote end went away (`GOAWAY`) without taking the stream, and the request has content | `stream_refused` | yes |
//! | the request was never given to a connection, or no frame of its content was pulled | as it failed | no |
//!
//! Everything else is `Unknown`. A plain [`legacy::Error`](::hyper_util::client::legacy::Error) tells the same, less
//! the last two rows, which need what only [`Client`] knows about the request.
//!
//! # Limits
//!
//! A caller's own `capture_connection` on a request is replaced by the client's.

mod builder;
mod client;
mod connector;
mod error;

pub use self::{
    builder::{Builder, Https},
    client::{Client, ResponseFuture},
    connector::{ConnectError, ConnectErrorKind, Connecting, Connector, Resolver, ResolverError, Resolving},
    error::ClientError,
};

pub(crate) use self::error::known_failure;
#[cfg(feature = "reqwest")]
pub(in crate::edge) use self::{
    builder::default_tls, client::needs_body, connector::finds, error::is_remote_go_away,
};

#[cfg(test)]
mod tests;
