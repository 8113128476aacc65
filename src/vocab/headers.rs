//! The headers of Stripe's that decide something. As constants, so that nothing is parsed per call.

use http::header::HeaderName;

/// Carries the key by which Stripe knows a request again.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// `true` on the stored answer of an earlier request with the same key.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Stripe's id of the request that was executed: this one, or the one that it replays.
pub const ORIGINAL_REQUEST: HeaderName = HeaderName::from_static("original-request");
/// Stripe's id of this request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// Why a limiter said no.
pub const STRIPE_RATE_LIMITED_REASON: HeaderName = HeaderName::from_static("stripe-rate-limited-reason");
/// `true` or `false`: whether sending it again may have another effect.
pub const STRIPE_SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");
/// What Stripe has to tell whoever maintains the integration.
#[cfg(feature = "telemetry")]
pub(crate) const STRIPE_NOTICE: HeaderName = HeaderName::from_static("stripe-notice");
