//! The error of a call that did not bring what it was made for.

use std::{error::Error as StdError, fmt, time::Duration};

use http::StatusCode;
use miniserde::json;
use stripe_client_core::StripeClientErr;
use stripe_shared::{ApiErrors, ApiErrorsCode};
use tower_stripe::{
    Advice, BoxError, Certainty, IdempotencyKey, Refusal, Report, ReportHandle,
    classify::StripeError,
    vocab::{Refused, RequestId},
};

/// A call did not bring what it was made for: Stripe answered with an error, nobody answered, or the answer cannot be
/// read.
///
/// Two questions are worth asking. *What does Stripe say?* is [`api_error`](Self::api_error), async-stripe's own type,
/// with the [`status`](Self::status). *What to do now?* is [`advice`](Self::advice), which knows whether money may have
/// moved.
///
/// ```
/// use stripe_shared::ApiErrorsCode;
/// use tower_stripe_async_stripe::Error;
///
/// fn tell(error: &Error) -> String {
///     match error.api_error() {
///         Some(api) if api.code == Some(ApiErrorsCode::CardDeclined) => "the card was declined".to_owned(),
///         _ => format!("{error}; {}", error.advice()),
///     }
/// }
/// ```
///
/// Neither `Display` nor `Debug` shows a text of Stripe's, which may quote what was sent. `ApiErrors` itself does.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    report: Option<ReportHandle>,
}

enum Kind {
    Invalid(InvalidRequest),
    NoResponse(tower_stripe::Error),
    /// Everything but a success of Stripe's.
    Answered {
        status: StatusCode,
        api: Option<Box<ApiErrors>>,
        stripe: Option<Box<StripeError>>,
    },
    BrokenOff {
        status: StatusCode,
        why: BoxError,
    },
    /// A success with a body that async-stripe cannot read.
    Unexpected,
}

impl Error {
    #[cold]
    fn new(kind: Kind, report: Option<ReportHandle>) -> Self {
        Self(Box::new(Inner { kind, report }))
    }

    #[cold]
    pub(crate) fn refused(refusal: Refusal) -> Self {
        tower_stripe::Error::from(Refused::from(refusal)).into()
    }

    #[cold]
    pub(crate) fn broken_off(status: StatusCode, why: BoxError, report: Option<ReportHandle>) -> Self {
        Self::new(Kind::BrokenOff { status, why }, report)
    }

    #[cold]
    pub(crate) fn answered(
        status: StatusCode,
        body: &[u8],
        stripe: Option<StripeError>,
        report: Option<ReportHandle>,
    ) -> Self {
        let text = std::str::from_utf8(body).unwrap_or_default();
        let api = json::from_str(text).ok().map(|body: stripe_shared::Error| body.error);
        Self::new(Kind::Answered { status, api, stripe: stripe.map(Box::new) }, report)
    }

    /// Stripe's error, as async-stripe reads it; `None` if there was no answer, or one that it cannot read.
    #[must_use]
    pub fn api_error(&self) -> Option<&ApiErrors> {
        match &self.0.kind {
            Kind::Answered { api, .. } => api.as_deref(),
            _ => None,
        }
    }

    /// Stripe's error, as `tower-stripe` reads it: it knows what a [decline](StripeError::decline) means, and what may be
    /// said of it to whom; and it reads what async-stripe does not, such as an error around an object of a newer API
    /// version.
    #[must_use]
    pub fn stripe_error(&self) -> Option<&StripeError> {
        match &self.0.kind {
            Kind::Answered { stripe, .. } => stripe.as_deref(),
            _ => None,
        }
    }

    /// The status of the answer, if there was one and it is known here.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        match &self.0.kind {
            Kind::Answered { status, .. } | Kind::BrokenOff { status, .. } => Some(*status),
            Kind::Invalid(_) | Kind::NoResponse(_) | Kind::Unexpected => None,
        }
    }

    /// The transport's error, if there was no answer: a refusal, a timeout, or a failure of the HTTP client.
    #[must_use]
    pub const fn no_response(&self) -> Option<&tower_stripe::Error> {
        match &self.0.kind {
            Kind::NoResponse(error) => Some(error),
            _ => None,
        }
    }

    /// Why the request cannot be sent, if that is so.
    #[must_use]
    pub const fn invalid_request(&self) -> Option<InvalidRequest> {
        match &self.0.kind {
            Kind::Invalid(why) => Some(*why),
            _ => None,
        }
    }

    /// Whether there was an answer that cannot be read: it broke off, is no error of Stripe's, or is a success that is
    /// not what async-stripe expects of this call. The call may have been executed all the same: ask
    /// [`certainty`](Self::certainty).
    ///
    /// ```
    /// use stripe_client_core::StripeClientErr;
    /// use tower_stripe::{Advice, Certainty};
    /// use tower_stripe_async_stripe::Error;
    ///
    /// // As async-stripe makes it of a success that it cannot read.
    /// let error = Error::deserialize_err("not a customer");
    /// assert!(error.is_unreadable());
    /// assert_eq!((error.certainty(), error.advice()), (Certainty::Executed, Advice::Done));
    /// ```
    #[must_use]
    pub const fn is_unreadable(&self) -> bool {
        matches!(&self.0.kind, Kind::Answered { api: None, .. } | Kind::BrokenOff { .. } | Kind::Unexpected)
    }

    /// Whether Stripe has executed the call, all attempts considered.
    #[must_use]
    pub fn certainty(&self) -> Certainty {
        match (&self.0.kind, &self.0.report) {
            (Kind::NoResponse(error), _) => error.certainty(),
            (Kind::Invalid(_), _) => Certainty::NotSent,
            // async-stripe looks only at bodies that `answer::read` passed on.
            (Kind::Unexpected, _) => Certainty::Executed,
            (_, Some(report)) => report.certainty(),
            (_, None) => Certainty::Unknown,
        }
    }

    /// What to do with the idempotency key now.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match (&self.0.kind, &self.0.report) {
            (Kind::NoResponse(error), _) => error.advice(),
            // Nothing is known of the key's past.
            (Kind::Invalid(_), _) => Advice::SameKey,
            (Kind::Unexpected, _) => Advice::Done,
            (_, Some(report)) => report.report().advice(),
            (_, None) => Advice::Reconcile,
        }
    }

    /// The whole account of the call. An answer that async-stripe cannot read has none here, since its trait hands no
    /// call on: give the call a [`ReportHandle`] where that matters.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        match &self.0.kind {
            Kind::NoResponse(error) => error.report(),
            _ => self.0.report.as_ref().map(ReportHandle::report),
        }
    }

    /// Stripe's id of the last attempt that got one.
    #[must_use]
    pub fn request_id(&self) -> Option<RequestId> {
        self.report()?.request_ids().last().cloned()
    }

    /// The idempotency key in force: the one to come back with, or to look the call up by.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<IdempotencyKey> {
        self.report()?.idempotency_key().cloned()
    }

    /// How many attempts were made on the wire.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.report().map_or(0, |report| report.attempts_made())
    }

    /// When it may be worth trying again, if somebody said so.
    #[must_use]
    pub fn retry_in(&self) -> Option<Duration> {
        match &self.0.kind {
            Kind::NoResponse(error) => error.retry_in(),
            _ => self.report()?.retry_in(),
        }
    }

    /// What of the error's own words may be printed: those of closed sets.
    fn code(&self) -> Option<&str> {
        if let Some(decline) = self.stripe_error().and_then(StripeError::decline) {
            return Some(decline.as_str());
        }
        self.api_error()?
            .code
            .as_ref()
            .filter(|code| !matches!(code, ApiErrorsCode::Unknown(_)))
            .map(|code| code.as_str())
    }
}

impl From<tower_stripe::Error> for Error {
    fn from(error: tower_stripe::Error) -> Self {
        Self::new(Kind::NoResponse(error), None)
    }
}

impl From<InvalidRequest> for Error {
    fn from(why: InvalidRequest) -> Self {
        Self::new(Kind::Invalid(why), None)
    }
}

/// How async-stripe says that a success is not what it expected. Its message is not kept: it says no more than that.
impl StripeClientErr for Error {
    fn deserialize_err(_: impl fmt::Display) -> Self {
        Self::new(Kind::Unexpected, None)
    }
}

/// Says what happened, whether money may have moved, and which request to ask Stripe about; never a key, and nothing
/// that Stripe wrote but codes, with those masked that a payer must not see.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            // It says the rest, too.
            Kind::NoResponse(error) => return fmt::Display::fmt(error, f),
            Kind::Invalid(why) => fmt::Display::fmt(why, f)?,
            Kind::Answered { status, api: Some(_), .. } => {
                write!(f, "stripe answered {}", status.as_u16())?;
                if let Some(code) = self.code() {
                    write!(f, " ({code})")?;
                }
            }
            Kind::Answered { status, api: None, .. } if status.is_success() => {
                write!(f, "the answer with status {} is not known to be stripe's", status.as_u16())?;
            }
            Kind::Answered { status, api: None, .. } => {
                write!(f, "the answer with status {} cannot be read", status.as_u16())?;
            }
            Kind::BrokenOff { status, .. } => {
                write!(f, "the answer with status {} broke off", status.as_u16())?;
            }
            Kind::Unexpected => f.write_str("the answer is not what async-stripe expects of this call")?,
        }
        f.write_str(match self.certainty() {
            Certainty::NotSent => "; nothing was sent",
            Certainty::Rejected => "; stripe executed nothing",
            Certainty::Executed => "; stripe has executed the call",
            Certainty::Unknown => "; stripe may have executed the call",
        })?;
        match self.request_id() {
            Some(id) => write!(f, " (last answer: {id})"),
            None => Ok(()),
        }
    }
}

/// Codes only.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        match &self.0.kind {
            Kind::NoResponse(error) => debug.field("no_response", error),
            Kind::Invalid(why) => debug.field("invalid_request", why),
            Kind::Answered { status, stripe, .. } => debug.field("status", status).field("stripe", stripe),
            Kind::BrokenOff { status, .. } => debug.field("broken_off", status),
            Kind::Unexpected => debug.field("unexpected", &true),
        };
        debug
            .field("certainty", &self.certainty())
            .field("advice", &self.advice())
            .field("attempts", &self.attempts())
            .field("request_id", &self.request_id())
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.kind {
            // `Display` has said what these say.
            Kind::Invalid(_) | Kind::Answered { .. } | Kind::Unexpected => None,
            Kind::NoResponse(error) => error.source(),
            Kind::BrokenOff { why, .. } => Some(&**why),
        }
    }
}

/// As async-stripe's own client would put it, for code that returns its error. The report is lost, and with it whether
/// money may have moved: read that first. Unlike this crate's error, async-stripe's prints all that Stripe wrote.
#[cfg(feature = "stripe-error")]
impl From<Error> for stripe::StripeError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error.0.kind {
            Kind::Answered { status, api: Some(api), .. } => Self::Stripe(api, status.as_u16()),
            Kind::Answered { .. } | Kind::Unexpected => Self::JSONDeserialize(text),
            Kind::NoResponse(error) if error.is_timeout() => Self::Timeout,
            Kind::NoResponse(_) | Kind::BrokenOff { .. } => Self::ClientError(text),
            Kind::Invalid(_) => Self::ConfigError(text),
        }
    }
}

/// Why a request cannot be sent. It names the rule and the place, never the value, which may be anybody's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The id of the connected account is empty: the call would be made for the platform itself.
    EmptyAccount,
    /// A character of the account's id is not visible ASCII.
    Account {
        /// Where, counted in bytes from 0.
        position: usize,
    },
    /// The strategy allows no attempt at all.
    NoAttempts,
    /// The path does not begin with a slash, ends within an id (at a `?` or `#`), or makes no URI.
    Path,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyAccount => {
                f.write_str("the account id is empty, so that the call would be the platform's own")
            }
            Self::Account { position } => {
                write!(f, "the account id has a character that is not visible ASCII at position {position}")
            }
            Self::NoAttempts => f.write_str("the request strategy allows 0 attempts, and at least 1 is needed"),
            Self::Path => f.write_str(
                "the path of the request, with the ids in it, must begin with a slash, have neither ? nor #, and make \
                 a URI",
            ),
        }
    }
}

impl StdError for InvalidRequest {}
