//! What a transport failure tells about one attempt.
//!
//! A client that could not produce a response knows something that decides about money: whether the request can have
//! reached Stripe. [`TransportError`] is how a client's error type says it. It answers with a [`Failure`]: what went
//! wrong ([`FailureKind`]), what that proves ([`Certainty`]), and whether the same request may go out again at once.
//!
//! The rule for implementations: [`Certainty::NotSent`] only where the client *proves* it. An `io::ErrorKind`, a TLS
//! alert or the text of a message prove nothing, because a connection can break the same way before and after Stripe
//! has read the request. Whatever is not proven is [`Certainty::Unknown`], which is always safe: it keeps the
//! idempotency key.
//!
//! # A client with an error type of its own
//!
//! ```
//! use std::{error::Error, fmt};
//! use tower_stripe::{Failure, FailureKind, TransportError};
//!
//! #[derive(Debug)]
//! enum MyError {
//!     NoRoute,
//!     Broken(std::io::Error),
//! }
//!
//! impl TransportError for MyError {
//!     fn failure(&self) -> Failure {
//!         match self {
//!             Self::NoRoute => Failure::not_sent(FailureKind::Connect),
//!             Self::Broken(_) => Failure::unknown(FailureKind::Reset),
//!         }
//!     }
//!
//!     fn as_source(&self) -> Option<&(dyn Error + 'static)> {
//!         Some(self)
//!     }
//! }
//! # impl fmt::Display for MyError {
//! #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("broken") }
//! # }
//! # impl Error for MyError {}
//! ```

use std::convert::Infallible;
use std::error::Error as StdError;
use std::{fmt, io};

use crate::vocab::certainty::Certainty;

/// What a transport failure tells about one attempt.
///
/// See the [module docs](self) for the rule about [`Certainty::NotSent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    kind: FailureKind,
    certainty: Certainty,
    resend: bool,
}

impl Failure {
    /// The request may have reached Stripe: anything that is not proven.
    #[must_use]
    pub const fn unknown(kind: FailureKind) -> Self {
        Self { kind, certainty: Certainty::Unknown, resend: false }
    }

    /// The request provably did not reach Stripe.
    #[must_use]
    pub const fn not_sent(kind: FailureKind) -> Self {
        Self { kind, certainty: Certainty::NotSent, resend: false }
    }

    /// The request was handed back untouched, by a connection that was closing or by the remote end: it provably was
    /// not executed, and may be sent again at once.
    #[must_use]
    pub const fn handed_back(kind: FailureKind) -> Self {
        Self { kind, certainty: Certainty::NotSent, resend: true }
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(self) -> FailureKind {
        self.kind
    }

    /// What this failure proves about the request: [`Certainty::NotSent`] or [`Certainty::Unknown`].
    #[must_use]
    pub const fn certainty(self) -> Certainty {
        self.certainty
    }

    /// Whether the other end (or the connection) handed the request back, so that it may be sent again at once on
    /// another connection. Implies [`Certainty::NotSent`]. A failure to connect is not one: there is nothing to gain
    /// from hurrying.
    #[must_use]
    pub const fn resend(self) -> bool {
        self.resend
    }
}

/// What went wrong, for metrics, logs and the breaker. It never decides the [`Certainty`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// No connection could be made, and the connector does not tell why.
    Connect,
    /// The host name could not be resolved.
    Dns,
    /// The TCP connection failed.
    Tcp,
    /// The TLS handshake was refused: certificate or protocol.
    Tls,
    /// DNS, TCP and TLS together took longer than the connect limit.
    ConnectTimeout,
    /// The connection never took the request.
    Canceled,
    /// The remote end refused the HTTP/2 stream: `REFUSED_STREAM`, or `GOAWAY` for streams it has not seen.
    StreamRefused,
    /// A time limit passed while waiting for the response.
    Timeout,
    /// The connection, or this stream of it, was lost.
    Reset,
    /// The request body failed.
    Body,
    /// What arrived was not HTTP, or the request was none.
    Protocol,
    /// The client does not tell.
    Other,
}

impl FailureKind {
    /// The label of this kind in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::ConnectTimeout => "connect_timeout",
            Self::Canceled => "canceled",
            Self::StreamRefused => "stream_refused",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Body => "body",
            Self::Protocol => "protocol",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The error of an HTTP client that can tell what it means for the request.
///
/// Implemented for the errors of the supported clients, for [`std::io::Error`], [`Infallible`] and boxed errors; implement it
/// for a client of your own. See the [module docs](self) for the rule and an example.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what it proves about a request",
    note = "implement `TransportError` for it if it is yours, or box it: `client.map_err(tower_stripe::BoxError::from)`"
)]
pub trait TransportError {
    /// What this error tells about the attempt.
    fn failure(&self) -> Failure;

    /// This error as the source of another one, if it is an [`Error`](std::error::Error).
    fn as_source(&self) -> Option<&(dyn StdError + 'static)>;
}

impl TransportError for Infallible {
    fn failure(&self) -> Failure {
        match *self {}
    }

    fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        match *self {}
    }
}

/// Always [`Certainty::Unknown`]: no kind of I/O error tells whether bytes left before.
impl TransportError for io::Error {
    fn failure(&self) -> Failure {
        Failure::unknown(FailureKind::Reset)
    }

    fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_of_io_error_proves_that_nothing_was_sent() {
        for kind in [
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::NotConnected,
            io::ErrorKind::HostUnreachable,
            io::ErrorKind::TimedOut,
        ] {
            let error = io::Error::from(kind);
            assert_eq!(error.failure(), Failure::unknown(FailureKind::Reset));
            assert!(error.as_source().is_some());
        }
    }

    #[test]
    fn handing_back_implies_not_sent() {
        let failure = Failure::handed_back(FailureKind::StreamRefused);
        assert!(failure.resend());
        assert_eq!(failure.certainty(), Certainty::NotSent);
        assert!(!Failure::not_sent(FailureKind::Tcp).resend());
    }

    #[test]
    fn labels_are_distinct_and_lower_case() {
        use FailureKind::*;
        let all = [
            Connect,
            Dns,
            Tcp,
            Tls,
            ConnectTimeout,
            Canceled,
            StreamRefused,
            Timeout,
            Reset,
            Body,
            Protocol,
            Other,
        ];
        let labels: std::collections::BTreeSet<_> = all.iter().map(|k| k.as_str()).collect();
        assert_eq!(labels.len(), all.len());
        for label in labels {
            assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{label}");
        }
        assert_eq!(format!("{Tls:>5}"), "  tls");
    }
}
