//! A circuit opens for what is Stripe's failure and for nothing else, refuses at no cost, and closes without a herd.

use std::{num::NonZeroU32, time::Duration};

use futures_util::future::join_all;
use stripe_sim::{Canned, Fault, Latency, Phase, Profile, Reason, Scenario, Sim, Step};
use tokio::time::sleep;
use tower_stripe::{
    Advice, Certainty, Deadline, Outcome, Refusal, ResponseExt, StripeTransport,
    auth_gate::AuthGateConfig,
    breaker::{BreakerConfig, State, Traffic, Why},
    governor::{Bucket, GovernorConfig, Limit},
    vocab::{Priority, Ratio, Stop, time},
};

use crate::support::{
    assert_one_key_and_body,
    circuits::{
        READS, WRITES, all_day, down, is_refused, once, read, refused_for, seen, states, transitions, trip,
        weather, write,
    },
    millis, payment, payment_with, secs, sim, statuses, stop_of, transport, transport_of, ungoverned, with,
};

/// A server that takes this long.
fn slow(latency: Duration) -> Sim {
    let sim = sim();
    sim.latency(Latency::all(Profile::constant(latency)));
    sim
}

// === what opens it ===

/// S-69
#[tokio::test(start_paused = true)]
async fn ten_thousand_declines_leave_the_circuit_closed() {
    const CALLS: usize = 10_000;
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    let mut told = stripe.breaker().subscribe();
    for n in 0..CALLS {
        let declined = stripe.send(payment_with(&format!("o{n}"), "pm_card_chargeDeclined")).await;
        assert_eq!(declined.expect("an answer").outcome(), Some(Outcome::Declined));
    }
    assert_eq!(sim.log().len(), CALLS);
    assert_eq!(transitions(&mut told, WRITES), []);
    assert_eq!(stripe.breaker().state(WRITES), State::Closed);
}

/// S-70
#[tokio::test(start_paused = true)]
async fn floods_of_answers_that_are_no_outage_leave_the_circuit_closed() {
    let sim = sim();
    let builder = StripeTransport::builder().governor(ungoverned());
    let stripe = transport_of(&sim, builder.auth_gate(AuthGateConfig::builder().enabled(false)));
    let mut told = stripe.breaker().subscribe();
    let floods = [
        Canned::idempotency_error(),
        Canned::unauthorized(),
        Canned::json(403, &serde_json::json!({"error": {"type": "invalid_request_error"}})),
        Canned::json(404, &serde_json::json!({"error": {"code": "resource_missing"}})),
        Canned::conflict(),
        Canned::key_in_use(),
        Canned::lock_timeout(),
        Canned::rate_limited(Reason::GlobalRate),
        Canned::rate_limited(Reason::EndpointConcurrency),
        // Not even Stripe's.
        Canned::html(403),
        Canned::html(429),
        Canned::redirect(302, "https://example.com/"),
    ];
    for (n, flood) in floods.iter().enumerate() {
        weather(&sim, all_day().answers(flood.clone(), 1.0));
        for _ in 0..100 {
            let request = if n % 2 == 0 { write("o") } else { read("o") };
            stripe.send(once(request)).await.expect("an answer");
            stripe.send(once(payment("o"))).await.expect("an answer");
        }
    }
    assert_eq!(sim.log().len(), floods.len() * 200);
    assert_eq!((transitions(&mut told, WRITES), transitions(&mut told, READS)), (vec![], vec![]));
    assert_eq!(stripe.breaker().state(WRITES), State::Closed);
}

/// S-71
#[tokio::test(start_paused = true)]
async fn half_of_fifty_calls_failing_opens_it_once_and_says_why() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    let mut told = stripe.breaker().subscribe();
    for n in 0..50 {
        let order = format!("o{n}");
        if n % 2 == 0 {
            sim.script(&order, [Step::Answer(Canned::html(503))]);
        }
        assert_eq!(stripe.breaker().state(WRITES), State::Closed, "after {n} calls");
        stripe.send(once(write(&order))).await.expect("an answer");
    }
    for _ in 0..100 {
        refused_for(stripe.send(write("later")).await);
    }
    let told = transitions(&mut told, WRITES);
    assert_eq!(states(&told), [State::Open]);
    assert_eq!(told[0].why, Why::Ratio { failures: 25, calls: 50 });
    assert_eq!(told[0].why.to_string(), "25 of 50 calls failed");
    assert_eq!(stripe.breaker().state(READS), State::Closed);
    assert_eq!(sim.log().len(), 50);
}

/// S-72
#[tokio::test(start_paused = true)]
async fn ten_failures_in_a_row_open_it_within_a_minute_but_not_within_an_hour() {
    for (pause, opens) in [(secs(2), true), (secs(360), false)] {
        let sim = sim();
        let stripe = transport(&sim);
        let mut told = stripe.breaker().subscribe();
        weather(&sim, down());
        for n in 0..10 {
            assert_eq!(stripe.breaker().state(WRITES), State::Closed, "after {n} calls");
            stripe.send(once(write("o"))).await.expect("an answer");
            sleep(pause).await;
        }
        let whys: Vec<_> = transitions(&mut told, WRITES).iter().map(|told| told.why).collect();
        let expected = if opens { vec![Why::Consecutive { failures: 10 }] } else { vec![] };
        assert_eq!(whys, expected, "{pause:?} apart");
    }
}

/// S-84
#[tokio::test(start_paused = true)]
async fn slow_answers_open_it_only_where_that_is_asked_for() {
    for (asked, opens) in [(true, true), (false, false)] {
        let sim = slow(secs(2));
        let mut breaker = BreakerConfig::builder();
        if asked {
            breaker = breaker.slow_calls(Traffic::Read, secs(1), Ratio::percent(100));
        }
        let stripe = transport_of(&sim, StripeTransport::builder().breaker(breaker).governor(ungoverned()));
        let mut told = stripe.breaker().subscribe();
        for call in [write as fn(&str) -> _, read] {
            let answers = join_all((0..60).map(|_| stripe.send(call("o")))).await;
            assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 200)));
        }
        let told = transitions(&mut told, READS);
        assert_eq!(told.iter().any(|told| told.why == Why::Slow { slow: 50, calls: 50 }), opens);
        assert_eq!(stripe.breaker().state(READS) == State::Open, opens);
        assert_eq!(stripe.breaker().state(WRITES), State::Closed);
    }
}

// === what an open one does ===

/// S-11
#[tokio::test(start_paused = true)]
async fn an_open_circuit_refuses_before_the_wire_and_says_for_how_long() {
    let sim = sim();
    let stripe = transport(&sim);
    trip(&sim, &stripe, WRITES).await;
    let (known, asked) = (sim.log().len(), time::now());
    let error = stripe.send(payment("o")).await.expect_err("open");

    assert_eq!(time::now() - asked, Duration::ZERO);
    assert!(matches!(error.refusal(), Some(Refusal::CircuitOpen { .. })));
    assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::NewKey));
    assert_eq!((error.attempts(), stop_of(&error)), (0, Some(Stop::Refused)));
    let hint = error.retry_in().expect("it opened by itself");
    assert!((millis(500)..=secs(1)).contains(&hint), "{hint:?}");
    sleep(hint - millis(1)).await;
    assert!(refused_for(stripe.send(payment("o")).await).expect("a hint") <= millis(1));
    assert_eq!(sim.log().len(), known);
    sleep(millis(1)).await;
    stripe.send(write("o")).await.expect("the hint was right");
}

/// S-08
#[tokio::test(start_paused = true)]
async fn a_circuit_that_opens_before_a_retry_leaves_the_first_attempt_unknown() {
    let sim = sim();
    let stripe = transport(&sim);
    sim.script("o", [Step::Fault(Fault::F3)]);
    let call = tokio::spawn(stripe.send(payment("o")));
    sleep(millis(100)).await;
    stripe.breaker().force_open(WRITES);
    let error = call.await.expect("no panic").expect_err("the circuit is open");

    assert!(matches!(error.refusal(), Some(Refusal::CircuitOpen { retry_in: None })));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    let report = error.report().expect("a report");
    let outcomes: Vec<_> = report.attempts().iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes.len(), 2);
    assert!(matches!(outcomes[..], [Outcome::Transport(_), Outcome::Refused]), "{outcomes:?}");
    assert_eq!((statuses(&sim, "o"), sim.ledger().executions("o")), (vec![None], 1));
}

/// S-08
#[tokio::test(start_paused = true)]
async fn what_is_unknown_waits_for_a_circuit_that_opens_by_itself() {
    let sim = sim();
    let stripe = transport(&sim);
    sim.script("o", [Step::Fault(Fault::F3)]);
    let call = tokio::spawn(stripe.send(payment("o")));
    let hasty = tokio::spawn(stripe.send(with(
        with(payment("hasty"), Deadline::after(millis(1_600))),
        tower_stripe::RetryLimit::new(2),
    )));
    sim.script("hasty", [Step::Fault(Fault::F3)]);
    sleep(millis(10)).await;
    trip(&sim, &stripe, WRITES).await;

    let answer = call.await.expect("no panic").expect("its retry was worth the wait");
    assert_eq!((answer.certainty(), answer.was_replayed()), (Some(Certainty::Executed), Some(true)));
    assert_one_key_and_body(&sim, "o");
    assert_eq!(sim.ledger().executions("o"), 1);
    // Whoever has no time to wait is told at once, and the truth.
    let hasty = hasty.await.expect("no panic").expect_err("no time");
    assert_eq!((hasty.certainty(), hasty.advice()), (Certainty::Unknown, Advice::SameKey));
}

/// S-88
#[tokio::test(start_paused = true)]
async fn stripe_asking_for_a_retry_does_not_get_past_an_open_circuit() {
    let sim = sim();
    let stripe = transport(&sim);
    let again = Canned::json(400, &serde_json::json!({"error": {"type": "invalid_request_error"}}));
    sim.script("o", [Step::Answer(again.header("stripe-should-retry", "true"))]);
    let call = tokio::spawn(stripe.send(payment("o")));
    sleep(millis(10)).await;
    stripe.breaker().force_open(WRITES);
    let error = call.await.expect("no panic").expect_err("the circuit is open");
    assert!(matches!(error.refusal(), Some(Refusal::CircuitOpen { .. })));
    assert_eq!((error.certainty(), error.attempts()), (Certainty::Rejected, 1));
    assert_eq!(statuses(&sim, "o"), [Some(400)]);
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_opens_refuses_at_once_those_who_wait_for_their_turn() {
    for by_itself in [true, false] {
        let sim = slow(millis(10));
        let ten = Limit::per_second(NonZeroU32::new(10).expect("not zero")).burst(20);
        let governor = GovernorConfig::builder().limit(Bucket::Global, Limit::UNLIMITED);
        let governor = governor.limit(Bucket::EachOperation, ten);
        let stripe = transport_of(&sim, StripeTransport::builder().governor(governor));
        let begun = time::now();
        if by_itself {
            weather(&sim, all_day().answers(Canned::html(503).after(millis(10)), 1.0));
        }
        let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(stripe.send(once(write("o"))))).collect();
        let reading: Vec<_> = (0..30).map(|_| tokio::spawn(stripe.send(once(read("o"))))).collect();
        sleep(millis(5)).await;
        let waiting_in_all = |handle: tower_stripe::governor::GovernorHandle| -> usize {
            let each = [Priority::Critical, Priority::Normal, Priority::Background];
            handle.snapshot().iter().flat_map(|account| each.map(|priority| account.waiting(priority))).sum()
        };
        assert!(waiting_in_all(stripe.governor()) >= 90);
        if !by_itself {
            stripe.breaker().force_open(WRITES);
        }
        let answers = join_all(waiting).await;
        assert!(time::now() - begun < millis(60), "{:?}", time::now() - begun);
        let refused = answers.iter().filter(|answer| is_refused(answer.as_ref().expect("no panic"))).count();
        let sent = seen(&sim, 0).iter().filter(|kind| **kind == "write").count();
        assert_eq!(refused + sent, 100);
        assert!((10..=20).contains(&sent), "{sent}");
        for answer in answers.into_iter().map(|answer| answer.expect("no panic")) {
            if let Err(error) = answer {
                assert_eq!((error.certainty(), error.attempts()), (Certainty::NotSent, 0));
            }
        }
        // Nobody else was woken up: reads go on at their own pace.
        if !by_itself {
            assert!(join_all(reading).await.into_iter().all(|answer| answer.expect("no panic").is_ok()));
        }
    }
}

/// S-85
#[tokio::test(start_paused = true)]
async fn without_a_call_it_stays_open_and_the_first_one_finds_out() {
    let sim = sim();
    let stripe = transport(&sim);
    trip(&sim, &stripe, READS).await;
    let mut told = stripe.breaker().subscribe();
    sleep(secs(3_600)).await;
    assert_eq!(stripe.breaker().state(READS), State::Open);
    for expected in [State::HalfOpen, State::HalfOpen, State::Closed] {
        stripe.send(read("o")).await.expect("an answer");
        assert_eq!(stripe.breaker().state(READS), expected);
    }
    assert_eq!(states(&transitions(&mut told, READS)), [State::HalfOpen, State::Closed]);
}

// === how it closes ===

/// S-78
#[tokio::test(start_paused = true)]
async fn after_closing_the_share_that_is_admitted_grows_from_a_tenth_to_all_within_half_a_second() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    trip(&sim, &stripe, READS).await;
    sleep(secs(1)).await;
    for _ in 0..3 {
        stripe.send(read("o")).await.expect("an answer");
    }
    let (known, closed) = (sim.log().len(), sim.clock().elapsed());
    for _ in 0..1_000 {
        // A call each millisecond.
        let _ = stripe.send(read("o")).await;
        sleep(millis(1)).await;
    }
    let tenths = (0..7_u32).map(|n| {
        let of = closed + millis(100) * n..closed + millis(100) * (n + 1);
        sim.log()[known..].iter().filter(|seen| of.contains(&seen.at)).count()
    });
    let tenths: Vec<_> = tenths.collect();
    // The share at the middle of each tenth of a second, of a hundred calls.
    for (n, (got, expected)) in tenths.iter().zip([19, 37, 55, 73, 91, 100, 100]).enumerate() {
        assert!(got.abs_diff(expected) <= 2, "tenth {n}: {tenths:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_after_closing_open_it_again() {
    let sim = sim();
    let stripe = transport(&sim);
    trip(&sim, &stripe, READS).await;
    let mut told = stripe.breaker().subscribe();
    sleep(secs(1)).await;
    for _ in 0..3 {
        stripe.send(read("o")).await.expect("an answer");
    }
    weather(&sim, down());
    let known = sim.log().len();
    for _ in 0..450 {
        let _ = stripe.send(once(read("o"))).await;
        sleep(millis(1)).await;
    }
    assert_eq!(sim.log().len() - known, 3);
    let told = transitions(&mut told, READS);
    assert_eq!(states(&told), [State::HalfOpen, State::Closed, State::Open]);
    assert_eq!(told[2].why, Why::RampFailed);
}

/// S-79
#[tokio::test(start_paused = true)]
async fn answers_to_what_was_sent_before_it_opened_count_for_nothing() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    let late = |order: &str, status: u16, after: Duration| {
        let answer = Canned::json(status, &serde_json::json!({})).after(after);
        sim.script(order, [Step::Answer(answer)]);
        tokio::spawn(stripe.send(once(read(order))))
    };
    // Failures that arrive when it is half open and when it is closed again, and successes while it is half open.
    let mut calls = Vec::new();
    for n in 0..20 {
        calls.push(late(&format!("half{n}"), 503, millis(1_100)));
        calls.push(late(&format!("closed{n}"), 503, millis(1_500)));
        calls.push(late(&format!("well{n}"), 200, millis(1_150)));
    }
    sleep(millis(1)).await;
    trip(&sim, &stripe, READS).await;
    let mut told = stripe.breaker().subscribe();
    sleep(secs(1)).await;
    stripe.send(read("o")).await.expect("the first probe");
    sleep(millis(250)).await;
    assert_eq!(stripe.breaker().state(READS), State::HalfOpen, "twenty failed and twenty succeeded since");
    for _ in 0..2 {
        stripe.send(read("o")).await.expect("a probe");
    }
    assert_eq!(stripe.breaker().state(READS), State::Closed);
    for call in calls {
        call.await.expect("no panic").expect("an answer");
    }
    assert_eq!(states(&transitions(&mut told, READS)), [State::HalfOpen, State::Closed]);
    assert_eq!(stripe.breaker().state(READS), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn it_opens_later_each_time_up_to_five_seconds_and_not_for_long_after_a_good_minute() {
    let sim = sim();
    let stripe = transport(&sim);
    trip(&sim, &stripe, READS).await;
    let mut told = stripe.breaker().subscribe();
    let began = time::now();
    sim.play(Scenario::new().then(Phase::new(secs(30)).answers(Canned::html(503), 1.0)));
    for _ in 0..6_000 {
        let _ = stripe.send(once(read("o"))).await;
        sleep(millis(10)).await;
    }
    let mut told = transitions(&mut told, READS);
    let rounds: Vec<_> = told.iter().map(|told| told.to).collect();
    assert_eq!(rounds.last(), Some(&State::Closed));
    told.retain(|told| told.to != State::Closed);
    let mut opened = began;
    for (n, round) in told.chunks(2).enumerate() {
        let whole = [1_000, 2_000, 4_000, 5_000].get(n).copied().unwrap_or(5_000);
        let open = round[0].at - opened;
        assert!((millis(whole / 2)..=millis(whole + 10)).contains(&open), "round {n}: {open:?}");
        opened = round.last().expect("two").at;
    }
    assert!((7..=14).contains(&(told.len() / 2)), "{} rounds", told.len() / 2);
    // A minute later it begins anew.
    for _ in 0..600 {
        stripe.send(read("o")).await.expect("all is well");
        sleep(millis(100)).await;
    }
    trip(&sim, &stripe, READS).await;
    assert!(refused_for(stripe.send(read("o")).await).expect("a hint") <= secs(1));
}
