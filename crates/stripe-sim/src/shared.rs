//! What all handles of one simulator share: the engine behind its lock, the clock, and who is still busy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Response;
use tokio::sync::watch;

use crate::{
    answer::Answer,
    body::SimBody,
    clock::{Clock, tick},
    engine::{Engine, Gate, Visit},
    execution::{Course, Execution},
    lock::Lock,
    queue::Queue,
    request::{Head, Received},
    script::Step,
};

/// The simulator behind all of its handles.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Lock<Engine>,
    pub(crate) clock: Clock,
    pub(crate) connections: AtomicU64,
    pub(crate) queue: Queue,
    in_flight: Arc<AtomicUsize>,
    late: watch::Sender<usize>,
}

impl Shared {
    pub(crate) fn new(engine: Engine, clock: Clock, queue: Queue) -> Self {
        Self {
            engine: Lock::new(engine),
            clock,
            connections: AtomicU64::new(0),
            queue,
            in_flight: Arc::new(AtomicUsize::new(0)),
            late: watch::Sender::new(0),
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Counts something as in flight until the guard drops.
    pub(crate) fn enter(&self) -> Presence {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        Presence(Arc::clone(&self.in_flight))
    }

    /// Counts an execution as put off until the guard drops.
    pub(crate) fn put_off(&self) -> Landing {
        self.late.send_modify(|late| *late += 1);
        Landing(self.late.clone())
    }

    /// Waits until nothing is put off any more.
    pub(crate) async fn quiesce(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.late.subscribe().wait_for(|late| *late == 0).await;
    }

    pub(crate) fn patience(&self) -> Duration {
        self.engine.with(|engine| engine.plan.faults().patience())
    }

    pub(crate) fn arrive(&self, head: &Head) -> Visit {
        self.engine.with(|engine| engine.arrive(head, tick(), self.clock.elapsed()))
    }

    pub(crate) fn step(&self, visit: &Visit, head: &Head, order: &str) -> (Step, Duration) {
        self.engine.with(|engine| engine.step(visit, head, order, tick()))
    }

    pub(crate) fn stalled_until(&self) -> Option<Instant> {
        self.engine.with(|engine| engine.plan.stalled_until(tick()))
    }

    /// Notes that nobody was there to take the answer.
    pub(crate) fn undelivered(&self, visit: &Visit) {
        self.engine.with(|engine| engine.note(visit, |exchange| exchange.status = None));
    }

    pub(crate) fn read(&self, visit: &Visit, body: Bytes) {
        self.engine.with(|engine| engine.read(visit, body));
    }

    pub(crate) fn handle(&self, visit: &Visit, request: &Received, course: Course) -> Answer {
        self.engine.with(|engine| engine.handle(visit, request, course, self.clock.now()))
    }

    pub(crate) fn begin(&self, visit: &Visit, request: &Received) -> Gate {
        self.engine.with(|engine| engine.begin(visit, request, self.clock.now()))
    }

    pub(crate) fn finish(&self, visit: &Visit, execution: Execution) -> Answer {
        self.engine.with(|engine| engine.finish(visit, execution, Course::Smooth, self.clock.now()))
    }

    pub(crate) fn settle(&self) {
        self.engine.with(|engine| engine.settle(self.clock.now()));
    }

    /// Hands an answer to the client, in a body of the given shape.
    pub(crate) fn deliver(
        &self,
        visit: &Visit,
        answer: Answer,
        shape: impl FnOnce(Bytes) -> SimBody,
    ) -> Response<SimBody> {
        let answer = self.engine.with(|engine| engine.deliver(visit, answer));
        let mut response = Response::new(shape(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }
}

/// Something that is in flight.
#[derive(Debug)]
pub(crate) struct Presence(Arc<AtomicUsize>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An execution that was put off.
#[derive(Debug)]
pub(crate) struct Landing(watch::Sender<usize>);

impl Drop for Landing {
    fn drop(&mut self) {
        self.0.send_modify(|late| *late = late.saturating_sub(1));
    }
}
