//! Two gates in a row are a gate.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::Request;

use super::{Admit, Ask, Ended, Gate, Never, PROBE_TIMEOUT};
use crate::vocab::{Priority, Refusal, Replay};

/// The first one is asked first, and settled first; only the second may let a call wait.
impl<A, C> Gate for (A, C)
where
    A: Gate<Wait = Never<<A as Gate>::Permit>>,
    C: Gate,
{
    type Permit = (A::Permit, C::Permit);
    type Wait = PairWait<A, C>;

    fn admit<B: Replay>(&self, ask: &Ask, request: &Request<B>) -> Admit<Self::Permit, Self::Wait> {
        let (outer, synthetic) = match self.0.admit(ask, request) {
            Admit::Now(permit) => (permit, false),
            Admit::Probe(permit) => (permit, true),
            Admit::Wait(never) => match never.0 {},
            Admit::No(refusal) => return Admit::No(refusal),
        };
        let mut ask = if synthetic { ask.of_probe() } else { *ask };
        ask.probe |= A::is_probe(&outer);
        match self.1.admit(&ask, request) {
            Admit::Now(inner) if synthetic => Admit::Probe((outer, inner)),
            Admit::Now(inner) => Admit::Now((outer, inner)),
            Admit::Probe(inner) => Admit::Probe((outer, inner)),
            // No gate lets a probe wait; if one did, what waits would be forgotten to be one.
            Admit::Wait(_) if ask.probe => Admit::No(Refusal::CircuitOpen { retry_in: Some(PROBE_TIMEOUT) }),
            Admit::Wait(inner) => Admit::Wait(PairWait { outer: Some(outer), inner }),
            Admit::No(refusal) => Admit::No(refusal),
        }
    }

    fn is_probe((outer, inner): &Self::Permit) -> bool {
        A::is_probe(outer) || C::is_probe(inner)
    }

    fn priority((outer, inner): &Self::Permit) -> Option<Priority> {
        A::priority(outer).or(C::priority(inner))
    }

    fn poll_revoked((outer, inner): &mut Self::Permit, cx: &mut Context<'_>) -> Poll<Refusal> {
        match A::poll_revoked(outer, cx) {
            Poll::Ready(refusal) => Poll::Ready(refusal),
            Poll::Pending => C::poll_revoked(inner, cx),
        }
    }

    fn sent((outer, inner): &mut Self::Permit, now: Instant) {
        A::sent(outer, now);
        C::sent(inner, now);
    }

    fn settle((outer, inner): Self::Permit, ended: &Ended) {
        A::settle(outer, ended);
        C::settle(inner, ended);
    }
}

/// The wait of the second gate, under the permit of the first, which may be revoked meanwhile.
pub struct PairWait<A: Gate, C: Gate> {
    outer: Option<A::Permit>,
    inner: C::Wait,
}

impl<A: Gate, C: Gate> Future for PairWait<A, C> {
    type Output = Result<(A::Permit, C::Permit), Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(outer) = &mut this.outer else { return Poll::Pending };
        let result = match A::poll_revoked(outer, cx) {
            Poll::Ready(refusal) => Err(refusal),
            Poll::Pending => ready!(Pin::new(&mut this.inner).poll(cx)),
        };
        match (this.outer.take(), result) {
            (Some(outer), Ok(inner)) => Poll::Ready(Ok((outer, inner))),
            (_, Err(refusal)) => Poll::Ready(Err(refusal)),
            (None, Ok(_)) => Poll::Pending, // Polled after its end.
        }
    }
}

impl<A: Gate, C: Gate> fmt::Debug for PairWait<A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairWait").finish_non_exhaustive()
    }
}
