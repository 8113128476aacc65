//! What an attempt is admitted as, and what it says in the end.

/// Who may probe a half-open write circuit, and how soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Tier {
    /// Moves no money and may be repeated; any GET.
    Harmless,
    /// Moves money, and the call can be tried again with its key if the probe is lost.
    Money,
    /// What a lost probe leaves unknown for good.
    Last,
}

/// What an attempt was admitted as. Whatever comes of it counts in the generation that admitted it, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Ticket {
    pub(in super::super) generation: u64,
    pub(in super::super) role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Role {
    /// Does not count.
    Untagged,
    /// One of many, in a closed circuit.
    Counted,
    /// Holds this lease.
    Probe(u64),
    /// Holds this lease of an open write circuit: a GET that asks whether the host can be reached.
    Reach(u64),
}

impl Ticket {
    pub(in super::super) const UNTAGGED: Self = Self { generation: 0, role: Role::Untagged };

    pub(in super::super) const fn is_probe(self) -> bool {
        matches!(self.role, Role::Probe(_) | Role::Reach(_))
    }
}

/// What an attempt says about a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Verdict {
    Success,
    Failure,
    Neutral,
}
