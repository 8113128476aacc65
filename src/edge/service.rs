use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project::pin_project;
use tower::Service;

use super::EdgeLayer;
use crate::vocab::{Error, Recorder, TransportError, report::Entered};

/// The innermost part of a stack. See the [module docs](super).
#[derive(Clone, Copy, Debug)]
pub struct Edge<S> {
    client: S,
}

impl<S> Edge<S> {
    /// Wraps a client.
    pub const fn new(client: S) -> Self {
        Self { client }
    }
}

impl<S, B, R> Service<Request<B>> for Edge<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: TransportError,
{
    type Response = Response<R>;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.client.poll_ready(cx).map_err(Error::transport)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        EdgeLayer::new().around(request, |request| self.client.call(request))
    }
}

/// The future of [`Edge`].
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F> {
    #[pin]
    inner: F,
    recorder: Recorder,
    entered: Option<Entered>,
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(inner: F, recorder: Recorder, entered: Entered) -> Self {
        Self { inner, recorder, entered: Some(entered) }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: TransportError,
{
    type Output = Result<Response<R>, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = ready!(this.inner.poll(cx));
        let entered = this.entered.take();
        match &mut result {
            Ok(response) => {
                if let Some(entered) = &entered {
                    entered.answered(response.status(), response.headers());
                }
                this.recorder.attach(response);
            }
            Err(error) => this.recorder.failed(error.failure()),
        }
        entered.map(Entered::close);
        Poll::Ready(
            result.map_err(|error| Error::transport(error).with_report(this.recorder.handle().clone())),
        )
    }
}
