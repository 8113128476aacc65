//! Who goes now, in which order, and who is woken. Pure.

use super::{
    account::{Account, time},
    bucket::Tick,
    objects::Object,
    queue::{Grant, Index, Needs, PRIORITIES, State, level},
};
use crate::vocab::{Priority, Ratio, Refusal};

/// While less urgent calls wait, one admission in so many is theirs.
pub(super) const TURN: u32 = 50;

impl<W> Account<W> {
    /// Lets all go that can, in their order. Returns when the next one can, and who that is.
    pub(super) fn dispatch(&mut self, now: Tick) -> Option<(Tick, Index)> {
        loop {
            let mut best = None;
            let mut next = None;
            for lane in 0..self.queue.lanes().len() {
                for priority in PRIORITIES {
                    let Some((serial, index)) = self.queue.lanes()[lane].head(level(priority)) else {
                        continue;
                    };
                    let turn = self.has_turn(priority);
                    let rank = (!turn, level(priority), serial);
                    let needs = self.queue.lanes()[lane].needs;
                    match self.ready(needs, self.reserve(priority, turn), now) {
                        Ok(()) if best.is_none_or(|(other, _)| rank < other) => best = Some((rank, index)),
                        Err(at) if next.is_none_or(|(other, _)| (at, rank) < other) => {
                            next = Some(((at, rank), index));
                        }
                        _ => {}
                    }
                }
            }
            match (best, next) {
                (Some((_, index)), _) => self.grant(index, now),
                (None, next) => {
                    let ((at, _), index) = next?;
                    self.alarm(index, at);
                    return Some((at, index));
                }
            }
        }
    }

    /// The next one is to look then. It is woken if it would look later.
    fn alarm(&mut self, index: Index, at: Tick) {
        if let Some(waiter) = self.queue.get_mut(index).filter(|waiter| waiter.armed > at) {
            waiter.armed = at;
            self.woken.extend(waiter.waker.take());
        }
    }

    pub(super) fn grant(&mut self, index: Index, now: Tick) {
        let Some(waiter) = self.queue.get_mut(index) else { return };
        let (needs, object, priority) = (waiter.needs, waiter.holds(), waiter.priority);
        let grant = self.take(needs, object, true, now);
        if let Some(waiter) = self.queue.end(index, State::Granted(grant)) {
            self.woken.extend(waiter.waker.take());
        }
        self.passed[level(priority)] = 0;
        for less in level(priority) + 1..PRIORITIES.len() {
            self.passed[less] = if self.queue.queued(less) > 0 { self.passed[less] + 1 } else { 0 };
        }
    }

    /// Makes room for a call by refusing a less urgent one that waits.
    pub(super) fn shed(&mut self, priority: Priority, now: Tick) -> bool {
        let Some(index) = self.queue.least(priority) else { return false };
        let retry_in = time(self.turn_of(index, now) - now);
        self.refuse(index, Refusal::Saturated { retry_in });
        self.dispatch(now);
        true
    }

    /// Stripe's limit for this object is used up: nobody who waits to change it is to try.
    pub(super) fn refuse_all_of(&mut self, object: Object, now: Tick) {
        let Some(until) = self.objects.cooling(object, now) else { return };
        for index in self.queue.all_of(object) {
            self.refuse(index, Refusal::ObjectCooling { retry_in: time(until - now) });
        }
        self.dispatch(now);
    }

    fn refuse(&mut self, index: Index, refusal: Refusal) {
        let Some(waiter) = self.queue.get_mut(index) else { return };
        let (object, parked) = (waiter.holds(), matches!(waiter.state, State::Parked));
        if let Some(waiter) = self.queue.end(index, State::Refused(refusal)) {
            self.woken.extend(waiter.waker.take());
        }
        self.give_up(object, parked, index);
    }

    /// A waiter is gone.
    pub(super) fn forget(&mut self, index: Index, now: Tick) -> Option<W> {
        let waiter = self.queue.remove(index)?;
        if let State::Queued | State::Parked = waiter.state {
            self.give_up(waiter.holds(), matches!(waiter.state, State::Parked), index);
            self.dispatch(now);
        }
        waiter.waker
    }

    pub(super) fn give_up(&mut self, object: Option<Object>, parked: bool, index: Index) {
        match object {
            Some(object) if parked => self.objects.leave(object, index),
            Some(object) => self.let_go(object),
            None => {}
        }
    }

    pub(super) fn let_go(&mut self, object: Object) {
        if let Some(next) = self.objects.release(object) {
            self.queue.unpark(next);
        }
    }

    pub(super) fn granted(&mut self, index: Index) -> Option<Grant> {
        match self.queue.get_mut(index)?.state {
            State::Granted(grant) => Some(grant),
            _ => None,
        }
    }

    /// Whether a call with these needs can go; or else when it may, or `Tick::MAX`.
    pub(super) fn ready(&mut self, needs: Needs, reserve: Option<Ratio>, now: Tick) -> Result<(), Tick> {
        let mut ready = Ok(());
        for index in needs.each() {
            if let Err(mut at) = self.allowances[index].ready(reserve, now) {
                if !self.allowances[index].slots.has_one(reserve, now)
                    && let Some((freed, _)) = self.lingering.front()
                {
                    at = at.min(*freed);
                }
                ready = Err(ready.err().unwrap_or(0).max(at));
            }
        }
        ready
    }

    /// Takes what the call needs, whether it is there or not.
    pub(super) fn take(&mut self, needs: Needs, holds: Option<Object>, slot: bool, now: Tick) -> Grant {
        let serials = needs.0.map(|index| match self.allowances.get_mut(usize::from(index)) {
            Some(allowance) => {
                if slot {
                    allowance.slots.take();
                }
                allowance.take(now)
            }
            None => 0,
        });
        Grant { needs, serials, slot, holds }
    }

    pub(super) fn free(&mut self, needs: Needs) {
        needs.each().for_each(|index| self.allowances[index].slots.free());
    }

    /// What a call of this priority must leave to others.
    pub(super) const fn reserve(&self, priority: Priority, turn: bool) -> Option<Ratio> {
        match priority {
            Priority::Normal | Priority::Background if !turn => Some(self.settings.reserve),
            _ => None,
        }
    }

    pub(super) const fn has_turn(&self, priority: Priority) -> bool {
        self.passed[level(priority)] >= TURN - 1
    }
}
