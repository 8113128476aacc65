//! No label can hold an id, whatever the paths, the accounts and the answers are.

use std::num::NonZeroUsize;

use http::{Request, Response};
use http_body_util::Full;
use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};
use tower_stripe::{
    BoxError, RetryLimit, StripeTransport,
    breaker::{BreakerConfig, Control},
    governor::GovernorConfig,
    vocab::{Operation, metric},
};

use crate::support::{keyed, meters::Meters, request, with};

/// What Stripe, or somebody in its place, answers: statuses, and words that are none of its own.
fn answer(random: &mut TestRng) -> Response<Full<bytes::Bytes>> {
    let id = identifier(random);
    let status = [200, 400, 401, 402, 403, 404, 409, 429, 500][random.next_u32() as usize % 9];
    let body = format!(
        r#"{{"error":{{"type":"{id}","code":"{id}","decline_code":"{id}","message":"{id}","param":"{id}"}}}}"#
    );
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("request-id", id.as_str())
        .header("stripe-rate-limited-reason", id.as_str())
        .header("stripe-notice", id.as_str())
        .header("stripe-should-retry", "false")
        .header("idempotency-key", id.as_str())
        .body(Full::from(body))
        .expect("a response")
}

/// One that could not be confused with a word.
fn identifier(random: &mut TestRng) -> String {
    let prefix = ["cus", "pi", "acct", "req", "sk_live", "evt", "4242"][random.next_u32() as usize % 7];
    format!("{prefix}_SEED{:016x}", random.next_u64())
}

/// The path of an operation, with an id in each place for one.
fn path(operation: Operation, random: &mut TestRng) -> String {
    let segments = operation.template().split('/');
    let filled =
        segments.map(|segment| if segment.starts_with('{') { identifier(random) } else { segment.into() });
    filled.collect::<Vec<_>>().join("/")
}

/// Calls every operation, and some that are none, a few times; what came of it.
async fn call_everything(rounds: usize, max_operations: usize) -> Meters {
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let meters = Meters::default();
    let max_operations = NonZeroUsize::new(max_operations).expect("not zero");
    let layer = StripeTransport::builder()
        .telemetry(meters.telemetry().max_operations(max_operations))
        .breaker(BreakerConfig::builder().control(Control::Disabled))
        .governor(GovernorConfig::builder().enabled(false))
        .auth_gate(tower_stripe::auth_gate::AuthGateConfig::builder().enabled(false))
        .build()
        .expect("valid settings");
    for _ in 0..rounds {
        for operation in Operation::all() {
            let response = answer(&mut random);
            let client = tower::service_fn(move |_: Request<Full<bytes::Bytes>>| {
                let response = response.clone();
                async move { Ok::<_, BoxError>(response) }
            });
            let method = operation.method().expect("all of the table have one");
            let path = path(operation, &mut random);
            let mut call = request(method, &format!("{path}?expand[]={}", identifier(&mut random)), "o", "");
            let account = identifier(&mut random).parse().expect("a header");
            call.headers_mut().insert("stripe-account", account);
            if random.next_u32().is_multiple_of(2) {
                call = keyed(call, &identifier(&mut random));
            }
            let _ = layer.layer(client.clone()).send(with(call, RetryLimit::NONE)).await;
            let stray = request(method, &format!("/v1/{}", identifier(&mut random)), "o", "");
            let _ = layer.layer(client).send(with(stray, RetryLimit::NONE)).await;
        }
    }
    layer.telemetry().sample();
    meters
}

#[tokio::test(start_paused = true)]
async fn none_of_670_routes_with_random_ids_puts_one_into_a_label() {
    let meters = call_everything(3, 1_000).await;
    meters.assert_labels();
    assert!(!meters.text().contains("SEED"));
    let operations = Operation::all().count();
    assert_eq!(operations, 670);
    assert_eq!(meters.sum(&metric::CALLS, &[]), 3.0 * 2.0 * operations as f64);
    for operation in Operation::all() {
        assert_eq!(meters.sum(&metric::CALLS, &[("operation", operation.name())]), 3.0, "{operation}");
    }
}

/// A process that uses every operation there is, and gets every answer, has so many series and no more.
#[tokio::test(start_paused = true)]
async fn a_process_has_no_more_series_than_its_operations_allow() {
    let few = call_everything(3, 20).await;
    few.assert_labels();
    let named = |operation: &Operation| few.sum(&metric::CALLS, &[("operation", operation.name())]) > 0.0;
    assert_eq!(Operation::all().filter(named).count(), 20);
    assert!(few.sum(&metric::CALLS, &[("operation", "other")]) > 3_900.0, "the rest is counted as other");

    // What one operation can have at most, and what there is besides, whatever is called.
    let product = |metric: &metric::Metric| {
        metric.labels.iter().map(|label| label.values.len().max(1)).product::<usize>()
    };
    let by_operation = [&metric::CALLS, &metric::CALL_DURATION, &metric::ATTEMPTS];
    let each: usize = by_operation.map(product).iter().sum();
    let codes = 512; // A table of words has no more.
    let fixed: usize = metric::ALL
        .iter()
        .filter(|metric| by_operation.iter().all(|other| other.name != metric.name))
        .map(
            |metric| {
                if metric.labels.iter().any(|label| label.name == "code") { codes } else { product(metric) }
            },
        )
        .sum();
    let bound = fixed + 21 * each;
    assert!(few.len() <= bound, "{} of {bound}", few.len());
    // What it comes to with every operation and nine kinds of answers: far from what could be.
    println!("{} series with 20 operations of room", few.len());
    assert!(few.len() < 1_500, "{}", few.len());
}
