use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use http::{Request, Response};
use http_body::Body;
use pin_project::pin_project;
use tokio::time::Sleep;
use tower::Service;

use super::{
    drain::Drain,
    engine::{Call, Decision, Ended, Progress},
    retry_after,
    saved::Saved,
    service::Shared,
};
use crate::vocab::{
    Attempt, Purpose, Recorder, Refusal, Refused, Replay, Stop, TransportError, report::Entered, time,
};

/// The future of [`Retry`](super::Retry).
#[pin_project]
pub struct ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
{
    context: CallContext<B>,
    service: S,
    #[pin]
    state: State<S::Future, B, R>,
}

/// What a call carries from one attempt to the next.
struct CallContext<B> {
    shared: Arc<Shared>,
    recorder: Recorder,
    call: Call,
    progress: Progress,
    /// The request, to be sent again; `None` where its body cannot be had again.
    saved: Option<Saved<B>>,
    ended: bool,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
enum State<F, B, R> {
    /// Waits for the inner service to be ready; the alarm is set only if it is not at once.
    Ready {
        request: Option<Request<B>>,
        purpose: Purpose,
        alarm: Option<Pin<Box<Sleep>>>,
        paid: Option<Paid>,
    },
    /// The call was refused before it began.
    Refused {
        refused: Option<Refused>,
    },
    /// An attempt is under way.
    Calling {
        #[pin]
        inner: F,
        entered: Option<Entered>,
        paid: Option<Paid>,
    },
    /// Reads what is left of a failed response before waiting.
    Draining {
        drain: Pin<Box<Drain<R>>>,
        then: Pause<B>,
    },
    /// Between two attempts.
    Waiting {
        sleep: Pin<Box<Sleep>>,
        then: Option<Pause<B>>,
    },
    Done,
}

/// A wait that has been decided, and what comes after it.
struct Pause<B> {
    since: Instant,
    wait: Duration,
    request: Request<B>,
    purpose: Purpose,
    paid: Option<Paid>,
}

/// A retry taken out of the budget; it goes back if it is not made.
struct Paid {
    shared: Arc<Shared>,
    recorder: Recorder,
    spent: bool,
}

impl Paid {
    const fn spend(mut self) -> Self {
        self.spent = true;
        self
    }
}

impl Drop for Paid {
    fn drop(&mut self) {
        // Its attempt may have begun, and never have left: it was dropped while a gate held it.
        if !self.spent || self.recorder.last_attempt(Attempt::on_the_wire) == Some(false) {
            self.shared.budget.refund(time::now());
        }
    }
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
    B: Replay,
{
    pub(super) fn new(
        service: S,
        shared: Arc<Shared>,
        recorder: Recorder,
        mut call: Call,
        request: Request<B>,
        refused: Option<Refused>,
    ) -> Self {
        let saved = Saved::of(&request);
        call.replayable = saved.is_some();
        let context =
            CallContext { shared, recorder, call, progress: Progress::default(), saved, ended: false };
        let state = match refused {
            Some(refused) => State::Refused { refused: Some(refused) },
            None => State::Ready { request: Some(request), purpose: Purpose::First, alarm: None, paid: None },
        };
        Self { context, service, state }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: TransportError + From<Refused>,
    B: Replay,
    R: Body,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let context = this.context;
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Refused { refused } => {
                    let Some(refused) = refused.take() else { return Poll::Pending };
                    context.ended = true;
                    return Poll::Ready(Err(refused.into()));
                }
                StateProj::Ready { request, purpose, alarm, paid } => {
                    // Before the client is asked, too: what it gives for being ready would be held for nothing.
                    if let Err(refusal) = context.may_send() {
                        this.state.set(State::Done);
                        return Poll::Ready(Err(context.refused(refusal).into()));
                    }
                    match this.service.poll_ready(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => {
                            context.stopped(Stop::Final, None);
                            this.state.set(State::Done);
                            return Poll::Ready(Err(error));
                        }
                        Poll::Pending => {
                            let alarm = alarm.get_or_insert_with(|| sleep_until(context.call.deadline));
                            ready!(alarm.as_mut().poll(cx));
                            this.state.set(State::Done);
                            return Poll::Ready(Err(context.refused(Refusal::DeadlineExceeded).into()));
                        }
                    }
                    if let Err(refusal) = context.may_send() {
                        this.state.set(State::Done);
                        return Poll::Ready(Err(context.refused(refusal).into()));
                    }
                    let Some(request) = request.take() else { return Poll::Pending };
                    let paid = paid.take().map(Paid::spend);
                    context.recorder.set_retry_left(context.progress.retry_left(&context.call, *purpose));
                    context.progress.begin(*purpose);
                    let entered = Some(context.recorder.enter(&request, *purpose));
                    State::Calling { inner: this.service.call(request), entered, paid }
                }
                StateProj::Calling { inner, entered, paid } => {
                    let mut result = ready!(inner.poll(cx));
                    let attempt = context.close(entered.take(), &result);
                    // Our own refusal costs nothing: dropped here, it goes back.
                    drop(paid.take());
                    match (context.decide(attempt.as_ref(), &result), &mut result) {
                        (Some(then), Ok(_)) => {
                            let drain = result.map(|response| Box::pin(Drain::new(response.into_body())));
                            drain.map_or(State::Done, |drain| State::Draining { drain, then })
                        }
                        (Some(then), Err(_)) => then.into_state(),
                        (None, result_now) => {
                            if let Ok(response) = result_now {
                                context.recorder.attach(response);
                            }
                            this.state.set(State::Done);
                            return Poll::Ready(result);
                        }
                    }
                }
                StateProj::Draining { drain, .. } => {
                    ready!(drain.as_mut().poll(cx));
                    // The response goes before the wait begins: it may hold a connection.
                    match this.state.as_mut().project_replace(State::Done) {
                        StateOwn::Draining { then, .. } => then.into_state(),
                        _ => State::Done,
                    }
                }
                StateProj::Waiting { sleep, then } => {
                    ready!(sleep.as_mut().poll(cx));
                    let Some(Pause { wait, request, purpose, paid, .. }) = then.take() else {
                        return Poll::Pending;
                    };
                    context.recorder.waited(wait);
                    State::Ready { request: Some(request), purpose, alarm: None, paid }
                }
                StateProj::Done => return Poll::Pending,
            };
            this.state.set(next);
        }
    }
}

impl<B: Replay> CallContext<B> {
    /// Closes an attempt; what no layer within has said of it is taken from the result.
    fn close<R, E: TransportError>(
        &self,
        entered: Option<Entered>,
        result: &Result<Response<R>, E>,
    ) -> Option<Attempt> {
        match result {
            Ok(response) => self.recorder.answered_if_unheard(response.status(), response.headers()),
            Err(error) => self.recorder.failed_if_unheard(|| error.failure()),
        }
        entered.and_then(Entered::close)
    }

    /// Decides whether the call goes on; `None` if it has ended.
    fn decide<R, E>(
        &mut self,
        attempt: Option<&Attempt>,
        result: &Result<Response<R>, E>,
    ) -> Option<Pause<B>> {
        let Some(attempt) = attempt else {
            self.ended = true; // A retry within has made the attempts, and has said how they ended.
            return None;
        };
        let shared = &*self.shared;
        let now = time::now();
        let retry_after = match result {
            Ok(response) => retry_after::parse(response.headers(), || shared.config.wall_clock.now()),
            Err(_) => None,
        };
        let certainty = self.recorder.proven();
        let ended = Ended { attempt, retry_after, certainty, now };
        let decision = shared.engine.decide(&self.call, &mut self.progress, ended, shared.jitter.draw());
        let (wait, purpose, costs) = match decision {
            Decision::Stop { why, retry_in } => {
                self.stopped(why, retry_in);
                return None;
            }
            Decision::Again { wait, purpose, costs } => (wait, purpose, costs),
        };
        if self.recorder.key_expired(now + wait) {
            self.stopped(Stop::KeyAge, None);
            return None;
        }
        let Some(request) = self.saved.as_ref().and_then(|saved| saved.request(&self.recorder)) else {
            self.stopped(Stop::Body, retry_after);
            return None;
        };
        if costs && !shared.budget.withdraw(now) {
            self.stopped(Stop::Budget, retry_after);
            return None;
        }
        let paid = costs.then(|| Paid {
            shared: Arc::clone(&self.shared),
            recorder: self.recorder.clone(),
            spent: false,
        });
        tracing::debug!(
            outcome = attempt.outcome.as_str(),
            certainty = certainty.as_str(),
            wait_ms = wait.as_millis() as u64,
            "sending again"
        );
        Some(Pause { since: now, wait, request, purpose, paid })
    }

    /// Whether an attempt may begin now.
    fn may_send(&self) -> Result<(), Refusal> {
        let now = time::now();
        if now >= self.call.deadline {
            return Err(Refusal::DeadlineExceeded);
        }
        self.recorder.check_key_age(now)
    }

    fn refused(&mut self, refusal: Refusal) -> Refused {
        let why = Stop::at(&refusal);
        let refused = self.recorder.refuse(refusal);
        self.stopped(why, None);
        refused
    }
}

impl<B> CallContext<B> {
    fn stopped(&mut self, why: Stop, retry_in: Option<Duration>) {
        self.ended = true;
        self.recorder.stopped(why, retry_in);
    }
}

/// Dropped before its end: the caller went away.
impl<B> Drop for CallContext<B> {
    fn drop(&mut self) {
        if !self.ended {
            self.stopped(Stop::Cancelled, None);
        }
    }
}

impl<B> Pause<B> {
    fn into_state<F, R>(self) -> State<F, B, R> {
        State::Waiting { sleep: sleep_until(self.since + self.wait), then: Some(self) }
    }
}

fn sleep_until(instant: Instant) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep_until(instant.into()))
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("report", self.context.recorder.handle())
            .finish_non_exhaustive()
    }
}
