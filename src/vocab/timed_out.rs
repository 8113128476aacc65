//! One attempt took too long.

use std::{fmt, time::Duration};

use super::{Failure, FailureKind, TransportError};

/// An attempt got no answer within its time limit. Stripe may be executing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptTimedOut(Duration);

impl AttemptTimedOut {
    /// The attempt was given up after this time.
    #[must_use]
    pub const fn after(limit: Duration) -> Self {
        Self(limit)
    }

    /// The time limit.
    #[must_use]
    pub const fn limit(self) -> Duration {
        self.0
    }
}

impl fmt::Display for AttemptTimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer from stripe within {:?}", self.0)
    }
}

impl std::error::Error for AttemptTimedOut {}

impl TransportError for AttemptTimedOut {
    fn failure(&self) -> Failure {
        Failure::unknown(FailureKind::Timeout)
    }

    fn as_source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self)
    }
}
