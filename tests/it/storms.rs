//! What goes wrong now and then goes unnoticed, and costs hardly more than it must.

use std::collections::HashSet;

use futures_util::future::join_all;
use stripe_sim::{Canned, Limits, Phase, Scenario, Sim};
use tower_stripe::{Certainty, ResponseExt, StripeTransport, retry::RetryConfig, vocab::Stop};

use crate::support::{millis, payment, secs, stop, transport_of, ungoverned};

/// S-87
#[tokio::test(start_paused = true)]
async fn one_503_in_a_hundred_requests_fails_no_call_and_never_empties_the_budget() {
    const CALLS: usize = 5_000;
    let broken = Phase::new(secs(3_600)).answers(Canned::html(503), 0.01);
    let sim =
        Sim::builder().seed(87).limits(Limits::unlimited()).scenario(Scenario::new().then(broken)).build();
    // Seeded, so that who meets which 503 is the same in every run.
    let stripe = transport_of(
        &sim,
        StripeTransport::builder().governor(ungoverned()).retry(RetryConfig::builder().jitter_seed(87)),
    );
    // A hundred calls a second.
    let calls = (0..CALLS).map(|n| {
        let stripe = &stripe;
        async move {
            tokio::time::sleep(millis(10) * u32::try_from(n).expect("few")).await;
            stripe.send(payment(&format!("o{n}"))).await.expect("something answered")
        }
    });
    let answers = join_all(calls).await;

    let paid = answers.iter().filter(|answer| answer.certainty() == Some(Certainty::Executed)).count();
    assert!(paid * 10_000 >= CALLS * 9_999, "{paid} of {CALLS}");
    assert!(answers.iter().all(|answer| stop(answer) != Some(Stop::Budget)));
    let requests = sim.log();
    let broken = requests.iter().filter(|seen| seen.status.is_some_and(|status| status == 503)).count();
    assert!((25..=100).contains(&broken), "{broken} requests were to fail");
    assert_eq!(requests.len(), CALLS + broken, "one retry for each that failed, and no more");
    let keys: HashSet<_> = requests.iter().filter_map(|seen| seen.idempotency_key.as_deref()).collect();
    assert_eq!(keys.len(), CALLS);
    assert_eq!((sim.ledger().total() as usize, sim.ledger().charged_twice().len()), (paid, 0));
}
