//! The decision. Pure: no clock, no locks, no HTTP.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Instant,
};

use super::AuthGateConfig;
use crate::vocab::{Credential, Ended, Outcome};

/// So many rejected keys are remembered.
const CAPACITY: usize = 256;

/// What an answer shows about the key it was asked for under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Accepted,
    Rejected,
    Nothing,
}

impl Shown {
    pub(super) const fn by(ended: &Ended) -> Self {
        match ended.outcome {
            // Stripe answers some paths whatever the key is.
            _ if ended.synthetic => Self::Nothing,
            Outcome::Success => Self::Accepted,
            _ if !ended.genuine => Self::Nothing,
            Outcome::Unauthorized => Self::Rejected,
            Outcome::InvalidRequest
            | Outcome::KeyMismatch
            | Outcome::Declined
            | Outcome::Forbidden
            | Outcome::NotFound
            | Outcome::Conflict
            | Outcome::KeyInUse
            | Outcome::LockTimeout => Self::Accepted,
            _ => Self::Nothing,
        }
    }
}

/// Whether a call may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Free,
    /// One call tries the key.
    Probe(Lease),
    /// Not before then.
    Blocked {
        until: Instant,
    },
}

/// Which probe it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease(u64);

/// What has changed for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Closed,
    Opened,
}

/// A key that was rejected, and not accepted since.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    rejections: u32,
    /// When it was rejected last.
    since: Instant,
    closed: Option<Closed>,
}

#[derive(Clone, Copy, Debug)]
struct Closed {
    since: Instant,
    until: Instant,
    /// The probe under way, and when it counts as lost.
    probe: Option<(Lease, Instant)>,
}

/// The keys that are not accepted.
#[derive(Debug)]
pub(super) struct Engine {
    config: AuthGateConfig,
    suspects: HashMap<Credential, Suspect>,
    leases: u64,
}

impl Engine {
    pub(super) fn new(config: AuthGateConfig) -> Self {
        Self { config, suspects: HashMap::new(), leases: 0 }
    }

    pub(super) fn suspects(&self) -> usize {
        self.suspects.len()
    }

    pub(super) fn blocked(&self) -> usize {
        self.suspects.values().filter(|suspect| suspect.closed.is_some()).count()
    }

    pub(super) fn reset(&mut self) {
        self.suspects.clear();
    }

    pub(super) fn admit(&mut self, credential: Credential, now: Instant) -> Admission {
        let Some(Suspect { closed: Some(closed), .. }) = self.suspects.get_mut(&credential) else {
            return Admission::Free;
        };
        if now < closed.until {
            return Admission::Blocked { until: closed.until };
        }
        match closed.probe {
            Some((_, lost_at)) if now < lost_at => Admission::Blocked { until: lost_at },
            _ => {
                self.leases += 1;
                let lease = Lease(self.leases);
                closed.probe = Some((lease, now + self.config.probe_interval));
                Admission::Probe(lease)
            }
        }
    }

    /// A call has ended, as a probe or not.
    pub(super) fn settle(
        &mut self,
        credential: Credential,
        probe: Option<Lease>,
        shown: Shown,
        sent: Instant,
        now: Instant,
    ) -> Option<Change> {
        let closed = self.suspects.get(&credential).and_then(|suspect| suspect.closed);
        if closed.is_some_and(|closed| !closed.holds(probe) && sent < closed.since) {
            return None; // It says nothing of the present.
        }
        match shown {
            Shown::Accepted => self
                .suspects
                .remove(&credential)
                .is_some_and(|suspect| suspect.closed.is_some())
                .then_some(Change::Opened),
            Shown::Rejected => self.rejected(credential, probe, now),
            Shown::Nothing => {
                self.release(credential, probe);
                None
            }
        }
    }

    /// A probe has ended without showing anything: the next call is one.
    pub(super) fn release(&mut self, credential: Credential, probe: Option<Lease>) {
        if let Some(Suspect { closed: Some(closed), .. }) = self.suspects.get_mut(&credential)
            && closed.holds(probe)
        {
            closed.probe = None;
        }
    }

    fn rejected(&mut self, credential: Credential, probe: Option<Lease>, now: Instant) -> Option<Change> {
        if self.suspects.len() >= CAPACITY && !self.suspects.contains_key(&credential) {
            self.forget_one();
        }
        let until = now + self.config.probe_interval;
        let suspect = match self.suspects.entry(credential) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Suspect { rejections: 0, since: now, closed: None }),
        };
        suspect.rejections = suspect.rejections.saturating_add(1);
        suspect.since = now;
        match &mut suspect.closed {
            // Those that were under way when it closed say nothing new; a probe does.
            Some(closed) if closed.holds(probe) => *closed = Closed { until, probe: None, ..*closed },
            Some(_) => {}
            None if suspect.rejections >= self.config.rejections.get() => {
                suspect.closed = Some(Closed { since: now, until, probe: None });
                return Some(Change::Closed);
            }
            None => {}
        }
        None
    }

    /// Makes room: for a key forgotten too early, calls are sent that could have been spared.
    fn forget_one(&mut self) {
        let least = self.suspects.iter().min_by_key(|(_, suspect)| (suspect.closed.is_some(), suspect.since));
        if let Some(credential) = least.map(|(credential, _)| *credential) {
            self.suspects.remove(&credential);
        }
    }
}

impl Closed {
    fn holds(&self, probe: Option<Lease>) -> bool {
        probe.is_some() && self.probe.map(|(lease, _)| lease) == probe
    }
}

#[cfg(test)]
mod tests;
