use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::{ResponseFuture, TimeoutConfig};
use crate::vocab::{AttemptTimedOut, AttemptTimeout, Deadline, Purpose, Refusal, ReportHandle, time};

/// Bounds each attempt. See the [module docs](super).
#[derive(Clone, Copy, Debug)]
pub struct Timeout<S> {
    inner: S,
    config: TimeoutConfig,
}

impl<S> Timeout<S> {
    /// Wraps `inner`.
    pub const fn new(inner: S, config: TimeoutConfig) -> Self {
        Self { inner, config }
    }
}

impl<S, B, R> Service<Request<B>> for Timeout<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: From<Refusal> + From<AttemptTimedOut>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let handle = ReportHandle::of(&mut request);
        let operation = handle.operation(&request);
        let now = time::now();
        let deadline = handle.deadline_or(|| {
            let intent = request.extensions().get::<Deadline>().copied();
            let default = || Deadline::after(self.config.deadline.unwrap_or_else(|| operation.deadline()));
            intent.unwrap_or_else(default).instant(now)
        });
        let left = deadline.saturating_duration_since(now);
        if left.is_zero() {
            let refusal = Refusal::DeadlineExceeded;
            handle.refused(&refusal);
            return ResponseFuture::refused(refusal.into());
        }
        let intent = request.extensions().get::<AttemptTimeout>().map(|intent| intent.0);
        let limit = intent.or(self.config.attempt).unwrap_or_else(|| operation.attempt_timeout()).min(left);
        let entered = handle.enter(&request, Purpose::First);
        ResponseFuture::calling(self.inner.call(request), limit, handle, entered)
    }
}
