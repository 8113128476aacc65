//! The client, and the future of its responses.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::reqwest::{ClientBuilder, Url, redirect, retry};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project::pin_project;
use tower::Service;

use super::ClientError;
use crate::edge::hyper_util::{default_tls, needs_body};
use crate::vocab::tracked::{SendProof, Tracked};
use crate::vocab::{BoxError, Recorder};

/// reqwest as the client of a stack. See the [module docs](super).
///
/// Clones share the pool. It is always ready.
#[derive(Clone)]
pub struct Client {
    inner: ::reqwest::Client,
    /// Whether it was built here, so that an error of it can only be one of the last exchange.
    ours: bool,
}

impl Client {
    /// A client with the [settings](super#defaults) that we recommend.
    ///
    /// # Errors
    /// reqwest's, where it cannot be built.
    pub fn new() -> Result<Self, ::reqwest::Error> {
        Self::build(Self::builder())
    }

    /// The [settings](super#defaults) that we recommend, to change some: end in [`build`](Self::build).
    pub fn builder() -> ClientBuilder {
        let mut tls = default_tls();
        // reqwest names no protocols in a configuration that it is given.
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        ::reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(64)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            // A connection that died while it idled is found by a ping rather than by a payment.
            .http2_keep_alive_while_idle(true)
    }

    /// A client with settings of your own: a proxy, other roots, another resolver. Its retries and redirects are turned
    /// off, whatever was set. It should have no time limit of its own, but for connecting. A TLS configuration of your own
    /// must name its protocols for ALPN, or HTTP/2 is never spoken.
    ///
    /// # Errors
    /// reqwest's, where it cannot be built.
    pub fn build(builder: ClientBuilder) -> Result<Self, ::reqwest::Error> {
        let inner = builder.redirect(redirect::Policy::none()).retry(retry::never()).build()?;
        Ok(Self { inner, ours: true })
    }

    /// A client that is there already, so that there need not be a second pool.
    ///
    /// reqwest does not tell whether a client follows redirects, and less is proven therefore: see
    /// [what a foreign client proves](super#a-client-that-is-there-already).
    #[must_use]
    pub const fn wrap(client: ::reqwest::Client) -> Self {
        Self { inner: client, ours: false }
    }

    /// reqwest's own: to make requests by, and for what is not a call to Stripe.
    #[must_use]
    pub const fn get_ref(&self) -> &::reqwest::Client {
        &self.inner
    }
}

/// Shows nothing: among what reqwest shows of a client are its default headers.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for Client
where
    B: Body + Send + Sync + 'static,
    B::Data: Into<Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<::reqwest::Body>;
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
        // To reqwest it is a stream, which it cannot have twice: what has content it cannot send again, whatever its
        // policies are (reqwest `Body::try_clone`, asked by its retries and by its redirects).
        let request = Request::from_parts(head, ::reqwest::Body::wrap(body));
        let state = match ::reqwest::Request::try_from(request) {
            Ok(request) => {
                let asked = (!self.ours).then(|| request.url().clone());
                State::Pending { inner: self.inner.call(request), proof, asked }
            }
            Err(error) => State::Failed(Some(ClientError::unsent(error))),
        };
        ResponseFuture { state, ours: self.ours }
    }
}

type Pending = <::reqwest::Client as Service<::reqwest::Request>>::Future;

/// The future of a response.
#[pin_project]
pub struct ResponseFuture {
    #[pin]
    state: State,
    ours: bool,
}

#[pin_project(project = StateProj)]
enum State {
    /// It is no request.
    Failed(Option<ClientError>),
    Pending {
        #[pin]
        inner: Pending,
        /// `None` if the request has no content that could prove anything.
        proof: Option<SendProof>,
        /// What was asked for, where an answer from elsewhere is possible.
        asked: Option<Url>,
    },
}

impl Future for ResponseFuture {
    type Output = Result<Response<::reqwest::Body>, ClientError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.state.project() {
            StateProj::Failed(error) => error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
            StateProj::Pending { inner, proof, asked } => {
                let result = ready!(inner.poll(cx));
                Poll::Ready(match result {
                    Ok(response) if asked.as_ref().is_some_and(|asked| asked != response.url()) => {
                        Err(ClientError::redirected())
                    }
                    Ok(response) => Ok(response.into()),
                    Err(error) => Err(ClientError::new(error, *this.ours, proof.as_ref())),
                })
            }
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
