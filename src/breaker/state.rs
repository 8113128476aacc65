//! What can be seen of the breaker from outside.

use std::{fmt, time::Instant};

use crate::vocab::{Host, Mode, Verb, metric};

/// Reads or everything else: Stripe sheds reads first, and an outage of the one need not be one of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Traffic {
    /// GET and HEAD.
    Read,
    /// Everything else.
    Write,
}

impl Traffic {
    /// Of a call with this method.
    #[must_use]
    pub const fn of(verb: Verb) -> Self {
        match verb {
            Verb::Get => Self::Read,
            Verb::Post | Verb::Delete | Verb::Other => Self::Write,
        }
    }

    /// The label, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What fails together, and so has a circuit of its own: host × mode × reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Partition {
    /// The host.
    pub host: Host,
    /// Live or sandbox.
    pub mode: Mode,
    /// Reads or writes.
    pub traffic: Traffic,
}

/// `api/live/read`.
impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Circuit::Partition(*self).as_str())
    }
}

/// A circuit: of a partition, or the local one of a host, which is about connecting to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Circuit {
    /// Opens when Stripe fails.
    Partition(Partition),
    /// Opens when no connection to this host can be made: the fault is most likely on this side.
    Local(Host),
}

impl Circuit {
    /// The word for logs and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        metric::CIRCUITS[self.index()]
    }

    /// Its place among all.
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Partition(Partition { host, mode, traffic }) => {
                host as usize * 4 + mode as usize * 2 + traffic as usize
            }
            Self::Local(host) => 16 + host as usize,
        }
    }
}

impl From<Partition> for Circuit {
    fn from(partition: Partition) -> Self {
        Self::Partition(partition)
    }
}

/// `api/live/read`, or `api/local`.
impl fmt::Display for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitSnapshot {
    /// Which.
    pub circuit: Circuit,
    /// Its state. There are no timers: one whose interval is over stays open until a call comes to probe it.
    pub state: State,
    /// Who decides over it.
    pub control: Control,
    /// How many attempts in the window failed.
    pub failures: u64,
    /// How many attempts are in the window.
    pub attempts: u64,
}

/// What a command of the handle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All partitions.
    All,
    /// This one.
    Partition(Partition),
}

impl From<Partition> for Scope {
    fn from(partition: Partition) -> Self {
        Self::Partition(partition)
    }
}

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Admits; shortly after an outage a growing share.
    Closed,
    /// Refuses.
    Open,
    /// Admits one probe at a time.
    HalfOpen,
}

impl State {
    /// The label, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who decides over a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Control {
    /// The circuit.
    Automatic,
    /// Nothing is admitted.
    ForcedOpen,
    /// All is admitted and counted; it never opens.
    ForcedClosed,
    /// All is admitted and nothing is counted.
    Disabled,
    /// The circuit runs and reports, but all is admitted.
    ObserveOnly,
}

impl Control {
    /// The label, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Disabled => "disabled",
            Self::ObserveOnly => "observe_only",
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a circuit went from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// So many failures in a row within the window.
    Consecutive {
        /// The failures.
        failures: u64,
    },
    /// Too large a share of the calls in the window failed.
    Ratio {
        /// The failures.
        failures: u64,
        /// All calls.
        calls: u64,
    },
    /// Too large a share of the calls in the window failed or was slow.
    Slow {
        /// Those that failed or were slow.
        slow: u64,
        /// All calls.
        calls: u64,
    },
    /// A probe failed.
    ProbeFailed,
    /// A probe did not end within its lease.
    ProbeExpired,
    /// It failed again right after closing.
    RampFailed,
    /// It was open for as long as it is to be.
    IntervalOver,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// Somebody said so through the handle.
    Operator,
}

impl Why {
    /// The word for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive { .. } => "consecutive",
            Self::Ratio { .. } => "ratio",
            Self::Slow { .. } => "slow",
            Self::ProbeFailed => "probe_failed",
            Self::ProbeExpired => "probe_expired",
            Self::RampFailed => "ramp_failed",
            Self::IntervalOver => "interval_over",
            Self::ProbesSucceeded => "probes_succeeded",
            Self::Operator => "operator",
        }
    }
}

/// With the figures: `30 of 50 calls failed`.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consecutive { failures } => write!(f, "{failures} failures in a row"),
            Self::Ratio { failures, calls } => write!(f, "{failures} of {calls} calls failed"),
            Self::Slow { slow, calls } => write!(f, "{slow} of {calls} calls failed or were slow"),
            Self::ProbeFailed => f.write_str("a probe failed"),
            Self::ProbeExpired => f.write_str("a probe did not end in time"),
            Self::RampFailed => f.write_str("it failed again right after closing"),
            Self::IntervalOver => f.write_str("it is time to probe"),
            Self::ProbesSucceeded => f.write_str("the probes succeeded"),
            Self::Operator => f.write_str("by command"),
        }
    }
}

/// A circuit went from one state to another.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// Which.
    pub circuit: Circuit,
    /// From this state.
    pub from: State,
    /// To this one.
    pub to: State,
    /// Why.
    pub why: Why,
    /// When. A probe whose lease ran out failed at its end, which may be noticed much later.
    pub at: Instant,
    /// Grows with each change of this circuit. Threads report on their own: the higher one is the later one.
    pub generation: u64,
}
