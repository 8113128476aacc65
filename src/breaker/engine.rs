//! The decision. Pure: no clock, no randomness, no locks, no waiting.

mod cell;
mod pair;
mod step;
mod ticket;
mod verdict;
mod window;

use std::time::{Duration, Instant};

use self::{
    cell::Cell,
    pair::{Admission, Pair},
    ticket::{Role, Ticket},
};
pub(super) use self::{
    pair::Finding,
    step::{Change, Step, Which},
    ticket::{Tier, Verdict},
    verdict::{Dial, dial, verdict},
};
use super::{
    config::BreakerConfig,
    state::{Control, State, Traffic},
};

/// From when on a failed dial has taken long, and for how many failures it then counts.
const SLOW_DIAL: Duration = Duration::from_secs(1);
const SLOW_DIAL_COUNTS: u32 = 4;

/// All circuits of one host.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    /// By mode.
    pairs: [Pair; 2],
    local: Cell,
    /// When the last failure to connect was counted.
    last_dial: Option<Instant>,
    /// Whether a synthetic GET makes sense for this host.
    synthetic: bool,
}

/// What an attempt was admitted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) mode: usize,
    pub(super) traffic: Traffic,
    pub(super) ticket: Ticket,
    pub(super) local: Ticket,
}

/// What to do with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Admit(Pass),
    /// First a synthetic GET under this pass; then ask again.
    Ask(Pass),
    Refuse(Option<Duration>),
}

impl Pass {
    pub(super) const fn is_probe(&self) -> bool {
        self.ticket.is_probe() || self.local.is_probe()
    }

    /// Whether it probes its host's local circuit, and not its own.
    pub(super) const fn is_local_probe(&self) -> bool {
        self.local.is_probe()
    }

    /// Whether anything depends on how it ends.
    pub(super) fn counts(&self) -> bool {
        self.ticket.role != Role::Untagged || self.local.role != Role::Untagged
    }
}

impl Engine {
    pub(super) fn new(rules: &BreakerConfig, synthetic: bool, now: Instant) -> Self {
        Self {
            pairs: [Pair::new(rules, now), Pair::new(rules, now)],
            local: Cell::new(Which::Local, rules, now),
            last_dial: None,
            synthetic: synthetic && rules.synthetic_probes,
        }
    }

    pub(super) fn admit(&mut self, step: &mut Step<'_>, mode: usize, traffic: Traffic, tier: Tier) -> Answer {
        let pair = &mut self.pairs[mode];
        pair.cell_mut(traffic).used = true;
        let control = pair.cell(traffic).control;
        let mut pass = Pass { mode, traffic, ticket: Ticket::UNTAGGED, local: Ticket::UNTAGGED };
        match control {
            Control::ForcedOpen => return Answer::Refuse(None),
            Control::Disabled => return Answer::Admit(pass),
            Control::Automatic | Control::ForcedClosed | Control::ObserveOnly => {}
        }
        if step.rules.local {
            self.local.used = true;
            match self.local.enter(step) {
                Ok(ticket) => pass.local = ticket,
                Err(wait) if control == Control::Automatic => return Answer::Refuse(Some(wait)),
                Err(_) => {}
            }
        }
        let admission = match control {
            Control::ForcedClosed => Admission::Admit(pair.cell(traffic).ticket(Role::Counted)),
            // Who only observes sends nothing of its own.
            _ => pair.admit(step, traffic, tier, self.synthetic && control == Control::Automatic),
        };
        match admission {
            Admission::Admit(ticket) => {
                pass.ticket = ticket;
                Answer::Admit(pass)
            }
            Admission::Ask(traffic, ticket) => {
                (pass.traffic, pass.ticket) = (traffic, ticket);
                Answer::Ask(pass)
            }
            Admission::Refuse(_) if control == Control::ObserveOnly => Answer::Admit(pass),
            Admission::Refuse(wait) => {
                self.local.release(pass.local);
                Answer::Refuse(wait)
            }
        }
    }

    /// What came of an attempt that began at `sent`, if it began.
    pub(super) fn settle(
        &mut self,
        step: &mut Step<'_>,
        pass: Pass,
        finding: Finding,
        dial: Dial,
        sent: Option<Instant>,
    ) {
        let pair = &mut self.pairs[pass.mode];
        let ignored = pair.cell(pass.traffic).control == Control::Disabled;
        pair.settle(step, pass.traffic, pass.ticket, finding);
        self.settle_local(step, pass.local, if ignored { Dial::Neutral } else { dial }, sent);
    }

    fn settle_local(&mut self, step: &mut Step<'_>, ticket: Ticket, dial: Dial, sent: Option<Instant>) {
        if self.local.expire(step) || !self.local.knows(ticket) {
            return;
        }
        let verdict = match dial {
            Dial::Connected => Verdict::Success,
            Dial::Failed => Verdict::Failure,
            Dial::Neutral => Verdict::Neutral,
        };
        if ticket.is_probe() {
            self.local.probed(step, ticket, verdict, true);
            return;
        }
        if dial == Dial::Failed {
            // Many calls wait for one connection: that it cannot be made is one failure, not many.
            if self.last_dial.is_some_and(|last| sent.is_some_and(|sent| sent < last)) {
                return;
            }
            self.last_dial = Some(step.now);
        }
        // Dials that hang overlap, and are one: so one that took long counts for several.
        let took = sent.map_or(Duration::ZERO, |sent| step.now.saturating_duration_since(sent));
        let weight = if verdict == Verdict::Failure && took >= SLOW_DIAL { SLOW_DIAL_COUNTS } else { 1 };
        for _ in 0..weight {
            self.local.count(step, verdict, Duration::ZERO);
        }
    }

    /// Whether what was admitted and has not been sent is to be refused after all, and when it may come back.
    pub(super) fn revoked(&self, pass: &Pass, now: Instant) -> Option<Option<Duration>> {
        if pass.is_probe() {
            return None;
        }
        let cell = self.pairs[pass.mode].cell(pass.traffic);
        match cell.control {
            Control::ForcedOpen => Some(None),
            Control::Automatic => {
                cell.revoked(pass.ticket, now).or_else(|| self.local.revoked(pass.local, now)).map(Some)
            }
            Control::ForcedClosed | Control::Disabled | Control::ObserveOnly => None,
        }
    }

    pub(super) fn control(&mut self, step: &mut Step<'_>, mode: usize, traffic: Traffic, control: Control) {
        self.pairs[mode].cell_mut(traffic).control(step, control);
        self.pairs[mode].forget();
    }

    pub(super) fn reset(&mut self, step: &mut Step<'_>, mode: usize, traffic: Traffic) {
        self.pairs[mode].cell_mut(traffic).reset(step, super::state::Why::Operator);
        self.pairs[mode].forget();
    }

    pub(super) fn reset_local(&mut self, step: &mut Step<'_>) {
        self.last_dial = None;
        self.local.reset(step, super::state::Why::Operator);
    }

    /// How many attempts of the window failed, and how many there are in it.
    pub(super) fn counts_of(&self, mode: usize, traffic: Traffic, now: Instant) -> (u64, u64) {
        self.pairs[mode].cell(traffic).counts(now)
    }

    /// The same of the local circuit, which counts dials.
    pub(super) fn local_counts(&self, now: Instant) -> (u64, u64) {
        self.local.counts(now)
    }

    pub(super) const fn state(&self, mode: usize, traffic: Traffic) -> State {
        self.pairs[mode].cell(traffic).state()
    }

    pub(super) const fn control_of(&self, mode: usize, traffic: Traffic) -> Control {
        self.pairs[mode].cell(traffic).control
    }

    pub(super) const fn is_used(&self, mode: usize, traffic: Traffic) -> bool {
        self.pairs[mode].cell(traffic).used
    }

    pub(super) const fn local_state(&self) -> State {
        self.local.state()
    }

    pub(super) const fn is_local_used(&self) -> bool {
        self.local.used
    }
}

#[cfg(test)]
mod tests;
