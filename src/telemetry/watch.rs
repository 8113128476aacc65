//! A call under way, as far as it is to be counted, traced and logged.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Method, Request, Response, header::AUTHORIZATION};
use tracing::{Level, Span, field::Empty};

use super::shared::Shared;
use crate::vocab::{
    Certainty, Mode, Operation, Outcome, Recorder, Refusal,
    report::{Observer, Summary},
    time,
};

/// Dropped before the call [returned](Self::returned), its caller went away.
pub(super) struct Watch {
    shared: Arc<Shared>,
    recorder: Recorder,
    span: Span,
    operation: Operation,
    method: &'static str,
    mode: Mode,
    place: u64,
    began: Instant,
    returned: bool,
}

impl Watch {
    pub(super) fn begin<B>(shared: &Arc<Shared>, recorder: &Recorder, request: &Request<B>) -> Self {
        let operation = recorder.operation(request);
        shared.meter.call_began(operation.class());
        let brings_key = request.headers().contains_key(AUTHORIZATION);
        let mode = if brings_key { Mode::of(request.headers()) } else { shared.config.keyless };
        Self {
            span: span(operation, mode),
            place: shared.place(request),
            method: method_name(request.method()),
            began: time::now(),
            shared: Arc::clone(shared),
            recorder: recorder.clone(),
            operation,
            mode,
            returned: false,
        }
    }

    pub(super) const fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn attach<R>(&self, response: &mut Response<R>) {
        self.recorder.attach(response);
    }

    /// The call was refused before anybody could hear it.
    pub(super) fn refused(&self, refusal: &Refusal) {
        self.shared.meter.refused(self.operation, refusal);
    }

    /// The call has ended, with a response or an error.
    pub(super) fn returned(mut self) {
        self.returned = true;
    }

    fn end(&self) {
        let summary = self.recorder.summary();
        let outcome = match summary.outcome {
            _ if !self.returned => Outcome::Cancelled,
            Some(outcome) => outcome,
            None => Outcome::Refused,
        };
        let took = time::now().saturating_duration_since(self.began);
        self.shared.ended(self.operation, (self.mode, self.place), outcome, &summary, took);
        let line = Line { method: self.method, operation: self.operation, outcome, summary: &summary, took };
        self.span.in_scope(|| line.log());
        line.record(&self.span);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

/// (Source of the names: OpenTelemetry's semantic conventions for HTTP clients; what is Stripe's begins with `stripe.`.)
fn span(operation: Operation, mode: Mode) -> Span {
    tracing::info_span!(
        target: "tower_stripe",
        "stripe.call",
        otel.name = operation.name(),
        otel.kind = "internal",
        otel.status_code = Empty,
        stripe.operation = operation.name(),
        stripe.mode = mode.as_str(),
        stripe.outcome = Empty,
        stripe.certainty = Empty,
        stripe.attempts = Empty,
        stripe.refusal = Empty,
        stripe.stopped = Empty,
        stripe.request_id = Empty,
        http.response.status_code = Empty,
        error.type = Empty,
    )
}

/// What is said of a call that has ended. Neither keys nor bodies, nor what somebody else has written but a request id.
struct Line<'a> {
    method: &'static str,
    operation: Operation,
    outcome: Outcome,
    summary: &'a Summary,
    took: Duration,
}

impl Line<'_> {
    fn record(&self, span: &Span) {
        if span.is_disabled() {
            return;
        }
        let summary = self.summary;
        span.record("stripe.outcome", self.outcome.as_str());
        span.record("stripe.certainty", summary.certainty.as_str());
        span.record("stripe.attempts", summary.attempts);
        if let Some(stopped) = summary.stopped {
            span.record("stripe.stopped", stopped.as_str());
        }
        if let Some(id) = &summary.request_id {
            span.record("stripe.request_id", id.as_str());
        }
        if let Some(refusal) = self.refusal() {
            span.record("stripe.refusal", refusal.as_str());
        }
        if let Some(status) = summary.status {
            span.record("http.response.status_code", status.as_u16());
        }
        if let Some(error) = error_type(self.outcome) {
            span.record("error.type", error);
            span.record("otel.status_code", "ERROR");
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        self.summary.refusal.as_ref().filter(|_| self.outcome == Outcome::Refused)
    }

    fn level(&self) -> Level {
        // A program or a configuration is wrong, and stays so until somebody mends it.
        let wrong = match self.outcome {
            Outcome::InvalidRequest | Outcome::KeyMismatch | Outcome::Unauthorized | Outcome::Forbidden => {
                true
            }
            Outcome::Refused => self.refusal().is_some_and(|refusal| {
                !matches!(
                    refusal,
                    Refusal::CircuitOpen { .. }
                        | Refusal::Saturated { .. }
                        | Refusal::WaitTooLong { .. }
                        | Refusal::ObjectCooling { .. }
                        | Refusal::DeadlineExceeded
                        | Refusal::ShuttingDown
                )
            }),
            _ => false,
        };
        let question = super::meter::leaves_a_question(self.summary);
        match self.outcome {
            _ if wrong => Level::ERROR,
            _ if question => Level::WARN,
            Outcome::Cancelled => Level::DEBUG,
            Outcome::Success if self.summary.attempts <= 1 => Level::DEBUG,
            // A payment that is declined and an object that is not there are business as usual.
            Outcome::Success | Outcome::Declined | Outcome::NotFound => Level::INFO,
            _ => Level::WARN,
        }
    }

    fn log(&self) {
        macro_rules! at {
            ($level:expr) => {
                tracing::event!(
                    target: "tower_stripe",
                    $level,
                    operation = self.operation.name(),
                    outcome = self.outcome.as_str(),
                    certainty = self.summary.certainty.as_str(),
                    "{self}"
                )
            };
        }
        match self.level() {
            Level::ERROR => at!(Level::ERROR),
            Level::WARN => at!(Level::WARN),
            Level::INFO => at!(Level::INFO),
            _ => at!(Level::DEBUG),
        }
    }
}

/// `POST payment_intents.create => 429 in 312ms (3 attempts, req_4f6DzA, rate_limited: global_rate)`
impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = self.summary;
        write!(f, "{} {} => ", self.method, self.operation)?;
        match (self.outcome, summary.status) {
            (Outcome::Refused | Outcome::Cancelled, _) | (_, None) => f.write_str(self.outcome.as_str())?,
            (_, Some(status)) => write!(f, "{}", status.as_u16())?,
        }
        let digits = usize::from(self.took >= Duration::from_secs(1));
        write!(f, " in {:.digits$?} ({} attempt", self.took, summary.attempts)?;
        if summary.attempts != 1 {
            f.write_str("s")?;
        }
        if let Some(id) = &summary.request_id {
            write!(f, ", {id}")?;
        }
        match (self.outcome, self.refusal()) {
            (Outcome::Success, _) if summary.replayed => f.write_str(", replayed")?,
            (Outcome::Success, _) => {}
            (Outcome::RateLimited(reason), _) => write!(f, ", rate_limited: {reason}")?,
            (_, Some(refusal)) => write!(f, ", {}", refusal.as_str())?,
            (outcome, None) if summary.status.is_some() => write!(f, ", {outcome}")?,
            _ => {}
        }
        // Where the outcome does not say it by itself.
        if matches!(summary.certainty, Certainty::Unknown) && summary.attempts > 0 {
            f.write_str(", stripe may have executed it")?;
        }
        f.write_str(")")
    }
}

/// The word for a method: what is none of HTTP's may be anything. (Source: OpenTelemetry's semantic conventions for
/// HTTP.)
pub(super) const fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "_OTHER",
    }
}

/// The word for what went wrong; `None` where nothing did. That a caller went away is no error.
pub(super) const fn error_type(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Success | Outcome::Cancelled => None,
        _ => Some(outcome.as_str()),
    }
}
