//! A server that can do only so much, and that can stand still.

use std::{num::NonZeroU32, time::Duration};

use http::StatusCode;
use stripe_sim::{Canned, Fault, Faults, Latency, Limits, Phase, Profile, Scenario, Sim, SimErrorKind, Step};
use tokio::time::{advance, sleep};

use crate::client::{charge, get, sim};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What all of them come to, each in a task of its own.
async fn join_all<T: Send + 'static>(
    all: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = all.into_iter().map(tokio::spawn).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.expect("no panic"));
    }
    done
}

fn narrow(per_second: u32) -> Sim {
    let per_second = NonZeroU32::new(per_second).expect("not zero");
    Sim::builder().seed(7).limits(Limits::unlimited()).capacity(per_second).build()
}

/// When each of `count` charges that arrive together is answered.
async fn answered_at(sim: &Sim, count: usize) -> Vec<Duration> {
    join_all((0..count).map(|number| {
        let sim = sim.clone();
        async move {
            charge(&format!("o{number}")).ok(&sim).await;
            sim.clock().elapsed()
        }
    }))
    .await
}

#[tokio::test(start_paused = true)]
async fn requests_take_turns_in_the_order_they_came_at_the_capacity() {
    let at = answered_at(&narrow(100), 5).await;
    assert_eq!(at, [10, 20, 30, 40, 50].map(|ms| MS * ms));
}

#[tokio::test(start_paused = true)]
async fn a_capacity_that_is_no_divisor_of_a_millisecond_is_kept() {
    let at = answered_at(&narrow(300), 900).await;
    assert_eq!(at.last(), Some(&(SECOND * 3)));
    assert!(at.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn an_idle_server_is_busy_for_one_turn_only() {
    let sim = narrow(10);
    charge("a").ok(&sim).await;
    sleep(SECOND).await;
    charge("b").ok(&sim).await;
    assert_eq!(sim.clock().elapsed(), MS * 1_200);
}

#[tokio::test(start_paused = true)]
async fn the_work_for_clients_that_have_gone_is_done_in_its_turn() {
    let sim = narrow(1);
    for order in ["a", "b"] {
        let call = tokio::time::timeout(MS, charge(order).send(&sim)).await;
        assert!(call.is_err(), "nobody was answered");
    }
    assert_eq!((sim.queued(), sim.in_flight(), sim.ledger().total()), (2, 2, 0));
    charge("c").ok(&sim).await;
    assert_eq!(sim.clock().elapsed(), SECOND * 3, "the third in the queue");
    assert_eq!((sim.queued(), sim.in_flight(), sim.ledger().total()), (0, 0, 3));
    let statuses: Vec<_> = sim.log().iter().map(|seen| seen.status).collect();
    assert_eq!(statuses, [None, None, Some(StatusCode::OK)]);
}

#[tokio::test(start_paused = true)]
async fn quiescing_waits_for_the_queue() {
    let sim = narrow(2);
    assert!(tokio::time::timeout(MS, charge("a").send(&sim)).await.is_err());
    sim.quiesce().await;
    assert_eq!((sim.clock().elapsed(), sim.ledger().executions("a")), (MS * 500, 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_waits_with_its_request() {
    let sim = narrow(1);
    assert!(tokio::time::timeout(MS, charge("a").key("k").send(&sim)).await.is_err());
    let retry = charge("a").key("k").ok(&sim).await;
    assert!(retry.replayed(), "the first one had its turn first");
    assert_eq!(sim.ledger().executions("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn latency_begins_with_the_turn_and_does_not_block_the_queue() {
    let sim = narrow(10);
    sim.latency(Latency::all(Profile::constant(SECOND)));
    assert_eq!(answered_at(&sim, 2).await, [MS * 1_100, MS * 1_200]);
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_in_its_place_or_never_gets_there_does_not_queue() {
    let sim = narrow(1);
    let (queued, other) = (charge("queued"), sim.clone());
    let queued = tokio::spawn(async move { queued.send(&other).await });
    tokio::task::yield_now().await;
    sim.script("limited", [Step::Answer(Canned::html(429))]);
    assert_eq!(charge("limited").ok(&sim).await.status, StatusCode::TOO_MANY_REQUESTS);
    for (fault, kind) in [
        (Fault::F0, SimErrorKind::Connect),
        (Fault::F1 { pulled: 0 }, SimErrorKind::Reset),
        (Fault::F2, SimErrorKind::Reset),
        (Fault::RefusedStream, SimErrorKind::Refused),
    ] {
        sim.script("faulty", [Step::Fault(fault)]);
        assert_eq!(charge("faulty").send(&sim).await.expect_err("a fault").kind(), kind);
    }
    assert_eq!((sim.clock().elapsed(), sim.queued()), (Duration::ZERO, 1));
    sim.script("lost", [Step::Fault(Fault::F3)]);
    charge("lost").send(&sim).await.expect_err("its answer is lost");
    assert_eq!(sim.clock().elapsed(), SECOND * 2, "but it was executed, and had to wait for that");
    assert!(queued.await.expect("no panic").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_no_longer_than_the_stall_limit_and_the_work_is_done_all_the_same() {
    let sim = narrow(1);
    sim.faults(Faults::none().stall_limit(MS * 300));
    let error = charge("a").send(&sim).await.expect_err("it took too long");
    assert_eq!((error.kind(), sim.clock().elapsed()), (SimErrorKind::Reset, MS * 300));
    sim.quiesce().await;
    assert_eq!(sim.ledger().executions("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_came_during_a_stall_is_worked_off_at_the_capacity() {
    let sim = narrow(10);
    sim.play(Scenario::stall(SECOND * 10).then(Phase::new(SECOND)));
    let waiting = sim.clone();
    let all = tokio::spawn(async move { answered_at(&waiting, 30).await });
    sleep(MS * 9_999).await;
    assert_eq!((sim.queued(), sim.ledger().total()), (30, 0));
    let at = all.await.expect("no panic");
    assert_eq!((at[0], at[29]), (MS * 10_100, SECOND * 13));
    assert!(at.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn a_stall_that_begins_in_the_middle_of_a_turn_makes_it_begin_anew() {
    let sim = narrow(1);
    sim.play(Scenario::new().then(Phase::new(MS * 500)).then(Phase::new(SECOND).stalls()));
    charge("a").ok(&sim).await;
    assert_eq!(sim.clock().elapsed(), MS * 2_500);
}

#[tokio::test(start_paused = true)]
async fn without_a_capacity_everything_is_handled_at_the_end_of_a_stall() {
    let sim = sim();
    sim.play(Scenario::stall(SECOND));
    assert_eq!(answered_at(&sim, 3).await, [SECOND; 3]);
    assert_eq!((sim.queued(), sim.in_flight()), (0, 0));
    charge("x").ok(&sim).await;
    assert_eq!(sim.clock().elapsed(), SECOND, "there is no queue any more");
}

#[tokio::test(start_paused = true)]
async fn another_scenario_ends_a_stall() {
    let sim = narrow(10);
    sim.play(Scenario::stall(SECOND * 3_600));
    let (call, other) = (charge("a"), sim.clone());
    let call = tokio::spawn(async move { call.send(&other).await });
    advance(SECOND).await;
    tokio::task::yield_now().await;
    assert_eq!(sim.queued(), 1);
    sim.play(Scenario::new());
    call.await.expect("no panic").expect("an answer");
    assert_eq!(sim.clock().elapsed(), MS * 1_100);
}

#[tokio::test(start_paused = true)]
async fn a_queue_repeats_exactly() {
    async fn run() -> Vec<(Duration, String)> {
        let sim = narrow(70);
        sim.play(Scenario::new().then(Phase::new(MS * 90)).then(Phase::new(MS * 200).stalls()));
        sim.latency(Latency::all(Profile::log_normal(MS * 20, MS * 90)));
        join_all((0..50).map(|number| {
            let sim = sim.clone();
            async move {
                sleep(MS * 7 * number).await;
                let path = format!("/v1/charges?limit={}", number + 1);
                let id = get(&path).ok(&sim).await.header("request-id").map(str::to_owned);
                (sim.clock().elapsed(), id.expect("an id"))
            }
        }))
        .await
    }
    let first = run().await;
    assert_eq!(first, run().await);
}
