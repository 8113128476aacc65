use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{HeaderValue, Method, Request, Response, Uri, header::AUTHORIZATION, uri::PathAndQuery};
use pin_project::pin_project;
use tokio::time::Sleep;
use tower::Service;

use super::{Admit, Ask, Ended, Gate, PROBE_PATH, PROBE_TIMEOUT};
use crate::vocab::{
    Attempt, Certainty, FailureKind, Outcome, Purpose, Recorder, Refusal, Refused, Replay, TransportError,
    report::{Entered, Held},
    time,
};

/// So many GETs of its own a call sends at most: a gate that wants more of them has learnt nothing.
const MAX_PROBES: u32 = 3;

/// The future of [`Gated`](super::Gated).
#[pin_project]
pub struct ResponseFuture<G, S, B>
where
    G: Gate,
    S: Service<Request<B>>,
{
    gate: G,
    service: S,
    recorder: Recorder,
    entered: Option<Entered>,
    call: Option<Call>,
    probes: u32,
    #[pin]
    state: State<G::Permit, G::Wait, S::Future, B>,
}

/// What is fixed for one call.
#[derive(Clone, Copy)]
struct Call {
    held: Held,
    deadline: Instant,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
enum State<P, W, F, B> {
    /// The call was refused before it began.
    Refused(Option<Refused>),
    Admitting(Request<B>),
    Waiting {
        wait: W,
        request: Request<B>,
    },
    /// Admitted; waits for the inner service to be ready. The alarm is set only if it is not at once.
    Readying {
        permit: P,
        /// What is sent next: the request, or first a GET of the stack's own.
        request: Request<B>,
        probe: Option<Probe<B>>,
        alarm: Option<Pin<Box<Sleep>>>,
    },
    Probing {
        #[pin]
        inner: F,
        permit: P,
        request: Request<B>,
        recorder: Recorder,
        entered: Entered,
        alarm: Pin<Box<Sleep>>,
        sent: Instant,
    },
    Calling {
        #[pin]
        inner: F,
        permit: Option<P>,
        sent: Instant,
    },
    Done,
}

/// A GET of the stack's own, with an account that is nobody's.
struct Probe<B> {
    request: Request<B>,
    recorder: Recorder,
}

impl<B: Replay> Probe<B> {
    /// One like `request` in host, credential and account, and in nothing else; `None` where there is no body to be had.
    fn like(request: &Request<B>) -> Option<Self> {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static(PROBE_PATH));
        let mut probe = Request::new(B::without_content()?);
        *probe.method_mut() = Method::GET;
        *probe.uri_mut() = Uri::from_parts(parts).ok()?;
        if let Some(authorization) = request.headers().get(AUTHORIZATION) {
            let mut authorization: HeaderValue = authorization.clone();
            authorization.set_sensitive(true);
            probe.headers_mut().insert(AUTHORIZATION, authorization);
        }
        let recorder = Recorder::of(&mut probe);
        Some(Self { request: probe, recorder })
    }
}

impl<G, S, B> ResponseFuture<G, S, B>
where
    G: Gate,
    S: Service<Request<B>>,
{
    pub(super) fn new(
        gate: G,
        service: S,
        recorder: Recorder,
        entered: Entered,
        request: Request<B>,
    ) -> Self {
        let call = Call { held: recorder.held(), deadline: recorder.deadline_so_far(&request) };
        let state = State::Admitting(request);
        Self { gate, service, recorder, entered: Some(entered), call: Some(call), probes: 0, state }
    }

    pub(super) fn refused(gate: G, service: S, refused: Refused) -> Self {
        let state = State::Refused(Some(refused));
        let recorder = Recorder::default();
        Self { gate, service, recorder, entered: None, call: None, probes: 0, state }
    }
}

impl<G, S, B, R> Future for ResponseFuture<G, S, B>
where
    G: Gate,
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: TransportError + From<Refused>,
    B: Replay,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let recorder = &*this.recorder;
        loop {
            // Each arm says what comes next, or why it ends here.
            let (refusal, request) = match this.state.as_mut().project() {
                StateProj::Refused(refused) => {
                    let Some(refused) = refused.take() else { return Poll::Pending };
                    this.state.set(State::Done);
                    return Poll::Ready(Err(refused.into()));
                }
                StateProj::Admitting(_) => {
                    let StateOwn::Admitting(request) = this.state.as_mut().project_replace(State::Done)
                    else {
                        return Poll::Pending;
                    };
                    let Some(Call { deadline, .. }) = *this.call else { return Poll::Pending };
                    let ask = Ask { deadline, ..Ask::of(&request, recorder, time::now()) };
                    match this.gate.admit(&ask, &request) {
                        Admit::Now(permit) => {
                            this.state.set(State::Readying { permit, request, probe: None, alarm: None });
                            continue;
                        }
                        Admit::Wait(wait) => {
                            this.state.set(State::Waiting { wait, request });
                            continue;
                        }
                        Admit::Probe(permit) if *this.probes < MAX_PROBES => match Probe::like(&request) {
                            Some(probe) => {
                                *this.probes += 1;
                                let probe = Some(probe);
                                this.state.set(State::Readying { permit, request, probe, alarm: None });
                                continue;
                            }
                            None => {
                                // It is not that its caller went away: none can be made.
                                let ended = Ended::new(Outcome::Refused, false, ask.now, ask.now);
                                G::settle(permit, &Ended { synthetic: true, ..ended });
                                (Refusal::CircuitOpen { retry_in: Some(PROBE_TIMEOUT) }, request)
                            }
                        },
                        Admit::Probe(_) => (Refusal::CircuitOpen { retry_in: Some(PROBE_TIMEOUT) }, request),
                        Admit::No(refusal) => (refusal, request),
                    }
                }
                StateProj::Waiting { wait, .. } => {
                    let admitted = ready!(Pin::new(wait).poll(cx));
                    let StateOwn::Waiting { request, .. } = this.state.as_mut().project_replace(State::Done)
                    else {
                        return Poll::Pending;
                    };
                    match admitted {
                        Ok(permit) => {
                            let waited =
                                |attempt: &Attempt| time::now().saturating_duration_since(attempt.began);
                            let waited = recorder.last_attempt(waited).unwrap_or_default();
                            tracing::debug!(waited_ms = waited.as_millis() as u64, "its turn has come");
                            this.state.set(State::Readying { permit, request, probe: None, alarm: None });
                            continue;
                        }
                        Err(refusal) => (refusal, request),
                    }
                }
                StateProj::Readying { alarm, .. } => {
                    let Some(Call { held, deadline }) = *this.call else { return Poll::Pending };
                    match this.service.poll_ready(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => {
                            this.state.set(State::Done);
                            recorder.failed_if_unheard(|| error.failure());
                            this.entered.take().map(Entered::close);
                            return Poll::Ready(Err(error));
                        }
                        Poll::Pending => {
                            let sleep = || Box::pin(tokio::time::sleep_until(deadline.into()));
                            ready!(alarm.get_or_insert_with(sleep).as_mut().poll(cx));
                        }
                    }
                    let StateOwn::Readying { permit, mut request, probe, .. } =
                        this.state.as_mut().project_replace(State::Done)
                    else {
                        return Poll::Pending;
                    };
                    let now = time::now();
                    // Time has passed since the layer outside looked.
                    let may_send = if now < deadline {
                        recorder.check_key_age(now)
                    } else {
                        Err(Refusal::DeadlineExceeded)
                    };
                    let may_send = may_send.and_then(|()| match probe {
                        Some(_) => Ok(()),
                        None => recorder.admitted(&held, &mut request, G::priority(&permit), now),
                    });
                    match may_send {
                        Ok(()) => {
                            let next = send::<G, S, B>(this.service, permit, request, probe, deadline, now);
                            this.state.set(next);
                            continue;
                        }
                        Err(refusal) => (refusal, request),
                    }
                }
                StateProj::Probing { inner, alarm, .. } => {
                    let result = match inner.poll(cx) {
                        Poll::Ready(result) => Some(result),
                        Poll::Pending => {
                            ready!(alarm.as_mut().poll(cx));
                            None
                        }
                    };
                    let StateOwn::Probing { permit, request, recorder, entered, sent, .. } =
                        this.state.as_mut().project_replace(State::Done)
                    else {
                        return Poll::Pending;
                    };
                    let now = time::now();
                    let ended = match &result {
                        Some(result) => ended(&recorder, result, sent, now),
                        None => Ended::new(Outcome::Transport(FailureKind::Timeout), false, sent, now),
                    };
                    entered.close();
                    tracing::debug!(outcome = ended.outcome.as_str(), "looked whether stripe is back");
                    G::settle(permit, &Ended { synthetic: true, ..ended });
                    this.state.set(State::Admitting(request));
                    continue;
                }
                StateProj::Calling { inner, permit, sent } => {
                    let mut result = ready!(inner.poll(cx));
                    let ended = ended(recorder, &result, *sent, time::now());
                    if let Some(permit) = permit.take() {
                        G::settle(permit, &ended);
                    }
                    this.state.set(State::Done);
                    if let Ok(response) = &mut result {
                        recorder.attach(response);
                    }
                    this.entered.take().map(Entered::close);
                    return Poll::Ready(result);
                }
                StateProj::Done => return Poll::Pending,
            };
            this.state.set(State::Done);
            let refused = recorder.refuse_unread(&request, refusal);
            this.entered.take().map(Entered::close);
            return Poll::Ready(Err(refused.into()));
        }
    }
}

/// Sends what is next, the service being ready.
fn send<G, S, B>(
    service: &mut S,
    mut permit: G::Permit,
    request: Request<B>,
    probe: Option<Probe<B>>,
    deadline: Instant,
    now: Instant,
) -> State<G::Permit, G::Wait, S::Future, B>
where
    G: Gate,
    S: Service<Request<B>>,
{
    G::sent(&mut permit, now);
    match probe {
        Some(Probe { request: probe, recorder }) => {
            let entered = recorder.enter(&probe, Purpose::First);
            let alarm = Box::pin(tokio::time::sleep_until(deadline.min(now + PROBE_TIMEOUT).into()));
            let inner = service.call(probe);
            State::Probing { inner, permit, request, recorder, entered, alarm, sent: now }
        }
        None => State::Calling { inner: service.call(request), permit: Some(permit), sent: now },
    }
}

/// What is known of an attempt whose result has come. What no layer within has said of it is taken from the result.
fn ended<R, E: TransportError>(
    recorder: &Recorder,
    result: &Result<Response<R>, E>,
    sent: Instant,
    now: Instant,
) -> Ended {
    match result {
        Ok(response) => recorder.answered_if_unheard(response.status(), response.headers()),
        Err(error) => recorder.failed_if_unheard(|| error.failure()),
    }
    let known = recorder.last_attempt(|attempt| Ended {
        not_sent: attempt.certainty == Certainty::NotSent,
        ..Ended::new(attempt.outcome, attempt.genuine, sent, now)
    });
    known.unwrap_or(Ended::new(Outcome::Transport(FailureKind::Other), false, sent, now))
}

impl<G, S, B> fmt::Debug for ResponseFuture<G, S, B>
where
    G: Gate,
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("report", self.recorder.handle()).finish_non_exhaustive()
    }
}
