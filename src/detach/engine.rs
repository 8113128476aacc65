//! Which calls are under way, whose callers have gone, and what came of them. Pure bookkeeping, generic in how a call is
//! cut off.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::DetachConfig;
use crate::vocab::{Certainty, Operation, Refusal, Report, ReportHandle};

/// When there may be room again: a payment takes about a second.
pub(super) const RETRY_IN: Duration = Duration::from_secs(1);

/// The names of calls, in the order of their admission.
pub(super) type Id = u64;

/// A call that may have moved money, which nobody was told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unresolved {
    /// What it was, by method and path.
    pub operation: Operation,
    /// Its account, with the key to look it up by.
    pub report: Report,
}

/// What a drain leaves behind.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Drained {
    /// Calls that may have been executed, and whose callers were not told: those that were cut off, and those that ended
    /// after their callers had gone, since the layer was made.
    pub unresolved: Vec<Unresolved>,
    /// How many more there were than are remembered.
    pub forgotten: u64,
}

struct Entry<A> {
    operation: Operation,
    account: ReportHandle,
    abandoned: bool,
    cut: bool,
    abort: Option<A>,
}

/// A call that has ended.
pub(super) struct Ended<A> {
    /// Its account, if its caller has not been told.
    pub(super) untold: Option<Unresolved>,
    /// Whether it was the last one.
    pub(super) last: bool,
    /// To be dropped outside of the lock.
    pub(super) _abort: Option<A>,
}

pub(super) struct Registry<A> {
    config: DetachConfig,
    closed: bool,
    next: Id,
    calls: HashMap<Id, Entry<A>>,
    abandoned: usize,
    unresolved: VecDeque<Unresolved>,
    forgotten: u64,
}

impl<A> Registry<A> {
    pub(super) fn new(config: DetachConfig) -> Self {
        Self {
            config,
            closed: false,
            next: 0,
            calls: HashMap::new(),
            abandoned: 0,
            unresolved: VecDeque::new(),
            forgotten: 0,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.calls.len()
    }

    pub(super) const fn abandoned(&self) -> usize {
        self.abandoned
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes a call in.
    pub(super) fn admit(&mut self, operation: Operation, account: ReportHandle) -> Result<Id, Refusal> {
        if self.closed {
            return Err(Refusal::ShuttingDown);
        }
        if self.calls.len() >= self.config.max_detached {
            return Err(Refusal::Saturated { retry_in: RETRY_IN });
        }
        let id = self.next;
        self.next += 1;
        let entry = Entry { operation, account, abandoned: false, cut: false, abort: None };
        self.calls.insert(id, entry);
        Ok(id)
    }

    /// The call runs, and this is how it is cut off; given back if it has ended or is to be cut off already.
    pub(super) fn started(&mut self, id: Id, abort: A) -> Option<A> {
        match self.calls.get_mut(&id) {
            Some(entry) if !entry.cut => entry.abort.replace(abort),
            _ => Some(abort),
        }
    }

    /// The caller has gone.
    pub(super) fn abandon(&mut self, id: Id) {
        if let Some(entry) = self.calls.get_mut(&id)
            && !entry.abandoned
        {
            entry.abandoned = true;
            self.abandoned += 1;
        }
    }

    /// The call has ended; `untold`: and its caller went away before it could be told.
    pub(super) fn end(&mut self, id: Id, untold: bool) -> Option<Ended<A>> {
        let Entry { operation, account, abandoned, cut, abort } = self.calls.remove(&id)?;
        self.abandoned -= usize::from(abandoned);
        let untold = (untold || abandoned || cut).then(|| Unresolved { operation, report: account.report() });
        if let Some(untold) = &untold {
            self.remember(untold);
        }
        Some(Ended { untold, last: self.calls.is_empty(), _abort: abort })
    }

    /// Keeps what nobody was told, if it matters.
    pub(super) fn remember(&mut self, untold: &Unresolved) {
        if untold.report.certainty() != Certainty::Unknown {
            return;
        }
        if self.unresolved.len() >= self.config.max_unresolved {
            self.unresolved.pop_front();
            self.forgotten += 1;
        }
        self.unresolved.push_back(untold.clone());
    }

    /// Takes no more calls, for good.
    pub(super) const fn close(&mut self) {
        self.closed = true;
    }

    /// Gives up on all calls that are under way.
    pub(super) fn cut(&mut self) -> Vec<A> {
        self.calls
            .values_mut()
            .filter_map(|entry| {
                entry.cut = true;
                entry.abort.take()
            })
            .collect()
    }

    /// What is unresolved: what has ended so, and what was cut off and has not ended for all that.
    pub(super) fn drained(&self) -> Drained {
        let stuck = self
            .calls
            .values()
            .filter(|entry| entry.cut)
            .map(|entry| Unresolved { operation: entry.operation, report: entry.account.report() });
        let stuck = stuck.filter(|call| call.report.certainty() == Certainty::Unknown);
        Drained {
            unresolved: self.unresolved.iter().cloned().chain(stuck).collect(),
            forgotten: self.forgotten,
        }
    }
}

#[cfg(test)]
mod tests;
