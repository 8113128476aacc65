//! Detached, a payment that was sent ends as it would have with its caller; one that was not sent ends with it.

use std::{
    collections::BTreeSet,
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

use crate::support::{
    API_KEY, SimClient, assert_one_key_and_body, bytes, client, get, keyed, millis, never_open, payment,
    payment_with, secs, sim, statuses, transport, transport_of, ungoverned, with,
};

mod drain;

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
