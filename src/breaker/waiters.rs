//! Who is to hear when a circuit opens: those who were admitted and wait for their turn further in.

use std::task::Waker;

use super::state::Traffic;
use crate::vocab::Mode;

/// Each has a place until it leaves. There are never more places than there were waiters at once.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    places: Vec<Place>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Place {
    whose: (Mode, Traffic),
    waker: Option<Waker>,
}

impl Waiters {
    /// Takes a place, or keeps the one at `place`. What was there is given back, to be dropped outside the lock.
    #[must_use]
    pub(super) fn register(
        &mut self,
        place: &mut Option<usize>,
        whose: (Mode, Traffic),
        waker: Waker,
    ) -> Option<Waker> {
        let new = Place { whose, waker: Some(waker) };
        let index = match *place {
            Some(index) => index,
            None => self.free.pop().unwrap_or(self.places.len()),
        };
        *place = Some(index);
        if let Some(old) = self.places.get_mut(index) {
            std::mem::replace(old, new).waker
        } else {
            self.places.push(new);
            None
        }
    }

    /// Gives a place back.
    #[must_use]
    pub(super) fn remove(&mut self, place: usize) -> Option<Waker> {
        self.free.push(place);
        self.places.get_mut(place).and_then(|place| place.waker.take())
    }

    /// Moves the wakers of those who are concerned.
    pub(super) fn take(&mut self, concerned: impl Fn((Mode, Traffic)) -> bool, into: &mut Vec<Waker>) {
        let places = self.places.iter_mut().filter(|place| concerned(place.whose));
        into.extend(places.filter_map(|place| place.waker.take()));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}
