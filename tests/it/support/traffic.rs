//! A steady load of calls, and what the server and the callers saw of it.

use std::{num::NonZeroU32, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use stripe_sim::{Latency, Limits, Profile, Sim, SimBuilder};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tower_stripe::{
    StripeTransport,
    governor::{Bucket, GovernorBuilder, GovernorConfig, Limit},
    vocab::time,
};

use super::{SimClient, get, millis, payment, post};

/// How many calls are offered in a second.
pub(crate) const RATE: u32 = 200;

/// What is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    /// Half payments, a fifth other writes, the rest reads.
    Shop,
    Payments,
    Reads,
}

impl Mix {
    /// The `n`th call: each kind evenly among the others.
    pub(crate) fn call(self, n: u64) -> Request<Full<Bytes>> {
        let order = format!("o{n}");
        match (self, n % 10) {
            (Self::Payments, _) | (Self::Shop, 0 | 2 | 4 | 6 | 8) => payment(&order),
            (Self::Shop, 1 | 5) => post("/v1/customers", &order, format!("metadata[order]={order}")),
            (Self::Shop | Self::Reads, _) => get("/v1/customers/cus_nobody", &order),
        }
    }
}

/// One call, in the time of the simulator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) offered: Duration,
    /// Whether Stripe itself has answered: that nobody has this customer is an answer too.
    pub(crate) succeeded: bool,
}

/// A server whose answers take 100 ms.
pub(crate) fn server() -> SimBuilder {
    Sim::builder().limits(Limits::unlimited()).latency(Latency::all(Profile::constant(millis(100))))
}

/// Limits that 200 calls a second do not reach: what is left is about the outage.
pub(crate) fn roomy() -> GovernorBuilder {
    let limit = Limit::per_second(NonZeroU32::new(400).expect("not zero")).burst(40);
    GovernorConfig::builder().limit(Bucket::Global, limit).limit(Bucket::EachOperation, limit)
}

/// Offers `rate` calls a second from now on, evenly, for this long, and waits for all of them to end.
pub(crate) async fn offer(
    sim: &Sim,
    stripe: &StripeTransport<SimClient>,
    mix: Mix,
    rate: u32,
    lasts: Duration,
) -> Vec<Call> {
    let count = (lasts * rate).as_secs();
    offer_at(sim, stripe, mix, (0..count).map(|n| Duration::from_secs(n) / rate)).await
}

/// Offers a call at each of these times from now on, and waits for all of them to end.
pub(crate) async fn offer_at(
    sim: &Sim,
    stripe: &StripeTransport<SimClient>,
    mix: Mix,
    times: impl Iterator<Item = Duration>,
) -> Vec<Call> {
    let (start, began) = (Instant::from_std(time::now()), sim.clock().elapsed());
    let mut calls = JoinSet::new();
    for (n, due) in (0..).zip(times) {
        sleep_until(start + due).await;
        let stripe = stripe.clone();
        calls.spawn(async move {
            let answer = stripe.send(mix.call(n)).await;
            let succeeded = answer.is_ok_and(|answer| answer.status().as_u16() < 500);
            Call { offered: began + due, succeeded }
        });
    }
    let mut calls = calls.join_all().await;
    calls.sort_by_key(|call| call.offered);
    calls
}
