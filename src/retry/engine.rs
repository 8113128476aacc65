//! The decision. Pure: no clock, no randomness, no HTTP, no waiting.
//!
//! The facts behind the rules were measured on Stripe's own libraries, or are from Stripe's documentation: its guide to
//! low-level errors, its API reference on idempotent requests, and its guide to rate limits.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use super::{
    backoff::{self, Ladder},
    config::RetryConfig,
};
use crate::vocab::{
    ApiVersion, Attempt, CallKind, Certainty, FailureKind, Outcome, Purpose, RateLimitReason, Refusal, Stop,
    Verb,
};

/// The jitter on top of what a server asks for.
const RETRY_AFTER_JITTER: Duration = Duration::from_millis(500);

/// What is fixed for one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) kind: CallKind,
    pub(super) max_attempts: NonZeroU32,
    /// Whether the body can be had again.
    pub(super) replayable: bool,
    pub(super) deadline: Instant,
    /// How much time an attempt must have.
    pub(super) min_attempt: Duration,
}

/// What has happened in one call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Attempts that count: neither polls nor the one transparent resend.
    attempts: u32,
    polls: u32,
    refusals: u32,
    resent: bool,
    /// Whether it was sent again under another API key.
    rotated: bool,
    /// How often a POST that is not v2 was answered 500.
    stored_failures: u32,
}

impl Progress {
    /// Whether the call may be tried once more after the attempt that begins now.
    pub(super) const fn retry_left(&self, call: &Call, purpose: Purpose) -> bool {
        let uncounted = matches!(purpose, Purpose::Poll | Purpose::Resend | Purpose::Rotated);
        let made = self.attempts.saturating_add(if uncounted { 0 } else { 1 });
        call.replayable && made < call.max_attempts.get()
    }

    /// An attempt begins.
    pub(super) const fn begin(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::First | Purpose::Retry => self.attempts = self.attempts.saturating_add(1),
            Purpose::Poll => self.polls = self.polls.saturating_add(1),
            Purpose::Resend => self.resent = true,
            Purpose::Rotated => self.rotated = true,
        }
    }
}

/// An attempt that has ended, and what is known around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended<'a> {
    pub(super) attempt: &'a Attempt,
    /// How long the server asked to wait.
    pub(super) retry_after: Option<Duration>,
    /// The certainty of the call, this attempt included.
    pub(super) certainty: Certainty,
    pub(super) now: Instant,
}

/// What to do after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Again {
        wait: Duration,
        purpose: Purpose,
        /// Whether it is taken out of the budget.
        costs: bool,
    },
    Stop {
        why: Stop,
        /// When it may be worth coming back, if the server said so.
        retry_in: Option<Duration>,
    },
}

/// What the attempt itself calls for, before any limit is looked at.
enum Wish {
    Stop(Stop),
    Retry(Pace),
    Poll,
    Resend,
    Rotate,
}

enum Pace {
    Ordinary,
    Limiter,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Engine {
    ordinary: Ladder,
    limiter: Ladder,
    max_retry_after: Duration,
}

impl Engine {
    pub(super) const fn new(config: &RetryConfig) -> Self {
        Self { ordinary: config.ordinary, limiter: config.limiter, max_retry_after: config.max_retry_after }
    }

    /// Decides what comes after an attempt. `draw` is a random number.
    pub(super) fn decide(
        &self,
        call: &Call,
        progress: &mut Progress,
        ended: Ended<'_>,
        draw: u64,
    ) -> Decision {
        let Ended { attempt, retry_after, now, .. } = ended;
        let stop = |why| Decision::Stop { why, retry_in: retry_after };
        if attempt.outcome == Outcome::Refused {
            return self.after_refusal(call, progress, ended, draw);
        }
        let (purpose, wait) = match wish(call.kind, progress, attempt) {
            Wish::Stop(why) => return stop(why),
            _ if !call.replayable => return stop(Stop::Body),
            Wish::Resend | Wish::Rotate if now >= call.deadline => return stop(Stop::Deadline),
            Wish::Resend => return at_once(Purpose::Resend),
            Wish::Rotate => return at_once(Purpose::Rotated),
            // Polls are no attempts, and so go on when those are used up; but where none may be repeated, none is.
            Wish::Poll if call.max_attempts == NonZeroU32::MIN => return stop(Stop::Attempts),
            Wish::Poll => (Purpose::Poll, self.ordinary.delay(progress.polls.saturating_add(1), draw)),
            Wish::Retry(_) if progress.attempts >= call.max_attempts.get() => return stop(Stop::Attempts),
            Wish::Retry(Pace::Ordinary) => (Purpose::Retry, self.ordinary.delay(progress.attempts, draw)),
            Wish::Retry(Pace::Limiter) => (Purpose::Retry, self.limiter.delay(progress.attempts, draw)),
        };
        let wait = match retry_after {
            Some(asked) if asked > self.max_retry_after => return stop(Stop::RetryAfter),
            // Never earlier than asked, and not all clients at the moment that all were told.
            Some(asked) => asked.max(wait) + backoff::up_to(RETRY_AFTER_JITTER, draw.rotate_left(32)),
            None => wait,
        };
        if !fits(call, now, wait) {
            return stop(Stop::Deadline);
        }
        Decision::Again { wait, purpose, costs: true }
    }

    /// A refusal of our own costs nothing. It is waited out only if money may have moved: then giving up would leave a
    /// question that one more attempt can answer. One of an API key that has a successor need not be waited out.
    fn after_refusal(&self, call: &Call, progress: &mut Progress, ended: Ended<'_>, draw: u64) -> Decision {
        let Ended { attempt, certainty, now, .. } = ended;
        if attempt.newer_api_key && !progress.rotated && call.replayable && now < call.deadline {
            return at_once(Purpose::Rotated);
        }
        let why = attempt.refusal.as_ref().map_or(Stop::Refused, Stop::at);
        let retry_in = attempt.refusal.as_ref().and_then(Refusal::retry_in);
        let stop = Decision::Stop { why, retry_in };
        let Some(hint) = retry_in.filter(|_| certainty == Certainty::Unknown && call.replayable) else {
            return stop;
        };
        progress.refusals = progress.refusals.saturating_add(1);
        if matches!(attempt.purpose, Purpose::First | Purpose::Retry) {
            progress.attempts = progress.attempts.saturating_sub(1); // It was not made.
        }
        let wait = hint.max(self.ordinary.delay(progress.refusals, draw));
        if !fits(call, now, wait) {
            return stop;
        }
        // What a retry that was not made had cost went back, and is taken again for the one that is.
        let costs = matches!(attempt.purpose, Purpose::Retry | Purpose::Poll);
        Decision::Again { wait, purpose: attempt.purpose, costs }
    }
}

/// Uncounted, and at no cost: nothing was executed, and it comes once per call.
const fn at_once(purpose: Purpose) -> Decision {
    Decision::Again { wait: Duration::ZERO, purpose, costs: false }
}

/// Whether a wait leaves time for an attempt.
fn fits(call: &Call, now: Instant, wait: Duration) -> bool {
    now.checked_add(wait.saturating_add(call.min_attempt)).is_some_and(|end| end <= call.deadline)
}

fn wish(kind: CallKind, progress: &mut Progress, attempt: &Attempt) -> Wish {
    let executed_at_most_once = kind.repeatable();
    let Some(status) = attempt.status else {
        let unsent = attempt.certainty == Certainty::NotSent;
        return match attempt.outcome {
            Outcome::Transport(FailureKind::Tls) => Wish::Stop(Stop::Final),
            // The client did not even get ready, and will not.
            Outcome::Transport(_) if !attempt.on_the_wire() => Wish::Stop(Stop::Final),
            Outcome::Transport(_) if unsent && attempt.resend && !progress.resent => Wish::Resend,
            Outcome::Transport(_) if unsent || executed_at_most_once => Wish::Retry(Pace::Ordinary),
            Outcome::Transport(_) => Wish::Stop(Stop::Unkeyed),
            _ => Wish::Stop(Stop::Cancelled),
        };
    };
    if attempt.outcome == Outcome::Success && attempt.body_lost && executed_at_most_once {
        // Executed for sure; the same key, or the same GET, brings the answer again.
        return Wish::Retry(Pace::Ordinary);
    }
    if matches!(attempt.outcome, Outcome::Success | Outcome::Foreign | Outcome::Redirect) {
        return Wish::Stop(Stop::Final);
    }
    // What Stripe did not accept was the API key, and it says nothing of the request under another one.
    let rejected = attempt.certainty == Certainty::Rejected;
    if attempt.newer_api_key && !progress.rotated && (rejected || executed_at_most_once) {
        return Wish::Rotate;
    }
    if attempt.should_retry == Some(false) {
        return Wish::Stop(Stop::Header);
    }
    // Whatever Stripe says of repeating it: without a key nothing would tell the repetition from a second order. A 409
    // may mean that the first one is executing.
    let may_run_twice = !rejected || status == 409;
    if may_run_twice && !executed_at_most_once {
        return Wish::Stop(Stop::Unkeyed);
    }
    let told_to = attempt.should_retry == Some(true);
    match attempt.outcome {
        Outcome::KeyInUse => Wish::Poll,
        Outcome::Conflict | Outcome::LockTimeout => Wish::Retry(Pace::Ordinary),
        Outcome::RateLimited(RateLimitReason::ResourceSpecific) if !told_to => Wish::Stop(Stop::Final),
        Outcome::RateLimited(_) => Wish::Retry(Pace::Limiter),
        Outcome::ServerError if status == 500 && kind.verb == Verb::Post && kind.api != ApiVersion::V2 => {
            progress.stored_failures = progress.stored_failures.saturating_add(1);
            if !told_to && (attempt.replayed || progress.stored_failures > 1) {
                Wish::Stop(Stop::Final)
            } else {
                Wish::Retry(Pace::Ordinary)
            }
        }
        Outcome::ServerError => Wish::Retry(Pace::Ordinary),
        _ if told_to => Wish::Retry(Pace::Ordinary),
        _ => Wish::Stop(Stop::Final),
    }
}

#[cfg(test)]
mod tests;
