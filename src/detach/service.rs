use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::Service;

use super::{DetachHandle, ResponseFuture, shared::Shared};
use crate::vocab::{Operation, Recorder, Refused};

/// Lets calls finish whose callers have gone. See the [module docs](super).
// That the service is `'static`, as a task must be, is said here, where the service is made, and nowhere else: as a bound
// of an impl it would have to hold for every region once a future is spawned, and a boxed error holds a region.
pub struct Detach<S: 'static> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Detach<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }

    /// Watches the calls of all services of this layer, and drains them.
    #[must_use]
    pub fn handle(&self) -> DetachHandle {
        DetachHandle::new(Arc::clone(&self.shared))
    }

    /// Sends one request. The future can be spawned: it borrows nothing. Until it is polled, nothing is sent.
    ///
    /// # Errors
    /// Those of the inner service, and the refusals of this one.
    ///
    /// # Panics
    /// The future, when the inner service panics, with that panic; or when the inner service needs a tokio runtime, or its
    /// timers, and there are none.
    pub fn send<B>(&self, request: Request<B>) -> <Self as Service<Request<B>>>::Future
    where
        Self: Service<Request<B>> + Clone,
    {
        self.clone().call(request)
    }
}

impl<S, B, R> Service<Request<B>> for Detach<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send,
    S::Error: From<Refused> + Send,
    S::Future: Send,
    B: Send + 'static,
    R: Send,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    /// Always ready: each call waits for the inner service by itself, in its task.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // By method and path alone: what the caller calls it decides labels.
        let operation = Operation::resolve(request.method(), request.uri().path());
        if !operation.is_money() {
            return ResponseFuture::in_place(self.inner.clone(), request);
        }
        match Recorder::of_one_call(&mut request) {
            Ok(recorder) => {
                let shared = Arc::clone(&self.shared);
                ResponseFuture::new(self.inner.clone(), request, operation, recorder, shared)
            }
            Err(refused) => ResponseFuture::refused(refused.into()),
        }
    }
}

impl<S: Clone> Clone for Detach<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug> fmt::Debug for Detach<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detach").field("inner", &self.inner).field("handle", &self.handle()).finish()
    }
}
