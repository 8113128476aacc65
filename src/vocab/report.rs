//! The account of a call, and the handle by which layers write it and callers read it.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, Request, Response, StatusCode};

use super::{
    Advice, Attempt, CallKind, Certainty, Failure, IdempotencyKey, Operation, Purpose, Refusal, RequestId,
    SendProof, Standing,
    headers::IDEMPOTENCY_KEY,
    key::{History, KeyClock},
    sync::Lock,
    time,
};

/// How many attempts a report keeps: the first, and the last ones. All are counted.
const KEPT: usize = 16;

/// The account of a call: what was tried, what came of it, and what to do next.
#[derive(Clone, Debug)]
pub struct Report {
    operation: Option<Operation>,
    certainty: Certainty,
    advice: Advice,
    key: Option<IdempotencyKey>,
    attempts: Vec<Attempt>,
    attempts_made: u32,
    waited: Duration,
    stopped: Option<Stop>,
    retry_in: Option<Duration>,
}

impl Report {
    /// The operation of Stripe's API; `None` as long as no layer has seen the request.
    #[must_use]
    pub const fn operation(&self) -> Option<Operation> {
        self.operation
    }

    /// Whether Stripe has executed the call.
    #[must_use]
    pub const fn certainty(&self) -> Certainty {
        self.certainty
    }

    /// What to do with the key now.
    #[must_use]
    pub const fn advice(&self) -> Advice {
        self.advice
    }

    /// The idempotency key in force: the one to come back with, or to look the call up by.
    #[must_use]
    pub const fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        self.key.as_ref()
    }

    /// The attempts, and refusals in place of attempts, in order: the first one and the last fifteen.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// How many attempts were made on the wire, including those no longer listed.
    #[must_use]
    pub const fn attempts_made(&self) -> u32 {
        self.attempts_made
    }

    /// How long the call waited between attempts.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// Why no further attempt was made; `None` while the call goes on.
    #[must_use]
    pub const fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// When it may be worth trying again, if somebody said so: `Retry-After`, or a refusal.
    #[must_use]
    pub const fn retry_in(&self) -> Option<Duration> {
        self.retry_in
    }

    /// Stripe's ids of the attempts that it answered, in order.
    pub fn request_ids(&self) -> impl Iterator<Item = &RequestId> {
        self.attempts.iter().filter_map(|attempt| attempt.request_id.as_ref())
    }
}

/// Why no further attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// The answer is final, or the failure is one that repeating cannot cure.
    Final,
    /// All attempts are used up.
    Attempts,
    /// What is left before the deadline is too little.
    Deadline,
    /// The retry budget, shared by all calls, is empty.
    Budget,
    /// The idempotency key has become too old to be sent.
    KeyAge,
    /// The body of the request cannot be sent twice.
    Body,
    /// Stripe said not to (`Stripe-Should-Retry: false`).
    Header,
    /// It may have been executed, and has no key by which Stripe would know it again.
    Unkeyed,
    /// The server asked for a longer wait than the stack is willing to take.
    RetryAfter,
    /// The stack itself refused.
    Refused,
    /// The caller went away.
    Cancelled,
}

impl Stop {
    /// The word for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Attempts => "attempts",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
            Self::KeyAge => "key_age",
            Self::Body => "body",
            Self::Header => "header",
            Self::Unkeyed => "unkeyed",
            Self::RetryAfter => "retry_after",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads, and for layers writes, the account of one call.
///
/// Put one into the extensions of a request to read its report even after the call was dropped. Use a new one for each
/// call. Clones share the account.
///
/// ```
/// use tower_stripe::{Certainty, ReportHandle};
///
/// let handle = ReportHandle::new();
/// let request = http::Request::post("https://api.stripe.com/v1/refunds").extension(handle.clone()).body(())?;
/// // … the call is made, and dropped before it ends …
/// assert_eq!(handle.report().certainty(), Certainty::NotSent); // here it never began
/// # Ok::<(), http::Error>(())
/// ```
///
/// # For layers
/// A layer that sees an attempt [`enter`](Self::enter)s it. The outermost to do so owns the attempt and closes it; the
/// layers within only add what they know. So every layer tells the truth alone, and together they tell it once.
///
/// The state is behind a lock that only the task of the call takes, for a few instructions at a time: it is contended
/// only if somebody reads a report of a call under way.
#[derive(Clone, Default)]
pub struct ReportHandle(Arc<Shared>);

#[derive(Default)]
struct Shared {
    operation: OnceLock<Operation>,
    /// Whether an attempt is open: a hint that saves the lock.
    open: AtomicBool,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    kind: Option<CallKind>,
    standing: Standing,
    deadline: Option<Instant>,
    key: Option<Key>,
    /// Whether the caller gave a key that was not looked at any more.
    key_claimed: bool,
    /// Whether a layer outside of all attempts has handed the request on.
    handed_on: bool,
    current: Option<Attempt>,
    proof: Option<SendProof>,
    first: Option<Attempt>,
    later: Vec<Attempt>,
    made: u32,
    waited: Duration,
    stopped: Option<Stop>,
    retry_in: Option<Duration>,
}

struct Key {
    key: IdempotencyKey,
    clock: KeyClock,
}

impl ReportHandle {
    /// A handle for one call.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The handle of a request; a new one is put into it if it has none.
    pub fn of<B>(request: &mut Request<B>) -> Self {
        if let Some(handle) = request.extensions().get::<Self>() {
            return handle.clone();
        }
        let handle = Self::new();
        request.extensions_mut().insert(handle.clone());
        handle
    }

    /// Puts the handle where [`ResponseExt`](super::ResponseExt) finds it, unless a layer within has.
    pub fn attach<B>(&self, response: &mut Response<B>) {
        if response.extensions().get::<Self>().is_none() {
            response.extensions_mut().insert(self.clone());
        }
    }

    /// The account up to now.
    #[must_use]
    pub fn report(&self) -> Report {
        let operation = self.0.operation.get().copied();
        let now = time::now();
        self.0.state.with(|state| {
            let standing = state.standing_now();
            let open = state.current.clone();
            let made = state.made + u32::from(open.is_some());
            Report {
                operation,
                certainty: standing.certainty(),
                advice: state.advice(&standing, now),
                key: state.key.as_ref().map(|key| key.key.clone()),
                attempts: state.first.iter().chain(&state.later).cloned().chain(open).collect(),
                attempts_made: made,
                waited: state.waited,
                stopped: state.stopped,
                retry_in: state.retry_in,
            }
        })
    }

    /// Whether Stripe has executed the call, as far as is known up to now.
    #[must_use]
    pub fn certainty(&self) -> Certainty {
        self.0.state.with(|state| state.standing_now().certainty())
    }

    /// Reads the last attempt, closed or open.
    pub fn last_attempt<R>(&self, read: impl FnOnce(&Attempt) -> R) -> Option<R> {
        self.0.state.with(|state| state.latest().map(read))
    }

    /// How many attempts were made on the wire.
    #[must_use]
    pub fn attempts_made(&self) -> u32 {
        self.0.state.with(|state| state.made + u32::from(state.current.is_some()))
    }

    /// The operation of `request`: what the caller said it is, or what method and path say.
    pub fn operation<B>(&self, request: &Request<B>) -> Operation {
        *self.0.operation.get_or_init(|| match request.extensions().get::<Operation>() {
            Some(operation) => *operation,
            None => Operation::resolve(request.method(), request.uri().path()),
        })
    }

    /// Enters an attempt to send `request`: the outermost layer to enter owns it.
    pub fn enter<B>(&self, request: &Request<B>, purpose: Purpose) -> Entered {
        if self.0.open.load(Ordering::Relaxed) {
            return Entered(None);
        }
        let kind = CallKind::of(request, self.operation(request));
        let now = time::now();
        self.0.open.store(true, Ordering::Relaxed);
        self.0.state.with(|state| {
            state.kind = Some(kind);
            state.current = Some(Attempt::begun(purpose, now));
            state.proof = None;
        });
        Entered(Some(self.clone()))
    }

    /// For a layer that makes the attempts of a call: takes the account over from an outer layer that took the whole
    /// call for one attempt.
    pub fn take_over(&self) {
        self.0.open.store(false, Ordering::Relaxed);
        self.0.state.with(|state| {
            state.current = None;
            state.handed_on = false;
        });
    }

    /// For a layer outside of all attempts: hands `request` on. Where no layer within accounts for an attempt, what
    /// comes back, or nothing, is one.
    pub fn hand_on<B>(&self, request: &Request<B>) -> HandedOn {
        let kind = CallKind::of(request, self.operation(request));
        self.0.state.with(|state| {
            state.kind.get_or_insert(kind);
            state.handed_on = true;
        });
        HandedOn { handle: Some(self.clone()), since: time::now() }
    }

    /// Adds a response head to the open attempt.
    pub fn answered(&self, status: StatusCode, headers: &HeaderMap) {
        self.0.state.with(|state| {
            if let (Some(attempt), Some(kind)) = (&mut state.current, state.kind) {
                attempt.answered(kind, status, headers);
            }
        });
    }

    /// Adds a response head to the open attempt, unless a layer within has done so.
    pub fn answered_if_unheard(&self, status: StatusCode, headers: &HeaderMap) {
        if self.last_attempt(Attempt::is_unheard) == Some(true) {
            self.answered(status, headers);
        }
    }

    /// Adds what an error body says: Stripe's `code` and `type`.
    pub fn refined(&self, code: Option<&str>, error_type: Option<&str>) {
        self.0.state.with(|state| {
            if let Some(attempt) = &mut state.current {
                attempt.refined(code, error_type);
            }
        });
    }

    /// Adds Stripe's id of the exchange, and of the one whose answer it replays.
    pub fn identified(&self, id: Option<RequestId>, original: Option<RequestId>) {
        self.0.state.with(|state| {
            if let Some(attempt) = &mut state.current {
                attempt.request_id = id;
                attempt.original_request = original;
            }
        });
    }

    /// Adds a failure to the open attempt. Where the failure proves nothing, an untouched request body may.
    pub fn failed(&self, failure: Failure) {
        self.0.state.with(|state| {
            if let Some(attempt) = &mut state.current {
                attempt.failed(failure);
                State::prove(attempt, state.proof.as_ref());
            }
        });
    }

    /// Adds a failure to the open attempt, unless a layer within has said how it ended.
    pub fn failed_if_unheard(&self, failure: impl FnOnce() -> Failure) {
        if self.last_attempt(Attempt::is_unheard) == Some(true) {
            self.failed(failure());
        }
    }

    /// Adds that the stack itself refused the open attempt, or, where none is open, the call.
    pub fn refused(&self, refusal: &Refusal) {
        self.0.state.with(|state| {
            state.retry_in = refusal.retry_in();
            match &mut state.current {
                Some(attempt) => attempt.refused(refusal.retry_in()),
                None => state.stopped = Some(Stop::Refused),
            }
        });
    }

    /// For a layer that refuses before the key of `request` was looked at: a key of the caller's, whatever its worth,
    /// may have a past.
    pub fn refused_unread<B>(&self, request: &Request<B>, refusal: &Refusal) {
        let claimed = request.headers().contains_key(IDEMPOTENCY_KEY)
            || request.extensions().get::<IdempotencyKey>().is_some();
        let kind = CallKind::of(request, self.operation(request));
        self.0.state.with(|state| {
            state.kind.get_or_insert(kind);
            state.key_claimed = claimed && kind.heeds_key(request.uri().path());
        });
        self.refused(refusal);
    }

    /// Registers the means to prove that the open attempt was never sent.
    pub fn register_proof(&self, proof: SendProof) {
        self.0.state.with(|state| {
            if state.current.is_some() {
                state.proof = Some(proof);
            }
        });
    }

    /// The deadline of the call, once a layer has set it.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.state.with(|state| state.deadline)
    }

    /// Sets the deadline of the call, unless an outer layer has; returns the one in force.
    pub fn deadline_or(&self, deadline: impl FnOnce() -> Instant) -> Instant {
        self.0.state.with(|state| *state.deadline.get_or_insert_with(deadline))
    }

    /// Records the key in force, and the clock of its age.
    pub fn keyed(&self, key: IdempotencyKey, clock: KeyClock) {
        self.0.state.with(|state| state.key = Some(Key { key, clock }));
    }

    /// Whether the key in force may no longer be sent.
    #[must_use]
    pub fn key_expired(&self, now: Instant) -> bool {
        self.0.state.with(|state| state.key.as_ref().is_some_and(|key| key.clock.expired(now)))
    }

    /// `Ok` if the key in force may be sent at `now`, or if there is none.
    ///
    /// # Errors
    /// [`Refusal::KeyTooOld`].
    pub fn check_key_age(&self, now: Instant) -> Result<(), Refusal> {
        self.0.state.with(|state| state.key.as_ref().map_or(Ok(()), |key| key.clock.check(now)))
    }

    /// Adds to the time waited between attempts.
    pub fn waited(&self, time: Duration) {
        self.0.state.with(|state| state.waited += time);
    }

    /// Records why no further attempt is made, and when it may be worth coming back.
    pub fn stopped(&self, stop: Stop, retry_in: Option<Duration>) {
        self.0.state.with(|state| {
            state.stopped = Some(stop);
            state.retry_in = retry_in.or(state.retry_in);
        });
    }
}

impl fmt::Debug for ReportHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReportHandle").field(&self.report()).finish()
    }
}

impl State {
    fn latest(&self) -> Option<&Attempt> {
        self.current.as_ref().or(self.later.last()).or(self.first.as_ref())
    }

    /// What is proven now: an attempt that is still open counts as what it would be if it were dropped.
    fn standing_now(&self) -> Standing {
        let mut standing = self.standing;
        if let (Some(attempt), Some(kind)) = (self.presumed().as_ref().or(self.current.as_ref()), self.kind) {
            standing.observe(kind, attempt);
        }
        standing
    }

    /// The attempt that must be presumed to be under way where no layer accounts for one.
    fn presumed(&self) -> Option<Attempt> {
        let unaccounted = self.handed_on && self.first.is_none() && self.current.is_none();
        (unaccounted && self.stopped.is_none()).then(|| Attempt::begun(Purpose::First, time::now()))
    }

    fn prove(attempt: &mut Attempt, proof: Option<&SendProof>) {
        let unproven = attempt.status.is_none() && attempt.certainty == Certainty::Unknown;
        if unproven && proof.is_some_and(SendProof::claim_unsent) {
            attempt.certainty = Certainty::NotSent;
        }
    }

    fn close(&mut self, ended: End) -> Option<Attempt> {
        let mut attempt = self.current.take()?;
        if attempt.is_unheard() && ended == End::Returned {
            attempt.lost();
        }
        Self::prove(&mut attempt, self.proof.take().as_ref());
        attempt.took = time::now().saturating_duration_since(attempt.began);
        if let Some(kind) = self.kind {
            self.standing.observe(kind, &attempt);
        }
        self.made += u32::from(attempt.on_the_wire());
        if ended == End::Dropped {
            self.stopped = Some(Stop::Cancelled);
        }
        if self.first.is_none() {
            self.first = Some(attempt.clone());
        } else {
            if self.later.len() == KEPT - 1 {
                self.later.remove(0);
            }
            self.later.push(attempt.clone());
        }
        Some(attempt)
    }

    fn advice(&self, standing: &Standing, now: Instant) -> Advice {
        let kind = self.kind.unwrap_or(CallKind::UNKNOWN);
        let history = match &self.key {
            Some(key) => Some(key.key.history()),
            None => (kind.keyed || self.key_claimed).then_some(History::Unknown),
        };
        let expired = self.key.as_ref().is_some_and(|key| key.clock.expired(now));
        Advice::of(standing, kind, history, expired)
    }
}

/// An attempt that a layer is in. Dropped before it was closed, it records that the caller went away.
#[derive(Debug)]
#[must_use = "dropping it records that the caller went away"]
pub struct Entered(Option<ReportHandle>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Returned,
    Dropped,
}

impl Entered {
    /// Adds a response head, if this layer owns the attempt and no layer within has added it.
    pub fn answered(&self, status: StatusCode, headers: &HeaderMap) {
        if let Some(handle) = &self.0 {
            handle.answered_if_unheard(status, headers);
        }
    }

    /// Closes the attempt, and returns its account, if this layer owns it. An attempt of which nothing is known ended
    /// in a failure that proves nothing.
    pub fn close(mut self) -> Option<Attempt> {
        self.end(End::Returned)
    }

    fn end(&mut self, end: End) -> Option<Attempt> {
        let handle = self.0.take()?;
        handle.0.open.store(false, Ordering::Relaxed);
        handle.0.state.with(|state| state.close(end))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.end(End::Dropped);
    }
}

/// A request that a layer outside of all attempts has handed on. Dropped before it was closed, it records that the
/// caller went away.
#[derive(Debug)]
#[must_use = "dropping it records that the caller went away"]
pub struct HandedOn {
    handle: Option<ReportHandle>,
    since: Instant,
}

impl HandedOn {
    /// The inner service has returned: with a response, or with an error of which nothing is known.
    pub fn close(mut self, head: Option<(StatusCode, &HeaderMap)>) {
        self.end(End::Returned, head);
    }

    fn end(&mut self, end: End, head: Option<(StatusCode, &HeaderMap)>) {
        let Some(handle) = self.handle.take() else { return };
        handle.0.state.with(|state| {
            if let Some(mut attempt) = state.presumed() {
                attempt.began = self.since;
                if let (Some((status, headers)), Some(kind)) = (head, state.kind) {
                    attempt.answered(kind, status, headers);
                }
                state.current = Some(attempt);
                state.close(end);
            }
            state.handed_on = false;
        });
    }
}

impl Drop for HandedOn {
    fn drop(&mut self) {
        self.end(End::Dropped, None);
    }
}

#[cfg(test)]
mod tests;
