use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use pin_project::pin_project;
use tower::Service;

use super::shared::Shared;
use crate::vocab::{
    Attempt, Outcome, Purpose, Recorder, Refusal, Refused, TransportError, report::Entered, time,
};

/// The future of [`Credentials`](super::Credentials).
#[pin_project]
pub struct ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    service: S,
    shared: Arc<Shared>,
    recorder: Recorder,
    entered: Option<Entered>,
    /// Whether a 401 is about the API key.
    heeds_401: bool,
    deadline: Option<Instant>,
    #[pin]
    state: State<S::Future, Result<S::Response, S::Error>, B>,
}

/// A slow path: boxed, since it is rare.
type Asking<T> = Pin<Box<dyn Future<Output = T> + Send>>;

#[pin_project(project = StateProj)]
enum State<F, R, B> {
    /// The call was refused before it began.
    Refused(Option<Refused>),
    /// Looks for another API key, as it is time, before the request is sent.
    Looking {
        look: Asking<()>,
        request: Option<Request<B>>,
    },
    Calling {
        #[pin]
        inner: F,
        /// The API key of the provider that the request carried.
        carried: Option<HeaderValue>,
    },
    /// Asks whether there is another API key, before an answer is handed on that says that this one is not accepted.
    Asking {
        another: Asking<bool>,
        result: Option<R>,
    },
    Done,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn refused(service: S, shared: Arc<Shared>, refused: Refused) -> Self {
        let state = State::Refused(Some(refused));
        let recorder = Recorder::default();
        Self { service, shared, recorder, entered: None, heeds_401: false, deadline: None, state }
    }

    /// Of a request that is sent as it is.
    pub(super) fn calling(
        mut service: S,
        shared: Arc<Shared>,
        recorder: Recorder,
        request: Request<B>,
    ) -> Self {
        let entered = Some(recorder.enter(&request, Purpose::First));
        let state = State::Calling { inner: service.call(request), carried: None };
        Self { service, shared, recorder, entered, heeds_401: false, deadline: None, state }
    }

    /// Of a request that is sent under a key of the provider.
    pub(super) fn keyed(
        mut service: S,
        shared: Arc<Shared>,
        recorder: Recorder,
        request: Request<B>,
        heeds_401: bool,
    ) -> Self {
        let entered = Some(recorder.enter(&request, Purpose::First));
        let now = time::now();
        let deadline = recorder.deadline_so_far(&request);
        let due = shared.ring.as_ref().is_some_and(|ring| ring.look_is_due(now));
        let state = if due {
            let held = Arc::clone(&shared);
            let look = Box::pin(async move {
                if let Some(ring) = &held.ring {
                    // What went wrong was told; the key in use is as good as it was.
                    let _ = ring.look(deadline).await;
                }
            });
            State::Looking { look, request: Some(request) }
        } else {
            send(&mut service, &shared, request)
        };
        Self { service, shared, recorder, entered, heeds_401, deadline: Some(deadline), state }
    }
}

/// Sends a request under the key in use.
fn send<S, B, R>(service: &mut S, shared: &Shared, mut request: Request<B>) -> State<S::Future, R, B>
where
    S: Service<Request<B>>,
{
    let carried = shared.ring.as_ref().map(|ring| ring.authorization());
    if let Some(key) = &carried {
        request.headers_mut().insert(AUTHORIZATION, key.clone());
    }
    State::Calling { inner: service.call(request), carried }
}

/// What an attempt says of its API key.
enum Said {
    /// Stripe does not accept it.
    Rejected,
    /// A gate knows that Stripe does not accept it, and has not sent the request.
    KnownBad,
    Nothing,
}

impl Said {
    fn by(attempt: &Attempt) -> Self {
        match &attempt.refusal {
            Some(Refusal::AuthBlocked { .. }) => Self::KnownBad,
            None if attempt.outcome == Outcome::Unauthorized && attempt.genuine => Self::Rejected,
            _ => Self::Nothing,
        }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: TransportError + From<Refused>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (shared, recorder) = (&*this.shared, &*this.recorder);
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Refused(refused) => {
                    let Some(refused) = refused.take() else { return Poll::Pending };
                    return Poll::Ready(Err(refused.into()));
                }
                StateProj::Looking { look, request } => {
                    ready!(look.as_mut().poll(cx));
                    let Some(request) = request.take() else { return Poll::Pending };
                    send(this.service, shared, request)
                }
                StateProj::Calling { inner, carried } => {
                    let result = ready!(inner.poll(cx));
                    match &result {
                        Ok(response) => recorder.answered_if_unheard(response.status(), response.headers()),
                        Err(error) => recorder.failed_if_unheard(|| error.failure()),
                    }
                    let carried = carried.take().filter(|_| *this.heeds_401);
                    match another(shared, carried, recorder, *this.deadline) {
                        Another::No => return Poll::Ready(finish(this.entered, &mut this.state, result)),
                        Another::Yes => {
                            recorder.newer_api_key();
                            return Poll::Ready(finish(this.entered, &mut this.state, result));
                        }
                        Another::Ask(another) => State::Asking { another, result: Some(result) },
                    }
                }
                StateProj::Asking { another, result } => {
                    if ready!(another.as_mut().poll(cx)) {
                        recorder.newer_api_key();
                    }
                    let Some(result) = result.take() else { return Poll::Pending };
                    return Poll::Ready(finish(this.entered, &mut this.state, result));
                }
                StateProj::Done => return Poll::Pending,
            };
            this.state.set(next);
        }
    }
}

fn finish<F, R, B>(entered: &mut Option<Entered>, state: &mut Pin<&mut State<F, R, B>>, result: R) -> R {
    state.set(State::Done);
    entered.take().map(Entered::close);
    result
}

/// Whether there is another API key than the one that an attempt carried.
enum Another {
    No,
    Yes,
    Ask(Asking<bool>),
}

fn another(
    shared: &Arc<Shared>,
    carried: Option<HeaderValue>,
    recorder: &Recorder,
    deadline: Option<Instant>,
) -> Another {
    let (Some(ring), Some(carried)) = (&shared.ring, carried) else { return Another::No };
    let now = time::now();
    match recorder.last_attempt(Said::by).unwrap_or(Said::Nothing) {
        Said::Nothing => Another::No,
        Said::Rejected | Said::KnownBad if ring.replaced(&carried) => Another::Yes,
        Said::KnownBad if !ring.may_ask_again(now) => Another::No,
        Said::Rejected | Said::KnownBad => {
            let shared = Arc::clone(shared);
            let until = deadline.unwrap_or(now);
            Another::Ask(Box::pin(async move {
                match &shared.ring {
                    Some(ring) => ring.another(&carried, now, until).await,
                    None => false,
                }
            }))
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("report", self.recorder.handle()).finish_non_exhaustive()
    }
}
