//! The headers of the sidecar's own. None of them ever reaches Stripe.

use http::HeaderName;

/// What all of them begin with.
pub(crate) const PREFIX: &str = "x-stripe-egress-";

/// Of a request: who is admitted first.
pub(crate) const PRIORITY: HeaderName = HeaderName::from_static("x-stripe-egress-priority");
/// Of a request: how long the call may take, in milliseconds.
pub(crate) const DEADLINE_MS: HeaderName = HeaderName::from_static("x-stripe-egress-deadline-ms");
/// Of a request: how many attempts the call has.
pub(crate) const MAX_ATTEMPTS: HeaderName = HeaderName::from_static("x-stripe-egress-max-attempts");

/// Of an answer: how many attempts were made on the wire.
pub(crate) const ATTEMPTS: HeaderName = HeaderName::from_static("x-stripe-egress-attempts");
/// Of an answer: whether Stripe has executed the call.
pub(crate) const CERTAINTY: HeaderName = HeaderName::from_static("x-stripe-egress-certainty");
/// Of an answer: what to do with the idempotency key now.
pub(crate) const ADVICE: HeaderName = HeaderName::from_static("x-stripe-egress-advice");
/// Of an answer: whether it is the stored one of an earlier request with the same key.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("x-stripe-egress-replayed");
/// Of an answer: how long the call waited, between attempts and for its turn, in milliseconds.
pub(crate) const WAITED_MS: HeaderName = HeaderName::from_static("x-stripe-egress-waited-ms");
