//! Who waits, and in which order. Pure.

use std::{cmp::Reverse, collections::VecDeque};

use super::{bucket::Tick, objects::Object};
use crate::vocab::{Operation, Priority, Refusal};

/// The place of a waiter in the table of all.
pub(super) type Index = u32;

/// The index of an allowance that is none.
pub(super) const NONE: u16 = u16::MAX;

/// The allowances that a call needs something of: the global one, its operation's, a special one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs(pub(super) [u16; 3]);

impl Needs {
    pub(super) fn each(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().filter(|index| *index != NONE).map(usize::from)
    }

    pub(super) fn include(self, index: usize) -> bool {
        self.each().any(|each| each == index)
    }
}

/// What an admitted call holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) needs: Needs,
    pub(super) serials: [u64; 3],
    /// Whether it has a place in flight: a probe has none.
    pub(super) slot: bool,
    /// The object that nobody else may change meanwhile.
    pub(super) holds: Option<Object>,
}

/// Names a waiter, also after it has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    index: Index,
    serial: u64,
}

#[derive(Debug)]
pub(super) enum State {
    /// In its lane.
    Queued,
    /// Behind another call that changes the same object: it needs nothing else yet.
    Parked,
    Granted(Grant),
    Refused(Refusal),
}

#[derive(Debug)]
pub(super) struct Waiter<W> {
    /// Counts arrivals.
    pub(super) serial: u64,
    pub(super) operation: Operation,
    pub(super) needs: Needs,
    pub(super) priority: Priority,
    pub(super) deadline: Tick,
    /// The object that it changes.
    pub(super) object: Option<Object>,
    /// Whether no other may change that meanwhile.
    pub(super) alone: bool,
    pub(super) state: State,
    /// When it will look by itself.
    pub(super) armed: Tick,
    pub(super) waker: Option<W>,
}

impl<W> Waiter<W> {
    /// The object that it holds in its lane, and waits for while it is parked.
    pub(super) fn holds(&self) -> Option<Object> {
        self.object.filter(|_| self.alone)
    }

    const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Queued | State::Parked)
    }
}

/// The calls of one operation.
#[derive(Debug)]
pub(super) struct Lane {
    operation: Operation,
    pub(super) needs: Needs,
    /// By priority, then by arrival.
    queues: [VecDeque<(u64, Index)>; PRIORITIES.len()],
}

/// The most urgent first.
pub(super) const PRIORITIES: [Priority; 3] = [Priority::Critical, Priority::Normal, Priority::Background];

pub(super) const fn level(priority: Priority) -> usize {
    match priority {
        Priority::Critical => 0,
        Priority::Normal => 1,
        Priority::Background => 2,
    }
}

impl Lane {
    pub(super) fn is_of(&self, operation: Operation) -> bool {
        self.operation == operation
    }

    /// Who is next at this level: when it came, and where it is.
    pub(super) fn head(&self, level: usize) -> Option<(u64, Index)> {
        self.queues[level].front().copied()
    }

    pub(super) fn len(&self, level: usize) -> u64 {
        self.queues[level].len() as u64
    }

    /// How many of this level came before.
    pub(super) fn before(&self, level: usize, serial: u64) -> u64 {
        self.queues[level].partition_point(|(other, _)| *other < serial) as u64
    }
}

/// All that wait in one account.
#[derive(Debug)]
pub(super) struct Queue<W> {
    waiters: Vec<Option<Waiter<W>>>,
    free: Vec<Index>,
    lanes: Vec<Lane>,
    arrivals: u64,
    queued: [usize; PRIORITIES.len()],
    parked: usize,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self {
            waiters: Vec::new(),
            free: Vec::new(),
            lanes: Vec::new(),
            arrivals: 0,
            queued: [0; PRIORITIES.len()],
            parked: 0,
        }
    }
}

impl<W> Queue<W> {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.queued.iter().sum::<usize>() + self.parked
    }

    /// How many wait for nothing but the rules.
    pub(super) const fn queued(&self, level: usize) -> usize {
        self.queued[level]
    }

    pub(super) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Nobody is in a lane.
    pub(super) const fn is_idle(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Whether there is any entry, be it one that nobody has picked up.
    pub(super) fn is_forgotten(&self) -> bool {
        self.free.len() == self.waiters.len()
    }

    /// How many of each priority wait, the parked ones too; the most urgent first.
    pub(super) fn waiting(&self) -> [usize; PRIORITIES.len()] {
        let mut waiting = [0; PRIORITIES.len()];
        for waiter in self.waiters.iter().flatten().filter(|waiter| waiter.is_waiting()) {
            waiting[level(waiter.priority)] += 1;
        }
        waiting
    }

    /// Takes in a newcomer, which is in its lane or parked. Its serial is given here.
    pub(super) fn push(&mut self, mut waiter: Waiter<W>) -> Ticket {
        self.arrivals += 1;
        waiter.serial = self.arrivals;
        let ticket = Ticket { index: self.free_index(), serial: waiter.serial };
        let parked = matches!(waiter.state, State::Parked);
        self.waiters[ticket.index as usize] = Some(waiter);
        if parked {
            self.parked += 1;
        } else {
            self.enlane(ticket.index);
        }
        ticket
    }

    pub(super) fn get_mut(&mut self, index: Index) -> Option<&mut Waiter<W>> {
        self.waiters.get_mut(index as usize)?.as_mut()
    }

    pub(super) fn index_of(&self, ticket: Ticket) -> Option<Index> {
        let waiter = self.waiters.get(ticket.index as usize)?.as_ref()?;
        (waiter.serial == ticket.serial).then_some(ticket.index)
    }

    /// Nothing holds it up any more but the rules.
    pub(super) fn unpark(&mut self, index: Index) {
        if let Some(waiter) = self.get_mut(index) {
            waiter.state = State::Queued;
            self.parked -= 1;
            self.enlane(index);
        }
    }

    /// It waits no more: what became of it is `state`. Returns what it waited with.
    pub(super) fn end(&mut self, index: Index, state: State) -> Option<&mut Waiter<W>> {
        self.withdraw(index);
        let waiter = self.get_mut(index)?;
        waiter.state = state;
        Some(waiter)
    }

    /// It is gone.
    pub(super) fn remove(&mut self, index: Index) -> Option<Waiter<W>> {
        self.withdraw(index);
        let waiter = self.waiters.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(waiter)
    }

    /// The last to come of the least urgent that are less urgent than `priority`.
    pub(super) fn least(&self, priority: Priority) -> Option<Index> {
        self.all_waiting()
            .filter(|(_, waiter)| waiter.priority < priority)
            .min_by_key(|(_, waiter)| (waiter.priority, Reverse(waiter.serial)))
            .map(|(index, _)| index)
    }

    /// All that wait to change this object.
    pub(super) fn all_of(&self, object: Object) -> Vec<Index> {
        let all = self.all_waiting().filter(|(_, waiter)| waiter.object == Some(object));
        all.map(|(index, _)| index).collect()
    }

    fn all_waiting(&self) -> impl Iterator<Item = (Index, &Waiter<W>)> {
        let all = (0..).zip(&self.waiters).filter_map(|(index, waiter)| Some((index, waiter.as_ref()?)));
        all.filter(|(_, waiter)| waiter.is_waiting())
    }

    /// Out of the lane or the number of the parked.
    fn withdraw(&mut self, index: Index) {
        let Some(waiter) = self.waiters.get(index as usize).and_then(Option::as_ref) else { return };
        let (operation, level, serial) = (waiter.operation, level(waiter.priority), waiter.serial);
        match waiter.state {
            State::Parked => self.parked -= 1,
            State::Queued => {
                self.queued[level] -= 1;
                let Some(at) = self.lanes.iter().position(|lane| lane.operation == operation) else { return };
                let queue = &mut self.lanes[at].queues[level];
                if let Ok(place) = queue.binary_search_by_key(&serial, |(serial, _)| *serial) {
                    queue.remove(place);
                }
                if self.lanes[at].queues.iter().all(VecDeque::is_empty) {
                    self.lanes.swap_remove(at);
                }
            }
            State::Granted(_) | State::Refused(_) => {}
        }
    }

    fn enlane(&mut self, index: Index) {
        let Some(waiter) = self.waiters.get(index as usize).and_then(Option::as_ref) else { return };
        let (operation, needs, level, serial) =
            (waiter.operation, waiter.needs, level(waiter.priority), waiter.serial);
        let at = match self.lanes.iter().position(|lane| lane.operation == operation) {
            Some(at) => at,
            None => {
                self.lanes.push(Lane { operation, needs, queues: Default::default() });
                self.lanes.len() - 1
            }
        };
        // One that was parked came earlier than others.
        let queue = &mut self.lanes[at].queues[level];
        let place = queue.partition_point(|(other, _)| *other < serial);
        queue.insert(place, (serial, index));
        self.queued[level] += 1;
    }

    fn free_index(&mut self) -> Index {
        self.free.pop().unwrap_or_else(|| {
            self.waiters.push(None);
            (self.waiters.len() - 1) as Index
        })
    }
}
