//! The log: every request that the server saw, in the order it saw them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::{
    request::{Head, is_read},
    script::Step,
};

/// A request as the server saw it, and what became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Exchange {
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The order it was counted under.
    pub order: String,
    /// The `Idempotency-Key`, where there was one.
    pub idempotency_key: Option<String>,
    /// The `Stripe-Version` that was asked for.
    pub version: Option<String>,
    /// The connected account that it was for, by `Stripe-Account`.
    pub account: Option<String>,
    /// The body, as far as it was read.
    pub body: Bytes,
    /// Whether there was an `Authorization` header; its value is not kept.
    pub authorized: bool,
    /// When it arrived, by tokio's clock.
    pub arrived: Instant,
    /// How long after the simulator was built it arrived, by tokio's clock, which nothing but time moves.
    pub at: Duration,
    /// The step of the script, or the fault drawn for it.
    pub step: Step,
    /// The status that was answered; `None` as long as there is none, and for good if the client was gone or the
    /// connection lost.
    pub status: Option<StatusCode>,
    /// The id that Stripe gave it, whether or not the client ever learnt it.
    pub request_id: String,
    /// Whether its side effect was made, even if much later.
    pub executed: bool,
    /// Whether it was answered, or would have been, from a key store. A v2 request that failed and is executed again is
    /// none.
    pub replayed: bool,
}

impl Exchange {
    /// Whether it only asked: GET or HEAD.
    #[must_use]
    pub fn is_read(&self) -> bool {
        is_read(&self.method)
    }

    pub(crate) fn new(head: &Head, request_id: String, arrived: Instant, at: Duration) -> Self {
        Self {
            method: head.method.clone(),
            path: head.path.clone(),
            order: head.order(false).unwrap_or_default(),
            idempotency_key: head.key.clone(),
            version: head.version.clone(),
            account: head.connected.clone(),
            body: Bytes::new(),
            authorized: head.authorization,
            arrived,
            at,
            step: Step::Pass,
            status: None,
            request_id,
            executed: false,
            replayed: false,
        }
    }
}
