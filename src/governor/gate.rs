use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use http::Request;
use tokio::time::Sleep;

use super::{
    GovernorConfig, GovernorHandle,
    account::{Admission, Call, Leave, Look},
    accounts::{Core, Shared, enter},
    limits::Route,
    objects::Object,
    queue::{Grant, Ticket},
};
use crate::vocab::{
    Admit, Ask, Ended, FailureKind, Gate, Operation, Outcome, Priority, RateLimitReason, Refusal, Replay,
    Verb, time,
};

/// A form larger than this is not looked at for the object of a meter event.
const MAX_FORM: usize = 4 * 1_024;

/// Admits attempts as fast as Stripe's rate limits allow. See the [module docs](super).
#[derive(Clone)]
pub struct GovernorGate {
    core: Arc<Core>,
}

impl GovernorGate {
    /// With these settings, and with nothing in flight.
    #[must_use]
    pub fn new(config: GovernorConfig) -> Self {
        Self { core: Arc::new(Core::new(config)) }
    }

    /// What changes limits, and tells how things stand.
    #[must_use]
    pub fn handle(&self) -> GovernorHandle {
        GovernorHandle::new(Arc::clone(&self.core))
    }

    /// The object that the request changes.
    fn object<B: Replay>(&self, route: Route, ask: &Ask, request: &Request<B>) -> Option<Object> {
        if let Some(segment) = route.object.filter(|_| matches!(ask.kind.verb, Verb::Post | Verb::Delete)) {
            let id = request.uri().path().split('/').nth(usize::from(segment))?;
            return Some(self.core.object(id));
        }
        if route.meter_event && self.core.config.serialize_objects {
            let form = request.body().content(MAX_FORM)?;
            let value = |name: &str| {
                form_urlencoded::parse(&form).find_map(|(key, value)| (key == name).then_some(value))
            };
            return Some(self.core.object((value("event_name")?, value("payload[stripe_customer_id]")?)));
        }
        None
    }
}

impl Default for GovernorGate {
    fn default() -> Self {
        Self::new(GovernorConfig::default())
    }
}

impl Gate for GovernorGate {
    type Permit = Permit;
    type Wait = Wait;

    fn admit<B: Replay>(&self, ask: &Ask, request: &Request<B>) -> Admit<Permit, Wait> {
        let config = &self.core.config;
        if !config.enabled {
            return Admit::Now(Permit(None));
        }
        let route = self.core.route(ask.operation, ask.mode);
        let object = self.object(route, ask, request);
        let now = self.core.tick(ask.now);
        let priority = ask.priority.or(config.default_priority).unwrap_or(ask.operation.priority());
        let call = Call {
            operation: ask.operation,
            route,
            priority,
            deadline: self.core.tick(ask.deadline),
            object,
            alone: config.serialize_objects,
            probe: ask.probe,
        };
        let place = Place {
            core: Arc::clone(&self.core),
            account: self.core.account(ask.credential, ask.mode, now),
            operation: ask.operation,
            priority,
            object,
        };
        match enter(&place.account, |account| account.admit(&call, now)) {
            Admission::Now(grant) => Admit::Now(Permit::new(place, grant)),
            Admission::Wait(ticket) => Admit::Wait(Wait { waiting: Some((place, ticket)), alarm: None }),
            Admission::No(refusal) => Admit::No(refusal),
        }
    }

    fn priority(permit: &Permit) -> Option<Priority> {
        permit.0.as_ref().map(|held| held.place.priority)
    }

    fn sent(permit: &mut Permit, _: Instant) {
        if let Some(held) = &mut permit.0 {
            held.sent = true;
        }
    }

    fn settle(mut permit: Permit, ended: &Ended) {
        let Some(Held { place, grant, .. }) = permit.0.take() else { return };
        let (sent, now) = (place.core.tick(ended.sent), place.core.tick(ended.now));
        let leave = match ended.outcome {
            Outcome::Transport(FailureKind::Timeout) => Leave::TimedOut,
            _ => Leave::Ended,
        };
        let reason = match ended.outcome {
            Outcome::RateLimited(reason) => Some(reason),
            _ => None,
        };
        if let Some(reason) = reason.filter(|reason| *reason != RateLimitReason::Unstated) {
            let operation = place.operation.name();
            tracing::debug!(operation, reason = reason.as_str(), "stripe's limiter said no: slowing down");
        }
        enter(&place.account, |account| {
            if let Some(reason) = reason {
                account.limited(reason, grant.needs, place.object, sent, now);
            }
            account.leave(&grant, leave, now);
        });
    }
}

impl fmt::Debug for GovernorGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GovernorGate").field("config", &self.core.config).finish_non_exhaustive()
    }
}

/// Whose call it is, and what it is about.
struct Place {
    core: Arc<Core>,
    account: Shared,
    operation: Operation,
    priority: Priority,
    object: Option<Object>,
}

/// What an admitted attempt holds: its tokens until it is sent, and its place in flight. Dropped, it gives back what it
/// has.
#[must_use]
pub struct Permit(Option<Held>);

struct Held {
    place: Place,
    grant: Grant,
    sent: bool,
}

impl Permit {
    const fn new(place: Place, grant: Grant) -> Self {
        Self(Some(Held { place, grant, sent: false }))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(Held { place, grant, sent }) = self.0.take() else { return };
        let leave = if sent { Leave::Ended } else { Leave::Unsent };
        let now = place.core.tick(time::now());
        enter(&place.account, |account| account.leave(&grant, leave, now));
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = self.0.as_ref().is_some_and(|held| held.sent);
        f.debug_struct("Permit").field("sent", &sent).finish_non_exhaustive()
    }
}

/// The wait of an attempt for its turn. Dropped, it leaves the queue.
#[must_use = "futures do nothing unless polled"]
pub struct Wait {
    waiting: Option<(Place, Ticket)>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Future for Wait {
    type Output = Result<Permit, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let Some((place, ticket)) = &this.waiting else { return Poll::Pending };
            let now = place.core.tick(time::now());
            let renew = |kept: Option<&Waker>| {
                let unchanged = kept.is_some_and(|kept| kept.will_wake(cx.waker()));
                (!unchanged).then(|| cx.waker().clone())
            };
            // What is replaced is dropped here, without the lock: a waker may own anything.
            let (look, _replaced) = enter(&place.account, |account| account.look(*ticket, now, renew));
            let until = match look {
                Look::Until(until) => place.core.instant(until).into(),
                Look::Granted(grant) => {
                    let Some((place, _)) = this.waiting.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(Permit::new(place, grant)));
                }
                Look::Refused(refusal) => {
                    this.waiting = None;
                    return Poll::Ready(Err(refusal));
                }
            };
            let alarm = this.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
            if alarm.deadline() != until {
                alarm.as_mut().reset(until);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some((place, ticket)) = self.waiting.take() {
            let now = place.core.tick(time::now());
            drop(enter(&place.account, |account| account.abandon(ticket, now)));
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
