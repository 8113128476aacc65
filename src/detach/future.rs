use std::{
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project::pin_project;
use tokio::{runtime::Handle, sync::oneshot};
use tower::{Service, ServiceExt, util::Oneshot};

use super::{
    shared::Shared,
    task::{Task, Told},
};
use crate::vocab::{Operation, Recorder, Refusal, Refused, Stop};

/// The future of [`Detach`](super::Detach).
#[pin_project]
pub struct ResponseFuture<S, B>
where
    S: Service<Request<B>> + 'static,
    B: 'static,
{
    #[pin]
    state: State<S, B, S::Future, S::Response, S::Error>,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
enum State<S, B, F, R, E>
where
    S: Service<Request<B>, Future = F>,
{
    Refused(Option<E>),
    /// What moves no money.
    InPlace(#[pin] Oneshot<S, Request<B>>),
    /// Nobody has polled it yet.
    Unbegun {
        service: S,
        request: Request<B>,
        caller: Caller,
    },
    Detached(Answer<R, E>),
    Done,
}

/// The caller of a call that has not begun. Dropped then, it records that it went away.
struct Caller {
    shared: Arc<Shared>,
    operation: Operation,
    recorder: Recorder,
    begun: bool,
}

impl Drop for Caller {
    fn drop(&mut self) {
        if !self.begun {
            self.recorder.stopped(Stop::Cancelled, None);
        }
    }
}

/// The answer of a task.
struct Answer<R, E> {
    caller: Caller,
    told: oneshot::Receiver<Told<R, E>>,
}

/// An answer that has come, and that nobody reads any more, is accounted for here: the task takes its caller for told.
impl<R, E> Drop for Answer<R, E> {
    fn drop(&mut self) {
        self.told.close();
        if self.told.try_recv().is_ok() {
            self.caller.shared.unread(self.caller.operation, self.caller.recorder.handle());
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

    pub(super) fn in_place(service: S, request: Request<B>) -> Self {
        Self { state: State::InPlace(service.oneshot(request)) }
    }

    pub(super) const fn new(
        service: S,
        request: Request<B>,
        operation: Operation,
        recorder: Recorder,
        shared: Arc<Shared>,
    ) -> Self {
        let caller = Caller { shared, operation, recorder, begun: false };
        Self { state: State::Unbegun { service, request, caller } }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Send,
    S::Error: From<Refused> + Send,
    S::Future: Send,
    B: Send,
    R: Send,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Refused(error) => match error.take() {
                    Some(error) => return Poll::Ready(Err(error)),
                    None => return Poll::Pending,
                },
                StateProj::InPlace(call) => {
                    let result = ready!(call.poll(cx));
                    state.set(State::Done);
                    return Poll::Ready(result);
                }
                StateProj::Unbegun { .. } => {
                    let StateOwn::Unbegun { service, request, mut caller } =
                        state.as_mut().project_replace(State::Done)
                    else {
                        return Poll::Pending;
                    };
                    caller.begun = true;
                    match spawn(service, request, caller) {
                        Ok(answer) => state.set(State::Detached(answer)),
                        Err(refused) => return Poll::Ready(Err(refused.into())),
                    }
                }
                StateProj::Detached(answer) => {
                    let told = ready!(Pin::new(&mut answer.told).poll(cx));
                    let recorder = answer.caller.recorder.clone();
                    state.set(State::Done);
                    return match told {
                        Ok(Ok(Ok(mut response))) => {
                            recorder.attach(&mut response);
                            Poll::Ready(Ok(response))
                        }
                        Ok(Ok(Err(error))) => Poll::Ready(Err(error)),
                        // As if it had been polled in place.
                        Ok(Err(panic)) => resume_unwind(panic),
                        Err(_) => Poll::Ready(Err(cut_off(&recorder).into())),
                    };
                }
                StateProj::Done => return Poll::Pending,
            }
        }
    }
}

/// Gives the call a task of its own, if it may have one.
fn spawn<S, B, R>(
    service: S,
    request: Request<B>,
    caller: Caller,
) -> Result<Answer<Response<R>, S::Error>, Refused>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Error: Send,
    S::Future: Send,
    B: Send + 'static,
    R: Send,
{
    let Caller { shared, operation, recorder, .. } = &caller;
    // Without a runtime it would be polled in place, undetached.
    let runtime = Handle::try_current().map_err(|_| Refusal::ShuttingDown);
    let admitted = runtime.and_then(|runtime| Ok((runtime, shared.admit(*operation, recorder.handle())?)));
    let (runtime, slot) = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => return Err(recorder.refuse_unread(&request, refusal)),
    };
    let id = slot.id();
    let (tell, told) = oneshot::channel();
    let task = runtime.spawn(Task::new(service, request, *operation, recorder.clone(), slot, tell));
    shared.started(id, task.abort_handle());
    Ok(Answer { caller, told })
}

/// The task has gone without a word: a drain has cut it off, or its runtime was shut down.
#[cold]
fn cut_off(recorder: &Recorder) -> Refused {
    match recorder.report().stopped() {
        Some(_) => Refused::new(Refusal::ShuttingDown, recorder.handle().clone()),
        None => recorder.refuse(Refusal::ShuttingDown),
    }
}

/// Shows nothing of the request.
impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResponseFuture")
            .field(&match self.state {
                State::Refused(_) => "refused",
                State::InPlace(_) => "in place",
                State::Unbegun { .. } => "not begun",
                State::Detached(_) => "detached",
                State::Done => "done",
            })
            .finish()
    }
}
