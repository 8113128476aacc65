//! The limiters from the outside.

use std::time::Duration;

use http::StatusCode;
use stripe_sim::{Fault, Limits, Sim, Step};

use crate::client::{charge, get, post};

fn limited(limits: Limits) -> Sim {
    Sim::builder().limits(limits).build()
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_gets_25_a_second_and_live_four_times_that() {
    let sim = limited(Limits::published().endpoint_rate(1000));
    for (api_key, rate) in [("Bearer sk_test_sim", 25), ("Bearer sk_live_sim", 100)] {
        let call = get("/v1/customers").header("authorization", api_key);
        for _ in 0..rate {
            assert_eq!(call.ok(&sim).await.status, StatusCode::OK);
        }
        let refused = call.ok(&sim).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.header("stripe-rate-limited-reason"), Some("global-rate"));
        assert_eq!(refused.code().as_deref(), Some("rate_limit"));
        assert!(refused.header("request-id").is_some());
    }
    tokio::time::advance(Duration::from_millis(40)).await;
    assert_eq!(get("/v1/customers").ok(&sim).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_limited_apart_from_the_others() {
    let sim = limited(Limits::unlimited().endpoint_rate(1));
    assert_eq!(get("/v1/customers/a").ok(&sim).await.status, StatusCode::NOT_FOUND);
    let other_id = get("/v1/customers/b").ok(&sim).await;
    assert_eq!(other_id.header("stripe-rate-limited-reason"), Some("endpoint-rate"));
    assert_eq!(get("/v1/customers").ok(&sim).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn limiters_come_before_the_api_key() {
    let sim = limited(Limits::unlimited().sandbox_rate(1));
    let stranger = get("/v1/customers").header("authorization", "Bearer sk_test_other");
    assert_eq!(stranger.ok(&sim).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stranger.ok(&sim).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(get("/v1/customers").ok(&sim).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn slow_requests_hold_their_slots_until_they_end() {
    for (limits, reason) in [
        (Limits::unlimited().global_concurrency(1), "global-concurrency"),
        (Limits::unlimited().endpoint_concurrency(1), "endpoint-concurrency"),
    ] {
        let sim = limited(limits);
        sim.script("a", [Step::Fault(Fault::Slow { delay: Duration::from_secs(2) })]);
        let slow = tokio::spawn(charge("a").start(&sim));
        tokio::task::yield_now().await;
        let refused = charge("b").ok(&sim).await;
        assert_eq!(refused.header("stripe-rate-limited-reason"), Some(reason));
        slow.await.expect("no panic").expect("an answer");
        assert_eq!(charge("b").ok(&sim).await.status, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn updates_of_one_intent_are_limited_by_the_hour() {
    let sim = limited(Limits::unlimited().intent_updates_per_hour(2));
    let id = charge("a").ok(&sim).await.text("/id").expect("an id");
    let update = post(&format!("/v1/payment_intents/{id}"), "description=x");
    for _ in 0..2 {
        assert_eq!(update.ok(&sim).await.status, StatusCode::OK);
    }
    assert_eq!(update.ok(&sim).await.header("stripe-rate-limited-reason"), Some("resource-specific"));
    assert_eq!(get(&format!("/v1/payment_intents/{id}")).ok(&sim).await.status, StatusCode::OK);
    sim.clock().advance(Duration::from_secs(3600));
    assert_eq!(update.ok(&sim).await.status, StatusCode::OK);
}
