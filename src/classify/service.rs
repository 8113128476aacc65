use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::{ClassifyConfig, ClassifyLayer, ResponseFuture};
use crate::vocab::StripeBody;

/// Understands what Stripe answered. See the [module docs](super).
#[derive(Clone, Copy, Debug)]
pub struct Classify<S> {
    inner: S,
    layer: ClassifyLayer,
}

impl<S> Classify<S> {
    /// Wraps `inner`.
    pub const fn new(inner: S, config: ClassifyConfig) -> Self {
        Self::of(inner, ClassifyLayer::new(config))
    }

    pub(super) const fn of(inner: S, layer: ClassifyLayer) -> Self {
        Self { inner, layer }
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.layer.around(request, |request| self.inner.call(request))
    }
}
