use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::{ResponseFuture, TimeoutConfig};
use crate::vocab::{AttemptTimedOut, AttemptTimeout, Purpose, Recorder, Refusal, Refused, time};

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
    S::Error: From<Refused> + From<AttemptTimedOut>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let recorder = match Recorder::of_one_call(&mut request) {
            Ok(recorder) => recorder,
            Err(refused) => return ResponseFuture::refused(refused.into()),
        };
        let deadline = recorder.deadline_of(&request, self.config.deadline);
        let intent = request.extensions().get::<AttemptTimeout>().map(|intent| intent.limit());
        let default = || recorder.operation(&request).attempt_timeout();
        let left = deadline.saturating_duration_since(time::now());
        let limit = intent.or(self.config.attempt).unwrap_or_else(default).min(left);
        if limit.is_zero() {
            let refused = recorder.refuse_unread(&request, Refusal::DeadlineExceeded);
            return ResponseFuture::refused(refused.into());
        }
        let entered = recorder.enter(&request, Purpose::First);
        ResponseFuture::calling(self.inner.call(request), limit, recorder, entered)
    }
}
