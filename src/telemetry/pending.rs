//! The calls of which nobody knows whether Stripe has executed them. Pure: no clock, no locks.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::labels::Label;
use crate::vocab::{ApiVersion, Certainty, Class, Operation, metric};

/// Which call it is: by its key, and by what Stripe binds a key to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    /// A hash of API key, account, method and path.
    pub(super) place: u64,
    /// A hash of the idempotency key.
    pub(super) key: u64,
}

/// How one came to be known, or will not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// A later call with its key was executed, or found that it had been.
    Executed,
    /// Stripe has bound its key to a rejection.
    Rejected,
    /// Somebody said so.
    Told,
    /// Stripe has forgotten its key.
    Expired,
    /// There were too many.
    Displaced,
}

impl How {
    pub(super) const fn by(bound: Certainty) -> Self {
        match bound {
            Certainty::Executed => Self::Executed,
            _ => Self::Rejected,
        }
    }
}

impl Label for How {
    fn index(&self) -> usize {
        *self as usize
    }
}

/// So many calls of one class are not pending any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) class: Class,
    pub(super) how: How,
    pub(super) calls: u64,
}

/// One that is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) operation: Operation,
    /// When the first of its calls ended.
    pub(super) since: Instant,
    /// How many calls with its key have ended like that.
    pub(super) calls: u64,
}

impl Entry {
    fn has_expired(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= life(self.operation.api_version())
    }

    const fn resolved(&self, how: How) -> Resolved {
        Resolved { class: self.operation.class(), how, calls: self.calls }
    }
}

/// All that are pending, up to a number.
#[derive(Debug)]
pub(super) struct Pending {
    capacity: usize,
    entries: HashMap<Subject, Entry>,
}

/// How long Stripe knows a key. (Source: Stripe's API reference, "Idempotent requests", and its API v2 overview.)
const fn life(version: ApiVersion) -> Duration {
    match version {
        ApiVersion::V2 => Duration::from_secs(30 * 86_400),
        ApiVersion::V1 | ApiVersion::Other => Duration::from_secs(86_400),
    }
}

impl Pending {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: HashMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A call ended unknown. Another one may have to go for it.
    pub(super) fn add(&mut self, subject: Subject, operation: Operation, now: Instant) -> Option<Resolved> {
        let oldest = || self.entries.iter().min_by_key(|(_, entry)| entry.since).map(|(subject, _)| *subject);
        let goes = match self.entries.get(&subject) {
            Some(entry) if entry.has_expired(now) => Some(subject),
            None if self.entries.len() >= self.capacity => oldest(),
            _ => None,
        };
        let resolved = goes.and_then(|subject| self.resolve(subject, How::Displaced, now));
        self.entries.entry(subject).or_insert(Entry { operation, since: now, calls: 0 }).calls += 1;
        resolved
    }

    /// It is known now; unless Stripe has forgotten its key, so that the answer is that of another execution.
    pub(super) fn resolve(&mut self, subject: Subject, how: How, now: Instant) -> Option<Resolved> {
        let entry = self.entries.remove(&subject)?;
        Some(entry.resolved(if entry.has_expired(now) { How::Expired } else { how }))
    }

    /// All with this key are known now, or all there are.
    pub(super) fn resolve_all(&mut self, key: Option<u64>, how: How) -> Vec<Resolved> {
        let mut resolved = Vec::new();
        self.entries.retain(|subject, entry| {
            let known = key.is_none_or(|key| subject.key == key);
            if known {
                resolved.push(entry.resolved(how));
            }
            !known
        });
        resolved
    }

    /// Of what Stripe has forgotten the key, nothing more will become known by it.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Resolved> {
        let mut resolved = Vec::new();
        self.entries.retain(|_, entry| {
            let expired = entry.has_expired(now);
            if expired {
                resolved.push(entry.resolved(How::Expired));
            }
            !expired
        });
        resolved
    }

    /// How many calls of each class are pending.
    pub(super) fn calls(&self) -> [u64; metric::CLASSES.len()] {
        let mut calls = [0; metric::CLASSES.len()];
        for entry in self.entries.values() {
            calls[entry.operation.class().index()] += entry.calls;
        }
        calls
    }

    /// All of them, the oldest first.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self.entries.values().copied().collect();
        entries.sort_by_key(|entry| entry.since);
        entries
    }

    /// Since when the oldest has been so.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.entries.values().map(|entry| entry.since).min()
    }
}

#[cfg(test)]
mod tests;
