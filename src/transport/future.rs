use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project::pin_project;
use tower::{Service, util::Oneshot};

use super::{hosts::Checked, service::Call};
use crate::{
    telemetry,
    vocab::{Error, Replay, ReportHandle, StripeBody, TransportError},
};

/// A call that is counted, traced and logged, and goes on only if it is for Stripe.
type Observed<F> = telemetry::ResponseFuture<Checked<F>>;

/// The future of [`StripeTransport`](super::StripeTransport).
#[pin_project]
pub struct ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: TransportError,
    B: Replay,
    R: Body<Data = Bytes> + Unpin,
{
    #[pin]
    inner: Observed<<Call<S> as Service<Request<B>>>::Future>,
    handle: Option<ReportHandle>,
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: TransportError,
    B: Replay,
    R: Body<Data = Bytes> + Unpin,
{
    pub(super) const fn new(
        inner: Observed<<Call<S> as Service<Request<B>>>::Future>,
        handle: Option<ReportHandle>,
    ) -> Self {
        Self { inner, handle }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: TransportError,
    B: Replay,
    R: Body<Data = Bytes> + Unpin,
{
    type Output = Result<Response<StripeBody<R>>, Error<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        Poll::Ready(result.map_err(|error| match this.handle.take() {
            Some(handle) => error.with_report(handle),
            None => error,
        }))
    }
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: TransportError,
    B: Replay,
    R: Body<Data = Bytes> + Unpin,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// The future of [`StripeTransport::send`](super::StripeTransport::send).
#[pin_project]
pub struct Sending<S, B>
where
    S: Service<Request<B>>,
{
    #[pin]
    call: Oneshot<S, Request<B>>,
}

impl<S, B> Sending<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) const fn new(call: Oneshot<S, Request<B>>) -> Self {
        Self { call }
    }
}

impl<S, B> Future for Sending<S, B>
where
    S: Service<Request<B>>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().call.poll(cx)
    }
}

/// Shows nothing: before it is polled it holds the request, with the API key and the body.
impl<S, B> fmt::Debug for Sending<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}
