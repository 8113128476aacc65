//! The report of a call can be read, of a success too, and each call has its own.

use futures_util::future::join_all;
use stripe_core::customer::CreateCustomer;
use stripe_sim::{Fault, Step};
use tower_stripe::{Advice, Certainty, Operation, Refusal, ReportHandle};

use crate::support::{assert_once, client, of_order, payment, secs, sim};

#[tokio::test(start_paused = true)]
async fn a_success_has_a_report() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3)]);
    let handle = ReportHandle::new();
    payment("o").send(&client(&sim).with(handle.clone())).await.expect("paid");

    let report = handle.report();
    assert_eq!((report.certainty(), report.advice()), (Certainty::Executed, Advice::Done));
    assert_eq!(report.operation().map(Operation::name), Some("payment_intents.create"));
    assert_eq!(report.attempts_made(), 2);
    let ids: Vec<_> = report.request_ids().map(|id| id.as_str().to_owned()).collect();
    assert_eq!(ids, [sim.log_of("o")[1].request_id.clone()]);
    assert_once(&sim, "o", 2);
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_of_one_client_do_not_mix_up_their_reports() {
    let sim = sim();
    let client = client(&sim);
    let orders: Vec<_> = (0..20).map(|n| format!("o{n}")).collect();
    for (n, order) in orders.iter().enumerate() {
        sim.script(order, vec![Step::Fault(Fault::F3); n % 3]);
    }
    let handles: Vec<_> = orders.iter().map(|_| ReportHandle::new()).collect();
    let calls = orders.iter().zip(&handles).map(|(order, handle)| {
        let client = client.with(handle.clone());
        async move { CreateCustomer::new().metadata(of_order(order)).send(&client).await }
    });
    assert!(join_all(calls).await.iter().all(Result::is_ok));

    for (n, (order, handle)) in orders.iter().zip(&handles).enumerate() {
        let (report, log) = (handle.report(), sim.log_of(order));
        assert_eq!(report.attempts_made() as usize, 1 + n % 3, "{order}");
        let key = report.idempotency_key().expect("it has a key").as_str();
        assert!(log.iter().all(|seen| seen.idempotency_key.as_deref() == Some(key)), "{order}");
        let last = report.request_ids().last().expect("an id").as_str();
        assert_eq!(log.last().expect("an exchange").request_id, last, "{order}");
        assert_once(&sim, order, 1 + n % 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_is_for_one_call() {
    let sim = sim();
    let client = client(&sim).with(ReportHandle::new());
    payment("o").send(&client).await.expect("paid");
    let error = payment("o").send(&client).await.expect_err("a second call");
    assert_eq!(error.no_response().and_then(tower_stripe::Error::refusal), Some(&Refusal::ReportReused));
    assert_once(&sim, "o", 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_leaves_its_report() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F5 { delay: secs(10) })]);
    let handle = ReportHandle::new();
    let client = client(&sim).with(handle.clone());
    let call = payment("o");
    tokio::time::timeout(secs(3), call.send(&client)).await.expect_err("its caller is gone first");
    assert_eq!(handle.report().certainty(), Certainty::Unknown);
    let key = handle.report().idempotency_key().cloned().expect("it has a key");
    sim.quiesce().await;
    payment("o").send(&client.with(ReportHandle::new()).with(key)).await.expect("replayed");
    assert_once(&sim, "o", 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_the_call_is_polled() {
    let sim = sim();
    let client = client(&sim);
    drop(payment("o").send(&client));
    tokio::time::sleep(secs(1)).await;
    assert!(sim.log().is_empty());
}
