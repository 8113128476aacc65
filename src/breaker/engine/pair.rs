//! The circuits of one mode of a host, for reads and for writes, which know of each other.
//!
//! A write is never sent just to see whether Stripe is back, while a GET can tell. Only where none can is it tried without
//! evidence, so that nothing keeps writes down for ever.

use std::time::{Duration, Instant};

use super::{
    super::state::{Control, Traffic, Why},
    cell::{Cell, Phase},
    step::{Step, Which, rest},
    ticket::{Role, Ticket, Tier, Verdict},
};

/// After so many rounds in which reads gave no evidence, writes do without.
const UNPROVEN_ROUNDS: u32 = 3;

#[derive(Clone, Debug)]
pub(in super::super) struct Pair {
    pub(super) read: Cell,
    pub(super) write: Cell,
    /// When a GET was last answered by Stripe itself.
    proven: Option<Instant>,
    /// Rounds without evidence since the writes opened.
    unproven: u32,
}

/// What to do with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Admission {
    Admit(Ticket),
    /// First a synthetic GET, under this ticket of the circuit of `Traffic`; then ask again.
    Ask(Traffic, Ticket),
    Refuse(Option<Duration>),
}

/// What came of an attempt, as far as it is of interest here.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Finding {
    pub(in super::super) verdict: Verdict,
    /// Whether Stripe itself has answered.
    pub(in super::super) genuine: bool,
    pub(in super::super) on_wire: Duration,
}

impl From<Result<Ticket, Duration>> for Admission {
    fn from(result: Result<Ticket, Duration>) -> Self {
        result.map_or_else(|wait| Self::Refuse(Some(wait)), Self::Admit)
    }
}

/// Whether an open write circuit whose interval is over may be probed with a write.
enum Reach {
    /// Stripe can be reached, or nobody can tell.
    Go,
    Wait(Duration),
    Ask(Traffic, Ticket),
}

impl Pair {
    pub(super) fn new(rules: &super::super::config::BreakerConfig, now: Instant) -> Self {
        Self {
            read: Cell::new(Which::Read, rules, now),
            write: Cell::new(Which::Write, rules, now),
            proven: None,
            unproven: 0,
        }
    }

    pub(super) const fn cell(&self, traffic: Traffic) -> &Cell {
        match traffic {
            Traffic::Read => &self.read,
            Traffic::Write => &self.write,
        }
    }

    pub(super) const fn cell_mut(&mut self, traffic: Traffic) -> &mut Cell {
        match traffic {
            Traffic::Read => &mut self.read,
            Traffic::Write => &mut self.write,
        }
    }

    /// `synthetic`: whether a GET of our own may be sent.
    pub(super) fn admit(
        &mut self,
        step: &mut Step<'_>,
        traffic: Traffic,
        tier: Tier,
        synthetic: bool,
    ) -> Admission {
        match traffic {
            Traffic::Read => {
                self.expire_read(step);
                self.read.enter(step).into()
            }
            Traffic::Write => self.admit_write(step, tier, synthetic),
        }
    }

    fn admit_write(&mut self, step: &mut Step<'_>, tier: Tier, synthetic: bool) -> Admission {
        self.expire_write(step);
        match self.write.phase {
            Phase::Closed { .. } => return self.write.enter(step).into(),
            Phase::Open { until, .. } if step.now < until => {
                return Admission::Refuse(Some(until - step.now));
            }
            Phase::Open { .. } => match self.reach(step, synthetic) {
                Reach::Go => self.write.half_open(step),
                Reach::Wait(wait) => return Admission::Refuse(Some(wait)),
                Reach::Ask(traffic, ticket) => return Admission::Ask(traffic, ticket),
            },
            Phase::HalfOpen { .. } => {}
        }
        self.write.probe(step, tier).into()
    }

    fn reach(&mut self, step: &mut Step<'_>, synthetic: bool) -> Reach {
        let proven = self.proven.is_some_and(|at| at >= self.write.opened);
        // Where reads are forced open, nobody is to send one.
        if proven || self.read.control == Control::ForcedOpen {
            return Reach::Go;
        }
        self.expire_read(step);
        if self.unproven >= UNPROVEN_ROUNDS {
            // Halfway between two GETs, so that an end of the outage is noticed the sooner.
            return match self.read.phase {
                Phase::Open { until, .. } => {
                    let rest =
                        rest(step, self.read.opened, until.saturating_duration_since(self.read.opened) / 2);
                    if rest.is_zero() { Reach::Go } else { Reach::Wait(rest) }
                }
                Phase::Closed { .. } | Phase::HalfOpen { .. } => Reach::Go,
            };
        }
        // Since when the reads could have been probed.
        let since = match self.read.phase {
            Phase::Closed { .. } => {
                return match (synthetic, self.write.phase) {
                    (false, _) => Reach::Go,
                    (true, Phase::Open { lease: Some(lease), .. }) => Reach::Wait(short(step, lease.until)),
                    (true, _) => {
                        self.write.reach(step).map_or(Reach::Go, |ticket| Reach::Ask(Traffic::Write, ticket))
                    }
                };
            }
            Phase::Open { until, .. } if step.now < until => return Reach::Wait(until - step.now),
            Phase::Open { until, .. } => until,
            Phase::HalfOpen { lease: Some(lease), .. } => return Reach::Wait(short(step, lease.until)),
            Phase::HalfOpen { lease: None, idle, .. } => idle[Tier::Last as usize],
        };
        let alone = step.now.saturating_duration_since(since);
        if alone < step.rules.probe_grace {
            return Reach::Wait(step.rules.probe_grace - alone);
        }
        if !synthetic {
            return Reach::Go;
        }
        match self.read.enter(step) {
            Ok(ticket) => Reach::Ask(Traffic::Read, ticket),
            Err(wait) => Reach::Wait(wait),
        }
    }

    pub(super) fn settle(&mut self, step: &mut Step<'_>, traffic: Traffic, ticket: Ticket, finding: Finding) {
        let cell = self.cell(traffic);
        if !cell.knows(ticket) || cell.control == Control::Disabled {
            return;
        }
        match (ticket.role, traffic) {
            (Role::Untagged, _) => {}
            (Role::Counted, _) => {
                if traffic == Traffic::Read {
                    self.note(step, finding);
                }
                self.cell_mut(traffic).count(step, finding.verdict, finding.on_wire);
            }
            (Role::Reach(_), _) => self.reached(step, ticket, finding),
            (Role::Probe(_), Traffic::Read) => {
                self.expire_read(step);
                if self.read.knows(ticket) {
                    if !self.note(step, finding) {
                        self.round_without_evidence();
                    }
                    self.read.probed(step, ticket, finding.verdict);
                }
            }
            (Role::Probe(_), Traffic::Write) => {
                self.expire_write(step);
                let probing = self.write.knows(ticket);
                self.write.probed(step, ticket, finding.verdict);
                // What a write has found out, reads need not wait to find out for themselves.
                if let Phase::Open { until, .. } = &mut self.read.phase
                    && probing
                    && finding.verdict == Verdict::Success
                    && finding.genuine
                {
                    *until = step.now.min(*until);
                }
                if matches!(self.write.phase, Phase::Open { .. }) {
                    self.unproven = 0;
                }
            }
        }
        self.forget();
    }

    /// The GET that asked for an open write circuit has ended.
    fn reached(&mut self, step: &mut Step<'_>, ticket: Ticket, finding: Finding) {
        self.expire_write(step);
        if !self.write.release(ticket) {
            return;
        }
        if finding.verdict == Verdict::Failure {
            self.unproven += 1;
            self.write.open(step, Why::ProbeFailed, step.now);
        } else if !self.note(step, finding) {
            // No failure, but no evidence either. That too must end some time.
            self.unproven += 1;
        }
    }

    /// Whether what came of a GET shows that Stripe can be reached. If that had to be found out by a probe, writes need
    /// not wait any longer.
    fn note(&mut self, step: &Step<'_>, finding: Finding) -> bool {
        let evidence = finding.verdict == Verdict::Success && finding.genuine;
        if evidence {
            self.proven = Some(step.now);
            self.unproven = 0;
            let probed = matches!(self.read.phase, Phase::HalfOpen { .. });
            if let Phase::Open { until, .. } = &mut self.write.phase
                && probed
            {
                *until = step.now.min(*until);
            }
        }
        evidence
    }

    fn expire_read(&mut self, step: &mut Step<'_>) {
        if self.read.expire(step) {
            self.round_without_evidence();
        }
    }

    /// A GET that was lost is a round without evidence. A write that failed was tried: after that, GETs are asked anew.
    fn expire_write(&mut self, step: &mut Step<'_>) {
        let asked = matches!(self.write.phase, Phase::Open { .. });
        if self.write.expire(step) {
            self.unproven = if asked { self.unproven + 1 } else { 0 };
        }
    }

    const fn round_without_evidence(&mut self) {
        if !self.write.is_closed() {
            self.unproven = self.unproven.saturating_add(1);
        }
    }

    /// What was learnt while the writes were open is of no use for the next time.
    pub(super) const fn forget(&mut self) {
        if self.write.is_closed() {
            self.unproven = 0;
        }
    }
}

/// When to come back for what is most likely over long before `until`.
fn short(step: &Step<'_>, until: Instant) -> Duration {
    until.saturating_duration_since(step.now).min(step.rules.probe_grace.max(Duration::from_millis(1)))
}
