//! Hundreds of random schedules: whatever the network, Stripe and the callers do, no order is charged twice, and what the
//! transport says is so.
//!
//! Each schedule is one seed: twenty calls at once, faults at some rate, limits or none, a transport with other settings
//! each time, callers that give up. Then the faults stop, everything late lands, and each caller does what `advice()`
//! says. A violation prints its seed; run that one alone with `CAMPAIGN_SEED=<seed> cargo test --test it campaign`.

use std::{
    collections::HashSet,
    num::{NonZeroU32, NonZeroUsize},
    ops::RangeInclusive,
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};
use stripe_sim::{Fault, FaultKind, Faults, Limits, Sim, Step};
use tokio::{runtime, task::JoinSet, time};
use tower_stripe::{
    Advice, Certainty, Deadline, IdempotencyKey, Report, ReportHandle, RetryLimit, StripeTransport,
    idempotency::{GuardConfig, IdempotencyConfig},
    retry::{BudgetConfig, RetryConfig},
    vocab::key::History,
};

use crate::support::{self, API_KEY, SimClient};

const SCHEDULES: u64 = 500;
const CALLS: usize = 20;

#[test]
fn no_schedule_charges_twice_or_makes_the_transport_lie() {
    let seeds = match std::env::var("CAMPAIGN_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("CAMPAIGN_SEED is a number");
            seed..=seed
        }
        Err(_) => 1..=SCHEDULES,
    };
    let mut seen = Seen::default();
    for seed in seeds {
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(schedule(seed, &mut seen));
    }
    if std::env::var("CAMPAIGN_SEED").is_err() {
        // A campaign in which nothing ever goes wrong proves nothing.
        println!("{seen:?}");
        assert!(
            seen.unknown > 500 && seen.dropped > 200 && seen.replayed > 200 && seen.late > 200,
            "{seen:?}"
        );
        assert!(seen.new_key > 100 && seen.same_key > 500 && seen.reconcile > 50, "{seen:?}");
    }
}

/// What the campaign met with, over all schedules.
#[derive(Debug, Default)]
struct Seen {
    calls: usize,
    attempts: usize,
    unknown: usize,
    dropped: usize,
    replayed: usize,
    late: usize,
    new_key: usize,
    same_key: usize,
    reconcile: usize,
}

/// How one caller behaves.
struct Caller {
    order: String,
    key: Option<IdempotencyKey>,
    card: &'static str,
    begins: Duration,
    /// When it loses patience and drops the call.
    leaves: Option<Duration>,
    deadline: Option<Deadline>,
    retries: Option<RetryLimit>,
}

/// A caller, and what it was told.
struct Told {
    caller: Caller,
    report: Report,
    /// All that was ever printed about the call.
    said: String,
}

async fn schedule(seed: u64, seen: &mut Seen) {
    let mut rng = rng(seed);
    let sim = Sim::builder().seed(seed).limits(limits(&mut rng)).faults(faults(&mut rng)).build();
    let stripe = transport(&sim, seed, &mut rng);

    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        calls.spawn(call(stripe.clone(), caller(number, &mut rng)));
    }
    let told = calls.join_all().await;
    sim.faults(Faults::none());
    sim.quiesce().await;
    sim.settle();

    for told in &told {
        seen.calls += 1;
        seen.attempts += told.report.attempts_made() as usize;
        seen.unknown += usize::from(told.report.certainty() == Certainty::Unknown);
        seen.dropped += usize::from(told.report.stopped() == Some(tower_stripe::vocab::Stop::Cancelled));
        seen.replayed += usize::from(told.report.attempts().iter().any(|attempt| attempt.replayed));
        check_told(seed, &sim, told);
    }
    let is_late = |step: &Step| matches!(step, Step::Fault(Fault::F5 { .. } | Fault::Slow { .. }));
    seen.late += sim.log().iter().filter(|seen| is_late(&seen.step) && seen.executed).count();
    check_ledger(seed, &sim, &told);
    check_keys(seed, &sim, &told);

    for told in &told {
        match told.report.advice() {
            Advice::NewKey => seen.new_key += 1,
            Advice::SameKey => seen.same_key += 1,
            Advice::Reconcile => seen.reconcile += 1,
            Advice::Done | Advice::Resend => {}
        }
        let resolved = resolve(&stripe, &sim, told).await;
        let executed = sim.ledger().executions(&told.caller.order);
        assert_eq!(resolved, executed == 1, "seed {seed}: {} is resolved wrongly", told.caller.order);
    }
    check_ledger(seed, &sim, &told);
    assert_eq!(sim.in_flight(), 0, "seed {seed}: something is left in flight");
}

/// I1: no order is executed twice.
fn check_ledger(seed: u64, sim: &Sim, told: &[Told]) {
    for told in told {
        let executions = sim.ledger().executions(&told.caller.order);
        assert!(
            executions <= 1,
            "seed {seed}: {} executed {executions} times\n{}",
            told.caller.order,
            told.said
        );
    }
}

/// I2 and I7: what a call was told is so, for good, and names no secret.
fn check_told(seed: u64, sim: &Sim, told: &Told) {
    let Told { caller, report, said } = told;
    let executions = sim.ledger().executions(&caller.order);
    // Of a key with a past, or one shared by two calls, the other one may have executed the order.
    let alone = caller.key.as_ref().is_none_or(|key| key.history() == History::Fresh);
    match report.certainty() {
        Certainty::Executed => assert_eq!(executions, 1, "seed {seed}: told executed\n{said}"),
        Certainty::NotSent | Certainty::Rejected if alone => {
            assert_eq!(executions, 0, "seed {seed}: told {}\n{said}", report.certainty());
        }
        _ => {}
    }
    if report.advice() == Advice::NewKey {
        assert!(alone, "seed {seed}: a new key in place of one with a past\n{said}");
        assert_eq!(executions, 0, "seed {seed}: a new key would charge again\n{said}");
    }
    let key = report.idempotency_key().map_or("no key", IdempotencyKey::as_str);
    for secret in [API_KEY, key, "amount=1099", "pm_card"] {
        assert!(!said.contains(secret), "seed {seed}: {secret:?} was printed\n{said}");
    }
}

/// I6: one key and one body for each call, and no key for two orders.
fn check_keys(seed: u64, sim: &Sim, told: &[Told]) {
    let mut keys = HashSet::new();
    let orders: HashSet<_> = told.iter().map(|told| &told.caller.order).collect();
    for order in orders {
        support::assert_one_key_and_body(sim, order);
        let key = sim.log_of(order).first().and_then(|seen| seen.idempotency_key.clone());
        assert!(key.is_none_or(|key| keys.insert(key)), "seed {seed}: two orders share a key");
    }
}

/// Does what the advice says until it is known whether the order was executed; returns that.
async fn resolve(stripe: &StripeTransport<SimClient>, sim: &Sim, told: &Told) -> bool {
    let order = &told.caller.order;
    let declined = told.caller.card == DECLINED;
    let mut advice = told.report.advice();
    let mut key = told.report.idempotency_key().cloned();
    for _ in 0..50 {
        match advice {
            Advice::Done => return true,
            Advice::Reconcile => return is_paid(stripe, order).await,
            // The shop that has no use for another try with the same card.
            Advice::NewKey if declined => return false,
            Advice::NewKey | Advice::Resend => key = None,
            Advice::SameKey => {}
        }
        let report = drive(stripe, &told.caller, key.clone()).await;
        key = report.idempotency_key().cloned();
        if declined && report.certainty() == Certainty::Rejected && sim.ledger().declines(order) > 0 {
            return false;
        }
        advice = report.advice();
        time::sleep(Duration::from_secs(5)).await;
    }
    panic!("{order} cannot be resolved: {advice}");
}

async fn drive(stripe: &StripeTransport<SimClient>, caller: &Caller, key: Option<IdempotencyKey>) -> Report {
    let handle = ReportHandle::new();
    let mut request = support::payment_with(&caller.order, caller.card);
    request.extensions_mut().insert(handle.clone());
    if let Some(key) = key {
        request.extensions_mut().insert(key); // As it was handed back.
    }
    let _ = stripe.send(request).await;
    handle.report()
}

/// Whether there is a payment of the order, by what Stripe lists.
async fn is_paid(stripe: &StripeTransport<SimClient>, order: &str) -> bool {
    let query = format!("metadata%5B%27order%27%5D%3A%27{order}%27");
    for _ in 0..50 {
        let request = support::get(&format!("/v1/payment_intents/search?query={query}"), "search");
        if let Ok(response) = stripe.send(request).await
            && response.status() == 200
        {
            let body = support::bytes(response).await;
            let page: serde_json::Value = serde_json::from_slice(&body).expect("json");
            let data = page["data"].as_array().expect("a list");
            return data.iter().any(|intent| intent["status"] == "succeeded");
        }
        time::sleep(Duration::from_secs(5)).await;
    }
    panic!("the search for {order} is never answered");
}

async fn call(stripe: StripeTransport<SimClient>, caller: Caller) -> Told {
    time::sleep(caller.begins).await;
    let handle = ReportHandle::new();
    let sent = stripe.send(request(&caller, &handle));
    let said = match caller.leaves {
        Some(patience) => match time::timeout(patience, sent).await {
            Ok(result) => print(result).await,
            Err(_) => String::new(),
        },
        None => print(sent.await).await,
    };
    let said = format!("{said}{handle:?}");
    Told { report: handle.report(), caller, said }
}

fn request(caller: &Caller, handle: &ReportHandle) -> Request<Full<Bytes>> {
    let mut request = support::payment_with(&caller.order, caller.card);
    let extensions = request.extensions_mut();
    extensions.insert(handle.clone());
    caller.key.clone().map(|key| extensions.insert(key));
    caller.deadline.map(|deadline| extensions.insert(deadline));
    caller.retries.map(|retries| extensions.insert(retries));
    request
}

/// All that can be printed about a result; reads the body as a caller would.
async fn print<B, E>(result: Result<http::Response<B>, E>) -> String
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
    E: std::error::Error,
{
    match result {
        Ok(response) => {
            let said = format!("{:?}\n", response.extensions());
            let error = tower_stripe::classify::StripeError::of(&response).cloned();
            let _ = response.into_body().collect().await;
            format!("{said}{error:?}\n")
        }
        Err(error) => format!("{error}\n{error:?}\n"),
    }
}

const DECLINED: &str = "pm_card_chargeDeclined";

fn caller(number: usize, rng: &mut TestRng) -> Caller {
    // Two callers out of twenty pay for the order of the one before, with the same key: a double click.
    let doubled = matches!(number, 5 | 11);
    let owner = if doubled { number - 1 } else { number };
    let shared = matches!(owner, 4 | 10);
    let order = format!("order-{owner}");
    let key = match pick(rng, 0..=2) {
        _ if shared => Some(IdempotencyKey::derive("pay", &[&order])),
        0 => None,
        1 => Some(IdempotencyKey::new(format!("{order}-fresh")).expect("valid").fresh()),
        _ => Some(IdempotencyKey::derive("pay", &[&order])),
    };
    Caller {
        key,
        card: if owner % 7 == 3 { DECLINED } else { "pm_card_visa" },
        order,
        begins: Duration::from_millis(pick(rng, 0..=3_000)),
        leaves: chance(rng, 20).then(|| Duration::from_millis(pick(rng, 0..=4_000))),
        deadline: chance(rng, 20).then(|| Deadline::after(Duration::from_millis(pick(rng, 500..=60_000)))),
        retries: chance(rng, 15).then(|| RetryLimit::new(pick(rng, 0..=2) as u32)),
    }
}

fn transport(sim: &Sim, seed: u64, rng: &mut TestRng) -> StripeTransport<SimClient> {
    let attempts = NonZeroU32::new(pick(rng, 1..=6) as u32).expect("at least one");
    let budget = if chance(rng, 30) {
        BudgetConfig::default().max_balance(pick(rng, 1..=5) as u32)
    } else {
        BudgetConfig::OFF
    };
    let retry = RetryConfig::builder().max_attempts(attempts).budget(budget).jitter_seed(seed);
    let attempt_timeout = Duration::from_millis(pick(rng, 300..=30_000));
    // With the guard of callers' keys in half of all schedules, now and then with too little room for all keys.
    let mut idempotency = IdempotencyConfig::builder();
    if chance(rng, 50) {
        let capacity = NonZeroUsize::new(if chance(rng, 25) { 3 } else { 100 }).expect("at least one");
        idempotency = idempotency.guard(GuardConfig::new().capacity(capacity));
    }
    let builder = StripeTransport::builder().idempotency(idempotency).retry(retry);
    support::transport_of(sim, builder.attempt_timeout(attempt_timeout))
}

fn faults(rng: &mut TestRng) -> Faults {
    let rate = pick(rng, 0..=80) as f64 / 100.0;
    let late = Duration::from_millis(pick(rng, 100..=30_000));
    let mut faults = Faults::probability(rate)
        .late(late..=late * 3)
        .slow(Duration::from_millis(10)..=late)
        .stall_limit(Duration::from_secs(pick(rng, 1..=90)));
    // Each schedule has a character of its own: some faults often, some never.
    for kind in FaultKind::ALL {
        faults = faults.weight(kind, pick(rng, 0..=3) as u32);
    }
    faults
}

fn limits(rng: &mut TestRng) -> Limits {
    match pick(rng, 0..=2) {
        0 => Limits::published(),
        1 => Limits::published().sandbox_rate(5).endpoint_rate(5),
        _ => Limits::unlimited(),
    }
}

fn rng(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn pick(rng: &mut TestRng, range: RangeInclusive<u64>) -> u64 {
    range.start() + rng.next_u64() % (range.end() - range.start() + 1)
}

fn chance(rng: &mut TestRng, percent: u64) -> bool {
    pick(rng, 0..=99) < percent
}
