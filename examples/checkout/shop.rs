//! A shop that pays through the transport.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Response;
use http_body_util::{BodyExt, Full};
use stripe_sim::{Faults, Ledger};
use tower_stripe::{
    Advice, BoxError, Certainty, IdempotencyKey, Report, ReportHandle, ResponseExt, StripeTransport,
    breaker::{BreakerConfig, Control},
    edge::hyper_util::Client,
    governor::{Bucket, GovernorConfig, Limit},
    retry::{BudgetConfig, RetryConfig},
    vocab::time,
};

use crate::settings::{self, Arguments, Order, Protocol};

/// What one client came to.
pub(crate) struct Verdicts {
    pub(crate) client: String,
    pub(crate) naive: bool,
    pub(crate) payments: usize,
    pub(crate) attempts: usize,
    pub(crate) retries: usize,
    pub(crate) replays: usize,
    pub(crate) unknown_at_first: usize,
    pub(crate) unknown_at_last: usize,
    pub(crate) charged_twice: usize,
    pub(crate) lost: usize,
    pub(crate) took: Vec<Duration>,
    pub(crate) interesting: Option<Report>,
}

type Stripe = StripeTransport<Client>;

/// What the shop knows of one payment.
struct Payment {
    order: Order,
    report: Report,
    replayed: bool,
    took: Duration,
}

pub(crate) async fn run(arguments: &Arguments, protocol: Protocol) -> Result<Verdicts, BoxError> {
    let (sim, server, base) = settings::stripe(arguments.seed).await?;
    let retry = RetryConfig::builder()
        .max_attempts(settings::MAX_ATTEMPTS)
        .base_delay(settings::BASE_DELAY)
        .max_delay(settings::MAX_DELAY)
        .budget(BudgetConfig::OFF);
    // The simulator's limits are raised, and so are these; by default they are Stripe's, of which 2,000 payments at once
    // would wait for their turns.
    let governor = GovernorConfig::builder()
        .limit(Bucket::Global, Limit::UNLIMITED)
        .limit(Bucket::EachOperation, Limit::UNLIMITED)
        .max_in_flight(settings::IN_FLIGHT as u32);
    // Three requests in ten fail here from beginning to end, which a breaker may well take for an outage.
    let breaker = BreakerConfig::builder().control(Control::Disabled);
    let stripe = StripeTransport::builder()
        .retry(retry)
        .breaker(breaker)
        .governor(governor)
        .attempt_timeout(settings::ATTEMPT_TIMEOUT)
        .deadline(settings::DEADLINE)
        .allow_host("127.0.0.1")
        .build()?
        .layer(protocol.client());

    let client = format!("transport, {protocol}");
    let mut calls = stream::iter(arguments.orders())
        .map(|order| pay(stripe.clone(), base.clone(), order, None))
        .buffer_unordered(settings::IN_FLIGHT);
    let mut payments = Vec::with_capacity(arguments.payments);
    while let Some(payment) = calls.next().await {
        payments.push(payment?);
        progress(&client, payments.len(), arguments.payments);
    }

    // The faults stop, what is late lands, and Stripe repairs what it stored.
    sim.faults(Faults::none());
    sim.quiesce().await;
    sim.settle();
    let unknown = |payments: &[Payment]| payments.iter().filter(|payment| payment.is_unknown()).count();
    let unknown_at_first = unknown(&payments);
    let first = Tally::of(&payments);
    let mut found = Vec::new();
    for payment in payments.iter_mut().filter(|payment| payment.is_unknown()) {
        match payment.report.advice() {
            Advice::SameKey => {
                let key = payment.report.idempotency_key().cloned();
                *payment = pay(stripe.clone(), base.clone(), payment.order.clone(), key).await?;
            }
            _ => found.push((payment.order.id.clone(), look_up(&stripe, &base, &payment.order).await?)),
        }
    }
    // What was driven again with its key may have met a stored 500.
    for payment in payments.iter().filter(|payment| payment.is_unknown()) {
        if !found.iter().any(|(order, _)| *order == payment.order.id) {
            found.push((payment.order.id.clone(), look_up(&stripe, &base, &payment.order).await?));
        }
    }
    sim.quiesce().await;
    let ledger = sim.ledger();
    server.shutdown().await;

    let interesting = payments
        .iter()
        .filter(|payment| payment.report.request_ids().next().is_some())
        .max_by_key(|payment| payment.report.attempts_made())
        .map(|payment| payment.report.clone());
    let lost = payments.iter().filter(|payment| payment.is_contradicted(&found, &ledger)).count();
    let unknown_at_last = payments.iter().filter(|payment| payment.known(&found).is_none()).count();
    Ok(Verdicts {
        client,
        naive: false,
        payments: payments.len(),
        attempts: first.attempts,
        retries: first.attempts.saturating_sub(payments.len()),
        replays: first.replays,
        unknown_at_first,
        unknown_at_last,
        charged_twice: ledger.charged_twice().len(),
        lost,
        took: first.took,
        interesting,
    })
}

/// What was counted while the faults went on.
struct Tally {
    attempts: usize,
    replays: usize,
    took: Vec<Duration>,
}

impl Tally {
    fn of(payments: &[Payment]) -> Self {
        let mut took: Vec<_> = payments.iter().map(|payment| payment.took).collect();
        took.sort_unstable();
        Self {
            attempts: payments.iter().map(|payment| payment.report.attempts_made() as usize).sum(),
            replays: payments.iter().filter(|payment| payment.replayed).count(),
            took,
        }
    }
}

impl Payment {
    fn is_unknown(&self) -> bool {
        self.report.certainty() == Certainty::Unknown
    }

    /// Whether it was executed, as far as the shop knows: from the transport, or from having looked it up.
    fn known(&self, found: &[(String, bool)]) -> Option<bool> {
        match self.report.certainty() {
            Certainty::Executed => Some(true),
            Certainty::NotSent | Certainty::Rejected => Some(false),
            Certainty::Unknown => {
                found.iter().find(|(order, _)| *order == self.order.id).map(|(_, found)| *found)
            }
        }
    }

    /// Whether the ledger says otherwise than the shop was told.
    fn is_contradicted(&self, found: &[(String, bool)], ledger: &Ledger) -> bool {
        let executed = ledger.executions(&self.order.id) > 0;
        self.known(found).is_some_and(|known| known != executed)
    }
}

/// One payment; with `key`, one that is driven again.
async fn pay(
    stripe: Stripe,
    base: String,
    order: Order,
    key: Option<IdempotencyKey>,
) -> Result<Payment, BoxError> {
    let mut request = order.payment(&base)?;
    let handle = ReportHandle::new();
    // The key is made of the order, so that it would come out the same after a restart of the shop.
    let key = key.unwrap_or_else(|| IdempotencyKey::derive("checkout", &[&order.id]));
    request.extensions_mut().insert(key);
    request.extensions_mut().insert(handle.clone());
    let began = time::now();
    let mut replayed = false;
    if let Ok(response) = stripe.send(request).await {
        replayed = response.was_replayed() == Some(true);
        // A body that breaks off changes nothing about the payment: its head has said that it was made.
        let _ = response.into_body().collect().await;
    }
    Ok(Payment { report: handle.report(), replayed, took: began.elapsed(), order })
}

/// Whether the payment of an order is there.
async fn look_up(stripe: &Stripe, base: &str, order: &Order) -> Result<bool, BoxError> {
    let response: Response<_> = stripe.send::<Full<Bytes>>(order.search(base)?).await?;
    let page: serde_json::Value = serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
    let paid = |intent: &serde_json::Value| intent["status"] == "succeeded";
    Ok(page["data"].as_array().ok_or("a search without data")?.iter().any(paid))
}

/// A line for every quarter.
pub(crate) fn progress(client: &str, done: usize, of: usize) {
    let quarter = of.div_ceil(4);
    if done.is_multiple_of(quarter) || done == of {
        println!("{client:<20} {done:>6} of {of}");
    }
}
