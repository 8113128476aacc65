//! What the errors of hyper prove.
//!
//! Every claim here is about hyper 1.6 to 1.12, hyper-util 0.1.21 and h2 0.4.20, read from their sources; the functions
//! that it rests on are named beside it. Only the error that belongs to this request is looked at, never its whole
//! chain: below it may be the error of the request's body, which may come from another exchange altogether.

use std::error::Error as StdError;
use std::fmt;

use h2::Reason;
use hyper_util::client::legacy;

use super::ConnectError;
use crate::edge::told::Told;
use crate::vocab::certainty::Certainty;
use crate::vocab::tracked::{SendProof, TrackedError};
use crate::vocab::transport_error::{Failure, FailureKind, TransportError};

/// Why a [`Client`](super::Client) has no response.
///
/// What it means for the request is told by its [`TransportError::failure`].
#[derive(Debug)]
pub struct ClientError {
    told: Told<legacy::Error>,
}

impl ClientError {
    /// `given_away`: whether the pool gave the request to a connection. `proof`: whether its content was pulled; `None`
    /// if it has none.
    #[cold]
    pub(super) fn new(error: legacy::Error, given_away: bool, proof: Option<&SendProof>) -> Self {
        let mut failure = error.failure();
        if failure.certainty() == Certainty::Unknown {
            failure = if !given_away {
                Failure::not_sent(failure.kind())
            } else if proof.is_some() && is_remote_go_away(&error) {
                Failure::handed_back(failure.kind())
            } else if proof.is_some_and(SendProof::claim_unsent) {
                Failure::not_sent(failure.kind())
            } else {
                failure
            };
        }
        Self { told: Told { failure, error } }
    }

    /// The error of hyper-util.
    #[must_use]
    pub fn get_ref(&self) -> &legacy::Error {
        &self.told.error
    }

    /// The error of hyper-util.
    #[must_use]
    pub fn into_inner(self) -> legacy::Error {
        self.told.error
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.told.failure.certainty() {
            Certainty::NotSent => "no response, and the request was not sent",
            _ => "no response, and the request may have been executed",
        })
    }
}

impl StdError for ClientError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.told)
    }
}

impl TransportError for ClientError {
    fn failure(&self) -> Failure {
        self.told.failure
    }

    fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self)
    }
}

/// `NotSent` where the type of the error proves it; see the [module docs](super). For a hyper-util client of your own,
/// turn `retry_canceled_requests` off: resending is then visible to whoever counts attempts.
impl TransportError for legacy::Error {
    fn failure(&self) -> Failure {
        // `Connect` errors come from the connector or from the pool, before there is a connection that the request could
        // be given to (hyper-util `Client::connect_to`, `Client::one_connection_for`).
        if self.is_connect() {
            let own = self.source().and_then(|source| source.downcast_ref::<ConnectError>());
            return own.map_or(Failure::not_sent(FailureKind::Connect), TransportError::failure);
        }
        hyper_error(self).map_or(Failure::unknown(FailureKind::Other), of_hyper)
    }

    fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self)
    }
}

/// The error of a response body. By then there was a head, so that nothing is to be proven by it.
impl TransportError for hyper::Error {
    fn failure(&self) -> Failure {
        Failure::unknown(of_hyper(self).kind())
    }

    fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self)
    }
}

fn hyper_error(error: &legacy::Error) -> Option<&hyper::Error> {
    error.source()?.downcast_ref()
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

/// For an error of the request itself: hyper-util made it from what the connection answered to this request.
fn of_hyper(error: &hyper::Error) -> Failure {
    // First of all: what made a body fail may be an error of another connection, and looks like one of this.
    if error.is_user() {
        let body = error.source().is_some_and(is_of_body);
        return Failure::unknown(if body { FailureKind::Body } else { FailureKind::Other });
    }
    // Made in four places, all of which still hold the whole request: a connection that is not ready (`try_send_request`
    // of http1 and http2), a queue dropped with the request in it (`dispatch::Envelope::drop`), and a request still
    // queued when an HTTP/1 connection fails (`h1::dispatch::Client::recv_msg`).
    if error.is_canceled() {
        return Failure::handed_back(FailureKind::Canceled);
    }
    // HTTP/2 keep-alive (`ping::Recorder::ensure_not_timed_out`).
    if error.is_timeout() {
        return Failure::unknown(FailureKind::Timeout);
    }
    if let Some(error) = h2_error(error) {
        return of_h2(error);
    }
    Failure::unknown(if error.is_parse() { FailureKind::Protocol } else { FailureKind::Reset })
}

/// reqwest has an error of its own around that of a body.
fn is_of_body(error: &(dyn StdError + 'static)) -> bool {
    #[cfg(feature = "reqwest")]
    if error.downcast_ref().is_some_and(reqwest::Error::is_body) {
        return true;
    }
    error.is::<TrackedError>()
}

fn of_h2(error: &h2::Error) -> Failure {
    // RFC 9113, 8.7: such a stream was closed before any processing. Made only from a received RST_STREAM, for that one
    // stream (h2 `State::recv_reset`).
    if error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM) {
        return Failure::handed_back(FailureKind::StreamRefused);
    }
    // Not proven by itself, see `is_remote_go_away`.
    if error.is_go_away() && error.is_remote() {
        return Failure::unknown(FailureKind::StreamRefused);
    }
    Failure::unknown(if error.is_library() {
        FailureKind::Protocol
    } else if error.is_reset() && !error.is_remote() {
        // We reset it: hyper does so when the request body fails (`SendStreamExt::on_user_err`).
        FailureKind::Body
    } else {
        FailureKind::Reset
    })
}

/// Whether the remote end went away without taking this request, *provided that the request has content*.
///
/// h2 gives a remote GOAWAY to streams above the last one that the other end will process
/// (`streams::Inner::recv_go_away`), and to those that never opened (`Streams::send_request`). But hyper also answers
/// with it for a stream that has just opened: its dispatcher asks `poll_ready` again after `send_request`
/// (`h2::client::ClientTask::poll`), and a GOAWAY that another thread has read in between ends *that* request, whatever
/// its stream id. Its head may be on the wire by then. With content to come it is no whole request, and is reset before
/// any of the content is pulled; without, the head was all there is, and may be executed.
pub(in crate::edge) fn is_remote_go_away(error: &legacy::Error) -> bool {
    let h2 = hyper_error(error).and_then(h2_error);
    h2.is_some_and(|error| error.is_go_away() && error.is_remote())
}

/// Whether this error is one of a single HTTP/2 stream, on a connection that lives on.
pub(super) fn is_stream_error(error: &legacy::Error) -> bool {
    hyper_error(error).and_then(h2_error).is_some_and(h2::Error::is_reset)
}

/// What is known about one link of an error chain. The caller stops at the first that is known.
pub(crate) fn known_failure(error: &(dyn StdError + 'static)) -> Option<Failure> {
    if let Some(told) = error.downcast_ref::<Told<legacy::Error>>() {
        return Some(told.failure);
    }
    // Below anything but our own client's error, another client's: it may have made other exchanges before.
    let kind_of = |failure: Failure| Failure::unknown(failure.kind());
    if let Some(error) = error.downcast_ref::<legacy::Error>() {
        return Some(kind_of(error.failure()));
    }
    if let Some(error) = error.downcast_ref::<ConnectError>() {
        return Some(kind_of(error.failure()));
    }
    // Without hyper-util's error around it, whose request it speaks of is unknown: only the kind is used. It ends the
    // search, as what is below may be a failed body's.
    error.downcast_ref::<hyper::Error>().map(TransportError::failure)
}
