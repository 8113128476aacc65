//! The ledger: how often each order was executed, whatever keys and however many requests it took.

use std::collections::BTreeMap;

/// A snapshot of what was executed, by order.
///
/// One request whose side effect was made is one execution: a customer created, updated or deleted, a payment intent
/// created, updated or confirmed. A declined card moved no money and is counted apart, as is everything refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    orders: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    executions: u32,
    declines: u32,
}

impl Ledger {
    /// How often `order` was executed.
    #[must_use]
    pub fn executions(&self, order: &str) -> u32 {
        self.orders.get(order).map_or(0, |entry| entry.executions)
    }

    /// How often a card was declined for `order`. A replayed decline is none.
    #[must_use]
    pub fn declines(&self, order: &str) -> u32 {
        self.orders.get(order).map_or(0, |entry| entry.declines)
    }

    /// Every order that was executed or declined, sorted, with its executions.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.orders.iter().map(|(order, entry)| (order.as_str(), entry.executions))
    }

    /// The orders that were executed more than once: what must never happen.
    #[must_use]
    pub fn charged_twice(&self) -> Vec<&str> {
        self.iter().filter(|(_, executions)| *executions > 1).map(|(order, _)| order).collect()
    }

    /// The orders that were executed at least once.
    #[must_use]
    pub fn executed_orders(&self) -> Vec<&str> {
        self.iter().filter(|(_, executions)| *executions > 0).map(|(order, _)| order).collect()
    }

    /// Executions of all orders together.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.orders.values().map(|entry| entry.executions).sum()
    }

    pub(crate) fn executed(&mut self, order: &str) {
        self.orders.entry(order.to_owned()).or_default().executions += 1;
    }

    pub(crate) fn declined(&mut self, order: &str) {
        self.orders.entry(order.to_owned()).or_default().declines += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declines_are_not_executions() {
        let mut ledger = Ledger::default();
        ledger.declined("b");
        ledger.executed("a");
        ledger.executed("c");
        ledger.executed("c");
        assert_eq!(ledger.iter().collect::<Vec<_>>(), [("a", 1), ("b", 0), ("c", 2)]);
        assert_eq!(ledger.executed_orders(), ["a", "c"]);
        assert_eq!(ledger.charged_twice(), ["c"]);
        assert_eq!((ledger.declines("b"), ledger.total()), (1, 3));
    }
}
