use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use http_body_util::Full;
use proptest::{option, prelude::*};
use serde_json::json;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use super::*;
use crate::{
    classify::ClassifyLayer,
    vocab::{Failure, RateLimitReason, Refusal},
};

/// An error of a client that only the user of the crate knows.
#[derive(Debug)]
struct MyError;

impl fmt::Display for MyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sk_live_hidden")
    }
}

impl StdError for MyError {}

impl TransportError for MyError {
    fn failure(&self) -> Failure {
        Failure::unknown(FailureKind::Tls)
    }

    fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self)
    }
}

fn request() -> Request<()> {
    Request::post("https://api.stripe.com/v1/refunds").header("idempotency-key", "k").body(()).unwrap()
}

/// The failure class of a response at its head, if it is one.
fn class<B>(response: &Response<B>) -> Option<Outcome> {
    match StripeMakeClassifier::new().make_classifier(&request()).classify_response(response) {
        ClassifiedResponse::Ready(class) => {
            Some(class.expect_err("a response that is none waits for its end"))
        }
        ClassifiedResponse::RequiresEos(eos) => {
            assert_eq!(eos.classify_eos(None), Ok(()));
            None
        }
    }
}

fn answer(status: u16, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("request-id", HeaderValue::from_static("req_1"));
    response
}

fn code(code: &str) -> String {
    json!({ "error": { "type": "invalid_request_error", "code": code } }).to_string()
}

async fn classified(status: u16, body: &str) -> Response<impl http_body::Body> {
    let response = answer(status, body);
    let client = service_fn(move |_: Request<()>| {
        let response = response.clone();
        async { Ok::<_, Infallible>(response) }
    });
    ServiceBuilder::new().layer(ClassifyLayer::default()).service(client).oneshot(request()).await.unwrap()
}

#[tokio::test]
async fn what_stripe_decided_is_no_failure_and_what_it_left_open_is_one() {
    const LIMITED: Outcome = Outcome::RateLimited(RateLimitReason::Unstated);
    for (status, body, by_report, by_head) in [
        (200, String::new(), None, None),
        (400, code("parameter_missing"), None, None),
        (400, json!({ "error": { "type": "idempotency_error" } }).to_string(), None, None),
        (401, String::new(), None, None),
        (402, code("card_declined"), None, None),
        (403, String::new(), None, None),
        (404, code("resource_missing"), None, None),
        (409, code("conflict"), None, None),
        (409, code("idempotency_key_in_use"), Some(Outcome::KeyInUse), None),
        (408, String::new(), Some(Outcome::Interrupted), Some(Outcome::Interrupted)),
        (424, String::new(), Some(Outcome::Interrupted), Some(Outcome::Interrupted)),
        (429, code("rate_limit"), Some(Outcome::RateLimited(RateLimitReason::Other)), Some(LIMITED)),
        (429, code("lock_timeout"), Some(Outcome::LockTimeout), Some(LIMITED)),
        (302, String::new(), Some(Outcome::Redirect), Some(Outcome::Redirect)),
        (500, String::new(), Some(Outcome::ServerError), Some(Outcome::ServerError)),
        (503, "<html>".to_owned(), Some(Outcome::ServerError), Some(Outcome::ServerError)),
    ] {
        assert_eq!(class(&classified(status, &body).await), by_report, "{status} {body}");
        assert_eq!(class(&answer(status, &body)), by_head, "{status} {body}, by its head alone");
    }
}

#[test]
fn a_success_that_is_not_stripes_is_a_failure() {
    let mut portal = answer(200, "<html>");
    portal.headers_mut().remove("request-id");
    assert_eq!(class(&portal), Some(Outcome::Foreign));
}

#[test]
fn an_error_in_the_extensions_refines_the_head_where_there_is_no_report() {
    let mut locked = answer(429, "");
    locked.extensions_mut().insert(StripeError::parse(code("lock_timeout").as_bytes()).unwrap());
    assert_eq!(class(&locked), Some(Outcome::LockTimeout));
    let mut oauth = answer(429, "");
    oauth.extensions_mut().insert(StripeError::parse(br#"{"error":"lock_timeout"}"#).unwrap());
    assert_eq!(class(&oauth), Some(Outcome::RateLimited(RateLimitReason::Unstated)));
}

#[test]
fn a_report_that_has_not_heard_of_the_answer_leaves_the_head_to_decide() {
    let mut request = request();
    let recorder = Recorder::of(&mut request);
    let _entered = recorder.enter(&request, crate::vocab::Purpose::First);
    let mut response = answer(503, "");
    recorder.attach(&mut response);
    assert_eq!(response.outcome(), Some(Outcome::Cancelled));
    assert_eq!(class(&response), Some(Outcome::ServerError));
}

// === errors ===

fn class_of<E: TransportError + 'static>(error: &(impl fmt::Display + 'static)) -> Outcome {
    StripeMakeClassifier::for_client::<E>().make_classifier(&request()).classify_error(error)
}

const TIMEOUT: Outcome = Outcome::Transport(FailureKind::Timeout);
const TLS: Outcome = Outcome::Transport(FailureKind::Tls);
const RESET: Outcome = Outcome::Transport(FailureKind::Reset);
const OTHER: Outcome = Outcome::Transport(FailureKind::Other);

fn refused() -> Refused {
    Refusal::ConflictingKeys.into()
}

fn timed_out() -> AttemptTimedOut {
    AttemptTimedOut::after(Duration::from_secs(30))
}

#[test]
fn an_error_of_a_known_type_has_its_own_class() {
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    assert_eq!(class_of::<BoxError>(&refused()), Outcome::Refused);
    assert_eq!(class_of::<BoxError>(&timed_out()), TIMEOUT);
    assert_eq!(class_of::<BoxError>(&reset()), RESET);
    assert_eq!(class_of::<BoxError>(&Error::<BoxError>::from(timed_out())), TIMEOUT);
    assert_eq!(class_of::<BoxError>(&Error::<io::Error>::from(refused())), Outcome::Refused);
    assert_eq!(class_of::<BoxError>(&Error::<io::Error>::transport(reset())), RESET);
    assert_eq!(class_of::<MyError>(&Error::<BoxError>::from(refused())), Outcome::Refused);
    assert_eq!(class_of::<MyError>(&Error::<MyError>::from(timed_out())), TIMEOUT);
    assert_eq!(class_of::<MyError>(&Error::transport(MyError)), TLS);
    assert_eq!(class_of::<MyError>(&MyError), TLS);
}

#[test]
fn a_box_is_opened() {
    fn boxed(error: impl Into<BoxError>) -> BoxError {
        error.into()
    }
    assert_eq!(class_of::<BoxError>(&boxed(refused())), Outcome::Refused);
    assert_eq!(class_of::<BoxError>(&boxed(timed_out())), TIMEOUT);
    assert_eq!(class_of::<BoxError>(&boxed(Error::<BoxError>::from(timed_out()))), TIMEOUT);
    assert_eq!(class_of::<MyError>(&boxed(Error::<BoxError>::from(refused()))), Outcome::Refused);
    assert_eq!(class_of::<MyError>(&boxed(Error::transport(MyError))), TLS);
    assert_eq!(class_of::<BoxError>(&boxed("what it is, it does not say")), OTHER);
}

#[test]
fn an_error_of_an_unknown_type_is_other_unless_the_report_of_the_request_knows() {
    assert_eq!(class_of::<BoxError>(&Error::<MyError>::from(timed_out())), OTHER);

    let mut request = request();
    let handle = ReportHandle::new();
    request.extensions_mut().insert(handle);
    let classifier = StripeMakeClassifier::new().make_classifier(&request);
    let recorder = Recorder::of(&mut request);
    let entered = recorder.enter(&request, crate::vocab::Purpose::First);
    recorder.failed(Failure::unknown(FailureKind::Tls));
    entered.close();
    assert_eq!(classifier.classify_error(&MyError), TLS, "the caller's handle");
    let classifier = StripeMakeClassifier::new().make_classifier(&request);
    assert_eq!(classifier.classify_error(&MyError), TLS, "that of the layer around");
}

#[test]
fn a_report_that_knows_only_of_a_refusal_or_of_a_success_says_so_or_nothing() {
    let mut call = request();
    let recorder = Recorder::of(&mut call);
    let classifier = StripeMakeClassifier::new().make_classifier(&call);
    let _ = recorder.refuse(Refusal::ConflictingKeys);
    assert_eq!(classifier.classify_error(&MyError), Outcome::Refused);

    // The handle is that of an earlier call.
    let mut call = request();
    let recorder = Recorder::of(&mut call);
    let entered = recorder.enter(&call, crate::vocab::Purpose::First);
    recorder.answered(StatusCode::OK, answer(200, "").headers());
    entered.close();
    let classifier = StripeMakeClassifier::new().make_classifier(&call);
    assert_eq!(classifier.classify_error(&MyError), OTHER);
}

// === the end of a body ===

fn class_of_end<E: TransportError + 'static>(error: &(impl fmt::Display + 'static)) -> Outcome {
    StripeClassifyEos::<E>(PhantomData).classify_error(error)
}

#[test]
fn a_body_that_breaks_off_is_a_failure_of_its_own_class() {
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    assert_eq!(class_of_end::<BoxError>(&BodyError::<BoxError>::Deadline), TIMEOUT);
    assert_eq!(class_of_end::<BoxError>(&BodyError::<Infallible>::Deadline), TIMEOUT);
    assert_eq!(class_of_end::<BoxError>(&BodyError::Transport(reset())), RESET);
    assert_eq!(class_of_end::<BoxError>(&reset()), RESET);
    assert_eq!(class_of_end::<MyError>(&BodyError::Transport(MyError)), TLS);
    assert_eq!(class_of_end::<BoxError>(&BodyError::Transport(MyError)), OTHER);
    #[cfg(feature = "hyper-util")]
    assert_eq!(class_of_end::<BoxError>(&BodyError::<hyper::Error>::Deadline), TIMEOUT);
}

#[test]
fn trailers_change_nothing() {
    let eos = StripeClassifyEos::<BoxError>(PhantomData);
    assert_eq!(eos.classify_eos(Some(answer(500, "").headers())), Ok(()));
}

#[test]
fn debug_shows_no_more_than_the_names() {
    let make = StripeMakeClassifier::<MyError>::default();
    let shown = format!("{:?} {:?}", make, make.make_classifier(&request()));
    assert!(shown.starts_with("StripeMakeClassifier StripeClassifier { kind: ") && !shown.contains("\"k\""));
    assert_eq!(format!("{:?}", StripeClassifyEos::<MyError>(PhantomData)), "StripeClassifyEos");
}

proptest! {
    #[test]
    fn any_answer_is_classified_and_only_a_4xx_or_a_success_is_none(
        status in 100_u16..1_000, reason in option::of("[a-z-]{0,20}"), json in any::<bool>(),
    ) {
        let mut response = answer(status, "");
        if !json {
            response.headers_mut().remove("request-id");
        }
        if let Some(reason) = reason {
            response.headers_mut().insert("stripe-rate-limited-reason", reason.parse().unwrap());
        }
        match class(&response) {
            Some(class) => prop_assert!(is_failure(class)),
            None => prop_assert!(matches!(status, 200..300 | 400..500) && status != 429),
        }
    }
}
