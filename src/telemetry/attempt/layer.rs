use http::{Request, uri::Scheme};
use tower::Layer;
use tracing::{Span, field::Empty};

use super::{super::watch::method_name, AttemptSpan, ResponseFuture};
use crate::vocab::Recorder;

/// Opens a span for each attempt. See the [module docs](crate::telemetry).
#[derive(Clone, Copy, Debug)]
pub struct AttemptSpanLayer {
    enabled: bool,
}

impl AttemptSpanLayer {
    /// Whether it opens any: a subscriber that wants none is asked only if it does.
    #[must_use]
    pub const fn new(enabled: bool) -> Self {
        Self { enabled }
    }

    /// Does to a request what the service does, and hands it to `call`.
    pub(crate) fn around<B, F>(
        self,
        request: Request<B>,
        call: impl FnOnce(Request<B>) -> F,
    ) -> ResponseFuture<F> {
        let span = if self.enabled { span(&request) } else { Span::none() };
        if span.is_disabled() {
            return ResponseFuture::unseen(call(request));
        }
        let recorder = request.extensions().get::<Recorder>().cloned();
        recorder.iter().for_each(|recorder| describe(&span, &request, recorder));
        let inner = span.in_scope(|| call(request));
        ResponseFuture::seen(inner, span, recorder)
    }
}

impl Default for AttemptSpanLayer {
    fn default() -> Self {
        Self::new(true)
    }
}

impl<S> Layer<S> for AttemptSpanLayer {
    type Service = AttemptSpan<S>;

    fn layer(&self, inner: S) -> AttemptSpan<S> {
        AttemptSpan::new(inner, *self)
    }
}

/// (Source of the names: OpenTelemetry's semantic conventions for HTTP clients.)
fn span<B>(request: &Request<B>) -> Span {
    let (method, uri) = (method_name(request.method()), request.uri());
    let port = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
    tracing::info_span!(
        target: "tower_stripe",
        "stripe.attempt",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = method,
        url.template = Empty,
        server.address = uri.host(),
        server.port = uri.port_u16().unwrap_or(port),
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
    span.record(
        "otel.name",
        tracing::field::display(format_args!("{} {template}", method_name(request.method()))),
    );
    // This one is counted already.
    let resends = recorder.attempts_made().saturating_sub(1);
    if resends > 0 {
        span.record("http.request.resend_count", resends);
    }
    let of_attempt = recorder.last_attempt(|attempt| (attempt.purpose, attempt.queued.as_millis() as u64));
    if let Some((purpose, queued)) = of_attempt {
        span.record("stripe.purpose", purpose.as_str());
        if queued > 0 {
            span.record("stripe.queued_ms", queued);
        }
    }
}
