use http::Request;
use tower::Layer;

use super::{ResponseFuture, Timeout, TimeoutConfig};
use crate::vocab::{AttemptTimeout, Purpose, Recorder, Refusal, Refused, time};

/// Bounds each attempt. See the [module docs](super).
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeoutLayer {
    config: TimeoutConfig,
}

impl TimeoutLayer {
    /// With these settings.
    #[must_use]
    pub const fn new(config: TimeoutConfig) -> Self {
        Self { config }
    }

    /// Does to a request what the service does, and hands it to `call`.
    pub(crate) fn around<B, F, E: From<Refused>>(
        self,
        mut request: Request<B>,
        call: impl FnOnce(Request<B>) -> F,
    ) -> ResponseFuture<F, E> {
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
        ResponseFuture::calling(call(request), limit, recorder, entered)
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, inner: S) -> Timeout<S> {
        Timeout::of(inner, *self)
    }
}
