//! What all tests share: the simulator as an HTTP client, async-stripe's requests, and what the other side saw.

use std::{
    collections::HashMap,
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use stripe_client_core::{RequestStrategy, SharedConfigBuilder};
use stripe_core::payment_intent::CreatePaymentIntent;
use stripe_sim::{Limits, Sim, SimBody, SimError, SimErrorKind, SimService};
use stripe_types::Currency;
use tower::Service;
use tower_stripe::{Failure, FailureKind, StripeTransport, TransportError};
use tower_stripe_async_stripe::Client;

/// The API key of the simulator's sandbox account.
pub(crate) const API_KEY: &str = "sk_test_sim";

/// The simulator as an HTTP client whose errors say what they prove.
#[derive(Clone, Debug)]
pub(crate) struct SimClient(SimService);

/// What went wrong on the simulated network.
#[derive(Debug)]
pub(crate) struct NetworkError(SimError);

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for NetworkError {}

impl TransportError for NetworkError {
    fn failure(&self) -> Failure {
        match self.0.kind() {
            SimErrorKind::Connect => Failure::not_sent(FailureKind::Tcp),
            SimErrorKind::Reset => Failure::unknown(FailureKind::Reset),
            SimErrorKind::Refused => Failure::handed_back(FailureKind::StreamRefused),
        }
    }

    fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self)
    }
}

impl Service<Request<Full<Bytes>>> for SimClient {
    type Response = Response<SimBody>;
    type Error = NetworkError;
    type Future = SimFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NetworkError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> SimFuture {
        SimFuture(self.0.call(request))
    }
}

pub(crate) struct SimFuture(stripe_sim::ResponseFuture);

impl Future for SimFuture {
    type Output = Result<Response<SimBody>, NetworkError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(cx)).map_err(NetworkError))
    }
}

/// A simulator without limits.
pub(crate) fn sim() -> Sim {
    Sim::builder().limits(Limits::unlimited()).build()
}

/// The transport at its defaults, over a simulator.
pub(crate) fn transport(sim: &Sim) -> StripeTransport<SimClient> {
    StripeTransport::new(SimClient(sim.service()))
}

/// The client at its defaults, over the transport at its.
pub(crate) fn client(sim: &Sim) -> Client {
    Client::new(transport(sim), API_KEY).expect("a valid key")
}

pub(crate) fn configured(sim: &Sim, config: SharedConfigBuilder) -> Client {
    Client::with_config(transport(sim), config).expect("valid settings")
}

pub(crate) fn config() -> SharedConfigBuilder {
    SharedConfigBuilder::new(API_KEY)
}

/// A payment of one order, as a shop makes it: create and confirm in one request.
pub(crate) fn payment(order: &str) -> CreatePaymentIntent {
    payment_with(order, "pm_card_visa")
}

pub(crate) fn payment_with(order: &str, payment_method: &str) -> CreatePaymentIntent {
    CreatePaymentIntent::new(1099, Currency::EUR)
        .confirm(true)
        .payment_method(payment_method)
        .metadata(of_order(order))
}

pub(crate) fn of_order(order: &str) -> HashMap<String, String> {
    HashMap::from([("order".to_owned(), order.to_owned())])
}

pub(crate) fn idempotent(key: &str) -> RequestStrategy {
    RequestStrategy::Idempotent(stripe_client_core::IdempotencyKey::new(key).expect("of a valid length"))
}

/// A customer, from a client that answers everything with it.
pub(crate) fn customer() -> Response<Full<Bytes>> {
    let body = r#"{ "id": "cus_1", "object": "customer", "created": 1, "livemode": false }"#;
    Response::builder().header("request-id", "req_1").body(Full::from(body)).expect("a response")
}

/// The keys that the requests of an order carried.
pub(crate) fn keys(sim: &Sim, order: &str) -> Vec<Option<String>> {
    sim.log_of(order).into_iter().map(|seen| seen.idempotency_key).collect()
}

/// That an order took `requests` requests, all with one key, and was executed once.
pub(crate) fn assert_once(sim: &Sim, order: &str, requests: usize) {
    let keys = keys(sim, order);
    assert_eq!(keys.len(), requests, "{order}");
    assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{order} used {keys:?}");
    assert_eq!(sim.ledger().executions(order), 1, "{order}");
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
