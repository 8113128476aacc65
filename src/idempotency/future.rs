use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{Request, Response};
use pin_project::pin_project;
use tokio::time::Sleep;
use tower::Service;

use super::{guard::Turn, service};
use crate::vocab::{Recorder, Refusal, Refused, Stop, report::HandedOn, time};

/// The future of [`Idempotency`](super::Idempotency).
#[pin_project]
pub struct ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    #[pin]
    state: State<S::Future, S::Error, Waiting<S, B>>,
}

#[pin_project(project = StateProj)]
enum State<F, E, W> {
    Refused(Option<E>),
    /// Another call with the same key is under way.
    Waiting(Box<W>),
    // The order of the fields is that of their drops: the account must be complete when the turn goes to the next call.
    HandedOn {
        #[pin]
        inner: F,
        recorder: Recorder,
        handed_on: Option<HandedOn>,
        turn: Option<Turn>,
    },
    Done,
}

type Next<S, B> = State<<S as Service<Request<B>>>::Future, <S as Service<Request<B>>>::Error, Waiting<S, B>>;

/// A call that waits for its turn, and then for the inner service.
struct Waiting<S, B> {
    inner: S,
    request: Option<Request<B>>,
    since: Instant,
    deadline: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
    its_turn: bool,
    patience: Patience,
    turn: Option<Turn>,
}

/// Records that the caller went away, if nothing else has happened.
struct Patience {
    recorder: Recorder,
    over: bool,
}

impl Drop for Patience {
    fn drop(&mut self) {
        if !self.over {
            self.recorder.stopped(Stop::Cancelled, None);
        }
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) const fn refused(error: S::Error) -> Self {
        Self { state: State::Refused(Some(error)) }
    }

    pub(super) const fn handed_on(
        inner: S::Future,
        recorder: Recorder,
        handed_on: HandedOn,
        turn: Option<Turn>,
    ) -> Self {
        Self { state: State::HandedOn { inner, recorder, handed_on: Some(handed_on), turn } }
    }

    pub(super) fn waiting(
        inner: S,
        request: Request<B>,
        recorder: Recorder,
        turn: Turn,
        deadline: Instant,
    ) -> Self {
        let waiting = Waiting {
            inner,
            request: Some(request),
            since: time::now(),
            deadline,
            alarm: None,
            its_turn: false,
            patience: Patience { recorder, over: false },
            turn: Some(turn),
        };
        Self { state: State::Waiting(Box::new(waiting)) }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: From<Refused>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Refused(error) => match error.take() {
                    Some(error) => return Poll::Ready(Err(error)),
                    None => return Poll::Pending,
                },
                StateProj::Waiting(waiting) => match ready!(waiting.poll(cx)) {
                    Ok(next) => next,
                    Err(error) => {
                        state.set(State::Done);
                        return Poll::Ready(Err(error));
                    }
                },
                StateProj::HandedOn { inner, recorder, handed_on, turn } => {
                    let mut result = ready!(inner.poll(cx));
                    if let Some(handed_on) = handed_on.take() {
                        handed_on.close(
                            result.as_ref().ok().map(|response| (response.status(), response.headers())),
                        );
                    }
                    drop(turn.take());
                    if let Ok(response) = &mut result {
                        // Stripe echoes it.
                        service::conceal(response.headers_mut());
                        recorder.attach(response);
                    }
                    return Poll::Ready(result);
                }
                StateProj::Done => return Poll::Pending,
            };
            state.set(next);
        }
    }
}

impl<S, B> Waiting<S, B>
where
    S: Service<Request<B>>,
    S::Error: From<Refused>,
{
    /// Ready with the call under way, or with why it will not be.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next<S, B>, S::Error>> {
        let Some(turn) = &self.turn else { return Poll::Pending };
        if !self.its_turn {
            if turn.poll(cx).is_pending() {
                return self.poll_alarm(cx).map(Err);
            }
            self.its_turn = true;
            self.patience.recorder.waited(time::now().saturating_duration_since(self.since));
        }
        // Before the inner service is asked, too: what it gives for being ready would be held for nothing.
        if let Err(refusal) = self.may_send() {
            return Poll::Ready(Err(self.refuse(refusal)));
        }
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => {
                self.over(Stop::Final);
                return Poll::Ready(Err(error));
            }
            Poll::Pending => return self.poll_alarm(cx).map(Err),
        }
        let Some(request) = self.request.take() else { return Poll::Pending };
        self.patience.over = true;
        let recorder = self.patience.recorder.clone();
        let turn = self.turn.take();
        let handed_on = recorder.hand_on(&request);
        let inner = self.inner.call(request);
        Poll::Ready(Ok(State::HandedOn { inner, recorder, handed_on: Some(handed_on), turn }))
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<S::Error> {
        let deadline = self.deadline;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(self.refuse(Refusal::DeadlineExceeded))
    }

    fn may_send(&self) -> Result<(), Refusal> {
        let now = time::now();
        if now >= self.deadline {
            return Err(Refusal::DeadlineExceeded);
        }
        self.patience.recorder.check_key_age(now)
    }

    fn refuse(&mut self, refusal: Refusal) -> S::Error {
        let why = match refusal {
            Refusal::KeyTooOld { .. } => Stop::KeyAge,
            _ => Stop::Deadline,
        };
        let refused = self.patience.recorder.refuse(refusal);
        self.over(why);
        refused.into()
    }

    fn over(&mut self, why: Stop) {
        self.patience.over = true;
        self.patience.recorder.stopped(why, None);
    }
}

/// Shows nothing of a request that waits.
impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResponseFuture")
            .field(&match self.state {
                State::Refused(_) => "refused",
                State::Waiting(_) => "waiting",
                State::HandedOn { .. } => "handed on",
                State::Done => "done",
            })
            .finish()
    }
}
