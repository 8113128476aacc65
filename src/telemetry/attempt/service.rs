use std::task::{Context, Poll};

use http::Request;
use tower::Service;

use super::{AttemptSpanLayer, ResponseFuture};

/// Opens a span for each attempt. See the [module docs](crate::telemetry).
#[derive(Clone, Copy, Debug)]
pub struct AttemptSpan<S> {
    inner: S,
    layer: AttemptSpanLayer,
}

impl<S> AttemptSpan<S> {
    pub(super) const fn new(inner: S, layer: AttemptSpanLayer) -> Self {
        Self { inner, layer }
    }
}

/// It asks nothing of responses and errors: what is to be said of them stands in the report.
impl<S, B> Service<Request<B>> for AttemptSpan<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.layer.around(request, |request| self.inner.call(request))
    }
}
