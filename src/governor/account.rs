//! What is decided for one account: who goes now, who waits and until when, and what is given back. Pure: no clock, no
//! runtime, no lock.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use super::{
    allowance::Allowance,
    bucket::{SECOND, Tick},
    limits::{Limits, RULES, Route},
    objects::{Object, Objects},
    queue::{Grant, NONE, Needs, PRIORITIES, Queue, State, Ticket, Waiter, level},
};
use crate::vocab::{Mode, Operation, Priority, RateLimitReason, Ratio, Refusal};

/// How long a call that timed out keeps its place: Stripe is most likely still working on it.
const LINGER: Tick = SECOND;

/// So many places at most are kept for calls that timed out.
const MAX_LINGERING: usize = 4_096;

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) max_queue: usize,
    pub(super) reserve: Ratio,
}

/// A call that wants to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) route: Route,
    pub(super) priority: Priority,
    pub(super) deadline: Tick,
    /// The object that it changes.
    pub(super) object: Option<Object>,
    /// Whether no other may change that object meanwhile.
    pub(super) alone: bool,
    /// Whether it finds out if Stripe is back.
    pub(super) probe: bool,
}

#[derive(Debug)]
pub(super) enum Admission {
    Now(Grant),
    Wait(Ticket),
    No(Refusal),
}

/// What a waiter finds when it looks.
#[derive(Debug)]
pub(super) enum Look {
    Granted(Grant),
    Refused(Refusal),
    /// It is to look again then.
    Until(Tick),
}

/// How a call leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It was never sent.
    Unsent,
    /// It has ended.
    Ended,
    /// There was no answer in time.
    TimedOut,
}

/// The state of one account. `W` wakes a waiter.
#[derive(Debug)]
pub(super) struct Account<W> {
    mode: Mode,
    limits: Arc<Limits>,
    pub(super) settings: Settings,
    latest: Tick,
    pub(super) allowances: Vec<Allowance>,
    /// Where the allowance of each operation is, once there is one.
    own: Box<[u16]>,
    /// Whose allowances stand behind those of the rules.
    operations: Vec<Operation>,
    pub(super) queue: Queue<W>,
    /// How many more urgent calls went while some of this level were waiting.
    pub(super) passed: [u32; PRIORITIES.len()],
    pub(super) lingering: VecDeque<(Tick, Needs)>,
    pub(super) objects: Objects,
    pub(super) woken: Vec<W>,
}

impl<W> Account<W> {
    pub(super) fn new(mode: Mode, limits: Arc<Limits>, settings: Settings) -> Self {
        let allowances = (0..RULES).map(|rule| Allowance::new(limits.of_rule(mode, rule))).collect();
        Self {
            mode,
            limits,
            settings,
            latest: 0,
            allowances,
            operations: Vec::new(),
            own: vec![NONE; Operation::COUNT].into_boxed_slice(),
            queue: Queue::default(),
            passed: [0; PRIORITIES.len()],
            lingering: VecDeque::new(),
            objects: Objects::default(),
            woken: Vec::new(),
        }
    }

    /// Whom to wake, after anything else was called.
    #[must_use]
    pub(super) fn woken(&mut self) -> Vec<W> {
        mem::take(&mut self.woken)
    }

    /// A call wants to go.
    pub(super) fn admit(&mut self, call: &Call, now: Tick) -> Admission {
        let now = self.clock(now);
        let needs = self.needs(call);
        if call.probe {
            return Admission::Now(self.take(needs, None, false, now));
        }
        if let Some(until) = call.object.and_then(|object| self.objects.cooling(object, now)) {
            return Admission::No(Refusal::ObjectCooling { retry_in: time(until - now) });
        }
        if call.deadline <= now {
            return Admission::No(Refusal::DeadlineExceeded);
        }
        let alone = call.object.filter(|_| call.alone);
        let parked = alone.is_some_and(|object| !self.objects.hold(object));
        let reserve = self.reserve(call.priority, false);
        if !parked && self.queue.is_idle() && self.ready(needs, reserve, now).is_ok() {
            return Admission::Now(self.take(needs, alone, true, now));
        }
        self.enqueue(call, needs, alone, parked, now)
    }

    #[cold]
    fn enqueue(
        &mut self,
        call: &Call,
        needs: Needs,
        alone: Option<Object>,
        parked: bool,
        now: Tick,
    ) -> Admission {
        let level = level(call.priority);
        if self.queue.queued(level) == 0 {
            self.passed[level] = 0;
        }
        let ticket = self.queue.push(Waiter {
            serial: 0,
            operation: call.operation,
            needs,
            priority: call.priority,
            deadline: call.deadline,
            object: call.object,
            alone: call.alone,
            state: if parked { State::Parked } else { State::Queued },
            armed: Tick::MAX,
            waker: None,
        });
        let Some(index) = self.queue.index_of(ticket) else { return Admission::Wait(ticket) };
        if let (true, Some(object)) = (parked, alone) {
            self.objects.wait(object, index);
        }
        let next = self.dispatch(now);
        if let Some(grant) = self.granted(index) {
            self.queue.remove(index);
            return Admission::Now(grant);
        }
        let turn = self.turn_of(index, now);
        let refusal = if turn > call.deadline {
            Some(Refusal::WaitTooLong { wait: time(turn - now) })
        } else if self.queue.len() > self.settings.max_queue && !self.shed(call.priority, now) {
            Some(Refusal::Saturated { retry_in: time(turn - now) })
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.forget(index, now);
            return Admission::No(refusal);
        }
        // Whoever is next has been told when it can go, and who is parked is told when that ends.
        let is_next = next.is_some_and(|(_, first)| first == index);
        if let Some(waiter) = self.queue.get_mut(index).filter(|_| !parked && !is_next) {
            // If no token is lacking, somebody else will give it what it waits for.
            let armed = if turn > now { turn } else { now + SECOND };
            waiter.armed = waiter.armed.min(armed);
        }
        Admission::Wait(ticket)
    }

    /// A waiter looks what has become of it. What it wakes it with is renewed by `renew`; the old one is returned.
    pub(super) fn look(
        &mut self,
        ticket: Ticket,
        now: Tick,
        renew: impl FnOnce(Option<&W>) -> Option<W>,
    ) -> (Look, Option<W>) {
        let now = self.clock(now);
        let gone = (Look::Refused(Refusal::DeadlineExceeded), None);
        let Some(index) = self.queue.index_of(ticket) else { return gone };
        let due = self.queue.get_mut(index).is_some_and(|waiter| waiter.armed <= now);
        let next = if due { self.dispatch(now) } else { None };
        let Some(waiter) = self.queue.get_mut(index) else { return gone };
        match waiter.state {
            State::Granted(grant) => {
                let old = self.queue.remove(index).and_then(|waiter| waiter.waker);
                return (Look::Granted(grant), old);
            }
            State::Refused(_) => {
                let Some(Waiter { state: State::Refused(refusal), waker, .. }) = self.queue.remove(index)
                else {
                    return gone;
                };
                return (Look::Refused(refusal), waker);
            }
            State::Queued | State::Parked if waiter.deadline <= now => {
                let old = self.forget(index, now);
                return (Look::Refused(Refusal::DeadlineExceeded), old);
            }
            State::Queued | State::Parked => {}
        }
        if waiter.armed <= now {
            let armed = match next {
                Some((at, first)) if first == index => at,
                // It came too early, since others have overtaken it: it is woken when it is next. Should whoever is next
                // not look after itself, this one does, a while after its turn.
                _ => {
                    let turn = self.turn_of(index, now);
                    turn.saturating_add(SECOND.max(turn - now))
                }
            };
            if let Some(waiter) = self.queue.get_mut(index) {
                waiter.armed = armed.max(now + 1);
            }
        }
        let Some(waiter) = self.queue.get_mut(index) else { return gone };
        let old = match renew(waiter.waker.as_ref()) {
            Some(new) => waiter.waker.replace(new),
            None => None,
        };
        (Look::Until(waiter.armed.min(waiter.deadline)), old)
    }

    /// A waiter goes away. Returns what would have woken it.
    pub(super) fn abandon(&mut self, ticket: Ticket, now: Tick) -> Option<W> {
        let now = self.clock(now);
        let index = self.queue.index_of(ticket)?;
        match self.granted(index) {
            Some(grant) => {
                let waker = self.queue.remove(index).and_then(|waiter| waiter.waker);
                self.leave(&grant, Leave::Unsent, now);
                waker
            }
            None => self.forget(index, now),
        }
    }

    /// A call that was admitted leaves.
    pub(super) fn leave(&mut self, grant: &Grant, leave: Leave, now: Tick) {
        let now = self.clock(now);
        if leave == Leave::Unsent {
            for (index, serial) in grant.needs.0.into_iter().zip(grant.serials) {
                if let Some(allowance) = self.allowances.get_mut(usize::from(index)) {
                    allowance.refund(serial);
                }
            }
        }
        if grant.slot {
            if leave == Leave::TimedOut && self.lingering.len() < MAX_LINGERING {
                self.lingering.push_back((now + LINGER, grant.needs));
            } else {
                self.free(grant.needs);
            }
        }
        if let Some(object) = grant.holds {
            self.let_go(object);
        }
        self.dispatch(now);
    }

    /// Stripe's limiter said no to a call that was sent at `sent`.
    pub(super) fn limited(
        &mut self,
        reason: RateLimitReason,
        needs: Needs,
        object: Option<Object>,
        sent: Tick,
        now: Tick,
    ) {
        let now = self.clock(now);
        let own = || needs.each().filter(|index| *index != GLOBAL);
        match reason {
            RateLimitReason::GlobalRate | RateLimitReason::Other => {
                self.allowances[GLOBAL].lower_rate(sent, now);
            }
            RateLimitReason::EndpointRate => {
                own().for_each(|index| self.allowances[index].lower_rate(sent, now));
            }
            RateLimitReason::GlobalConcurrency => self.allowances[GLOBAL].slots.lower(sent, now),
            RateLimitReason::EndpointConcurrency => {
                own().for_each(|index| self.allowances[index].slots.lower(sent, now));
            }
            RateLimitReason::ResourceSpecific => {
                if let Some(object) = object {
                    self.objects.cool(object, now);
                    self.refuse_all_of(object, now);
                }
            }
            RateLimitReason::Unstated => {}
        }
        // What grows back by itself can be waited for.
        self.dispatch(now);
    }

    /// Other limits are in force.
    pub(super) fn retune(&mut self, limits: &Arc<Limits>, now: Tick) {
        let now = self.clock(now);
        self.limits = Arc::clone(limits);
        for rule in 0..RULES {
            self.allowances[rule].retune(limits.of_rule(self.mode, rule), now);
        }
        for (allowance, operation) in self.allowances[RULES..].iter_mut().zip(&self.operations) {
            allowance.retune(limits.of_operation(self.mode, *operation), now);
        }
        self.dispatch(now);
    }

    pub(super) const fn mode(&self) -> Mode {
        self.mode
    }

    /// Nobody waits, nothing is in flight, and nothing happened since `then`.
    pub(super) fn is_idle_since(&mut self, then: Tick, now: Tick) -> bool {
        self.free_lingering(now);
        self.latest <= then
            && self.queue.is_forgotten()
            && self.allowances.iter().all(|a| a.slots.used() == 0)
    }

    /// How many wait, by priority, the most urgent first.
    pub(super) fn waiting(&self) -> [usize; PRIORITIES.len()] {
        self.queue.waiting()
    }

    /// How many are in flight: what is subject to the global rule, and what stands apart.
    pub(super) fn in_flight(&self) -> u32 {
        let apart = (1..RULES).filter(|rule| Route::stands_apart(*rule, self.mode));
        self.allowances[GLOBAL].slots.used()
            + apart.map(|rule| self.allowances[rule].slots.used()).sum::<u32>()
    }

    pub(super) fn global_rate(&mut self, now: Tick) -> Option<f64> {
        let now = self.clock(now);
        self.allowances[GLOBAL].rate_in_force(now)
    }

    fn needs(&mut self, call: &Call) -> Needs {
        let own = &mut self.own[call.operation.index()];
        if *own == NONE {
            *own = self.allowances.len() as u16;
            self.operations.push(call.operation);
            self.allowances.push(Allowance::new(self.limits.of_operation(self.mode, call.operation)));
        }
        Needs([
            if call.route.global { GLOBAL as u16 } else { NONE },
            *own,
            call.route.special.unwrap_or(NONE),
        ])
    }

    /// Time does not go back, whatever those say who came late to the lock; and what was kept until now is free.
    fn clock(&mut self, now: Tick) -> Tick {
        self.latest = self.latest.max(now);
        self.free_lingering(self.latest);
        self.latest
    }

    fn free_lingering(&mut self, now: Tick) {
        while let Some((_, needs)) = self.lingering.front().copied().filter(|(until, _)| *until <= now) {
            self.lingering.pop_front();
            self.free(needs);
        }
    }
}

/// The index of the global allowance.
pub(super) const GLOBAL: usize = 0;

pub(super) fn time(ticks: Tick) -> Duration {
    Duration::from_nanos(ticks)
}

#[cfg(test)]
mod tests;
