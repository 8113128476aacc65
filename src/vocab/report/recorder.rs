//! The handle by which layers write.

use std::{
    ops::Deref,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use http::{HeaderMap, Request, Response, StatusCode};

use super::{
    account::Stop,
    entered::{Entered, HandedOn},
    handle::{ReportHandle, Shared},
    state::{Claim, End, Key, State},
};
#[cfg(all(feature = "classify", feature = "telemetry"))]
use crate::vocab::Words;
#[cfg(feature = "idempotency")]
use crate::vocab::certainty::KeyPast;
use crate::vocab::{
    Attempt, CallKind, Certainty, Deadline, Failure, IdempotencyKey, Operation, Priority, Purpose, Refusal,
    Refused, RequestId, SendProof, headers::IDEMPOTENCY_KEY, key::KeyClock, time,
};

/// Writes the account of one call. For layers and clients; callers read it by a [`ReportHandle`], which this one derefs
/// to.
///
/// The outermost layer of this crate puts one into the extensions of the request, and the others find it there. A layer
/// that sees an attempt [`enter`](Self::enter)s it. The outermost to do so owns the attempt and closes it; the layers
/// within only add what they know. So every layer tells the truth alone, and together they tell it once.
///
/// A client of your own that can prove that a body never left looks for it in the extensions of the request, and
/// [`register_proof`](Self::register_proof)s.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    handle: ReportHandle,
    /// How many gates the request has passed that this one travels in.
    passed: u32,
}

impl Deref for Recorder {
    type Target = ReportHandle;

    fn deref(&self) -> &ReportHandle {
        &self.handle
    }
}

impl Recorder {
    /// The recorder of the call that `request` belongs to.
    ///
    /// The first layer to ask begins the call: in the handle that the caller put into the request, or in a new one.
    pub fn of<B>(request: &mut Request<B>) -> Self {
        Self::begin(request).unwrap_or_else(|| {
            // The account of another call is left as it is; this one is in its response and in its error.
            let recorder = Self::default();
            recorder.put_into(request);
            recorder
        })
    }

    /// As [`of`](Self::of), for a layer that can refuse.
    ///
    /// # Errors
    /// [`Refusal::ReportReused`], when the caller's handle belongs to another call.
    pub fn of_one_call<B>(request: &mut Request<B>) -> Result<Self, Refused> {
        Self::begin(request).ok_or_else(|| {
            // It may be the same order once more, sent again from outside, or the next one. Either account would be a lie
            // about the other, and so would be that nothing was sent.
            let recorder = Self::default();
            recorder.shared().state.with(|state| state.mistaken = true);
            recorder.refuse_unread(request, Refusal::ReportReused)
        })
    }

    /// `None` if the caller's handle belongs to another call.
    fn begin<B>(request: &mut Request<B>) -> Option<Self> {
        if let Some(recorder) = request.extensions().get::<Self>() {
            return Some(recorder.clone());
        }
        let handle = request.extensions().get::<ReportHandle>().cloned().unwrap_or_default();
        if handle.0.begun.swap(true, Ordering::Relaxed) {
            return None;
        }
        let recorder = Self { handle, passed: 0 };
        recorder.put_into(request);
        Some(recorder)
    }

    /// One that writes where this handle reads.
    #[cfg(feature = "telemetry")]
    pub(super) fn over(handle: &ReportHandle) -> Self {
        Self { handle: handle.clone(), passed: 0 }
    }

    /// Puts the recorder where the layers within find it.
    pub fn put_into<B>(&self, request: &mut Request<B>) {
        self.operation(request);
        request.extensions_mut().insert(self.clone());
    }

    /// Puts the handle where [`ResponseExt`](crate::ResponseExt) finds it. The outermost layer knows most.
    pub fn attach<B>(&self, response: &mut Response<B>) {
        let attached = response.extensions().get::<ReportHandle>();
        if !attached.is_some_and(|attached| Arc::ptr_eq(&attached.0, &self.handle.0)) {
            response.extensions_mut().insert(self.handle.clone());
        }
    }

    /// What the attempts up to now prove, whatever may follow.
    #[must_use]
    pub fn proven(&self) -> Certainty {
        self.shared().state.with(|state| state.standing_now().certainty())
    }

    /// The handle that reads what this one writes.
    #[must_use]
    pub const fn handle(&self) -> &ReportHandle {
        &self.handle
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.handle.0
    }

    /// The operation of `request`: what the caller said it is, or what method and path say.
    pub fn operation<B>(&self, request: &Request<B>) -> Operation {
        *self.shared().operation.get_or_init(|| match request.extensions().get::<Operation>() {
            Some(operation) => *operation,
            None => Operation::resolve(request.method(), request.uri().path()),
        })
    }

    /// Enters an attempt to send `request`: the outermost layer to enter owns it.
    pub fn enter<B>(&self, request: &Request<B>, purpose: Purpose) -> Entered {
        if self.shared().open.load(Ordering::Relaxed) {
            return Entered(None);
        }
        let kind = CallKind::of(request);
        let now = time::now();
        self.shared().open.store(true, Ordering::Relaxed);
        self.shared().state.with(|state| {
            state.kind = Some(kind);
            state.begin(Attempt::begun(purpose, now), self.passed);
        });
        Entered(Some(self.clone()))
    }

    /// For a layer that makes the attempts of a call: takes the account over from an outer layer that took the whole
    /// call for one attempt.
    pub fn take_over<B>(&self, request: &Request<B>) {
        let kind = CallKind::of(request);
        self.shared().open.store(false, Ordering::Relaxed);
        self.shared().state.with(|state| {
            state.kind = Some(kind);
            state.lose_sight(kind);
            state.current = None;
            state.handed_on = false;
            state.live = true;
        });
    }

    /// For a layer outside of all attempts: hands `request` on. Where no layer within accounts for an attempt, what
    /// comes back, or nothing, is one.
    pub fn hand_on<B>(&self, request: &Request<B>) -> HandedOn {
        let kind = CallKind::of(request);
        self.shared().state.with(|state| {
            state.kind = Some(kind);
            state.handed_on = true;
        });
        HandedOn { recorder: Some(self.clone()), since: time::now() }
    }

    /// For a layer that holds back what an outer layer has handed on: until it is handed on again, nothing is sent.
    #[cfg(feature = "idempotency")]
    pub(crate) fn held_back(&self) {
        self.shared().state.with(|state| state.handed_on = false);
    }

    /// Whether anything of the call may have been sent. What is held back was not, and what provably never left neither.
    #[cfg(feature = "detach")]
    pub(crate) fn may_have_been_sent(&self) -> bool {
        self.shared().state.with(|state| {
            let made = state.made_now() > 0 || state.presumed().is_some();
            made && state.standing_now().certainty() != Certainty::NotSent
        })
    }

    /// Adds a response head to the open attempt.
    pub fn answered(&self, status: StatusCode, headers: &HeaderMap) {
        #[cfg(feature = "telemetry")]
        self.look_for_notice(headers);
        self.shared().state.with(|state| {
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
        self.shared().state.with(|state| {
            if let Some(attempt) = &mut state.current {
                attempt.refined(code, error_type);
            }
        });
    }

    /// Adds that there is another API key now than the one that was not accepted: the call may be tried once more.
    pub fn newer_api_key(&self) {
        self.shared().state.with(|state| {
            if let Some(attempt) = &mut state.current {
                attempt.newer_api_key = true;
            }
        });
    }

    /// Adds that the body of the answer broke off.
    pub fn body_lost(&self) {
        self.shared().state.with(|state| {
            if let Some(attempt) = &mut state.current {
                attempt.body_lost = true;
            }
        });
    }

    /// Adds Stripe's id of the exchange, and of the one whose answer it replays.
    pub fn identified(&self, id: Option<RequestId>, original: Option<RequestId>) {
        self.shared().state.with(|state| {
            if let Some(attempt) = &mut state.current {
                attempt.request_id = id;
                attempt.original_request = original;
            }
        });
    }

    /// Adds a failure to the open attempt. Where the failure proves nothing, an untouched request body may.
    pub fn failed(&self, failure: Failure) {
        self.shared().state.with(|state| {
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

    /// Adds that the stack itself refuses the open attempt, or, where none is open, the call. The refusal goes back with
    /// the account of the call.
    #[must_use]
    pub fn refuse(&self, refusal: Refusal) -> Refused {
        let attempted = self.shared().state.with(|state| {
            state.retry_in = refusal.retry_in();
            match &mut state.current {
                Some(attempt) => attempt.refused(refusal.clone()),
                None => {
                    state.stopped = Some(Stop::Refused);
                    state.refusal = Some(refusal.clone());
                }
            }
            state.current.is_some()
        });
        // Of an attempt it is told when that is closed.
        #[cfg(feature = "telemetry")]
        if !attempted {
            self.tell(|observer, operation| observer.refused(operation, &refusal));
        }
        #[cfg(not(feature = "telemetry"))]
        let _ = attempted;
        Refused::new(refusal, self.handle.clone())
    }

    /// For a layer that refuses before the key of `request` was looked at: a key of the caller's may have a past.
    #[must_use]
    pub fn refuse_unread<B>(&self, request: &Request<B>, refusal: Refusal) -> Refused {
        let kind = CallKind::of(request);
        self.shared().state.with(|state| {
            state.kind.get_or_insert(kind);
            if state.key.is_none() && kind.heeds_key(request.uri().path()) {
                state.claimed = claim(request);
            }
        });
        self.refuse(refusal)
    }

    /// Registers the means to prove that the open attempt was never sent.
    pub fn register_proof(&self, proof: SendProof) {
        self.shared().state.with(|state| {
            if state.current.is_none() {
                return;
            }
            // A second request within one attempt, as of a client that retries by itself: it can prove something only if
            // the first one was never sent.
            let first = state.proof.replace(proof);
            state.tainted |= first.is_some_and(|first| !first.claim_unsent());
        });
    }

    /// The deadline of the call, once a layer has set it.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.shared().state.with(|state| state.deadline)
    }

    /// The deadline of the call as far as it is known: as [`deadline_of`](Self::deadline_of), but a layer within may still
    /// set another.
    pub(crate) fn deadline_so_far<B>(&self, request: &Request<B>) -> Instant {
        self.deadline().unwrap_or_else(|| {
            let intent = request.extensions().get::<Deadline>().copied();
            intent.unwrap_or_else(|| Deadline::after(self.operation(request).deadline())).instant(time::now())
        })
    }

    /// The deadline of the call: what an outer layer has set, else what the caller said, else `configured`, else what
    /// the operation has by default.
    pub fn deadline_of<B>(&self, request: &Request<B>, configured: Option<Duration>) -> Instant {
        let operation = self.operation(request);
        self.shared().state.with(|state| {
            *state.deadline.get_or_insert_with(|| {
                let intent = request.extensions().get::<Deadline>().copied();
                let default = || Deadline::after(configured.unwrap_or_else(|| operation.deadline()));
                intent.unwrap_or_else(default).instant(time::now())
            })
        })
    }

    /// Records the key in force, and the clock of its age.
    pub fn keyed(&self, key: IdempotencyKey, clock: KeyClock) {
        self.shared().state.with(|state| state.key = Some(Key { key, clock }));
    }

    /// Another call has used the key in force, whatever its caller says; `open`: and it may have been executed by that
    /// one.
    #[cfg(feature = "idempotency")]
    pub(crate) fn inherit(&self, open: bool) {
        self.not_fresh();
        self.shared().state.with(|state| state.standing.inherit(open));
    }

    /// Another call uses the key in force, whatever its caller says.
    #[cfg(feature = "idempotency")]
    pub(crate) fn not_fresh(&self) {
        self.shared().state.with(|state| state.key.iter_mut().for_each(|key| key.key.not_fresh()));
    }

    /// The key in force is another request's.
    #[cfg(feature = "idempotency")]
    pub(crate) fn mismatched(&self) {
        self.inherit(false);
        self.shared().state.with(|state| state.standing.mismatched());
    }

    /// What the next call with the key in force must presume.
    #[cfg(feature = "idempotency")]
    pub(crate) fn key_past(&self) -> KeyPast {
        self.shared().state.with(|state| state.standing_now().key_past())
    }

    /// Whether the key in force may no longer be sent.
    #[must_use]
    pub fn key_expired(&self, now: Instant) -> bool {
        self.shared().state.with(|state| state.key.as_ref().is_some_and(|key| key.clock.expired(now)))
    }

    /// `Ok` if the key in force may be sent at `now`, or if there is none.
    ///
    /// # Errors
    /// [`Refusal::KeyTooOld`].
    pub fn check_key_age(&self, now: Instant) -> Result<(), Refusal> {
        self.shared().state.with(|state| state.key.as_ref().map_or(Ok(()), |key| key.clock.check(now)))
    }

    /// A gate holds back the request that this recorder travels in: until it is [`admitted`](Self::admitted), nothing is
    /// sent. Remembers which attempt it is for.
    pub(crate) fn held(&self) -> Held {
        self.shared().state.with(|state| {
            state.hold(self.passed);
            Held { attempt: state.begun }
        })
    }

    /// A gate lets `request` go, as of this priority if it heeds any, and the attempt begins now.
    ///
    /// # Errors
    /// [`Refusal::CallEnded`], when the attempt that it was held for has ended without it, and was said not to be sent.
    pub(crate) fn admitted<B>(
        &self,
        held: &Held,
        request: &mut Request<B>,
        priority: Option<Priority>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let passed = self.passed.saturating_add(1);
        if !self.shared().state.with(|state| state.admit(held.attempt, passed, priority, now)) {
            return Err(Refusal::CallEnded);
        }
        if let Some(travelling) = request.extensions_mut().get_mut::<Self>() {
            travelling.passed = passed;
        }
        Ok(())
    }

    /// Whether the call may be tried once more after the attempt that follows. For a layer that retries.
    pub fn set_retry_left(&self, left: bool) {
        self.shared().state.with(|state| state.retry_left = Some(left));
    }

    /// Whether the call may be tried once more after this attempt; `None` where no layer retries.
    #[must_use]
    pub fn retry_left(&self) -> Option<bool> {
        self.shared().state.with(|state| state.retry_left)
    }

    /// Adds to the time waited between attempts.
    pub fn waited(&self, time: Duration) {
        self.shared().state.with(|state| state.waited += time);
    }

    /// Closes the open attempt, and returns its account.
    pub(super) fn close(&self, end: End) -> Option<Attempt> {
        let (attempt, before) = self.shared().state.with(|state| {
            let before = state.first.as_ref().map(|first| state.later.last().unwrap_or(first).outcome);
            (state.close(end), before)
        });
        #[cfg(feature = "telemetry")]
        if let Some(attempt) = &attempt {
            self.tell(|observer, operation| observer.attempt(operation, attempt, before));
        }
        #[cfg(not(feature = "telemetry"))]
        let _ = before;
        attempt
    }

    /// Adds Stripe's words for what went wrong, to the open attempt.
    #[cfg(all(feature = "classify", feature = "telemetry"))]
    pub(crate) fn named(&self, words: Words) {
        self.shared().state.with(|state| {
            if let Some(attempt) = &mut state.current {
                attempt.words = words;
            }
        });
    }

    /// Records why no further attempt is made, and when it may be worth coming back.
    pub fn stopped(&self, stop: Stop, retry_in: Option<Duration>) {
        self.shared().state.with(|state| {
            state.live = false;
            state.stopped = Some(stop);
            state.retry_in = retry_in.or(state.retry_in);
        });
    }
}

/// The key that the caller gave, as far as it can be told.
fn claim<B>(request: &Request<B>) -> Claim {
    let mut lines = request.headers().get_all(IDEMPOTENCY_KEY).iter().map(IdempotencyKey::from_header);
    match (request.extensions().get::<IdempotencyKey>(), lines.next(), lines.next()) {
        (None, None, _) => Claim::None,
        (Some(key), None, _) => Claim::Valid(key.clone()),
        (None, Some(Ok(key)), None) => Claim::Valid(key),
        (Some(key), Some(Ok(line)), None) if *key == line => Claim::Valid(key.clone()),
        _ => Claim::Unusable,
    }
}

/// Which attempt a gate holds a request back for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    attempt: u64,
}
