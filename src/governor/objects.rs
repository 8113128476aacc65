//! The objects that calls change: one at a time, if that is wanted, and not at all while Stripe's limit for one is used up.
//! Pure.

use std::collections::{BTreeMap, VecDeque};

use super::{
    bucket::{SECOND, Tick},
    queue::Index,
};

/// An object of Stripe's, by a hash of its id.
pub(super) type Object = u64;

/// How long an object is left alone. Its limits are over minutes and hours.
const COOLING: Tick = 60 * SECOND;

/// How many cooling objects are remembered.
const MAX_COOLING: usize = 1_024;

#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    /// Those that a call holds, with the calls that wait for it to let go.
    held: BTreeMap<Object, VecDeque<Index>>,
    cooling: BTreeMap<Object, Tick>,
}

impl Objects {
    /// Whether the object was free, and is now held.
    pub(super) fn hold(&mut self, object: Object) -> bool {
        match self.held.entry(object) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(VecDeque::new());
                true
            }
            std::collections::btree_map::Entry::Occupied(_) => false,
        }
    }

    /// Lets a call wait for the object, behind all that do.
    pub(super) fn wait(&mut self, object: Object, index: Index) {
        self.held.entry(object).or_default().push_back(index);
    }

    /// A call that waited has gone.
    pub(super) fn leave(&mut self, object: Object, index: Index) {
        if let Some(waiting) = self.held.get_mut(&object) {
            waiting.retain(|waiting| *waiting != index);
        }
    }

    /// The object is let go. Returns who holds it now.
    pub(super) fn release(&mut self, object: Object) -> Option<Index> {
        let next = self.held.get_mut(&object)?.pop_front();
        if next.is_none() {
            self.held.remove(&object);
        }
        next
    }

    /// Until when the object is left alone.
    pub(super) fn cooling(&self, object: Object, now: Tick) -> Option<Tick> {
        self.cooling.get(&object).copied().filter(|until| *until > now)
    }

    pub(super) fn cool(&mut self, object: Object, now: Tick) {
        if self.cooling.len() >= MAX_COOLING && !self.cooling.contains_key(&object) {
            self.cooling.retain(|_, until| *until > now);
            let soonest = self.cooling.iter().min_by_key(|(_, until)| **until).map(|(object, _)| *object);
            if let Some(soonest) = soonest.filter(|_| self.cooling.len() >= MAX_COOLING) {
                self.cooling.remove(&soonest);
            }
        }
        self.cooling.insert(object, now + COOLING);
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.held.len(), self.cooling.len())
    }
}
