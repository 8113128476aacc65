//! What a call costs on its way through the layers, when nothing goes wrong: `cargo bench --bench overhead`.
//!
//! The client answers at once and does nothing. What counts is the difference to it in allocations, which repeats
//! exactly; the times depend on the machine.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use http::Request;
use http_body_util::Full;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service, ServiceExt};
use tower_stripe::{
    StripeTransport,
    auth_gate::AuthGateLayer,
    breaker::BreakerLayer,
    classify::ClassifyLayer,
    edge::EdgeLayer,
    governor::GovernorLayer,
    idempotency::IdempotencyLayer,
    request_id::RequestIdLayer,
    retry::RetryLayer,
    telemetry::{TelemetryBuilder, TelemetryConfig},
    timeout::TimeoutLayer,
};

use self::support::{Null, payment, unlimited};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
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
