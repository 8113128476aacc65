//! The client, and the future of its responses.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, Request, Response, Uri, Version};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, Connection, capture_connection};
use tower::Service;

use super::error::{ClientError, is_stream_error};
use super::{Connector, Https};
use crate::vocab::tracked::{SendProof, Tracked, has_content};
use crate::vocab::{BoxError, Recorder};

/// The recommended client. See the [module docs](super).
///
/// Clones share the pool. It is always ready.
pub struct Client<C = Https, B = Full<Bytes>> {
    inner: legacy::Client<Connector<C>, Tracked<B>>,
}

impl Client {
    /// The client at its defaults, for bodies that are in memory. [`Builder`](super::Builder) makes others.
    #[must_use]
    pub fn new() -> Self {
        super::Builder::new().build()
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl<C, B> Client<C, B> {
    pub(super) const fn over(inner: legacy::Client<Connector<C>, Tracked<B>>) -> Self {
        Self { inner }
    }
}

impl<C: Clone, B> Clone for Client<C, B> {
    fn clone(&self) -> Self {
        Self::over(self.inner.clone())
    }
}

impl<C, B> fmt::Debug for Client<C, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl<C, B> Service<Request<B>> for Client<C, B>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Read + Write + Connection + Unpin + Send + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Incoming>;
    type Error = ClientError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let needs_body = needs_body(&request);
        let (head, body) = request.into_parts();
        let (body, proof) = Tracked::new(body);
        let proof = needs_body.then_some(proof);
        if let Some(report) = head.extensions.get::<Recorder>()
            && let Some(proof) = &proof
        {
            report.register_proof(proof.clone());
        }
        let mut request = Request::from_parts(head, body);
        let connection = capture_connection(&mut request);
        ResponseFuture { inner: self.inner.request(request), connection, proof, done: false }
    }
}

/// Whether the head of this request, should it go out alone, leaves its receiver waiting for content.
///
/// Only then does an unpulled body prove anything. Stricter than it need be: a method without defined content, a length
/// or coding by hand, or an old version may each make the head a whole request.
pub(in crate::edge) fn needs_body<B: Body>(request: &Request<B>) -> bool {
    let headers = request.headers();
    matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH)
        && matches!(request.version(), Version::HTTP_11 | Version::HTTP_2)
        && !headers.contains_key(TRANSFER_ENCODING)
        && headers.get_all(CONTENT_LENGTH).iter().all(|length| {
            let length = length.to_str().ok().and_then(|length| length.parse::<u64>().ok());
            length.is_some_and(|length| length > 0)
        })
        && has_content(request.body())
}

/// The future of a response.
///
/// Dropping it before it is done takes its connection out of the rotation.
pub struct ResponseFuture {
    inner: legacy::ResponseFuture,
    /// Set by the pool right before it gives the request to a connection (hyper-util `Client::try_send_request`).
    connection: CaptureConnection,
    /// `None` if the request has no content that could prove anything.
    proof: Option<SendProof>,
    done: bool,
}

impl ResponseFuture {
    fn poison(&self) {
        if let Some(connection) = &*self.connection.connection_metadata() {
            connection.poison();
        }
    }

    /// The pool does not tell, but its connections show it.
    #[cfg(test)]
    pub(super) fn poisoned(&self) -> bool {
        let connection = self.connection.connection_metadata();
        connection.as_ref().is_some_and(|connection| format!("{connection:?}").contains("poisoned: true"))
    }

    #[cold]
    fn fail(&self, error: legacy::Error) -> ClientError {
        // One stream that was reset says nothing about the others. After any other error the connection is going away:
        // it must not be chosen again in the moment before the pool notices.
        if !is_stream_error(&error) {
            self.poison();
        }
        let given_away = self.connection.connection_metadata().is_some();
        ClientError::new(error, given_away, self.proof.as_ref())
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Incoming>, ClientError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.inner).poll(cx));
        self.done = true;
        Poll::Ready(result.map_err(|error| self.fail(error)))
    }
}

/// Poisons before the inner future is dropped, as that hands the connection back to the pool.
impl Drop for ResponseFuture {
    fn drop(&mut self) {
        if !self.done {
            self.poison();
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_head_that_announces_content_needs_its_body() {
        let form = || Full::<Bytes>::from("amount=1099");
        let request = || Request::post("http://sim.test/v1/charges");
        let needed =
            |request: http::request::Builder, body| needs_body(&request.body(body).expect("a request"));
        assert!(needed(request(), form()));
        assert!(needed(request().header(CONTENT_LENGTH, "11"), form()));
        assert!(needed(request().version(Version::HTTP_2), form()));
        assert!(!needed(request(), Full::default()));
        assert!(!needed(request().header(CONTENT_LENGTH, "0"), form()));
        assert!(!needed(request().header(CONTENT_LENGTH, "x"), form()));
        assert!(!needed(request().header(CONTENT_LENGTH, "11").header(CONTENT_LENGTH, "0"), form()));
        assert!(!needed(request().header(TRANSFER_ENCODING, "gzip"), form()));
        assert!(!needed(request().version(Version::HTTP_10), form()));
        for method in [Method::GET, Method::HEAD, Method::DELETE, Method::CONNECT, Method::OPTIONS] {
            assert!(!needed(request().method(method), form()));
        }
    }
}
