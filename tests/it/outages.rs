//! An outage is noticed soon, left alone while it lasts, and over when it is over.
//!
//! Unless a test says otherwise: 200 calls a second, of which half are payments, a fifth other writes and the rest reads;
//! three attempts; a server that answers in 100 ms; limits of 400 calls a second, since Stripe's own would cap the load.

use std::time::Duration;

use stripe_sim::{Canned, Phase, Scenario, Sim};
use tower_stripe::{StripeTransport, transport::Builder};

use crate::support::{
    SimClient,
    load::{Call, Mix, RATE, offer, roomy, server},
    millis, secs, transport_of,
};

/// What is down fails within 20 ms.
fn fails_fast(lasts: Duration) -> Phase {
    Phase::new(lasts).answers(Canned::html(503).after(millis(20)), 1.0)
}

/// Limits that are out of the way, and everything else at its defaults.
fn builder() -> Builder {
    StripeTransport::builder().governor(roomy())
}

struct Drill {
    sim: Sim,
    calls: Vec<Call>,
    /// When the outage began and ended.
    down: (Duration, Duration),
}

impl Drill {
    async fn run(builder: Builder, mix: Mix, healthy: Duration, outage: Phase, lasts: Duration, after: Duration) -> Self {
        let sim = server().scenario(Scenario::new().then(Phase::new(healthy)).then(outage)).build();
        let stripe = transport_of(&sim, builder);
        let calls = offer(&sim, &stripe, mix, RATE, healthy + lasts + after).await;
        Self { sim, calls, down: (healthy, healthy + lasts) }
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
            let (all, good) = second.fold((0, 0), |(all, good), call| (all + 1, good + usize::from(call.succeeded)));
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
        let second = |from: &Duration| after.iter().filter(|at| (*from..*from + secs(1)).contains(*at)).count();
        let peak = after.iter().step_by(10).map(second).max().unwrap_or_default();
        peak as f64 / f64::from(RATE)
    }
}


/// A hundred outages that begin at other moments, over two threads; how long each took to be over, sorted.
fn phases(mix: Mix) -> Vec<Duration> {
    let run = |from: u32| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let phases = (from..100).step_by(2).map(|n| {
            let lasts = secs(12) + millis(73) * n;
            let drill = Drill::run(builder(), mix, secs(1), fails_fast(lasts), lasts, secs(4));
            runtime.block_on(drill).recovered()
        });
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
fn explore() {
    for mix in [Mix::Shop, Mix::Payments, Mix::Reads] {
        let wall = std::time::SystemTime::now();
        let all = phases(mix);
        println!("{mix:?} median={:?} p10={:?} p90={:?} max={:?} wall={:?}", all[50], all[10], all[90], all[99], wall.elapsed().unwrap());
    }
}
