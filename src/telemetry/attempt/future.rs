use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project::pin_project;
use tracing::Span;

use super::super::{notice, watch::error_type};
use crate::vocab::{Outcome, Recorder, report::Entered};

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
    recorder: Recorder,
    entered: Option<Entered>,
}

impl<F> ResponseFuture<F> {
    pub(super) const fn unseen(inner: F) -> Self {
        Self { inner, seen: None }
    }

    pub(super) const fn seen(inner: F, span: Span, recorder: Recorder, entered: Entered) -> Self {
        Self { inner, seen: Some(Seen { span, recorder, entered: Some(entered) }) }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(seen) = this.seen else { return this.inner.poll(cx) };
        let mut result = {
            let _entered = seen.span.enter();
            ready!(this.inner.poll(cx))
        };
        let entered = seen.entered.take();
        if let Ok(response) = &mut result {
            if let Some(entered) = &entered {
                entered.answered(response.status(), response.headers());
            }
            if let Some(notice) = notice::of(response.headers()) {
                seen.recorder.noticed();
                seen.span.in_scope(|| tracing::warn!(target: "tower_stripe", %notice, "stripe has a notice"));
            }
            seen.recorder.attach(response);
        }
        // What the client's error proves is in the report by now, where a layer within has read it.
        entered.map(Entered::close);
        *this.seen = None;
        Poll::Ready(result)
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.entered = None;
        let span = &self.span;
        if span.is_disabled() {
            return;
        }
        self.recorder.last_attempt(|attempt| {
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
        });
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
