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
use crate::vocab::tracked::TrackedError;

/// What a transport failure tells about one attempt.
///
/// See the [module docs](self) for the rule about [`Certainty::NotSent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// What this failure proves about the request: [`Certainty::NotSent`] or [`Certainty::Unknown`].
    pub certainty: Certainty,
    /// Whether the other end (or the connection) handed the request back, so that it may be sent again at once on
    /// another connection. Implies [`Certainty::NotSent`]. A failure to connect is not one: there is nothing to gain
    /// from hurrying.
    pub resend: bool,
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
pub trait TransportError {
    /// What this error tells about the attempt.
    fn failure(&self) -> Failure;

    /// This error as the source of another one, if it is an [`Error`](std::error::Error).
    fn as_source(&self) -> Option<&(dyn StdError + 'static)>;
}

/// A boxed error hides its own type, so what can be told comes from the errors it wraps: the outermost one that is
/// known decides, and without one it is [`FailureKind::Other`] and [`Certainty::Unknown`].
// For every `'a`, not for `'static` alone: the compiler forgets that the region is static once a future is spawned,
// and then asks for all of them. That generality is also why the outermost error cannot be downcast.
impl<'a> TransportError for Box<dyn StdError + Send + Sync + 'a> {
    fn failure(&self) -> Failure {
        failure_in_chain(self.source())
    }

    fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source()
    }
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

/// The outermost known error decides. Deeper ones may belong to another exchange: a request body that streams from a
/// second client fails with *that* client's error, and its failure to connect proves nothing about this request.
fn failure_in_chain(mut next: Option<&(dyn StdError + 'static)>) -> Failure {
    while let Some(error) = next {
        if let Some(failure) = known(error) {
            return failure;
        }
        next = error.source();
    }
    Failure::unknown(FailureKind::Other)
}

fn known(error: &(dyn StdError + 'static)) -> Option<Failure> {
    if error.is::<TrackedError>() {
        return Some(Failure::unknown(FailureKind::Body));
    }
    #[cfg(feature = "hyper-util")]
    if let Some(failure) = crate::edge::hyper_util::known_failure(error) {
        return Some(failure);
    }
    error.downcast_ref::<io::Error>().map(TransportError::failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    type BoxError = Box<dyn StdError + Send + Sync>;

    #[derive(Debug)]
    struct Wraps(BoxError);

    impl fmt::Display for Wraps {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wraps")
        }
    }

    impl StdError for Wraps {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&*self.0)
        }
    }

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
            let boxed: BoxError = Box::new(Wraps(Box::new(io::Error::from(kind))));
            assert_eq!(boxed.failure(), Failure::unknown(FailureKind::Reset));
        }
    }

    #[test]
    fn a_boxed_error_of_no_known_type_is_unknown() {
        let boxed: BoxError = "connection refused, nothing was sent".into();
        assert_eq!(boxed.failure(), Failure::unknown(FailureKind::Other));
        assert!(boxed.as_source().is_none());
        let boxed: BoxError = Box::new(Wraps(boxed));
        assert_eq!(boxed.failure(), Failure::unknown(FailureKind::Other));
        assert!(boxed.as_source().is_some());
    }

    #[test]
    fn a_failed_body_hides_what_made_it_fail() {
        let inner = TrackedError::from_body(io::Error::other("another exchange"));
        let boxed: BoxError = Box::new(Wraps(Box::new(Wraps(Box::new(inner)))));
        assert_eq!(boxed.failure(), Failure::unknown(FailureKind::Body));
    }

    #[test]
    fn handing_back_implies_not_sent() {
        let failure = Failure::handed_back(FailureKind::StreamRefused);
        assert!(failure.resend);
        assert_eq!(failure.certainty, Certainty::NotSent);
        assert!(!Failure::not_sent(FailureKind::Tcp).resend);
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

    fn of_any_region<'a>(error: Box<dyn StdError + Send + Sync + 'a>) -> Failure {
        error.failure()
    }

    #[test]
    fn a_boxed_error_of_any_region_is_a_transport_error() {
        let boxed: BoxError = "x".into();
        assert_eq!(of_any_region(boxed).certainty, Certainty::Unknown);
    }
}
