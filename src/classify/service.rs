use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::{ClassifyConfig, ResponseFuture};
use crate::vocab::{Purpose, Recorder, StripeBody};

/// Understands what Stripe answered. See the [module docs](super).
#[derive(Clone, Copy, Debug)]
pub struct Classify<S> {
    inner: S,
    config: ClassifyConfig,
}

impl<S> Classify<S> {
    /// Wraps `inner`.
    pub const fn new(inner: S, config: ClassifyConfig) -> Self {
        Self { inner, config }
    }
}

impl<S, B, R> Service<Request<B>> for Classify<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes> + Unpin,
{
    type Response = Response<StripeBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let recorder = Recorder::of(&mut request);
        let entered = recorder.enter(&request, Purpose::First);
        ResponseFuture::new(self.inner.call(request), self.config, recorder, entered)
    }
}
