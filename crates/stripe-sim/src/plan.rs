//! Which step each request takes: from the script of its order, or drawn.

use std::collections::{BTreeMap, VecDeque};

use crate::{faults::Faults, script::Step};

/// What is planned for every order.
pub(crate) struct Plan {
    seed: u64,
    faults: Faults,
    orders: BTreeMap<String, Order>,
}

#[derive(Default)]
struct Order {
    seen: u64,
    /// Present once the order was scripted; an exhausted script means [`Step::Pass`].
    script: Option<VecDeque<Step>>,
}

impl Plan {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        Self { seed, faults, orders: BTreeMap::new() }
    }

    pub(crate) fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// Scripts the requests of `order` from its next one on.
    pub(crate) fn script(&mut self, order: &str, steps: impl IntoIterator<Item = Step>) {
        self.orders.entry(order.to_owned()).or_default().script = Some(steps.into_iter().collect());
    }

    /// The step of the next request of `order`.
    pub(crate) fn next(&mut self, name: &str) -> Step {
        let order = self.orders.entry(name.to_owned()).or_default();
        let nth = order.seen;
        order.seen += 1;
        match &mut order.script {
            Some(steps) => steps.pop_front().unwrap_or(Step::Pass),
            None => self.faults.draw(self.seed, name, nth).map_or(Step::Pass, Step::Fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;

    #[test]
    fn a_script_is_followed_and_then_everything_passes() {
        let mut plan = Plan::new(1, Faults::probability(1.0));
        plan.script("a", [Step::Fault(Fault::F3), Step::Pass]);
        let taken: Vec<_> = (0..4).map(|_| plan.next("a")).collect();
        assert_eq!(taken, [Step::Fault(Fault::F3), Step::Pass, Step::Pass, Step::Pass]);
        assert_ne!(plan.next("b"), Step::Pass);
    }

    #[test]
    fn interleaving_does_not_change_what_is_drawn() {
        let fresh = || Plan::new(9, Faults::probability(0.5));
        let (mut one, mut other) = (fresh(), fresh());
        let alone: Vec<_> = (0..50).map(|_| one.next("a")).collect();
        let mixed: Vec<_> = (0..50)
            .map(|nth| {
                for _ in 0..nth % 3 {
                    other.next("b");
                }
                other.next("a")
            })
            .collect();
        assert_eq!(alone, mixed);
    }
}
