use std::task::{Context, Poll};

use http::Request;
use tower::Service;
use tracing::{Span, field::Empty};

use super::ResponseFuture;
use crate::vocab::Recorder;

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

/// It asks nothing of responses and errors: what is to be said of them stands in the report.
impl<S, B> Service<Request<B>> for AttemptSpan<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = if self.enabled { span(&request) } else { Span::none() };
        if span.is_disabled() {
            return ResponseFuture::unseen(self.inner.call(request));
        }
        let recorder = request.extensions().get::<Recorder>().cloned();
        recorder.iter().for_each(|recorder| describe(&span, &request, recorder));
        let inner = span.in_scope(|| self.inner.call(request));
        ResponseFuture::seen(inner, span, recorder)
    }
}

/// (Source of the names: OpenTelemetry's semantic conventions for HTTP clients.)
fn span<B>(request: &Request<B>) -> Span {
    tracing::info_span!(
        target: "tower_stripe",
        "stripe.attempt",
        otel.name = request.method().as_str(),
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
    )
}

/// What is known of the attempt before it is sent.
fn describe<B>(span: &Span, request: &Request<B>, recorder: &Recorder) {
    let template = recorder.operation(request).template();
    span.record("url.template", template);
    span.record("otel.name", tracing::field::display(format_args!("{} {template}", request.method())));
    // This one is counted already.
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
