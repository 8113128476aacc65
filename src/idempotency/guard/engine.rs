//! Which keys are in flight or were used, and whose turn it is. Pure: no clock, no runtime, no lock.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use crate::vocab::certainty::KeyPast;

/// A key within the account and mode that it is for.
pub(super) type Id = [u8; 32];
/// What a request says.
pub(super) type Fingerprint = [u8; 32];

/// A call that has entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// What becomes of a call that brings a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// It goes first; `None` if the key was not used before.
    First(Ticket, Option<KeyPast>),
    /// Another call with the same key and the same parameters is under way.
    Wait(Ticket),
    /// The key belongs to a request with other parameters.
    Reused,
    /// There is no room.
    Unguarded,
}

/// Whose turn it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn<W> {
    /// The caller's; this is what the calls before it have left behind.
    Yours(KeyPast),
    /// Another's. This waker is not needed any more.
    Wait(Option<W>),
}

/// What is left to do when a call has left, without the lock.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left<W> {
    /// It was the turn of the call, and now it is that of the next. `shared`: other calls have come with the key meanwhile.
    Wake { next: Option<W>, shared: bool },
    /// It was waiting. This waker is not needed any more.
    Waited(Option<W>),
}

/// The keys of calls, each with one call under way at most. `W` wakes a call that waits.
#[derive(Debug)]
pub(super) struct Table<W> {
    capacity: NonZeroUsize,
    entries: BTreeMap<Id, Entry<W>>,
    /// The keys that are not in flight, by when they will be too old to be used again.
    idle: BTreeSet<(Instant, Id)>,
    tickets: u64,
}

#[derive(Debug)]
struct Entry<W> {
    fingerprint: Fingerprint,
    expires: Instant,
    past: KeyPast,
    /// Whose turn it is; `None` if the key is not in flight.
    first: Option<Ticket>,
    /// Those that wait, in the order in which they came.
    waiting: VecDeque<(Ticket, Option<W>)>,
    /// Whether a call has ever waited for another one.
    shared: bool,
}

impl<W> Table<W> {
    pub(super) const fn new(capacity: NonZeroUsize) -> Self {
        Self { capacity, entries: BTreeMap::new(), idle: BTreeSet::new(), tickets: 0 }
    }

    /// A call enters with a key that can be used for `life` from its first use on.
    pub(super) fn enter(
        &mut self,
        now: Instant,
        id: Id,
        fingerprint: Fingerprint,
        life: Duration,
    ) -> Entered {
        self.forget_expired(now);
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        if let Some(entry) = self.entries.get_mut(&id) {
            if entry.fingerprint != fingerprint {
                return Entered::Reused;
            }
            if entry.first.is_some() {
                entry.waiting.push_back((ticket, None));
                entry.shared = true;
                return Entered::Wait(ticket);
            }
            self.idle.remove(&(entry.expires, id));
            entry.first = Some(ticket);
            return Entered::First(ticket, Some(entry.past));
        }
        if self.entries.len() >= self.capacity.get() {
            let Some((_, oldest)) = self.idle.pop_first() else { return Entered::Unguarded };
            self.entries.remove(&oldest);
        }
        let entry = Entry {
            fingerprint,
            expires: now + life,
            past: KeyPast::Unused,
            first: Some(ticket),
            waiting: VecDeque::new(),
            shared: false,
        };
        self.entries.insert(id, entry);
        Entered::First(ticket, None)
    }

    /// Whether it is the turn of `ticket`; if not, `waker` is for when it is.
    pub(super) fn turn(
        &mut self,
        id: &Id,
        ticket: Ticket,
        waker: impl FnOnce(Option<&W>) -> Option<W>,
    ) -> Turn<W> {
        let Some(entry) = self.entries.get_mut(id) else { return Turn::Wait(None) };
        if entry.first == Some(ticket) {
            return Turn::Yours(entry.past);
        }
        let Some((_, kept)) = entry.waiting.iter_mut().find(|(waiting, _)| *waiting == ticket) else {
            return Turn::Wait(None);
        };
        let new = waker(kept.as_ref());
        Turn::Wait(new.and_then(|new| kept.replace(new)))
    }

    /// A call has ended or was dropped, wherever it was; `past` is what it leaves behind if it was its turn.
    pub(super) fn leave(&mut self, id: &Id, ticket: Ticket, past: KeyPast) -> Left<W> {
        let Some(entry) = self.entries.get_mut(id) else { return Left::Waited(None) };
        if entry.first != Some(ticket) {
            let place = entry.waiting.iter().position(|(waiting, _)| *waiting == ticket);
            return Left::Waited(
                place.and_then(|place| entry.waiting.remove(place)).and_then(|(_, waker)| waker),
            );
        }
        // A key that Stripe has taken stays taken, also by a call that came to nothing.
        if past != KeyPast::Unused {
            entry.past = past;
        }
        let shared = entry.shared;
        if let Some((next, waker)) = entry.waiting.pop_front() {
            entry.first = Some(next);
            return Left::Wake { next: waker, shared };
        }
        entry.first = None;
        if entry.past == KeyPast::Unused {
            // The caller may correct the request, and use the key again.
            self.entries.remove(id);
        } else {
            self.idle.insert((entry.expires, *id));
        }
        Left::Wake { next: None, shared }
    }

    fn forget_expired(&mut self, now: Instant) {
        while let Some((expires, id)) = self.idle.first().copied().filter(|(expires, _)| *expires <= now) {
            self.idle.remove(&(expires, id));
            self.entries.remove(&id);
        }
    }

    /// How many keys are known, and how many of them are in flight.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.entries.len() - self.idle.len())
    }
}

#[cfg(test)]
mod tests;
