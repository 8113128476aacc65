use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response};
use tower::Service;

use super::{
    IdempotencyConfig, ResponseFuture, derive,
    engine::{self, Choice},
};
use crate::vocab::{
    ApiVersion, CallKind, IdempotencyKey, InvalidKey, Refusal, ReportHandle, headers::IDEMPOTENCY_KEY,
    key::KeyClock, time,
};

/// Gives every request that can move something its key. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct Idempotency<S> {
    inner: S,
    config: Arc<IdempotencyConfig>,
}

impl<S> Idempotency<S> {
    pub(super) const fn new(inner: S, config: Arc<IdempotencyConfig>) -> Self {
        Self { inner, config }
    }

    fn prepare<B>(&self, request: &mut Request<B>, handle: &ReportHandle) -> Result<(), Refusal> {
        // Whatever becomes of it: nobody within is to print a key.
        conceal(request.headers_mut());
        let kind = CallKind::of(request, handle.operation(request));
        if !kind.heeds_key(request.uri().path()) {
            return Ok(());
        }
        let config = &*self.config;
        let extension = request.extensions().get::<IdempotencyKey>();
        let (key, birth) = match engine::choose(request.headers(), extension)? {
            Choice::Use(key) => {
                let birth = key.birth();
                (key, birth)
            }
            Choice::Generate => (derive::generate(&config.prefix)?, None),
        };
        let limit = if kind.api == ApiVersion::V2 { config.max_age_v2 } else { config.max_age_v1 };
        let now = time::now();
        let clock = KeyClock::start(config.wall_clock.clone(), now, birth, limit);
        let checked = clock.check(now);
        // One header, whatever the caller wrote and however often.
        let mut value = HeaderValue::from_str(key.as_str())
            .map_err(|_| Refusal::InvalidKey(InvalidKey::Character { position: 0 }))?;
        value.set_sensitive(true);
        request.headers_mut().insert(IDEMPOTENCY_KEY, value);
        handle.keyed(key, clock);
        checked
    }
}

/// Keeps the key out of what `Debug` shows of these headers.
pub(super) fn conceal(headers: &mut HeaderMap) {
    // The first line is enough where there are more: those are refused, or were joined to one.
    if let Some(value) = headers.get_mut(IDEMPOTENCY_KEY) {
        value.set_sensitive(true);
    }
}

impl<S, B, R> Service<Request<B>> for Idempotency<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: From<Refusal>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let handle = ReportHandle::of(&mut request);
        match self.prepare(&mut request, &handle) {
            Ok(()) => {
                let handed_on = handle.hand_on(&request);
                ResponseFuture::handed_on(self.inner.call(request), handle, handed_on)
            }
            Err(refusal) => {
                handle.refused_unread(&request, &refusal);
                ResponseFuture::refused(refusal.into())
            }
        }
    }
}
