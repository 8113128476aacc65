//! The same shop with an ordinary client: it retries whatever is not a final answer, and knows nothing of keys.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use tower_stripe::{BoxError, edge::hyper_util::Client, vocab::time};

use crate::{
    settings::{self, Arguments, Order, Protocol},
    shop::{self, Verdicts},
};

pub(crate) async fn run(arguments: &Arguments, protocol: Protocol) -> Result<Verdicts, BoxError> {
    let (sim, server, base) = settings::stripe(arguments.seed).await?;
    let client = protocol.client();
    let name = format!("naive, {protocol}");
    let mut calls = stream::iter(arguments.orders())
        .map(|order| pay(client.clone(), base.clone(), order))
        .buffer_unordered(settings::IN_FLIGHT);
    let (mut attempts, mut told_paid, mut took) = (0, Vec::new(), Vec::new());
    while let Some(payment) = calls.next().await {
        let payment = payment?;
        attempts += payment.attempts;
        took.push(payment.took);
        told_paid.push((payment.order, payment.paid));
        shop::progress(&name, told_paid.len(), arguments.payments);
    }
    took.sort_unstable();
    sim.quiesce().await;
    let ledger = sim.ledger();
    server.shutdown().await;

    // All that this client knows of a payment without an answer is that there was none: it takes that for a failure.
    let contradicted = |(order, paid): &&(Order, bool)| *paid != (ledger.executions(&order.id) > 0);
    Ok(Verdicts {
        client: name,
        naive: true,
        payments: told_paid.len(),
        attempts,
        retries: attempts.saturating_sub(told_paid.len()),
        replays: 0,
        unknown_at_first: 0,
        unknown_at_last: 0,
        charged_twice: ledger.charged_twice().len(),
        lost: told_paid.iter().filter(contradicted).count(),
        took,
        interesting: None,
    })
}

struct Payment {
    order: Order,
    paid: bool,
    attempts: usize,
    took: Duration,
}

async fn pay(client: Client, base: String, order: Order) -> Result<Payment, BoxError> {
    let began = time::now();
    let (mut attempts, mut paid) = (0, false);
    for _ in 0..settings::MAX_ATTEMPTS.get() {
        if attempts > 0 {
            sleep(settings::BASE_DELAY).await;
        }
        attempts += 1;
        let attempt = async {
            let response = client.clone().oneshot(order.payment(&base)?).await?;
            let status = response.status();
            response.into_body().collect().await?;
            Ok::<_, BoxError>(status)
        };
        match timeout(settings::ATTEMPT_TIMEOUT, attempt).await {
            Ok(Ok(status)) if status.is_server_error() || status == 429 || status == 409 => {}
            Ok(Ok(status)) => {
                paid = status.is_success();
                break;
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
    Ok(Payment { order, paid, attempts, took: began.elapsed() })
}
