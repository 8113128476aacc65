//! What fails together has one circuit, and nothing else does: reads and writes, hosts, modes, and the way there.

use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderValue, Request, Uri};
use stripe_sim::{Canned, Fault, FaultKind, Faults, Phase, Reason, Scenario, Sim, Step};
use tokio::time::sleep;
use tower_stripe::{
    Certainty, RetryLimit, StripeTransport,
    breaker::{BreakerConfig, Circuit, Control, Partition, Scope, State, Traffic, Transition, Why},
    retry::RetryConfig,
    transport::Builder,
    vocab::{Host, Mode},
};

use crate::support::{
    circuits::{
        READS, WRITES, Wire, all_day, clear, down, once, read, refused_for, seen, states, transitions, trip,
        weather, write,
    },
    millis, payment, post, secs, sim,
    traffic::{Call, Mix, RATE, offer, roomy, server},
    transport, transport_of, ungoverned,
};

/// Repeatable, with limits that are out of the way.
fn seeded() -> Builder {
    StripeTransport::builder()
        .governor(roomy())
        .retry(RetryConfig::builder().jitter_seed(4))
        .breaker(BreakerConfig::builder().jitter_seed(4))
}

// === reads and writes ===

struct Drill {
    sim: Sim,
    calls: Vec<Call>,
    reads: Vec<Transition>,
    writes: Vec<Transition>,
}

/// 200 calls a second: five good seconds, thirty of this weather, and so many after it.
async fn drill(one: Phase, other: Option<Phase>, after: Duration) -> Drill {
    let storm = Scenario::new().then(Phase::new(secs(5))).then(one);
    let storm = other.into_iter().fold(storm, Scenario::and);
    let sim = server().scenario(storm).build();
    let stripe = transport_of(&sim, seeded());
    let mut told = [stripe.breaker().subscribe(), stripe.breaker().subscribe()];
    let calls = offer(&sim, &stripe, Mix::Shop, RATE, secs(35) + after).await;
    let [reads, writes] = [(0, READS), (1, WRITES)].map(|(n, which)| transitions(&mut told[n], which));
    assert_eq!(stripe.breaker().state(WRITES), State::Closed);
    Drill { sim, calls, reads, writes }
}

impl Drill {
    /// What the server saw during the storm.
    fn stormy(&self, kind: &str) -> usize {
        let log = self.sim.log();
        let kinds = seen(&self.sim, 0);
        log.iter()
            .zip(kinds)
            .filter(|(seen, is)| (secs(5)..secs(35)).contains(&seen.at) && *is == kind)
            .count()
    }

    fn lost(&self, from: Duration) -> usize {
        self.calls.iter().filter(|call| call.offered >= from && !call.succeeded).count()
    }
}

fn fails() -> Phase {
    Phase::new(secs(30)).answers(Canned::html(503).after(millis(20)), 1.0)
}

#[tokio::test(start_paused = true)]
async fn writes_that_fail_while_reads_are_well_neither_flap_nor_stick() {
    let drill = drill(fails().writes(), None, secs(10)).await;
    assert_eq!(drill.reads, []);
    assert_eq!(drill.stormy("read"), 30 * 60, "no read was held back");
    // It opens once and closes once; in between it is tried every few seconds, with one write that moves no money.
    let words = states(&drill.writes);
    let rounds = words.iter().filter(|state| **state == State::HalfOpen).count();
    assert!((6..=14).contains(&rounds), "{words:?}");
    assert_eq!(words.iter().filter(|state| **state == State::Closed).count(), 1, "{words:?}");
    assert_eq!(drill.writes.len(), 2 * rounds + 1, "{words:?}");
    assert_eq!((words[0], words[words.len() - 1]), (State::Open, State::Closed));
    assert_eq!(drill.stormy("probe"), 0, "reads show that stripe can be reached");
    let opened = drill.writes[0].at;
    let log = drill.sim.log();
    let paid = log
        .iter()
        .filter(|seen| seen.path == "/v1/payment_intents" && seen.arrived > opened && seen.at < secs(35));
    assert_eq!(paid.count(), 0, "no payment was sent to see whether stripe is back");
    assert_eq!(drill.lost(secs(41)), 0, "it does not stick");
}

#[tokio::test(start_paused = true)]
async fn money_is_the_last_to_be_tried_when_writes_come_back() {
    let drill = drill(fails(), None, secs(10)).await;
    let log = drill.sim.log();
    let kinds = seen(&drill.sim, 0);
    let back: Vec<_> =
        log.iter().zip(kinds).filter(|(seen, _)| seen.at >= secs(35)).map(|(_, kind)| kind).collect();
    let before: Vec<_> = back.iter().take_while(|kind| **kind != "payment").collect();
    let writes = before.iter().filter(|kind| ***kind == "write").count();
    assert!(writes >= 3, "{before:?}");
    let opened = drill.writes[0].at;
    let early = log.iter().filter(|seen| seen.arrived > opened && seen.at < secs(35));
    assert_eq!(early.filter(|seen| seen.path == "/v1/payment_intents").count(), 0);
    assert_eq!(drill.lost(secs(41)), 0);
}

#[tokio::test(start_paused = true)]
async fn reads_that_are_shed_leave_writes_alone() {
    let shed = Canned::rate_limited(Reason::EndpointConcurrency).after(millis(20));
    for (answer, opens) in [(Canned::html(503).after(millis(20)), true), (shed, false)] {
        let drill = drill(Phase::new(secs(30)).reads().answers(answer, 1.0), None, secs(1)).await;
        assert_eq!(drill.writes, []);
        assert_eq!(!drill.reads.is_empty(), opens, "{:?}", drill.reads);
        let writes = drill.stormy("write") + drill.stormy("payment");
        assert_eq!(writes, 30 * 140, "every write was sent, once");
        assert_eq!(drill.sim.ledger().charged_twice(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn reads_that_are_shed_for_ever_do_not_keep_writes_down() {
    let reads = all_day().reads().answers(Canned::html(503).after(millis(20)), 1.0);
    let drill = drill(reads, Some(fails().writes()), secs(20)).await;
    let closed = drill.writes.last().expect("it opened");
    assert_eq!(closed.to, State::Closed);
    let flaps = drill.writes.iter().filter(|told| told.to == State::Closed).count();
    assert_eq!(flaps, 1, "{:?}", states(&drill.writes));
    let log = drill.sim.log();
    let back = log.iter().find(|seen| seen.at >= secs(35) && seen.path == "/v1/payment_intents");
    println!("the first payment came {:?} after the outage of writes", back.map(|seen| seen.at - secs(35)));
    // Three rounds of reads that fail, of five seconds at most, come first.
    let paid = log.iter().filter(|seen| seen.at >= secs(54) && seen.path == "/v1/payment_intents").count();
    assert_eq!(paid, 100, "payments are back, every one of them");
}

#[tokio::test(start_paused = true)]
async fn payments_alone_and_without_retries_do_not_stay_shut_out() {
    for limit in [RetryLimit::NONE, RetryLimit::new(2)] {
        let sim = server().scenario(Scenario::new().then(Phase::new(secs(5))).then(fails())).build();
        let stripe = transport_of(&sim, seeded());
        let mut told = stripe.breaker().subscribe();
        let mut calls = Vec::new();
        for n in 0..4_500 {
            let request = crate::support::with(payment(&format!("o{n}")), limit);
            calls.push(tokio::spawn(stripe.send(request)));
            sleep(millis(10)).await;
        }
        let told = transitions(&mut told, WRITES);
        assert_eq!(told.last().map(|told| told.to), Some(State::Closed));
        let late = join_all(calls.split_off(4_400)).await;
        assert!(late.into_iter().all(|call| call.expect("no panic").is_ok()));
        let tried = sim.log().iter().filter(|seen| (secs(6)..secs(35)).contains(&seen.at)).count();
        assert!(tried <= 20, "{tried}");
    }
}

// === the way there ===

/// S-80
#[tokio::test(start_paused = true)]
async fn connections_that_cannot_be_made_open_a_circuit_of_their_own() {
    let sim = sim();
    sim.faults(Faults::probability(1.0).only(FaultKind::F0));
    let mut wire = Wire::of(&sim);
    wire.dial = millis(50);
    let layer = StripeTransport::builder().governor(ungoverned()).build().expect("valid settings");
    let stripe = layer.layer(wire);
    let breaker = stripe.breaker();
    let mut told = breaker.subscribe();
    // Many wait for one connection: that is one failure, not many.
    for round in 0..10 {
        assert_eq!(breaker.local_state(Host::Api), State::Closed, "after {round} dials");
        let failed = join_all((0..50).map(|_| stripe.send(once(write("o"))))).await;
        let proofs: Vec<_> =
            failed.into_iter().map(|failed| failed.expect_err("no route").certainty()).collect();
        assert_eq!(proofs, [Certainty::NotSent; 50]);
    }
    assert_eq!(breaker.local_state(Host::Api), State::Open);
    let known = sim.log().len();
    // No partition is to blame, and all of them are refused.
    assert_eq!((breaker.state(WRITES), breaker.state(READS)), (State::Closed, State::Closed));
    let hint = refused_for(stripe.send(read("o")).await).expect("a hint");
    refused_for(stripe.send(payment("o")).await);
    assert_eq!(sim.log().len(), known);
    // One dial finds out.
    sleep(hint).await;
    sim.faults(Faults::none());
    let answers = join_all((0..100).map(|_| stripe.send(write("o")))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(seen(&sim, known), ["write"]);
    stripe.send(payment("o")).await.expect("connected again");
    let told = transitions(&mut told, Circuit::Local(Host::Api));
    assert_eq!(states(&told), [State::Open, State::HalfOpen, State::Closed]);
    assert_eq!(told[0].why, Why::Consecutive { failures: 10 });
    assert_eq!(told[0].circuit.to_string(), "api/local");
}

/// S-80
#[tokio::test(start_paused = true)]
async fn failures_to_connect_can_be_left_out_of_it() {
    let sim = sim();
    sim.faults(Faults::probability(1.0).only(FaultKind::F0));
    let breaker = BreakerConfig::builder().local(false);
    let stripe = transport_of(&sim, StripeTransport::builder().breaker(breaker).governor(ungoverned()));
    let mut told = stripe.breaker().subscribe();
    for _ in 0..100 {
        assert!(!stripe.send(once(write("o"))).await.expect_err("no route").is_refused());
    }
    assert_eq!(sim.log().len(), 100);
    assert!(told.try_recv().is_err());
}

// === hosts and modes ===

fn upload(order: &str) -> Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = post("/v1/files", order, "file");
    *request.uri_mut() = Uri::from_static("https://files.stripe.com/v1/files");
    request
}

/// S-81
#[tokio::test(start_paused = true)]
async fn an_outage_of_uploads_is_none_of_payments() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    weather(&sim, down());
    for _ in 0..10 {
        stripe.send(once(upload("o"))).await.expect("an answer");
    }
    clear(&sim);
    refused_for(stripe.send(upload("o")).await);
    for _ in 0..20 {
        stripe.send(payment("o")).await.expect("the api is well");
        stripe.send(read("o")).await.expect("the api is well");
    }
    let open: Vec<_> = stripe
        .breaker()
        .states()
        .filter(|(_, state)| *state == State::Open)
        .map(|(which, _)| which)
        .collect();
    let files = Partition { host: Host::Files, mode: Mode::Sandbox, traffic: Traffic::Write };
    assert_eq!(open, [files]);
    // The probe goes to the host that it is about.
    sleep(secs(1)).await;
    let known = sim.log().len();
    let _ = stripe.send(upload("o")).await.expect("an answer");
    assert_eq!(seen(&sim, known), ["probe", "write"]);
}

/// S-82
#[tokio::test(start_paused = true)]
async fn an_outage_of_the_sandbox_is_none_of_live_mode() {
    let live = |mut request: Request<_>| {
        request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer sk_live_sim"));
        request
    };
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    trip(&sim, &stripe, WRITES).await;
    trip(&sim, &stripe, READS).await;
    for _ in 0..20 {
        assert_eq!(stripe.send(live(payment("o"))).await.expect("live is well").status(), 200);
        stripe.send(live(read("o"))).await.expect("live is well");
    }
    refused_for(stripe.send(payment("o")).await);
    assert_eq!(stripe.breaker().state(Partition { mode: Mode::Live, ..WRITES }), State::Closed);
}

// === by command ===

/// S-83
#[tokio::test(start_paused = true)]
async fn an_operator_has_the_last_word_until_it_is_taken_back() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    let breaker = stripe.breaker();
    let mut told = breaker.subscribe();
    let fail = async |count: usize| {
        weather(&sim, down());
        let mut sent = 0;
        for _ in 0..count {
            sent += usize::from(stripe.send(once(write("o"))).await.is_ok());
        }
        clear(&sim);
        sent
    };
    let now = || (breaker.control(WRITES), breaker.state(WRITES));

    breaker.force_open(WRITES);
    assert_eq!(now(), (Control::ForcedOpen, State::Open));
    for hour in 0..3 {
        assert_eq!(refused_for(stripe.send(write("o")).await), None, "hour {hour}");
        sleep(secs(3_600)).await;
        breaker.reset(Scope::All);
    }
    assert_eq!(now(), (Control::ForcedOpen, State::Open), "it outlasts a reset, and time");
    assert_eq!(sim.log().len(), 0, "not even a probe");
    stripe.send(read("o")).await.expect("reads were not forced");

    breaker.force_closed(WRITES);
    assert_eq!(fail(100).await, 100);
    assert_eq!(now(), (Control::ForcedClosed, State::Closed));
    breaker.automatic(WRITES);
    assert_eq!(fail(100).await, 1, "it went on counting");
    assert_eq!(now(), (Control::Automatic, State::Open));

    breaker.disable(WRITES);
    assert_eq!(fail(100).await, 100);
    assert_eq!(now(), (Control::Disabled, State::Closed));
    breaker.automatic(WRITES);
    assert_eq!(fail(100).await, 10, "it has counted nothing");

    breaker.observe_only(WRITES);
    assert_eq!(now(), (Control::ObserveOnly, State::Open), "it shows what it would do");
    assert_eq!(fail(100).await, 100);
    breaker.automatic(WRITES);
    refused_for(stripe.send(write("o")).await);
    breaker.reset(WRITES);
    assert_eq!(now(), (Control::Automatic, State::Closed));
    stripe.send(write("o")).await.expect("it was reset");

    let told = transitions(&mut told, WRITES);
    assert_eq!(told.iter().filter(|told| told.why == Why::Operator).count(), 4, "{told:?}");
    // Clones, and transports of the same layer, obey too.
    breaker.force_open(Scope::All);
    refused_for(stripe.clone().send(read("o")).await);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_counts_as_much_as_a_503() {
    let sim = sim();
    let stripe = transport(&sim);
    sim.script("o", vec![Step::Fault(Fault::F3); 10]);
    for _ in 0..10 {
        stripe.send(once(write("o"))).await.expect_err("its answer is lost");
    }
    assert_eq!(stripe.breaker().state(WRITES), State::Open);
}
