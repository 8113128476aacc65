//! The task of a call.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use http::{Request, Response};
use pin_project::pin_project;
use tokio::{sync::oneshot, time::Sleep};
use tower::Service;

use super::shared::Slot;
use crate::vocab::{Operation, Recorder, Stop, report::HandedOn, time};

/// How long after its deadline a call is given up that goes on without its caller: whoever owns the deadline ends it before.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// What a call came to: what the inner service returned, or its panic.
pub(super) type Told<R, E> = Result<Result<R, E>, Box<dyn Any + Send>>;

// The order of the fields is that of their drops: a task may be dropped at any time, and its account must be complete when
// its slot reads it, and its slot free when the caller hears of it.
#[pin_project]
pub(super) struct Task<S, B>
where
    S: Service<Request<B>> + 'static,
    B: 'static,
{
    #[pin]
    stage: Stage<S, S::Future, B>,
    handed_on: Option<HandedOn>,
    slot: Slot,
    tell: Option<oneshot::Sender<Told<S::Response, S::Error>>>,
    operation: Operation,
    recorder: Recorder,
    began: Instant,
    /// Set once the caller has gone.
    alarm: Option<Pin<Box<Sleep>>>,
    /// The caller's: what the layers within say of the call belongs there.
    span: tracing::Span,
}

#[pin_project(project = StageProj)]
#[expect(clippy::large_enum_variant, reason = "the future of a real client is the larger one")]
enum Stage<S, F, B> {
    Readying {
        service: S,
        request: Option<Request<B>>,
    },
    Calling {
        #[pin]
        inner: F,
    },
    Done,
}

impl<S, B> Task<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(
        service: S,
        request: Request<B>,
        operation: Operation,
        recorder: Recorder,
        slot: Slot,
        tell: oneshot::Sender<Told<S::Response, S::Error>>,
    ) -> Self {
        Self {
            stage: Stage::Readying { service, request: Some(request) },
            handed_on: None,
            slot,
            tell: Some(tell),
            operation,
            recorder,
            began: time::now(),
            alarm: None,
            span: tracing::Span::current(),
        }
    }
}

impl<S, B, R> Future for Task<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let _in_span = this.span.enter();
        if this.alarm.is_none() && is_gone(this.tell.as_mut(), cx) {
            this.slot.abandon();
            // Before the call is polled again, which might send.
            if !this.recorder.may_have_been_sent() {
                if let StageProj::Readying { .. } = this.stage.as_mut().project() {
                    this.recorder.stopped(Stop::Cancelled, None);
                }
                this.stage.set(Stage::Done);
                drop(this.handed_on.take());
                this.slot.end(true);
                return Poll::Ready(());
            }
            // Where no layer within has a deadline, the operation's own bounds the call.
            let deadline = this.recorder.deadline().unwrap_or(*this.began + this.operation.deadline());
            *this.alarm = Some(Box::pin(tokio::time::sleep_until((deadline + GRACE).into())));
        }
        let told = {
            let (stage, recorder, handed_on) = (this.stage.as_mut(), &*this.recorder, &mut *this.handed_on);
            match catch_unwind(AssertUnwindSafe(|| step(stage, recorder, handed_on, cx))) {
                Ok(Poll::Ready(result)) => Ok(result),
                Ok(Poll::Pending) => {
                    let Some(alarm) = this.alarm.as_mut() else { return Poll::Pending };
                    ready!(alarm.as_mut().poll(cx));
                    this.stage.set(Stage::Done);
                    drop(this.handed_on.take());
                    this.slot.end(true);
                    return Poll::Ready(());
                }
                Err(panic) => {
                    // Nothing of what it says: there may be a key in it.
                    tracing::error!(operation = this.operation.name(), "a call has panicked");
                    Err(panic)
                }
            }
        };
        // What is within closes its part of the account first.
        this.stage.set(Stage::Done);
        if let (Some(handed_on), Ok(result)) = (this.handed_on.take(), &told) {
            handed_on.close(result.as_ref().ok().map(|response| (response.status(), response.headers())));
        }
        let unheard = this.tell.take().is_none_or(|tell| tell.send(told).is_err());
        this.slot.end(unheard);
        Poll::Ready(())
    }
}

/// Whether the caller has gone.
fn is_gone<T>(tell: Option<&mut oneshot::Sender<T>>, cx: &mut Context<'_>) -> bool {
    tell.is_some_and(|tell| tell.poll_closed(cx).is_ready())
}

/// Waits for the inner service, then calls it.
fn step<S, B>(
    mut stage: Pin<&mut Stage<S, S::Future, B>>,
    recorder: &Recorder,
    handed_on: &mut Option<HandedOn>,
    cx: &mut Context<'_>,
) -> Poll<Result<S::Response, S::Error>>
where
    S: Service<Request<B>>,
{
    loop {
        let inner = match stage.as_mut().project() {
            StageProj::Readying { service, request } => {
                if let Err(error) = ready!(service.poll_ready(cx)) {
                    recorder.stopped(Stop::Final, None);
                    return Poll::Ready(Err(error));
                }
                let Some(request) = request.take() else { return Poll::Pending };
                // Where no layer within accounts for attempts, this does: the call must not pass for unsent.
                *handed_on = Some(recorder.hand_on(&request));
                service.call(request)
            }
            StageProj::Calling { inner } => return inner.poll(cx),
            StageProj::Done => return Poll::Pending,
        };
        stage.set(Stage::Calling { inner });
    }
}
