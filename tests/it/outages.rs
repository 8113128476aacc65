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

#[tokio::test(start_paused = true)]
async fn explore() {
    for mix in [Mix::Shop, Mix::Payments, Mix::Reads] {
        for healthy in [10, 60] {
            let wall = std::time::SystemTime::now();
            let drill = Drill::run(builder(), mix, secs(healthy), fails_fast(secs(30)), secs(30), secs(10)).await;
            println!("{mix:?} {healthy}: reached={} recovered={:?} herd={:.2} wall={:?} calls={}", drill.reached(), drill.recovered(), drill.herd(), wall.elapsed().unwrap(), drill.calls.len());
        }
    }
}
