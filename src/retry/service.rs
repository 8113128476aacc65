use std::{
    num::NonZeroU32,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::{
    ResponseFuture, RetryConfig,
    backoff::Jitter,
    budget::Budget,
    engine::{Call, Engine},
};
use crate::vocab::{AttemptTimeout, CallKind, Recorder, Refused, Replay, RetryLimit, TransportError, time};

/// Sends again what may be sent again. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct Retry<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// What all clones share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: RetryConfig,
    pub(super) engine: Engine,
    pub(super) budget: Budget,
    pub(super) jitter: Jitter,
}

impl Shared {
    pub(super) fn new(config: RetryConfig) -> Self {
        let seed = config.jitter_seed.unwrap_or_else(|| getrandom::u64().unwrap_or_else(|_| fallback_seed()));
        Self {
            engine: Engine::new(&config),
            budget: Budget::new(config.budget, time::now()),
            jitter: Jitter::seeded(seed),
            config,
        }
    }
}

/// A seed that differs from process to process where the operating system has none to give.
fn fallback_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

impl<S> Retry<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B, R> Service<Request<B>> for Retry<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: TransportError + From<Refused>,
    B: Replay,
    R: Body,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, R>;

    /// Always ready: each attempt waits for the inner service by itself.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let (recorder, refused) = match Recorder::of_one_call(&mut request) {
            Ok(recorder) => (recorder, None),
            Err(refused) => (Recorder::default(), Some(refused)),
        };
        recorder.take_over(&request);
        let config = &self.shared.config;
        let now = time::now();
        let deadline = recorder.deadline_of(&request, config.deadline);
        let max_attempts = match request.extensions().get::<RetryLimit>() {
            Some(limit) => NonZeroU32::MIN.saturating_add(limit.retries()),
            None => config.max_attempts,
        };
        let attempt_timeout =
            request.extensions().get::<AttemptTimeout>().map_or(Duration::MAX, |i| i.limit());
        // A short deadline is not to rule retries out altogether.
        let half = deadline.saturating_duration_since(now) / 2;
        let min_attempt = config.min_attempt.min(attempt_timeout).min(half);
        let kind = CallKind::of(&request);
        let call = Call { kind, max_attempts, replayable: false, deadline, min_attempt };
        self.shared.budget.deposit(now);
        let shared = Arc::clone(&self.shared);
        ResponseFuture::new(self.inner.clone(), shared, recorder, call, request, refused)
    }
}
