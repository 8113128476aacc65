//! What the errors of reqwest prove.
//!
//! Every claim here is about reqwest 0.13.5, read from its sources, and rests on what `edge::hyper_util` knows of hyper,
//! which reqwest is made of. As there, only the error of this exchange is looked at: reqwest's own `is_connect` and the
//! like search the whole chain, below which may be the error of a body that streams from another exchange.

use std::error::Error as StdError;
use std::{fmt, io};

use hyper_util::client::legacy;

use crate::edge::hyper_util::{finds, is_remote_go_away};
use crate::edge::told::Told;
use crate::vocab::certainty::Certainty;
use crate::vocab::tracked::SendProof;
use crate::vocab::transport_error::{Failure, FailureKind, TransportError};

/// Why a [`Client`](super::Client) has no response.
///
/// What it means for the request is told by its [`TransportError::failure`].
#[derive(Debug)]
pub struct ClientError {
    told: Told<Cause>,
}

#[derive(Debug)]
enum Cause {
    Failed(::reqwest::Error),
    /// The client followed a redirect, which it must not.
    Redirected,
}

impl ClientError {
    /// `ours`: whether the client can have made no other exchange before. `proof`: whether the content of the request
    /// was pulled; `None` if it has none.
    #[cold]
    pub(super) fn new(error: ::reqwest::Error, ours: bool, proof: Option<&SendProof>) -> Self {
        let told = of_last_exchange(&error);
        let unsent = || proof.is_some_and(SendProof::claim_unsent);
        // Of an exchange that was not the first, nothing follows for the first; of content that was never pulled, it does.
        let proven = told.certainty() == Certainty::NotSent && (ours || unsent());
        let failure = if proven {
            told
        } else if ours && proof.is_some() && hyper_error(&error).is_some_and(is_remote_go_away) {
            Failure::handed_back(told.kind())
        } else if unsent() {
            Failure::not_sent(told.kind())
        } else {
            Failure::unknown(told.kind())
        };
        Self::told(failure, Cause::Failed(error.without_url()))
    }

    /// It could not be made a request of reqwest's.
    #[cold]
    pub(super) fn unsent(error: ::reqwest::Error) -> Self {
        Self::told(Failure::not_sent(FailureKind::Other), Cause::Failed(error.without_url()))
    }

    /// An answer has come, but from elsewhere.
    #[cold]
    pub(super) const fn redirected() -> Self {
        Self::told(Failure::unknown(FailureKind::Protocol), Cause::Redirected)
    }

    const fn told(failure: Failure, error: Cause) -> Self {
        Self { told: Told { failure, error } }
    }

    /// The error of reqwest, without the URL; `None` if the client followed a redirect.
    #[must_use]
    pub const fn get_ref(&self) -> Option<&::reqwest::Error> {
        match &self.told.error {
            Cause::Failed(error) => Some(error),
            Cause::Redirected => None,
        }
    }

    /// Whether the client followed a redirect, so that the answer, which is lost, was not to this request.
    #[must_use]
    pub const fn is_redirected(&self) -> bool {
        matches!(self.told.error, Cause::Redirected)
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

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => fmt::Display::fmt(error, f),
            Self::Redirected => f.write_str("the client followed a redirect: turn that off"),
        }
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::Redirected => None,
        }
    }
}

/// The error of a response body, or of a client that this crate knows nothing of: nothing is proven by it.
impl TransportError for ::reqwest::Error {
    fn failure(&self) -> Failure {
        Failure::unknown(of_last_exchange(self).kind())
    }

    fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self)
    }
}

/// reqwest puts hyper-util's error right below its own (reqwest `HyperService::call`).
fn hyper_error(error: &::reqwest::Error) -> Option<&legacy::Error> {
    error.source()?.downcast_ref()
}

/// What is told of the exchange that was made last.
fn of_last_exchange(error: &::reqwest::Error) -> Failure {
    if let Some(hyper) = hyper_error(error) {
        return match hyper.failure() {
            // The kind is a label only, and may be looked for in all of the chain.
            told if hyper.is_connect() => Failure::not_sent(connect_kind(error, told.kind())),
            told => told,
        };
    }
    // Made before there is anything to send (reqwest `Client::execute_request`), or of a redirect.
    if error.is_builder() {
        return Failure::not_sent(FailureKind::Other);
    }
    Failure::unknown(if error.is_timeout() {
        FailureKind::Timeout
    } else if error.is_redirect() {
        FailureKind::Protocol
    } else if error.is_body() || error.is_request() {
        FailureKind::Reset
    } else {
        FailureKind::Other
    })
}

fn connect_kind(error: &::reqwest::Error, otherwise: FailureKind) -> FailureKind {
    if error.is_dns() {
        FailureKind::Dns
    } else if error.is_timeout() {
        FailureKind::ConnectTimeout
    } else if finds::<rustls::Error>(error) {
        FailureKind::Tls
    } else if finds::<io::Error>(error) {
        FailureKind::Tcp
    } else {
        otherwise
    }
}

/// What is known about one link of an error chain. The caller stops at the first that is known.
pub(crate) fn known_failure(error: &(dyn StdError + 'static)) -> Option<Failure> {
    if let Some(told) = error.downcast_ref::<Told<Cause>>() {
        return Some(told.failure);
    }
    error.downcast_ref::<::reqwest::Error>().map(TransportError::failure)
}
