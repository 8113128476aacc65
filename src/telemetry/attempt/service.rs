use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;
use tracing::{Span, field::Empty};

use super::ResponseFuture;
use crate::vocab::{Purpose, Recorder};

/// Opens a span for each attempt. See the [module docs](crate::telemetry).
#[derive(Clone, Copy, Debug)]
pub struct AttemptSpan<S> {
    inner: S,
    enabled: bool,
}

impl<S> AttemptSpan<S> {
    pub(super) const fn new(inner: S, enabled: bool) -> Self {
        Self { inner, enabled }
    }
}

impl<S, B, R> Service<Request<B>> for AttemptSpan<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if !self.enabled {
            return ResponseFuture::unseen(self.inner.call(request));
        }
        let recorder = Recorder::of(&mut request);
        let entered = recorder.enter(&request, Purpose::First);
        let span = span(&request, &recorder);
        let inner = span.in_scope(|| self.inner.call(request));
        ResponseFuture::seen(inner, span, recorder, entered)
    }
}

/// (Source of the names: OpenTelemetry's semantic conventions for HTTP clients.)
fn span<B>(request: &Request<B>, recorder: &Recorder) -> Span {
    let span = tracing::info_span!(
        target: "tower_stripe",
        "stripe.attempt",
        otel.name = Empty,
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = request.method().as_str(),
        url.template = Empty,
        server.address = request.uri().host(),
        server.port = request.uri().port_u16().unwrap_or(443),
        http.request.resend_count = Empty,
        http.response.status_code = Empty,
        error.type = Empty,
        stripe.outcome = Empty,
        stripe.certainty = Empty,
        stripe.purpose = Empty,
        stripe.request_id = Empty,
        stripe.idempotency.replayed = Empty,
        stripe.rate_limited_reason = Empty,
        stripe.queued_ms = Empty,
    );
    if !span.is_disabled() {
        let operation = recorder.operation(request);
        let template = operation.template();
        span.record("url.template", template);
        span.record("otel.name", tracing::field::display(format_args!("{} {template}", request.method())));
        // This attempt is counted already.
        let resends = recorder.attempts_made().saturating_sub(1);
        if resends > 0 {
            span.record("http.request.resend_count", resends);
        }
        recorder.last_attempt(|attempt| {
            span.record("stripe.purpose", attempt.purpose.as_str());
            if !attempt.queued.is_zero() {
                span.record("stripe.queued_ms", attempt.queued.as_millis() as u64);
            }
        });
    }
    span
}
