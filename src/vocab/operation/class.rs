use std::fmt;

/// What kind of operation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Moves money, may do so under a condition, or decides about it: charges, refunds, payouts, subscriptions, card
    /// authorizations.
    Money,
    /// Changes state, and moves no money by itself: customers, but also what will be collected, such as invoice items.
    Write,
    /// Reads one object, or lists several.
    Read,
    /// Queries the search index, which has a rate limit of its own.
    Search,
    /// Sends a file.
    Upload,
    /// Reports usage: many small writes, with rate limits of their own.
    Meter,
}

impl Class {
    /// The label, in lower case: `money`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Money => "money",
            Self::Write => "write",
            Self::Read => "read",
            Self::Search => "search",
            Self::Upload => "upload",
            Self::Meter => "meter",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who is admitted first. The greatest is the most urgent.
///
/// Every [`Operation`](super::Operation) has one. (What admits attempts by it, the governor, is yet to come.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Nobody waits for it: reports, lists, files, test helpers.
    Background,
    /// Other writes, and reads of one object.
    Normal,
    /// Money moves, or a shopper waits.
    Critical,
}

impl Priority {
    /// The label, in lower case: `critical`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Normal => "normal",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which of Stripe's API versions a path belongs to. They differ in how keys, errors and lists work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiVersion {
    /// Below `/v1`.
    V1,
    /// Below `/v2`.
    V2,
    /// Neither: `/oauth`, and whatever the table does not know.
    Other,
}

impl ApiVersion {
    /// The label, in lower case: `v1`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
