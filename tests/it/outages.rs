//! An outage is noticed soon, left alone while it lasts, and over when it is over.
//!
//! Unless a test says otherwise: 200 calls a second, of which half are payments, a fifth other writes and the rest reads;
//! three attempts; a server that answers in 100 ms; limits of 400 calls a second, since Stripe's own would cap the load.

use std::{num::NonZeroU32, time::Duration};

use stripe_sim::{Canned, Latency, Phase, Scenario, Sim};
use tokio::time::sleep;
use tower_stripe::{StripeTransport, breaker::BreakerConfig, retry::RetryConfig, transport::Builder};

use crate::support::{
    SimClient, millis, never_open, secs,
    traffic::{Call, Mix, RATE, offer, offer_at, roomy, server},
    transport_of, ungoverned,
};

/// What is down fails within 20 ms.
fn fails_fast(lasts: Duration) -> Phase {
    Phase::new(lasts).answers(Canned::html(503).after(millis(20)), 1.0)
}

/// Limits that are out of the way, and everything else at its defaults, repeatable.
fn builder(seed: u64) -> Builder {
    StripeTransport::builder()
        .governor(roomy())
        .retry(RetryConfig::builder().jitter_seed(seed))
        .breaker(BreakerConfig::builder().jitter_seed(seed))
}

/// The settings that the figures of these tests depend on are those in force.
fn assert_settings(stripe: &StripeTransport<SimClient>) {
    let settings = stripe.describe().to_string();
    for setting in [
        "max_attempts = 3",
        "limit = global, 400/s, burst 40",
        "consecutive_failures = 10",
        "max_interval = 5s",
    ] {
        assert!(settings.contains(setting), "{setting} is not in\n{settings}");
    }
}

struct Drill {
    sim: Sim,
    calls: Vec<Call>,
    /// When the outage began and ended.
    down: (Duration, Duration),
}

impl Drill {
    async fn run(
        builder: Builder,
        mix: Mix,
        healthy: Duration,
        outage: Phase,
        lasts: Duration,
        after: Duration,
    ) -> Self {
        let sim = server().scenario(Scenario::new().then(Phase::new(healthy)).then(outage)).build();
        let stripe = transport_of(&sim, builder);
        assert_settings(&stripe);
        let calls = offer(&sim, &stripe, mix, RATE, healthy + lasts + after).await;
        Self { sim, calls, down: (healthy, healthy + lasts) }
    }

    /// How many calls were offered while it was down.
    fn offered(&self) -> usize {
        self.calls.iter().filter(|call| (self.down.0..self.down.1).contains(&call.offered)).count()
    }

    /// How many requests reached the server while it was down, synthetic probes included.
    fn reached(&self) -> usize {
        self.sim.log().iter().filter(|seen| seen.at >= self.down.0 && seen.at < self.down.1).count()
    }

    /// How long after the end of the outage 99 % of the calls offered in the next second succeed, and from then on in
    /// every second.
    fn recovered(&self) -> Duration {
        let end = self.down.1;
        let last = self.calls.last().expect("calls").offered;
        let mut recovered = Duration::ZERO;
        let mut from = end;
        while from + secs(1) <= last {
            let second = self.calls.iter().filter(|call| (from..from + secs(1)).contains(&call.offered));
            let (all, good) =
                second.fold((0, 0), |(all, good), call| (all + 1, good + usize::from(call.succeeded)));
            from += millis(50);
            if good * 100 < all * 99 {
                recovered = from - end;
            }
        }
        recovered
    }

    /// The most requests that the server saw in any second after the outage, over what is offered in one.
    fn herd(&self) -> f64 {
        let log = self.sim.log();
        let after: Vec<_> = log.iter().map(|seen| seen.at).filter(|at| *at >= self.down.1).collect();
        let second =
            |from: &Duration| after.iter().filter(|at| (*from..*from + secs(1)).contains(*at)).count();
        let peak = after.iter().step_by(10).map(second).max().unwrap_or_default();
        peak as f64 / f64::from(RATE)
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_half_a_minute_is_noticed_at_once_and_over_in_seconds() {
    for mix in [Mix::Shop, Mix::Payments, Mix::Reads] {
        for healthy in [10, 60] {
            let outage = fails_fast(secs(30));
            let drill = Drill::run(builder(7), mix, secs(healthy), outage, secs(30), secs(10)).await;
            let (reached, recovered, herd) = (drill.reached(), drill.recovered(), drill.herd());
            println!(
                "{mix:?}, {healthy} s of health: reached={reached} recovered={recovered:?} herd={herd:.2}"
            );
            assert_eq!(drill.offered(), 6_000);
            assert!(reached <= 60, "{mix:?} after {healthy} s: {reached} of 6,000");
            assert!(recovered <= secs(6), "{mix:?} after {healthy} s: {recovered:?}");
            assert!(herd <= 2.0, "{mix:?} after {healthy} s: {herd}");
        }
    }
}

/// One phase: an outage of this length, after a second of health. What it came to from its end on.
///
/// While nothing changes, a tenth of the calls is offered: what they would find out, they find out a little later.
async fn phase(mix: Mix, seed: u64, lasts: Duration) -> Duration {
    let down = (secs(1), secs(1) + lasts);
    let sim = server().scenario(Scenario::new().then(Phase::new(down.0)).then(fails_fast(lasts))).build();
    let stripe = transport_of(&sim, builder(seed));
    assert_settings(&stripe);
    let few = down.0 + secs(1)..down.1 - secs(1);
    let times = (0..).map(|n| millis(5) * n).take_while(|at| *at < down.1 + secs(4) + millis(50));
    let times = times.filter(|at| !few.contains(at) || at.as_millis() % 50 == 0);
    let calls = offer_at(&sim, &stripe, mix, times).await;
    Drill { sim, calls, down }.recovered()
}

/// A hundred outages of other lengths, over two threads; how long each took to be over, sorted. Three seconds and more
/// are not told apart.
fn hundred_phases(mix: Mix) -> Vec<Duration> {
    let run = |from: u32| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        // Long enough that the interval between two probes has reached its maximum.
        let lasts = |n: u32| secs(8) + millis(73) * n;
        let phases = (from..100).step_by(2).map(|n| runtime.block_on(phase(mix, n.into(), lasts(n))));
        phases.collect::<Vec<_>>()
    };
    let mut all = std::thread::scope(|scope| {
        let other = scope.spawn(|| run(1));
        let mut all = run(0);
        all.extend(other.join().expect("no panic"));
        all
    });
    all.sort();
    all
}

#[test]
fn in_half_of_a_hundred_phases_it_is_over_within_three_seconds() {
    for mix in [Mix::Shop, Mix::Payments, Mix::Reads] {
        let all = hundred_phases(mix);
        println!("{mix:?}: median {:?}, a tenth within {:?}", all[49], all[9]);
        assert_eq!(all.len(), 100);
        assert!(all[49] < secs(3), "{mix:?}: {all:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_hangs_gets_what_may_be_in_flight_and_probes() {
    for healthy in [10, 60] {
        let outage = Phase::new(secs(30)).hangs(1.0);
        let builder = builder(7).attempt_timeout(secs(10));
        let drill = Drill::run(builder, Mix::Shop, secs(healthy), outage, secs(30), secs(15)).await;
        let log = drill.sim.log();
        let during =
            |from: Duration| log.iter().filter(|seen| seen.at >= from && seen.at < drill.down.1).count();
        let (reached, after_timeouts) = (drill.reached(), during(drill.down.0 + secs(10)));
        println!(
            "{healthy} s of health: {reached} reached it, {after_timeouts} after the first time limit; recovered {:?}, herd {:.2}",
            drill.recovered(),
            drill.herd()
        );
        assert!(reached - after_timeouts <= 100, "{reached} less {after_timeouts}");
        assert!(after_timeouts <= 15, "{after_timeouts} probes in 20 s");
        assert!(drill.herd() <= 2.0);
        assert!(drill.recovered() <= secs(12));
    }
}

/// A server that can handle 250 calls a second stands still for ten seconds: how long its queue, and ours, and the calls
/// that come take to be as before.
async fn stalled(builder: Builder) -> (usize, Duration, Duration) {
    let stall = Phase::new(secs(10)).stalls();
    let sim = server().latency(Latency::none()).capacity(NonZeroU32::new(250).expect("not zero"));
    let sim = sim.scenario(Scenario::new().then(Phase::new(secs(5))).then(stall)).build();
    let stripe = transport_of(&sim, builder.attempt_timeout(secs(3)));
    let (stripe, watched) = (stripe.clone(), sim.clone());
    let watch = tokio::spawn(async move {
        let mut drained = Duration::ZERO;
        let mut most = 0;
        while watched.clock().elapsed() < secs(30) {
            sleep(millis(50)).await;
            let (queued, now) = (watched.queued(), watched.clock().elapsed());
            most = most.max(queued);
            if queued > 20 && now >= secs(15) {
                drained = now - secs(15);
            }
        }
        (most, drained)
    });
    let calls = offer(&sim, &stripe, Mix::Shop, RATE, secs(30)).await;
    let (most, drained) = watch.await.expect("no panic");
    let drill = Drill { sim, calls, down: (secs(5), secs(15)) };
    (most, drained, drill.recovered())
}

#[tokio::test(start_paused = true)]
async fn what_queued_in_a_stall_is_worked_off_within_three_seconds_and_without_protection_never() {
    let (most, drained, recovered) = stalled(builder(7)).await;
    println!("protected: {most} queued at most, drained after {drained:?}, recovered after {recovered:?}");
    assert!(most <= 130, "{most}");
    assert!(drained <= secs(3), "{drained:?}");
    let plain = builder(7).breaker(never_open()).governor(ungoverned());
    let (most, drained, recovered) = stalled(plain).await;
    println!("plain: {most} queued at most, drained after {drained:?}, recovered after {recovered:?}");
    assert!(most > 1_500, "{most}");
    assert!(drained >= millis(14_900), "{drained:?}");
    assert!(recovered >= secs(14), "{recovered:?}");
}

/// S-86
#[tokio::test(start_paused = true)]
async fn ten_thousand_calls_a_second_are_multiplied_by_no_more_than_the_budget() {
    const CALLS: u32 = 30_000;
    let down = || server().scenario(Scenario::new().then(fails_fast(secs(60)))).build();
    // Before the breaker has said anything.
    let sim = down();
    let budget = builder(7).breaker(never_open()).governor(ungoverned());
    let calls = offer(&sim, &transport_of(&sim, budget), Mix::Shop, 10_000, secs(3)).await;
    let wire = sim.log().len();
    assert_eq!(calls.len(), CALLS as usize);
    println!("{wire} requests for {CALLS} calls");
    // 10 % of the calls, the hundred that are free, and one for each second.
    assert!(wire <= (CALLS + CALLS / 10 + 100 + 80) as usize, "{wire}");
    assert!(wire >= CALLS as usize);
    // With it: those that were under way when it opened, and probes.
    let sim = down();
    let calls =
        offer(&sim, &transport_of(&sim, builder(7).governor(ungoverned())), Mix::Shop, 10_000, secs(3)).await;
    let wire = sim.log().iter().filter(|seen| seen.at < secs(3)).count();
    let after = sim.log().iter().filter(|seen| seen.at >= millis(100) && seen.at < secs(3)).count();
    println!("{wire} with the breaker, {after} of them after 100 ms");
    assert_eq!(calls.len(), CALLS as usize);
    assert!(wire <= 300, "{wire}");
    assert!(after <= 20, "{after}");
}

/// S-60
#[tokio::test(start_paused = true)]
async fn many_transports_that_met_one_outage_do_not_come_back_together() {
    let sim = server().scenario(Scenario::new().then(fails_fast(secs(20)))).build();
    let fleet: Vec<_> = (0..50).map(|seed| transport_of(&sim, builder(seed))).collect();
    let calls = fleet.iter().map(|stripe| {
        let (sim, stripe) = (sim.clone(), stripe.clone());
        tokio::spawn(async move { offer(&sim, &stripe, Mix::Shop, 10, secs(30)).await })
    });
    for calls in futures_util::future::join_all(calls).await {
        assert!(
            calls
                .expect("no panic")
                .iter()
                .filter(|call| call.offered >= secs(27))
                .all(|call| call.succeeded)
        );
    }
    let peak = |from: Duration, until: Duration, width: Duration| {
        let at: Vec<_> =
            sim.log().iter().map(|seen| seen.at).filter(|at| (from..until).contains(at)).collect();
        at.iter().map(|from| at.iter().filter(|at| (*from..*from + width).contains(*at)).count()).max()
    };
    // The offered load is 500 a second.
    let herd = peak(secs(20), secs(30), secs(1)).expect("requests") as f64 / 500.0;
    println!("peak second over mean: {herd:.2}");
    assert!(herd <= 2.0, "{herd}");
    // Nor do their probes arrive together: in the last ten seconds of the outage each sends one or two.
    let probes = peak(secs(10), secs(20), millis(100)).expect("requests");
    println!("most probes within 100 ms: {probes}");
    assert!(probes <= 25, "{probes} within 100 ms");
}
