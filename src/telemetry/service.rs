use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::{ResponseFuture, TelemetryLayer};
use crate::vocab::Refused;

/// Counts, traces and logs calls. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct Telemetry<S> {
    inner: S,
    layer: TelemetryLayer,
}

impl<S> Telemetry<S> {
    pub(super) const fn new(inner: S, layer: TelemetryLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S, B, R> Service<Request<B>> for Telemetry<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: From<Refused>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.layer.alone(request, |request| self.inner.call(request))
    }
}
