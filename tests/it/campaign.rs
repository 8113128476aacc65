//! Thousands of random schedules: whatever the network, Stripe, the clocks and the callers do, no order is charged twice,
//! and what the transport says is so.
//!
//! Each schedule is one seed: calls of v1 and v2 at once, faults at some rate, limits or none, a transport with other
//! settings each time, keys of all ages, clocks that move, callers that give up or want the same object. Then the faults
//! stop, everything late lands, and each caller does what `advice()` says. A violation prints its seed; run that one alone
//! with `CAMPAIGN_SEED=<seed> cargo test --test it campaign`.

use std::{
    collections::HashSet,
    num::{NonZeroU32, NonZeroUsize},
    ops::{AddAssign, RangeInclusive},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};
use serde_json::Value;
use stripe_sim::{Canned, Fault, FaultKind, Faults, Latency, Limits, Profile, Reason, Sim, Step};
use tokio::{runtime, task::JoinSet, time};
use tower_stripe::{
    Advice, Certainty, Deadline, IdempotencyKey, Outcome, Report, ReportHandle, RetryLimit, StripeTransport,
    idempotency::{GuardConfig, IdempotencyConfig},
    retry::{BudgetConfig, RetryConfig},
    vocab::{Attempt, Purpose, Stop, key::History, time::WallClock},
};

use crate::support::{self, API_KEY, SimClient, millis, secs};

const SCHEDULES: u64 = 2_000;

/// Callers 0 to 12 pay, 13 to 16 open an account by v2, and 17 to 19 all want the same payment intent.
const PAYING: RangeInclusive<usize> = 0..=12;
const OPENING: RangeInclusive<usize> = 13..=16;
const CALLS: usize = 20;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

// Four tests, so that they share the cores among them; each schedule runs on one thread.

#[test]
fn no_schedule_charges_twice_or_makes_the_transport_lie() {
    quarter(0);
}

#[test]
fn no_schedule_of_the_second_quarter_does_either() {
    quarter(1);
}

#[test]
fn no_schedule_of_the_third_quarter_does_either() {
    quarter(2);
}

#[test]
fn no_schedule_of_the_fourth_quarter_does_either() {
    quarter(3);
}

fn quarter(number: u64) {
    let chosen: Option<u64> =
        std::env::var("CAMPAIGN_SEED").ok().map(|seed| seed.parse().expect("CAMPAIGN_SEED is a number"));
    let seeds = chosen.map_or(1..=SCHEDULES, |seed| seed..=seed);
    let mut seen = Seen::default();
    for seed in seeds.filter(|seed| seed % 4 == number) {
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        seen += runtime.block_on(schedule(seed));
    }
    if chosen.is_none() {
        seen.check();
    }
}

macro_rules! seen {
    ($($(#[$doc:meta])* $name:ident > $least:literal,)*) => {
        /// What the campaign met with.
        #[derive(Debug, Default)]
        struct Seen {
            $($(#[$doc])* $name: usize,)*
        }

        impl AddAssign for Seen {
            fn add_assign(&mut self, more: Self) {
                $(self.$name += more.$name;)*
            }
        }

        impl Seen {
            /// A campaign in which nothing ever goes wrong proves nothing.
            #[allow(clippy::print_stdout, reason = "the figures of a test")]
            fn check(&self) {
                println!("{self:?}");
                $(assert!(self.$name > $least, "{}: {self:?}", stringify!($name));)*
            }
        }
    };
}

seen! {
    calls > 9_000,
    attempts > 9_000,
    unknown > 500,
    dropped > 200,
    replayed > 200,
    late > 200,
    stored > 200,
    /// Handed back by the server, and sent again at once.
    resent > 300,
    locked > 100,
    /// v2, told unknown though the last answer was a refusal.
    unknown_v2 > 20,
    /// Not sent again, because Stripe may have forgotten the key.
    too_old > 30,
    /// With a key of an order that an earlier process may have executed.
    past > 500,
    moved > 100,
    new_key > 100,
    same_key > 500,
    reconcile > 300,
    /// Found by a search only after it had not been.
    lagged > 10,
}

/// What a caller wants of Stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    Pay {
        card: &'static str,
    },
    /// An account of v2.
    Open,
    /// A change of a payment intent that others want to change as well.
    Change {
        intent: String,
        capture: bool,
    },
}

/// How one caller behaves.
struct Caller {
    order: String,
    wish: Wish,
    key: Option<IdempotencyKey>,
    /// The order was made a while ago, and an earlier process may have executed it.
    old: bool,
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

/// Where a schedule takes place.
struct Place {
    seed: u64,
    sim: Sim,
    clocks: Clocks,
    stripe: StripeTransport<SimClient>,
}

async fn schedule(seed: u64) -> Seen {
    let mut rng = rng(seed);
    let mut seen = Seen::default();
    let sim = Sim::builder().seed(seed).limits(Limits::unlimited()).build();
    let clocks = Clocks::new(&sim);
    let age = secs(pick_one(&mut rng, &AGES));
    let moves = moves(&mut rng, age);
    let born = sim.clock().now();
    let stripe = transport(&sim, &clocks.wall, seed, &mut rng);
    let place = Place { seed, sim, clocks, stripe };
    let Place { sim, clocks, .. } = &place;

    // An earlier process did some of it already, and the clocks went on.
    let intent = shared_intent(sim, chance(&mut rng, 50)).await;
    let callers: Vec<_> =
        (0..CALLS).map(|number| caller(number, &intent, [born, born + age], &mut rng)).collect();
    for caller in callers.iter().filter(|caller| caller.old) {
        if chance(&mut rng, 50) {
            let key = IdempotencyKey::derive("pay", &[&caller.order]);
            let _ = support::transport(sim).send(request(caller, Some(key))).await;
        }
    }
    let past = sim.log().len();
    sim.clock().advance(age);
    clocks.tick();
    sim.limits(limits(&mut rng));
    sim.faults(faults(&mut rng));
    if chance(&mut rng, 50) {
        sim.latency(Latency::all(Profile::log_normal(millis(200), secs(1))));
    }
    for caller in callers.iter().filter(|caller| caller.wish == Wish::Open) {
        if chance(&mut rng, 60) {
            let steps = (0..pick(&mut rng, 1..=8)).map(|_| step(&mut rng));
            sim.script(&caller.order, steps.collect::<Vec<_>>());
        }
    }

    seen.moved += moves.len();
    let suspends = moves.iter().any(|(_, shift)| matches!(shift, Move::Asleep(_)));
    let moving = tokio::spawn(clocks.clone().play(moves));
    let mut calls = JoinSet::new();
    for caller in callers {
        calls.spawn(call(place.stripe.clone(), caller));
    }
    let told = calls.join_all().await;
    moving.await.expect("no panic");
    sim.faults(Faults::none());
    sim.latency(Latency::none());
    for told in &told {
        sim.script(&told.caller.order, []);
    }
    sim.quiesce().await;
    sim.settle();

    for told in &told {
        look(&mut seen, told);
        check_told(seed, sim, told);
    }
    for exchange in &sim.log()[past..] {
        seen.late += usize::from(
            matches!(exchange.step, Step::Fault(Fault::F5 { .. } | Fault::Slow { .. })) && exchange.executed,
        );
        seen.stored += usize::from(matches!(exchange.step, Step::Fault(Fault::StoredServerError { .. })));
    }
    seen.past += told.iter().filter(|told| told.caller.old && told.report.advice() != Advice::NewKey).count();
    check_ledger(seed, sim, &told);
    check_intent(seed, sim, &told);
    check_keys(seed, sim, &told);

    if suspends && chance(&mut rng, 50) {
        clocks.shift(Move::Asleep(pick_one(&mut rng, &AGES)));
    }
    for told in &told {
        match told.report.advice() {
            Advice::NewKey => seen.new_key += 1,
            Advice::SameKey => seen.same_key += 1,
            Advice::Reconcile => seen.reconcile += 1,
            Advice::Done | Advice::Resend => {}
        }
        if let Some(resolved) = place.resolve(&mut seen, told).await {
            let executed = sim.ledger().executions(&told.caller.order);
            let order = &told.caller.order;
            assert!(
                executed == u32::from(resolved),
                "seed {seed}: {order} is resolved as {resolved} and executed {executed} times\n{}",
                told.said
            );
        }
    }
    check_ledger(seed, sim, &told);
    check_intent(seed, sim, &told);
    assert_eq!(sim.in_flight(), 0, "seed {seed}: something is left in flight");
    seen
}

fn look(seen: &mut Seen, Told { caller, report, .. }: &Told) {
    let any = |holds: fn(&Attempt) -> bool| usize::from(report.attempts().iter().any(holds));
    let unknown = report.certainty() == Certainty::Unknown;
    let refused = report.attempts().last().is_some_and(|last| last.certainty == Certainty::Rejected);
    seen.calls += 1;
    seen.attempts += report.attempts_made() as usize;
    seen.unknown += usize::from(unknown);
    seen.unknown_v2 += usize::from(unknown && refused && caller.wish == Wish::Open);
    seen.dropped += usize::from(report.stopped() == Some(Stop::Cancelled));
    seen.too_old += usize::from(report.stopped() == Some(Stop::KeyAge));
    seen.replayed += any(|attempt| attempt.replayed);
    seen.resent += any(|attempt| attempt.purpose == Purpose::Resend);
    seen.locked += any(|attempt| attempt.outcome == Outcome::LockTimeout);
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

/// I1, of an object: of all who want to confirm or capture it, one does.
fn check_intent(seed: u64, sim: &Sim, told: &[Told]) {
    let mut executions = 0;
    for Told { caller, .. } in told.iter().filter(|told| matches!(told.caller.wish, Wish::Change { .. })) {
        let hidden = |step: &Step| matches!(step, Step::Fault(Fault::StoredServerError { executed: true }));
        if sim.log_of(&caller.order).iter().any(|exchange| hidden(&exchange.step)) {
            return; // The simulator hides what that did from the next one who wants it.
        }
        executions += sim.ledger().executions(&caller.order);
    }
    assert!(executions <= 1, "seed {seed}: one payment intent changed {executions} times");
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

impl Place {
    /// Does what the advice says until it is known whether the order was executed; returns that, or `None` where only
    /// the object tells, which does not say who changed it.
    async fn resolve(&self, seen: &mut Seen, Told { caller, report, .. }: &Told) -> Option<bool> {
        let (order, wish) = (&caller.order, &caller.wish);
        let declined = *wish == Wish::Pay { card: DECLINED };
        // Whom the object itself refuses, somebody else was faster than.
        let beaten = |report: &Report| {
            let refused = report.attempts().last().is_some_and(|last| last.status.is_some_and(|s| s == 400));
            matches!(wish, Wish::Change { .. }) && report.certainty() == Certainty::Rejected && refused
        };
        if beaten(report) {
            return Some(false);
        }
        let mut advice = report.advice();
        let mut key = report.idempotency_key().cloned();
        for _ in 0..50 {
            match (advice, wish) {
                (Advice::Done, _) => return Some(true),
                (Advice::Reconcile, Wish::Pay { .. }) => return Some(self.is_paid(seen, order).await),
                (Advice::Reconcile, Wish::Open) => return Some(self.is_open(order).await),
                (Advice::Reconcile, Wish::Change { .. }) => return None,
                // The shop that has no use for another try with the same card.
                (Advice::NewKey, _) if declined => return Some(false),
                (Advice::NewKey | Advice::Resend, _) => key = None,
                (Advice::SameKey, _) => {}
            }
            self.clocks.tick();
            let handle = ReportHandle::new();
            // The key as it was handed back.
            let request = support::with(request(caller, key), handle.clone());
            let _ = self.stripe.send(request).await;
            let report = handle.report();
            key = report.idempotency_key().cloned();
            if declined && report.certainty() == Certainty::Rejected && self.sim.ledger().declines(order) > 0
            {
                return Some(false);
            }
            if beaten(&report) {
                return Some(false);
            }
            advice = report.advice();
            time::sleep(secs(5)).await;
        }
        panic!("seed {}: {order} cannot be resolved: {advice}", self.seed);
    }

    /// Whether there is a payment of the order, by what Stripe finds, which is behind by a minute.
    async fn is_paid(&self, seen: &mut Seen, order: &str) -> bool {
        let query = format!("metadata%5B%27order%27%5D%3A%27{order}%27");
        let (mut wait, mut waited) = (secs(5), Duration::ZERO);
        loop {
            let page = self.read(&format!("/v1/payment_intents/search?query={query}")).await;
            let data = page["data"].as_array().expect("a list");
            if data.iter().any(|intent| intent["status"] == "succeeded") {
                seen.lagged += usize::from(!waited.is_zero());
                return true;
            }
            // Twice a minute: Stripe's clock may have been set back by one.
            if waited > secs(2 * MINUTE) {
                return false;
            }
            time::sleep(wait).await;
            (wait, waited) = (wait * 2, waited + wait);
        }
    }

    /// Whether there is an account of the order.
    async fn is_open(&self, order: &str) -> bool {
        let page = self.read("/v2/core/accounts?limit=100").await;
        let data = page["data"].as_array().expect("a list");
        data.iter().any(|account| account["metadata"]["order"] == order)
    }

    async fn read(&self, path: &str) -> Value {
        for _ in 0..50 {
            if let Ok(response) = self.stripe.send(support::get(path, "look")).await
                && response.status() == 200
            {
                return serde_json::from_slice(&support::bytes(response).await).expect("json");
            }
            time::sleep(secs(5)).await;
        }
        panic!("seed {}: {path} is never answered", self.seed);
    }
}

async fn call(stripe: StripeTransport<SimClient>, caller: Caller) -> Told {
    time::sleep(caller.begins).await;
    let handle = ReportHandle::new();
    let mut request = support::with(request(&caller, caller.key.clone()), handle.clone());
    let extensions = request.extensions_mut();
    caller.deadline.map(|deadline| extensions.insert(deadline));
    caller.retries.map(|retries| extensions.insert(retries));
    let sent = stripe.send(request);
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

fn request(caller: &Caller, key: Option<IdempotencyKey>) -> Request<Full<Bytes>> {
    let order = &caller.order;
    let mut request = match &caller.wish {
        Wish::Pay { card } => support::payment_with(order, card),
        Wish::Open => {
            let body = format!(r#"{{"display_name":"pm_card","metadata":{{"order":"{order}"}}}}"#);
            let mut request = support::post("/v2/core/accounts", order, body);
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request
        }
        Wish::Change { intent, capture: false } => {
            let path = format!("/v1/payment_intents/{intent}/confirm");
            support::post(&path, order, "payment_method=pm_card_visa")
        }
        Wish::Change { intent, capture: true } => {
            let path = format!("/v1/payment_intents/{intent}/capture");
            support::post(&path, order, "amount_to_capture=1099")
        }
    };
    key.map(|key| request.extensions_mut().insert(key));
    request
}

/// The payment intent that several want to confirm or capture.
async fn shared_intent(sim: &Sim, capture: bool) -> (String, bool) {
    let more = if capture { "&confirm=true&capture_method=manual" } else { "" };
    let form = format!("amount=1099&currency=eur&payment_method=pm_card_visa{more}");
    let request = support::post("/v1/payment_intents", "shared", form);
    let response = support::transport(sim).send(request).await.expect("nothing fails yet");
    let intent: Value = serde_json::from_slice(&support::bytes(response).await).expect("json");
    (intent["id"].as_str().expect("an id").to_owned(), capture)
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

fn caller(number: usize, intent: &(String, bool), [old, now]: [SystemTime; 2], rng: &mut TestRng) -> Caller {
    // Some callers want the order of the one before, with the same key: a double click.
    let doubled = matches!(number, 5 | 11 | 14);
    let owner = if doubled { number - 1 } else { number };
    let shared = matches!(owner, 4 | 10 | 13);
    let order = format!("order-{owner}");
    let derived = IdempotencyKey::derive("pay", &[&order]);
    let changes = !PAYING.contains(&number) && !OPENING.contains(&number);
    let kind = pick(rng, 0..=3);
    // The shared intent is new.
    let is_old = kind == 2 && !shared && !changes;
    let key = match kind {
        // Without the birth the second of the two would not know, after a long sleep in between, how old the key is.
        _ if shared => Some(derived.born_at(now)),
        0 => None,
        1 => Some(IdempotencyKey::new(format!("{order}-fresh")).expect("valid").fresh()),
        2 if is_old => Some(derived.born_at(old)),
        _ => Some(derived),
    };
    let wish = if PAYING.contains(&number) {
        Wish::Pay { card: if owner % 7 == 3 { DECLINED } else { "pm_card_visa" } }
    } else if OPENING.contains(&number) {
        Wish::Open
    } else {
        Wish::Change { intent: intent.0.clone(), capture: intent.1 }
    };
    Caller {
        key,
        old: is_old,
        wish,
        order,
        begins: millis(pick(rng, 0..=if changes { 300 } else { 3_000 })),
        leaves: chance(rng, 20).then(|| millis(pick(rng, 0..=4_000))),
        deadline: chance(rng, 20).then(|| Deadline::after(millis(pick(rng, 500..=60_000)))),
        retries: chance(rng, 15).then(|| RetryLimit::new(pick(rng, 0..=2) as u32)),
    }
}

fn transport(sim: &Sim, wall: &WallClock, seed: u64, rng: &mut TestRng) -> StripeTransport<SimClient> {
    let attempts = NonZeroU32::new(pick(rng, 1..=6) as u32).expect("at least one");
    let budget = if chance(rng, 30) {
        BudgetConfig::default().max_balance(pick(rng, 1..=5) as u32)
    } else {
        BudgetConfig::OFF
    };
    let retry = RetryConfig::builder().max_attempts(attempts).budget(budget).jitter_seed(seed);
    let attempt_timeout = millis(pick(rng, 300..=30_000));
    // With the guard of callers' keys in half of all schedules, now and then with too little room for all keys.
    let mut idempotency = IdempotencyConfig::builder().wall_clock(wall.clone());
    if (seed / 4).is_multiple_of(2) {
        let capacity =
            NonZeroUsize::new(if (seed / 8).is_multiple_of(4) { 3 } else { 100 }).expect("at least one");
        idempotency = idempotency.guard(GuardConfig::new().capacity(capacity));
    }
    let builder = StripeTransport::builder().retry(retry).idempotency(idempotency);
    support::transport_of(sim, builder.attempt_timeout(attempt_timeout))
}

fn faults(rng: &mut TestRng) -> Faults {
    let rate = pick(rng, 0..=80) as f64 / 100.0;
    let late = millis(pick(rng, 100..=30_000));
    let mut faults = Faults::probability(rate)
        .late(late..=late * 3)
        .slow(millis(10)..=late)
        .stall_limit(secs(pick(rng, 1..=90)));
    // Each schedule has a character of its own: some faults often, some never.
    // What a card is good for is its caller's part of the schedule, and no accident.
    for kind in FaultKind::ALL.into_iter().filter(|kind| *kind != FaultKind::NoFunds) {
        faults = faults.weight(kind, pick(rng, 0..=3) as u32);
    }
    faults
}

/// What happens to one request of v2, where a refusal binds no key.
fn step(rng: &mut TestRng) -> Step {
    let delay = millis(pick(rng, 100..=60_000));
    let fault = match pick(rng, 0..=19) {
        0 => Fault::F0,
        1 => Fault::F1 { pulled: pick(rng, 0..=1) as usize },
        2 => Fault::F2,
        3 | 4 => Fault::F3,
        5 => Fault::F4Cut,
        6 | 7 => Fault::F5 { delay },
        8 => Fault::Slow { delay },
        9 => Fault::StoredServerError { executed: chance(rng, 50) },
        10 => Fault::RefusedStream,
        11..=13 => Fault::NoFunds,
        14 => return Step::Answer(Canned::rate_limited(Reason::GlobalRate)),
        15 => return Step::Answer(Canned::lock_timeout()),
        16 => return Step::Answer(Canned::html(503)),
        17 => return Step::Answer(Canned::unauthorized()),
        18 => return Step::Answer(Canned::html(200)),
        _ => return Step::Pass,
    };
    Step::Fault(fault)
}

fn limits(rng: &mut TestRng) -> Limits {
    let limits = match pick(rng, 0..=2) {
        0 => Limits::published(),
        1 => Limits::published().sandbox_rate(5).endpoint_rate(5),
        _ => Limits::unlimited(),
    };
    limits.search_lag(secs(pick_one(rng, &[0, 30, 60])))
}

// === clocks ===

/// How long ago the order of an old key was made, and how long a machine may sleep: on both sides of all that Stripe
/// remembers and of all that the transport sends.
const AGES: [u64; 10] = [
    MINUTE,
    HOUR,
    22 * HOUR,
    23 * HOUR - 1,
    23 * HOUR + 30 * MINUTE,
    25 * HOUR,
    2 * DAY,
    28 * DAY,
    29 * DAY + 12 * HOUR,
    31 * DAY,
];

/// Something that happens to clocks, in seconds.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The machine sleeps: the time of day goes on everywhere, the monotonic clock does not.
    Asleep(u64),
    /// The machine's time of day is set ahead, or back.
    Ahead(u64),
    Back(u64),
    /// Stripe's is.
    StripeAhead(u64),
    StripeBack(u64),
}

/// What one clock may lose on Stripe's is what the transport leaves unused of a key's life: an hour of 24. So nothing
/// is set back by much where a key can grow old: then no clock would show that it has.
fn moves(rng: &mut TestRng, age: Duration) -> Vec<(Duration, Move)> {
    let young = age < secs(22 * HOUR);
    let set_back = chance(rng, 50);
    let count = if chance(rng, 50) { 0 } else { pick(rng, 1..=2) };
    let one = |rng: &mut TestRng| match pick(rng, 0..=4) {
        0 | 1 if !set_back => Move::Asleep(pick_one(rng, &AGES)),
        0 | 1 if young => Move::Back(pick_one(rng, &[30, 10 * MINUTE, 2 * HOUR, 25 * HOUR, 31 * DAY])),
        0 | 1 => Move::Back(pick_one(rng, &[30, 90, 25 * MINUTE])),
        2 => Move::Ahead(pick_one(rng, &[30, HOUR, 25 * HOUR, 31 * DAY])),
        3 => Move::StripeAhead(pick_one(rng, &[30, 25 * MINUTE])),
        _ => Move::StripeBack(pick(rng, 1..=60)),
    };
    (0..count).map(|_| (millis(pick(rng, 0..=6_000)), one(rng))).collect()
}

/// Stripe's clock, and the transport's time of day.
#[derive(Clone)]
struct Clocks {
    sim: Sim,
    wall: WallClock,
    /// By how many seconds the transport's is ahead.
    ahead: Arc<AtomicI64>,
}

impl Clocks {
    fn new(sim: &Sim) -> Self {
        let wall = WallClock::manual(sim.clock().now());
        Self { sim: sim.clone(), wall, ahead: Arc::default() }
    }

    /// Lets the time of day go on.
    fn tick(&self) {
        let ahead = self.ahead.load(Relaxed);
        let (now, by) = (self.sim.clock().now(), secs(ahead.unsigned_abs()));
        self.wall.set(if ahead < 0 { now - by } else { now + by });
    }

    fn shift(&self, shift: Move) {
        let (stripe, ahead) = match shift {
            Move::Asleep(by) => (by.cast_signed(), 0),
            Move::Ahead(by) => (0, by.cast_signed()),
            Move::Back(by) => (0, -by.cast_signed()),
            Move::StripeAhead(by) => (by.cast_signed(), -by.cast_signed()),
            Move::StripeBack(by) => (-by.cast_signed(), by.cast_signed()),
        };
        let by = secs(stripe.unsigned_abs());
        if stripe < 0 {
            self.sim.clock().rewind(by)
        } else {
            self.sim.clock().advance(by)
        }
        self.ahead.fetch_add(ahead, Relaxed);
        self.tick();
    }

    async fn play(self, moves: Vec<(Duration, Move)>) {
        for (after, shift) in moves {
            time::sleep(after).await;
            // No request is under way for a day: one that was would outlive its key, and no client could help it.
            while matches!(shift, Move::Asleep(_)) && self.sim.in_flight() > 0 {
                time::sleep(millis(50)).await;
            }
            self.shift(shift);
        }
    }
}

// === chance ===

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

fn pick_one(rng: &mut TestRng, from: &[u64]) -> u64 {
    from[pick(rng, 0..=from.len() as u64 - 1) as usize]
}
