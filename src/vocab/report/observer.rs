//! Who hears how a call goes, while it does.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode};

use super::{account::Stop, recorder::Recorder, state::State};
use crate::vocab::{
    Attempt, CallKind, Certainty, IdempotencyKey, Operation, Outcome, Refusal, Refused, RequestId,
    headers::STRIPE_NOTICE,
};

/// Hears of each attempt when it ends, for whoever counts them: a report keeps only some of them.
///
/// It is called without any lock, by the task of the call.
pub(crate) trait Observer: Send + Sync {
    /// An attempt has ended, or was refused; `before` is what the one before it came to.
    fn attempt(&self, operation: Operation, attempt: &Attempt, before: Option<Outcome>);

    /// The call was refused while no attempt was open.
    fn refused(&self, operation: Operation, refusal: &Refusal);

    /// Stripe has something to tell whoever maintains the integration.
    fn noticed(&self, notice: &HeaderValue);
}

/// What is to be said of a call at its end.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) kind: Option<CallKind>,
    /// What the last attempt came to, if the call was not refused after it.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) replayed: bool,
    /// What the attempts up to now prove, whatever may follow: within a layer that retries, more may.
    pub(crate) certainty: Certainty,
    pub(crate) attempts: u32,
    pub(crate) stopped: Option<Stop>,
    /// What left it open whether it was executed.
    pub(crate) doubt: Option<Outcome>,
    /// What Stripe has bound the key to: an execution, or a rejection that it will repeat.
    pub(crate) bound: Option<Certainty>,
    pub(crate) key: Option<IdempotencyKey>,
    /// Whether it was dropped in the middle of an attempt, and if so, whether that was on its way.
    pub(crate) cut: Option<bool>,
}

impl Recorder {
    /// The one that writes the account of a call that was refused.
    pub(crate) fn of_refused(refused: &Refused) -> Self {
        refused.report().map(Self::over).unwrap_or_default()
    }

    /// Lets `observer` hear of the call. Of several, as of one transport within another, only the outermost does:
    /// `false` if that is another one.
    pub(crate) fn observe(&self, observer: Arc<dyn Observer>) -> bool {
        let outermost = self.shared().observer.get_or_init(|| Arc::clone(&observer));
        Arc::ptr_eq(outermost, &observer)
    }

    pub(super) fn tell(&self, tell: impl FnOnce(&dyn Observer, Operation)) {
        let shared = self.shared();
        if let (Some(observer), Some(operation)) = (shared.observer.get(), shared.operation.get()) {
            tell(&**observer, *operation);
        }
    }

    /// Looks for a notice in an answer.
    pub(super) fn look_for_notice(&self, headers: &HeaderMap) {
        self.tell(|observer, _| {
            if let Some(notice) = headers.get(STRIPE_NOTICE) {
                observer.noticed(notice);
            }
        });
    }

    pub(crate) fn summary(&self) -> Summary {
        self.shared().state.with(|state| state.summary())
    }
}

impl State {
    /// What the open attempt, which an outer layer will close, has come to, if that leaves it open.
    fn open_doubt(&self) -> Option<Outcome> {
        self.current.as_ref().filter(|open| open.certainty == Certainty::Unknown).map(|open| open.outcome)
    }

    fn summary(&self) -> Summary {
        let latest = self.latest();
        let standing = self.standing_now();
        Summary {
            kind: self.kind,
            outcome: if self.refusal.is_some() { None } else { latest.map(|attempt| attempt.outcome) },
            refusal: self.refusal.clone().or_else(|| latest?.refusal.clone()),
            status: latest.and_then(|attempt| attempt.status),
            request_id: latest.and_then(|attempt| attempt.request_id.clone()),
            replayed: latest.is_some_and(|attempt| attempt.replayed),
            certainty: if self.mistaken { Certainty::Unknown } else { standing.certainty() },
            attempts: self.made_now(),
            stopped: self.stopped,
            doubt: self.open_doubt().or(self.doubt),
            bound: standing.bound(),
            key: self.key(),
            cut: self.cut,
        }
    }
}
