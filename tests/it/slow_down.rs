//! When Stripe's limiter says no, what it names becomes slower, and is back within a minute.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;
use stripe_sim::{Canned, Latency, Profile, Reason, Scenario, Step};
use tokio::{task::JoinSet, time::sleep};
use tower_stripe::{
    Certainty, Outcome, Priority, Refusal, ResponseExt, RetryLimit, StripeTransport,
    governor::{Bucket, GovernorConfig},
    vocab::{Mode, Stop, time},
};

use crate::support::{
    get,
    load::{
        Call, Stripe, arrivals, at_once, between, count, endless, live, most_at_once, only, per_second, read,
    },
    millis, never_open, post, secs, sim, stop, transport_of, with,
};

const A: &str = "/v1/customers/cus_1";
const B: &str = "/v1/charges/ch_1";

/// A call that is made once, and at once.
fn once(call: Call) -> Call {
    with(with(live(call), Priority::Critical), RetryLimit::NONE)
}

/// Callers without end of two operations, A and B, half and half.
fn load(stripe: &Stripe, callers: usize) -> JoinSet<()> {
    endless(stripe, callers, |n| live(get([A, B][n % 2], "load")))
}

/// How many calls of A and of B arrived in each stretch of five seconds, 75 s long, after one of A was answered so; and
/// what that was taken for.
async fn sent_after(answer: Canned) -> ([Vec<usize>; 2], Option<Outcome>) {
    let sim = sim();
    sim.script("answer", [Step::Answer(answer)]);
    let governor = GovernorConfig::builder()
        .limit(Bucket::Global, per_second(10).burst(2))
        .limit(Bucket::EachOperation, per_second(5).burst(2));
    let stripe = transport_of(&sim, StripeTransport::builder().governor(governor));
    let load = load(&stripe, 20);
    sleep(secs(5)).await;
    let answer = stripe.send(once(get(A, "answer"))).await.expect("stripe answered");
    let began = sim.log_of("answer")[0].at;
    sleep(secs(76)).await;
    drop(load);

    let of = |path| {
        let all = arrivals(&sim, |seen| seen.order == "load" && seen.path == path);
        let five = |n: u64| between(&all, began + secs(5 * n), began + secs(5 * n + 5));
        (0..15).map(five).collect()
    };
    ([of(A), of(B)], answer.outcome())
}

/// That it was as fast as before.
#[track_caller]
fn assert_full(sent: &[usize], each: usize) {
    assert!(sent.iter().all(|sent| sent.abs_diff(each) <= 2), "{sent:?}, not {each} each");
}

/// That it was half as fast at first, and became evenly faster for a minute.
#[track_caller]
fn assert_halved(sent: &[usize], full: usize) {
    assert!(sent[0] <= full / 2 + full / 20 + 2, "{sent:?}");
    // Half at first and all in the end is three quarters on average.
    let minute: usize = sent[..12].iter().sum();
    assert!(minute.abs_diff(full * 9) <= full / 2 + 2, "{sent:?}: {minute} in the first minute");
    assert_full(&sent[12..], full);
}

fn both(sent: &[Vec<usize>; 2]) -> Vec<usize> {
    sent[0].iter().zip(&sent[1]).map(|(a, b)| a + b).collect()
}

/// S-50
#[tokio::test(start_paused = true)]
async fn a_global_rate_halves_the_rate_of_the_account_for_a_minute_at_most() {
    let (sent, _) = sent_after(Canned::rate_limited(Reason::GlobalRate)).await;
    assert_halved(&both(&sent), 50);
    assert!(sent[0][0].abs_diff(sent[1][0]) <= 2, "both operations alike: {sent:?}");
}

/// S-51
#[tokio::test(start_paused = true)]
async fn an_endpoint_rate_halves_the_rate_of_that_operation_only() {
    let (sent, _) = sent_after(Canned::rate_limited(Reason::EndpointRate)).await;
    assert_halved(&sent[0], 25);
    assert_full(&sent[1], 25);
}

/// S-52, S-53
#[tokio::test(start_paused = true)]
async fn what_is_about_something_else_than_rates_changes_no_rate() {
    use Reason::{EndpointConcurrency, GlobalConcurrency, ResourceSpecific};
    for reason in [GlobalConcurrency, EndpointConcurrency, ResourceSpecific] {
        let (sent, _) = sent_after(Canned::rate_limited(reason)).await;
        assert_full(&sent[0], 25);
        assert_full(&sent[1], 25);
    }
    // Neither do those that no limiter said, or of which nobody knows who did.
    let bare = |status| Canned::json(status, &json!({"error": {"message": "Slow down."}}));
    for answer in [Canned::lock_timeout(), Canned::html(429), Canned::empty(429), bare(429), bare(404)] {
        let (sent, outcome) = sent_after(answer).await;
        assert_full(&sent[0], 25);
        assert_full(&sent[1], 25);
        assert!(matches!(outcome, Some(Outcome::LockTimeout | Outcome::RateLimited(_) | Outcome::NotFound)));
    }
}

/// S-54
#[tokio::test(start_paused = true)]
async fn a_reason_that_nobody_knows_counts_as_the_global_rate() {
    let limiter = |error| Canned::json(StatusCode::TOO_MANY_REQUESTS, &json!({ "error": error }));
    for answer in [
        Canned::rate_limited(Reason::EndpointRate).header("stripe-rate-limited-reason", "phase-of-the-moon"),
        limiter(json!({"code": "rate_limit", "type": "invalid_request_error"})),
        limiter(json!({"type": "rate_limit_error"})),
    ] {
        let (sent, outcome) = sent_after(answer).await;
        assert_halved(&both(&sent), 50);
        let Some(Outcome::RateLimited(reason)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(reason.as_str(), "other", "and its own word goes nowhere");
    }
}

fn global_rate(stripe: &Stripe) -> f64 {
    stripe.governor().snapshot()[0].global_rate().expect("a limit")
}

/// S-50
#[tokio::test(start_paused = true)]
async fn a_limit_is_lowered_once_for_all_that_was_sent_before() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(only(per_second(100).burst(40))));
    let limited = |after| Step::Answer(Canned::rate_limited(Reason::GlobalRate).after(after));
    // All on their way together, and answered one after the other.
    for n in 0..20 {
        sim.script(&n.to_string(), [limited(millis(200 + 10 * n))]);
    }
    at_once(&stripe, (0..20).map(|n| once(read(n, &n.to_string())))).await;
    let once_lowered = global_rate(&stripe);
    assert!((49.9..50.5).contains(&once_lowered), "{once_lowered}");

    // One that is sent later says that the lower rate is too high as well.
    sim.script("later", [limited(Duration::ZERO)]);
    stripe.send(once(read(0, "later"))).await.expect("stripe answered");
    let twice = global_rate(&stripe);
    assert!((24.9..25.5).contains(&twice), "{twice}");
    sleep(secs(60)).await;
    assert!((global_rate(&stripe) - 100.0).abs() < 0.01);
}

/// S-50
#[tokio::test(start_paused = true)]
async fn a_storm_of_429_never_raises_a_limit_nor_ends_below_one_a_second_nor_lasts() {
    // Nine of ten are limited, whatever is sent, as if somebody else used the account up.
    for (rate, replicas) in [(90, 1), (1, 1), (1, 10)] {
        let sim = sim();
        sim.play(Scenario::storm_of_429(secs(30)));
        let limit = only(per_second(rate).burst(2)).replicas(count(replicas));
        let builder = StripeTransport::builder().governor(limit).breaker(never_open());
        let stripe = transport_of(&sim, builder);
        let full = f64::from(rate) / f64::from(replicas);
        let load = endless(&stripe, 20, |n| with(live(read(n, &format!("{n}"))), RetryLimit::NONE));

        let mut before = (0, full);
        for _ in 0..100 {
            sleep(millis(300)).await;
            let limited = sim.log().iter().filter(|seen| seen.status.is_some_and(|s| s == 429)).count();
            let now = global_rate(&stripe);
            let grown = full / 60.0 * 0.55 + 1e-6;
            assert!(now <= before.1 + grown, "{} became {now}", before.1);
            assert!(
                limited == before.0 || now <= before.1.max(full.min(1.0)) + grown,
                "a 429 raised it to {now}"
            );
            assert!(now >= full.min(1.0) - 1e-6, "{now}");
            before = (limited, now);
        }
        if full > 1.0 {
            assert!(before.1 < full / 10.0, "{} after a storm of 30 s", before.1);
        }
        let arrived = arrivals(&sim, |_| true);
        assert!(between(&arrived, secs(20), secs(30)) >= (9.0 * full.min(1.0)) as usize, "it goes on");
        let last =
            sim.log().iter().rfind(|seen| seen.status.is_some_and(|s| s == 429)).expect("a 429").arrived;
        sleep(secs(60) - (time::now() - last)).await;
        assert!((global_rate(&stripe) - full).abs() < 0.01, "{} a minute later", global_rate(&stripe));
        drop(load);
    }
}

/// How many were in flight at once at the other side, of A and of B, in the first seconds after the 429 and a minute later;
/// each takes a second.
async fn in_flight_after(reason: Reason) -> [[usize; 3]; 2] {
    const TOOK: Duration = secs(1);
    let sim = sim();
    sim.latency(Latency::all(Profile::constant(TOOK)));
    sim.script("limited", [Step::Answer(Canned::rate_limited(reason).after(millis(500)))]);
    let governor = only(per_second(1_000)).max_in_flight(20);
    let stripe = transport_of(&sim, StripeTransport::builder().governor(governor));
    let load = endless(&stripe, 80, |n| with(live(get([A, B][n % 2], "load")), Priority::Critical));
    sleep(millis(3_100)).await;
    stripe.send(once(get(A, "limited"))).await.expect("stripe answered");
    let ended = sim.log_of("limited")[0].at + millis(500);
    assert!((global_rate(&stripe) - 1_000.0).abs() < 1e-6, "the rate stays what it was");
    sleep(secs(63)).await;
    drop(load);
    let of = |paths: &[&str]| {
        let all = arrivals(&sim, |seen| seen.order == "load" && paths.contains(&&*seen.path));
        let within = |from, to| {
            let some: Vec<_> = all.iter().copied().filter(|at| (from..to).contains(at)).collect();
            most_at_once(&some, TOOK)
        };
        [within(ended + secs(1), ended + secs(3)), within(ended + secs(61), ended + secs(63))]
    };
    let (a, b, both) = (of(&[A]), of(&[B]), of(&[A, B]));
    [[a[0], b[0], both[0]], [a[1], b[1], both[1]]]
}

/// S-52
#[tokio::test(start_paused = true)]
async fn a_concurrency_halves_what_is_in_flight_in_the_account_or_of_the_operation() {
    let [after, later] = in_flight_after(Reason::GlobalConcurrency).await;
    assert_eq!((after[2], later[2]), (10, 20), "{after:?} {later:?}");
    let [after, later] = in_flight_after(Reason::EndpointConcurrency).await;
    // The operation's limit grows towards a hundred, since it has none.
    assert!((4..=10).contains(&after[0]), "{after:?}");
    assert_eq!((after[2], later[2]), (20, 20), "the other one takes the places: {after:?} {later:?}");
}

/// S-53
#[tokio::test(start_paused = true)]
async fn an_object_whose_limit_is_used_up_is_left_alone_for_a_minute_and_no_other() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(only(per_second(2).burst(2))));
    let change =
        |id: &str, order: &str| live(post(&format!("/v1/payment_intents/{id}"), order, "description=x"));
    let limited = Canned::rate_limited(Reason::ResourceSpecific).after(millis(100));
    sim.script("first", [Step::Answer(limited)]);

    // Two go at once, the others wait for a token meanwhile.
    let orders = [("pi_1", "first"), ("pi_2", "other"), ("pi_1", "waits"), ("pi_2", "waits too")];
    let began = time::now();
    let timed = orders.map(async |(id, order)| (stripe.send(change(id, order)).await, time::now() - began));
    let [first, other, waits, waits_too] = <[_; 4]>::try_from(join_all(timed).await).expect("four");
    let first = first.0.expect("stripe answered");
    assert_eq!((first.status(), stop(&first)), (StatusCode::TOO_MANY_REQUESTS, Some(Stop::Final)));
    assert_eq!(first.certainty(), Some(Certainty::Rejected));
    assert!(other.0.is_ok() && waits_too.0.is_ok());
    let (refused, at) = (waits.0.expect_err("refused"), waits.1);
    assert_eq!(refused.refusal(), Some(&Refusal::ObjectCooling { retry_in: secs(60) }));
    assert_eq!((refused.certainty(), at), (Certainty::NotSent, millis(100)), "as soon as that is known");

    // New ones are refused at once; reads of it, and other objects, are not.
    sleep(secs(20)).await;
    let before = time::now();
    let refused = stripe.send(change("pi_1", "again")).await.expect_err("refused");
    let Some(Refusal::ObjectCooling { retry_in }) = refused.refusal() else { panic!("{refused}") };
    assert_eq!((*retry_in, time::now()), (secs(60) - (before - began - millis(100)), before));
    stripe.send(live(get("/v1/payment_intents/pi_1", "read"))).await.expect("an answer");
    stripe.send(change("pi_3", "third")).await.expect("an answer");
    // It is an object of this account's: of another one's nothing is known.
    let sandbox = post("/v1/payment_intents/pi_1", "sandbox", "description=x");
    stripe.send(sandbox).await.expect("an answer");
    sleep(*retry_in).await;
    stripe.send(change("pi_1", "again")).await.expect("it is tried again");
    let arrived = ["first", "other", "waits", "waits too", "again"].map(|order| sim.log_of(order).len());
    assert_eq!(arrived, [1, 1, 0, 1, 1]);
    let snapshot = stripe.governor().snapshot();
    let of_live = snapshot.iter().find(|account| account.mode() == Mode::Live).expect("it is known");
    assert_eq!((of_live.in_flight(), of_live.global_rate()), (0, Some(2.0)));
}
