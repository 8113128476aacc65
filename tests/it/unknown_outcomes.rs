//! An answer that was lost is neither lost money nor a second charge.

use stripe_sim::{Canned, Fault, Reason, Step};
use tower_stripe::{Advice, Certainty, Outcome, ResponseExt};

use crate::support::{assert_one_key_and_body, payment, sim, statuses, transport};

/// S-01
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_fetched_with_the_same_key_and_charges_once() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3)]);
    let response = transport(&sim).send(payment("o")).await.expect("the second attempt is answered");

    assert_eq!(response.status(), 200);
    assert_eq!(response.was_replayed(), Some(true));
    assert_eq!(response.certainty(), Some(Certainty::Executed));
    assert_eq!(response.advice(), Some(Advice::Done));
    assert_eq!(response.attempts(), Some(2));
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

/// S-04
#[tokio::test(start_paused = true)]
async fn a_limiter_after_a_lost_answer_leaves_it_unknown() {
    let sim = sim();
    let limited = || Step::Answer(Canned::rate_limited(Reason::GlobalRate));
    sim.script("o", [Step::Fault(Fault::F3), limited(), limited()]);
    let response = transport(&sim).send(payment("o")).await.expect("stripe answered");

    assert_eq!(statuses(&sim, "o"), [None, Some(429), Some(429)]);
    assert!(matches!(response.outcome(), Some(Outcome::RateLimited(_))));
    assert_eq!(response.certainty(), Some(Certainty::Unknown));
    assert_eq!(response.advice(), Some(Advice::SameKey));
    assert_eq!(sim.ledger().executions("o"), 1);
}
