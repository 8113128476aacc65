//! What a call costs on its way through the layers, when nothing goes wrong: `cargo bench --bench overhead`.
//!
//! The client answers at once and does nothing. What counts is the difference to it in allocations, which repeats
//! exactly; the times depend on the machine.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use http::{HeaderValue, Request, Response};
use http_body_util::{Empty, Full};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service, ServiceExt};
use tower_stripe::{
    StripeTransport,
    auth_gate::AuthGateLayer,
    breaker::BreakerLayer,
    classify::ClassifyLayer,
    edge::EdgeLayer,
    governor::{Bucket, GovernorBuilder, GovernorConfig, GovernorLayer, Limit},
    idempotency::IdempotencyLayer,
    request_id::RequestIdLayer,
    retry::RetryLayer,
    telemetry::{TelemetryBuilder, TelemetryConfig},
    timeout::TimeoutLayer,
};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A client that has the answer already.
#[derive(Clone, Copy)]
struct Null;

impl<B> Service<Request<B>> for Null {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Empty::new());
        response.headers_mut().insert("request-id", HeaderValue::from_static("req_4f6DzA"));
        ready(Ok(response))
    }
}

/// A payment, with headers as an SDK writes them: made at run time.
fn payment() -> Request<Full<Bytes>> {
    Request::post("https://api.stripe.com/v1/payment_intents")
        .header("authorization", format!("Bearer {}", "sk_test_123"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("stripe-version", "2026-07-29.dahlia")
        .header("user-agent", "Stripe/v1 RustBindings/1.0")
        .body(Full::from("amount=1099&currency=eur"))
        .expect("a valid request")
}

fn measure<S>(bencher: Bencher<'_, '_>, service: S)
where
    S: Service<Request<Full<Bytes>>> + Clone,
{
    let runtime: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    bencher
        .with_inputs(payment)
        .bench_local_values(|request| runtime.block_on(service.clone().oneshot(request)).is_ok());
}

#[divan::bench]
fn a_client_alone(bencher: Bencher<'_, '_>) {
    measure(bencher, Null);
}

#[divan::bench]
fn b_edge(bencher: Bencher<'_, '_>) {
    measure(bencher, EdgeLayer::new().layer(Null));
}

#[divan::bench]
fn c_request_id(bencher: Bencher<'_, '_>) {
    measure(bencher, RequestIdLayer::new().layer(Null));
}

#[divan::bench]
fn d_classify(bencher: Bencher<'_, '_>) {
    measure(bencher, ClassifyLayer::default().layer(Null));
}

#[divan::bench]
fn e_timeout(bencher: Bencher<'_, '_>) {
    measure(bencher, TimeoutLayer::default().layer(EdgeLayer::new().layer(Null)));
}

#[divan::bench]
fn f_idempotency(bencher: Bencher<'_, '_>) {
    measure(bencher, IdempotencyLayer::default().layer(EdgeLayer::new().layer(Null)));
}

#[divan::bench]
fn g_retry(bencher: Bencher<'_, '_>) {
    measure(bencher, RetryLayer::default().layer(EdgeLayer::new().layer(Null)));
}

#[divan::bench]
fn h_auth_gate(bencher: Bencher<'_, '_>) {
    measure(bencher, AuthGateLayer::default().layer(EdgeLayer::new().layer(Null)));
}

#[divan::bench]
fn i_breaker(bencher: Bencher<'_, '_>) {
    measure(bencher, BreakerLayer::default().layer(EdgeLayer::new().layer(Null)));
}

/// Counts everything, and lets everything pass: waits would be measured otherwise.
fn unlimited() -> GovernorBuilder {
    GovernorConfig::builder()
        .limit(Bucket::Global, Limit::UNLIMITED)
        .limit(Bucket::EachOperation, Limit::UNLIMITED)
}

#[divan::bench]
fn j_governor(bencher: Bencher<'_, '_>) {
    let layer = GovernorLayer::new(unlimited().build().expect("valid settings"));
    measure(bencher, layer.layer(EdgeLayer::new().layer(Null)));
}

fn transport(telemetry: TelemetryBuilder) -> StripeTransport<Null> {
    let builder = StripeTransport::builder().governor(unlimited()).telemetry(telemetry);
    builder.build().expect("valid settings").layer(Null)
}

/// Telemetry as it is by default, and nobody who listens.
#[divan::bench]
fn k_transport(bencher: Bencher<'_, '_>) {
    measure(bencher, transport(TelemetryConfig::builder()));
}

#[divan::bench]
fn l_transport_without_telemetry(bencher: Bencher<'_, '_>) {
    measure(bencher, transport(TelemetryConfig::builder().enabled(false)));
}

#[divan::bench]
fn m_transport_with_a_recorder(bencher: Bencher<'_, '_>) {
    let recorder = PrometheusBuilder::new().build_recorder();
    measure(bencher, transport(TelemetryConfig::builder().recorder(Arc::new(recorder))));
}
