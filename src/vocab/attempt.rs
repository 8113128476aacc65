//! The account of one attempt.

#[cfg(feature = "telemetry")]
use std::fmt;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode, header::HeaderName};

use super::{
    CallKind, Certainty, Failure, FailureKind, Outcome, Priority, Refusal, RequestId,
    headers::{IDEMPOTENT_REPLAYED, REQUEST_ID, STRIPE_SHOULD_RETRY},
    outcome::is_json,
};

/// One HTTP exchange with Stripe, or one refusal of our own in its place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Why it was made.
    pub purpose: Purpose,
    /// What it came to.
    pub outcome: Outcome,
    /// What that proves about this attempt.
    pub certainty: Certainty,
    /// The status of the response, if there was one.
    pub status: Option<StatusCode>,
    /// Stripe's id of it.
    pub request_id: Option<RequestId>,
    /// Whether the answer was the stored one of an earlier request with this key (`Idempotent-Replayed: true`).
    pub replayed: bool,
    /// Stripe's id of that earlier request.
    pub original_request: Option<RequestId>,
    /// What Stripe said about sending it again (`Stripe-Should-Retry`).
    pub should_retry: Option<bool>,
    /// Whether the client is sure that it never left, and may be sent again at once.
    pub resend: bool,
    /// Whether the answer is Stripe's own, and not of something in between: JSON with a `Request-Id`, or an error body
    /// that was understood.
    pub genuine: bool,
    /// Whether there is another API key now than the one that Stripe did not accept, as after a rotation.
    pub newer_api_key: bool,
    /// Whether the body of a success broke off before it was read, in the buffered mode of `classify`.
    pub body_lost: bool,
    /// Why the stack itself refused to send it, if it did.
    pub refusal: Option<Refusal>,
    /// How long it waited to be admitted: for its turn under the rate limits.
    pub queued: Duration,
    /// When it began, after that.
    pub began: Instant,
    /// How long it took, up to the response head and an error body.
    pub took: Duration,
    pub(super) admission: Admission,
    /// As what it was admitted, where something lets attempts wait by priority.
    pub(super) priority: Option<Priority>,
    #[cfg(feature = "telemetry")]
    pub(super) words: Words,
}

/// Stripe's words for what went wrong, as far as this version knows them: fit for labels. Shown to nobody here, since
/// some of them must not be told to the payer.
#[cfg(feature = "telemetry")]
#[derive(Clone, Copy, Default)]
pub(crate) struct Words {
    /// The error code.
    pub(crate) code: Option<Word>,
    /// The decline code.
    pub(crate) decline: Option<Word>,
}

/// A word of a table, and its place there.
#[cfg(feature = "telemetry")]
#[derive(Clone, Copy)]
pub(crate) struct Word {
    pub(crate) index: u16,
    pub(crate) text: &'static str,
}

#[cfg(feature = "telemetry")]
impl Word {
    /// No table is longer.
    pub(crate) const MAX: usize = 512;

    /// For what no table has.
    #[cfg(feature = "classify")]
    pub(crate) const OTHER: Self = Self { index: Self::MAX as u16 - 1, text: "other" };
}

#[cfg(feature = "telemetry")]
impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").finish_non_exhaustive()
    }
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// No gate has said anything: it must be presumed to be on its way.
    Unasked,
    /// A gate holds it back: nothing was sent.
    Held,
    /// It was let go.
    Admitted,
}

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// The first one.
    #[default]
    First,
    /// A retry.
    Retry,
    /// A look whether the request that holds the key has ended.
    Poll,
    /// The same request again, because it provably never left.
    Resend,
    /// The same request again under another API key, because Stripe did not accept the first one.
    Rotated,
}

impl Purpose {
    /// The word for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Retry => "retry",
            Self::Poll => "poll",
            Self::Resend => "resend",
            Self::Rotated => "rotated",
        }
    }
}

impl Attempt {
    /// An attempt that began at `now` and of which nothing is known yet; should it end like this, the caller left.
    pub(super) const fn begun(purpose: Purpose, now: Instant) -> Self {
        Self {
            purpose,
            outcome: Outcome::Cancelled,
            certainty: Certainty::Unknown,
            status: None,
            request_id: None,
            replayed: false,
            original_request: None,
            should_retry: None,
            resend: false,
            genuine: false,
            newer_api_key: false,
            body_lost: false,
            refusal: None,
            queued: Duration::ZERO,
            began: now,
            took: Duration::ZERO,
            admission: Admission::Unasked,
            priority: None,
            #[cfg(feature = "telemetry")]
            words: Words { code: None, decline: None },
        }
    }

    /// Whether it was meant for the wire, and neither refused by the stack itself nor given up before its turn.
    #[must_use]
    pub const fn on_the_wire(&self) -> bool {
        !matches!(self.outcome, Outcome::Refused) && !matches!(self.admission, Admission::Held)
    }

    /// As what it was admitted, where something lets attempts wait by priority.
    #[cfg(feature = "telemetry")]
    pub(crate) const fn admitted_as(&self) -> Option<Priority> {
        self.priority
    }

    /// Stripe's words for what went wrong.
    #[cfg(feature = "telemetry")]
    pub(crate) const fn words(&self) -> Words {
        self.words
    }

    /// Takes in a response head.
    pub(super) fn answered(&mut self, kind: CallKind, status: StatusCode, headers: &HeaderMap) {
        let exactly = |name: HeaderName| said(headers, &name);
        (self.outcome, self.certainty) = Outcome::of_head(kind, status, headers);
        self.status = Some(status);
        self.genuine = is_stripes(headers);
        self.replayed = exactly(IDEMPOTENT_REPLAYED) == Some(b"true");
        // Exactly these two words: anything else was not written by Stripe.
        self.should_retry = match exactly(STRIPE_SHOULD_RETRY) {
            Some(b"true") => Some(true),
            Some(b"false") => Some(false),
            _ => None,
        };
    }

    /// Takes in what the error body says, after the head.
    pub(super) fn refined(&mut self, code: Option<&str>, error_type: Option<&str>) {
        (self.outcome, self.certainty) = self.outcome.refined(self.certainty, code, error_type);
        self.genuine = true;
    }

    /// Takes in a failure. A head that came before it stands: the head decides, and only the body was lost.
    pub(super) const fn failed(&mut self, failure: Failure) {
        if self.status.is_some() {
            self.body_lost = true;
        } else if matches!(self.admission, Admission::Held) {
            // Whatever failed, it was not this.
            self.outcome = Outcome::Transport(failure.kind());
        } else if self.on_the_wire() {
            self.outcome = Outcome::Transport(failure.kind());
            self.certainty = failure.certainty();
            self.resend = failure.resend();
        }
    }

    /// A gate holds it back, the only request there is of it.
    pub(super) const fn held(&mut self) {
        if self.is_unheard() {
            self.admission = Admission::Held;
            self.certainty = Certainty::NotSent;
        }
    }

    /// Whether a gate holds it back.
    pub(super) const fn is_held(&self) -> bool {
        matches!(self.admission, Admission::Held) && self.is_unheard()
    }

    /// There was more than one request of it. Whatever this answer, failure or refusal proves, it proves of one of them.
    pub(super) const fn tainted(&mut self) {
        if matches!(self.certainty, Certainty::Executed) {
            return;
        }
        if !self.on_the_wire() {
            self.outcome = Outcome::Transport(FailureKind::Other);
            self.admission = Admission::Admitted;
        }
        self.certainty = Certainty::Unknown;
    }

    /// It was let go: it begins now.
    pub(super) fn admitted(&mut self, priority: Option<Priority>, now: Instant) {
        if self.admission == Admission::Held {
            self.certainty = Certainty::Unknown;
        }
        self.admission = Admission::Admitted;
        self.priority = priority.or(self.priority);
        self.queued += now.saturating_duration_since(self.began);
        self.began = now;
    }

    /// Takes in a refusal of our own.
    pub(super) fn refused(&mut self, refusal: Refusal) {
        self.outcome = Outcome::Refused;
        self.certainty = Certainty::NotSent;
        self.refusal = Some(refusal);
    }

    /// Whether nothing was ever said about how it ended.
    pub(super) const fn is_unheard(&self) -> bool {
        matches!(self.outcome, Outcome::Cancelled)
    }

    /// The inner service returned an error of which nothing is known.
    pub(super) const fn lost(&mut self) {
        self.outcome = Outcome::Transport(FailureKind::Other);
    }
}

/// Whether a head is Stripe's beyond doubt: a proxy's page has no `Request-Id`, and what a proxy passes on of one is
/// not JSON.
fn is_stripes(headers: &HeaderMap) -> bool {
    headers.contains_key(REQUEST_ID) && is_json(headers)
}

/// What a header says, if all its lines say the same: of lines that contradict each other, Stripe wrote one at most.
fn said<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    lines.all(|line| line == first).then(|| first.as_bytes())
}
