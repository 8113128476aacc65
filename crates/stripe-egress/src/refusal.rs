//! What the sidecar answers in Stripe's place, in Stripe's shape, so that an SDK makes one of its own errors of it.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;
use serde_json::json;
use tower_stripe::{
    Certainty, Error, TransportError,
    vocab::{Mode, headers::STRIPE_SHOULD_RETRY},
};

use crate::{account::Account, body::BodyFailed, forward::NotForThisHop, intents::BadHeader};

/// Why there is no answer of Stripe's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: &'static Code,
    message: String,
    retry_in: Option<Duration>,
    /// Whether nothing more can be read from this connection.
    closes: bool,
}

/// A documented `error.code`.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The word: `egress_circuit_open`.
    pub name: &'static str,
    /// The status that it comes with.
    pub status: u16,
    /// What it means.
    pub meaning: &'static str,
}

macro_rules! codes {
    ($($constant:ident = $name:literal, $status:literal, $meaning:literal;)*) => {
        $(static $constant: Code = Code { name: $name, status: $status, meaning: $meaning };)*

        /// Every `error.code` of the sidecar's own.
        pub static CODES: &[&Code] = &[$(&$constant),*];
    };
}

codes! {
    CIRCUIT_OPEN = "egress_circuit_open", 503, "Stripe has been failing and is left alone for a while";
    AUTH_BLOCKED = "egress_auth_blocked", 503, "Stripe has rejected this API key again and again";
    SATURATED = "egress_saturated", 429, "too many calls, bodies or connections already";
    WAIT_TOO_LONG = "egress_wait_too_long", 429, "within Stripe's rate limits its turn would come after its deadline";
    OBJECT_COOLING = "egress_object_cooling", 429, "Stripe's limit for this one object is used up";
    DEADLINE = "egress_deadline", 504, "no time is left before the deadline";
    NO_RESPONSE = "egress_no_response", 504, "Stripe did not answer: it may have executed the call";
    UNREACHABLE = "egress_unreachable", 503, "no connection to Stripe could be made: nothing was sent";
    SHUTTING_DOWN = "egress_shutting_down", 503, "the sidecar is stopping and takes no more payments";
    INVALID_KEY = "egress_invalid_key", 400, "the idempotency key breaks a rule of Stripe's";
    CONFLICTING_KEYS = "egress_conflicting_keys", 400, "two idempotency keys that differ";
    KEY_TOO_OLD = "egress_key_too_old", 400, "Stripe may have forgotten the idempotency key";
    KEY_REQUIRED = "egress_key_required", 400, "the settings ask for a key of the client's own on payments";
    KEY_REUSED = "egress_key_reused", 400, "the key was used with other parameters or on another path";
    WRONG_MODE = "egress_wrong_mode", 400, "the API key is of another mode than it must be";
    BAD_HEADER = "egress_bad_header", 400, "a header for the sidecar is not what it must be";
    BAD_REQUEST = "egress_bad_request", 400, "not a request that could be forwarded";
    BROWSER = "egress_browser", 403, "the request comes from a page in a browser";
    BODY_FAILED = "egress_body_failed", 400, "the body of the request broke off";
    BODY_TOO_SLOW = "egress_body_too_slow", 408, "the client stopped sending the body";
    BODY_TOO_LARGE = "egress_body_too_large", 413, "the body is larger than the settings allow";
    REFUSED = "egress_refused", 503, "refused for a reason without a code of its own; the message says which";
}

impl Refusal {
    fn new(code: &'static Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_in: None, closes: false }
    }

    pub(crate) fn code(&self) -> &'static str {
        self.code.name
    }

    /// Of a call that the stack refused or that got no response.
    pub(crate) fn of<E: TransportError>(error: &Error<E>) -> Self {
        use tower_stripe::Refusal as Stack;
        let code = match error.refusal() {
            None if error.certainty() == Certainty::NotSent => &UNREACHABLE,
            None => &NO_RESPONSE,
            Some(Stack::CircuitOpen { .. }) => &CIRCUIT_OPEN,
            Some(Stack::AuthBlocked { .. }) => &AUTH_BLOCKED,
            Some(Stack::Saturated { .. }) => &SATURATED,
            Some(Stack::WaitTooLong { .. }) => &WAIT_TOO_LONG,
            Some(Stack::ObjectCooling { .. }) => &OBJECT_COOLING,
            Some(Stack::DeadlineExceeded) => &DEADLINE,
            Some(Stack::ShuttingDown) => &SHUTTING_DOWN,
            Some(Stack::InvalidKey(_)) => &INVALID_KEY,
            Some(Stack::ConflictingKeys) => &CONFLICTING_KEYS,
            Some(Stack::KeyTooOld { .. }) => &KEY_TOO_OLD,
            Some(Stack::ExplicitKeyRequired) => &KEY_REQUIRED,
            Some(Stack::KeyReused) => &KEY_REUSED,
            Some(Stack::WrongMode { .. }) => &WRONG_MODE,
            Some(_) => &REFUSED,
        };
        Self { retry_in: error.retry_in(), ..Self::new(code, error.to_string()) }
    }

    pub(crate) fn bad_header(BadHeader { name, rule }: &BadHeader) -> Self {
        Self::new(&BAD_HEADER, format!("refused before sending: the header {name} must be {rule}"))
    }

    pub(crate) fn not_for_this_hop(NotForThisHop(name): NotForThisHop) -> Self {
        Self::new(
            &BAD_HEADER,
            format!("refused before sending: the header Connection names {name}, which is for Stripe"),
        )
    }

    pub(crate) fn bad_request(why: &str) -> Self {
        Self::new(&BAD_REQUEST, format!("refused before sending: {why}"))
    }

    pub(crate) fn wrong_mode(held: Mode) -> Self {
        Self::new(
            &WRONG_MODE,
            format!(
                "refused before sending: the API key of the request is not of {held} mode, as the one held here is"
            ),
        )
    }

    pub(crate) fn browser() -> Self {
        Self::new(&BROWSER, "refused before sending: a page in a browser (Origin) has no business here")
    }

    pub(crate) fn body(failed: &BodyFailed) -> Self {
        let code = match failed {
            BodyFailed::Broken => &BODY_FAILED,
            BodyFailed::TooSlow(_) => &BODY_TOO_SLOW,
            BodyFailed::TooLarge(_) => &BODY_TOO_LARGE,
            BodyFailed::NoMemory => &SATURATED,
        };
        let message = format!("refused before sending: {failed}");
        // What is left of the body would be taken for the next request.
        Self { closes: true, retry_in: retry_soon(code), ..Self::new(code, message) }
    }

    pub(crate) fn too_many_connections() -> Self {
        let message = "refused before sending: too many connections are open (limits.max_connections)";
        Self { closes: true, retry_in: retry_soon(&SATURATED), ..Self::new(&SATURATED, message) }
    }

    /// The answer. It always tells an SDK not to try again: whether that is worth it has been decided.
    pub(crate) fn answer(self, account: Account) -> Response<Full<Bytes>> {
        let status = StatusCode::from_u16(self.code.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        // Whose fault it is decides which of its errors an SDK raises.
        let kind = if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
            "invalid_request_error"
        } else {
            "api_error"
        };
        let error = json!({ "error": { "type": kind, "code": self.code.name, "message": self.message } });
        let mut response = Response::new(Full::from(error.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(STRIPE_SHOULD_RETRY, HeaderValue::from_static("false"));
        if let Some(retry_in) = self.retry_in {
            headers.insert(RETRY_AFTER, (retry_in.as_millis().div_ceil(1_000) as u64).max(1).into());
        }
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        account.write(headers);
        response
    }
}

fn retry_soon(code: &Code) -> Option<Duration> {
    (code.status == 429).then_some(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use tower_stripe::{BoxError, vocab::Refused};

    use super::*;

    fn refused(refusal: tower_stripe::Refusal) -> Refusal {
        Refusal::of(&Error::<BoxError>::from(Refused::from(refusal)))
    }

    #[test]
    fn each_refusal_of_the_stack_has_its_code_and_status() {
        use tower_stripe::Refusal as Stack;
        let second = Duration::from_secs(1);
        for (refusal, code, status) in [
            (Stack::CircuitOpen { retry_in: None }, "egress_circuit_open", 503),
            (Stack::AuthBlocked { retry_in: second }, "egress_auth_blocked", 503),
            (Stack::Saturated { retry_in: second }, "egress_saturated", 429),
            (Stack::WaitTooLong { wait: second }, "egress_wait_too_long", 429),
            (Stack::ObjectCooling { retry_in: second }, "egress_object_cooling", 429),
            (Stack::DeadlineExceeded, "egress_deadline", 504),
            (Stack::ShuttingDown, "egress_shutting_down", 503),
            (Stack::ConflictingKeys, "egress_conflicting_keys", 400),
            (Stack::KeyTooOld { age: None, limit: second }, "egress_key_too_old", 400),
            (Stack::ExplicitKeyRequired, "egress_key_required", 400),
            (Stack::KeyReused, "egress_key_reused", 400),
            (Stack::NoRandomness, "egress_refused", 503),
        ] {
            let told = refused(refusal.clone());
            assert_eq!((told.code.name, told.code.status), (code, status), "{refusal:?}");
        }
        let lost = Error::<BoxError>::transport("lost".into());
        assert_eq!(Refusal::of(&lost).code.name, "egress_no_response");
    }

    #[tokio::test]
    async fn an_answer_has_the_shape_of_stripes_and_asks_for_no_retry() {
        use http_body_util::BodyExt;
        let retry_in = Some(Duration::from_millis(1_200));
        let told = refused(tower_stripe::Refusal::CircuitOpen { retry_in });
        let response = told.answer(Account::unsent(None));
        assert_eq!(response.status(), 503);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((header("stripe-should-retry"), header("retry-after")), ("false".into(), "2".into()));
        assert_eq!(header("content-type"), "application/json");
        let body: Value =
            serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(body["error"]["type"], "api_error");
        assert_eq!(body["error"]["code"], "egress_circuit_open");
        assert!(body["error"]["message"].as_str().unwrap().starts_with("refused before sending"));
    }

    #[test]
    fn what_the_client_did_wrong_is_no_error_of_the_api() {
        let kind = |refusal: Refusal| refusal.answer(Account::unsent(None)).status();
        assert_eq!(kind(Refusal::body(&BodyFailed::TooLarge(1))), 413);
        assert_eq!(kind(Refusal::body(&BodyFailed::NoMemory)), 429);
        assert_eq!(kind(Refusal::bad_request("why")), 400);
    }

    #[test]
    fn codes_are_distinct_and_all_are_in_the_readme() {
        let readme = include_str!("../README.md");
        let names: BTreeSet<_> = CODES.iter().map(|code| code.name).collect();
        assert_eq!(names.len(), CODES.len());
        for code in CODES {
            let row = format!("| `{}` | {} | {} |", code.name, code.status, code.meaning);
            assert!(readme.contains(&row), "the README misses the row {row}");
        }
    }
}
