//! When the turn of a waiter comes. Pure.

use super::{
    account::Account,
    bucket::Tick,
    dispatch::TURN,
    queue::{Index, Needs, State, level},
};

/// How often the bound of a wait is made tighter. A looser one costs its waiter one look more.
const ROUNDS: usize = 16;

impl<W> Account<W> {
    /// When a waiter can go at the earliest, if nobody before it goes away and nobody comes who is more urgent.
    pub(super) fn turn_of(&mut self, index: Index, now: Tick) -> Tick {
        let Some(waiter) = self.queue.get_mut(index) else { return now };
        let (needs, own, serial) = (waiter.needs, waiter.operation, waiter.serial);
        let (priority, parked) = (waiter.priority, matches!(waiter.state, State::Parked));
        let mut turn = now;
        for shared in needs.each() {
            let mut at = now;
            for _ in 0..ROUNDS {
                let (mut urgent, mut same) = (0_u64, 0_u64);
                for lane in self.queue.lanes().iter().filter(|lane| lane.needs.include(shared)) {
                    // One that is parked for long may find that the others have gone.
                    let mine = lane.is_of(own) && !parked;
                    let can = if mine { u64::MAX } else { self.can_go_by(lane.needs, shared, at, now) };
                    let more = (0..level(priority)).map(|level| lane.len(level)).sum::<u64>().min(can);
                    urgent = urgent.saturating_add(more);
                    same = same.saturating_add(lane.before(level(priority), serial).min(can - more));
                }
                // Sooner or later it is the turn of the less urgent, which need not leave anything to anybody.
                let passed = u64::from(self.passed[level(priority)]);
                let until_turn = (u64::from(TURN - 1) * (same + 1)).saturating_sub(passed);
                let (urgent, reserve) = if urgent > until_turn || self.has_turn(priority) {
                    (urgent.min(until_turn), None)
                } else {
                    (urgent, self.reserve(priority, false))
                };
                let later = self.allowances[shared].token_at(urgent + same, reserve, now);
                if later <= at {
                    break;
                }
                at = later;
            }
            turn = turn.max(at);
        }
        turn
    }

    /// How many of a lane can go until `then`, as far as it does not depend on the allowance that is looked at.
    fn can_go_by(&self, needs: Needs, shared: usize, then: Tick, now: Tick) -> u64 {
        let others = needs.each().filter(|index| *index != shared);
        let can = others.map(|index| match &self.allowances[index] {
            allowance if !allowance.slots.has_one(None, now) => 0,
            allowance => allowance.tokens_by(then, now),
        });
        can.min().unwrap_or(u64::MAX)
    }
}
