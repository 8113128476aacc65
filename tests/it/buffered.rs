//! In the buffered mode a success arrives whole, or is fetched again: it never charges twice.

use http_body_util::BodyExt;
use stripe_sim::{Fault, Sim, Step};
use tower_stripe::{
    Advice, Certainty, ResponseExt, RetryLimit, StripeTransport,
    classify::ClassifyConfig,
    vocab::{BodyError, Stop},
};

use crate::support::{
    SimClient, assert_one_key_and_body, bytes, get, payment, secs, sim, statuses, stop, transport_of, with,
};

fn buffering(sim: &Sim, bytes: usize) -> StripeTransport<SimClient> {
    let classify = ClassifyConfig::builder().buffer(bytes);
    transport_of(sim, StripeTransport::builder().classify(classify).attempt_timeout(secs(5)))
}

/// S-13
#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_fetched_again_under_the_same_key() {
    for fault in [Fault::F4Cut, Fault::F4Stall] {
        let sim = sim();
        sim.script("o", [Step::Fault(fault)]);
        let response =
            buffering(&sim, 1 << 20).send(payment("o")).await.expect("the second attempt arrives whole");

        assert_eq!((response.attempts(), response.was_replayed()), (Some(2), Some(true)), "{fault:?}");
        assert_eq!(response.advice(), Some(Advice::Done));
        let intent: serde_json::Value = serde_json::from_slice(&bytes(response).await).expect("whole json");
        assert_eq!(intent["status"], "succeeded");
        assert_eq!(sim.ledger().executions("o"), 1);
        assert_one_key_and_body(&sim, "o");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_whose_body_breaks_off_is_made_again_without_a_key() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F4Cut)]);
    let response = buffering(&sim, 1 << 20).send(get("/v1/customers", "o")).await.expect("whole");
    assert_eq!(statuses(&sim, "o"), [Some(200), Some(200)]);
    let page: serde_json::Value = serde_json::from_slice(&bytes(response).await).expect("whole json");
    assert_eq!(page["object"], "list");
}

/// S-13: where no attempt brings the body, the head still says what happened.
#[tokio::test(start_paused = true)]
async fn a_body_that_always_breaks_off_leaves_the_call_executed() {
    let sim = sim();
    sim.script("o", vec![Step::Fault(Fault::F4Cut); 3]);
    let response = buffering(&sim, 1 << 20).send(payment("o")).await.expect("a head at least");
    assert_eq!((response.attempts(), stop(&response)), (Some(3), Some(Stop::Attempts)));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Executed), Some(Advice::Done)));
    let broken =
        response.into_body().collect().await.expect_err("what came is handed on, and then the failure");
    assert!(matches!(broken, BodyError::Transport(_)));
    assert_eq!(sim.ledger().executions("o"), 1);

    sim.script("p", vec![Step::Fault(Fault::F4Stall); 3]);
    let error = buffering(&sim, 1 << 20).send(payment("p")).await.expect_err("every attempt ran out of time");
    assert!(error.is_timeout());
    assert_eq!((error.certainty(), error.advice()), (Certainty::Executed, Advice::Done));
    assert_eq!(sim.ledger().executions("p"), 1);
}

#[tokio::test(start_paused = true)]
async fn who_wants_no_retry_gets_what_came() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F4Cut)]);
    let response =
        buffering(&sim, 1 << 20).send(with(payment("o"), RetryLimit::NONE)).await.expect("a head at least");
    assert_eq!((statuses(&sim, "o"), response.certainty()), (vec![Some(200)], Some(Certainty::Executed)));
    response.into_body().collect().await.expect_err("it is broken");
}

/// The bound holds memory, not answers.
#[tokio::test(start_paused = true)]
async fn a_body_over_the_bound_is_handed_on_as_it_comes() {
    let sim = sim();
    let response = buffering(&sim, 16).send(payment("o")).await.expect("answered");
    let intent: serde_json::Value = serde_json::from_slice(&bytes(response).await).expect("whole json");
    assert_eq!(intent["status"], "succeeded");
    assert_eq!(statuses(&sim, "o"), [Some(200)]);
}
