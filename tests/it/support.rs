//! What all tests share: the simulator as a client, payments, and what the other side saw.

pub(crate) mod circuits;
pub(crate) mod load;
pub(crate) mod meters;
pub(crate) mod notes;
pub(crate) mod traffic;

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use self::meters::{Audit, Meters};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use stripe_sim::{Limits, Sim, SimBody, SimError, SimErrorKind, SimService};
use tower::Service;
use tower_stripe::{
    Error, Failure, FailureKind, IdempotencyKey, ResponseExt, StripeTransport, TransportError,
    breaker::{BreakerBuilder, BreakerConfig, Control},
    governor::{GovernorBuilder, GovernorConfig},
    transport::Builder,
    vocab::{Stop, tracked::Tracked},
};

/// The API key of the simulator's sandbox account.
pub(crate) const API_KEY: &str = "sk_test_sim";

/// The simulator as an HTTP client: its requests carry a tracked body, and its errors say what they prove, as those of
/// the recommended client do.
#[derive(Clone, Debug)]
pub(crate) struct SimClient {
    service: SimService,
    /// Of the transport that it belongs to.
    audit: Option<Arc<Audit>>,
}

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
    /// A client knows that a connection was never made, and nothing else.
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

impl<B> Service<Request<B>> for SimClient
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<SimBody>;
    type Error = NetworkError;
    type Future = SimFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NetworkError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> SimFuture {
        let (parts, body) = request.into_parts();
        self.audit.iter().for_each(|audit| audit.meters.sent(parts.uri.path()));
        let (body, proof) = Tracked::new(body);
        if let Some(handle) = parts.extensions.get::<tower_stripe::vocab::Recorder>() {
            handle.register_proof(proof);
        }
        SimFuture(self.service.call(Request::from_parts(parts, body)))
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

pub(crate) fn client(sim: &Sim) -> SimClient {
    SimClient { service: sim.service(), audit: None }
}

/// The transport at its defaults, over a simulator.
pub(crate) fn transport(sim: &Sim) -> StripeTransport<SimClient> {
    transport_of(sim, StripeTransport::builder())
}

/// A transport over a simulator. When it is gone, what it has counted must add up.
pub(crate) fn transport_of(sim: &Sim, builder: Builder) -> StripeTransport<SimClient> {
    metered(sim, builder).0
}

/// The same, with what it counts.
pub(crate) fn metered(sim: &Sim, builder: Builder) -> (StripeTransport<SimClient>, Meters) {
    let meters = Meters::default();
    let layer = builder.telemetry(meters.telemetry()).build().expect("valid settings");
    let audit = Audit { meters: meters.clone(), telemetry: layer.telemetry() };
    (layer.layer(SimClient { service: sim.service(), audit: Some(Arc::new(audit)) }), meters)
}

/// A payment of one order, as a shop makes it: create and confirm in one request.
pub(crate) fn payment(order: &str) -> Request<Full<Bytes>> {
    payment_with(order, "pm_card_visa")
}

pub(crate) fn payment_with(order: &str, payment_method: &str) -> Request<Full<Bytes>> {
    let form = format!(
        "amount=1099&currency=eur&confirm=true&payment_method={payment_method}&metadata[order]={order}"
    );
    post("/v1/payment_intents", order, form)
}

pub(crate) fn post(path: &str, order: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    request("POST", path, order, body)
}

pub(crate) fn get(path: &str, order: &str) -> Request<Full<Bytes>> {
    request("GET", path, order, "")
}

pub(crate) fn request(method: &str, path: &str, order: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("https://api.stripe.com{path}"))
        .header("authorization", format!("Bearer {API_KEY}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-sim-order", order)
        .body(Full::new(body.into()))
        .expect("a valid request")
}

/// The same request, with something in its extensions that its caller has to say.
pub(crate) fn with<B, T>(mut request: Request<B>, intent: T) -> Request<B>
where
    T: Clone + Send + Sync + 'static,
{
    request.extensions_mut().insert(intent);
    request
}

/// The same request, with a key of the caller's.
pub(crate) fn keyed<B>(request: Request<B>, key: &str) -> Request<B> {
    with(request, IdempotencyKey::new(key).expect("a valid key"))
}

/// Reads a body to its end.
pub(crate) async fn bytes<B>(response: Response<B>) -> Bytes
where
    B: Body<Data = Bytes>,
    B::Error: fmt::Debug,
{
    response.into_body().collect().await.expect("a whole body").to_bytes()
}

/// The statuses that the server answered to the requests of an order; `None` where its answer, if any, was lost.
pub(crate) fn statuses(sim: &Sim, order: &str) -> Vec<Option<u16>> {
    sim.log_of(order).iter().map(|seen| seen.status.map(|status| status.as_u16())).collect()
}

/// The keys that the requests of an order carried.
pub(crate) fn keys(sim: &Sim, order: &str) -> Vec<Option<String>> {
    sim.log_of(order).into_iter().map(|seen| seen.idempotency_key).collect()
}

/// How long after the one before each request of an order arrived.
pub(crate) fn gaps(sim: &Sim, order: &str) -> Vec<Duration> {
    sim.log_of(order).windows(2).map(|pair| pair[1].arrived - pair[0].arrived).collect()
}

/// Why the call made no further attempt.
pub(crate) fn stop<B>(response: &Response<B>) -> Option<Stop> {
    response.report().and_then(|report| report.stopped())
}

/// Why the call that failed made no further attempt.
pub(crate) fn stop_of<E>(error: &Error<E>) -> Option<Stop> {
    error.report().and_then(|report| report.stopped())
}

/// That all requests of an order carried the same key and the same body.
pub(crate) fn assert_one_key_and_body(sim: &Sim, order: &str) {
    let seen = sim.log_of(order);
    let Some(first) = seen.first() else { return };
    for exchange in &seen {
        assert!(exchange.idempotency_key.is_some(), "a request of {order} has no key");
        assert_eq!(exchange.idempotency_key, first.idempotency_key, "{order} used two keys");
        // A request that a fault cut short was read in part, so what was read must be a beginning.
        let shorter = exchange.body.len().min(first.body.len());
        assert_eq!(exchange.body[..shorter], first.body[..shorter], "{order} sent two bodies");
    }
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A breaker that admits everything: for tests in which so much fails that it would open, and that are about something else.
pub(crate) fn never_open() -> BreakerBuilder {
    BreakerConfig::builder().control(Control::Disabled)
}

/// A governor that lets everything pass at once: for tests of more calls than Stripe takes from a sandbox, that are about
/// something else.
pub(crate) fn ungoverned() -> GovernorBuilder {
    GovernorConfig::builder().enabled(false)
}
