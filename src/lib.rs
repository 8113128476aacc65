//! Tower middleware that turns any HTTP client into a hardened transport for calls to Stripe.

pub mod edge;
pub mod vocab;

pub use vocab::{
    Advice, Certainty, Deadline, Error, Failure, FailureKind, IdempotencyKey, Operation, Outcome, Priority, Refusal,
    Report, ReportHandle, ResponseExt, RetryLimit, TransportError,
};
