//! The words that all layers share. A layer knows this module and none of its siblings.
//!
//! | word | meaning | here |
//! |---|---|---|
//! | call | what the user asked for: one request in, one response or error out | [`Report`] |
//! | attempt | one HTTP exchange made for a call | [`Attempt`] |
//! | operation | an entry of Stripe's API, by method and path | [`Operation`] |
//! | class, priority | what kind of operation it is, and who is admitted first | [`Class`], [`Priority`] |
//! | outcome | what one attempt came to | [`Outcome`] |
//! | certainty | has Stripe executed this call | [`Certainty`] |
//! | advice | what to do with the key now | [`Advice`] |
//! | intent | what the caller says about a call | [`intent`] |
//! | report | the account of a call | [`Report`], [`ReportHandle`], [`ResponseExt`] |
//! | refusal | the stack itself said no, before sending | [`Refusal`] |
//! | gate | what admits an attempt, or refuses it | [`Gate`], [`Gated`] |
//! | metric | what is counted or measured, by closed labels | [`metric`], [`Source`] |
//! | failure | there was no answer, and what that proves | [`Failure`], [`TransportError`] |

mod advice;
mod attempt;
pub mod body;
mod caller;
pub(crate) mod certainty;
pub mod config;
mod error;
pub mod gate;
pub mod headers;
mod host;
pub mod intent;
pub mod key;
mod kind;
pub mod metric;
pub mod operation;
mod outcome;
mod refusal;
pub mod report;
mod request_id;
pub(crate) mod response;
#[cfg_attr(not(feature = "breaker"), expect(dead_code, reason = "only the breaker has totals"))]
mod sample;
pub(crate) mod sync;
pub mod time;
mod timed_out;
pub mod tracked;
pub mod transport_error;

#[cfg(test)]
mod label_tests;
#[cfg(test)]
mod standing_tests;

#[cfg(feature = "telemetry")]
pub(crate) use self::attempt::Word;
#[cfg(all(feature = "classify", feature = "telemetry"))]
pub(crate) use self::attempt::Words;
#[cfg(feature = "telemetry")]
pub(crate) use self::sample::Value;
pub use self::{
    advice::Advice,
    attempt::{Attempt, Purpose},
    body::{BodyError, Cloneable, Replay, SendOnce, StripeBody},
    caller::{Credential, Mode},
    certainty::{Certainty, Standing},
    config::{ConfigError, Problem, Ratio, Setting},
    error::{BoxError, Error},
    gate::{Admit, Ask, Ended, Gate, Gated},
    host::Host,
    intent::{AttemptTimeout, Deadline, RetryLimit},
    key::{IdempotencyKey, InvalidKey},
    kind::{CallKind, Verb},
    operation::{ApiVersion, Class, Operation, Priority},
    outcome::{Outcome, RateLimitReason},
    refusal::{Refusal, Refused},
    report::{Recorder, Report, ReportHandle, Stop},
    request_id::RequestId,
    response::ResponseExt,
    sample::{Sample, Source},
    timed_out::AttemptTimedOut,
    tracked::SendProof,
    transport_error::{Failure, FailureKind, TransportError},
};
