//! What a refusal costs: nothing is allocated for it but the error, with the report of its call. And what telemetry costs a
//! call that goes well: nothing.
//!
//! A test binary of its own, since it replaces the allocator of the process by one that counts, thread by thread.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer, Service, service_fn};
use tower_stripe::{
    BoxError, Refusal, StripeTransport, TransportError,
    breaker::{BreakerLayer, Partition, Traffic},
    telemetry::{TelemetryBuilder, TelemetryConfig},
    vocab::{Admit, Ask, Ended, Gate, Gated, Host, Mode, Replay, gate::Never},
};

type Body = Full<Bytes>;

const PAYMENTS: Partition = Partition { host: Host::Api, mode: Mode::Sandbox, traffic: Traffic::Write };

/// The cheapest gate there can be: a word.
#[derive(Clone, Copy, Debug)]
struct No;

impl Gate for No {
    type Permit = ();
    type Wait = Never<()>;

    fn admit<B: Replay>(&self, _: &Ask, _: &Request<B>) -> Admit<(), Never<()>> {
        Admit::No(Refusal::CircuitOpen { retry_in: None })
    }

    fn settle((): (), _: &Ended) {}
}

fn payment() -> Request<Body> {
    Request::post("https://api.stripe.com/v1/payment_intents")
        .header("authorization", "Bearer sk_test_123")
        .body(Full::from("amount=1099&currency=eur"))
        .expect("a valid request")
}

/// No refused call gets here.
fn client()
-> impl Service<Request<Body>, Response = Response<Empty<Bytes>>, Error = BoxError, Future: Send> + Clone + Send
{
    service_fn(|_: Request<Body>| -> std::future::Ready<Result<_, BoxError>> { panic!("it was sent") })
}

/// What one refusal allocates, from the call to the error; and that dropping the error gives all of it back.
fn cost<S>(service: &mut S) -> AllocationInfo
where
    S: Service<Request<Body>, Error: TransportError>,
{
    let mut context = Context::from_waker(Waker::noop());
    let mut once = || {
        let request = payment();
        let mut error = None;
        let cost = measure(|| {
            let Poll::Ready(Ok(())) = service.poll_ready(&mut context) else { panic!("a gate is ready") };
            let Poll::Ready(Err(refused)) = pin!(service.call(request)).poll(&mut context) else {
                panic!("it was not refused at once")
            };
            error = Some(refused);
        });
        let freed = measure(|| drop(error));
        (cost, freed)
    };
    // What is made once for all.
    once();
    let (first, freed) = once();
    assert_eq!(freed.count_total, 0);
    for _ in 0..1_000 {
        let (cost, freed_again) = once();
        assert_eq!((cost.count_total, cost.bytes_total), (first.count_total, first.bytes_total));
        assert_eq!(freed_again.bytes_current, freed.bytes_current, "it does not add up");
    }
    first
}

#[test]
fn an_open_circuit_allocates_no_more_than_a_gate_that_only_says_no() {
    let layer = BreakerLayer::default();
    layer.handle().force_open(PAYMENTS);
    let open = cost(&mut layer.layer(client()));
    let least = cost(&mut Gated::new(client(), No));
    println!("open circuit: {} allocations, {} bytes", open.count_total, open.bytes_total);
    assert_eq!((open.count_total, open.bytes_total), (least.count_total, least.bytes_total));
    // The report, its place in the extensions, and its one entry.
    assert!(open.count_total <= 5, "{}", open.count_total);
}

#[test]
fn a_circuit_that_has_opened_by_itself_does_not_either() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let _guard = runtime.enter();
    let layer = BreakerLayer::default();
    let down = service_fn(async |_: Request<Body>| {
        Ok::<_, BoxError>(Response::builder().status(503).body(Empty::<Bytes>::new()).expect("a response"))
    });
    for _ in 0..10 {
        let answer = runtime.block_on(layer.layer(down).call(payment())).expect("an answer");
        assert_eq!(answer.status(), 503);
    }
    let open = cost(&mut layer.layer(client()));
    let least = cost(&mut Gated::new(client(), No));
    assert_eq!((open.count_total, open.bytes_total), (least.count_total, least.bytes_total));
}

#[test]
fn through_the_whole_transport_a_refusal_takes_nine_allocations() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let _guard = runtime.enter();
    let stripe = StripeTransport::new(client());
    stripe.breaker().force_open(PAYMENTS);
    let open = cost(&mut stripe.clone());
    println!("through the transport: {} allocations, {} bytes", open.count_total, open.bytes_total);
    assert!(open.count_total <= 9, "{}", open.count_total);
}

/// What a payment that goes well allocates on its way through a transport, from the call to the response.
fn allocations(telemetry: TelemetryBuilder) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _guard = runtime.enter();
    let layer = StripeTransport::builder().telemetry(telemetry).build().expect("valid settings");
    let answers = service_fn(|_: Request<Body>| {
        let response = Response::builder().header("request-id", "req_1").body(Empty::<Bytes>::new());
        std::future::ready(response.map_err(BoxError::from))
    });
    let mut stripe = layer.layer(answers);
    let mut once = || {
        let request = payment();
        measure(|| {
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(Ok(())) = Service::<Request<Body>>::poll_ready(&mut stripe, &mut context) else {
                panic!("it is ready")
            };
            let Poll::Ready(Ok(_)) = pin!(stripe.call(request)).poll(&mut context) else {
                panic!("an answer")
            };
        })
        .count_total
    };
    // What is made once for all, as the series of an operation.
    once();
    once()
}

#[test]
fn telemetry_allocates_nothing_for_a_call_that_goes_well() {
    let off = allocations(TelemetryConfig::builder().enabled(false));
    let nobody_listens = allocations(TelemetryConfig::builder());
    let recorder = Arc::new(PrometheusBuilder::new().build_recorder());
    let counted = allocations(TelemetryConfig::builder().recorder(recorder));
    println!("off: {off}, on: {nobody_listens}, with a recorder: {counted}");
    assert_eq!((nobody_listens, counted), (off, off));
}
