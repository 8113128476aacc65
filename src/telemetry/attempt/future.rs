use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tracing::Span;

use super::super::watch::error_type;
use crate::vocab::{Attempt, Outcome, Recorder};

/// The future of [`AttemptSpan`](super::AttemptSpan).
#[pin_project]
pub struct ResponseFuture<F> {
    #[pin]
    inner: F,
    /// After what is within: dropped, it says how that ended.
    seen: Option<Seen>,
}

struct Seen {
    span: Span,
    recorder: Option<Recorder>,
}

impl<F> ResponseFuture<F> {
    pub(super) const fn unseen(inner: F) -> Self {
        Self { inner, seen: None }
    }

    pub(super) const fn seen(inner: F, span: Span, recorder: Option<Recorder>) -> Self {
        Self { inner, seen: Some(Seen { span, recorder }) }
    }
}

impl<F: Future> Future for ResponseFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let output = {
            let _entered = this.seen.as_ref().map(|seen| seen.span.enter());
            ready!(this.inner.poll(cx))
        };
        *this.seen = None;
        Poll::Ready(output)
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let span = &self.span;
        // A copy: a subscriber may be anybody's, and may read the report.
        let attempt = self.recorder.as_ref().and_then(|recorder| recorder.last_attempt(Attempt::clone));
        let Some(attempt) = attempt else { return };
        span.record("stripe.outcome", attempt.outcome.as_str());
        span.record("stripe.certainty", attempt.certainty.as_str());
        if let Some(status) = attempt.status {
            span.record("http.response.status_code", status.as_u16());
        }
        if let Some(id) = &attempt.request_id {
            span.record("stripe.request_id", id.as_str());
        }
        if attempt.replayed {
            span.record("stripe.idempotency.replayed", true);
        }
        if let Outcome::RateLimited(reason) = attempt.outcome {
            span.record("stripe.rate_limited_reason", reason.as_str());
        }
        if let Some(error) = error_type(attempt.outcome) {
            span.record("error.type", error);
            span.record("otel.status_code", "ERROR");
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
