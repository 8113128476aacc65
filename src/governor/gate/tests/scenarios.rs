//! What can happen, seen from outside the gate.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http::Method;
use tokio::task::JoinSet;

use crate::{
    governor::{Bucket, GovernorConfig, GovernorGate, Limit, Wait, tests::*},
    vocab::{
        Admit, Ask, FailureKind, Gate, Mode, Outcome, Priority, RateLimitReason, Refusal, sync::Lock, time,
    },
};

const PATHS: [&str; 6] =
    ["/v1/balance", "/v1/charges", "/v1/customers", "/v1/events", "/v1/invoices", "/v1/refunds"];

/// For ten seconds, so many calls a second come to each path. Returns when each was sent.
async fn offer(
    gate: &GovernorGate,
    per_second: u32,
    calls: impl Fn(u32) -> Caller,
) -> Vec<(String, Instant)> {
    let sent = Arc::new(Lock::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for i in 0..per_second * 10 {
        let (gate, sent, caller) = (gate.clone(), Arc::clone(&sent), calls(i));
        tasks.spawn(async move {
            tokio::time::sleep(Duration::from_secs(1) * i / per_second).await;
            if let Ok(permit) = caller.enter(&gate).await {
                sent.with(|sent| sent.push((caller.path, time::now())));
                tokio::time::sleep(Duration::from_millis(100)).await;
                settle(permit, Outcome::Success);
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    tasks.shutdown().await;
    sent.with(|sent| sent.clone())
}

/// S-48.
#[tokio::test(start_paused = true)]
async fn whatever_is_offered_an_account_sends_no_more_than_its_limit_and_its_burst() {
    for (mode, rate) in [(Mode::Live, 90.0), (Mode::Sandbox, 22.5)] {
        let gate = GovernorGate::default();
        let paths: Vec<String> =
            (0..40).map(|i| format!("{}/{i}", PATHS[1 + i % 5])).chain(PATHS.map(Into::into)).collect();
        let sent =
            offer(&gate, 500, |i| Caller { mode, ..Caller::get(&paths[i as usize % paths.len()]) }).await;
        assert!(sent.len() as f64 <= rate * 10.0 + 10.0, "{mode:?}: {}", sent.len());
        assert!(sent.len() as f64 >= rate * 10.0 * 0.95, "{mode:?}: {}", sent.len());
        for (i, (_, from)) in sent.iter().enumerate() {
            let within =
                sent[i..].iter().take_while(|(_, at)| at.duration_since(*from) <= Duration::from_secs(1));
            assert!(within.count() as f64 <= rate + 10.0 + 1.0);
        }
    }
}

/// S-49.
#[tokio::test(start_paused = true)]
async fn a_busy_operation_keeps_its_own_limit_and_leaves_the_others_alone() {
    let gate = GovernorGate::default();
    let sent =
        offer(&gate, 66, |i| Caller::get(if i % 11 == 0 { "/v1/balance" } else { "/v1/charges" })).await;
    let mut counts = BTreeMap::new();
    sent.iter().for_each(|(path, _)| *counts.entry(path.as_str()).or_insert(0) += 1);
    assert_eq!(counts["/v1/balance"], 60);
    assert!((220..=228).contains(&counts["/v1/charges"]), "{counts:?}");
}

/// S-50.
#[tokio::test(start_paused = true)]
async fn a_storm_of_429_halves_the_rate_once_per_round_trip_and_it_is_back_within_a_minute() {
    let gate = GovernorGate::default();
    let rate = || gate.handle().snapshot()[0].global_rate().expect("a limit").round() as u32;
    let enter = async |path: &str| {
        Caller::get(path).priority(Priority::Critical).enter(&gate).await.expect("admitted")
    };
    let mut flying = Vec::new();
    for path in PATHS {
        flying.push(enter(path).await);
    }
    let sent = time::now();
    tokio::time::sleep(Duration::from_millis(200)).await;
    for permit in flying {
        settle_sent(permit, limited(RateLimitReason::GlobalRate), sent);
    }
    assert_eq!(rate(), 45);
    tokio::time::sleep(Duration::from_millis(100)).await;
    settle(enter(PATHS[0]).await, limited(RateLimitReason::Other));
    assert!((22..=23).contains(&rate()), "{}", rate());
    for _ in 0..20 {
        settle(enter(PATHS[0]).await, limited(RateLimitReason::GlobalRate));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(rate(), 1);
    let mut last = 1;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(rate() >= last && rate() <= last + 3);
        last = rate();
    }
    assert_eq!(rate(), 90);
}

/// S-53, S-54: what those reasons do is in the tests of the account. That objects are told apart by their ids is here.
#[tokio::test(start_paused = true)]
async fn one_object_cools_down_and_its_neighbours_do_not() {
    let gate = GovernorGate::default();
    let update = |id: &str| Caller::post(&format!("/v1/payment_intents/{id}"));
    let permit = update("pi_1").enter(&gate).await.expect("admitted");
    settle(permit, limited(RateLimitReason::ResourceSpecific));
    let retry_in = Duration::from_secs(60);
    assert_eq!(update("pi_1").enter(&gate).await.unwrap_err(), Refusal::ObjectCooling { retry_in });
    let confirm = Caller::post("/v1/payment_intents/pi_1/confirm");
    assert_eq!(confirm.enter(&gate).await.unwrap_err(), Refusal::ObjectCooling { retry_in });
    drop(update("pi_2").enter(&gate).await.expect("another"));
    drop(Caller::get("/v1/payment_intents/pi_1").enter(&gate).await.expect("it is only read"));
    drop(update("pi_1").sandbox().enter(&gate).await.expect("another mode"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    drop(update("pi_1").enter(&gate).await.expect("it has cooled down"));
}

/// S-56.
#[tokio::test(start_paused = true)]
async fn replicas_together_keep_the_limit_of_the_account() {
    let gate = || GovernorGate::new(GovernorConfig::builder().replicas(n(4)).build().expect("a config"));
    let mut sum = 0;
    for gate in [gate(), gate(), gate(), gate()] {
        sum += offer(&gate, 100, |i| Caller::get(PATHS[i as usize % 6])).await.len();
    }
    assert!((850..=900 + 12).contains(&sum), "{sum}");
}

/// S-57, S-58 in short: the rules of the queue are in the tests of the account.
#[tokio::test(start_paused = true)]
async fn refusals_come_at_once() {
    let limit = Limit::per_second(n(1)).burst(2);
    let config = GovernorConfig::builder().limit(Bucket::Global, limit).max_queue(2);
    let gate = GovernorGate::new(config.build().expect("a config"));
    let caller = Caller::get("/v1/balance").priority(Priority::Critical);
    let _sent = [caller.enter(&gate).await, caller.enter(&gate).await];
    let hasty = caller.clone().deadline(Duration::from_millis(900));
    let wait = Duration::from_secs(1);
    assert!(matches!(hasty.admit(&gate), Admit::No(Refusal::WaitTooLong { wait: said }) if said == wait));
    let _waits = [caller.admit(&gate), caller.admit(&gate)];
    let retry_in = Duration::from_secs(3);
    assert!(
        matches!(caller.admit(&gate), Admit::No(Refusal::Saturated { retry_in: said }) if said == retry_in)
    );
}

/// S-61.
#[tokio::test(start_paused = true)]
async fn payouts_keep_their_rate_and_their_number_in_flight() {
    let gate = GovernorGate::default();
    let (flying, most, sent) =
        (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        let (gate, flying, most, sent) =
            (gate.clone(), Arc::clone(&flying), Arc::clone(&most), Arc::clone(&sent));
        tasks.spawn(async move {
            let permit = Caller::post("/v1/payouts").enter(&gate).await.expect("admitted");
            most.fetch_max(flying.fetch_add(1, Relaxed) + 1, Relaxed);
            sent.fetch_add(1, Relaxed);
            tokio::time::sleep(Duration::from_secs(3)).await;
            flying.fetch_sub(1, Relaxed);
            settle(permit, Outcome::Success);
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!((14..=17).contains(&sent.load(Relaxed)), "{}", sent.load(Relaxed));
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    assert_eq!(most.load(Relaxed), 27);
}

fn serializing() -> GovernorGate {
    GovernorGate::new(GovernorConfig::builder().serialize_objects(true).build().expect("a config"))
}

/// S-43.
#[tokio::test(start_paused = true)]
async fn twenty_changes_of_one_subscription_go_one_by_one_and_others_do_not_notice() {
    let gate = serializing();
    let order = Arc::new(Lock::new(Vec::new()));
    let flying = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for i in 0..20 {
        let (gate, order, flying) = (gate.clone(), Arc::clone(&order), Arc::clone(&flying));
        tasks.spawn(async move {
            let permit = Caller::post("/v1/subscriptions/sub_1").enter(&gate).await.expect("admitted");
            assert_eq!(flying.fetch_add(1, Relaxed), 0, "two at once");
            order.with(|order| order.push(i));
            tokio::time::sleep(Duration::from_millis(200)).await;
            flying.fetch_sub(1, Relaxed);
            settle(permit, Outcome::Success);
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = time::now();
    for i in 2..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let came = time::now();
        let other = Caller::post(&format!("/v1/subscriptions/sub_{i}")).enter(&gate).await.expect("admitted");
        assert_eq!(time::now(), came);
        settle(other, Outcome::Success);
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    assert!(order.with(|order| order.len() == 20 && order.is_sorted()));
    assert_eq!(time::now().duration_since(began), Duration::from_millis(3_500));
    // Off by default.
    let gate = GovernorGate::default();
    let update = Caller::post("/v1/subscriptions/sub_1");
    let both = [update.admit(&gate), update.admit(&gate)];
    assert!(both.iter().all(|admit| matches!(admit, Admit::Now(_))));
}

fn meter_event(gate: &GovernorGate, form: &str) -> Admit<crate::governor::Permit, Wait> {
    let request = request(&Method::POST, "/v1/billing/meter_events").map(|_| form.to_owned());
    gate.admit(&ask_of(&request, Mode::Live, time::now()), &request)
}

/// S-47.
#[tokio::test(start_paused = true)]
async fn meter_events_of_one_customer_and_meter_go_one_by_one() {
    let gate = serializing();
    let form = "event_name=tokens&payload[value]=25&payload[stripe_customer_id]=cus_1";
    let escaped = "payload%5Bstripe_customer_id%5D=cus_1&payload%5Bvalue%5D=1&event_name=tokens";
    let Admit::Now(first) = meter_event(&gate, form) else { panic!("it is alone") };
    let Admit::Wait(second) = meter_event(&gate, escaped) else { panic!("two at once") };
    for other in [
        "event_name=calls&payload[stripe_customer_id]=cus_1",
        "event_name=tokens&payload[stripe_customer_id]=cus_2",
        "event_name=tokens",
    ] {
        assert!(matches!(meter_event(&gate, other), Admit::Now(_)), "{other}");
    }
    let huge = format!("{form}&payload[x]={}", "y".repeat(5_000));
    assert!(matches!(meter_event(&gate, &huge), Admit::Now(_)), "it is not looked at");
    settle(first, Outcome::Success);
    assert!(second.await.is_ok());
    let gate = GovernorGate::default();
    let both = [meter_event(&gate, form), meter_event(&gate, form)];
    assert!(both.iter().all(|admit| matches!(admit, Admit::Now(_))));
}

/// S-44: there is nothing to be full, since entries are only of those who hold an object or wait for it.
#[tokio::test(start_paused = true)]
async fn objects_are_bounded_by_what_is_in_flight_and_what_waits() {
    let config = GovernorConfig::builder()
        .serialize_objects(true)
        .max_queue(50)
        .limit(Bucket::Global, Limit::UNLIMITED)
        .limit(Bucket::EachOperation, Limit::UNLIMITED);
    let gate = GovernorGate::new(config.build().expect("a config"));
    let admits: Vec<_> = (0..5_000)
        .map(|i| Caller::post(&format!("/v1/subscriptions/sub_{}", i % 1_000)).admit(&gate))
        .collect();
    let now = admits.iter().filter(|admit| matches!(admit, Admit::Now(_))).count();
    let wait = admits.iter().filter(|admit| matches!(admit, Admit::Wait(_))).count();
    assert_eq!((now, wait), (100, 50));
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_admits_everything() {
    let gate = GovernorGate::new(GovernorConfig::builder().enabled(false).build().expect("a config"));
    let permits: Vec<_> = (0..1_000).map(|_| Caller::get("/v1/balance").admit(&gate)).collect();
    assert!(permits.iter().all(|admit| matches!(admit, Admit::Now(_))));
    assert!(gate.handle().snapshot().is_empty());
}

#[tokio::test(start_paused = true)]
async fn priority_is_the_callers_or_the_settings_or_the_operations() {
    let full = |priority| {
        let limit = Limit::UNLIMITED.in_flight(1);
        let config = GovernorConfig::builder().limit(Bucket::Global, limit).default_priority(priority);
        let gate = GovernorGate::new(config.build().expect("a config"));
        let permit = Caller::get("/v1/balance").admit(&gate);
        (gate, permit)
    };
    let waiting = |gate: &GovernorGate| {
        let [account] = &gate.handle().snapshot()[..] else { panic!("one account") };
        [Priority::Critical, Priority::Normal, Priority::Background].map(|priority| account.waiting(priority))
    };
    let (gate, _permit) = full(None);
    let _waits = [Caller::get("/v1/charges").admit(&gate), Caller::post("/v1/refunds").admit(&gate)];
    assert_eq!(waiting(&gate), [1, 0, 1]);
    let (gate, _permit) = full(Some(Priority::Normal));
    let own = Caller::post("/v1/refunds").priority(Priority::Background);
    let _waits = [Caller::get("/v1/charges").admit(&gate), own.admit(&gate)];
    assert_eq!(waiting(&gate), [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_an_outer_gate_does_not_wait() {
    let limit = Limit::per_second(n(1)).burst(2).in_flight(2);
    let gate =
        GovernorGate::new(GovernorConfig::builder().limit(Bucket::Global, limit).build().expect("a config"));
    let caller = Caller::get("/v1/balance").priority(Priority::Critical);
    let _full = [caller.enter(&gate).await, caller.enter(&gate).await];
    assert!(matches!(caller.admit(&gate), Admit::Wait(_)));
    let probe = Caller { probe: true, ..caller };
    assert!(matches!(probe.admit(&gate), Admit::Now(_)));
}

#[tokio::test(start_paused = true)]
async fn only_a_timeout_keeps_the_place() {
    let limit = Limit::UNLIMITED.in_flight(1);
    let gate =
        GovernorGate::new(GovernorConfig::builder().limit(Bucket::Global, limit).build().expect("a config"));
    let caller = Caller::get("/v1/balance");
    gate.handle().set_limit(Mode::Live, Bucket::EachOperation, Limit::UNLIMITED).expect("a limit");
    for (outcome, wait) in [
        (Outcome::Success, 0),
        (Outcome::ServerError, 0),
        (Outcome::Transport(FailureKind::Reset), 0),
        (Outcome::Transport(FailureKind::Timeout), 1),
    ] {
        settle(caller.enter(&gate).await.expect("admitted"), outcome);
        let came = time::now();
        settle(caller.enter(&gate).await.expect("admitted"), Outcome::Success);
        assert_eq!(time::now().duration_since(came), Duration::from_secs(wait), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn limits_change_for_those_who_wait() {
    let gate = GovernorGate::default();
    let slow = Limit::per_second(n(1)).burst(2);
    let handle = gate.handle();
    handle.set_limit(Mode::Live, Bucket::EachOperation, Limit::UNLIMITED).expect("a limit");
    handle.set_limit(Mode::Live, Bucket::Global, slow).expect("a limit");
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let mut tasks = JoinSet::new();
    for i in 0..20 {
        let (gate, caller) = (gate.clone(), Caller::get(PATHS[i % 6]).priority(Priority::Critical));
        tasks.spawn(async move { settle(caller.enter(&gate).await.expect("admitted"), Outcome::Success) });
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let changed = time::now();
    handle.set_limit(Mode::Live, Bucket::Global, Limit::per_second(n(1_000)).burst(10)).expect("a limit");
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    assert!(time::now().duration_since(changed) <= Duration::from_millis(20));
    let zero = slow.in_flight(0);
    assert!(handle.set_limit(Mode::Live, Bucket::Global, zero).is_err());
    assert_eq!(handle.snapshot()[0].global_rate(), Some(1_000.0));
    handle.set_replicas(n(4)).expect("a number");
    assert_eq!(handle.snapshot()[0].global_rate(), Some(250.0));
    assert!(handle.set_replicas(n(1_000_000)).is_err());
    assert_eq!(handle.snapshot()[0].global_rate(), Some(250.0));
}

#[tokio::test(start_paused = true)]
async fn nothing_shows_whose_call_it_is() {
    let gate = serializing();
    let mut request = request(&Method::POST, "/v1/subscriptions/sub_secret");
    request.headers_mut().insert("authorization", "Bearer sk_live_secret".parse().expect("a header"));
    let ask: Ask = ask_of(&request, Mode::Live, time::now());
    let admits = [gate.admit(&ask, &request), gate.admit(&ask, &request)];
    let shown = format!("{admits:?} {gate:?} {:?} {:?}", gate.handle(), gate.handle().snapshot());
    assert!(!shown.contains("secret"), "{shown}");
}
