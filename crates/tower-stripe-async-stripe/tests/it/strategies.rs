//! async-stripe's strategies say how often and under which key; this stack retries, and async-stripe does not.

use stripe_client_core::{RequestStrategy, StripeRequest};
use stripe_sim::{Fault, Sim, Step};
use tower_stripe::{Certainty, IdempotencyKey, RetryLimit};
use tower_stripe_async_stripe::Error;

use crate::support::{assert_once, client, config, configured, idempotent, keys, payment, sim};

fn losing(answers: usize) -> Sim {
    let sim = sim();
    sim.script("o", vec![Step::Fault(Fault::F3); answers]);
    sim
}

async fn pay(sim: &Sim, strategy: RequestStrategy) -> Result<(), Error> {
    payment("o").customize().request_strategy(strategy).send(&client(sim)).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn the_idempotent_strategys_key_is_the_one_that_the_server_sees_on_every_attempt() {
    let sim = losing(2);
    pay(&sim, idempotent("order-8812")).await.expect("paid");
    assert_eq!(keys(&sim, "o"), vec![Some("order-8812".to_owned()); 3]);
    assert_once(&sim, "o", 3);
}

#[tokio::test(start_paused = true)]
async fn once_makes_one_attempt_though_with_a_key() {
    let sim = losing(1);
    let error = pay(&sim, RequestStrategy::Once).await.expect_err("its answer is lost");
    assert_eq!((error.attempts(), error.certainty()), (1, Certainty::Unknown));
    assert_once(&sim, "o", 1);
}

#[tokio::test(start_paused = true)]
async fn a_number_of_attempts_is_that_number_whatever_the_transport_is_set_to() {
    for strategy in [RequestStrategy::Retry, RequestStrategy::ExponentialBackoff] {
        let sim = losing(4);
        let error = pay(&sim, strategy(2)).await.expect_err("two answers are lost");
        assert_eq!(error.attempts(), 2);
        assert_once(&sim, "o", 2);

        let sim = losing(4);
        pay(&sim, strategy(5)).await.expect("the fifth attempt is answered");
        assert_once(&sim, "o", 5);
    }
}

/// async-stripe would wait 0, 1 and 2 s, or not at all; a lost answer is no reason for either.
#[tokio::test(start_paused = true)]
async fn waits_are_those_of_the_stack() {
    for strategy in [RequestStrategy::Retry(3), RequestStrategy::ExponentialBackoff(3)] {
        let sim = losing(2);
        pay(&sim, strategy).await.expect("paid");
        let log = sim.log_of("o");
        let gaps: Vec<_> =
            log.windows(2).map(|pair| (pair[1].arrived - pair[0].arrived).as_secs_f64()).collect();
        assert!((0.25..=0.5).contains(&gaps[0]) && (0.5..=1.0).contains(&gaps[1]), "{gaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_calls_own_strategy_stands_above_the_clients_and_that_above_the_configured_one() {
    let once = || config().request_strategy(RequestStrategy::Once);

    let sim = losing(1);
    payment("o").send(&configured(&sim, once())).await.expect_err("one attempt");

    let sim = losing(1);
    payment("o").send(&configured(&sim, once()).with(RetryLimit::new(1))).await.expect("two attempts");

    let sim = losing(2);
    let client = configured(&sim, once()).with(RetryLimit::new(1));
    let three = payment("o").customize().request_strategy(RequestStrategy::Retry(3));
    three.send(&client).await.expect("three attempts");

    // A key says nothing about how often; the configured strategy is not in force for this call.
    let sim = losing(2);
    let keyed = payment("o").customize().request_strategy(idempotent("order-8812"));
    keyed.send(&configured(&sim, once())).await.expect("as often as the transport is set to");
    assert_once(&sim, "o", 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_may_come_with_the_client_too_and_then_says_more() {
    let sim = losing(1);
    let key = IdempotencyKey::derive("pay", &["order-8812"]);
    let client = client(&sim).with(key.clone());
    let call = payment("o").customize().request_strategy(idempotent(key.as_str()));
    call.send(&client).await.expect("one and the same key");
    assert_eq!(keys(&sim, "o"), vec![Some(key.as_str().to_owned()); 2]);
}
