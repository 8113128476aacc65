//! Connecting: one limit around all of it, and a type that says which part failed.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, io};

use http::Uri;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use pin_project::pin_project;
use tokio::time::{Timeout, timeout};
use tower::Service;

use crate::vocab::BoxError;
use crate::vocab::transport_error::{Failure, FailureKind, TransportError};

/// Puts one time limit around a connector, and types its errors. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct Connector<C> {
    inner: C,
    limit: Duration,
}

impl<C> Connector<C> {
    /// Wraps `inner`, a `Service<Uri>` that connects, and gives it `limit` for all it does.
    pub fn new(inner: C, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl<C> Service<Uri> for Connector<C>
where
    C: Service<Uri>,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = ConnectError;
    type Future = Connecting<C::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(ConnectError::new)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        Connecting(Box::pin(timeout(self.limit, self.inner.call(destination))))
    }
}

/// The future of a connection.
// Boxed because hyper-util asks for an `Unpin` future, which neither tokio's timer nor an `async` connector is.
pub struct Connecting<F>(Pin<Box<Timeout<F>>>);

impl<F, T, E> Future for Connecting<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, ConnectError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.0.as_mut().poll(cx)) {
            Ok(result) => result.map_err(ConnectError::new),
            Err(elapsed) => Err(ConnectError { kind: ConnectErrorKind::Timeout, source: elapsed.into() }),
        })
    }
}

impl<F> fmt::Debug for Connecting<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").finish_non_exhaustive()
    }
}

/// Why there is no connection. Nothing was sent.
#[derive(Debug)]
pub struct ConnectError {
    kind: ConnectErrorKind,
    source: BoxError,
}

/// Which part of connecting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectErrorKind {
    /// The name could not be resolved.
    Dns,
    /// The TCP connection failed, at once or during the TLS handshake.
    Tcp,
    /// The TLS handshake was refused: by a certificate, or because the other end does not speak TLS.
    Tls,
    /// The connect limit passed.
    Timeout,
    /// The connector does not tell.
    Other,
}

impl ConnectError {
    #[cold]
    fn new(error: impl Into<BoxError>) -> Self {
        let source = match error.into().downcast::<Self>() {
            Ok(own) => return *own,
            Err(source) => source,
        };
        // The kind is a label only: whatever it is, a failure to connect has sent nothing. That is why it may look at
        // what kinds of errors are in the chain at all.
        let kind = if finds::<ResolverError>(&*source) {
            ConnectErrorKind::Dns
        } else if finds::<rustls::Error>(&*source) {
            ConnectErrorKind::Tls
        } else if finds::<io::Error>(&*source) {
            ConnectErrorKind::Tcp
        } else {
            ConnectErrorKind::Other
        };
        Self { kind, source }
    }

    /// Which part of connecting failed.
    #[must_use]
    pub fn kind(&self) -> ConnectErrorKind {
        self.kind
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ConnectErrorKind::Dns => "the host name could not be resolved",
            ConnectErrorKind::Tcp => "the tcp connection failed",
            ConnectErrorKind::Tls => "the tls handshake was refused",
            ConnectErrorKind::Timeout => "connecting took too long",
            ConnectErrorKind::Other => "no connection could be made",
        };
        write!(f, "{what}, nothing was sent")
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

impl TransportError for ConnectError {
    fn failure(&self) -> Failure {
        Failure::not_sent(match self.kind {
            ConnectErrorKind::Dns => FailureKind::Dns,
            ConnectErrorKind::Tcp => FailureKind::Tcp,
            ConnectErrorKind::Tls => FailureKind::Tls,
            ConnectErrorKind::Timeout => FailureKind::ConnectTimeout,
            ConnectErrorKind::Other => FailureKind::Connect,
        })
    }

    fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self)
    }
}

/// Whether `error` or anything it wraps is an `E`.
pub(in crate::edge) fn finds<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        // An io error's `source` is that of the error it wraps, so it would be skipped itself, and rustls' error is
        // always wrapped so.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

/// Types the errors of a resolver, so that [`ConnectError`] can say [`Dns`](ConnectErrorKind::Dns).
///
/// For a resolver of your own: put it into this, that into hyper-util's `HttpConnector::new_with_resolver`, and the
/// connector into [`Builder::build_with`](super::Builder::build_with).
#[derive(Clone, Debug)]
pub struct Resolver<R = GaiResolver>(R);

impl<R> Resolver<R> {
    /// Wraps `inner`, a `Service<Name>` that resolves names to addresses.
    pub fn new(inner: R) -> Self {
        Self(inner)
    }
}

/// The system's resolver.
impl Default for Resolver {
    fn default() -> Self {
        Self(GaiResolver::new())
    }
}

impl<R> Service<Name> for Resolver<R>
where
    R: Service<Name>,
    R::Error: Into<BoxError>,
{
    type Response = R::Response;
    type Error = ResolverError;
    type Future = Resolving<R::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx).map_err(|error| ResolverError(error.into()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Resolving(self.0.call(name))
    }
}

/// The future of a resolved name.
#[derive(Debug)]
#[pin_project]
pub struct Resolving<F>(#[pin] F);

impl<F, T, E> Future for Resolving<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, ResolverError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().0.poll(cx).map_err(|error| ResolverError(error.into()))
    }
}

/// The error of a [`Resolver`].
#[derive(Debug)]
pub struct ResolverError(BoxError);

impl fmt::Display for ResolverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the resolver failed")
    }
}

impl StdError for ResolverError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}
