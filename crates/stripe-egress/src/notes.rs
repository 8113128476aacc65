//! What the admin pages show of calls: how many there were, and the last ones.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use http::{Method, StatusCode};
use tower_stripe::{Advice, Certainty, Operation, Report, vocab::RequestId, vocab::time::now};

use crate::lock::Lock;

/// How many of the last calls are kept, of those that Stripe answered, and as many of the others: what is refused while a
/// circuit is open must not take the last request ids away.
const LAST: usize = 20;

/// A call that has ended, as far as it may be shown: no key, no header, no body, and of its path only the template.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) operation: Operation,
    /// Stripe's, if it answered.
    pub(crate) status: Option<StatusCode>,
    /// The code of the sidecar's own answer. With neither, nobody waited for one any more.
    pub(crate) code: Option<&'static str>,
    pub(crate) certainty: Certainty,
    pub(crate) advice: Advice,
    pub(crate) attempts: u32,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) ended: Instant,
}

/// How many calls came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    /// Answered by the sidecar in Stripe's place.
    pub(crate) refused: u64,
    /// Those that can move something, and may have been executed.
    pub(crate) unknown: u64,
    /// Whose callers went away.
    pub(crate) gone: u64,
}

#[derive(Debug)]
pub(crate) struct Notes {
    calls: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    gone: AtomicU64,
    answered: Lock<VecDeque<Note>>,
    unanswered: Lock<VecDeque<Note>>,
}

impl Notes {
    pub(crate) const fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            answered: Lock::new(VecDeque::new()),
            unanswered: Lock::new(VecDeque::new()),
        }
    }

    pub(crate) fn began(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// A call was answered before the stack saw it.
    pub(crate) fn turned_away(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A call has ended with an answer, or with a `code` of the sidecar's own, or with neither where its caller has gone.
    pub(crate) fn ended(
        &self,
        method: &Method,
        operation: Operation,
        report: &Report,
        status: Option<StatusCode>,
        code: Option<&'static str>,
    ) {
        let note = Note {
            operation,
            status,
            code,
            certainty: report.certainty(),
            advice: report.advice(),
            attempts: report.attempts_made(),
            request_id: report.request_ids().last().cloned(),
            ended: now(),
        };
        let gone = status.is_none() && code.is_none();
        if gone {
            self.gone.fetch_add(1, Ordering::Relaxed);
        }
        if code.is_some() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        // A read moves nothing, whatever became of it; and a payment whose client has gone goes on.
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let goes_on = gone && operation.is_money();
        if note.certainty == Certainty::Unknown && !is_read && !goes_on {
            self.unknown.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                operation = operation.name(),
                advice = note.advice.as_str(),
                attempts = note.attempts,
                request_id = note.request_id.as_ref().map(RequestId::as_str),
                "a call may have been executed, and its answer is not known"
            );
        }
        let last = if status.is_some() { &self.answered } else { &self.unanswered };
        last.with(|last| {
            last.truncate(LAST - 1);
            last.push_front(note);
        });
    }

    pub(crate) fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            calls: read(&self.calls),
            refused: read(&self.refused),
            unknown: read(&self.unknown),
            gone: read(&self.gone),
        }
    }

    /// The last calls that Stripe answered, the latest first.
    pub(crate) fn answered(&self) -> Vec<Note> {
        self.answered.with(|last| last.iter().cloned().collect())
    }

    /// The last calls that it did not, the latest first.
    pub(crate) fn unanswered(&self) -> Vec<Note> {
        self.unanswered.with(|last| last.iter().cloned().collect())
    }
}
