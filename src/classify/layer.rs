use http::Request;
use http_body::Body;
use tower::Layer;

use super::{Classify, ClassifyConfig, ResponseFuture};
use crate::vocab::{Purpose, Recorder};

/// Understands what Stripe answered. See the [module docs](super).
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassifyLayer {
    config: ClassifyConfig,
}

impl ClassifyLayer {
    /// With these settings.
    #[must_use]
    pub const fn new(config: ClassifyConfig) -> Self {
        Self { config }
    }

    /// Does to a request what the service does, and hands it to `call`.
    pub(crate) fn around<B, F, R: Body>(
        self,
        mut request: Request<B>,
        call: impl FnOnce(Request<B>) -> F,
    ) -> ResponseFuture<F, R> {
        let recorder = Recorder::of(&mut request);
        let entered = recorder.enter(&request, Purpose::First);
        ResponseFuture::new(call(request), self.config, recorder, entered)
    }
}

impl<S> Layer<S> for ClassifyLayer {
    type Service = Classify<S>;

    fn layer(&self, inner: S) -> Classify<S> {
        Classify::of(inner, *self)
    }
}
