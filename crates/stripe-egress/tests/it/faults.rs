//! Connections to Stripe that suffer in every way: no order is charged twice, and none is lost.

use std::sync::Arc;

use stripe_sim::{
    Faults, Limits, Sim,
    proxy::{FaultKind, FaultProxy, Plan},
};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::support::{account, egress, header, millis, payment, send, serve, with};

/// A breaker that stays out of the way, since nearly everything fails, and times that a test can wait for.
const SETTINGS: &str = "[retry]\nmax_attempts = 4\nbase_delay = '10ms'\nmax_delay = '40ms'\nmin_attempt = '200ms'\n\
                        [timeouts]\nattempt = '400ms'\ndeadline = '10s'\n[breaker]\nenabled = false";

/// Pays until it is known whether it was paid: with the key of the answer before, as the advice says. Returns whether it
/// was.
async fn pay(addr: std::net::SocketAddr, order: &str) -> bool {
    let mut key: Option<String> = None;
    for _ in 0..200 {
        let request = match &key {
            None => payment(order),
            Some(key) => with(payment(order), "idempotency-key", key),
        };
        let response = send(addr, request).await;
        let (_, certainty, advice, _) = account(&response);
        match advice {
            "done" => return response.status() == 200,
            "same_key" => key = header(&response, "idempotency-key").map(str::to_owned),
            "new_key" => key = None,
            // A 500 that Stripe has stored.
            "reconcile" if certainty == "unknown" => return false,
            other => panic!("{order}: {other} after {certainty}"),
        }
    }
    false
}

async fn pay_all(addr: std::net::SocketAddr, orders: u32) -> Vec<String> {
    let (at_once, mut paying) = (Arc::new(Semaphore::new(16)), JoinSet::new());
    for n in 0..orders {
        let at_once = Arc::clone(&at_once);
        paying.spawn(async move {
            let _turn = at_once.acquire().await.expect("it stays open");
            let order = format!("order-{n}");
            let paid = pay(addr, &order).await;
            (order, paid)
        });
    }
    let mut paid = Vec::new();
    while let Some(done) = paying.join_next().await {
        let (order, was_paid) = done.expect("no panic");
        if was_paid {
            paid.push(order);
        }
    }
    paid
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_connections_that_break_each_order_is_charged_once() {
    let sim = Sim::builder().limits(Limits::unlimited()).build();
    let server = serve(&sim).await;
    let proxy = FaultProxy::start(server.addr()).await.expect("a proxy");
    let plan =
        [FaultKind::Reset, FaultKind::Cut, FaultKind::HalfClose, FaultKind::Stall, FaultKind::SlowClose]
            .into_iter()
            .fold(Plan::probability(1.0).seed(7).only(FaultKind::Reset), |plan, kind| plan.weight(kind, 1));
    proxy.plan(plan.bytes(0..=6_000).stall_limit(millis(600)).slow_close(millis(1)..=millis(50)));
    let egress = egress(proxy.addr(), SETTINGS).await;
    let paid = pay_all(egress.addr(), 150).await;
    sim.quiesce().await;
    let ledger = sim.ledger();
    assert_eq!(ledger.charged_twice(), Vec::<&str>::new());
    assert_eq!((paid.len(), ledger.executed_orders().len()), (150, 150));
    assert!(proxy.stats().faults() >= 20, "a calm network proves nothing: {:?}", proxy.stats());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_stripe_does_each_order_is_charged_once() {
    let faults = Faults::probability(0.4)
        .late(millis(1)..=millis(700))
        .slow(millis(1)..=millis(50))
        .stall_limit(millis(500));
    let sim = Sim::builder().seed(1).limits(Limits::unlimited()).faults(faults).build();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), SETTINGS).await;
    let paid = pay_all(egress.addr(), 150).await;
    sim.faults(Faults::none());
    sim.quiesce().await;
    let ledger = sim.ledger();
    assert_eq!(ledger.charged_twice(), Vec::<&str>::new());
    let executed = ledger.executed_orders();
    assert!(
        paid.iter().all(|order| executed.contains(&order.as_str())),
        "an order counts as paid, and is not"
    );
    assert!(sim.log().len() > 200, "a Stripe that is well proves nothing");
}
