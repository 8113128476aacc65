//! async-stripe's timeout is the limit of one attempt.

use std::time::Duration;

use stripe_client_core::{RequestStrategy, StripeRequest};
use stripe_sim::{Sim, Step};
use tower_stripe::{AttemptTimeout, Certainty, vocab::time};

use crate::support::{assert_once, client, config, configured, payment, secs, sim};

fn hanging(attempts: usize) -> Sim {
    let sim = sim();
    sim.script("o", vec![Step::Hang; attempts]);
    sim
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_at_the_calls_own_timeout() {
    let sim = hanging(1);
    let call = payment("o").customize().timeout(secs(2)).request_strategy(RequestStrategy::Once);
    let start = time::now();
    let error = call.send(&client(&sim)).await.expect_err("nobody answers");
    assert_eq!(time::now() - start, secs(2));
    assert!(error.no_response().is_some_and(tower_stripe::Error::is_timeout));
    assert_eq!(error.certainty(), Certainty::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_for_each_attempt_and_the_next_one_pays() {
    let sim = hanging(1);
    payment("o").customize().timeout(secs(2)).send(&client(&sim)).await.expect("paid");
    assert_once(&sim, "o", 2);
    let log = sim.log_of("o");
    let gap = log[1].arrived - log[0].arrived;
    assert!((secs(2)..secs(3)).contains(&gap), "{gap:?}");
}

#[tokio::test(start_paused = true)]
async fn a_calls_own_timeout_stands_above_the_clients_and_that_above_the_configured_one() {
    let configured =
        |sim: &Sim| configured(sim, config().timeout(secs(2)).request_strategy(RequestStrategy::Once));
    let took = async |of: u8| {
        let sim = hanging(1);
        let (plain, with) = (configured(&sim), configured(&sim).with(AttemptTimeout::new(secs(3))));
        let start = time::now();
        let ended = match of {
            0 => payment("o").send(&plain).await,
            1 => payment("o").send(&with).await,
            _ => payment("o").customize().timeout(secs(4)).send(&with).await,
        };
        ended.expect_err("nobody answers");
        time::now() - start
    };
    assert_eq!((took(0).await, took(1).await, took(2).await), (secs(2), secs(3), secs(4)));
}

#[tokio::test(start_paused = true)]
async fn no_time_at_all_sends_nothing() {
    let sim = sim();
    let error =
        payment("o").customize().timeout(Duration::ZERO).send(&client(&sim)).await.expect_err("no time");
    assert_eq!(error.certainty(), Certainty::NotSent);
    assert!(sim.log().is_empty());
}
