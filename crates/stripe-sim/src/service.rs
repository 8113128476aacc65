//! The simulator as a service: reads requests, waits where a fault wants it to, and leaves every decision to the engine.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use tower::Service;

use crate::{
    answer::Answer,
    api_error::ApiError,
    body::SimBody,
    engine::{Gate, Visit},
    error::SimError,
    execution::Course,
    faults::Fault,
    pull::{LONGEST_BODY, Pull, Unread},
    queue,
    request::{Head, Received},
    script::Step,
    shared::{Presence, Shared},
};

/// The in-process simulator: a service that any HTTP client can be replaced with.
///
/// Clones talk to the same Stripe. It is always ready, and it must be called inside a tokio runtime.
///
/// The future does the client's part of an exchange, so dropping it is what a client does that gives up. A request that
/// was read is executed in the same poll: there is no moment in which it is read but its fate undecided. Executions that
/// a fault puts off ([`Fault::F5`], [`Fault::Slow`]) run in tasks of their own and land whether or not the client waits; so
/// does everything that waits in the queue of a server with a [capacity](crate::SimBuilder::capacity).
#[derive(Clone)]
pub struct SimService {
    shared: Arc<Shared>,
}

impl SimService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl<B> Service<Request<B>> for SimService
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<SimBody>;
    type Error = SimError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), SimError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        ResponseFuture { inner: Box::pin(serve(Arc::clone(&self.shared), request)) }
    }
}

impl fmt::Debug for SimService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimService").finish_non_exhaustive()
    }
}

/// The future of [`SimService`].
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    inner: Pin<Box<dyn Future<Output = Result<Response<SimBody>, SimError>> + Send>>,
}

impl Future for ResponseFuture {
    type Output = Result<Response<SimBody>, SimError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// One exchange.
async fn serve<B>(sim: Arc<Shared>, request: Request<B>) -> Result<Response<SimBody>, SimError>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    let presence = Arc::new(sim.enter());
    let (parts, body) = request.into_parts();
    let mut pull = Pull::new(body);
    let head = Head::read(&parts);
    let visit = sim.arrive(&head);

    // Faults that spare the body can do so only if the head alone says which order it is.
    let early = head.order(!pull.is_empty()).map(|order| sim.step(&visit, &head, &order));
    match early.as_ref().map(|(step, _)| step) {
        Some(Step::Fault(Fault::F0)) => return Err(SimError::connect(false)),
        Some(Step::Fault(fault @ (Fault::RefusedStream | Fault::GoAway))) => {
            return Err(SimError::refused(*fault, false));
        }
        Some(Step::Fault(fault @ Fault::F1 { pulled })) => {
            // However the client's body behaves, the connection dies here.
            let _ = timeout(sim.patience(), pull.take(*pulled)).await;
            sim.read(&visit, pull.taken());
            return Err(SimError::reset(*fault, pull.frames() > 0));
        }
        _ => {}
    }

    let read = timeout(sim.patience(), pull.take(usize::MAX)).await.unwrap_or(Err(Unread::Broken));
    let body = pull.taken();
    let body_pulled = pull.frames() > 0;
    sim.read(&visit, body.clone());
    match read {
        Ok(()) => {}
        Err(Unread::Broken) => {
            return Err(SimError::reset(Fault::F1 { pulled: pull.frames() }, body_pulled));
        }
        Err(Unread::TooLong) => {
            return Ok(sim.deliver(
                &visit,
                Answer::error(&ApiError::too_large(LONGEST_BODY)),
                SimBody::whole,
            ));
        }
    }

    let request = Received::new(head, &body);
    let (step, latency) = early.unwrap_or_else(|| sim.step(&visit, &request.head, &request.order));
    let turn = if waits_for_its_turn(&step) { queue::join(&sim) } else { None };
    let arrived = Arrived { sim, presence, visit, request, step, latency, body_pulled };
    match turn {
        None => arrived.respond().await,
        Some(turn) => arrived.respond_in_turn(turn).await,
    }
}

/// Whether the server is busy with a request that takes this step.
fn waits_for_its_turn(step: &Step) -> bool {
    match step {
        Step::Pass => true,
        Step::Answer(_) | Step::Hang => false,
        Step::Fault(fault) => {
            !matches!(fault, Fault::F0 | Fault::F1 { .. } | Fault::F2 | Fault::RefusedStream | Fault::GoAway)
        }
    }
}

/// A request that was read, and what is to become of it.
struct Arrived {
    sim: Arc<Shared>,
    presence: Arc<Presence>,
    visit: Visit,
    request: Received,
    step: Step,
    latency: Duration,
    body_pulled: bool,
}

impl Arrived {
    /// Waits in the queue, in a task that no client can cancel.
    async fn respond_in_turn(self, turn: oneshot::Receiver<()>) -> Result<Response<SimBody>, SimError> {
        let (answer, receiver) = oneshot::channel();
        let (patience, body_pulled) = (self.sim.patience(), self.body_pulled);
        let queued = self.sim.put_off();
        tokio::spawn(async move {
            // It fails only with the runtime, and then this does not go on either.
            let _ = turn.await;
            drop(queued);
            let (sim, visit) = (Arc::clone(&self.sim), self.visit.clone());
            if answer.send(self.respond().await).is_err() {
                sim.undelivered(&visit);
            }
        });
        let answered = timeout(patience, receiver).await.ok().and_then(Result::ok);
        answered.unwrap_or_else(|| Err(SimError::reset(Fault::F5 { delay: patience }, body_pulled)))
    }

    async fn respond(self) -> Result<Response<SimBody>, SimError> {
        let Self { sim, presence, visit, request, step, latency, body_pulled } = self;
        let fault = match step {
            Step::Pass if latency > Duration::ZERO => Fault::Slow { delay: latency },
            Step::Pass => {
                let answer = sim.handle(&visit, &request, Course::Smooth);
                return Ok(sim.deliver(&visit, answer, SimBody::whole));
            }
            Step::Answer(canned) => {
                let patience = sim.patience();
                let latency = canned.latency();
                if latency > Duration::ZERO {
                    sleep(latency.min(patience)).await;
                }
                if latency > patience {
                    return Err(SimError::reset(Fault::F2, body_pulled));
                }
                return Ok(sim.deliver(&visit, canned.into_answer(), SimBody::whole));
            }
            Step::Hang => {
                sleep(sim.patience()).await;
                return Err(SimError::reset(Fault::F2, body_pulled));
            }
            Step::Fault(fault) => fault,
        };
        match fault {
            Fault::F0 => Err(SimError::connect(body_pulled)),
            Fault::F1 { .. } | Fault::F2 => Err(SimError::reset(fault, body_pulled)),
            Fault::RefusedStream | Fault::GoAway => Err(SimError::refused(fault, body_pulled)),
            Fault::F3 => {
                sim.handle(&visit, &request, Course::Smooth);
                Err(SimError::reset(fault, body_pulled))
            }
            Fault::StoredServerError { executed } => {
                let answer = sim.handle(&visit, &request, Course::BreaksDown { executed });
                Ok(sim.deliver(&visit, answer, SimBody::whole))
            }
            Fault::NoFunds => {
                let answer = sim.handle(&visit, &request, Course::NoFunds);
                Ok(sim.deliver(&visit, answer, SimBody::whole))
            }
            Fault::F4Cut => {
                let answer = sim.handle(&visit, &request, Course::Smooth);
                Ok(sim.deliver(&visit, answer, SimBody::cut))
            }
            Fault::F4Stall => {
                let answer = sim.handle(&visit, &request, Course::Smooth);
                let limit = sim.patience();
                Ok(sim.deliver(&visit, answer, |bytes| SimBody::stalling(bytes, limit)))
            }
            Fault::F5 { delay } => {
                let late = visit.clone();
                let answer =
                    land(&sim, &presence, delay, move |sim| sim.handle(&late, &request, Course::Smooth));
                await_late(&sim, &visit, answer).await.ok_or_else(|| SimError::reset(fault, body_pulled))
            }
            Fault::Slow { delay } => {
                let late = visit.clone();
                let gate = sim.begin(&visit, &request);
                let answer = land(&sim, &presence, delay, move |sim| match gate {
                    Gate::Answered(answer) => answer,
                    Gate::Executing(execution) => sim.finish(&late, *execution),
                });
                await_late(&sim, &visit, answer).await.ok_or_else(|| SimError::reset(fault, body_pulled))
            }
        }
    }
}

/// Runs `work` after `delay` in a task that no client can cancel.
fn land(
    sim: &Arc<Shared>,
    presence: &Arc<Presence>,
    delay: Duration,
    work: impl FnOnce(&Shared) -> Answer + Send + 'static,
) -> oneshot::Receiver<Answer> {
    let (answer, receiver) = oneshot::channel();
    let (sim, landing, presence) = (Arc::clone(sim), sim.put_off(), Arc::clone(presence));
    tokio::spawn(async move {
        sleep(delay).await;
        let landed = work(&sim);
        drop((landing, presence));
        // A client that has gone wants no answer.
        let _ = answer.send(landed);
    });
    receiver
}

/// What the client gets of a late answer: nothing, if its patience or ours ends first.
async fn await_late(
    sim: &Shared,
    visit: &Visit,
    answer: oneshot::Receiver<Answer>,
) -> Option<Response<SimBody>> {
    let answer = timeout(sim.patience(), answer).await.ok()?.ok()?;
    Some(sim.deliver(visit, answer, SimBody::whole))
}
