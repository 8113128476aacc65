//! Every fault: what the client sees, what was executed, and when.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use stripe_sim::{Fault, FaultKind, Faults, Limits, Sim, SimErrorKind, Step};
use tower::ServiceExt;

use crate::client::{charge, get, post, sim};

const SECOND: Duration = Duration::from_secs(1);

fn since(sim: &Sim, start: SystemTime) -> Duration {
    sim.clock().now().duration_since(start).expect("the clock was not moved")
}

/// A body in three frames that counts how many were taken.
struct Counted {
    left: usize,
    taken: Arc<AtomicUsize>,
}

impl Counted {
    fn new() -> (Self, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        (Self { left: 3, taken: Arc::clone(&taken) }, taken)
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.taken.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from("a=1&")))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

fn counted(order: &str) -> (Request<Counted>, Arc<AtomicUsize>) {
    let (body, taken) = Counted::new();
    let request = Request::post("http://localhost/v1/customers")
        .header("authorization", "Bearer sk_test_sim")
        .header("x-sim-order", order)
        .body(body)
        .expect("the request is well formed");
    (request, taken)
}

#[tokio::test(start_paused = true)]
async fn connections_that_die_early_leave_the_body_alone() {
    for (fault, kind, frames) in [
        (Fault::F0, SimErrorKind::Connect, 0),
        (Fault::F1 { pulled: 0 }, SimErrorKind::Reset, 0),
        (Fault::F1 { pulled: 2 }, SimErrorKind::Reset, 2),
        (Fault::F2, SimErrorKind::Reset, 3),
        (Fault::F3, SimErrorKind::Reset, 3),
    ] {
        let sim = sim();
        sim.script("a", [Step::Fault(fault)]);
        let (request, taken) = counted("a");
        let error = sim.service().oneshot(request).await.expect_err("the connection dies");
        assert_eq!((error.fault(), error.kind(), error.body_pulled()), (fault, kind, frames > 0));
        assert_eq!(taken.load(Ordering::SeqCst), frames);
        assert_eq!(sim.ledger().executions("a"), u32::from(fault == Fault::F3));
        let log = sim.log_of("a");
        assert_eq!((&log[0].step, log[0].status), (&Step::Fault(fault), None));
        assert_eq!(log[0].body.len(), 4 * frames);
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_named_in_the_body_costs_the_body() {
    let sim = sim();
    sim.script("a", [Step::Fault(Fault::F0), Step::Fault(Fault::F1 { pulled: 0 })]);
    for kind in [SimErrorKind::Connect, SimErrorKind::Reset] {
        let error = charge("a").send(&sim).await.expect_err("the connection dies");
        assert_eq!((error.kind(), error.body_pulled()), (kind, true));
    }
    assert_eq!(sim.ledger().executions("a"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_replayed() {
    let sim = sim();
    sim.script("a", [Step::Fault(Fault::F3)]);
    charge("a").key("k").send(&sim).await.expect_err("the answer is lost");
    assert_eq!(sim.ledger().executions("a"), 1);
    assert!(charge("a").key("k").ok(&sim).await.replayed());
    assert_eq!(sim.ledger().executions("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cut_body_breaks_off_in_the_middle() {
    let sim = sim();
    sim.script("a", [Step::Fault(Fault::F4Cut)]);
    let mut response = charge("a").key("k").start(&sim).await.expect("the head arrives");
    assert_eq!(response.status(), StatusCode::OK);
    let announced = response.body().size_hint().exact().expect("the length is announced");
    let first = response.frame().await.expect("a frame").expect("half of the body");
    assert_eq!(first.data_ref().map(|half| half.len() as u64), Some(announced / 2));
    let error = response.frame().await.expect("an end").expect_err("it breaks off");
    assert_eq!(error.fault(), Fault::F4Cut);
    assert!(charge("a").key("k").ok(&sim).await.replayed());
    assert_eq!(sim.log_of("a")[0].status, Some(StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_body_ends_at_the_stall_limit() {
    let sim = sim();
    sim.faults(Faults::none().stall_limit(SECOND * 9));
    sim.script("a", [Step::Fault(Fault::F4Stall)]);
    let start = sim.clock().now();
    let response = charge("a").start(&sim).await.expect("the head arrives");
    assert_eq!(since(&sim, start), Duration::ZERO);
    let error = response.into_body().collect().await.expect_err("it breaks off");
    assert_eq!((error.fault(), since(&sim, start)), (Fault::F4Stall, SECOND * 9));
}

#[tokio::test(start_paused = true)]
async fn a_zombie_that_was_overtaken_is_a_replay() {
    let sim = sim();
    sim.script("a", [Step::Fault(Fault::F5 { delay: SECOND * 30 })]);
    let attempt = tokio::time::timeout(SECOND * 10, charge("a").key("k").start(&sim)).await;
    assert!(attempt.is_err(), "the client gives up first");
    assert_eq!((sim.ledger().executions("a"), sim.in_flight()), (0, 1));
    assert!(!charge("a").key("k").ok(&sim).await.replayed());
    sim.quiesce().await;
    assert_eq!((sim.ledger().executions("a"), sim.in_flight()), (1, 0));
    let log = sim.log_of("a");
    assert_eq!((log[0].status, log[0].executed, log[0].replayed), (None, false, true));
    assert_eq!((log[1].executed, log[1].replayed), (true, false));
}

#[tokio::test(start_paused = true)]
async fn a_zombie_with_another_key_charges_twice() {
    let sim = sim();
    sim.script("a", [Step::Fault(Fault::F5 { delay: SECOND * 30 })]);
    let attempt = tokio::time::timeout(SECOND * 10, charge("a").key("k").start(&sim)).await;
    assert!(attempt.is_err(), "the client gives up first");
    charge("a").key("l").ok(&sim).await;
    sim.quiesce().await;
    assert_eq!(sim.ledger().charged_twice(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_400_does_not_stop_a_zombie() {
    let sim = sim();
    let id = post("/v1/payment_intents", "amount=1&currency=eur").ok(&sim).await.text("/id").expect("an id");
    let confirm = post(&format!("/v1/payment_intents/{id}/confirm"), "payment_method=pm_card_visa").key("k");
    sim.script("k", [Step::Fault(Fault::F5 { delay: SECOND * 30 })]);
    assert!(tokio::time::timeout(SECOND, confirm.start(&sim)).await.is_err());
    assert_eq!(
        post("/v1/payment_intents", "amount=0").key("k").ok(&sim).await.status,
        StatusCode::BAD_REQUEST
    );
    sim.quiesce().await;
    assert_eq!(sim.ledger().executions("k"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_patient_client_gets_the_late_answer() {
    let sim = sim();
    let delay = SECOND * 30;
    sim.script("a", [Step::Fault(Fault::F5 { delay }), Step::Fault(Fault::Slow { delay })]);
    for _ in 0..2 {
        let start = sim.clock().now();
        assert_eq!(charge("a").ok(&sim).await.status, StatusCode::OK);
        assert_eq!(since(&sim, start), delay);
    }
    assert!(sim.log_of("a").iter().all(|seen| seen.status == Some(StatusCode::OK) && seen.executed));
}

#[tokio::test(start_paused = true)]
async fn no_client_waits_longer_than_the_stall_limit() {
    let sim = sim();
    sim.faults(Faults::none().stall_limit(SECOND * 5));
    let delay = SECOND * 60;
    sim.script("a", [Step::Fault(Fault::F5 { delay }), Step::Fault(Fault::Slow { delay })]);
    for fault in [Fault::F5 { delay }, Fault::Slow { delay }] {
        let start = sim.clock().now();
        let error = charge("a").send(&sim).await.expect_err("the connection is lost");
        assert_eq!((error.fault(), since(&sim, start)), (fault, SECOND * 5));
    }
    sim.quiesce().await;
    assert_eq!(sim.ledger().executions("a"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_execution_goes_on_without_its_client() {
    let sim = sim();
    sim.script("a", [Step::Fault(Fault::Slow { delay: SECOND * 30 })]);
    assert!(tokio::time::timeout(SECOND, charge("a").key("k").start(&sim)).await.is_err());
    assert_eq!(charge("a").key("k").ok(&sim).await.status, StatusCode::CONFLICT);
    sim.quiesce().await;
    assert!(charge("a").key("k").ok(&sim).await.replayed());
    assert_eq!(sim.ledger().executions("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up_on() {
    struct Endless;
    impl Body for Endless {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }
    let sim = sim();
    let request =
        Request::post("http://localhost/v1/customers").body(Endless).expect("the request is well formed");
    let error = sim.service().oneshot(request).await.expect_err("it is given up on");
    assert_eq!((error.fault(), error.body_pulled()), (Fault::F1 { pulled: 0 }, false));
}

#[tokio::test(start_paused = true)]
async fn a_body_beyond_all_bounds_is_not_read_to_its_end() {
    let sim = sim();
    let reply = post("/v1/customers", &"a".repeat(5 * 1024 * 1024)).ok(&sim).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(sim.ledger().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn drawn_faults_repeat_whatever_the_interleaving() {
    async fn run(orders: &[&str]) -> Vec<Step> {
        let faults = Faults::probability(0.6).late(SECOND..=SECOND * 2);
        let sim = Sim::builder().seed(3).limits(Limits::unlimited()).faults(faults).build();
        for order in orders {
            let _ = charge(order).send(&sim).await;
        }
        sim.quiesce().await;
        sim.log_of("a").into_iter().map(|seen| seen.step).collect()
    }
    let alone = run(&["a"; 12]).await;
    let mixed = run(&["a", "b", "c"].repeat(12)).await;
    assert_eq!(alone, mixed);
    assert!(alone.contains(&Step::Pass) && alone.iter().any(|step| *step != Step::Pass));
}

#[tokio::test(start_paused = true)]
async fn faults_can_be_switched_off_while_it_runs() {
    let sim = Sim::builder().faults(Faults::probability(1.0).only(FaultKind::F2)).build();
    assert!(get("/v1/customers").send(&sim).await.is_err());
    sim.faults(Faults::none());
    assert!(get("/v1/customers").send(&sim).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_careful_client_never_charges_twice_and_a_careless_one_does() {
    async fn run(careful: bool) -> Sim {
        // Without stored 500s, under whose keys an order can never be executed any more.
        let faults = Faults::probability(0.5).weight(FaultKind::StoredServerError, 0);
        let sim = Sim::builder().seed(11).limits(Limits::unlimited()).faults(faults).build();
        for number in 0..200 {
            let order = format!("order-{number}");
            for attempt in 0..20 {
                let key = if careful { order.clone() } else { format!("{order}-{attempt}") };
                let call = charge(&order).key(&key);
                match tokio::time::timeout(SECOND * 20, call.send(&sim)).await {
                    Ok(Ok(reply)) if reply.status == StatusCode::OK => break,
                    _ => tokio::time::sleep(SECOND).await,
                }
            }
        }
        sim.quiesce().await;
        sim
    }
    let careful = run(true).await.ledger();
    assert_eq!((careful.executed_orders().len(), careful.charged_twice().len()), (200, 0));
    assert!(!run(false).await.ledger().charged_twice().is_empty());
}
