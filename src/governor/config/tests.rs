use super::*;
use crate::governor::tests::{n, operation};

#[test]
fn everything_that_cannot_be_is_said_at_once() {
    let error = GovernorConfig::builder()
        .share(Ratio::percent(101))
        .reserve(Ratio::percent(120))
        .max_in_flight(0)
        .limit(Bucket::Search, Limit::per_second(n(5)).burst(1))
        .limit_in(Mode::Sandbox, Bucket::FilesRead, Limit::per_second(n(2_000_000)).in_flight(0))
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "share = 101 % must be at most 100 %; max_in_flight = 0 must be more than zero; \
         burst = 1 (search, live) must be at least 2; \
         per_second = 2000000 (files_read, sandbox) must be at most 1000000; or say Limit::UNLIMITED; \
         in_flight = 0 (files_read, sandbox) must be more than zero; reserve = 120 % must be at most 100 %"
    );
}

#[test]
fn what_leaves_less_than_a_call_an_hour_cannot_be() {
    let build = |builder: GovernorBuilder| builder.build().map(drop).map_err(|error| error.to_string());
    let builder = GovernorConfig::builder;
    assert_eq!(
        build(builder().replicas(n(17_000))),
        Err("replicas = 17000 must be so few that each may call once an hour, with share = 90 %".into())
    );
    assert_eq!(build(builder().replicas(n(16_000))), Ok(()));
    assert_eq!(build(builder().share(Ratio::permille(0))), Err("share = 0 % must be more than 0 %".into()));
    let slow = Limit::per_second(n(1));
    assert_eq!(
        build(builder().limit_in(Mode::Live, Bucket::Operation(operation("refunds.create")), slow).replicas(n(4_000))),
        Err("per_second = 1 (refunds.create, live) must be at least one call an hour for each, with replicas = 4000"
            .into())
    );
    assert_eq!(
        build(builder().limit(Bucket::Global, slow.burst(2_000_000).in_flight(5)).max_in_flight(6)),
        Err("burst = 2000000 (global, live) must be at most 1000000; \
             in_flight = 5 (global, live) must be the same as max_in_flight = 6"
            .into())
    );
    assert_eq!(build(builder().limit(Bucket::Global, slow).limit(Bucket::Global, Limit::UNLIMITED)), Ok(()));
    assert_eq!(build(builder().max_queue(0).reserve(Ratio::percent(100))), Ok(()));
}
