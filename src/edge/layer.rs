use http::Request;
use tower::Layer;

use super::{Edge, ResponseFuture};
use crate::vocab::{Purpose, Recorder};

/// Makes a client the innermost part of a stack. See the [module docs](super).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct EdgeLayer;

impl EdgeLayer {
    /// There is nothing to set.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// Does to a request what the service does, and hands it to `call`.
    pub(crate) fn around<B, F>(
        self,
        mut request: Request<B>,
        call: impl FnOnce(Request<B>) -> F,
    ) -> ResponseFuture<F> {
        let recorder = Recorder::of(&mut request);
        let entered = recorder.enter(&request, Purpose::First);
        ResponseFuture::new(call(request), recorder, entered)
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, client: S) -> Edge<S> {
        Edge::new(client)
    }
}
