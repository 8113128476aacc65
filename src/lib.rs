//! Tower middleware that turns any HTTP client into a hardened transport for calls to Stripe.

pub mod edge;
pub mod vocab;

#[cfg(feature = "classify")]
pub mod classify;
#[cfg(feature = "idempotency")]
pub mod idempotency;
#[cfg(feature = "request-id")]
pub mod request_id;
#[cfg(feature = "retry")]
pub mod retry;
#[cfg(feature = "timeout")]
pub mod timeout;
#[cfg(feature = "transport")]
pub mod transport;

#[cfg(feature = "transport")]
pub use transport::StripeTransport;
pub use vocab::{
    Advice, AttemptTimeout, BoxError, Certainty, ConfigError, Deadline, Error, Failure, FailureKind,
    IdempotencyKey, Operation, Outcome, Priority, Refusal, Report, ReportHandle, ResponseExt, RetryLimit,
    StripeBody, TransportError,
};
