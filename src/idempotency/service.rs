use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response, header::Entry};
use tower::Service;

use super::{
    IdempotencyConfig, ResponseFuture, derive,
    engine::{self, Choice, Required},
    guard::{Guard, Guarded},
};
use crate::vocab::{
    ApiVersion, CallKind, IdempotencyKey, Operation, Recorder, Refusal, Refused, Replay,
    headers::IDEMPOTENCY_KEY, key::KeyClock, time,
};

/// Gives every request that can move something its key. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct Idempotency<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// What all clones share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    config: IdempotencyConfig,
    guard: Option<Arc<Guard>>,
}

impl Shared {
    pub(super) fn new(config: IdempotencyConfig) -> Self {
        let guard = config.guard.clone().map(|guard| Arc::new(Guard::new(guard)));
        Self { config, guard }
    }
}

impl<S> Idempotency<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }

    fn prepare<B: Replay>(&self, request: &mut Request<B>, recorder: &Recorder) -> Result<Guarded, Refusal> {
        // Whatever becomes of it: nobody within is to print a key.
        conceal(request.headers_mut());
        let kind = CallKind::of(request);
        if !kind.heeds_key(request.uri().path()) {
            return Ok(Guarded::Go(None));
        }
        let config = &self.shared.config;
        let extension = request.extensions().get::<IdempotencyKey>();
        let choice = engine::choose(request.headers(), extension)?;
        let required =
            Required { explicit_key: config.require_explicit_key, birth: config.require_key_birth };
        // By method and path alone: what the caller calls it decides labels.
        required.check(&choice, || Operation::resolve(request.method(), request.uri().path()).is_money())?;
        let (key, guard) = match choice {
            Choice::Use(key) => (key, self.shared.guard.as_ref()),
            // Nobody else has it.
            Choice::Generate => (derive::generate(&config.prefix)?, None),
        };
        let limit = if kind.api == ApiVersion::V2 { config.max_age_v2 } else { config.max_age_v1 };
        let now = time::now();
        let clock = KeyClock::start(config.wall_clock.clone(), now, key.birth(), limit);
        let checked = clock.check(now);
        // One header, whatever the caller wrote and however often.
        let mut value = HeaderValue::from_str(key.as_str()).expect("a key is printable ASCII");
        value.set_sensitive(true);
        request.headers_mut().insert(IDEMPOTENCY_KEY, value);
        let guarded = guard.map(|guard| (guard, key.clone()));
        recorder.keyed(key, clock);
        checked?;
        match guarded {
            Some((guard, key)) => guard.enter(request, &key, now, limit, recorder),
            None => Ok(Guarded::Go(None)),
        }
    }
}

/// Keeps the key out of what `Debug` shows of these headers.
pub(super) fn conceal(headers: &mut HeaderMap) {
    if let Entry::Occupied(mut lines) = headers.entry(IDEMPOTENCY_KEY) {
        lines.iter_mut().for_each(|value| value.set_sensitive(true));
    }
}

impl<S, B, R> Service<Request<B>> for Idempotency<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: From<Refused>,
    B: Replay,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let recorder = match Recorder::of_one_call(&mut request) {
            Ok(recorder) => recorder,
            Err(refused) => return ResponseFuture::refused(refused.into()),
        };
        match self.prepare(&mut request, &recorder) {
            Ok(Guarded::Go(turn)) => {
                let handed_on = recorder.hand_on(&request);
                ResponseFuture::handed_on(self.inner.call(request), recorder, handed_on, turn)
            }
            Ok(Guarded::Wait(turn)) => {
                // Its own clone, which it asks for readiness when its turn has come: what this one holds for being ready
                // is not to be held during the wait.
                let deadline = self.shared.guard.as_ref().and_then(|guard| guard.deadline());
                let deadline = recorder.deadline_of(&request, deadline);
                recorder.held_back();
                ResponseFuture::waiting(self.inner.clone(), request, recorder, turn, deadline)
            }
            Err(refusal) => ResponseFuture::refused(recorder.refuse_unread(&request, refusal).into()),
        }
    }
}
