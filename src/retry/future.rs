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
    copy::Copy,
    drain::Drain,
    engine::{Call, Decision, Ended, Progress},
    retry_after,
    service::Shared,
};
use crate::vocab::{
    Attempt, Purpose, Refusal, Replay, ReportHandle, Stop, TransportError, report::Entered, time,
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
    handle: ReportHandle,
    call: Call,
    progress: Progress,
    /// The request, to be sent again; `None` where its body cannot be had again.
    copy: Option<Copy<B>>,
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
    /// An attempt is under way.
    Calling {
        #[pin]
        inner: F,
        entered: Option<Entered>,
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
    spent: bool,
}

impl Drop for Paid {
    fn drop(&mut self) {
        if !self.spent {
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
        handle: ReportHandle,
        mut call: Call,
        request: Request<B>,
    ) -> Self {
        let copy = Copy::of(&request);
        call.replayable = copy.is_some();
        let context = CallContext { shared, handle, call, progress: Progress::default(), copy, ended: false };
        let state = State::Ready { request: Some(request), purpose: Purpose::First, alarm: None, paid: None };
        Self { context, service, state }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: TransportError + From<Refusal>,
    B: Replay,
    R: Body,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let context = this.context;
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Ready { request, purpose, alarm, paid } => {
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
                    if let Some(paid) = paid {
                        paid.spent = true;
                    }
                    context.progress.begin(*purpose);
                    let entered = Some(context.handle.enter(&request, *purpose));
                    State::Calling { inner: this.service.call(request), entered }
                }
                StateProj::Calling { inner, entered } => {
                    let mut result = ready!(inner.poll(cx));
                    let attempt = context.close(entered.take(), &result);
                    match (context.decide(attempt.as_ref(), &result), &mut result) {
                        (Some(then), Ok(_)) => {
                            let drain = result.map(|response| Box::pin(Drain::new(response.into_body())));
                            drain.map_or(State::Done, |drain| State::Draining { drain, then })
                        }
                        (Some(then), Err(_)) => then.into_state(),
                        (None, result_now) => {
                            if let Ok(response) = result_now {
                                context.handle.attach(response);
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
                    context.handle.waited(wait);
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
            Ok(response) => self.handle.answered_if_unheard(response.status(), response.headers()),
            Err(error) => self.handle.failed_if_unheard(|| error.failure()),
        }
        entered.and_then(Entered::close)
    }

    /// Decides whether the call goes on; `None` if it has ended.
    fn decide<R, E>(
        &mut self,
        attempt: Option<&Attempt>,
        result: &Result<Response<R>, E>,
    ) -> Option<Pause<B>> {
        let attempt = attempt?;
        let shared = &*self.shared;
        let now = time::now();
        let retry_after = match result {
            Ok(response) => retry_after::parse(response.headers(), || shared.config.wall_clock.now()),
            Err(_) => None,
        };
        let certainty = self.handle.certainty();
        let ended = Ended { attempt, retry_after, certainty, now };
        let decision = shared.engine.decide(&self.call, &mut self.progress, ended, shared.jitter.draw());
        let (wait, purpose, costs) = match decision {
            Decision::Stop { why, retry_in } => {
                self.stopped(why, retry_in);
                return None;
            }
            Decision::Again { wait, purpose, costs } => (wait, purpose, costs),
        };
        if self.handle.key_expired(now + wait) {
            self.stopped(Stop::KeyAge, None);
            return None;
        }
        let Some(request) = self.copy.as_ref().and_then(|copy| copy.request(&self.handle)) else {
            self.stopped(Stop::Body, retry_after);
            return None;
        };
        if costs && !shared.budget.withdraw(now) {
            self.stopped(Stop::Budget, retry_after);
            return None;
        }
        let paid = costs.then(|| Paid { shared: Arc::clone(&self.shared), spent: false });
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
        self.handle.check_key_age(now)
    }

    fn refused(&mut self, refusal: Refusal) -> Refusal {
        self.handle.refused(&refusal);
        self.stopped(
            match refusal {
                Refusal::DeadlineExceeded => Stop::Deadline,
                Refusal::KeyTooOld { .. } => Stop::KeyAge,
                _ => Stop::Refused,
            },
            None,
        );
        refusal
    }
}

impl<B> CallContext<B> {
    fn stopped(&mut self, why: Stop, retry_in: Option<Duration>) {
        self.ended = true;
        self.handle.stopped(why, retry_in);
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
        f.debug_struct("ResponseFuture").field("report", &self.context.handle).finish_non_exhaustive()
    }
}
