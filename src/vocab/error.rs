//! The error of a call that got no response.

use std::{error::Error as StdError, fmt, time::Duration};

use super::{
    Advice, AttemptTimedOut, Certainty, Failure, FailureKind, IdempotencyKey, Outcome, Refusal, Refused,
    Report, ReportHandle, RequestId, TransportError,
};

/// An error of any type, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// No response was obtained. Everything that Stripe answered, 4xx and 5xx included, is a response, and not this.
///
/// The question to ask of it is [`advice`](Self::advice): it knows whether money may have moved, and what to do with
/// the key.
///
/// ```
/// use tower_stripe::{Advice, Error};
///
/// fn handle(error: &Error) -> &'static str {
///     match error.advice() {
///         Advice::Done => "nothing to do",
///         Advice::SameKey => "put it into the queue, with error.idempotency_key()",
///         Advice::NewKey | Advice::Resend => "nothing was executed: try again as you like",
///         Advice::Reconcile => "look it up by your own id before doing anything",
///     }
/// }
/// ```
pub struct Error<E = BoxError>(Box<Inner<E>>);

struct Inner<E> {
    kind: Kind<E>,
    report: Option<ReportHandle>,
}

enum Kind<E> {
    Refused(Refusal),
    TimedOut(AttemptTimedOut),
    Transport(E),
}

impl<E> Error<E> {
    #[cold]
    fn from_kind(kind: Kind<E>) -> Self {
        Self(Box::new(Inner { kind, report: None }))
    }

    /// An error of the client.
    #[cold]
    #[must_use]
    pub fn transport(error: E) -> Self {
        Self::from_kind(Kind::Transport(error))
    }

    /// The same error with the report of its call, which is what most answers below come from.
    #[must_use]
    pub fn with_report(mut self, report: ReportHandle) -> Self {
        self.0.report = Some(report);
        self
    }

    /// The whole account of the call.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        self.0.report.as_ref().map(ReportHandle::report)
    }

    /// The idempotency key in force: the one to come back with, or to look the call up by.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<IdempotencyKey> {
        self.report()?.idempotency_key().cloned()
    }

    /// Stripe's id of the last attempt that got one.
    #[must_use]
    pub fn request_id(&self) -> Option<RequestId> {
        self.report()?.request_ids().last().cloned()
    }

    /// How many attempts were made on the wire.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.report.as_ref().map_or(0, ReportHandle::attempts_made)
    }

    /// When it may be worth trying again, if somebody said so.
    #[must_use]
    pub fn retry_in(&self) -> Option<Duration> {
        match self.report() {
            Some(report) => report.retry_in(),
            None => self.refusal().and_then(Refusal::retry_in),
        }
    }

    /// Whether the stack itself refused the last attempt, before sending it. An earlier attempt may have been sent all
    /// the same: ask [`certainty`](Self::certainty).
    ///
    /// ```
    /// use tower_stripe::{Error, Refusal, vocab::Refused};
    ///
    /// let error: Error = Refused::from(Refusal::ConflictingKeys).into();
    /// assert!(error.is_refused() && !error.is_timeout());
    /// ```
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        matches!(self.0.kind, Kind::Refused(_))
    }

    /// Whether the last attempt got no answer within its time limit.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_stripe::{Error, vocab::AttemptTimedOut};
    ///
    /// let error: Error = AttemptTimedOut::after(Duration::from_secs(30)).into();
    /// assert!(error.is_timeout());
    /// ```
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self.0.kind, Kind::TimedOut(_))
    }

    /// Whether the client failed.
    ///
    /// ```
    /// use tower_stripe::Error;
    ///
    /// let error: Error = Error::transport("connection reset".into());
    /// assert!(error.is_transport());
    /// ```
    #[must_use]
    pub const fn is_transport(&self) -> bool {
        matches!(self.0.kind, Kind::Transport(_))
    }

    /// The refusal, if it is one.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        match &self.0.kind {
            Kind::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The client's error, if it is one.
    #[must_use]
    pub const fn transport_error(&self) -> Option<&E> {
        match &self.0.kind {
            Kind::Transport(error) => Some(error),
            _ => None,
        }
    }

    /// The same error with the client's boxed, so that its type need not be named.
    #[must_use]
    pub fn boxed(self) -> Error
    where
        E: Into<BoxError>,
    {
        let Inner { kind, report } = *self.0;
        let kind = match kind {
            Kind::Refused(refusal) => Kind::Refused(refusal),
            Kind::TimedOut(timeout) => Kind::TimedOut(timeout),
            Kind::Transport(error) => Kind::Transport(error.into()),
        };
        Error(Box::new(Inner { kind, report }))
    }

    /// The client's error, if it is one.
    #[must_use]
    pub fn into_transport(self) -> Option<E> {
        match self.0.kind {
            Kind::Transport(error) => Some(error),
            _ => None,
        }
    }
}

impl<E: TransportError> Error<E> {
    /// Whether Stripe has executed the call, all attempts considered.
    #[must_use]
    pub fn certainty(&self) -> Certainty {
        match &self.0.report {
            Some(report) => report.certainty(),
            None => self.failure().certainty(),
        }
    }

    /// What to do with the idempotency key now. Without a report nothing is known of the key, and unless the request
    /// provably never left, the advice is to look the call up.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match (self.report(), self.failure().certainty()) {
            (Some(report), _) => report.advice(),
            (None, Certainty::NotSent) => Advice::SameKey,
            (None, _) => Advice::Reconcile,
        }
    }

    /// What the last attempt came to.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match &self.0.kind {
            Kind::Refused(_) => Outcome::Refused,
            Kind::TimedOut(_) => Outcome::Transport(FailureKind::Timeout),
            Kind::Transport(error) => Outcome::Transport(error.failure().kind()),
        }
    }
}

impl<E> From<Refused> for Error<E> {
    fn from(refused: Refused) -> Self {
        let (refusal, report) = refused.into_parts();
        let mut error = Self::from_kind(Kind::Refused(refusal));
        error.0.report = report;
        error
    }
}

impl<E> From<AttemptTimedOut> for Error<E> {
    fn from(timeout: AttemptTimedOut) -> Self {
        Self::from_kind(Kind::TimedOut(timeout))
    }
}

impl<E: TransportError> TransportError for Error<E> {
    fn failure(&self) -> Failure {
        match &self.0.kind {
            Kind::Refused(_) => Failure::not_sent(FailureKind::Other),
            Kind::TimedOut(timeout) => timeout.failure(),
            Kind::Transport(error) => error.failure(),
        }
    }

    fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source()
    }
}

/// Says what happened, whether money may have moved, and which request to ask Stripe about; never the key, a header, or
/// a body. What the client said is the [`source`](StdError::source); where the client's error is boxed, that hides its
/// outermost type, and [`transport_error`](Error::transport_error) has it.
impl<E: TransportError> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            Kind::Refused(refusal) => fmt::Display::fmt(refusal, f)?,
            Kind::TimedOut(timeout) => fmt::Display::fmt(timeout, f)?,
            Kind::Transport(error) => write!(f, "no response from stripe ({})", error.failure().kind())?,
        }
        f.write_str(match self.certainty() {
            Certainty::NotSent => "; nothing was sent",
            Certainty::Rejected => "; stripe executed nothing",
            Certainty::Executed => "; stripe has executed the call",
            Certainty::Unknown => "; stripe may have executed the call",
        })?;
        match self.attempts() {
            0 | 1 => {}
            attempts => write!(f, ", in {attempts} attempts")?,
        }
        match self.request_id() {
            Some(id) => write!(f, " (last answer: {id})"),
            None => Ok(()),
        }
    }
}

impl<E: TransportError> fmt::Debug for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("outcome", &self.outcome())
            .field("certainty", &self.certainty())
            .field("advice", &self.advice())
            .field("attempts", &self.attempts())
            .field("request_id", &self.request_id())
            .finish_non_exhaustive()
    }
}

impl<E: TransportError> StdError for Error<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.kind {
            // What these say is said already.
            Kind::Refused(_) | Kind::TimedOut(_) => None,
            Kind::Transport(error) => error.as_source(),
        }
    }
}
