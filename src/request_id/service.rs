use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::{RequestIdLayer, ResponseFuture};

/// Extracts Stripe's `Request-Id`. See the [module docs](super).
#[derive(Clone, Copy, Debug)]
pub struct ExtractRequestId<S> {
    inner: S,
}

impl<S> ExtractRequestId<S> {
    /// Wraps `inner`.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, B, R> Service<Request<B>> for ExtractRequestId<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        RequestIdLayer::new().around(request, |request| self.inner.call(request))
    }
}
