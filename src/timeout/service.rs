use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::{ResponseFuture, TimeoutConfig, TimeoutLayer};
use crate::vocab::{AttemptTimedOut, Refused};

/// Bounds each attempt. See the [module docs](super).
#[derive(Clone, Copy, Debug)]
pub struct Timeout<S> {
    inner: S,
    layer: TimeoutLayer,
}

impl<S> Timeout<S> {
    /// Wraps `inner`.
    pub const fn new(inner: S, config: TimeoutConfig) -> Self {
        Self::of(inner, TimeoutLayer::new(config))
    }

    pub(super) const fn of(inner: S, layer: TimeoutLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S, B, R> Service<Request<B>> for Timeout<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: From<Refused> + From<AttemptTimedOut>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.layer.around(request, |request| self.inner.call(request))
    }
}
