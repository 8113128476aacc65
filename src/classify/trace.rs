//! What `tower-http`'s tracing and metrics take for a failure.

use std::{any::Any, convert::Infallible, fmt, io, marker::PhantomData};

use http::{HeaderMap, Request, Response};
use tower_http::classify::{ClassifiedResponse, ClassifyEos, ClassifyResponse, MakeClassifier};

use super::StripeError;
use crate::vocab::{
    AttemptTimedOut, BodyError, BoxError, CallKind, Error, FailureKind, Outcome, Recorder, Refused,
    ReportHandle, ResponseExt, Stop, TransportError,
};

/// Lets [`TraceLayer`] and other users of [`tower_http::classify`] understand Stripe: which answers are failures, and of
/// which closed class, which is the [`Outcome`].
///
/// A failure is what leaves the question open; what Stripe decided, if only that the request is wrong, is none:
///
/// | outcome | failure |
/// |---|---|
/// | `success`, `declined`, `invalid_request`, `key_mismatch`, `unauthorized`, `forbidden`, `not_found`, `conflict` | no |
/// | `server_error`, `rate_limited`, `lock_timeout`, `key_in_use`, `interrupted` (408, 424, 499) | yes |
/// | `redirect`, `foreign` (a 2xx that is not Stripe's) | yes |
/// | no response: `timeout`, `reset`, … and `refused` | yes |
///
/// A response that went through [`Classify`](super::Classify) is known by its report, any other by its head alone: a lock
/// timeout is `rate_limited` then. A response whose body breaks off is a failure when it does.
///
/// Around a whole `StripeTransport` it sees calls, within the stack it sees attempts.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_http::trace::TraceLayer;
/// use tower_stripe::{BoxError, Operation, classify::{ClassifyLayer, StripeMakeClassifier}};
/// # use bytes::Bytes; use http_body_util::Full;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// # let client = tower::service_fn(|_: http::Request<Full<Bytes>>| async {
/// #     http::Response::builder().status(402).body(Full::<Bytes>::default()).map_err(BoxError::from)
/// # });
/// let trace = TraceLayer::new(StripeMakeClassifier::new())
///     // Its own spans show the URI, which holds ids, and what was searched for.
///     .make_span_with(|request: &http::Request<_>| {
///         let operation = Operation::resolve(request.method(), request.uri().path());
///         tracing::info_span!("stripe", %operation)
///     });
/// let client = ServiceBuilder::new().layer(trace).layer(ClassifyLayer::default()).service(client);
///
/// let request = http::Request::post("https://api.stripe.com/v1/refunds").body(Full::default())?;
/// let response = client.oneshot(request).await?;
/// # assert_eq!(response.status(), 402);
/// # Ok(())
/// # }
/// ```
///
/// # Errors of a client's own
/// `tower-http` shows an error without saying what it can do, so its type has to be known: boxed errors,
/// [`io::Error`] and the crate's own are; for [`Error<E>`](crate::Error) of another client say `E`.
///
/// ```
/// # #[derive(Debug)] struct MyError;
/// # impl std::fmt::Display for MyError {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("broken") }
/// # }
/// # impl tower_stripe::TransportError for MyError {
/// #     fn failure(&self) -> tower_stripe::Failure { tower_stripe::Failure::unknown(tower_stripe::FailureKind::Reset) }
/// #     fn as_source(&self) -> Option<&(dyn std::error::Error + 'static)> { None }
/// # }
/// use tower_http::trace::TraceLayer;
/// use tower_stripe::classify::StripeMakeClassifier;
///
/// // For a `StripeTransport` over a client that fails with `MyError`.
/// let trace = TraceLayer::new(StripeMakeClassifier::for_client::<MyError>());
/// ```
///
/// An error of a type that is not known is looked up in the request's report, if it has one, and is `other` if not.
///
/// [`TraceLayer`]: https://docs.rs/tower-http/0.7/tower_http/trace/struct.TraceLayer.html
pub struct StripeMakeClassifier<E = BoxError>(PhantomData<fn() -> E>);

impl StripeMakeClassifier {
    /// For a client whose errors are boxed, or known here.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    /// For a client that fails with `E`.
    #[must_use]
    pub const fn for_client<E: TransportError + 'static>() -> StripeMakeClassifier<E> {
        StripeMakeClassifier(PhantomData)
    }
}

// Derived, they would ask the same of `E`.
impl<E> Clone for StripeMakeClassifier<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for StripeMakeClassifier<E> {}

impl<E> Default for StripeMakeClassifier<E> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E> fmt::Debug for StripeMakeClassifier<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StripeMakeClassifier")
    }
}

impl<E: TransportError + 'static> MakeClassifier for StripeMakeClassifier<E> {
    type Classifier = StripeClassifier<E>;
    type FailureClass = Outcome;
    type ClassifyEos = StripeClassifyEos<E>;

    fn make_classifier<B>(&self, request: &Request<B>) -> StripeClassifier<E> {
        let extensions = request.extensions();
        let recorder = extensions.get::<Recorder>().map(|recorder| recorder.handle());
        StripeClassifier {
            kind: CallKind::of(request),
            report: recorder.or_else(|| extensions.get::<ReportHandle>()).cloned(),
            errors: PhantomData,
        }
    }
}

/// Classifies the end of one request. Made by [`StripeMakeClassifier`].
pub struct StripeClassifier<E = BoxError> {
    kind: CallKind,
    report: Option<ReportHandle>,
    errors: PhantomData<fn() -> E>,
}

impl<E> Clone for StripeClassifier<E> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, report: self.report.clone(), errors: PhantomData }
    }
}

impl<E> fmt::Debug for StripeClassifier<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripeClassifier").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<E: TransportError + 'static> ClassifyResponse for StripeClassifier<E> {
    type FailureClass = Outcome;
    type ClassifyEos = StripeClassifyEos<E>;

    fn classify_response<B>(
        self,
        response: &Response<B>,
    ) -> ClassifiedResponse<Outcome, StripeClassifyEos<E>> {
        let outcome = outcome_of(self.kind, response);
        if is_failure(outcome) {
            ClassifiedResponse::Ready(Err(outcome))
        } else {
            ClassifiedResponse::RequiresEos(StripeClassifyEos(PhantomData))
        }
    }

    fn classify_error<F: fmt::Display + 'static>(self, error: &F) -> Outcome {
        of_error::<E>(error)
            .or_else(|| self.report.as_ref().and_then(of_report))
            .unwrap_or(Outcome::Transport(FailureKind::Other))
    }
}

/// Classifies the end of a body: only one that breaks off is a failure. What the head has proven stands.
pub struct StripeClassifyEos<E = BoxError>(PhantomData<fn() -> E>);

impl<E> Clone for StripeClassifyEos<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for StripeClassifyEos<E> {}

impl<E> fmt::Debug for StripeClassifyEos<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StripeClassifyEos")
    }
}

impl<E: TransportError + 'static> ClassifyEos for StripeClassifyEos<E> {
    type FailureClass = Outcome;

    /// Stripe sends no trailers.
    fn classify_eos(self, _: Option<&HeaderMap>) -> Result<(), Outcome> {
        Ok(())
    }

    fn classify_error<F: fmt::Display + 'static>(self, error: &F) -> Outcome {
        of_body_error::<E>(error).unwrap_or(Outcome::Transport(FailureKind::Other))
    }
}

/// Whether an outcome leaves open what became of the request.
const fn is_failure(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Success
        | Outcome::InvalidRequest
        | Outcome::KeyMismatch
        | Outcome::Unauthorized
        | Outcome::Declined
        | Outcome::Forbidden
        | Outcome::NotFound
        | Outcome::Conflict => false,
        Outcome::Foreign
        | Outcome::Redirect
        | Outcome::Interrupted
        | Outcome::KeyInUse
        | Outcome::RateLimited(_)
        | Outcome::LockTimeout
        | Outcome::ServerError
        | Outcome::Transport(_)
        | Outcome::Refused
        | Outcome::Cancelled => true,
    }
}

/// By the report that came with the response, or by its head.
fn outcome_of<B>(kind: CallKind, response: &Response<B>) -> Outcome {
    // An attempt of which nothing is known yet counts as cancelled; this one has been answered.
    if let Some(outcome) = response.outcome().filter(|outcome| *outcome != Outcome::Cancelled) {
        return outcome;
    }
    let (outcome, certainty) = Outcome::of_head(kind, response.status(), response.headers());
    match StripeError::of(response).filter(|error| !error.is_oauth()) {
        Some(error) => outcome.refined(certainty, error.code(), error.error_type()).0,
        None => outcome,
    }
}

/// By the report of the request, where the type of the error is not known. The handle may be that of another call, which is
/// refused, so that what it says counts only if it is a failure.
fn of_report(report: &ReportHandle) -> Option<Outcome> {
    let last = report.last_attempt(|attempt| attempt.outcome);
    let refused = || report.report().stopped() == Some(Stop::Refused);
    let known = |outcome: &Outcome| *outcome != Outcome::Cancelled && is_failure(*outcome);
    last.filter(known).or_else(|| refused().then_some(Outcome::Refused))
}

fn of_error<E: TransportError + 'static>(error: &dyn Any) -> Option<Outcome> {
    fn of<E: TransportError>(error: &E) -> Outcome {
        Outcome::Transport(error.failure().kind())
    }
    if let Some(error) = error.downcast_ref::<Error<E>>() {
        return Some(error.outcome());
    }
    if let Some(error) = error.downcast_ref::<BoxError>() {
        return Some(boxed::<E>(error).unwrap_or_else(|| of(error)));
    }
    if error.is::<Refused>() {
        return Some(Outcome::Refused);
    }
    (error.downcast_ref::<Error>().map(Error::outcome))
        .or_else(|| error.downcast_ref::<Error<io::Error>>().map(Error::outcome))
        .or_else(|| error.downcast_ref::<AttemptTimedOut>().map(of))
        .or_else(|| error.downcast_ref::<E>().map(of))
        .or_else(|| error.downcast_ref::<io::Error>().map(of))
}

/// What is in the box, where it is one of the crate's own: a boxed error proves less.
fn boxed<E: TransportError + 'static>(error: &BoxError) -> Option<Outcome> {
    if error.is::<Refused>() {
        return Some(Outcome::Refused);
    }
    let timed_out = |error: &AttemptTimedOut| Outcome::Transport(error.failure().kind());
    (error.downcast_ref::<Error<E>>().map(Error::outcome))
        .or_else(|| error.downcast_ref::<Error>().map(Error::outcome))
        .or_else(|| error.downcast_ref().map(timed_out))
}

fn of_body_error<E: TransportError + 'static>(error: &dyn Any) -> Option<Outcome> {
    fn of<E: TransportError + 'static>(error: &dyn Any) -> Option<FailureKind> {
        match error.downcast_ref::<BodyError<E>>() {
            Some(BodyError::Deadline) => Some(FailureKind::Timeout),
            Some(BodyError::Transport(error)) => Some(error.failure().kind()),
            None => error.downcast_ref::<E>().map(|error| error.failure().kind()),
        }
    }
    let kind = of::<E>(error).or_else(|| of::<BoxError>(error)).or_else(|| of::<io::Error>(error));
    #[cfg(feature = "hyper-util")]
    let kind = kind.or_else(|| of::<hyper::Error>(error));
    kind.or_else(|| of::<Infallible>(error)).map(Outcome::Transport)
}

#[cfg(test)]
mod tests;
