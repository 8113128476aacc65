//! Latency, outages by script, and strict parameters.

use std::time::Duration;

use http::StatusCode;
use stripe_sim::{
    Canned, Faults, Latency, Limits, Phase, Profile, Reason, Scenario, Sim, SimErrorKind, Step,
};

use crate::client::{charge, delete, get, post, sim};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn answers_take_their_time_and_the_key_is_in_use_meanwhile() {
    let sim = sim();
    sim.latency(Latency::none().operation("payment_intents.create", Profile::constant(SECOND * 2)));
    let start = sim.clock().now();
    let first = tokio::spawn(charge("a").key("k").start(&sim));
    tokio::task::yield_now().await;
    assert_eq!(get("/v1/charges").ok(&sim).await.status, StatusCode::OK);
    assert_eq!(sim.clock().now(), start);
    first.await.expect("no panic").expect("an answer");
    assert_eq!(sim.clock().now(), start + SECOND * 2);
    assert!(charge("a").key("k").ok(&sim).await.replayed());
    assert_eq!((sim.ledger().executions("a"), &sim.log_of("a")[0].step), (1, &Step::Pass));
}

#[tokio::test(start_paused = true)]
async fn latency_repeats_by_seed() {
    async fn run(seed: u64) -> Vec<Duration> {
        let profile = Profile::log_normal(SECOND / 5, SECOND).tail(0.1, 10.0);
        let sim =
            Sim::builder().seed(seed).limits(Limits::unlimited()).latency(Latency::all(profile)).build();
        let mut taken = Vec::new();
        for order in ["a", "b", "a"] {
            let start = sim.clock().now();
            charge(order).ok(&sim).await;
            taken.push(sim.clock().now().duration_since(start).expect("time goes on"));
        }
        taken
    }
    let taken = run(1).await;
    assert_eq!(taken, run(1).await);
    assert_ne!(taken, run(2).await);
    assert!(taken.iter().all(|latency| *latency > Duration::ZERO) && taken[0] != taken[2]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_by_itself_and_nothing_was_executed_in_it() {
    let sim = sim();
    sim.play(Scenario::outage(SECOND * 30));
    let call = charge("a").header("x-sim-order", "a").key("k");
    let error = call.send(&sim).await.expect_err("it is down");
    assert_eq!((error.kind(), sim.ledger().executions("a")), (SimErrorKind::Connect, 0));
    tokio::time::advance(SECOND * 30).await;
    assert_eq!(call.ok(&sim).await.status, StatusCode::OK);
    assert_eq!(sim.ledger().executions("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_storm_and_a_bad_endpoint_hit_what_they_are_for() {
    let share = async |sim: &Sim, path: &str, status: StatusCode| {
        let mut hit = 0;
        for number in 0..200 {
            let call = get(path).header("x-sim-order", &number.to_string());
            hit += usize::from(call.ok(sim).await.status == status);
        }
        hit
    };
    let sim = sim();
    sim.play(Scenario::storm_of_429(SECOND));
    assert!((160..200).contains(&share(&sim, "/v1/charges", StatusCode::TOO_MANY_REQUESTS).await));
    assert!(sim.log().iter().all(|seen| !seen.executed));
    sim.play(Scenario::bad_endpoint("charges.list", SECOND));
    assert!((160..200).contains(&share(&sim, "/v1/charges", StatusCode::INTERNAL_SERVER_ERROR).await));
    assert_eq!(share(&sim, "/v1/refunds", StatusCode::OK).await, 200);
}

#[tokio::test(start_paused = true)]
async fn failures_take_the_time_that_they_were_given_and_execute_nothing() {
    let sim = sim();
    // The latency of what passes has no say in it.
    sim.latency(Latency::all(Profile::constant(SECOND * 9)));
    let fast = Canned::server_error().after(SECOND / 20);
    sim.play(Scenario::new().then(Phase::new(SECOND * 30).answers(fast, 1.0).slower(7.0)));
    assert_eq!(charge("a").key("k").ok(&sim).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(sim.clock().elapsed(), SECOND / 20);
    assert!(tokio::time::timeout(SECOND / 50, charge("b").send(&sim)).await.is_err());
    assert_eq!(sim.log_of("b")[0].status, None, "nobody was there to be answered");
    tokio::time::advance(SECOND * 30).await;
    assert_eq!(charge("a").key("k").ok(&sim).await.status, StatusCode::OK);
    assert_eq!((sim.ledger().total(), sim.in_flight()), (1, 0));

    sim.faults(Faults::none().stall_limit(SECOND));
    sim.script("late", [Step::Answer(Canned::html(503).after(SECOND * 2))]);
    let before = sim.clock().elapsed();
    assert_eq!(charge("late").send(&sim).await.expect_err("too late").kind(), SimErrorKind::Reset);
    assert_eq!(sim.clock().elapsed(), before + SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_hang_answers_nobody_and_executes_nothing() {
    let sim = sim();
    sim.play(Scenario::hang(SECOND * 200));
    assert!(tokio::time::timeout(SECOND * 30, charge("a").key("k").send(&sim)).await.is_err());
    assert_eq!(sim.in_flight(), 0, "the client gave up");
    let error = charge("a").key("k").send(&sim).await.expect_err("the connection is lost at last");
    assert_eq!((error.kind(), error.body_pulled()), (SimErrorKind::Reset, true));
    assert_eq!(sim.clock().elapsed(), SECOND * 150, "after the stall limit");
    let seen = sim.log_of("a");
    assert!(seen.iter().all(|seen| seen.step == Step::Hang && seen.status.is_none() && !seen.executed));
    assert!(!seen[0].body.is_empty(), "it was read");
    tokio::time::advance(SECOND * 50).await;
    assert!(!charge("a").key("k").ok(&sim).await.replayed(), "and the key was not taken");
    sim.script("b", [Step::Hang]);
    assert!(tokio::time::timeout(SECOND, charge("b").send(&sim)).await.is_err());
    assert_eq!(sim.ledger().total(), 1);
}

#[tokio::test(start_paused = true)]
async fn reads_and_writes_can_have_weather_of_their_own_at_the_same_time() {
    let sim = sim();
    let down = Phase::new(SECOND * 20).writes().answers(Canned::html(503), 1.0);
    let shed = Phase::new(SECOND * 10).reads().answers(Canned::rate_limited(Reason::GlobalConcurrency), 1.0);
    sim.play(Scenario::new().then(down).and(shed));
    let statuses = async || {
        let calls = [get("/v1/charges"), charge("a"), delete("/v1/customers/cus_none")];
        let mut statuses = Vec::new();
        for call in calls {
            statuses.push(call.ok(&sim).await.status.as_u16());
        }
        statuses
    };
    assert_eq!(statuses().await, [429, 503, 503]);
    tokio::time::advance(SECOND * 10).await;
    assert_eq!(statuses().await, [200, 503, 503]);
    tokio::time::advance(SECOND * 10).await;
    assert_eq!(statuses().await, [200, 200, 404]);
}

#[tokio::test(start_paused = true)]
async fn the_log_says_what_reached_the_server_and_when() {
    let sim = sim();
    tokio::time::advance(SECOND * 3).await;
    get("/v1/charges").ok(&sim).await;
    // Stripe's clock is another matter.
    sim.clock().advance(SECOND * 1_000);
    tokio::time::advance(SECOND).await;
    charge("a").ok(&sim).await;
    delete("/v1/customers/cus_none").ok(&sim).await;
    let seen: Vec<_> = sim.log().iter().map(|seen| (seen.at, seen.is_read())).collect();
    assert_eq!(seen, [(SECOND * 3, true), (SECOND * 4, false), (SECOND * 4, false)]);
    assert_eq!(sim.clock().elapsed(), SECOND * 4);
}

#[tokio::test(start_paused = true)]
async fn scripts_are_above_the_weather_and_slowness_multiplies() {
    let latency = Latency::all(Profile::constant(SECOND));
    let scenario = Scenario::new()
        .then(Phase::new(SECOND * 60).slower(3.0))
        .then(Phase::new(SECOND * 60).faults(Faults::probability(1.0)));
    let sim = Sim::builder().limits(Limits::unlimited()).latency(latency).scenario(scenario).build();
    let start = sim.clock().now();
    charge("a").ok(&sim).await;
    assert_eq!(sim.clock().now(), start + SECOND * 3);
    tokio::time::advance(SECOND * 60).await;
    sim.script("b", [Step::Pass]);
    assert_eq!(charge("b").ok(&sim).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn strict_parameters_are_checked_by_name() {
    let sim = Sim::builder().limits(Limits::unlimited()).strict_parameters(true).build();
    let slip = post("/v1/payment_intents", "amount=1&currency=eur&ammount=2").key("k").ok(&sim).await;
    assert_eq!((slip.status, slip.code().as_deref()), (StatusCode::BAD_REQUEST, Some("parameter_unknown")));
    assert_eq!(slip.text("/error/param").as_deref(), Some("ammount"));
    assert_eq!(charge("a").key("k").ok(&sim).await.status, StatusCode::OK);
    assert_eq!(get("/v1/charges?limt=1").ok(&sim).await.code().as_deref(), Some("parameter_unknown"));
    assert_eq!(get("/v1/charges?limit=1&created[gte]=1").ok(&sim).await.status, StatusCode::OK);
    assert_eq!(sim.ledger().total(), 1);
}
