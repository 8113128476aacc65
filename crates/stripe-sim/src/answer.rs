//! An answer on its way out, before it becomes a response.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde_json::Value;

use crate::api_error::ApiError;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
pub(crate) const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
pub(crate) const ORIGINAL_REQUEST: HeaderName = HeaderName::from_static("original-request");
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");
pub(crate) const NOTICE: HeaderName = HeaderName::from_static("stripe-notice");
pub(crate) const RATE_LIMITED_REASON: HeaderName = HeaderName::from_static("stripe-rate-limited-reason");

/// What Stripe's API version is when the request names none.
pub(crate) const DEFAULT_VERSION: &str = "2025-09-30.clover";

/// A response without the headers that every answer of Stripe's carries.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether it comes from Stripe itself and thus carries `Request-Id` and `Stripe-Version`.
    pub(crate) stripes: bool,
    pub(crate) replayed: bool,
}

impl Answer {
    pub(crate) fn ok(value: &Value) -> Self {
        Self::stored(StatusCode::OK, Bytes::from(value.to_string()))
    }

    pub(crate) fn error(error: &ApiError) -> Self {
        Self::stored(error.status(), Bytes::from(error.body().to_string()))
    }

    /// JSON that is already bytes.
    pub(crate) fn stored(status: StatusCode, body: Bytes) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        Self { status, headers, body, stripes: true, replayed: false }
    }

    /// With a header more. A value that no header can have came from the request and is left out.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Adds what Stripe sends with every answer, where it is not set already.
    pub(crate) fn stamped(mut self, request_id: &str, version: Option<&str>) -> Self {
        if !self.stripes {
            return self;
        }
        let version = version.unwrap_or(DEFAULT_VERSION);
        for (name, value) in [(REQUEST_ID, request_id), (STRIPE_VERSION, version)] {
            if !self.headers.contains_key(&name) {
                self = self.with(name, value);
            }
        }
        self
    }
}
