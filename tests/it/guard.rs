//! What may be asked of callers' keys: that they are there, that their age is known, and that each is for one request.

use std::num::NonZeroUsize;

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use stripe_sim::{Canned, Fault, Sim, Step};
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};
use tower::{Layer, Service, ServiceExt};
use tower_stripe::{
    Advice, AttemptTimeout, BoxError, Certainty, Deadline, IdempotencyKey, Operation, Outcome, Refusal,
    ReportHandle, ResponseExt, RetryLimit, StripeTransport,
    idempotency::{GuardConfig, IdempotencyBuilder, IdempotencyConfig, IdempotencyLayer},
    vocab::{SendOnce, Stop, time, time::WallClock},
};

use crate::support::{
    API_KEY, SimClient, assert_one_key_and_body, get, keyed, millis, payment, payment_with, post, secs, sim,
    statuses, stop, stop_of, transport_of, ungoverned, with,
};

fn stripe_with(sim: &Sim, settings: IdempotencyBuilder) -> StripeTransport<SimClient> {
    transport_of(sim, StripeTransport::builder().idempotency(settings))
}

// === what money asks of its keys ===

/// S-31
#[tokio::test(start_paused = true)]
async fn money_without_a_callers_key_is_refused_where_one_is_required() {
    let sim = sim();
    let stripe = stripe_with(&sim, IdempotencyConfig::builder().require_explicit_key(true));
    let read = Operation::new("customers.list").expect("an operation");
    // No name that the caller gives it makes a payment another thing.
    for request in [payment("o"), with(payment("o"), read)] {
        let error = stripe.send(request).await.expect_err("refused");
        assert_eq!(error.refusal(), Some(&Refusal::ExplicitKeyRequired));
        assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::Resend));
        assert_eq!((error.attempts(), error.idempotency_key()), (0, None));
    }
    assert!(sim.log().is_empty());

    stripe.send(keyed(payment("o"), "mine")).await.expect("paid");
    assert_eq!(sim.ledger().executions("o"), 1);
    // What moves no money, and what Stripe heeds no key on, is as ever.
    stripe.send(post("/v1/customers", "c", "name=x")).await.expect("answered");
    stripe.send(get("/v1/customers", "l")).await.expect("answered");
    assert_eq!(sim.log().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn money_with_a_key_of_unknown_birth_is_refused_where_one_is_required() {
    let sim = sim();
    let stripe = stripe_with(&sim, IdempotencyConfig::builder().require_key_birth(true));
    let mut in_header = payment("o");
    in_header.headers_mut().insert("idempotency-key", "mine".parse().expect("a header"));
    for request in [in_header, keyed(payment("o"), "mine")] {
        let error = stripe.send(request).await.expect_err("refused");
        assert_eq!(error.refusal(), Some(&Refusal::KeyBirthUnknown));
        assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::SameKey));
        assert_eq!(error.idempotency_key().as_ref().map(IdempotencyKey::as_str), Some("mine"));
    }
    assert!(sim.log().is_empty());

    let key = |name: &str| IdempotencyKey::new(name).expect("a key");
    let born = key("mine").born_at(WallClock::SYSTEM.now());
    for (order, request) in [
        ("born", with(payment("born"), born)),
        ("fresh", with(payment("fresh"), key("new").fresh())),
        ("generated", payment("generated")),
    ] {
        let response = stripe.send(request).await.expect("paid");
        assert_eq!(sim.ledger().executions(order), 1);
        // The key that is handed back has a birth, unless nobody ever knew it.
        let report = response.report().expect("a report");
        assert!(report.idempotency_key().is_some_and(|key| key.birth().is_some()), "{order}");
    }
    stripe.send(keyed(post("/v1/customers", "c", "name=x"), "other")).await.expect("answered");
    assert_eq!(sim.log().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_required_unless_it_is_asked_for() {
    let sim = sim();
    let stripe = stripe_with(&sim, IdempotencyConfig::builder());
    stripe.send(payment("o")).await.expect("paid");
    stripe.send(keyed(payment("p"), "mine")).await.expect("paid");
    assert_eq!(sim.ledger().total(), 2);
}

// === the guard ===

fn guarded(sim: &Sim) -> StripeTransport<SimClient> {
    let settings = IdempotencyConfig::builder().guard(GuardConfig::new());
    transport_of(sim, StripeTransport::builder().governor(ungoverned()).idempotency(settings))
}

fn with_header(mut request: Request<Full<Bytes>>, name: &'static str, value: &str) -> Request<Full<Bytes>> {
    request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a value"));
    request
}

/// A call that its caller never repeats, with one attempt of five seconds.
fn once(request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    with(with(request, RetryLimit::NONE), AttemptTimeout::new(secs(5)))
}

/// That nobody is in flight any more, and how many keys are remembered.
fn remembered(stripe: &StripeTransport<SimClient>) -> usize {
    let shown = format!("{stripe:?}");
    assert!(shown.contains("in_flight: 0"), "{shown}");
    let keys = shown.split("keys: ").nth(1).and_then(|rest| rest.split(',').next()).expect("a count");
    keys.parse().expect("a number")
}

/// S-27: whatever the first call came to, nothing goes out, and nobody is told to take a new key.
#[tokio::test(start_paused = true)]
async fn a_key_with_other_parameters_is_refused_and_never_advised_away() {
    for step in [Step::Pass, Step::Fault(Fault::F3), Step::Fault(Fault::F5 { delay: secs(60) })] {
        let sim = sim();
        sim.script("o", [step.clone()]);
        let stripe = guarded(&sim);
        let first = tokio::spawn(stripe.send(once(keyed(payment("o"), "k"))));
        yield_now().await;
        assert_eq!(first.is_finished(), !matches!(step, Step::Fault(Fault::F5 { .. })));
        for passes in [secs(0), secs(6)] {
            sleep(passes).await;
            // Its caller swears that it is new, and is wrong.
            let fresh = IdempotencyKey::new("k").expect("a key").fresh();
            let more = post("/v1/payment_intents", "p", "amount=1100&currency=eur&confirm=true");
            for request in [keyed(more.clone(), "k"), with(more, fresh)] {
                let error = stripe.send(request).await.expect_err("refused");
                assert_eq!(error.refusal(), Some(&Refusal::KeyReused), "{step:?}");
                assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::Reconcile));
                assert_eq!((error.attempts(), stop_of(&error)), (0, Some(Stop::Refused)));
                let said = format!("{error} {error:?} {:?}", error.report());
                assert!(!said.contains("amount") && !said.contains("\"k\""), "{said}");
            }
        }
        assert_eq!(sim.log().len(), 1, "nothing else was on the wire");
        sim.quiesce().await;
        assert_eq!((sim.ledger().executions("o"), sim.ledger().executions("p")), (1, 0));
        assert_eq!(remembered(&stripe), 1);
    }
}

/// S-28
#[tokio::test(start_paused = true)]
async fn the_same_parameters_in_another_order_are_no_mismatch() {
    let sim = sim();
    let stripe = guarded(&sim);
    let form = |form: &'static str| keyed(post("/v1/customers", "o", form), "k");
    stripe.send(form("name=J%C3%B6rg&metadata[a]=1")).await.expect("made");
    for other in ["metadata[a]=1&name=J%C3%B6rg", "name=J%c3%b6rg&metadata%5Ba%5D=1"] {
        let error = stripe.send(form(other)).await;
        assert!(error.is_ok(), "{other}: {error:?}");
    }
    let error = stripe.send(form("name=J%C3%B6rg&metadata[a]=2")).await.expect_err("refused");
    assert_eq!(error.refusal(), Some(&Refusal::KeyReused));
    assert_eq!(sim.log().len(), 3);
}

/// S-29 and S-103
#[tokio::test(start_paused = true)]
async fn another_path_is_a_mismatch_and_another_account_or_mode_is_another_key() {
    let sim = Sim::builder()
        .account(API_KEY)
        .account("sk_live_other")
        .limits(stripe_sim::Limits::unlimited())
        .build();
    let stripe = guarded(&sim);
    let pay = |order: &str| keyed(payment(order), "k");
    stripe.send(pay("o")).await.expect("paid");

    let mut elsewhere = pay("o");
    *elsewhere.uri_mut() = "https://api.stripe.com/v1/charges".parse().expect("a uri");
    let error = stripe.send(elsewhere).await.expect_err("refused");
    assert_eq!(error.refusal(), Some(&Refusal::KeyReused));

    let live = with_header(pay("live"), "authorization", "Bearer sk_live_other");
    let connected = with_header(pay("connected"), "stripe-account", "acct_1");
    let context = with_header(pay("o"), "stripe-context", "acct_2");
    for request in [live, connected, context] {
        assert_eq!(stripe.send(request).await.expect("another key").status(), 200);
    }
    for order in ["o", "live", "connected"] {
        assert_eq!(sim.ledger().executions(order), 1, "{order}");
    }
    assert_eq!(remembered(&stripe), 4);
}

/// S-30
#[tokio::test(start_paused = true)]
async fn twenty_calls_with_one_key_are_executed_once_and_all_are_answered() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::Slow { delay: secs(2) })]);
    let stripe = guarded(&sim);
    let began = time::now();
    let call = || tokio::spawn(stripe.send(keyed(payment("o"), "k")));
    let results = join_all((0..20).map(|_| call())).await;
    let mut waited = 0;
    for result in results {
        let response = result.expect("no panic").expect("an answer");
        assert_eq!((response.status().as_u16(), response.attempts()), (200, Some(1)));
        assert_eq!(
            (response.certainty(), response.advice()),
            (Some(Certainty::Executed), Some(Advice::Done))
        );
        waited += u32::from(response.report().expect("a report").waited() == secs(2));
    }
    assert_eq!((waited, time::now() - began), (19, secs(2)));
    // One after the other: nobody met a key in use.
    assert_eq!(statuses(&sim, "o"), vec![Some(200); 20]);
    assert_eq!(sim.log().iter().filter(|seen| seen.replayed).count(), 19);
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
    assert_eq!(remembered(&stripe), 1);
}

/// S-30
#[tokio::test(start_paused = true)]
async fn when_the_leader_is_dropped_the_next_one_is_sent() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::Slow { delay: secs(10) })]);
    let stripe = guarded(&sim);
    let call = || tokio::spawn(stripe.send(keyed(payment("o"), "k")));
    let leader = call();
    yield_now().await;
    let (second, third) = (call(), call());
    sleep(secs(1)).await;
    assert_eq!(sim.log().len(), 1, "the others wait");
    leader.abort();
    for follower in [second, third] {
        let response = follower.await.expect("no panic").expect("an answer");
        assert_eq!((response.status().as_u16(), response.certainty()), (200, Some(Certainty::Executed)));
    }
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
    assert_eq!(remembered(&stripe), 1);
}

/// What the call before left open, no refusal of its own closes: neither while that one is under way, nor after it.
#[tokio::test(start_paused = true)]
async fn a_call_inherits_what_the_one_before_it_left_open() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F5 { delay: secs(600) })]);
    let stripe = guarded(&sim);
    let leader = tokio::spawn(stripe.send(once(keyed(payment("o"), "k"))));
    yield_now().await;

    // Vouched for as fresh: a new key after this would charge twice.
    let fresh = || with(payment("o"), IdempotencyKey::new("k").expect("a key").fresh());
    let began = time::now();
    let error = stripe.send(with(fresh(), Deadline::after(secs(3)))).await.expect_err("refused");
    assert_eq!((error.refusal(), time::now() - began), (Some(&Refusal::DeadlineExceeded), secs(3)));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!((error.attempts(), stop_of(&error)), (0, Some(Stop::Deadline)));
    assert_eq!(error.to_string().split("; ").nth(1), Some("stripe may have executed the call"));

    // One that is dropped while it waits.
    let handle = ReportHandle::new();
    timeout(secs(1), stripe.send(with(fresh(), handle.clone()))).await.expect_err("it waits");
    let report = handle.report();
    assert_eq!((report.certainty(), report.advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!((report.stopped(), report.attempts_made()), (Some(Stop::Cancelled), 0));

    // One whose turn comes, and which then meets a limiter, or nobody at all.
    leader.await.expect("no panic").expect_err("it timed out");
    for step in [Step::Answer(Canned::rate_limited(stripe_sim::Reason::GlobalRate)), Step::Fault(Fault::F0)] {
        sim.script("o", [step.clone()]);
        let report = match stripe.send(once(fresh())).await {
            Ok(response) => response.report(),
            Err(error) => error.report(),
        };
        let report = report.expect("a report");
        assert_eq!((report.certainty(), report.advice()), (Certainty::Unknown, Advice::SameKey), "{step:?}");
    }
    let error = stripe.send(with(fresh(), Deadline::after(secs(0)))).await.expect_err("refused");
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));

    let response = stripe.send(fresh()).await.expect("paid");
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Executed), Some(Advice::Done)));
    sim.quiesce().await;
    assert_eq!(sim.ledger().executions("o"), 1);
}

/// The one that waited, and whose turn then comes: nor do a limiter's no and a connection that is not made close anything.
#[tokio::test(start_paused = true)]
async fn a_call_whose_turn_comes_takes_over_what_the_leader_left_open() {
    for own in [Step::Answer(Canned::rate_limited(stripe_sim::Reason::GlobalRate)), Step::Fault(Fault::F0)] {
        let sim = sim();
        sim.script("o", [Step::Fault(Fault::F5 { delay: secs(600) }), own.clone()]);
        let stripe = guarded(&sim);
        let leader = tokio::spawn(stripe.send(once(keyed(payment("o"), "k"))));
        yield_now().await;
        let report = match stripe.send(once(keyed(payment("o"), "k"))).await {
            Ok(response) => response.report(),
            Err(error) => error.report(),
        };
        leader.await.expect("no panic").expect_err("it timed out");
        let report = report.expect("a report");
        assert_eq!((report.waited(), report.attempts_made()), (secs(5), 1), "{own:?}");
        assert_eq!((report.certainty(), report.advice()), (Certainty::Unknown, Advice::SameKey), "{own:?}");
        sim.quiesce().await;
        assert_eq!(sim.ledger().executions("o"), 1);
    }
}

/// Alone on a client, too: what its answer says is known before the key goes to the next call.
#[tokio::test(start_paused = true)]
async fn the_layer_alone_knows_what_became_of_a_key() {
    let client = tower::service_fn(|request: Request<Full<Bytes>>| async move {
        let status = if request.uri().path() == "/v1/refunds" { 400 } else { 200 };
        let response = Response::builder().status(status).header("request-id", "req_1");
        response.body(Full::<Bytes>::default()).map_err(BoxError::from)
    });
    let config = IdempotencyConfig::builder().guard(GuardConfig::new()).build().expect("valid settings");
    let service = IdempotencyLayer::new(config).layer(client);
    for (path, body, expected) in [
        ("/v1/refunds", "amount=x", Some(400)),
        ("/v1/refunds", "amount=y", Some(400)),
        ("/v1/charges", "amount=1", Some(200)),
        ("/v1/charges", "amount=1", Some(200)),
        ("/v1/charges", "amount=2", None),
        ("/v1/refunds", "amount=1", None),
    ] {
        let answer = service.clone().oneshot(keyed(post(path, "o", body), "k")).await;
        assert_eq!(answer.ok().map(|answer| answer.status().as_u16()), expected, "{path} {body}");
    }
}

/// Executed by another call is executed: to be refused then proves nothing.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_after_another_has_paid_is_not_told_that_nothing_happened() {
    let sim = sim();
    let stripe = guarded(&sim);
    stripe.send(keyed(payment("o"), "k")).await.expect("paid");
    let fresh = with(payment("o"), IdempotencyKey::new("k").expect("a key").fresh());
    let error = stripe.send(with(fresh, Deadline::after(secs(0)))).await.expect_err("refused");
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
}

/// A leader that was provably not sent leaves nothing open.
#[tokio::test(start_paused = true)]
async fn a_call_inherits_nothing_of_one_that_came_to_nothing() {
    let sim = sim();
    sim.script("o", vec![Step::Fault(Fault::F0); 9]);
    let stripe = guarded(&sim);
    let calls = join_all((0..3).map(|_| tokio::spawn(stripe.send(once(keyed(payment("o"), "k")))))).await;
    for result in calls {
        let error = result.expect("no panic").expect_err("nobody is there");
        assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::SameKey));
    }
    assert_eq!((sim.ledger().total(), remembered(&stripe)), (0, 0));
}

/// Two clicks on one button: the first one never got through, the second one does. A new key for the first would charge
/// twice, though its caller was the first to use this one.
#[tokio::test(start_paused = true)]
async fn a_call_is_not_advised_to_take_a_new_key_while_another_one_uses_its_own() {
    let sim = sim();
    sim.script("o", vec![Step::Fault(Fault::F0); 3]);
    let stripe = guarded(&sim);
    let fresh = || with(payment("o"), IdempotencyKey::new("k").expect("a key").fresh());
    let first = tokio::spawn(stripe.send(fresh()));
    yield_now().await;
    let second = tokio::spawn(stripe.send(fresh()));
    let error = first.await.expect("no panic").expect_err("nobody is there");
    assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::SameKey));
    let response = second.await.expect("no panic").expect("paid");
    assert_eq!(response.certainty(), Some(Certainty::Executed));
    assert_eq!(sim.ledger().executions("o"), 1);

    // Alone, it may.
    sim.script("p", vec![Step::Fault(Fault::F0); 3]);
    let alone = with(payment("p"), IdempotencyKey::new("l").expect("a key").fresh());
    let error = stripe.send(alone).await.expect_err("nobody is there");
    assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::NewKey));
}

/// Stripe stores nothing of a request that it finds wrong, and the advice was to correct it.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_rejected_may_be_corrected_under_the_same_key() {
    let sim = sim();
    let stripe = guarded(&sim);
    let wrong = keyed(post("/v1/payment_intents", "o", "amount=none&currency=eur"), "k");
    let response = stripe.send(wrong).await.expect("stripe answered");
    assert_eq!((response.status().as_u16(), response.advice()), (400, Some(Advice::SameKey)));
    let response = stripe.send(keyed(payment("o"), "k")).await.expect("stripe answered");
    assert_eq!((response.status().as_u16(), sim.ledger().executions("o")), (200, 1));
}

/// Stripe has bound the key to the decline: another card under it would be answered with an error.
#[tokio::test(start_paused = true)]
async fn a_key_that_was_declined_is_for_that_request_alone() {
    let sim = sim();
    let stripe = guarded(&sim);
    let declined = || keyed(payment_with("o", "pm_card_chargeDeclined"), "k");
    // The first answer is lost, and its replay settles what that left open.
    sim.script("o", [Step::Fault(Fault::F3)]);
    let error = stripe.send(once(declined())).await.expect_err("the answer is lost");
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    for _ in 0..2 {
        let response = stripe.send(declined()).await.expect("stripe answered");
        assert_eq!(
            (response.outcome(), response.certainty()),
            (Some(Outcome::Declined), Some(Certainty::Rejected))
        );
    }
    // Nothing is open, so a refusal is a refusal.
    let error = stripe.send(with(declined(), Deadline::after(secs(0)))).await.expect_err("refused");
    assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::SameKey));
    let error = stripe.send(keyed(payment("o"), "k")).await.expect_err("refused");
    assert_eq!((error.refusal(), error.advice()), (Some(&Refusal::KeyReused), Advice::Reconcile));
    assert_eq!((sim.log().len(), sim.ledger().executions("o")), (3, 0));
}

/// Stripe holds the key for other parameters, of which this process knows nothing: these here are not to be held to it.
#[tokio::test(start_paused = true)]
async fn a_mismatch_that_stripe_finds_binds_the_key_to_nothing() {
    let sim = sim();
    let unguarded = stripe_with(&sim, IdempotencyConfig::builder());
    unguarded.send(keyed(payment("o"), "k")).await.expect("paid, by another process");
    let stripe = guarded(&sim);
    // Not even if an answer was lost before.
    sim.script("o", [Step::Fault(Fault::F2)]);
    let other = keyed(payment_with("o", "pm_card_mastercard"), "k");
    let response = stripe.send(other).await.expect("stripe answered");
    assert_eq!(
        (response.outcome(), response.advice()),
        (Some(Outcome::KeyMismatch), Some(Advice::Reconcile))
    );
    let response = stripe.send(keyed(payment("o"), "k")).await.expect("stripe answered");
    assert_eq!((response.status().as_u16(), response.was_replayed()), (200, Some(true)));
    assert_eq!(sim.ledger().executions("o"), 1);
}

// === its bounds ===

#[tokio::test(start_paused = true)]
async fn a_full_guard_forgets_the_oldest_key_and_lets_pass_what_it_has_no_room_for() {
    let sim = sim();
    let guard = GuardConfig::new().capacity(NonZeroUsize::MIN);
    let stripe = stripe_with(&sim, IdempotencyConfig::builder().guard(guard));
    let other = |key| keyed(post("/v1/customers", "c", "name=x"), key);
    stripe.send(keyed(payment("o"), "a")).await.expect("paid");
    stripe.send(keyed(payment("p"), "b")).await.expect("paid");
    assert_eq!(remembered(&stripe), 1);
    let error = stripe.send(other("b")).await.expect_err("refused");
    assert_eq!(error.refusal(), Some(&Refusal::KeyReused));
    // Forgotten here, and not by Stripe.
    let response = stripe.send(other("a")).await.expect("stripe answered");
    assert_eq!(response.outcome(), Some(Outcome::KeyMismatch));

    sim.script("slow", [Step::Fault(Fault::Slow { delay: secs(9) })]);
    let slow = tokio::spawn(stripe.send(keyed(payment("slow"), "c")));
    yield_now().await;
    stripe.send(keyed(payment("q"), "d")).await.expect("paid");
    assert_eq!(stop(&stripe.send(other("d")).await.expect("stripe answered")), Some(Stop::Final));
    slow.await.expect("no panic").expect("paid");
    assert_eq!((sim.ledger().total(), sim.ledger().charged_twice().len()), (4, 0));
    assert_eq!(remembered(&stripe), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_forgotten_when_it_is_too_old_to_be_sent() {
    let sim = sim();
    let guard = IdempotencyConfig::builder().guard(GuardConfig::new()).max_age_v1(secs(60));
    let stripe = stripe_with(&sim, guard);
    stripe.send(keyed(payment("o"), "k")).await.expect("paid");
    let other = || keyed(post("/v1/customers", "c", "name=x"), "k");
    sleep(secs(59)).await;
    assert!(stripe.send(other()).await.is_err());
    sleep(secs(1)).await;
    let response = stripe.send(other()).await.expect("stripe answered");
    assert_eq!(response.outcome(), Some(Outcome::KeyMismatch));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_looked_at_goes_unguarded_and_as_it_is() {
    let sim = sim();
    let stripe = guarded(&sim);
    for (order, body) in [("o", "name=x"), ("p", "name=y")] {
        let request = keyed(post("/v1/customers", order, body), "k").map(SendOnce);
        stripe.send(request).await.expect("answered");
    }
    assert_eq!(sim.log().iter().map(|seen| seen.body.clone()).collect::<Vec<_>>(), ["name=x", "name=y"]);
    let large = format!("name={}", "x".repeat(1 << 20));
    stripe.send(keyed(post("/v1/customers", "l", large.clone()), "l")).await.expect("answered");
    assert_eq!(sim.log()[2].body, large);
    assert_eq!(remembered(&stripe), 0);
}

#[tokio::test(start_paused = true)]
async fn generated_keys_reads_and_refused_calls_leave_nothing_in_the_guard() {
    let sim = sim();
    let stripe = guarded(&sim);
    stripe.send(payment("o")).await.expect("paid");
    stripe.send(keyed(get("/v1/customers", "g"), "k")).await.expect("answered");
    let ancient = IdempotencyKey::new("k").expect("a key").born_at(std::time::SystemTime::UNIX_EPOCH);
    stripe.send(with(payment("p"), ancient)).await.expect_err("too old");
    assert_eq!((sim.log().len(), remembered(&stripe)), (2, 0));
}

/// The transport's deadline holds for a call that waits, and starts when it does.
#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_the_deadline_of_the_transport() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::Slow { delay: secs(100) })]);
    let guard = IdempotencyConfig::builder().guard(GuardConfig::new());
    let builder = StripeTransport::builder().idempotency(guard).attempt_timeout(secs(10)).deadline(secs(20));
    let stripe = transport_of(&sim, builder);
    let leader = tokio::spawn(stripe.send(with(keyed(payment("o"), "k"), Deadline::after(secs(200)))));
    yield_now().await;
    let began = time::now();
    let error = stripe.send(keyed(payment("o"), "k")).await.expect_err("no time is left");
    assert!(time::now() - began <= secs(20), "{error}");
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    leader.abort();
    let _ = leader.await;
    sim.quiesce().await;
    assert_eq!((sim.ledger().executions("o"), remembered(&stripe)), (1, 1));
}

/// Alone on a client, and over one that takes one request at a time: who waits holds no permit.
#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_turn_holds_nothing_of_the_client() {
    let (client, mut peer) = tower_test::mock::pair::<Request<Full<Bytes>>, Response<Full<Bytes>>>();
    peer.allow(1);
    let config = IdempotencyConfig::builder().guard(GuardConfig::new()).build().expect("valid settings");
    let service = IdempotencyLayer::new(config).layer(client);
    let call = || {
        let service = service.clone();
        tokio::spawn(async move { service.oneshot(keyed(payment("o"), "k")).await })
    };
    let leader = call();
    let (_, answer) = peer.next_request().await.expect("the first");
    peer.allow(1);
    let follower = call();
    sleep(millis(10)).await;
    assert!(peer.next_request().now_or_never().is_none(), "it waits");
    let answered = || Response::builder().header("request-id", "req_1").body(Full::<Bytes>::default());
    answer.send_response(answered().expect("a response"));
    leader.await.expect("no panic").expect("an answer");
    peer.allow(1);
    let (_, answer) = timeout(secs(60), peer.next_request()).await.expect("its turn").expect("the second");
    answer.send_response(answered().expect("a response"));
    let response: Response<_> = follower.await.expect("no panic").expect("an answer");
    assert_eq!(response.certainty(), Some(Certainty::Executed));
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_guarded_call_can_be_printed() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::Slow { delay: secs(2) })]);
    let config = IdempotencyConfig::builder().guard(GuardConfig::new()).build().expect("valid settings");
    let mut service = IdempotencyLayer::new(config).layer(stripe_with(&sim, IdempotencyConfig::builder()));
    let mut said = String::new();
    let mut calls = Vec::new();
    for _ in 0..2 {
        let request = keyed(payment("o"), "my-own-key-8812");
        let ready = ServiceExt::<Request<Full<Bytes>>>::ready(&mut service).await.expect("ready");
        calls.push(Box::pin(ready.call(request)));
    }
    for call in &mut calls {
        assert!(call.as_mut().now_or_never().is_none());
        said += &format!("{call:?}");
    }
    said += &format!("{service:?}");
    assert!(said.contains("waiting") && said.contains("in_flight: 1"), "{said}");
    for secret in [API_KEY, "my-own-key", "amount", "pm_card"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    join_all(calls).await;
    assert_eq!(sim.ledger().executions("o"), 1);
}
