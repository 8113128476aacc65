//! Panics, drains, and what is logged of calls that nobody waits for.

use super::*;
use crate::support::notes::Notes;

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
