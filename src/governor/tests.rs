//! What the tests of all parts share.

use std::{
    future::Future,
    num::NonZeroU32,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Method, Request};

use super::*;
use crate::vocab::{
    Admit, Ask, CallKind, Credential, Ended, Gate, Host, Mode, Operation, Outcome, Priority, RateLimitReason,
    Refusal, time,
};

pub(super) fn n(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}

pub(super) fn request(method: &Method, path: &str) -> Request<String> {
    let request = Request::builder().method(method).uri(format!("https://api.stripe.com{path}"));
    request.body(String::new()).expect("a request")
}

pub(super) fn operation(name: &str) -> Operation {
    Operation::new(name).expect("an operation")
}

/// One that everything is said of.
pub(super) fn ask_of(request: &Request<String>, mode: Mode, now: Instant) -> Ask {
    let operation = Operation::resolve(request.method(), request.uri().path());
    Ask {
        operation,
        kind: CallKind::of(request),
        host: Host::Api,
        mode,
        credential: Credential::of(request.headers()),
        priority: None,
        deadline: now + Duration::from_secs(75),
        retry_left: true,
        probe: false,
        now,
    }
}

/// A call in a test.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) mode: Mode,
    pub(super) priority: Option<Priority>,
    pub(super) deadline: Duration,
    pub(super) probe: bool,
}

impl Caller {
    pub(super) fn new(method: Method, path: &str) -> Self {
        let deadline = Duration::from_secs(75);
        Self { method, path: path.into(), mode: Mode::Live, priority: None, deadline, probe: false }
    }

    pub(super) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    pub(super) fn sandbox(mut self) -> Self {
        self.mode = Mode::Sandbox;
        self
    }

    pub(super) fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    pub(super) fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    pub(super) fn admit(&self, gate: &GovernorGate) -> Admit<Permit, Wait> {
        let request = request(&self.method, &self.path);
        let now = time::now();
        let ask = Ask {
            priority: self.priority,
            deadline: now + self.deadline,
            probe: self.probe,
            ..ask_of(&request, self.mode, now)
        };
        gate.admit(&ask, &request)
    }

    /// Waits, if need be.
    pub(super) async fn enter(&self, gate: &GovernorGate) -> Result<Permit, Refusal> {
        match self.admit(gate) {
            Admit::Now(permit) => Ok(permit),
            Admit::Wait(wait) => wait.await,
            Admit::No(refusal) => Err(refusal),
            Admit::Probe(_) => unreachable!("it does not ask for probes"),
        }
    }
}

/// Sends and ends at once.
pub(super) fn settle(permit: Permit, outcome: Outcome) {
    settle_sent(permit, outcome, time::now());
}

pub(super) fn settle_sent(mut permit: Permit, outcome: Outcome, sent: Instant) {
    GovernorGate::sent(&mut permit, sent);
    GovernorGate::settle(permit, &Ended::new(outcome, true, sent, time::now()));
}

pub(super) const fn limited(reason: RateLimitReason) -> Outcome {
    Outcome::RateLimited(reason)
}

/// Counts how often it is polled.
pub(super) struct Counted<F> {
    pub(super) inner: Pin<Box<F>>,
    pub(super) polls: Arc<AtomicU32>,
}

impl<F: Future> Counted<F> {
    pub(super) fn new(inner: F, polls: &Arc<AtomicU32>) -> Self {
        Self { inner: Box::pin(inner), polls: Arc::clone(polls) }
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Relaxed);
        self.inner.as_mut().poll(cx)
    }
}
