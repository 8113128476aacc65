//! Detached, a payment that was sent ends as it would have with its caller; one that was not sent ends with it.

use std::{
    collections::BTreeSet,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use http::{Request, Response};
use http_body_util::Full;
use stripe_sim::{Fault, Sim, Step};
use tokio::{
    runtime::Handle,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::yield_now,
    time::{sleep, timeout},
};
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};
use tower_stripe::{
    Advice, BoxError, Certainty, Deadline, Operation, Refusal, ReportHandle, ResponseExt, StripeTransport,
    detach::{Detach, DetachConfig, DetachHandle, DetachLayer},
    edge::{Edge, hyper_util},
    idempotency::{GuardConfig, IdempotencyConfig, IdempotencyLayer},
    request_id::RequestIdLayer,
    retry::RetryLayer,
    vocab::{Admit, Ask, Ended, Gate, Gated, Replay, Stop, time},
};
use tracing::{Dispatch, Event, Metadata, Subscriber, field, span};

use crate::support::{
    API_KEY, SimClient, assert_one_key_and_body, bytes, client, get, keyed, millis, never_open, payment,
    payment_with, secs, sim, statuses, transport, transport_of, ungoverned, with,
};

type Body = Full<Bytes>;

fn detached(sim: &Sim) -> (Detach<StripeTransport<SimClient>>, DetachHandle) {
    let layer = DetachLayer::default();
    let stripe = transport_of(sim, StripeTransport::builder().breaker(never_open()).governor(ungoverned()));
    (layer.layer(stripe), layer.handle())
}

fn counts(handle: &DetachHandle) -> (usize, usize) {
    (handle.in_flight(), handle.abandoned())
}

fn told(handle: &ReportHandle) -> (Certainty, u32, Option<Stop>) {
    let report = handle.report();
    (report.certainty(), report.attempts_made(), report.stopped())
}

/// Lets the tasks run that have something to do.
async fn settle() {
    sleep(millis(1)).await;
}

/// A payment that is not for Stripe.
fn foreign() -> Request<Body> {
    let mut request = payment("o");
    *request.uri_mut() = "https://evil.example/v1/charges".parse().expect("a URI");
    request
}

fn hangs() -> [Step; 3] {
    [1, 2, 3].map(|_| Step::Fault(Fault::F5 { delay: secs(3_600) }))
}

// === what was sent goes on ===

/// S-107
#[tokio::test(start_paused = true)]
async fn a_payment_dropped_in_flight_goes_on_with_its_retries_and_is_charged_once() {
    for detach in [true, false] {
        let sim = sim();
        sim.script("o", [Step::Fault(Fault::F3), Step::Fault(Fault::Slow { delay: secs(9) })]);
        let (stripe, handle) = detached(&sim);
        let account = ReportHandle::new();
        let request = with(payment("o"), account.clone());
        if detach {
            timeout(millis(100), stripe.send(request)).await.expect_err("it waits for its retry");
            settle().await;
            assert_eq!((counts(&handle), told(&account)), ((1, 1), (Certainty::Unknown, 1, None)));
        } else {
            timeout(millis(100), transport(&sim).send(request)).await.expect_err("it waits for its retry");
        }
        sleep(secs(60)).await;
        assert_eq!((sim.ledger().executions("o"), counts(&handle)), (1, (0, 0)));
        if detach {
            assert_eq!(told(&account), (Certainty::Executed, 2, Some(Stop::Final)));
            assert_eq!(account.report().advice(), Advice::Done);
            assert_eq!(statuses(&sim, "o"), [None, Some(200)]);
            assert_one_key_and_body(&sim, "o");
            assert!(handle.drain(secs(1)).await.unresolved.is_empty());
        } else {
            assert_eq!(told(&account), (Certainty::Unknown, 1, Some(Stop::Cancelled)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_stays_gets_just_what_the_stack_within_says() {
    let sim = sim();
    sim.script("lost", [Step::Fault(Fault::F3)]);
    sim.script("refused", vec![Step::Fault(Fault::F0); 3]);
    let (stripe, handle) = detached(&sim);
    let account = ReportHandle::new();
    let response = stripe.send(with(payment("lost"), account.clone())).await.expect("paid");
    assert_eq!((response.status().as_u16(), response.attempts()), (200, Some(2)));
    assert_eq!(response.certainty(), Some(Certainty::Executed));
    assert_eq!(told(&account), (Certainty::Executed, 2, Some(Stop::Final)));
    assert!(bytes(response).await.starts_with(b"{"));

    let response = stripe.send(payment_with("no", "pm_card_chargeDeclined")).await.expect("an answer");
    assert_eq!((response.status().as_u16(), response.advice()), (402, Some(Advice::NewKey)));
    let error = stripe.send(payment("refused")).await.expect_err("no connection");
    assert_eq!((error.certainty(), error.attempts(), error.is_transport()), (Certainty::NotSent, 3, true));
    let error = stripe.send(foreign()).await.expect_err("not Stripe's");
    assert!(matches!(error.refusal(), Some(Refusal::HostNotAllowed { .. })));
    let error = stripe.send(with(payment("o"), account)).await.expect_err("a second call");
    assert_eq!((error.refusal(), error.advice()), (Some(&Refusal::ReportReused), Advice::Reconcile));
    assert_eq!(counts(&handle), (0, 0));
    assert!(handle.drain(secs(1)).await.unresolved.is_empty(), "everybody was told");
}

/// Whenever the caller goes, the account is true, nothing is left behind, and nobody is charged twice.
#[tokio::test(start_paused = true)]
async fn a_payment_can_be_dropped_at_every_poll() {
    let mut outcomes = BTreeSet::new();
    for polls in 0.. {
        assert!(polls < 200, "it never ends");
        let sim = sim();
        sim.script("o", [Step::Fault(Fault::F3), Step::Fault(Fault::Slow { delay: millis(300) })]);
        let (stripe, handle) = detached(&sim);
        let account = ReportHandle::new();
        let mut call = Box::pin(stripe.send(with(payment("o"), account.clone())));
        let mut answered = false;
        for poll in 0..polls {
            answered |= call.as_mut().now_or_never().is_some();
            if answered {
                break;
            }
            match poll {
                0..4 => yield_now().await,
                _ => sleep(millis(50)).await,
            }
        }
        drop(call);
        sim.quiesce().await;
        sleep(secs(100)).await;
        assert_eq!(counts(&handle), (0, 0), "{polls}");
        let (certainty, attempts, stopped) = told(&account);
        let expected = match certainty {
            Certainty::NotSent => (0, 0, Some(Stop::Cancelled)),
            Certainty::Executed => (1, 2, Some(Stop::Final)),
            other => panic!("{other} after {polls} polls"),
        };
        assert_eq!((sim.ledger().executions("o"), attempts, stopped), expected, "{polls}");
        assert_eq!(sim.log().len(), attempts as usize, "{polls}");
        outcomes.insert(certainty.as_str());
        assert!(handle.drain(secs(1)).await.unresolved.is_empty());
        if answered {
            assert_eq!(outcomes.len(), 2, "both were met: {outcomes:?}");
            return;
        }
    }
}

/// On several threads callers go while their tasks run, and while they tell them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_can_go_at_any_moment_on_any_thread() {
    let sim = sim();
    let (stripe, handle) = detached(&sim);
    let calls: Vec<_> = (0..400)
        .map(|n| {
            let order = format!("o{n}");
            let account = ReportHandle::new();
            let mut call = Box::pin(stripe.send(with(payment(&order), account.clone())));
            tokio::spawn(async move {
                for _ in 0..n % 4 {
                    if call.as_mut().now_or_never().is_some() {
                        break;
                    }
                    yield_now().await;
                }
                drop(call);
                (order, account)
            })
        })
        .collect();
    let calls = join_all(calls).await;
    // As long as it takes: all of them end.
    let drained = handle.drain(secs(600)).await;
    assert_eq!((counts(&handle), drained.unresolved.len(), drained.forgotten), ((0, 0), 0, 0));
    for call in calls {
        let (order, account) = call.expect("no panic");
        let expected = match account.certainty() {
            Certainty::NotSent => 0,
            Certainty::Executed => 1,
            other => panic!("{other}: {order}"),
        };
        assert_eq!(
            (sim.ledger().executions(&order), sim.log_of(&order).len()),
            (expected, expected as usize)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_payment_that_goes_on_ends_at_its_deadline_and_is_remembered() {
    let sim = sim();
    sim.script("o", hangs());
    let (stripe, handle) = detached(&sim);
    let account = ReportHandle::new();
    let request = with(with(payment("o"), account.clone()), Deadline::after(secs(20)));
    let began = time::now();
    timeout(secs(2), stripe.send(request)).await.expect_err("it hangs");
    while handle.in_flight() > 0 {
        sleep(secs(1)).await;
    }
    let took = time::now() - began;
    assert!(took <= secs(21), "{took:?}");
    assert_eq!(told(&account).0, Certainty::Unknown);
    let drained = handle.drain(secs(1)).await;
    assert_eq!((drained.unresolved.len(), drained.forgotten), (1, 0));
    let call = &drained.unresolved[0];
    assert_eq!(call.operation, Operation::new("payment_intents.create").expect("it is in the table"));
    assert_eq!((call.report.certainty(), call.report.advice()), (Certainty::Unknown, Advice::SameKey));
    assert!(call.report.idempotency_key().is_some(), "there is something to look it up by");
}

/// The answer had come, and its caller went away without a look at it.
#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_is_accounted_for() {
    let sim = sim();
    sim.script("lost", vec![Step::Fault(Fault::F3); 3]);
    let (stripe, handle) = detached(&sim);
    for order in ["lost", "paid"] {
        let mut call = Box::pin(stripe.send(payment(order)));
        assert!(call.as_mut().now_or_never().is_none());
        sleep(secs(60)).await;
        assert_eq!(counts(&handle), (0, 0));
        drop(call);
    }
    let drained = handle.drain(secs(1)).await;
    assert_eq!(drained.unresolved.len(), 1);
    assert_eq!(drained.unresolved[0].report.attempts_made(), 3);
}

/// It goes after the task has looked whether it is there, and before the task tells it.
#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_while_its_answer_comes_is_accounted_for() {
    type Calls = Arc<tokio::sync::Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>>;
    let calls = Calls::default();
    let within = Arc::clone(&calls);
    let client = tower::service_fn(move |_: Request<Body>| {
        let calls = Arc::clone(&within);
        async move {
            drop(calls.try_lock().expect("nobody holds it").take().expect("the caller waits"));
            Response::builder().status(503).body(Body::default()).map_err(BoxError::from)
        }
    });
    let layer = DetachLayer::default();
    let call = layer.layer(client).send(payment("o"));
    let mut call: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(call.map(drop));
    assert!(call.as_mut().now_or_never().is_none());
    *calls.lock().await = Some(call);
    settle().await;
    assert!(calls.lock().await.is_none());
    assert_eq!(counts(&layer.handle()), (0, 0));
    assert_eq!(layer.handle().drain(secs(1)).await.unresolved.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_the_head_there_is_nothing_to_detach() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F4Stall)]);
    let (stripe, handle) = detached(&sim);
    let response = stripe.send(payment("o")).await.expect("the head");
    assert_eq!(counts(&handle), (0, 0));
    drop(response);
    settle().await;
    assert_eq!((counts(&handle), sim.in_flight()), ((0, 0), 0));
    assert_eq!(sim.ledger().executions("o"), 1);
    assert!(handle.drain(secs(1)).await.unresolved.is_empty());
}

// === what was not sent ends with its caller ===

/// S-108
#[tokio::test(start_paused = true)]
async fn a_payment_that_nobody_polled_is_not_even_begun() {
    let sim = sim();
    let (stripe, handle) = detached(&sim);
    let account = ReportHandle::new();
    drop(stripe.send(with(payment("o"), account.clone())));
    sleep(secs(100)).await;
    assert_eq!(told(&account), (Certainty::NotSent, 0, Some(Stop::Cancelled)));
    assert_eq!((sim.log().len(), counts(&handle)), (0, (0, 0)));
}

/// S-105
#[tokio::test(start_paused = true)]
async fn a_payment_dropped_while_the_client_is_busy_ends_with_its_caller() {
    let layer = DetachLayer::default();
    let (client, mut seen) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    seen.allow(0);
    let account = ReportHandle::new();
    let call = layer.layer(StripeTransport::new(client)).send(with(payment("o"), account.clone()));
    timeout(secs(5), call).await.expect_err("the client is busy");
    settle().await;
    assert_eq!(counts(&layer.handle()), (0, 0));
    assert_eq!(told(&account), (Certainty::NotSent, 0, Some(Stop::Cancelled)));
    assert_eq!(account.report().advice(), Advice::NewKey);
    seen.allow(1);
    sleep(secs(100)).await;
    assert!(seen.next_request().now_or_never().flatten().is_none(), "nothing came to the client");

    // The same where this layer itself waits for the client.
    let (client, mut seen) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    seen.allow(0);
    let account = ReportHandle::new();
    let call = layer.layer(client).send(with(keyed(payment("o"), "k"), account.clone()));
    timeout(secs(5), call).await.expect_err("the client is busy");
    settle().await;
    assert_eq!(counts(&layer.handle()), (0, 0));
    assert_eq!(told(&account), (Certainty::NotSent, 0, Some(Stop::Cancelled)));
}

/// Holds everything back for so long.
#[derive(Clone)]
struct Queue(std::time::Duration);

impl Gate for Queue {
    type Permit = ();
    type Wait = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

    fn admit<B: Replay>(&self, _: &Ask, _: &Request<B>) -> Admit<(), Self::Wait> {
        let wait = self.0;
        Admit::Wait(Box::pin(async move {
            sleep(wait).await;
            Ok(())
        }))
    }

    fn settle((): (), _: &Ended) {}
}

#[tokio::test(start_paused = true)]
async fn a_payment_dropped_while_a_gate_holds_it_ends_with_its_caller() {
    let sim = sim();
    let layer = DetachLayer::default();
    let gated = || Gated::new(Edge::new(client(&sim)), Queue(secs(3)));
    for (order, leaves_after, executions) in [("queued", secs(2), 0), ("sent", millis(3_100), 1)] {
        sim.script(order, [Step::Fault(Fault::Slow { delay: secs(1) })]);
        let account = ReportHandle::new();
        let request = with(keyed(payment(order), order), account.clone());
        let stripe = layer.layer(RetryLayer::default().layer(gated()));
        timeout(leaves_after, stripe.send(request)).await.expect_err("it takes its time");
        sleep(secs(100)).await;
        let certainty = if executions == 0 { Certainty::NotSent } else { Certainty::Executed };
        assert_eq!((account.certainty(), account.attempts_made()), (certainty, executions), "{order}");
        assert_eq!(
            (sim.ledger().executions(order), sim.log_of(order).len()),
            (executions, executions as usize)
        );

        // Without a retry around it.
        let (order, account) = (format!("{order}-alone"), ReportHandle::new());
        sim.script(&order, [Step::Fault(Fault::Slow { delay: secs(1) })]);
        let request = with(keyed(payment(&order), &order), account.clone());
        timeout(leaves_after, layer.layer(gated()).send(request)).await.expect_err("it takes its time");
        sleep(secs(100)).await;
        assert_eq!((account.certainty(), sim.ledger().executions(&order)), (certainty, executions));
        assert_eq!(counts(&layer.handle()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_payment_dropped_while_it_waits_for_its_key_ends_with_its_caller() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::Slow { delay: secs(9) })]);
    let guarded = IdempotencyConfig::builder().guard(GuardConfig::new());
    let layer = DetachLayer::default();
    let stripe = layer.layer(transport_of(&sim, StripeTransport::builder().idempotency(guarded)));
    let first = tokio::spawn(stripe.send(keyed(payment("o"), "k")));
    settle().await;
    let account = ReportHandle::new();
    let second = stripe.send(with(keyed(payment("o"), "k"), account.clone()));
    timeout(secs(1), second).await.expect_err("it waits for its turn");
    settle().await;
    assert_eq!(counts(&layer.handle()), (1, 0), "only the first is left");
    // The key is the first one's, which is under way: to say "not sent" would invite to a new key.
    assert_eq!(told(&account), (Certainty::Unknown, 0, Some(Stop::Cancelled)));
    first.await.expect("no panic").expect("paid");
    sleep(secs(100)).await;
    assert_eq!((sim.log_of("o").len(), sim.ledger().executions("o")), (1, 1));
}

// === alone ===

/// Over a client of whose attempts nobody gives an account, what was handed to it counts as sent.
#[tokio::test(start_paused = true)]
async fn around_a_client_alone_it_does_not_take_what_is_under_way_for_unsent() {
    let sim = sim();
    let layer = DetachLayer::default();
    let boxed = || ServiceExt::<Request<Body>>::map_err(client(&sim), BoxError::from);
    macro_rules! dropped {
        ($stripe:expr, $order:expr) => {{
            sim.script($order, [Step::Fault(Fault::Slow { delay: secs(5) })]);
            let account = ReportHandle::new();
            let request = with(keyed(payment($order), $order), account.clone());
            timeout(secs(1), $stripe.send(request)).await.expect_err("it takes its time");
            settle().await;
            assert_eq!((counts(&layer.handle()), account.certainty()), ((1, 1), Certainty::Unknown));
            sleep(secs(100)).await;
            assert_eq!(counts(&layer.handle()), (0, 0));
            assert_eq!((account.certainty(), sim.ledger().executions($order)), (Certainty::Executed, 1));
        }};
    }
    dropped!(layer.layer(boxed()), "bare");
    dropped!(layer.layer(IdempotencyLayer::default().layer(boxed())), "keyed");
    dropped!(layer.layer(RequestIdLayer::new().layer(boxed())), "identified");
    let response = layer.layer(boxed()).send(payment("o")).await.expect("paid");
    assert_eq!((response.certainty(), response.attempts()), (Some(Certainty::Executed), Some(1)));
    sim.script("lost", [Step::Fault(Fault::F3)]);
    let account = ReportHandle::new();
    layer.layer(boxed()).send(with(payment("lost"), account.clone())).await.expect_err("lost");
    assert_eq!(told(&account), (Certainty::Unknown, 1, None));
}

/// No layer within keeps a deadline.
#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_given_up_a_little_after_its_deadline() {
    let sim = sim();
    let layer = DetachLayer::default();
    sim.script("o", hangs());
    let account = ReportHandle::new();
    let call = layer.layer(Edge::new(client(&sim))).send(with(keyed(payment("o"), "k"), account.clone()));
    timeout(secs(70), call).await.expect_err("it hangs");
    sleep(secs(9)).await;
    assert_eq!(counts(&layer.handle()), (1, 1), "75 s, and 5 s");
    sleep(secs(2)).await;
    assert_eq!(counts(&layer.handle()), (0, 0));
    assert_eq!(told(&account), (Certainty::Unknown, 1, Some(Stop::Cancelled)));
    assert_eq!(layer.handle().drain(secs(1)).await.unresolved.len(), 1);
}

// === the bound ===

#[tokio::test(start_paused = true)]
async fn no_more_than_the_bound_are_under_way_and_none_runs_undetached() {
    let sim = sim();
    let layer = DetachLayer::new(DetachConfig::builder().max_detached(3).build().expect("valid"));
    let (handle, account) = (layer.handle(), ReportHandle::new());
    let orders = ["stays", "goes", "stays too"];
    let mut calls: Vec<_> = orders
        .iter()
        .map(|order| {
            sim.script(order, [Step::Fault(Fault::Slow { delay: secs(5) })]);
            tokio::spawn(layer.layer(transport(&sim)).send(payment(order)))
        })
        .collect();
    settle().await;
    calls.remove(1).abort();
    settle().await;
    assert_eq!(counts(&handle), (3, 1), "who has gone counts, too");

    let stripe = layer.layer(transport(&sim));
    let error = stripe.send(with(payment("fourth"), account.clone())).await.expect_err("too many");
    assert_eq!(error.refusal(), Some(&Refusal::Saturated { retry_in: secs(1) }));
    assert_eq!(
        (error.certainty(), error.advice(), error.attempts()),
        (Certainty::NotSent, Advice::Resend, 0)
    );
    assert_eq!(error.retry_in(), Some(secs(1)));
    assert_eq!(told(&account).2, Some(Stop::Refused));
    let error = stripe.send(keyed(payment("fourth"), "k")).await.expect_err("too many");
    assert_eq!(error.advice(), Advice::SameKey, "its key may have a past");
    assert!(sim.log_of("fourth").is_empty());
    assert_eq!(stripe.send(get("/v1/customers", "r")).await.expect("a read").status(), 200);

    for call in calls {
        call.await.expect("no panic").expect("paid");
    }
    settle().await;
    assert_eq!(counts(&handle), (0, 0));
    assert_eq!(stripe.send(payment("fourth")).await.expect("there is room").status(), 200);
    assert_eq!((sim.ledger().total(), sim.ledger().charged_twice().len()), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn only_what_may_move_money_gets_a_task_whatever_it_is_called() {
    let sim = sim();
    let (stripe, handle) = detached(&sim);
    let read = Operation::new("customers.retrieve").expect("it is in the table");
    let pays = Operation::new("charges.create").expect("it is in the table");
    for (request, tasks) in [
        (get("/v1/payment_intents", "o"), 0),
        (with(get("/v1/payment_intents", "o"), pays), 0),
        (crate::support::post("/v1/customers", "o", ""), 0),
        (payment("p"), 1),
        (with(payment("q"), read), 1),
        (crate::support::post("/v1/novelties", "o", ""), 1),
    ] {
        sim.latency(stripe_sim::Latency::none());
        let path = request.uri().path().to_owned();
        let before = Handle::current().metrics().num_alive_tasks();
        let mut call = Box::pin(stripe.send(request));
        let first = call.as_mut().now_or_never();
        let alive = Handle::current().metrics().num_alive_tasks() - before;
        assert_eq!((alive, handle.in_flight()), (tasks, tasks), "{path}");
        if first.is_none() {
            call.await.expect("an answer");
        }
        settle().await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), before, "{path}");
    }
    // A read ends with its caller.
    sim.script("slow", [Step::Fault(Fault::Slow { delay: secs(9) })]);
    timeout(secs(1), stripe.send(get("/v1/customers", "slow"))).await.expect_err("slow");
    assert_eq!((counts(&handle), sim.log_of("slow").len()), ((0, 0), 1));
}

// === panics ===

/// Panics when it is asked for the second time.
#[derive(Clone)]
struct Panics {
    client: SimClient,
    asked: Arc<AtomicUsize>,
}

impl Service<Request<Body>> for Panics {
    type Response = <SimClient as Service<Request<Body>>>::Response;
    type Error = <SimClient as Service<Request<Body>>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = self.client.call(request);
        let panics = self.asked.fetch_add(1, Ordering::Relaxed) == 1;
        Box::pin(async move {
            let result = inner.await;
            if panics {
                sleep(secs(2)).await;
                panic!("sk_live_hidden");
            }
            result
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_goes_to_the_caller_or_into_the_log_and_leaves_no_place_taken() {
    let sim = sim();
    let mut notes = Notes::taken();
    let layer = DetachLayer::default();
    let handle = layer.handle();
    for stays in [true, false] {
        let order = if stays { "stays" } else { "goes" };
        sim.script(order, [Step::Fault(Fault::F3)]);
        let panics = Panics { client: client(&sim), asked: Arc::default() };
        let account = ReportHandle::new();
        let call = layer.layer(StripeTransport::new(panics)).send(with(payment(order), account.clone()));
        if stays {
            let panic = tokio::spawn(call).await.expect_err("as if there were no task");
            assert_eq!(panic.into_panic().downcast_ref(), Some(&"sk_live_hidden"));
        } else {
            timeout(secs(1), call).await.expect_err("under way");
            sleep(secs(10)).await;
        }
        assert_eq!(counts(&handle), (0, 0), "{order}");
        assert_eq!(told(&account), (Certainty::Unknown, 2, Some(Stop::Cancelled)), "{order}");
    }
    let noted = notes.read();
    assert_eq!(noted.iter().filter(|note| *note == "message=a call has panicked").count(), 2, "{noted:?}");
    assert!(!noted.iter().any(|note| note.contains("sk_live")), "{noted:?}");
    let drained = handle.drain(secs(1)).await;
    assert_eq!(drained.unresolved.len(), 1, "whose caller was there got the panic");
}

// === drain ===

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_ends_and_reports_exactly_what_is_unresolved() {
    let sim = sim();
    let (stripe, handle) = detached(&sim);
    let mut accounts = Vec::new();
    let mut calls = Vec::new();
    for n in 0..50 {
        let order = format!("o{n}");
        match n % 5 {
            0 | 1 => sim.script(&order, [Step::Fault(Fault::Slow { delay: secs(2) })]),
            2 => sim.script(&order, [Step::Fault(Fault::F3), Step::Fault(Fault::Slow { delay: secs(2) })]),
            _ => sim.script(&order, hangs()),
        }
        let account = ReportHandle::new();
        accounts.push(account.clone());
        calls.push(tokio::spawn(stripe.send(with(payment(&order), account))));
    }
    sleep(millis(100)).await;
    // Every other caller goes.
    for call in calls.iter().step_by(2) {
        call.abort();
    }
    settle().await;
    assert_eq!(counts(&handle), (50, 25));

    let began = time::now();
    let drained = handle.drain(secs(5)).await;
    let took = time::now() - began;
    assert!((secs(5)..secs(5) + millis(50)).contains(&took), "{took:?}");
    assert_eq!((counts(&handle), drained.forgotten), ((0, 0), 0));
    let hung = |n: usize| n % 5 > 2;
    let key = |report: &tower_stripe::Report| {
        report.idempotency_key().expect("the key in force").as_str().to_owned()
    };
    let expected =
        accounts.iter().enumerate().filter(|(n, _)| hung(*n)).map(|(_, account)| key(&account.report()));
    let expected: BTreeSet<_> = expected.collect();
    let unresolved: BTreeSet<_> = drained.unresolved.iter().map(|call| key(&call.report)).collect();
    assert_eq!((unresolved, drained.unresolved.len()), (expected, 20));
    for call in &drained.unresolved {
        assert_eq!((call.report.certainty(), call.report.advice()), (Certainty::Unknown, Advice::SameKey));
        assert_eq!(call.report.stopped(), Some(Stop::Cancelled), "the account is complete");
    }
    for (n, account) in accounts.iter().enumerate() {
        let order = format!("o{n}");
        let (certainty, executions) =
            if hung(n) { (Certainty::Unknown, 0) } else { (Certainty::Executed, 1) };
        assert_eq!(
            (account.certainty(), sim.ledger().executions(&order)),
            (certainty, executions),
            "{order}"
        );
    }
    for (n, result) in join_all(calls).await.into_iter().enumerate() {
        match result {
            Err(gone) => assert!(gone.is_cancelled() && n % 2 == 0),
            Ok(Ok(response)) => assert!(!hung(n) && response.status() == 200),
            Ok(Err(error)) => {
                assert!(hung(n));
                assert_eq!(error.refusal(), Some(&Refusal::ShuttingDown));
                assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_it_drains_no_payment_is_taken_and_reads_pass() {
    let sim = sim();
    let (stripe, handle) = detached(&sim);
    let unpolled = stripe.send(payment("unpolled"));
    // From the call on, not from the first poll.
    let drain = handle.drain(secs(5));
    for call in [unpolled, stripe.send(payment("new")), stripe.clone().send(payment("cloned"))] {
        let error = call.await.expect_err("it drains");
        assert_eq!(error.refusal(), Some(&Refusal::ShuttingDown));
        assert_eq!((error.certainty(), error.attempts()), (Certainty::NotSent, 0));
    }
    assert_eq!(stripe.send(get("/v1/customers", "r")).await.expect("a read").status(), 200);
    let began = time::now();
    assert!(drain.await.unresolved.is_empty());
    assert_eq!(time::now() - began, secs(0), "there was nothing to wait for");
    assert_eq!(
        stripe.send(payment("later")).await.expect_err("it stays closed").refusal(),
        Some(&Refusal::ShuttingDown)
    );
    assert_eq!(sim.ledger().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_can_be_dropped_and_called_again_and_twice_at_once() {
    let sim = sim();
    let (stripe, handle) = detached(&sim);
    sim.script("slow", [Step::Fault(Fault::Slow { delay: secs(9) })]);
    sim.script("lost", vec![Step::Fault(Fault::F3); 3]);
    sim.script("hangs", hangs());
    timeout(millis(100), stripe.send(payment("lost"))).await.expect_err("it retries");
    timeout(secs(1), stripe.send(payment("slow"))).await.expect_err("slow");
    let hangs = tokio::spawn(stripe.send(payment("hangs")));
    settle().await;
    timeout(secs(1), handle.drain(secs(60))).await.expect_err("it waits");
    let (one, two) = tokio::join!(handle.drain(secs(15)), handle.drain(secs(20)));
    assert_eq!((one.unresolved.len(), two.unresolved.len()), (2, 2));
    assert_eq!(handle.drain(secs(0)).await.unresolved.len(), 2, "it is said again");
    assert_eq!(counts(&handle), (0, 0));
    assert_eq!(sim.ledger().executions("slow"), 1, "it was waited for");
    assert!(hangs.await.expect("no panic").expect_err("cut off").is_refused());
}

/// Nothing was sent of it, and so there is nothing to look up.
#[tokio::test(start_paused = true)]
async fn what_is_cut_off_before_it_was_sent_is_refused_and_not_reported() {
    let layer = DetachLayer::default();
    let (client, mut seen) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    seen.allow(0);
    let (within, without) = (layer.layer(StripeTransport::new(client.clone())), layer.layer(client));
    let within = tokio::spawn(within.send(payment("o")));
    let account = ReportHandle::new();
    let without = tokio::spawn(without.send(with(payment("o"), account.clone())));
    settle().await;
    assert_eq!(counts(&layer.handle()), (2, 0));
    let drained = layer.handle().drain(secs(5)).await;
    assert!(drained.unresolved.is_empty(), "{drained:?}");
    let error = within.await.expect("no panic").expect_err("cut off");
    assert_eq!((error.refusal(), error.certainty()), (Some(&Refusal::ShuttingDown), Certainty::NotSent));
    assert!(without.await.expect("no panic").is_err());
    assert_eq!(told(&account), (Certainty::NotSent, 0, Some(Stop::Refused)));
}

#[tokio::test(start_paused = true)]
async fn only_the_last_unresolved_calls_are_kept_and_the_others_counted() {
    let sim = sim();
    let layer = DetachLayer::new(DetachConfig::builder().max_unresolved(2).build().expect("valid"));
    let stripe = layer.layer(transport(&sim));
    let mut keys = Vec::new();
    for n in 0..5 {
        let order = format!("o{n}");
        sim.script(&order, vec![Step::Fault(Fault::F3); 3]);
        timeout(millis(100), stripe.send(keyed(payment(&order), &order))).await.expect_err("it retries");
        sleep(secs(60)).await;
        keys.push(order);
    }
    let drained = layer.handle().drain(secs(1)).await;
    let kept: Vec<_> = drained
        .unresolved
        .iter()
        .map(|call| call.report.idempotency_key().expect("its key").as_str().to_owned())
        .collect();
    assert_eq!((kept, drained.forgotten), (keys[3..].to_vec(), 3));
}

/// The runtime of the tasks goes, and with it the client: nobody panics, and who still asks is told.
#[test]
fn a_runtime_that_shuts_down_panics_nowhere_and_leaves_the_truth() {
    let sim = sim();
    sim.script("o", hangs());
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime")
    };
    let (tasks, callers) = (runtime(), runtime());
    let (stripe, handle) = detached(&sim);
    let account = ReportHandle::new();
    let mut call = Box::pin(stripe.send(with(payment("o"), account.clone())));
    tasks.block_on(async {
        assert!(call.as_mut().now_or_never().is_none());
        settle().await;
    });
    drop(tasks);
    assert_eq!((counts(&handle), account.certainty()), ((0, 0), Certainty::Unknown));
    let error = callers.block_on(call).expect_err("its task has gone");
    assert_eq!((error.refusal(), error.certainty()), (Some(&Refusal::ShuttingDown), Certainty::Unknown));

    // Nowhere to run: refused, not run undetached.
    let error = stripe.send(payment("p")).now_or_never().expect("at once").expect_err("no runtime");
    assert_eq!((error.refusal(), error.certainty()), (Some(&Refusal::ShuttingDown), Certainty::NotSent));
    assert_eq!(counts(&handle), (0, 0));
}

// === log and secrets ===

struct Scribe(tokio::sync::mpsc::UnboundedSender<String>);

impl Subscriber for Scribe {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        // Nobody listens any more once the test has ended.
        let _ = self.0.send(format!("level={}", event.metadata().level()));
        event.record(&mut |field: &field::Field, value: &dyn fmt::Debug| {
            let _ = self.0.send(format!("{field}={value:?}"));
        });
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Notes {
    noted: UnboundedReceiver<String>,
    _guard: tracing::subscriber::DefaultGuard,
    _other: Dispatch,
}

impl Notes {
    fn taken() -> Self {
        let (notes, noted) = unbounded_channel();
        // Two, since with a single one tracing asks the default of whichever thread meets a call site first, and other
        // tests have none.
        let other = Dispatch::new(Scribe(notes.clone()));
        Self { noted, _guard: tracing::subscriber::set_default(Scribe(notes)), _other: other }
    }

    fn read(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.noted.try_recv().ok()).collect()
    }
}

const KEY: &str = "my-own-key-8812";

#[tokio::test(start_paused = true)]
async fn how_a_call_ended_without_its_caller_is_logged_without_a_secret() {
    let sim = sim();
    let (stripe, handle) = detached(&sim);
    sim.script("paid", [Step::Fault(Fault::Slow { delay: secs(2) })]);
    sim.script("lost", vec![Step::Fault(Fault::F3); 3]);
    for (order, expected) in [
        ("told", None),
        ("paid", Some(["level=INFO", "certainty=\"executed\"", "advice=\"done\"", "attempts=1"])),
        ("lost", Some(["level=WARN", "certainty=\"unknown\"", "advice=\"same_key\"", "attempts=3"])),
    ] {
        let mut notes = Notes::taken();
        let account = ReportHandle::new();
        let request = with(keyed(payment(order), &format!("{KEY}-{order}")), account.clone());
        let _ = timeout(millis(100), stripe.send(request)).await;
        sleep(secs(60)).await;
        let noted = notes.read();
        let line = noted.iter().position(|note| note.starts_with("message=a call was cut off"));
        let Some(expected) = expected else {
            assert!(line.is_none(), "{noted:?}");
            continue;
        };
        let message = line.expect("it is logged");
        // The level stands before the message, the fields behind it or before.
        for part in expected.into_iter().chain(["operation=\"payment_intents.create\""]) {
            assert!(noted[message - 1..].iter().any(|note| note == part), "{part} in {noted:?}");
        }
        let id = account.report().request_ids().last().map(|id| format!("request_id={:?}", id.as_str()));
        assert_eq!(id.is_some(), order == "paid");
        assert!(id.is_none_or(|id| noted.contains(&id)), "{noted:?}");
        for note in noted {
            for secret in [API_KEY, KEY, "amount=", "metadata"] {
                assert!(!note.contains(secret), "{secret} in {note}");
            }
        }
    }
    let drained = handle.drain(secs(1)).await;
    assert_eq!(drained.unresolved.len(), 1);
    let text = format!("{drained:?} {drained:#?}");
    assert!(!text.contains(KEY) && !text.contains(API_KEY), "{text}");
}

#[tokio::test(start_paused = true)]
async fn nothing_of_it_shows_a_key_or_a_body() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::Slow { delay: secs(2) })]);
    let layer = DetachLayer::default();
    let stripe = layer.layer(transport(&sim));
    let mut call = Box::pin(stripe.send(keyed(payment("o"), KEY)));
    let mut text =
        format!("{call:?} {:?} {stripe:?} {layer:?} {:?}", stripe.send(get("/v1/x", KEY)), stripe.handle());
    assert!(call.as_mut().now_or_never().is_none());
    settle().await;
    text += &format!("{call:?} {stripe:?} {layer:?} {:?}", layer.handle());
    text += &format!("{:?}", call.await.expect("paid"));
    for secret in [API_KEY, KEY, "amount=1099"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

// === it can be spawned ===

type Boxed = BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>;
type Recommended = hyper_util::Client<hyper_util::Https, Body>;

/// What an application writes down.
#[derive(Clone, Debug)]
struct Shop {
    stripe: Detach<StripeTransport<Recommended>>,
    legacy: Detach<StripeTransport<Boxed>>,
}

fn boxed() -> Boxed {
    BoxCloneSyncService::new(tower::service_fn(|_| async {
        Ok(Response::builder().header("request-id", "req_1").body(Full::from("{}"))?)
    }))
}

#[tokio::test(start_paused = true)]
async fn it_can_be_spawned_in_every_way_over_every_client() {
    let layer = DetachLayer::default();
    let sim = sim();
    macro_rules! spawned {
        ($stripe:expr, $certainty:expr) => {{
            let stripe = $stripe;
            let certainty = |result: Result<Response<_>, tower_stripe::Error<_>>| match result {
                Ok(response) => response.certainty().expect("a report"),
                Err(error) => error.certainty(),
            };
            let sent = tokio::spawn(stripe.send(payment("o"))).await.expect("no panic");
            assert_eq!(certainty(sent), $certainty);
            let service = stripe.clone();
            let block = tokio::spawn(async move { service.oneshot(payment("o")).await });
            assert_eq!(certainty(block.await.expect("no panic")), $certainty);
            let block = tokio::spawn(async move { stripe.send(payment("o")).await });
            assert_eq!(certainty(block.await.expect("no panic")), $certainty);
        }};
    }
    spawned!(layer.layer(transport(&sim)), Certainty::Executed);
    spawned!(layer.layer(StripeTransport::new(boxed())), Certainty::Executed);
    let nowhere = || -> Recommended { hyper_util::Builder::new().build() };
    let shop = Shop {
        stripe: layer.layer(StripeTransport::new(nowhere())),
        legacy: layer.layer(StripeTransport::new(boxed())),
    };
    let spawned_shop = shop.clone();
    let error = tokio::spawn(async move {
        spawned_shop.legacy.send(payment("o")).await.expect("an answer");
        spawned_shop.stripe.send(foreign()).await
    });
    assert!(error.await.expect("no panic").expect_err("not Stripe's").is_refused());
    drop(shop);

    // Alone over a boxed client, and as the client of another layer.
    let alone = layer.layer(boxed());
    let block = tokio::spawn(async move { alone.oneshot(payment("o")).await });
    assert_eq!(block.await.expect("no panic").expect("an answer").certainty(), Some(Certainty::Executed));
    let within = RetryLayer::default().layer(layer.layer(boxed()));
    let block = tokio::spawn(async move { within.oneshot(payment("o")).await });
    assert_eq!(block.await.expect("no panic").expect("an answer").certainty(), Some(Certainty::Executed));
}
