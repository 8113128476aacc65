//! Stripe's rate limits are kept without being told, and used up.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use stripe_sim::{Canned, Limits, Reason, Sim, Step};
use tokio::time::sleep;
use tower_stripe::{
    Outcome, Priority, ResponseExt, StripeTransport,
    governor::{Bucket, GovernorConfig, Limit},
    vocab::{Mode, time},
};

use crate::support::{
    API_KEY, get,
    load::{
        Call, arrivals, assert_within, at_once, between, count, live, most_at_once, offer, only, per_second,
        queued, read, under,
    },
    millis, never_open, request, secs, sim, transport, transport_of, with,
};

/// A number that has nothing to do with this one.
const fn scattered(n: usize) -> usize {
    (n * 2_654_435_761) >> 16
}

fn is_live(mode: Mode, call: Call) -> Call {
    if mode == Mode::Live { live(call) } else { call }
}

/// S-48
#[tokio::test(start_paused = true)]
async fn a_key_that_is_offered_500_calls_a_second_sends_what_its_mode_allows() {
    for (mode, rate) in [(Mode::Live, 90.0), (Mode::Sandbox, 22.5)] {
        let sim = sim();
        let (stripe, began) = (transport(&sim), time::now());
        let answers = offer(&stripe, millis(2), 6_000, |n| {
            let urgent = [Priority::Critical, Priority::Normal][n / 10 % 2];
            is_live(mode, with(read(scattered(n), "o"), urgent))
        });
        let answers = answers.await;

        let all = arrivals(&sim, |_| true);
        assert_within(&all, rate, 10);
        let sustained = between(&all, secs(1), secs(12));
        assert!(sustained as f64 >= rate * 11.0 - 1.0, "{mode}: {sustained} in 11 s");
        assert_eq!(all.len(), answers.iter().filter(|answer| answer.is_ok()).count(), "no call went twice");
        // What was queued when the last one was offered, and nothing else, came later.
        let drained = (time::now() - began).as_secs_f64();
        assert!(drained <= 12.0 + 1_024.0 / rate + 0.1, "{mode}: {drained} s");
    }
}

/// S-49
#[tokio::test(start_paused = true)]
async fn one_operation_has_its_own_limit_and_does_not_hold_up_the_others() {
    let sim = sim();
    let stripe = transport(&sim);
    let busy = offer(&stripe, secs(1) / 60, 600, |_| live(get("/v1/customers/cus_1", "busy")));
    let calm = offer(&stripe, millis(100), 100, |n| live(read(1 + n % 9, "calm")));
    let (_, calm) = tokio::join!(busy, calm);

    let busy = arrivals(&sim, |seen| seen.order == "busy");
    assert_within(&busy, 22.5, 3);
    assert!(between(&busy, secs(0), secs(10)) >= 225, "it uses up what it may");
    assert_eq!(busy.len(), 600);
    for answer in &calm {
        assert_eq!(queued(answer), Duration::ZERO);
    }
}

/// S-61
#[tokio::test(start_paused = true)]
async fn payouts_are_13_a_second_and_27_in_flight() {
    let payout = || live(request("POST", "/v1/payouts", "payout", "amount=1000&currency=eur"));
    for (took, at_once_at_most) in [(secs(4), 27), (millis(200), 5)] {
        let sim = sim();
        let created = Canned::json(200, &serde_json::json!({"id": "po_1"})).after(took);
        sim.script("payout", vec![Step::Answer(created); 100]);
        let answers = at_once(&transport(&sim), (0..100).map(|_| payout())).await;

        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 200)));
        let all = arrivals(&sim, |_| true);
        assert_eq!(all.len(), 100);
        assert_within(&all, 13.5, 3);
        assert_eq!(most_at_once(&all, took), at_once_at_most, "{took:?}");
    }
}

struct Apart {
    mode: Mode,
    paths: &'static [&'static str],
    calls: usize,
    rate: f64,
    burst: u32,
}

fn of(path: &str, order: &str) -> Request<Full<Bytes>> {
    let (method, path) = path.split_once(' ').expect("a method");
    let mut call = request(method, path, order, "");
    if path == "/v1/files" && method == "POST" {
        *call.uri_mut() = "https://files.stripe.com/v1/files".parse().expect("a uri");
    }
    call
}

const fn apart(mode: Mode, paths: &'static [&'static str], calls: usize, rate: f64, burst: u32) -> Apart {
    Apart { mode, paths, calls, rate, burst }
}

#[tokio::test(start_paused = true)]
async fn what_has_limits_of_its_own_is_drained_at_exactly_those() {
    use Mode::{Live, Sandbox};
    const SEARCH: &[&str] =
        &["GET /v1/customers/search", "GET /v1/charges/search", "GET /v1/invoices/search"];
    const FILES: &[&str] = &["GET /v1/files", "GET /v1/files/file_1"];
    const UPLOADS: &[&str] = &["POST /v1/files"];
    const ACCOUNTS: &[&str] = &["POST /v1/accounts", "POST /v2/core/accounts"];
    const EVENTS: &[&str] = &["POST /v1/billing/meter_events"];
    const EVENTS_V2: &[&str] = &["POST /v2/billing/meter_events"];
    const STREAM: &[&str] = &["POST /v2/billing/meter_event_stream"];
    for Apart { mode, paths, calls, rate, burst } in [
        apart(Live, SEARCH, 90, 18.0, 3),
        apart(Sandbox, SEARCH, 90, 18.0, 3),
        apart(Live, FILES, 90, 18.0, 3),
        apart(Live, UPLOADS, 90, 18.0, 3),
        apart(Live, ACCOUNTS, 100, 27.0, 3),
        apart(Sandbox, ACCOUNTS, 20, 4.5, 3),
        apart(Live, EVENTS, 1_000, 900.0, 5),
        apart(Live, EVENTS_V2, 1_000, 900.0, 5),
        apart(Live, STREAM, 1_000, 9_000.0, 50),
        apart(Sandbox, EVENTS, 50, 22.5, 3),
        apart(Sandbox, STREAM, 50, 22.5, 3),
    ] {
        let sim = sim();
        let calls = (0..calls).map(|n| is_live(mode, of(paths[n % paths.len()], "o")));
        at_once(&transport(&sim), calls.clone()).await;

        let all = arrivals(&sim, |_| true);
        assert_eq!(all.len(), calls.len(), "{mode} {paths:?}");
        assert_within(&all, rate, burst);
        let ideal = (calls.len() as f64 - f64::from(burst)) / rate;
        let took = all[all.len() - 1].as_secs_f64();
        // A part of the burst may be in reserve, and a timer wakes up to a millisecond late.
        assert!(took <= ideal + 1.5 / rate + 0.002, "{mode} {paths:?}: {took} s, not {ideal}");
    }
}

#[tokio::test(start_paused = true)]
async fn live_meter_events_stand_beside_the_global_limit() {
    let sim = sim();
    let stripe = transport(&sim);
    let flood = offer(&stripe, millis(5), 400, |n| live(read(n, "flood")));
    let events = offer(&stripe, millis(2), 900, |_| live(of("POST /v1/billing/meter_events", "event")));
    let (_, events) = tokio::join!(flood, events);
    assert!(events.iter().all(|event| queued(event) == Duration::ZERO));
    assert_within(&arrivals(&sim, |seen| seen.order == "flood"), 90.0, 10);
}

/// Five operations in turn, so that the account's limit is what counts.
#[tokio::test(start_paused = true)]
async fn five_hundred_at_once_go_in_their_order_at_the_full_rate_and_no_limiter_is_met() {
    // The published limits, whose bucket holds one second of rate and so our burst; and no more than our own rate.
    let tight = Limits::published().live_rate(90).endpoint_rate(23);
    for limits in [Limits::published(), tight] {
        for priority in [Priority::Critical, Priority::Normal, Priority::Background] {
            let sim = Sim::builder().limits(limits.clone()).build();
            let began = time::now();
            let calls = (0..500).map(|n| with(live(read(n % 5, &n.to_string())), priority));
            let answers = at_once(&transport(&sim), calls).await;

            let took = (time::now() - began).as_secs_f64();
            let ideal = (500.0 - 10.0) / 90.0;
            println!("500 at once, {priority}: drained in {took:.3} s, ideally in {ideal:.3} s");
            assert!((ideal..=ideal * 1.1).contains(&took), "{priority}: {took} s, not {ideal}");
            for answer in answers {
                assert_eq!(answer.expect("an answer").outcome(), Some(Outcome::NotFound));
            }
            let log = sim.log();
            assert_within(&arrivals(&sim, |_| true), 90.0, 10);
            assert!(
                log.iter().all(|seen| seen.status.is_some_and(|status| status == 404)),
                "a limiter was met"
            );
            let order: Vec<_> =
                log.iter().map(|seen| seen.order.parse::<usize>().expect("a number")).collect();
            assert_eq!(order, (0..500).collect::<Vec<_>>(), "first come, first served");
        }
    }
}

/// Five operations in no order, three priorities.
#[tokio::test(start_paused = true)]
async fn in_a_mix_each_priority_is_served_in_the_order_of_calling() {
    let sim = Sim::new();
    let priorities = [Priority::Critical, Priority::Normal, Priority::Background];
    let calls = (0..500).map(|n| {
        let (order, priority) = (format!("{}-{n}", n % 3), priorities[n % 3]);
        with(live(read(scattered(n) % 5, &order)), priority)
    });
    let calls: Vec<_> = calls.collect();
    let began = time::now();
    at_once(&transport(&sim), calls).await;

    let took = (time::now() - began).as_secs_f64();
    assert!(took <= (500.0 - 10.0) / 90.0 * 1.1, "{took} s");
    let log = sim.log();
    assert!(log.iter().all(|seen| seen.status.is_some_and(|status| status == 404)), "a limiter was met");
    for priority in ["0", "1", "2"] {
        // Of each operation: one that is at its own limit lets others pass.
        let mut latest = std::collections::BTreeMap::<&str, usize>::new();
        for seen in &log {
            let Some((of, n)) = seen.order.split_once('-').filter(|(of, _)| *of == priority) else {
                continue;
            };
            let n = n.parse().expect("a number");
            assert!(latest.insert(&seen.path, n).is_none_or(|before| before < n), "{of}: {n} came late");
        }
    }
    let last = |priority| log.iter().rposition(|seen| seen.order.starts_with(priority)).expect("some");
    assert!(last("0-") < last("1-") && last("1-") < last("2-"));
}

/// S-56
#[tokio::test(start_paused = true)]
async fn four_replicas_send_together_what_one_may() {
    let sim = sim();
    let replica = || {
        let governor = GovernorConfig::builder().replicas(count(4));
        transport_of(&sim, StripeTransport::builder().governor(governor))
    };
    let replicas: [_; 4] = std::array::from_fn(|_| replica());
    let calls = (0..400).map(|n| replicas[n % 4].send(live(read(n / 4, "o"))));
    futures_util::future::join_all(calls).await;

    let all = arrivals(&sim, |_| true);
    assert_eq!(all.len(), 400);
    // The burst of 10, divided and rounded up.
    assert_within(&all, 90.0, 12);
    let took = all[399].as_secs_f64();
    assert!(took <= (400.0 - 4.0) / 90.0 * 1.02, "{took} s");
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_changes_at_run_time_counts_for_those_who_wait() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(only(per_second(50))));
    let governor = stripe.governor();
    let set = |rate| governor.set_limit(Mode::Live, Bucket::Global, per_second(rate)).expect("valid");
    let control = async {
        sleep(secs(2)).await;
        set(10);
        sleep(secs(5)).await;
        set(100);
        sleep(secs(2)).await;
        governor.set_replicas(count(5)).expect("valid");
        sleep(secs(5)).await;
        governor.set_limit(Mode::Live, Bucket::Global, Limit::UNLIMITED).expect("valid");
    };
    let calls = (0..600).map(|n| live(read(n, "o")));
    tokio::join!(at_once(&stripe, calls), control);

    let all = arrivals(&sim, |_| true);
    let in_between = |from, to| between(&all, secs(from), secs(to));
    let seen = [in_between(0, 2), in_between(2, 7), in_between(7, 9), in_between(9, 14), in_between(14, 15)];
    // A burst may be had once at each end of a stretch.
    for (seen, expected) in seen[..4].iter().zip([100, 50, 200, 100]) {
        assert!(seen.abs_diff(expected) <= 10, "{seen}, not {expected}");
    }
    assert_eq!(seen.iter().sum::<usize>(), 600, "without a limit the rest goes at once: {seen:?}");
    assert!(governor.set_limit(Mode::Live, Bucket::Global, per_second(1_000_001)).is_err());
}

#[tokio::test(start_paused = true)]
async fn two_api_keys_of_one_process_do_not_share_a_limit_and_neither_do_the_modes_of_an_account() {
    const OTHER: &str = "sk_test_other";
    const LIVE: &str = "sk_live_sim";
    let sim = Sim::builder().account(API_KEY).account(OTHER).account(LIVE).build();
    let stripe = transport(&sim);
    let keys = [API_KEY, OTHER, LIVE];
    let calls = (0..300).map(|n| under(read(n / 3, keys[n % 3]), keys[n % 3]));
    at_once(&stripe, calls).await;
    for (key, rate) in [(API_KEY, 22.5), (OTHER, 22.5), (LIVE, 90.0)] {
        let all = arrivals(&sim, |seen| seen.order == key);
        assert_within(&all, rate, 10);
        let took = all[99].as_secs_f64();
        assert!(took <= (100.0 - 8.0) / rate + 0.01, "{key}: {took} s");
    }
    assert!(sim.log().iter().all(|seen| seen.status.is_some_and(|status| status == 404)));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_spends_a_token_and_what_was_refused_by_a_limiter_too() {
    let sim = sim();
    let builder = StripeTransport::builder().breaker(never_open()).governor(only(per_second(10).burst(2)));
    let stripe = transport_of(&sim, builder);
    let locked = Step::Answer(Canned::lock_timeout());
    let broken = Step::Answer(Canned::html(503));
    for n in 0..40 {
        sim.script(&n.to_string(), [[&locked, &broken][n % 2].clone()]);
    }
    let answers = at_once(&stripe, (0..40).map(|n| live(read(n, &n.to_string())))).await;
    assert!(answers.iter().all(Result::is_ok));
    let all = arrivals(&sim, |_| true);
    assert_eq!(all.len(), 80);
    assert_within(&all, 10.0, 2);
    assert!(all[79] <= millis(7_900), "{:?}", all[79]);

    // Nothing is refunded for a 429: it may have counted there.
    sim.script("limited", [Step::Answer(Canned::rate_limited(Reason::EndpointRate))]);
    sleep(secs(10)).await;
    let before = time::now();
    let calls = ["limited", "a", "b"].map(|order| stripe.send(live(read(0, order))));
    futures_util::future::join_all(calls).await;
    assert_eq!(sim.log_of("b")[0].arrived - before, millis(100));
}
