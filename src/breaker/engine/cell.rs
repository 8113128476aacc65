//! One circuit: closed, open, half-open, and what leads from one to another.

use std::time::{Duration, Instant};

use super::{
    super::{
        config::BreakerConfig,
        state::{Control, State, Why},
    },
    step::{Change, Step, Which, interval, rest},
    ticket::{Role, Ticket, Tier, Verdict},
    window::Window,
};

/// So many failures in a row reopen during the ramp: there are too few calls yet for the usual rules.
const RAMP_FAILURES: u32 = 3;
/// What the ramp begins at, and what is all, in thousandths.
const RAMP_START: u64 = 100;
const ALL: u64 = 1_000;
/// How long what may not be tried twice, or for the last time, waits on top of the grace for other money.
const LAST_RESORT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    id: u64,
    pub(super) until: Instant,
    tier: Tier,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ramp {
    since: Instant,
    /// What is left of the shares of those who came before: at one, the next is admitted.
    credit: u64,
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    Closed {
        since: Instant,
        ramp: Option<Ramp>,
    },
    Open {
        until: Instant,
        /// Of the GET that asks whether the host can be reached; in a write circuit only.
        lease: Option<Lease>,
    },
    HalfOpen {
        successes: u32,
        lease: Option<Lease>,
        /// Since when no probe of this tier, or of one before it, has succeeded.
        idle: [Instant; 3],
        /// When the next probe may be sent, the last one having said nothing.
        rests: Instant,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Cell {
    which: Which,
    pub(super) control: Control,
    pub(super) phase: Phase,
    generation: u64,
    leases: u64,
    window: Window,
    /// How often it has opened again.
    level: u32,
    pub(super) opened: Instant,
    pub(super) used: bool,
    /// Since when it has not been closed.
    down_since: Instant,
    /// How many probes have succeeded since then after their leases had ended.
    late: u32,
}

impl Cell {
    pub(super) fn new(which: Which, rules: &BreakerConfig, now: Instant) -> Self {
        Self {
            which,
            control: if matches!(which, Which::Local) { Control::Automatic } else { rules.control },
            phase: Phase::Closed { since: now, ramp: None },
            generation: 0,
            leases: 0,
            window: Window::new(rules.window, now),
            level: 0,
            opened: now,
            used: false,
            down_since: now,
            late: 0,
        }
    }

    pub(super) const fn state(&self) -> State {
        match (self.control, &self.phase) {
            (Control::ForcedOpen, _) => State::Open,
            (Control::ForcedClosed | Control::Disabled, _) | (_, Phase::Closed { .. }) => State::Closed,
            (_, Phase::Open { .. }) => State::Open,
            (_, Phase::HalfOpen { .. }) => State::HalfOpen,
        }
    }

    /// How many attempts of the window failed, and how many there are in it.
    pub(super) fn counts(&self, now: Instant) -> (u64, u64) {
        let counts = self.window.at(now);
        (counts.failures, counts.calls)
    }

    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }

    pub(super) const fn ticket(&self, role: Role) -> Ticket {
        Ticket { generation: self.generation, role }
    }

    /// Whether what holds `ticket` still counts.
    pub(super) const fn knows(&self, ticket: Ticket) -> bool {
        self.generation == ticket.generation && !matches!(ticket.role, Role::Untagged)
    }

    /// Admits by the phase alone: reads and dials, any of which may be the probe.
    ///
    /// # Errors
    /// When to come back.
    pub(super) fn enter(&mut self, step: &mut Step<'_>) -> Result<Ticket, Duration> {
        self.expire(step);
        match self.phase {
            Phase::Closed { .. } => self.enter_closed(step),
            Phase::Open { until, .. } if step.now < until => Err(until - step.now),
            Phase::Open { .. } => {
                self.half_open(step);
                self.probe(step, Tier::Harmless)
            }
            Phase::HalfOpen { .. } => self.probe(step, Tier::Harmless),
        }
    }

    /// During the ramp the share that is admitted grows evenly from a tenth to all; the remainder of each call's share
    /// goes to the next, so that no draw is needed.
    fn enter_closed(&mut self, step: &Step<'_>) -> Result<Ticket, Duration> {
        if let Phase::Closed { ramp: ramping @ Some(_), .. } = &mut self.phase
            && let Some(ramp) = ramping
        {
            let passed = step.now.saturating_duration_since(ramp.since);
            if passed >= step.rules.ramp {
                *ramping = None;
            } else {
                let grown =
                    u128::from(ALL - RAMP_START) * passed.as_nanos() / step.rules.ramp.as_nanos().max(1);
                ramp.credit += RAMP_START + grown as u64;
                if ramp.credit < ALL {
                    return Err(step.rules.ramp - passed);
                }
                ramp.credit -= ALL;
            }
        }
        Ok(self.ticket(Role::Counted))
    }

    /// One probe at a time, money last.
    pub(super) fn probe(&mut self, step: &Step<'_>, tier: Tier) -> Result<Ticket, Duration> {
        let until = step.now + step.rules.probe_lease;
        let Phase::HalfOpen { lease, idle, rests, .. } = &mut self.phase else {
            return Err(step.rules.money_grace);
        };
        if let Some(lease) = lease {
            // Most probes are answered long before their lease ends.
            let rest = lease.until.saturating_duration_since(step.now);
            return Err(rest.min(step.rules.money_grace.max(Duration::from_millis(1))));
        }
        let wait = match tier {
            _ if step.now < *rests => *rests - step.now,
            Tier::Harmless => Duration::ZERO,
            Tier::Money => rest(step, idle[Tier::Harmless as usize], step.rules.money_grace),
            Tier::Last => {
                rest(step, idle[Tier::Money as usize], step.rules.money_grace.saturating_add(LAST_RESORT))
            }
        };
        if !wait.is_zero() {
            return Err(wait);
        }
        self.leases += 1;
        *lease = Some(Lease { id: self.leases, until, tier });
        Ok(self.ticket(Role::Probe(self.leases)))
    }

    /// Leases the one GET that asks on behalf of an open write circuit.
    pub(super) fn reach(&mut self, step: &Step<'_>) -> Option<Ticket> {
        let until = step.now + step.rules.probe_lease;
        let Phase::Open { lease: lease @ None, .. } = &mut self.phase else { return None };
        self.leases += 1;
        *lease = Some(Lease { id: self.leases, until, tier: Tier::Harmless });
        Some(self.ticket(Role::Reach(self.leases)))
    }

    /// A probe has succeeded after its lease had ended. It holds nothing any more; but where all calls take longer than a
    /// lease, so many that succeed are a recovery all the same.
    pub(super) fn came_late(&mut self, step: &mut Step<'_>, ticket: Ticket, on_wire: Duration) {
        let sent = step.now.checked_sub(on_wire);
        if !matches!(ticket.role, Role::Probe(_))
            || self.is_closed()
            || sent.is_none_or(|sent| sent < self.down_since)
        {
            return;
        }
        self.late += 1;
        if self.late >= self.needed(step) {
            self.close(step);
        }
    }

    const fn needed(&self, step: &Step<'_>) -> u32 {
        match self.which {
            Which::Local => 1,
            Which::Read | Which::Write => step.rules.probe_successes,
        }
    }

    /// Whether a probe's time is over: then it has failed, at the moment when it was.
    pub(super) fn expire(&mut self, step: &mut Step<'_>) -> bool {
        match self.phase {
            Phase::Open { lease: Some(lease), .. } | Phase::HalfOpen { lease: Some(lease), .. }
                if lease.until <= step.now =>
            {
                self.open(step, Why::ProbeExpired, lease.until);
                true
            }
            _ => false,
        }
    }

    /// Whether what was admitted while this was closed would be refused now, and for how long.
    pub(super) fn revoked(&self, ticket: Ticket, now: Instant) -> Option<Duration> {
        match self.phase {
            _ if ticket.role != Role::Counted || ticket.generation == self.generation => None,
            Phase::Closed { .. } => None,
            Phase::Open { until, .. } => Some(until.saturating_duration_since(now)),
            Phase::HalfOpen { .. } => Some(Duration::ZERO),
        }
    }

    /// Ends the lease, if it is still held.
    pub(super) fn release(&mut self, ticket: Ticket) -> bool {
        let (Role::Probe(id) | Role::Reach(id)) = ticket.role else { return false };
        match &mut self.phase {
            Phase::Open { lease, .. } | Phase::HalfOpen { lease, .. }
                if self.generation == ticket.generation && lease.is_some_and(|lease| lease.id == id) =>
            {
                *lease = None;
                true
            }
            _ => false,
        }
    }

    /// The probe of a half-open circuit has ended in time. `answered`: by somebody, and its caller did not just go away.
    pub(super) fn probed(&mut self, step: &mut Step<'_>, ticket: Ticket, verdict: Verdict, answered: bool) {
        let Phase::HalfOpen { lease: Some(lease), .. } = self.phase else { return };
        if !self.release(ticket) {
            return;
        }
        match verdict {
            // As the 429 of a limiter, which more probes in quick succession would only meet again.
            Verdict::Neutral if answered && self.which != Which::Local => {
                if let Phase::HalfOpen { rests, .. } = &mut self.phase {
                    *rests = step.now + step.rules.base_interval;
                }
            }
            Verdict::Neutral => {}
            Verdict::Failure => {
                self.late = 0;
                self.open(step, Why::ProbeFailed, step.now);
            }
            Verdict::Success => {
                let needed = self.needed(step);
                let Phase::HalfOpen { successes, idle, .. } = &mut self.phase else { return };
                *successes += 1;
                if *successes >= needed {
                    self.close(step);
                } else {
                    idle[lease.tier as usize..].fill(step.now);
                }
            }
        }
    }

    /// An attempt of a closed circuit has ended.
    pub(super) fn count(&mut self, step: &mut Step<'_>, verdict: Verdict, on_wire: Duration) {
        let Phase::Closed { ramp, .. } = &mut self.phase else { return };
        let slow = self.which.slow(step.rules);
        let counts = match verdict {
            Verdict::Neutral => return,
            Verdict::Success => {
                self.window.success(on_wire, slow.is_some_and(|slow| on_wire >= slow.limit), step.now)
            }
            Verdict::Failure => self.window.failure(step.now),
        };
        let mut relapsed = false;
        if let Some(ramp) = ramp
            && step.now.saturating_duration_since(ramp.since) < step.rules.ramp
        {
            ramp.failures = if verdict == Verdict::Failure { ramp.failures + 1 } else { 0 };
            relapsed = ramp.failures >= RAMP_FAILURES;
        }
        if self.control == Control::ForcedClosed {
            return;
        }
        let ripe = self.window.run_is_ripe(step.now);
        let why = if relapsed { Some(Why::RampFailed) } else { self.which.tripped(step.rules, counts, ripe) };
        if let Some(why) = why {
            self.open(step, why, step.now);
        }
    }

    pub(super) fn open(&mut self, step: &mut Step<'_>, why: Why, at: Instant) {
        if let Phase::Closed { since, .. } = self.phase
            && at.saturating_duration_since(since) >= step.rules.window
        {
            self.level = 0;
        }
        // Circuits that open in one step do not come back together.
        let draw = step.draw.rotate_left(self.which as u32 * 21);
        let interval = interval(step.rules, self.level, draw);
        self.level = self.level.saturating_add(1);
        if self.is_closed() {
            (self.down_since, self.late) = (at, 0);
        }
        self.opened = at;
        self.shift(step, Phase::Open { until: at + interval, lease: None }, why, at);
    }

    pub(super) fn half_open(&mut self, step: &mut Step<'_>) {
        let phase = Phase::HalfOpen { successes: 0, lease: None, idle: [step.now; 3], rests: step.now };
        self.shift(step, phase, Why::IntervalOver, step.now);
    }

    fn close(&mut self, step: &mut Step<'_>) {
        let ramps = self.which != Which::Local && !step.rules.ramp.is_zero();
        let ramp = ramps.then_some(Ramp { since: step.now, credit: ALL - RAMP_START, failures: 0 });
        self.window.clear();
        self.shift(step, Phase::Closed { since: step.now, ramp }, Why::ProbesSucceeded, step.now);
    }

    /// Back to the beginning, with no past.
    pub(super) fn reset(&mut self, step: &mut Step<'_>, why: Why) {
        self.window.clear();
        self.level = 0;
        self.shift(step, Phase::Closed { since: step.now, ramp: None }, why, step.now);
    }

    /// Puts it under another control. Where the machine ran on, it goes on from where it is.
    pub(super) fn control(&mut self, step: &mut Step<'_>, control: Control) {
        use Control::{Automatic, Disabled, ForcedClosed, ForcedOpen, ObserveOnly};
        let from = self.state();
        match (std::mem::replace(&mut self.control, control), control) {
            (old, new) if old == new => return,
            (Automatic | ObserveOnly | ForcedClosed, Automatic | ObserveOnly) => {}
            (Automatic | ObserveOnly, ForcedClosed) => {
                if let Phase::Closed { ramp, .. } = &mut self.phase {
                    *ramp = None;
                } else {
                    self.window.clear();
                    self.phase = Phase::Closed { since: step.now, ramp: None };
                    self.generation += 1;
                }
            }
            (ForcedOpen | Disabled, _) | (_, ForcedOpen | Disabled) => {
                self.window.clear();
                self.level = 0;
                self.phase = Phase::Closed { since: step.now, ramp: None };
                self.generation += 1;
            }
            (ForcedClosed, ForcedClosed) => return,
        }
        self.report(step, from, Why::Operator, step.now);
    }

    fn shift(&mut self, step: &mut Step<'_>, phase: Phase, why: Why, at: Instant) {
        let from = self.state();
        self.phase = phase;
        self.generation += 1;
        self.report(step, from, why, at);
    }

    fn report(&self, step: &mut Step<'_>, from: State, why: Why, at: Instant) {
        let (which, to, generation) = (self.which, self.state(), self.generation);
        if from != to {
            step.changes.push(Change { which, from, to, why, at, generation });
        }
    }
}
