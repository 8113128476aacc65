//! Whether Stripe is back is found out by one request at a time, of the least harm, and whatever becomes of it.

use std::time::Duration;

use futures_util::future::join_all;
use stripe_sim::{Canned, Latency, Profile, Sim, Step};
use tokio::time::sleep;
use tokio_test::{assert_pending, task};
use tower_stripe::{
    AttemptTimeout, Certainty, IdempotencyKey, ReportHandle, ResponseExt, StripeTransport,
    breaker::{BreakerConfig, State, Why},
    vocab::time,
};

use crate::support::{
    circuits::{
        IN_CALL, IN_POLL, READS, Stripe, WRITES, Wire, all_day, clear, down, is_refused, once, read,
        refused_for, seen, states, transitions, trip, weather, write,
    },
    client, keyed, millis, payment, secs, sim, transport, transport_of, with,
};

fn slow(latency: Duration) -> Sim {
    let sim = sim();
    sim.latency(Latency::all(Profile::constant(latency)));
    sim
}

/// A transport whose circuit here is open, and may be probed from now on.
async fn to_be_probed(sim: &Sim, partition: tower_stripe::breaker::Partition) -> Stripe {
    let stripe = transport(sim);
    trip(sim, &stripe, partition).await;
    sleep(secs(1)).await;
    stripe
}

// === how many ===

/// S-73
#[tokio::test(start_paused = true)]
async fn of_a_hundred_callers_at_once_one_is_the_probe() {
    let sim = slow(millis(100));
    let stripe = to_be_probed(&sim, READS).await;
    let known = sim.log().len();
    let answers = join_all((0..100).map(|_| stripe.send(read("o")))).await;
    assert_eq!(seen(&sim, known), ["read"]);
    assert_eq!(answers.iter().filter(|answer| is_refused(answer)).count(), 99);
    for error in answers.into_iter().filter_map(Result::err) {
        assert_eq!((error.certainty(), error.attempts()), (Certainty::NotSent, 0));
    }
}

/// S-73, S-74
#[tokio::test(start_paused = true)]
async fn of_a_hundred_writes_at_once_one_asks_and_is_the_probe_and_of_payments_none() {
    let sim = slow(millis(100));
    let stripe = to_be_probed(&sim, WRITES).await;
    let known = sim.log().len();
    let answers = join_all((0..100).map(|_| stripe.send(write("o")))).await;
    assert_eq!(seen(&sim, known), ["probe", "write"]);
    assert_eq!(answers.iter().filter(|answer| is_refused(answer)).count(), 99);

    let sim = slow(millis(100));
    let stripe = to_be_probed(&sim, WRITES).await;
    let known = sim.log().len();
    let answers = join_all((0..100).map(|_| stripe.send(payment("o")))).await;
    assert_eq!(seen(&sim, known), ["probe"]);
    assert!(answers.iter().all(is_refused));
    assert_eq!(stripe.breaker().state(WRITES), State::HalfOpen);
}

// === who ===

/// S-74
#[tokio::test(start_paused = true)]
async fn a_get_is_the_probe_if_one_comes_in_time_and_one_of_our_own_if_none_does() {
    // Both circuits are open, the reads for longer.
    let sim = slow(millis(10));
    let both = async |seed: u64| {
        let breaker = BreakerConfig::builder().jitter_seed(seed);
        let stripe = transport_of(&sim, StripeTransport::builder().breaker(breaker));
        trip(&sim, &stripe, WRITES).await;
        trip(&sim, &stripe, READS).await;
        stripe
    };
    // The moment when the reads may be probed.
    let until = async |stripe: &Stripe| {
        let rest = refused_for(stripe.send(read("o")).await).expect("a hint");
        let writes = refused_for(stripe.send(write("o")).await).expect("a hint");
        sleep(rest.max(writes) + millis(1)).await;
        rest >= writes
    };
    let mut reads_were_last = 0;
    for seed in 0..8 {
        let stripe = both(seed).await;
        let known = sim.log().len();
        let waits = until(&stripe).await;
        reads_were_last += usize::from(waits);
        if waits {
            // A write gives a GET a tenth of a second to come.
            let grace = refused_for(stripe.send(write("o")).await).expect("a hint");
            assert!(grace <= millis(100), "{grace:?}");
            assert_eq!(seen(&sim, known), [""; 0]);
        }
        stripe.send(read("o")).await.expect("the probe");
        stripe.send(write("o")).await.expect("stripe can be reached, as was just seen");
        assert_eq!(seen(&sim, known), ["read", "write"]);

        let stripe = both(seed).await;
        let known = sim.log().len();
        until(&stripe).await;
        sleep(millis(100)).await;
        stripe.send(write("o")).await.expect("its own GET has shown that stripe can be reached");
        assert_eq!(seen(&sim, known), ["probe", "write"]);
    }
    assert!(reads_were_last > 0, "the jitter never let it happen");
}

/// S-74
#[tokio::test(start_paused = true)]
async fn money_is_tried_when_nothing_else_comes_and_the_last_attempt_of_a_payment_last_of_all() {
    let sim = slow(millis(10));
    let stripe = to_be_probed(&sim, WRITES).await;
    let known = sim.log().len();
    refused_for(stripe.send(once(payment("last"))).await);
    sleep(millis(248)).await;
    refused_for(stripe.send(payment("money")).await);
    sleep(millis(2)).await;
    refused_for(stripe.send(once(payment("last"))).await);
    stripe.send(payment("money")).await.expect("a quarter of a second is over");
    assert_eq!(seen(&sim, known), ["probe", "payment"]);
    // A write that moves no money is welcome at any time.
    stripe.send(write("harmless")).await.expect("an answer");
    refused_for(stripe.send(payment("money")).await);
    sleep(millis(250)).await;
    refused_for(stripe.send(once(payment("last"))).await);
    sleep(millis(1_998)).await;
    refused_for(stripe.send(once(payment("last"))).await);
    sleep(millis(12)).await;
    stripe.send(once(payment("last"))).await.expect("nothing else has come");
    assert_eq!(seen(&sim, known), ["probe", "payment", "write", "payment"]);
    assert_eq!(stripe.breaker().state(WRITES), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_probe_of_our_own_carries_nothing_of_the_call_and_does_not_show_in_its_report() {
    let sim = sim();
    let stripe = to_be_probed(&sim, WRITES).await;
    let known = sim.log().len();
    let handle = ReportHandle::new();
    let request = keyed(with(write("o"), handle.clone()), "key-of-the-caller");
    let answer = stripe.send(request).await.expect("an answer");

    let log = sim.log();
    let [probe, sent] = &log[known..] else { panic!("{log:?}") };
    assert_eq!((probe.method.as_str(), &*probe.path, &*probe.order), ("GET", "/v1/", "GET /v1/"));
    assert_eq!((&probe.idempotency_key, probe.body.len(), probe.authorized), (&None, 0, true));
    assert_eq!(probe.status.map(|status| status.as_u16()), Some(404));
    assert_eq!(sent.idempotency_key.as_deref(), Some("key-of-the-caller"));
    let report = answer.report().expect("a report");
    assert_eq!((report.attempts_made(), report.attempts().len()), (1, 1));
    assert_eq!(report.request_ids().map(ToString::to_string).collect::<Vec<_>>(), [&*sent.request_id]);
    assert_eq!(report.idempotency_key().map(IdempotencyKey::as_str), Some("key-of-the-caller"));
    assert_eq!(handle.attempts_made(), 1);

    // Nor of a call that is refused after it.
    for _ in 0..2 {
        stripe.send(write("o")).await.expect("an answer");
    }
    sleep(secs(1)).await;
    trip(&sim, &stripe, WRITES).await;
    sleep(secs(5)).await;
    weather(&sim, down());
    let error = stripe.send(write("o")).await.expect_err("the probe failed");
    let report = error.report().expect("a report");
    assert_eq!((error.certainty(), report.attempts_made()), (Certainty::NotSent, 0));
    assert_eq!(report.request_ids().count(), 0);
}

/// S-74
#[tokio::test(start_paused = true)]
async fn without_probes_of_our_own_a_write_is_the_probe() {
    let sim = sim();
    let breaker = BreakerConfig::builder().synthetic_probes(false);
    let stripe = transport_of(&sim, StripeTransport::builder().breaker(breaker));
    trip(&sim, &stripe, WRITES).await;
    sleep(secs(1)).await;
    let known = sim.log().len();
    for _ in 0..3 {
        stripe.send(write("o")).await.expect("an answer");
    }
    assert_eq!(seen(&sim, known), ["write"; 3]);
    assert_eq!(stripe.breaker().state(WRITES), State::Closed);
}

// === what may become of it ===

/// S-75
#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_anywhere_lets_the_next_one_go_at_once() {
    let calls: [(_, fn(&str) -> _, _); 3] =
        [(READS, read, false), (WRITES, write, false), (WRITES, payment, true)];
    for (partition, call, is_money) in calls {
        let mut polls = 0;
        loop {
            let sim = slow(millis(3));
            let stripe = to_be_probed(&sim, partition).await;
            if is_money {
                // Then it need not wait for others.
                stripe.send(write("first")).await.expect("an answer");
                sleep(millis(250)).await;
            }
            let mut probe = task::spawn(stripe.send(call("dropped")));
            let mut over = false;
            for _ in 0..polls {
                if probe.poll().is_ready() {
                    over = true;
                    break;
                }
                sleep(millis(1)).await;
            }
            drop(probe);
            // Whatever it had got to, the next ones go, without a wait for the lease, and close the circuit.
            for n in 0..3 {
                let next = if partition == READS { read("next") } else { write("next") };
                if stripe.breaker().state(partition) == State::Closed {
                    break;
                }
                stripe.send(next).await.unwrap_or_else(|error| panic!("{polls} polls, then {n}: {error}"));
            }
            assert_eq!(stripe.breaker().state(partition), State::Closed, "{polls} polls");
            assert_eq!(sim.in_flight(), 0);
            if over {
                break;
            }
            polls += 1;
        }
        assert!(polls >= 4, "it took {polls} polls to its end");
    }
}

/// S-75
#[tokio::test(start_paused = true)]
async fn a_probe_whose_client_panics_lets_the_next_one_go_at_once() {
    for (partition, at) in [(READS, IN_CALL), (READS, IN_POLL), (WRITES, IN_CALL), (WRITES, IN_POLL)] {
        let sim = sim();
        let wire = Wire::of(&sim);
        let layer = StripeTransport::builder().build().expect("valid settings");
        // Both share their circuits.
        let (stripe, fragile) = (layer.layer(client(&sim)), layer.layer(wire.clone()));
        trip(&sim, &stripe, partition).await;
        sleep(secs(1)).await;
        wire.panic(at);
        let call = if partition == READS { read("o") } else { write("o") };
        let panicked = tokio::spawn(fragile.send(call)).await.expect_err("scripted");
        assert!(panicked.is_panic());
        for _ in 0..3 {
            let call = if partition == READS { read("o") } else { write("o") };
            fragile.send(call).await.expect("the next one is let through");
        }
        assert_eq!(stripe.breaker().state(partition), State::Closed);
    }
}

/// S-76
#[tokio::test(start_paused = true)]
async fn a_write_that_was_the_probe_and_timed_out_is_unknown_and_opens_it_for_longer() {
    let sim = sim();
    let stripe = to_be_probed(&sim, WRITES).await;
    let mut told = stripe.breaker().subscribe();
    weather(&sim, all_day().writes().hangs(1.0));
    let mut whole = 2_000;
    for _ in 0..5 {
        let request = once(with(write("o"), AttemptTimeout::new(secs(2))));
        let error = stripe.send(request).await.expect_err("it hangs");
        assert!(error.is_timeout() && !error.is_refused(), "{error:?}");
        assert_eq!((error.certainty(), error.attempts()), (Certainty::Unknown, 1));
        let hint = refused_for(stripe.send(write("o")).await).expect("a hint");
        assert!((millis(whole / 2)..=millis(whole)).contains(&hint), "{hint:?} of {whole} ms");
        sleep(hint).await;
        whole = (whole * 2).min(5_000);
    }
    let told = transitions(&mut told, WRITES);
    assert_eq!(told.len(), 10);
    assert!(told.chunks(2).all(|round| round[1].why == Why::ProbeFailed));
}

/// S-77
#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_has_failed_after_five_seconds_whatever_its_own_limit() {
    // A read, that goes on waiting for its own 20 s, and then comes to nothing.
    let sim = sim();
    let stripe = to_be_probed(&sim, READS).await;
    let mut told = stripe.breaker().subscribe();
    let began = time::now();
    sim.script("late", [Step::Answer(Canned::json(200, &serde_json::json!({})).after(secs(15)))]);
    let mut late = task::spawn(stripe.send(once(read("late"))));
    assert_pending!(late.poll());
    sleep(millis(4_999)).await;
    refused_for(stripe.send(read("o")).await);
    assert_eq!(stripe.breaker().state(READS), State::HalfOpen);
    sleep(millis(2)).await;
    refused_for(stripe.send(read("o")).await);
    let failed = transitions(&mut told, READS);
    assert_eq!(states(&failed), [State::HalfOpen, State::Open]);
    assert_eq!((failed[1].why, failed[1].at), (Why::ProbeExpired, began + secs(5)));
    sleep(secs(10)).await;
    late.await.expect("it is answered in the end");
    assert_eq!(stripe.breaker().state(READS), State::Open, "it was too late");

    // One of our own: its caller is refused then, and nothing of it stays behind.
    let sim = self::sim();
    let stripe = to_be_probed(&sim, WRITES).await;
    weather(&sim, all_day().hangs(1.0));
    let began = time::now();
    refused_for(stripe.send(write("o")).await);
    assert_eq!((time::now() - began, sim.in_flight()), (secs(5), 0));
    clear(&sim);
    sleep(secs(2)).await;
    for _ in 0..3 {
        stripe.send(write("o")).await.expect("an answer");
    }
    assert_eq!(stripe.breaker().state(WRITES), State::Closed);
}
