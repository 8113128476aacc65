//! What a test makes of a single request: the steps of a script.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};
use serde_json::Value;

use crate::{
    answer::{Answer, NOTICE, RATE_LIMITED_REASON, SHOULD_RETRY},
    api_error::ApiError,
    card,
    faults::Fault,
    limits::Reason,
    oauth,
};

/// What happens to one request.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// It is handled as Stripe would.
    Pass,
    /// It meets a fault.
    Fault(Fault),
    /// It is read and then answered with this, without a look at limiters, API key or idempotency key. It is not
    /// executed.
    Answer(Canned),
    /// It is read and never answered, and not executed. The connection is lost when the client gives up, or after
    /// [`Faults::stall_limit`](crate::Faults::stall_limit).
    Hang,
}

/// An answer that the test gives in Stripe's place.
///
/// The JSON ones carry a `Request-Id`, unless their documentation says otherwise; a header that is set here by hand wins.
///
/// ```
/// use stripe_sim::{Canned, Reason};
///
/// let limited = Canned::rate_limited(Reason::GlobalRate).header("retry-after", "3");
/// let proxy = Canned::html(503);
/// # let _ = (limited, proxy);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Canned {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    request_id: bool,
    after: Duration,
}

impl Canned {
    /// A 429 of a limiter.
    pub fn rate_limited(reason: Reason) -> Self {
        Self::error(&ApiError::rate_limited(reason)).header(RATE_LIMITED_REASON, reason.as_str())
    }

    /// The 429 of an object that is locked by another request. Stripe sends it without a `Request-Id`, and asks for a
    /// retry.
    pub fn lock_timeout() -> Self {
        Self::error(&ApiError::lock_timeout()).header(SHOULD_RETRY, "true").without_request_id()
    }

    /// The 402 of a card that was declined with this decline code, with the advice and the network's code that go with it.
    /// A code that Stripe does not have is taken as it is.
    pub fn declined(decline_code: &str) -> Self {
        let error = match card::decline(decline_code) {
            Some(decline) => ApiError::card(&decline),
            None => ApiError::declined("card_declined", "the card was declined")
                .with("decline_code", decline_code),
        };
        Self::error(&error).header(SHOULD_RETRY, "false")
    }

    /// A 500 of Stripe's that is stored nowhere, and says nothing of what happened.
    pub fn server_error() -> Self {
        Self::error(&ApiError::broken())
    }

    /// The 401 of an API key that is not known.
    pub fn unauthorized() -> Self {
        Self::error(&ApiError::unauthorized())
    }

    /// The 409 of a key whose first request is still executing.
    pub fn key_in_use() -> Self {
        Self::error(&ApiError::key_in_use())
    }

    /// A 409 that has nothing to do with keys.
    pub fn conflict() -> Self {
        Self::error(&ApiError::conflict())
    }

    /// The 400 of a key that comes with other parameters than at first.
    pub fn idempotency_error() -> Self {
        Self::error(&ApiError::key_mismatch())
    }

    /// A 408: something did not wait for the request to arrive. Whether Stripe got it all the same is open.
    pub fn request_timeout() -> Self {
        Self::html(StatusCode::REQUEST_TIMEOUT)
    }

    /// The 424 of something outside of Stripe that failed.
    pub fn external_dependency() -> Self {
        Self::error(&ApiError::external_dependency())
    }

    /// A redirect of something between the client and Stripe, which sends none: no `Request-Id`.
    ///
    /// # Panics
    ///
    /// If `status` is not a status code, or `location` not a header's value.
    #[track_caller]
    pub fn redirect(status: impl TryInto<StatusCode>, location: &str) -> Self {
        Self::empty(status).header(LOCATION, location)
    }

    /// An error of OAuth, which is a string: `invalid_grant`, `invalid_client`, ….
    ///
    /// # Panics
    ///
    /// If `status` is not a status code.
    #[track_caller]
    pub fn oauth(status: impl TryInto<StatusCode>, error: &str) -> Self {
        let (status, body) = oauth::refusal(valid(status, "a status code"), error, "the test wants it so");
        Self::json(status, &body)
    }

    /// With a `Stripe-Notice`.
    ///
    /// # Panics
    ///
    /// If `text` is not a header's value.
    #[track_caller]
    pub fn notice(self, text: &str) -> Self {
        self.header(NOTICE, text)
    }

    /// A page of something between the client and Stripe: no `Request-Id`.
    ///
    /// # Panics
    ///
    /// If `status` is not a status code.
    #[track_caller]
    pub fn html(status: impl TryInto<StatusCode>) -> Self {
        let status = valid(status, "a status code");
        let page = format!("<html><body><h1>{status}</h1></body></html>");
        Self::of(status, Bytes::from(page)).header(CONTENT_TYPE, "text/html").without_request_id()
    }

    /// No body at all, and no `Request-Id`.
    ///
    /// # Panics
    ///
    /// If `status` is not a status code.
    #[track_caller]
    pub fn empty(status: impl TryInto<StatusCode>) -> Self {
        Self::of(valid(status, "a status code"), Bytes::new()).without_request_id()
    }

    /// Any JSON.
    ///
    /// # Panics
    ///
    /// If `status` is not a status code.
    #[track_caller]
    pub fn json(status: impl TryInto<StatusCode>, value: &Value) -> Self {
        Self::of(valid(status, "a status code"), Bytes::from(value.to_string()))
            .header(CONTENT_TYPE, "application/json")
    }

    /// Any bytes, without a content type.
    ///
    /// # Panics
    ///
    /// If `status` is not a status code.
    #[track_caller]
    pub fn raw(status: impl TryInto<StatusCode>, body: impl Into<Bytes>) -> Self {
        Self::of(valid(status, "a status code"), body.into()).without_request_id()
    }

    /// Sets a header, in place of one of the same name.
    ///
    /// # Panics
    ///
    /// If `name` is not a header's name, or `value` not a header's value.
    #[track_caller]
    pub fn header(mut self, name: impl TryInto<HeaderName>, value: impl TryInto<HeaderValue>) -> Self {
        self.headers.insert(valid(name, "the name of a header"), valid(value, "the value of a header"));
        self
    }

    /// Adds a header beside others of the same name.
    ///
    /// # Panics
    ///
    /// If `name` is not a header's name, or `value` not a header's value.
    #[track_caller]
    pub fn header_line(mut self, name: impl TryInto<HeaderName>, value: impl TryInto<HeaderValue>) -> Self {
        self.headers.append(valid(name, "the name of a header"), valid(value, "the value of a header"));
        self
    }

    /// How long it takes, instead of no time at all; longer than [`Faults::stall_limit`](crate::Faults::stall_limit), and
    /// the connection is lost in place of it. Nothing makes it slower than this.
    pub fn after(mut self, latency: Duration) -> Self {
        self.after = latency;
        self
    }

    /// Leaves `Request-Id` and `Stripe-Version` out.
    pub fn without_request_id(mut self) -> Self {
        self.request_id = false;
        self
    }

    fn of(status: StatusCode, body: Bytes) -> Self {
        Self { status, headers: HeaderMap::new(), body, request_id: true, after: Duration::ZERO }
    }

    fn error(error: &ApiError) -> Self {
        Self::json(error.status(), &error.body())
    }

    pub(crate) fn latency(&self) -> Duration {
        self.after
    }

    pub(crate) fn into_answer(self) -> Answer {
        Answer {
            status: self.status,
            headers: self.headers,
            body: self.body,
            stripes: self.request_id,
            replayed: false,
        }
    }
}

/// A script is written in the source of a test: a slip in it is the test's own bug, and is reported where it stands.
#[track_caller]
fn valid<T, U: TryInto<T>>(value: U, what: &str) -> T {
    match value.try_into() {
        Ok(value) => value,
        Err(_) => panic!("this is not {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_set_by_hand_wins() {
        let answer = Canned::html(503).header("content-type", "text/plain").into_answer();
        assert_eq!(answer.headers[CONTENT_TYPE], "text/plain");
    }

    #[test]
    fn lines_of_one_header_can_be_repeated() {
        let canned = Canned::empty(503).header_line("x", "1").header_line("x", "2");
        assert_eq!(canned.into_answer().headers.get_all("x").iter().count(), 2);
    }

    #[test]
    #[should_panic(expected = "this is not a status code")]
    fn a_slip_in_a_script_is_reported_where_it_stands() {
        let _ = Canned::html(1);
    }
}
