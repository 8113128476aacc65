//! What admits an attempt, or refuses it: the shape that all gates share, and the one service that drives them.
//!
//! # What
//! A [`Gate`] answers an [`Ask`]: now, wait, no, or "find out first whether Stripe is back". What it admits holds a permit,
//! which says when the attempt left, and is settled with how it [`Ended`]. Dropping a permit is what happens when nothing
//! else did: the caller went away. [`Gated`] puts a gate before a service; a pair of gates is a gate.
//!
//! # Why
//! A gate that forwards readiness would hold a place of the inner service while it refuses, and could not refuse at all
//! while that one is busy. [`Gated`] is late instead: always ready, it admits first, and then waits for a clone of the inner service
//! inside of its future. Three such services, each within the next, would clone and wait three times; a pair does once.
//!
//! # When not
//! For what changes a request, or sends it again.
//!
//! # Example
//! ```
//! use http::Request;
//! use tower_stripe::{
//!     Priority, Refusal,
//!     vocab::{Admit, Ask, Ended, Gate, Gated, Replay, gate::Never},
//! };
//!
//! /// Lets no report through while the books are being closed.
//! #[derive(Clone, Debug)]
//! struct BooksAreOpen(bool);
//!
//! impl Gate for BooksAreOpen {
//!     type Permit = ();
//!     type Wait = Never<()>;
//!
//!     fn admit<B: Replay>(&self, ask: &Ask, _: &Request<B>) -> Admit<(), Never<()>> {
//!         match ask.operation.priority() {
//!             Priority::Background if !self.0 => Admit::No(Refusal::CircuitOpen { retry_in: None }),
//!             _ => Admit::Now(()),
//!         }
//!     }
//!
//!     fn settle((): (), _: &Ended) {}
//! }
//! # let client = tower::service_fn(|_: http::Request<String>| async {
//! #     Ok::<_, tower_stripe::BoxError>(http::Response::new(String::new()))
//! # });
//!
//! let client = Gated::new(client, BooksAreOpen(true));
//! # let _ = client;
//! ```
//!
//! # How it refuses
//! With whatever the gate says; and with [`Refusal::DeadlineExceeded`] and [`Refusal::KeyTooOld`] where the inner service
//! was not ready in time. The client's error type must have room for that: put [`EdgeLayer`](crate::edge::EdgeLayer) below, or box it.

mod future;
mod pair;
mod service;

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Method, Request};

pub use self::{future::ResponseFuture, pair::PairWait, service::Gated};
use super::{
    CallKind, Credential, Host, Mode, Operation, Outcome, Priority, Recorder, Refusal, Replay, Verb,
};

/// How long a GET may take that the stack sends by itself to find out whether Stripe is back.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the stack's own GET is for: nothing. Any answer of Stripe's to it is a sign of life.
const PROBE_PATH: &str = "/v1/";

/// What an attempt asks of a gate.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ask {
    /// What it is.
    pub operation: Operation,
    /// Whether it may be repeated.
    pub kind: CallKind,
    /// Which part of Stripe it is for.
    pub host: Host,
    /// Whether it is about real money.
    pub mode: Mode,
    /// Under which API key.
    pub credential: Credential,
    /// How urgent its caller says it is; if nothing, the operation and the settings decide.
    pub priority: Option<Priority>,
    /// When its call must be over.
    pub deadline: Instant,
    /// Whether its call may be tried once more after it.
    pub retry_left: bool,
    /// Whether an outer gate sends it to find out whether Stripe is back: it need not queue.
    pub probe: bool,
    /// The present.
    pub now: Instant,
}

impl Ask {
    /// What `request` asks at `now`.
    pub fn of<B>(request: &Request<B>, recorder: &Recorder, now: Instant) -> Self {
        let operation = recorder.operation(request);
        Self {
            operation,
            kind: CallKind::of(request),
            host: Host::of(request.uri(), operation),
            mode: Mode::of(request.headers()),
            credential: Credential::of(request.headers()),
            priority: request.extensions().get::<Priority>().copied(),
            deadline: recorder.deadline_so_far(request),
            retry_left: recorder.retry_left().unwrap_or(true),
            probe: false,
            now,
        }
    }

    /// What the stack's own GET asks that is sent in its place.
    fn of_probe(&self) -> Self {
        let operation = Operation::resolve(&Method::GET, PROBE_PATH);
        let kind = CallKind { verb: Verb::Get, keyed: false, ..self.kind };
        Self { operation, kind, probe: true, ..*self }
    }
}

/// What a gate answers.
#[derive(Debug)]
pub enum Admit<P, W> {
    /// It may be sent.
    Now(P),
    /// It may be sent when this is ready.
    Wait(W),
    /// First a GET of the stack's own is to be sent under this permit. When that is settled, ask again.
    Probe(P),
    /// It may not.
    No(Refusal),
}

/// How an attempt ended that a gate had admitted.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ended {
    /// What it came to.
    pub outcome: Outcome,
    /// Whether the answer was Stripe's own, and not of something in between.
    pub genuine: bool,
    /// Whether it provably never left.
    pub not_sent: bool,
    /// Whether it was a GET of the stack's own, sent for nothing but a sign of life.
    pub synthetic: bool,
    /// When it left.
    pub sent: Instant,
    /// The present.
    pub now: Instant,
}

impl Ended {
    /// An attempt that left at `sent` and ended at `now`.
    #[must_use]
    pub const fn new(outcome: Outcome, genuine: bool, sent: Instant, now: Instant) -> Self {
        Self { outcome, genuine, not_sent: false, synthetic: false, sent, now }
    }
}

/// Admits attempts. See the [module docs](self).
///
/// Clones share one state. Its own methods must not block.
pub trait Gate: Clone {
    /// What an admitted attempt holds. Dropped before [`sent`](Self::sent), nothing was sent; dropped after, the caller
    /// went away.
    type Permit: Unpin;

    /// The wait for an admission, or [`Never`]. It must end by the deadline that it was [asked](Ask::deadline) with.
    type Wait: Future<Output = Result<Self::Permit, Refusal>> + Unpin;

    /// Whether `request` may be sent.
    fn admit<B: Replay>(&self, ask: &Ask, request: &Request<B>) -> Admit<Self::Permit, Self::Wait>;

    /// Whether what was admitted finds out whether Stripe is back. Gates within let it pass their queue.
    fn is_probe(permit: &Self::Permit) -> bool {
        let _ = permit;
        false
    }

    /// As of which priority it was admitted, where that decides about waiting.
    fn priority(permit: &Self::Permit) -> Option<Priority> {
        let _ = permit;
        None
    }

    /// Ready when what was admitted is to be refused after all, while a gate within lets it wait.
    fn poll_revoked(permit: &mut Self::Permit, cx: &mut Context<'_>) -> Poll<Refusal> {
        let _ = (permit, cx);
        Poll::Pending
    }

    /// The attempt leaves now.
    fn sent(permit: &mut Self::Permit, now: Instant) {
        let _ = (permit, now);
    }

    /// The attempt has ended.
    fn settle(permit: Self::Permit, ended: &Ended);
}

/// The wait of a gate that never lets anyone wait.
pub struct Never<P>(Infallible, PhantomData<fn() -> P>);

impl<P> Future for Never<P> {
    type Output = Result<P, Refusal>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0 {}
    }
}

impl<P> fmt::Debug for Never<P> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

#[cfg(test)]
mod tests;
