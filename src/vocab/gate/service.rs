use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::{Gate, ResponseFuture};
use crate::vocab::{Purpose, Recorder, Refused, Replay, TransportError};

/// A service behind a gate. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct Gated<G, S> {
    gate: G,
    inner: S,
}

impl<G, S> Gated<G, S> {
    /// Puts `gate` before `inner`.
    pub const fn new(inner: S, gate: G) -> Self {
        Self { gate, inner }
    }

    /// The gate.
    pub const fn gate(&self) -> &G {
        &self.gate
    }
}

impl<G, S, B, R> Service<Request<B>> for Gated<G, S>
where
    G: Gate,
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: TransportError + From<Refused>,
    B: Replay,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<G, S, B>;

    /// Always ready: each call waits for the inner service by itself, once it is admitted.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match Recorder::of_one_call(&mut request) {
            Ok(recorder) => {
                let entered = recorder.enter(&request, Purpose::First);
                ResponseFuture::new(self.gate.clone(), self.inner.clone(), recorder, entered, request)
            }
            Err(refused) => ResponseFuture::refused(self.gate.clone(), self.inner.clone(), refused),
        }
    }
}
