use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::Service;

use super::{ResponseFuture, shared::Shared, watch::Watch};
use crate::vocab::{Recorder, Refused};

/// Counts, traces and logs calls. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct Telemetry<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Telemetry<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
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

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if !self.shared.config.enabled {
            return ResponseFuture::unseen(self.inner.call(request));
        }
        match Recorder::of_one_call(&mut request) {
            Ok(recorder) => {
                let watch = Watch::begin(&self.shared, &recorder, &request);
                let handed_on = recorder.hand_on(&request);
                let inner = watch.span().in_scope(|| self.inner.call(request));
                ResponseFuture::watched(inner, handed_on, watch)
            }
            Err(refused) => {
                // Nobody could hear it yet.
                let watch = Watch::begin(&self.shared, &Recorder::of_refused(&refused), &request);
                watch.refused(refused.refusal());
                ResponseFuture::refused(refused, watch)
            }
        }
    }
}
