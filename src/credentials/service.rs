use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, header::AUTHORIZATION};
use tower::Service;

use super::{ResponseFuture, shared::Shared};
use crate::vocab::{Host, Mode, Purpose, Recorder, Refusal, Refused, TransportError};

/// Makes calls under an API key that can be rotated. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct Credentials<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Credentials<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B, R> Service<Request<B>> for Credentials<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: TransportError + From<Refused>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that was polled ready, as the future may use it later.
        let clone = self.inner.clone();
        let service = std::mem::replace(&mut self.inner, clone);
        let shared = Arc::clone(&self.shared);
        let recorder = match Recorder::of_one_call(&mut request) {
            Ok(recorder) => recorder,
            Err(refused) => return ResponseFuture::refused(service, shared, refused),
        };
        if request.headers().contains_key(AUTHORIZATION) {
            let found = Mode::of(request.headers());
            if let Some(expected) = shared.expected.filter(|expected| *expected != found) {
                let entered = recorder.enter(&request, Purpose::First);
                let refused = recorder.refuse_unread(&request, Refusal::WrongMode { expected, found });
                drop(entered.close());
                return ResponseFuture::refused(service, shared, refused);
            }
            return ResponseFuture::calling(service, shared, recorder, request);
        }
        if shared.ring.is_none() {
            return ResponseFuture::calling(service, shared, recorder, request);
        }
        // Of OAuth, a 401 is about the client that is named in the body, and not about the key.
        let heeds_401 = Host::of(request.uri(), recorder.operation(&request)) != Host::Connect;
        ResponseFuture::keyed(service, shared, recorder, request, heeds_401)
    }
}
