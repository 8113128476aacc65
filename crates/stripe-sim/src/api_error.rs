//! Errors in Stripe's shape, in our own words.

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{card::Decline, limits::Reason, request::Api};

/// An error that is answered as `{"error": {…}}`.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    fields: Map<String, Value>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &str, message: impl Into<String>) -> Self {
        let mut fields = Map::new();
        fields.insert("type".to_owned(), Value::from(kind));
        fields.insert("message".to_owned(), Value::from(message.into()));
        Self { status, fields }
    }

    fn invalid(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, "invalid_request_error", message)
    }

    pub(crate) fn code(self, code: &str) -> Self {
        self.with("code", code)
    }

    fn param(self, name: &str) -> Self {
        self.with("param", name)
    }

    /// With a field more.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    /// The same error in the envelope of `api`. In v2 a type stands only where it says more than the status.
    pub(crate) fn for_api(mut self, api: Api) -> Self {
        if api == Api::V1 {
            return self;
        }
        self.fields.remove("param");
        let kind = match self.fields.remove("type") {
            Some(Value::String(kind)) => kind,
            _ => String::new(),
        };
        let known = self.fields.get("code").and_then(Value::as_str);
        let (kind, code) = match (kind.as_str(), known, self.status.as_u16()) {
            ("idempotency_error", ..) => (Some("idempotency_error"), "idempotency_error"),
            (_, Some("rate_limit"), _) => (Some("rate_limit"), "account_rate_limit_exceeded"),
            (kind @ ("cannot_proceed" | "insufficient_funds"), ..) => (Some(kind), kind),
            (_, Some(code @ ("idempotency_key_in_use" | "lock_timeout")), _) => (None, code),
            (.., 400) => (None, "invalid_fields"),
            (.., 401) => (None, "unauthorized"),
            (.., 404) => (None, "not_found"),
            (.., 409) => (None, "conflict"),
            (.., 413) => (None, "too_large"),
            _ => (None, "internal_error"),
        };
        let code = Value::from(code);
        if let Some(kind) = kind {
            self.fields.insert("type".to_owned(), Value::from(kind));
        }
        self.fields.insert("code".to_owned(), code);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn body(&self) -> Value {
        json!({ "error": self.fields })
    }

    pub(crate) fn rate_limited(reason: Reason) -> Self {
        let message = format!("the {reason} limiter refused this request");
        Self::invalid(StatusCode::TOO_MANY_REQUESTS, message).code("rate_limit")
    }

    pub(crate) fn lock_timeout() -> Self {
        Self::invalid(StatusCode::TOO_MANY_REQUESTS, "another request holds the lock on this object")
            .code("lock_timeout")
    }

    pub(crate) fn unauthorized() -> Self {
        Self::invalid(StatusCode::UNAUTHORIZED, "no account has the API key of this request")
    }

    pub(crate) fn no_credential() -> Self {
        Self::invalid(StatusCode::UNAUTHORIZED, "this request carries no API key")
    }

    pub(crate) fn key_in_use() -> Self {
        Self::invalid(StatusCode::CONFLICT, "the first request with this idempotency key is still executing")
            .code("idempotency_key_in_use")
    }

    pub(crate) fn conflict() -> Self {
        Self::invalid(StatusCode::CONFLICT, "this request conflicts with another one")
    }

    pub(crate) fn key_mismatch() -> Self {
        let message = "this idempotency key was first used for a request with other parameters";
        Self::new(StatusCode::BAD_REQUEST, "idempotency_error", message)
    }

    pub(crate) fn key_malformed() -> Self {
        let message = "an idempotency key has 1 to 255 characters";
        Self::new(StatusCode::BAD_REQUEST, "idempotency_error", message)
    }

    pub(crate) fn broken() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "api_error",
            "the simulated Stripe broke down on this request",
        )
    }

    pub(crate) fn external_dependency() -> Self {
        let message = "something outside of Stripe, which this request depends on, failed";
        Self::new(StatusCode::FAILED_DEPENDENCY, "api_error", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the simulator takes bodies of at most {limit} bytes");
        Self::invalid(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    pub(crate) fn not_a_form() -> Self {
        Self::invalid(StatusCode::BAD_REQUEST, "v1 takes form-encoded parameters, this body says it is JSON")
    }

    pub(crate) fn not_json() -> Self {
        Self::invalid(StatusCode::BAD_REQUEST, "v2 takes parameters as a JSON object, this body is none")
    }

    pub(crate) fn cannot_proceed(why: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "cannot_proceed", why).code("cannot_proceed")
    }

    /// What a replay is told whose object is no more.
    pub(crate) fn gone(what: &str, id: &str) -> Self {
        let message =
            format!("the request succeeded when it first came, but its {what} '{id}' is gone by now");
        Self::invalid(StatusCode::NOT_FOUND, message)
    }

    /// The money for it is not there.
    pub(crate) fn insufficient_funds(api: Api) -> Self {
        if api == Api::V1 {
            let error =
                Self::declined("card_declined", "the card was declined: its account is short of money");
            return error.with("decline_code", "insufficient_funds");
        }
        Self::new(StatusCode::PAYMENT_REQUIRED, "insufficient_funds", "the account is short of money")
            .code("insufficient_funds")
            .with("user_message", "there is not enough money for this")
    }

    pub(crate) fn no_such_route(method: &str, path: &str) -> Self {
        Self::invalid(StatusCode::NOT_FOUND, format!("the simulator does not know {method} {path}"))
    }

    /// The object that the path names does not exist.
    pub(crate) fn missing_object(what: &str, id: &str, param: &str) -> Self {
        Self::invalid(StatusCode::NOT_FOUND, format!("there is no {what} '{id}'"))
            .code("resource_missing")
            .param(param)
    }

    /// An object that a parameter names does not exist.
    pub(crate) fn missing_reference(what: &str, id: &str, param: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, ..Self::missing_object(what, id, param) }
    }

    pub(crate) fn missing_parameter(name: &str) -> Self {
        Self::invalid(StatusCode::BAD_REQUEST, format!("the parameter {name} is required"))
            .code("parameter_missing")
            .param(name)
    }

    pub(crate) fn unknown_parameter(name: &str) -> Self {
        Self::invalid(StatusCode::BAD_REQUEST, format!("this endpoint takes no parameter {name}"))
            .code("parameter_unknown")
            .param(name)
    }

    pub(crate) fn empty_parameter(name: &str) -> Self {
        Self::invalid(StatusCode::BAD_REQUEST, format!("the parameter {name} must not be empty"))
            .code("parameter_invalid_empty")
            .param(name)
    }

    pub(crate) fn not_an_integer(name: &str, rule: &str) -> Self {
        Self::invalid(StatusCode::BAD_REQUEST, format!("the parameter {name} must be {rule}"))
            .code("parameter_invalid_integer")
            .param(name)
    }

    pub(crate) fn bad_parameter(name: &str, rule: &str) -> Self {
        Self::invalid(StatusCode::BAD_REQUEST, format!("the parameter {name} must be {rule}")).param(name)
    }

    pub(crate) fn unexpected_state(doing: &str, state: &str) -> Self {
        let message = format!("a payment intent that is in the state {state} cannot be {doing}");
        Self::invalid(StatusCode::BAD_REQUEST, message).code("payment_intent_unexpected_state")
    }

    pub(crate) fn card(decline: &Decline) -> Self {
        let mut error = Self::declined(decline.code, decline.message);
        for (field, value) in [
            ("decline_code", decline.decline_code),
            ("advice_code", decline.advice_code),
            ("network_decline_code", decline.network_code),
        ] {
            if let Some(value) = value {
                error = error.with(field, value);
            }
        }
        error
    }

    pub(crate) fn authentication_failed() -> Self {
        let message = "the customer failed to authenticate this payment";
        Self::declined("payment_intent_authentication_failure", message)
    }

    pub(crate) fn not_refundable(code: &str, message: &str) -> Self {
        Self::invalid(StatusCode::BAD_REQUEST, message).code(code)
    }

    pub(crate) fn declined(code: &str, message: &str) -> Self {
        Self::new(StatusCode::PAYMENT_REQUIRED, "card_error", message).code(code)
    }
}
