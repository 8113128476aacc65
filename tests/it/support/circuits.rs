//! Circuits of the simulator's sandbox account: opened on purpose, and watched.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use stripe_sim::{Canned, Phase, Scenario, Sim, SimBody};
use tokio::sync::broadcast::Receiver;
use tower::Service;
use tower_stripe::{
    Error, RetryLimit, StripeTransport, TransportError,
    breaker::{Circuit, Partition, State, Traffic, Transition},
    vocab::{Host, Mode},
};

use super::{NetworkError, SimClient, client, get, post, secs, with};

pub(crate) const READS: Partition =
    Partition { host: Host::Api, mode: Mode::Sandbox, traffic: Traffic::Read };
pub(crate) const WRITES: Partition =
    Partition { host: Host::Api, mode: Mode::Sandbox, traffic: Traffic::Write };

/// The transport, over whatever client a test needs.
pub(crate) type Stripe<C = SimClient> = StripeTransport<C>;

/// A request that only asks.
pub(crate) fn read(order: &str) -> Request<Full<Bytes>> {
    get("/v1/customers?limit=1", order)
}

/// A request that moves no money.
pub(crate) fn write(order: &str) -> Request<Full<Bytes>> {
    post("/v1/customers", order, format!("metadata[order]={order}"))
}

/// The same request, once.
pub(crate) fn once<B>(request: Request<B>) -> Request<B> {
    with(request, RetryLimit::NONE)
}

/// From now on the weather at Stripe is this.
pub(crate) fn weather(sim: &Sim, phase: Phase) {
    sim.play(Scenario::new().then(phase));
}

/// From now on all is well.
pub(crate) fn clear(sim: &Sim) {
    sim.play(Scenario::new());
}

pub(crate) fn all_day() -> Phase {
    Phase::new(secs(86_400))
}

pub(crate) fn down() -> Phase {
    all_day().answers(Canned::html(503), 1.0)
}

/// Opens the circuit for reads or writes, by failures in a row. Then all is well again.
pub(crate) async fn trip(sim: &Sim, stripe: &Stripe, partition: Partition) {
    weather(sim, down());
    let state = || stripe.breaker().state(partition);
    for _ in (0..10).take_while(|_| state() == State::Closed) {
        let request = if partition.traffic == Traffic::Read { read("trip") } else { write("trip") };
        let answer = stripe.send(once(request)).await.expect("an answer");
        assert_eq!(answer.status(), 503);
    }
    clear(sim);
    assert_eq!(state(), State::Open);
}

/// What the server saw since it had seen `known` requests.
pub(crate) fn seen(sim: &Sim, known: usize) -> Vec<&'static str> {
    let log = sim.log();
    let kinds = log[known..].iter().map(|seen| match (&*seen.path, seen.is_read()) {
        ("/v1/", true) => "probe",
        ("/v1/payment_intents", false) => "payment",
        (_, true) => "read",
        (_, false) => "write",
    });
    kinds.collect()
}

/// The transitions of one circuit so far.
pub(crate) fn transitions(of: &mut Receiver<Transition>, circuit: impl Into<Circuit>) -> Vec<Transition> {
    let circuit = circuit.into();
    let all = std::iter::from_fn(|| match of.try_recv() {
        Ok(transition) => Some(transition),
        Err(tokio::sync::broadcast::error::TryRecvError::Empty) => None,
        Err(error) => panic!("{error}"),
    });
    all.filter(|transition| transition.circuit == circuit).collect()
}

/// Where they led.
pub(crate) fn states(transitions: &[Transition]) -> Vec<State> {
    transitions.iter().map(|transition| transition.to).collect()
}

/// How long a refusal by an open circuit says to wait; a panic if the answer is anything else.
#[track_caller]
pub(crate) fn refused_for<R, E: TransportError>(answer: Result<R, Error<E>>) -> Option<Duration> {
    let Err(error) = answer else { panic!("it was not refused") };
    match error.refusal() {
        Some(tower_stripe::Refusal::CircuitOpen { retry_in }) => *retry_in,
        other => panic!("{other:?}: {error:?}"),
    }
}

/// Whether it is a refusal by an open circuit.
pub(crate) fn is_refused<R, E>(answer: &Result<R, Error<E>>) -> bool {
    let refusal = answer.as_ref().err().and_then(Error::refusal);
    matches!(refusal, Some(tower_stripe::Refusal::CircuitOpen { .. }))
}

/// The simulator behind a network that takes this long to connect, and a client that can be made to panic.
#[derive(Clone)]
pub(crate) struct Wire {
    client: SimClient,
    pub(crate) dial: Duration,
    panics: Arc<AtomicU8>,
}

pub(crate) const IN_CALL: u8 = 1;
pub(crate) const IN_POLL: u8 = 2;

impl Wire {
    pub(crate) fn of(sim: &Sim) -> Self {
        Self { client: client(sim), dial: Duration::ZERO, panics: Arc::default() }
    }

    /// The next exchange panics there.
    pub(crate) fn panic(&self, at: u8) {
        self.panics.store(at, SeqCst);
    }

    fn panics(&self, at: u8) -> bool {
        self.panics.compare_exchange(at, 0, SeqCst, SeqCst).is_ok()
    }
}

impl Service<Request<Full<Bytes>>> for Wire {
    type Response = Response<SimBody>;
    type Error = NetworkError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NetworkError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NetworkError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        assert!(!self.panics(IN_CALL), "scripted");
        let mut this = self.clone();
        Box::pin(async move {
            if !this.dial.is_zero() {
                tokio::time::sleep(this.dial).await;
            }
            assert!(!this.panics(IN_POLL), "scripted");
            this.client.call(request).await
        })
    }
}
