//! What one direction has read and not yet written: never more than its window.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

/// How many bytes wait in one direction at most, but for one run more.
const WINDOW: usize = 64 * 1024;

/// How many runs wait in one direction at most.
const RUNS: usize = 256;

/// A run of bytes, or the end behind them.
#[derive(Debug)]
pub(super) enum Item {
    Data(Bytes),
    Close,
    Reset,
}

/// The items of one direction, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<(Instant, Item)>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    pub(super) fn push(&mut self, due: Instant, item: Item) {
        self.count(&item);
        self.items.push_back((due, item));
    }

    /// Puts back what was popped and did not pass.
    pub(super) fn push_front(&mut self, due: Instant, item: Item) {
        self.count(&item);
        self.items.push_front((due, item));
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let (_, item) = self.items.pop_front()?;
        if let Item::Data(bytes) = &item {
            self.bytes -= bytes.len();
        }
        Some(item)
    }

    /// When the first item is to be written.
    pub(super) fn due(&self) -> Option<Instant> {
        self.items.front().map(|(due, _)| *due)
    }

    /// Whether to read on.
    pub(super) fn has_room(&self) -> bool {
        !self.closed && self.bytes < WINDOW && self.items.len() < RUNS
    }

    fn count(&mut self, item: &Item) {
        match item {
            Item::Data(bytes) => self.bytes += bytes.len(),
            Item::Close | Item::Reset => self.closed = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::tick;

    #[test]
    fn it_has_room_for_its_window_and_for_nothing_behind_the_close() {
        let now = tick();
        let mut queue = Queue::default();
        queue.push(now, Item::Data(Bytes::from(vec![0; WINDOW - 1])));
        assert!(queue.has_room());
        queue.push(now, Item::Data(Bytes::from_static(b"x")));
        assert!(!queue.has_room());
        assert!(matches!(queue.pop(), Some(Item::Data(_))));
        assert!(queue.has_room());
        queue.push(now, Item::Close);
        assert!(!queue.has_room());
    }

    #[test]
    fn many_short_runs_fill_it_as_well() {
        let now = tick();
        let mut queue = Queue::default();
        let runs = std::iter::repeat_with(|| {
            let room = queue.has_room();
            queue.push(now, Item::Data(Bytes::from_static(b"x")));
            room
        });
        assert_eq!(runs.take_while(|room| *room).take(WINDOW).count(), RUNS);
    }
}
