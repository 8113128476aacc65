//! Objects by id, which remember the order they came in.

use std::collections::BTreeMap;

/// A shelf of objects. Nothing is ever taken from it.
pub(crate) struct Shelf<T> {
    objects: BTreeMap<String, Place<T>>,
    order: BTreeMap<u64, String>,
}

struct Place<T> {
    /// When it came, in seconds since 1970.
    since: u64,
    object: T,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), order: BTreeMap::new() }
    }
}

impl<T> Shelf<T> {
    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.objects.get(id).map(|place| &place.object)
    }

    /// Puts an object in its place, which is a new one or that of the object with the same id.
    pub(crate) fn put(&mut self, id: String, object: T, now: u64) {
        if let Some(place) = self.objects.get_mut(&id) {
            place.object = object;
            return;
        }
        let serial = self.order.last_key_value().map_or(0, |(last, _)| last + 1);
        self.order.insert(serial, id.clone());
        self.objects.insert(id, Place { since: now, object });
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &T> {
        self.order.values().rev().filter_map(|id| self.get(id))
    }

    /// Those that came at `moment` or before it.
    pub(crate) fn newest_first_until(&self, moment: u64) -> impl Iterator<Item = &T> {
        let places = self.order.values().rev().filter_map(|id| self.objects.get(id));
        places.filter(move |place| place.since <= moment).map(|place| &place.object)
    }
}
