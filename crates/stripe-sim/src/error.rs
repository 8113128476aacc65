//! The error of a connection that the simulator broke.

use std::{error::Error, fmt};

use crate::faults::Fault;

/// No response: the connection was refused or lost.
///
/// In-process this is what the service returns; over TCP the client sees the real thing instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimError {
    fault: Fault,
    kind: SimErrorKind,
    body_pulled: bool,
}

/// How a connection was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimErrorKind {
    /// It was never made.
    Connect,
    /// It was reset.
    Reset,
    /// The remote end refused this stream of it, which proves that the request was not looked at.
    Refused,
}

impl SimError {
    pub(crate) fn connect(body_pulled: bool) -> Self {
        Self { fault: Fault::F0, kind: SimErrorKind::Connect, body_pulled }
    }

    pub(crate) fn refused(fault: Fault, body_pulled: bool) -> Self {
        Self { fault, kind: SimErrorKind::Refused, body_pulled }
    }

    pub(crate) fn reset(fault: Fault, body_pulled: bool) -> Self {
        Self { fault, kind: SimErrorKind::Reset, body_pulled }
    }

    /// The fault that did it. A body that failed on the client's side, or never ended, counts as [`Fault::F1`].
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// How the connection was broken.
    #[must_use]
    pub fn kind(&self) -> SimErrorKind {
        self.kind
    }

    /// Whether any frame of the request's body was taken from the client.
    #[must_use]
    pub fn body_pulled(&self) -> bool {
        self.body_pulled
    }
}

impl fmt::Display for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            SimErrorKind::Connect => "the simulator refused the connection",
            SimErrorKind::Reset => "the simulator reset the connection",
            SimErrorKind::Refused => "the simulator refused the stream",
        };
        write!(f, "{what} ({:?})", self.fault.kind())
    }
}

impl Error for SimError {}
