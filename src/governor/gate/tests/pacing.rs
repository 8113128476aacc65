//! How fast, in which order, and at what cost those go who wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::task::JoinSet;

use crate::{
    governor::{Bucket, GovernorBuilder, GovernorConfig, GovernorGate, Limit, tests::*},
    vocab::{Mode, Outcome, Priority, Ratio, sync::Lock, time},
};

struct Drained {
    polls_per_waiter: f64,
    worst: u32,
    took: f64,
    order: Vec<usize>,
}

/// Lets all of `callers` come at once, and ends each as soon as it is admitted.
async fn drain(config: GovernorBuilder, callers: impl IntoIterator<Item = Caller>) -> Drained {
    let gate = GovernorGate::new(config.build().expect("a config"));
    let order = Arc::new(Lock::new(Vec::new()));
    let (mut tasks, mut counts) = (JoinSet::new(), Vec::new());
    let began = time::now();
    for (i, caller) in callers.into_iter().enumerate() {
        let (gate, order, polls) = (gate.clone(), Arc::clone(&order), Arc::new(AtomicU32::new(0)));
        counts.push(Arc::clone(&polls));
        let call = async move {
            let permit = caller.enter(&gate).await.expect("admitted");
            order.with(|order| order.push(i));
            settle(permit, Outcome::Success);
        };
        tasks.spawn(Counted::new(call, &polls));
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    let took = time::now().duration_since(began).as_secs_f64();
    let counts: Vec<u32> = counts.iter().map(|polls| polls.load(Relaxed)).collect();
    Drained {
        polls_per_waiter: f64::from(counts.iter().sum::<u32>()) / counts.len() as f64,
        worst: counts.into_iter().max().unwrap_or(0),
        took,
        order: order.with(|order| order.clone()),
    }
}

fn global_only(rate: u32, burst: u32) -> GovernorBuilder {
    GovernorConfig::builder()
        .limit(Bucket::Global, Limit::per_second(n(rate)).burst(burst))
        .limit(Bucket::EachOperation, Limit::UNLIMITED)
}

#[tokio::test(start_paused = true)]
async fn waiters_of_one_priority_are_polled_twice_and_drain_in_order_at_the_rate() {
    for (rate, burst) in [(50, 2), (90, 2), (90, 10)] {
        for count in [100_u32, 500] {
            let config = global_only(rate, burst).reserve(Ratio::percent(0));
            let drained = drain(config, (0..count).map(|_| Caller::get("/v1/balance"))).await;
            let ideal = f64::from(count - burst) / f64::from(rate);
            println!(
                "{count} at {rate}/s, burst {burst}: {:.2} polls per waiter, at most {}; {:.3} s, ideally {ideal:.3} s",
                drained.polls_per_waiter, drained.worst, drained.took
            );
            assert!(drained.polls_per_waiter <= 2.0, "{} polls", drained.polls_per_waiter);
            assert!(drained.worst <= 2, "{} polls", drained.worst);
            assert!(
                drained.took >= ideal - 1e-6 && drained.took <= ideal * 1.02,
                "{} for {ideal}",
                drained.took
            );
            assert!(drained.order.is_sorted(), "{:?}", drained.order);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_of_all_priorities_are_polled_four_times_at_most_on_average() {
    let priorities = [Priority::Background, Priority::Normal, Priority::Critical];
    for rate in [50, 90] {
        for count in [100, 500] {
            let callers = (0..count).map(|i| Caller::get("/v1/balance").priority(priorities[i % 3]));
            let drained = drain(global_only(rate, 10), callers).await;
            let ideal = (count as f64 - 10.0) / f64::from(rate);
            println!(
                "{count} of three priorities at {rate}/s: {:.2} polls per waiter, at most {}; {:.3} s, ideally {ideal:.3} s",
                drained.polls_per_waiter, drained.worst, drained.took
            );
            assert!(drained.polls_per_waiter <= 4.0, "{} polls", drained.polls_per_waiter);
            assert!(drained.took <= ideal * 1.1, "{} for {ideal}", drained.took);
            for priority in 0..3 {
                let alike: Vec<usize> =
                    drained.order.iter().copied().filter(|caller| caller % 3 == priority).collect();
                assert!(alike.is_sorted(), "{alike:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn five_operations_on_the_live_table_never_exceed_what_stripe_publishes() {
    let paths = ["/v1/balance", "/v1/charges", "/v1/customers", "/v1/events", "/v1/invoices"];
    let gate = GovernorGate::default();
    let sent = Arc::new(Lock::new(Vec::new()));
    let mut tasks = JoinSet::new();
    let polls = Arc::new(AtomicU32::new(0));
    let began = time::now();
    for i in 0..500 {
        let (gate, sent) = (gate.clone(), Arc::clone(&sent));
        let caller = Caller::get(paths[i % 5]);
        let call = async move {
            let permit = caller.enter(&gate).await.expect("admitted");
            sent.with(|sent| sent.push((time::now(), i % 5)));
            tokio::time::sleep(Duration::from_millis(80)).await;
            settle(permit, Outcome::Success);
        };
        tasks.spawn(Counted::new(call, &polls));
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    let sent = sent.with(|sent| sent.clone());
    let took = sent.last().expect("some").0.duration_since(began).as_secs_f64();
    println!(
        "500 over five operations: {:.2} polls per caller (with two for its sleep); {took:.3} s, ideally {:.3} s",
        f64::from(polls.load(Relaxed)) / 500.0,
        490.0 / 90.0
    );
    assert!(took < 490.0 / 90.0 * 1.05, "{took}");
    // A bucket of Stripe's that has room for our burst, and is filled at the published rate.
    let rejected = |rate: f64, room: f64, of: &dyn Fn(usize) -> bool| {
        let (mut level, mut last, mut rejected) = (0.0_f64, began, 0);
        for (at, _) in sent.iter().filter(|(_, operation)| of(*operation)) {
            level = (level - rate * at.duration_since(last).as_secs_f64()).max(0.0) + 1.0;
            last = *at;
            rejected += u32::from(level > room + 1e-9);
        }
        rejected
    };
    assert_eq!(rejected(100.0, 10.0, &|_| true), 0);
    for operation in 0..5 {
        assert_eq!(rejected(25.0, 3.0, &|other| other == operation), 0);
    }
}

/// A flood of `priority` without an end, and ten payments a second: how long those wait, and how much of all the flood gets.
async fn flood(priority: Priority, mode: Mode) -> (Duration, f64) {
    let gate = GovernorGate::new(GovernorConfig::default());
    let reads = Arc::new(AtomicU32::new(0));
    let mut flood = JoinSet::new();
    let paths = ["/v1/balance", "/v1/charges", "/v1/customers", "/v1/events", "/v1/invoices", "/v1/refunds"];
    for i in 0..240 {
        let (gate, reads) = (gate.clone(), Arc::clone(&reads));
        let mut caller = Caller::get(paths[i % paths.len()]).priority(priority);
        caller.mode = mode;
        flood.spawn(async move {
            loop {
                let permit = caller.enter(&gate).await.expect("admitted");
                tokio::time::sleep(Duration::from_millis(150)).await;
                settle(permit, Outcome::Success);
                reads.fetch_add(1, Relaxed);
            }
        });
    }
    let waits = Arc::new(Lock::new(Vec::new()));
    let mut payments = JoinSet::new();
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (gate, waits) = (gate.clone(), Arc::clone(&waits));
        let mut caller = Caller::post("/v1/payment_intents");
        caller.mode = mode;
        payments.spawn(async move {
            let came = time::now();
            let permit = caller.enter(&gate).await.expect("admitted");
            waits.with(|waits| waits.push(time::now().duration_since(came)));
            tokio::time::sleep(Duration::from_millis(400)).await;
            settle(permit, Outcome::Success);
        });
    }
    while let Some(done) = payments.join_next().await {
        done.expect("no panic");
    }
    let mut waits = waits.with(|waits| waits.clone());
    waits.sort();
    let reads = f64::from(reads.load(Relaxed));
    (waits[waits.len() * 99 / 100], reads / (reads + 600.0))
}

#[tokio::test(start_paused = true)]
async fn payments_wait_hardly_at_all_beside_an_endless_flood_of_reads() {
    for (mode, limit) in [(Mode::Live, 50), (Mode::Sandbox, 200)] {
        let (p99, share) = flood(Priority::Background, mode).await;
        println!("{mode:?}: payments wait {p99:?} (p99), reads get {:.1} %", share * 100.0);
        assert!(p99 <= Duration::from_millis(limit), "{mode:?} {p99:?}");
        assert!(share >= 0.01, "{mode:?} {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn beside_a_flood_of_payments_one_admission_in_fifty_is_the_reads() {
    let gate = GovernorGate::new(global_only(90, 10).build().expect("a config"));
    let order = Arc::new(Lock::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for priority in [Priority::Critical, Priority::Normal, Priority::Background] {
        for _ in 0..100 {
            let (gate, order) = (gate.clone(), Arc::clone(&order));
            let caller = Caller::get("/v1/balance").priority(priority);
            tasks.spawn(async move {
                loop {
                    let permit = caller.enter(&gate).await.expect("admitted");
                    order.with(|order| order.push(priority));
                    settle(permit, Outcome::Success);
                    tokio::task::yield_now().await;
                }
            });
        }
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    tasks.abort_all();
    let order = order.with(|order| order.clone());
    assert!(order.len() > 2_600, "{}", order.len());
    // The first ten go before all have come.
    for window in order[10..].windows(52) {
        for less in [Priority::Normal, Priority::Background] {
            assert!(window.contains(&less), "{window:?}");
        }
    }
    let critical = order.iter().filter(|priority| **priority == Priority::Critical).count();
    assert!(critical * 100 > order.len() * 94, "{critical} of {}", order.len());
}

/// What stands beside it: everyone looks, sleeps for as long as was said, and looks again.
#[tokio::test(start_paused = true)]
async fn looking_and_sleeping_again_costs_many_times_more() {
    use gcra::{Quota, RateLimiter, clock::Clock, nanos::Nanos, state::InMemoryState};

    #[derive(Clone)]
    struct Paused(std::time::Instant);
    impl Clock for Paused {
        type Instant = Nanos;

        fn now(&self) -> Nanos {
            time::now().duration_since(self.0).into()
        }
    }
    let clock = Paused(time::now());
    let limiter =
        Arc::new(RateLimiter::direct_with_clock(Quota::per_second(n(50)).allow_burst(n(2)), clock.clone()));
    let _: &RateLimiter<_, InMemoryState, _, _> = &limiter;
    let (mut tasks, polls) = (JoinSet::new(), Arc::new(AtomicU32::new(0)));
    for _ in 0..100 {
        let (limiter, clock) = (Arc::clone(&limiter), clock.clone());
        let call = async move {
            while let Err(not_until) = limiter.check() {
                tokio::time::sleep(not_until.wait_time_from(clock.now())).await;
            }
        };
        tasks.spawn(Counted::new(call, &polls));
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    println!(
        "100 that check and sleep at 50/s: {:.2} polls per waiter",
        f64::from(polls.load(Relaxed)) / 100.0
    );
    assert!(polls.load(Relaxed) > 1_000);
}
