//! What is known of a call while it goes on. Pure bookkeeping, behind the lock of the handle.

use std::time::{Duration, Instant};

use super::account::Stop;
use crate::vocab::{
    Advice, Attempt, CallKind, Certainty, IdempotencyKey, Outcome, Priority, Purpose, Refusal, SendProof,
    Standing, Verb,
    key::{History, KeyClock},
    time,
};

/// How many attempts a report keeps: the first, and the last ones. All are counted.
pub(super) const KEPT: usize = 16;

#[derive(Default)]
pub(super) struct State {
    pub(super) kind: Option<CallKind>,
    pub(super) standing: Standing,
    pub(super) deadline: Option<Instant>,
    pub(super) key: Option<Key>,
    /// A key of the caller's, where the call was refused before it was looked at.
    pub(super) claimed: Claim,
    /// Whether another attempt may follow the one that is made next; `None` where no layer retries.
    pub(super) retry_left: Option<bool>,
    /// Whether the call goes on: attempts may follow.
    pub(super) live: bool,
    /// Whether more than one request was made within the open attempt.
    pub(super) tainted: bool,
    /// Whether the caller gave one handle to two calls, so that nobody can tell which of them it asks about.
    pub(super) mistaken: bool,
    /// Whether a layer outside of all attempts has handed the request on.
    pub(super) handed_on: bool,
    /// How many attempts have begun: the number of the open one.
    pub(super) begun: u64,
    /// How many gates a request of the open attempt has passed at most.
    passed: u32,
    /// Whether a gate holds a request of the open attempt back.
    holding: bool,
    pub(super) current: Option<Attempt>,
    pub(super) proof: Option<SendProof>,
    pub(super) first: Option<Attempt>,
    pub(super) later: Vec<Attempt>,
    pub(super) made: u32,
    pub(super) waited: Duration,
    pub(super) stopped: Option<Stop>,
    pub(super) retry_in: Option<Duration>,
    /// Why the stack refused the call after its last attempt, or without one.
    pub(super) refusal: Option<Refusal>,
    /// What the last attempt came to that leaves it open whether the call was executed.
    pub(super) doubt: Option<Outcome>,
    /// Whether an attempt was dropped, and if so, whether it was on its way.
    pub(super) cut: Option<bool>,
}

pub(super) struct Key {
    pub(super) key: IdempotencyKey,
    pub(super) clock: KeyClock,
}

impl State {
    /// An attempt begins, of a request that has passed so many gates.
    pub(super) fn begin(&mut self, attempt: Attempt, passed: u32) {
        self.begun += 1;
        self.passed = passed;
        self.holding = false;
        self.current = Some(attempt);
        self.refusal = None;
        self.proof = None;
        self.tainted = false;
    }

    /// A gate holds back a request that has passed so many others. Where another request of the attempt has come further,
    /// or is held back too, this one proves nothing of that one.
    pub(super) fn hold(&mut self, passed: u32) {
        let Some(attempt) = &mut self.current else { return };
        if self.holding || self.passed != passed || self.proof.is_some() {
            self.tainted = true;
        } else {
            attempt.held();
            self.holding = true;
        }
    }

    /// A request of the attempt with this number is let go, and has now passed so many gates. `false` if the attempt has
    /// ended.
    pub(super) fn admit(
        &mut self,
        attempt: u64,
        passed: u32,
        priority: Option<Priority>,
        now: Instant,
    ) -> bool {
        match &mut self.current {
            Some(current) if self.begun == attempt => {
                self.waited += now.saturating_duration_since(current.began);
                current.admitted(priority, now);
                self.holding = false;
                self.passed = self.passed.max(passed);
                true
            }
            _ => false,
        }
    }

    /// A second layer that retries has come, beside the first: nobody will tell what becomes of what that one has under way.
    pub(super) fn lose_sight(&mut self, kind: CallKind) {
        if self.live && self.current.as_ref().is_some_and(Attempt::on_the_wire) {
            let mut lost = Attempt::begun(Purpose::First, time::now());
            lost.lost();
            self.doubt = Some(lost.outcome);
            self.standing.observe(kind, &lost);
        }
    }

    /// The key to come back with. It has a past now, and a birth, whoever made it.
    pub(super) fn key(&self) -> Option<IdempotencyKey> {
        match (&self.key, &self.claimed) {
            (Some(key), _) => Some(key.key.used(key.clock.first_use())),
            (None, Claim::Valid(key)) => Some(key.clone()),
            (None, _) => None,
        }
    }

    /// Whether an earlier attempt may have deleted what the last one did not find.
    pub(super) fn may_be_gone(&self) -> bool {
        let deletes = self.kind.is_some_and(|kind| kind.verb == Verb::Delete);
        let not_found = self.latest().is_some_and(|attempt| attempt.outcome == Outcome::NotFound);
        deletes && not_found && self.standing_now().certainty() == Certainty::Unknown
    }

    /// Attempts on the wire, the open one included.
    pub(super) fn made_now(&self) -> u32 {
        self.made + u32::from(self.current.as_ref().is_some_and(Attempt::on_the_wire))
    }

    pub(super) fn latest(&self) -> Option<&Attempt> {
        self.current.as_ref().or(self.later.last()).or(self.first.as_ref())
    }

    /// What is certain now. As long as the call goes on, nothing but an execution is.
    pub(super) fn certainty_now(&self) -> Certainty {
        match self.standing_now().certainty() {
            Certainty::Executed => Certainty::Executed,
            _ if self.goes_on() || self.mistaken => Certainty::Unknown,
            certainty => certainty,
        }
    }

    /// Whether attempts may follow, or the open one may be let go.
    fn goes_on(&self) -> bool {
        self.live || self.current.as_ref().is_some_and(Attempt::is_held)
    }

    /// What the attempts prove: one that is still open counts as what it would be if it were dropped.
    pub(super) fn standing_now(&self) -> Standing {
        let mut standing = self.standing;
        let mut attempt = self.presumed().or_else(|| self.current.clone());
        attempt.iter_mut().filter(|_| self.tainted).for_each(Attempt::tainted);
        if let (Some(attempt), Some(kind)) = (&attempt, self.kind) {
            standing.observe(kind, attempt);
        }
        standing
    }

    /// The attempt that must be presumed to be under way where no layer accounts for one.
    pub(super) fn presumed(&self) -> Option<Attempt> {
        let unaccounted = self.handed_on && self.first.is_none() && self.current.is_none();
        (unaccounted && self.stopped.is_none()).then(|| Attempt::begun(Purpose::First, time::now()))
    }

    pub(super) fn prove(attempt: &mut Attempt, proof: Option<&SendProof>) {
        let unproven = attempt.status.is_none() && attempt.certainty == Certainty::Unknown;
        if unproven && proof.is_some_and(SendProof::claim_unsent) {
            attempt.certainty = Certainty::NotSent;
        }
    }

    pub(super) fn close(&mut self, ended: End) -> Option<Attempt> {
        let mut attempt = self.current.take()?;
        if attempt.is_unheard() && ended == End::Returned {
            attempt.lost();
        }
        Self::prove(&mut attempt, self.proof.take().as_ref());
        if std::mem::take(&mut self.tainted) {
            attempt.tainted();
        }
        self.holding = false;
        attempt.took = time::now().saturating_duration_since(attempt.began);
        if let Some(kind) = self.kind {
            self.standing.observe(kind, &attempt);
        }
        self.made += u32::from(attempt.on_the_wire());
        if attempt.certainty == Certainty::Unknown {
            self.doubt = Some(attempt.outcome);
        }
        if ended == End::Dropped {
            self.stopped = Some(Stop::Cancelled);
            self.cut = Some(attempt.on_the_wire());
        }
        if self.first.is_none() {
            self.first = Some(attempt.clone());
        } else {
            if self.later.len() == KEPT - 1 {
                self.later.remove(0);
            }
            self.later.push(attempt.clone());
        }
        Some(attempt)
    }

    pub(super) fn advice(&self, now: Instant) -> Advice {
        if self.mistaken {
            return Advice::Reconcile;
        }
        let mut standing = self.standing_now();
        let kind = self.kind.unwrap_or(CallKind::UNKNOWN);
        if self.goes_on() {
            standing.observe(kind, &Attempt::begun(Purpose::First, now));
        }
        let history = match &self.key {
            Some(key) => Some(key.key.history()),
            // A call that nobody looked at may have a key with a past.
            None => {
                (kind.keyed || self.claimed != Claim::None || self.kind.is_none()).then_some(History::Unknown)
            }
        };
        let expired = self.key.as_ref().is_some_and(|key| key.clock.expired(now));
        Advice::of(&standing, kind, history, expired)
    }
}

/// A key that the caller gave and nobody looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Claim {
    #[default]
    None,
    Valid(IdempotencyKey),
    /// It could not be sent, or there were two.
    Unusable,
}

/// How an attempt ended for the layer that owns it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Returned,
    Dropped,
}
