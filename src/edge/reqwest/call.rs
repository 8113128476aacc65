//! reqwest's own requests and responses.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll, ready},
};

use ::reqwest::{Body, ResponseBuilderExt, Url};
use bytes::Bytes;
use http::{Extensions, Request, Response, Uri};
use pin_project::pin_project;
use tower::{Service, ServiceExt, util::Oneshot};

use crate::vocab::{
    AttemptTimeout, BoxError, Deadline, Error, IdempotencyKey, Operation, Priority, Recorder, Refusal,
    Refused, ReportHandle, ResponseExt, RetryLimit, response::sealed,
};

/// Sends reqwest's requests through a stack, and hands reqwest's responses back.
///
/// Of every stack that takes reqwest's bodies and ends in an [`Error`]: `StripeTransport` over a
/// [`Client`](super::Client), or over any other client of such bodies, and with `detach` around it, too.
pub trait ReqwestExt: Sized {
    /// Sends one request, as `reqwest::Client::execute` does. The future can be spawned: it borrows nothing.
    ///
    /// A time limit of the request's own (`RequestBuilder::timeout`) is that of the whole call: its
    /// [`Deadline`].
    ///
    /// # Errors
    /// [`Error`], when there is no response: the call was refused, timed out, or the client failed. Whatever Stripe
    /// answered, 4xx and 5xx included, is a response.
    fn execute(&self, request: ::reqwest::Request) -> Executing<Self>
    where
        Self: Service<Request<Body>>;

    /// As [`execute`](Self::execute), with what there is to say about this one call: reqwest has no place in its requests
    /// for it.
    fn call(&self, request: ::reqwest::Request) -> Call<Self>;
}

impl<S, R, E> ReqwestExt for S
where
    S: Service<Request<Body>, Response = Response<R>, Error = Error<E>> + Clone,
{
    fn execute(&self, request: ::reqwest::Request) -> Executing<Self> {
        Executing::new(self.clone(), request, Extensions::new())
    }

    fn call(&self, request: ::reqwest::Request) -> Call<Self> {
        Call { service: self.clone(), request, intents: Extensions::new() }
    }
}

/// A call that has not begun: say what there is to say about it, and await it.
#[must_use = "nothing is sent until it is awaited, or its `send` is"]
pub struct Call<S> {
    service: S,
    request: ::reqwest::Request,
    intents: Extensions,
}

impl<S> Call<S> {
    /// The key by which Stripe knows the call again. One that differs from a header of the request is refused.
    pub fn idempotency_key(self, key: IdempotencyKey) -> Self {
        self.with(key)
    }

    /// Who goes first.
    pub fn priority(self, priority: Priority) -> Self {
        self.with(priority)
    }

    /// When the call must be over, the body of the response included.
    pub fn deadline(self, deadline: Deadline) -> Self {
        self.with(deadline)
    }

    /// How long each attempt may take up to its response head.
    pub fn attempt_timeout(self, limit: AttemptTimeout) -> Self {
        self.with(limit)
    }

    /// How often it may be retried.
    pub fn retry_limit(self, limit: RetryLimit) -> Self {
        self.with(limit)
    }

    /// One attempt, no retry: [`RetryLimit::NONE`].
    pub fn no_retry(self) -> Self {
        self.with(RetryLimit::NONE)
    }

    /// What it is called in labels and limits.
    pub fn operation(self, operation: Operation) -> Self {
        self.with(operation)
    }

    /// Where to read the account of the call, even after dropping it.
    pub fn report_handle(self, handle: ReportHandle) -> Self {
        self.with(handle)
    }

    fn with<T: Clone + Send + Sync + 'static>(mut self, intent: T) -> Self {
        self.intents.insert(intent);
        self
    }
}

impl<S> Call<S>
where
    S: Service<Request<Body>>,
{
    /// Sends it. The future can be spawned: it borrows nothing.
    ///
    /// # Errors
    /// As [`ReqwestExt::execute`].
    pub fn send(self) -> Executing<S> {
        Executing::new(self.service, self.request, self.intents)
    }
}

impl<S, R, E> IntoFuture for Call<S>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Error<E>>,
    R: http_body::Body + Send + Sync + 'static,
    R::Data: Into<Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<::reqwest::Response, Error<E>>;
    type IntoFuture = Executing<S>;

    fn into_future(self) -> Executing<S> {
        self.send()
    }
}

/// Shows nothing: a request may show its API key.
impl<S> fmt::Debug for Call<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

/// The future of a [`Call`], and of [`ReqwestExt::execute`].
#[pin_project]
pub struct Executing<S>
where
    S: Service<Request<Body>>,
{
    #[pin]
    state: State<Oneshot<S, Request<Body>>>,
}

#[pin_project(project = StateProj)]
enum State<F> {
    /// What reqwest takes for a URL is not one of HTTP's.
    Refused(Option<Refused>),
    Calling {
        #[pin]
        call: F,
        /// That of the response: nothing redirects.
        url: Url,
    },
}

impl<S> Executing<S>
where
    S: Service<Request<Body>>,
{
    fn new(service: S, mut request: ::reqwest::Request, mut intents: Extensions) -> Self {
        // Taken away: within, it would be that of an attempt and its body.
        if let Some(limit) = request.timeout_mut().take()
            && intents.get::<Deadline>().is_none()
        {
            intents.insert(Deadline::after(limit));
        }
        let mut sent = Request::new(request.body_mut().take().unwrap_or_default());
        *sent.method_mut() = request.method().clone();
        *sent.version_mut() = request.version();
        *sent.headers_mut() = std::mem::take(request.headers_mut());
        *sent.extensions_mut() = intents;
        let url = request.url().clone();
        let state = match Uri::try_from(url.as_str()) {
            Ok(uri) => {
                *sent.uri_mut() = uri;
                State::Calling { call: service.oneshot(sent), url }
            }
            Err(_) => {
                let recorder = Recorder::of_one_call(&mut sent);
                let refused = recorder.map(|recorder| recorder.refuse_unread(&sent, Refusal::InvalidUri));
                State::Refused(Some(refused.unwrap_or_else(|reused| reused)))
            }
        };
        Self { state }
    }
}

impl<S, R, E> Future for Executing<S>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Error<E>>,
    R: http_body::Body + Send + Sync + 'static,
    R::Data: Into<Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<::reqwest::Response, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Refused(refused) => {
                refused.take().map_or(Poll::Pending, |refused| Poll::Ready(Err(refused.into())))
            }
            StateProj::Calling { call, url } => {
                let response = ready!(call.poll(cx))?;
                Poll::Ready(Ok(response_of(response, url.clone())))
            }
        }
    }
}

/// The response as one of reqwest's. Its body goes on streaming.
fn response_of<R>(response: Response<R>, url: Url) -> ::reqwest::Response
where
    R: http_body::Body + Send + Sync + 'static,
    R::Data: Into<Bytes>,
    R::Error: Into<BoxError>,
{
    let (mut head, body) = response.into_parts();
    // The one way in for a URL. It cannot fail: nothing is set that could be wrong.
    let with_url = Response::builder().url(url).body(()).unwrap_or_default();
    head.extensions.extend(with_url.into_parts().0.extensions);
    Response::from_parts(head, Body::wrap(body)).into()
}

impl<S> fmt::Debug for Executing<S>
where
    S: Service<Request<Body>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executing").finish_non_exhaustive()
    }
}

impl ResponseExt for ::reqwest::Response {
    fn report_handle(&self) -> Option<&ReportHandle> {
        self.extensions().get()
    }
}

impl sealed::Sealed for ::reqwest::Response {}
