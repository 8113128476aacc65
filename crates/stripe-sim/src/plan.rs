//! Which step each request takes: from the script of its order, or drawn.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::{
    faults::Faults,
    latency::Latency,
    scenario::{Scenario, Target, Weather},
    script::Step,
};

/// What is planned for every order.
pub(crate) struct Plan {
    seed: u64,
    faults: Faults,
    pub(crate) latency: Latency,
    /// The weather, and when it began.
    scenario: Option<(Scenario, Instant)>,
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
        Self { seed, faults, latency: Latency::none(), scenario: None, orders: BTreeMap::new() }
    }

    pub(crate) fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// Scripts the requests of `order` from its next one on.
    pub(crate) fn script(&mut self, order: &str, steps: impl IntoIterator<Item = Step>) {
        self.orders.entry(order.to_owned()).or_default().script = Some(steps.into_iter().collect());
    }

    /// Replaces what the weather will be, from `now` on.
    pub(crate) fn play(&mut self, scenario: Scenario, now: Instant) {
        self.scenario = Some((scenario, now));
    }

    /// When the stall that is going on ends.
    pub(crate) fn stalled_until(&self, now: Instant) -> Option<Instant> {
        let (scenario, began) = self.scenario.as_ref()?;
        began.checked_add(scenario.stalled_until(now.saturating_duration_since(*began))?)
    }

    /// The step of the next request of the order `name`, and how long it takes if it passes.
    pub(crate) fn next(&mut self, name: &str, target: Target<'_>, now: Instant) -> (Step, Duration) {
        let order = self.orders.entry(name.to_owned()).or_default();
        let nth = order.seen;
        order.seen += 1;
        let weather = self.scenario.as_ref().map(|(scenario, began)| {
            let since = now.saturating_duration_since(*began);
            scenario.weather(since, target, self.seed, name, nth)
        });
        let slower = weather.as_ref().map_or(1.0, |weather| weather.slower);
        let latency = self.latency.draw(self.seed, name, nth, target.operation, slower);
        let step = match (&mut order.script, weather) {
            (Some(steps), _) => steps.pop_front().unwrap_or(Step::Pass),
            (None, Some(Weather { step: Some(step), .. })) => step.clone(),
            (None, weather) => {
                let faults = weather.and_then(|weather| weather.faults).unwrap_or(&self.faults);
                faults.draw(self.seed, name, nth).map_or(Step::Pass, Step::Fault)
            }
        };
        (step, latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::tick, faults::Fault};

    fn next(plan: &mut Plan, order: &str) -> Step {
        plan.next(order, Target { operation: "x", is_read: true }, tick()).0
    }

    #[test]
    fn a_script_is_followed_and_then_everything_passes() {
        let mut plan = Plan::new(1, Faults::probability(1.0));
        plan.script("a", [Step::Fault(Fault::F3), Step::Pass]);
        let taken: Vec<_> = (0..4).map(|_| next(&mut plan, "a")).collect();
        assert_eq!(taken, [Step::Fault(Fault::F3), Step::Pass, Step::Pass, Step::Pass]);
        assert_ne!(next(&mut plan, "b"), Step::Pass);
    }

    #[test]
    fn interleaving_does_not_change_what_is_drawn() {
        let fresh = || Plan::new(9, Faults::probability(0.5));
        let (mut one, mut other) = (fresh(), fresh());
        let alone: Vec<_> = (0..50).map(|_| next(&mut one, "a")).collect();
        let mixed: Vec<_> = (0..50)
            .map(|nth| {
                for _ in 0..nth % 3 {
                    next(&mut other, "b");
                }
                next(&mut other, "a")
            })
            .collect();
        assert_eq!(alone, mixed);
    }
}
