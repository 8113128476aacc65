//! Many calls at once, and when they arrived at the other side.

use std::{num::NonZeroU32, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body_util::Full;
use stripe_sim::{Exchange, Sim, SimBody};
use tokio::{task::JoinSet, time::sleep};
use tower_stripe::{
    Error, ResponseExt, StripeTransport,
    governor::{Bucket, GovernorBuilder, GovernorConfig, Limit},
    vocab::StripeBody,
};

use super::{NetworkError, SimClient, get, millis};

pub(crate) type Call = Request<Full<Bytes>>;
pub(crate) type Answer = Result<Response<StripeBody<SimBody>>, Error<NetworkError>>;
pub(crate) type Stripe = StripeTransport<SimClient>;

/// Objects of ten kinds. That there are none of these ids, the server has to be asked for all the same.
const OBJECTS: [&str; 10] = [
    "/v1/customers/cus_1",
    "/v1/charges/ch_1",
    "/v1/payment_intents/pi_1",
    "/v1/refunds/re_1",
    "/v1/events/evt_1",
    "/v1/products/prod_1",
    "/v1/prices/price_1",
    "/v1/invoices/in_1",
    "/v1/coupons/co_1",
    "/v1/disputes/dp_1",
];

/// A read of one object, of the `n`th operation of ten.
pub(crate) fn read(n: usize, order: &str) -> Call {
    get(OBJECTS[n % OBJECTS.len()], order)
}

/// A list, of the `n`th operation of ten: nobody waits for it.
pub(crate) fn list(n: usize, order: &str) -> Call {
    let object = OBJECTS[n % OBJECTS.len()];
    get(object.rsplit_once('/').map_or(object, |(list, _)| list), order)
}

/// The same request, under another API key.
pub(crate) fn under<B>(mut request: Request<B>, api_key: &str) -> Request<B> {
    let value = HeaderValue::try_from(format!("Bearer {api_key}")).expect("a header");
    request.headers_mut().insert(AUTHORIZATION, value);
    request
}

/// The same request, about real money.
pub(crate) fn live<B>(request: Request<B>) -> Request<B> {
    under(request, "sk_live_sim")
}

pub(crate) fn count(n: u32) -> NonZeroU32 {
    n.try_into().expect("not zero")
}

pub(crate) fn per_second(rate: u32) -> Limit {
    Limit::per_second(count(rate))
}

/// A governor in which no rule counts but the global one.
pub(crate) fn only(global: Limit) -> GovernorBuilder {
    GovernorConfig::builder().limit(Bucket::Global, global).limit(Bucket::EachOperation, Limit::UNLIMITED)
}

/// Sends all at once, in this order.
pub(crate) async fn at_once(stripe: &Stripe, calls: impl IntoIterator<Item = Call>) -> Vec<Answer> {
    join_all(calls.into_iter().map(|call| stripe.send(call))).await
}

/// Sends so many calls, one after each such time, whatever becomes of them.
pub(crate) async fn offer(
    stripe: &Stripe,
    every: Duration,
    calls: usize,
    call: impl Fn(usize) -> Call,
) -> Vec<Answer> {
    let call = &call;
    let offered = (0..calls).map(|n| async move {
        sleep(every * u32::try_from(n).expect("few")).await;
        stripe.send(call(n)).await
    });
    join_all(offered).await
}

/// So many callers that each send the next call as soon as the last one has ended, until this is dropped.
#[must_use]
pub(crate) fn endless(
    stripe: &Stripe,
    callers: usize,
    call: impl Fn(usize) -> Call + Clone + Send + 'static,
) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for n in 0..callers {
        let (stripe, call) = (stripe.clone(), call.clone());
        all.spawn(async move {
            loop {
                if stripe.send(call(n)).await.is_err() {
                    sleep(millis(100)).await;
                }
            }
        });
    }
    all
}

/// When the requests arrived that are asked for, since the simulator was built.
pub(crate) fn arrivals(sim: &Sim, wanted: impl Fn(&Exchange) -> bool) -> Vec<Duration> {
    sim.log().iter().filter(|seen| wanted(seen)).map(|seen| seen.at).collect()
}

/// How many of them came from `from` on and before `to`.
pub(crate) fn between(arrivals: &[Duration], from: Duration, to: Duration) -> usize {
    arrivals.iter().filter(|at| (from..to).contains(*at)).count()
}

/// How many of them there were at once at most, if each took so long.
pub(crate) fn most_at_once(arrivals: &[Duration], each: Duration) -> usize {
    let at_once = |(n, at): (usize, &Duration)| {
        arrivals[..=n].iter().rev().take_while(|other| **other + each > *at).count()
    };
    arrivals.iter().enumerate().map(at_once).max().unwrap_or_default()
}

/// That in no stretch of time there were more than `burst` and `per_second` for its length.
#[track_caller]
pub(crate) fn assert_within(arrivals: &[Duration], per_second: f64, burst: u32) {
    let mut paid_until = 0.0_f64;
    for (n, at) in arrivals.iter().map(Duration::as_secs_f64).enumerate() {
        paid_until = paid_until.max(at) + 1.0 / per_second;
        let ahead = (paid_until - at) * per_second;
        assert!(
            ahead <= f64::from(burst) + 1e-3,
            "number {n}, at {at:.3} s, is {ahead:.3} ahead of {per_second}/s, not {burst}"
        );
    }
}

/// How long the first attempt of a call waited for its turn.
pub(crate) fn queued(answer: &Answer) -> Duration {
    let response = answer.as_ref().expect("an answer");
    response.report().expect("a report").attempts()[0].queued
}

/// What 99 of 100 do not exceed.
pub(crate) fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[(times.len() * 99).div_ceil(100) - 1]
}
