//! A caller that goes away leaves an account behind, and nothing else.

use std::future::pending;

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use stripe_sim::{Canned, Fault, Step};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tower::Service;
use tower_stripe::{
    Advice, BoxError, Certainty, Outcome, Refusal, ReportHandle, ResponseExt, StripeTransport,
    retry::{BudgetConfig, RetryConfig},
    vocab::{Ratio, Stop, time, tracked::Tracked},
};

use crate::support::{
    assert_one_key_and_body, get, millis, payment, payment_with, secs, sim, statuses, stop_of, transport,
    transport_of, with,
};

/// S-106
#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_waits_is_what_its_attempts_were() {
    for (fault, certainty, advice, executions) in [
        (Fault::F3, Certainty::Unknown, Advice::SameKey, 1),
        (Fault::F2, Certainty::Unknown, Advice::SameKey, 0),
        (Fault::F0, Certainty::NotSent, Advice::NewKey, 0),
    ] {
        let sim = sim();
        sim.script("o", [Step::Fault(fault)]);
        let handle = ReportHandle::new();
        let call = transport(&sim).send(with(payment("o"), handle.clone()));
        timeout(millis(100), call).await.expect_err("it waits for its retry");

        let report = handle.report();
        assert_eq!((report.certainty(), report.advice()), (certainty, advice), "{fault:?}");
        assert_eq!((report.stopped(), report.attempts_made()), (Some(Stop::Cancelled), 1));
        sleep(secs(300)).await;
        assert_eq!(statuses(&sim, "o"), [None], "nobody goes on without the caller");
        assert_eq!((sim.ledger().executions("o"), sim.in_flight()), (executions, 0));
    }
}

/// S-108 and S-112
#[tokio::test(start_paused = true)]
async fn a_call_dropped_in_flight_is_unknown_and_can_be_come_back_to() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F5 { delay: secs(20) })]);
    let stripe = transport(&sim);
    let handle = ReportHandle::new();
    let call = stripe.send(with(payment("o"), handle.clone()));
    timeout(secs(5), call).await.expect_err("the caller has no more time");

    let report = handle.report();
    assert_eq!((report.certainty(), report.advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!((report.stopped(), report.attempts_made()), (Some(Stop::Cancelled), 1));
    assert_eq!(report.attempts()[0].outcome, Outcome::Cancelled);
    assert_eq!(report.attempts()[0].took, secs(5));
    assert_eq!((statuses(&sim, "o"), sim.ledger().executions("o")), (vec![None], 0));
    sim.quiesce().await;
    assert_eq!(sim.ledger().executions("o"), 1, "that is what unknown means");
    assert_eq!(sim.log().len(), 1);

    let key = report.idempotency_key().expect("the key in force").clone();
    let response = stripe.send(with(payment("o"), key)).await.expect("paid");
    assert_eq!(response.was_replayed(), Some(true));
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

/// S-108
#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_polled_was_not_sent() {
    let sim = sim();
    let mut stripe = transport(&sim);
    let handle = ReportHandle::new();
    drop(stripe.send(with(payment("o"), handle.clone())));
    assert_eq!(handle.report().certainty(), Certainty::NotSent);

    let handle = ReportHandle::new();
    let called = stripe.call(with(payment("o"), handle.clone()));
    drop(called);
    let report = handle.report();
    assert_eq!((report.certainty(), report.advice()), (Certainty::NotSent, Advice::NewKey));
    assert_eq!((report.stopped(), report.attempts_made()), (Some(Stop::Cancelled), 0));
    sleep(secs(300)).await;
    assert!(sim.log().is_empty());
}

/// S-105: as far as there is a queue yet, which is the client's own.
#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_its_client_is_busy_was_not_sent() {
    let (client, mut seen) = tower_test::mock::pair::<Request<Full<Bytes>>, Response<Full<Bytes>>>();
    seen.allow(0);
    let stripe = StripeTransport::new(client);
    let handle = ReportHandle::new();
    let call = stripe.send(with(payment("o"), handle.clone()));
    timeout(secs(5), call).await.expect_err("the client is busy");
    let report = handle.report();
    assert_eq!((report.certainty(), report.advice()), (Certainty::NotSent, Advice::NewKey));
    assert_eq!((report.stopped(), report.attempts_made()), (Some(Stop::Cancelled), 0));

    let began = time::now();
    let error = stripe.send(payment("o")).await.expect_err("the client stays busy");
    assert_eq!((error.refusal(), time::now() - began), (Some(&Refusal::DeadlineExceeded), secs(75)));
    assert_eq!((error.certainty(), error.attempts()), (Certainty::NotSent, 0));
    assert!(seen.next_request().now_or_never().is_none(), "nothing came to the client");
}

/// S-108: a client that has the request, and has not begun to send it.
#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_body_was_touched_was_not_sent_and_never_will_be() {
    let (queue, mut queued) = mpsc::unbounded_channel();
    let client = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let (parts, body) = request.into_parts();
        let (body, proof) = Tracked::new(body);
        if let Some(handle) = parts.extensions.get::<tower_stripe::vocab::Recorder>() {
            handle.register_proof(proof);
        }
        queue.send(body).expect("somebody listens");
        pending::<Result<Response<Full<Bytes>>, BoxError>>()
    });
    let stripe = StripeTransport::new(client);
    for dropped in [true, false] {
        let handle = ReportHandle::new();
        let call = stripe.send(with(payment("o"), handle.clone()));
        if dropped {
            timeout(secs(5), call).await.expect_err("the caller has no more time");
        } else {
            call.await.expect_err("no attempt is answered");
        }
        let report = handle.report();
        assert_eq!((report.certainty(), report.advice()), (Certainty::NotSent, Advice::NewKey));
        assert!(report.attempts().iter().all(|attempt| attempt.certainty == Certainty::NotSent));
        // The client comes round to sending it: it cannot.
        while let Ok(body) = queued.try_recv() {
            assert!(body.collect().await.expect_err("it is closed").is_closed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_can_be_read_while_the_call_is_under_way() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3), Step::Fault(Fault::Slow { delay: secs(9) })]);
    let handle = ReportHandle::new();
    assert_eq!(handle.report().certainty(), Certainty::NotSent);
    let call = tokio::spawn(transport(&sim).send(with(payment("o"), handle.clone())));
    for (at, attempts) in [(millis(100), 1), (secs(2), 2)] {
        sleep(at).await;
        let report = handle.report();
        assert_eq!((report.certainty(), report.advice()), (Certainty::Unknown, Advice::SameKey));
        assert_eq!((report.stopped(), report.attempts_made()), (None, attempts));
    }
    call.await.expect("no panic").expect("paid");
    assert_eq!((handle.report().certainty(), handle.report().advice()), (Certainty::Executed, Advice::Done));
    assert_eq!(sim.ledger().executions("o"), 1);
}

/// The head has arrived: dropping the call while the error body is read changes nothing about it.
#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_an_error_is_read_is_what_its_head_said() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F4Stall)]);
    let handle = ReportHandle::new();
    let declined = with(payment_with("o", "pm_card_chargeDeclined"), handle.clone());
    timeout(millis(500), transport(&sim).send(declined)).await.expect_err("the error body stalls");

    let report = handle.report();
    assert_eq!((report.certainty(), report.stopped()), (Certainty::Rejected, Some(Stop::Cancelled)));
    assert_eq!(report.attempts()[0].outcome, Outcome::Declined);
    assert_eq!((statuses(&sim, "o"), sim.ledger().executions("o")), (vec![Some(402)], 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_polls_a_key_in_use_is_unknown() {
    let sim = sim();
    sim.script("o", vec![Step::Answer(Canned::key_in_use()); 100]);
    let handle = ReportHandle::new();
    timeout(secs(10), transport(&sim).send(with(payment("o"), handle.clone()))).await.expect_err("it polls");
    assert_eq!(handle.report().certainty(), Certainty::Unknown);
    assert_eq!(
        (handle.report().advice(), handle.report().stopped()),
        (Advice::SameKey, Some(Stop::Cancelled))
    );
    let seen = sim.log().len();
    sleep(secs(300)).await;
    assert_eq!(sim.log().len(), seen);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_was_reserved_and_not_made_goes_back_to_the_budget() {
    let sim = sim();
    let budget = BudgetConfig::default().max_balance(1).per_second(0).ratio(Ratio::percent(0));
    let stripe = transport_of(&sim, StripeTransport::builder().retry(RetryConfig::builder().budget(budget)));
    for order in ["dropped", "empty", "paid", "broke"] {
        sim.script(order, [Step::Fault(Fault::F3)]);
    }
    // While one call waits, the only retry is reserved for it.
    let mut waiting = Box::pin(stripe.send(payment("dropped")));
    assert!(waiting.as_mut().now_or_never().is_none());
    let error = stripe.send(payment("empty")).await.expect_err("nothing is left");
    assert_eq!(stop_of(&error), Some(Stop::Budget));

    drop(waiting);
    let response = stripe.send(payment("paid")).await.expect("the retry came back");
    assert_eq!(response.attempts(), Some(2));
    let error = stripe.send(payment("broke")).await.expect_err("it came back once");
    assert_eq!(stop_of(&error), Some(Stop::Budget));
    assert_eq!(sim.log().len(), 5);
    assert_eq!((sim.ledger().total(), sim.ledger().charged_twice().len()), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_leaves_leaves_nothing_behind() {
    let sim = sim();
    let stripe = transport(&sim);
    let handles: Vec<_> = (0..50).map(|_| ReportHandle::new()).collect();
    let calls = handles.iter().enumerate().map(|(n, handle)| {
        let order = format!("o{n}");
        sim.script(&order, [Step::Fault(Fault::F5 { delay: secs(20) })]);
        stripe.send(with(payment(&order), handle.clone()))
    });
    timeout(secs(5), join_all(calls)).await.expect_err("they all hang");

    assert!(handles.iter().all(|handle| handle.certainty() == Certainty::Unknown));
    assert!(handles.iter().all(|handle| handle.report().stopped() == Some(Stop::Cancelled)));
    sim.quiesce().await;
    assert_eq!((sim.in_flight(), sim.log().len()), (0, 50));
    assert_eq!((sim.ledger().total(), sim.ledger().charged_twice().len()), (50, 0));
    let response = stripe.send(get("/v1/customers", "next")).await.expect("the transport is as good as new");
    assert_eq!(response.attempts(), Some(1));
}

/// An attempt may follow, and be executed: only the end of the call makes sure that none does.
#[tokio::test(start_paused = true)]
async fn nothing_is_certain_of_a_call_that_goes_on() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F0)]);
    let handle = ReportHandle::new();
    let mut call = Box::pin(transport(&sim).send(with(payment("o"), handle.clone())));
    assert!(call.as_mut().now_or_never().is_none(), "it waits after a connection that was refused");
    assert_eq!((handle.certainty(), handle.report().advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!(call.await.expect("the second attempt is answered").status(), 200);
    assert_eq!((handle.certainty(), handle.report().advice()), (Certainty::Executed, Advice::Done));

    sim.script("p", [Step::Fault(Fault::F0)]);
    let handle = ReportHandle::new();
    let mut call = Box::pin(transport(&sim).send(with(payment("p"), handle.clone())));
    assert!(call.as_mut().now_or_never().is_none());
    drop(call);
    assert_eq!((handle.certainty(), handle.report().advice()), (Certainty::NotSent, Advice::NewKey));
    assert_eq!(sim.ledger().executions("p"), 0);
}
