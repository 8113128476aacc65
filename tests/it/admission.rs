//! What stands between a call and the wire never makes the account of it lie, never sticks, and keeps its limits, also where a
//! stack of the user's own is put together in another way than ours.

#![expect(clippy::disallowed_types, reason = "a script that is read between two polls")]

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{Request, Response};
use tokio::sync::Notify;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_stripe::{
    Advice, BoxError, Certainty, Refusal, ReportHandle, StripeTransport,
    auth_gate::{AuthGate, AuthGateConfig},
    breaker::{BreakerConfig, BreakerGate, Control, Partition, State, Traffic},
    detach::DetachLayer,
    governor::{GovernorConfig, GovernorGate},
    idempotency::IdempotencyLayer,
    retry::{BudgetConfig, RetryConfig, RetryLayer},
    timeout::{TimeoutConfig, TimeoutLayer},
    transport::Profile,
    vocab::{Admit, Ask, Ended, Gate, Gated, Host, Mode, Replay, time},
};

mod api_keys;

type Body = http_body_util::Full<bytes::Bytes>;
type Answer = Result<Response<Body>, BoxError>;

fn payment() -> Request<Body> {
    Request::post("https://api.stripe.com/v1/payment_intents")
        .header("authorization", "Bearer sk_live_1")
        .body(Body::from("amount=1099"))
        .expect("a request")
}

fn read() -> Request<Body> {
    Request::get("https://api.stripe.com/v1/charges/ch_1")
        .header("authorization", "Bearer sk_live_1")
        .body(Body::default())
        .expect("a request")
}

fn answer(status: u16) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("request-id", "req_1")
        .header("content-type", "application/json")
        .body(Body::from("{}"))
        .expect("a response")
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Holds calls until it is told, or refuses them.
#[derive(Clone, Default)]
struct Turnstile(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// What it answers, in order; then it admits.
    script: Mutex<std::collections::VecDeque<Says>>,
    go: Notify,
}

#[derive(Clone, Copy)]
enum Says {
    Now,
    Hold,
    No(u64),
}

impl Turnstile {
    fn saying(script: impl IntoIterator<Item = Says>) -> Self {
        let gate = Self::default();
        gate.0.script.lock().expect("nobody panics").extend(script);
        gate
    }
}

impl Gate for Turnstile {
    type Permit = ();
    type Wait = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

    fn admit<B: Replay>(&self, _: &Ask, _: &Request<B>) -> Admit<(), Self::Wait> {
        match self.0.script.lock().expect("nobody panics").pop_front().unwrap_or(Says::Now) {
            Says::Now => Admit::Now(()),
            Says::No(ms) => Admit::No(Refusal::CircuitOpen { retry_in: Some(millis(ms)) }),
            Says::Hold => {
                let gate = self.clone();
                Admit::Wait(Box::pin(async move {
                    gate.0.go.notified().await;
                    Ok(())
                }))
            }
        }
    }

    fn settle((): (), _: &Ended) {}
}

fn retry() -> RetryLayer {
    RetryLayer::new(RetryConfig::builder().build().expect("valid"))
}

/// A retry of the user's between our retry and a gate. The first request is answered 500; the second one the gate refuses.
#[tokio::test(start_paused = true)]
async fn a_refusal_within_an_attempt_that_was_sent_does_not_unsay_it() {
    let sent = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&sent);
    let client = service_fn(move |_: Request<Body>| {
        count.fetch_add(1, SeqCst);
        async { Err::<Response<Body>, BoxError>("connection reset".into()) }
    });
    let gated = Gated::new(client, Turnstile::saying([Says::Now, Says::No(600_000)]));
    let users = service_fn(move |request: Request<Body>| {
        let gated = gated.clone();
        async move {
            match gated.clone().oneshot(request.clone()).await {
                Ok(response) => Ok(response),
                Err(_) => gated.oneshot(request).await,
            }
        }
    });
    let stack = ServiceBuilder::new().layer(IdempotencyLayer::default()).layer(retry()).service(users);
    let handle = ReportHandle::new();
    let mut request = payment();
    request.extensions_mut().insert(handle.clone());
    let _ = stack.oneshot(request).await;
    assert!(sent.load(SeqCst) >= 1);
    let report = handle.report();
    assert_eq!((report.certainty(), report.advice()), (Certainty::Unknown, Advice::SameKey), "{report:?}");
}

/// A hedge of the user's there: the first request is under way when the second one is refused.
#[tokio::test(start_paused = true)]
async fn a_hedge_that_is_refused_does_not_unsay_what_is_under_way() {
    for script in [vec![Says::Now, Says::No(600_000)], vec![Says::Hold, Says::No(600_000)]] {
        let sent = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&sent);
        let client = service_fn(move |_: Request<Body>| {
            count.fetch_add(1, SeqCst);
            std::future::pending::<Answer>()
        });
        let gate = Turnstile::saying(script);
        let gated = Gated::new(client, gate.clone());
        let users = service_fn(move |request: Request<Body>| {
            let gated = gated.clone();
            async move {
                let first = gated.clone().oneshot(request.clone());
                let second = async {
                    let _refused = gated.oneshot(request).await;
                    std::future::pending::<Answer>().await
                };
                tokio::select! { biased; a = first => a, b = second => b }
            }
        });
        let stack = ServiceBuilder::new().layer(IdempotencyLayer::default()).layer(retry()).service(users);
        let handle = ReportHandle::new();
        let mut request = payment();
        request.extensions_mut().insert(handle.clone());
        let call = tokio::spawn(stack.oneshot(request));
        tokio::time::sleep(millis(10)).await;
        gate.0.go.notify_waiters();
        tokio::time::sleep(millis(10)).await;
        call.abort();
        let _ = call.await;
        assert_eq!(sent.load(SeqCst), 1);
        let report = handle.report();
        assert_eq!(
            (report.certainty(), report.advice()),
            (Certainty::Unknown, Advice::SameKey),
            "{report:?}"
        );
    }
}

/// A task of the user's between our retry and a gate. Its caller goes, is told `NotSent` and `NewKey`; then it is sent.
#[tokio::test(start_paused = true)]
async fn what_was_said_not_to_be_sent_is_not_sent_afterwards() {
    let sent = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&sent);
    let client = service_fn(move |_: Request<Body>| {
        count.fetch_add(1, SeqCst);
        async { Ok::<_, BoxError>(answer(200)) }
    });
    let gate = Turnstile::saying([Says::Hold]);
    let gated = Gated::new(client, gate.clone());
    let users = service_fn(move |request: Request<Body>| {
        let gated = gated.clone();
        async move { tokio::spawn(gated.oneshot(request)).await.expect("no panic") }
    });
    let stack = ServiceBuilder::new().layer(IdempotencyLayer::default()).layer(retry()).service(users);
    let handle = ReportHandle::new();
    let mut request = payment();
    request.extensions_mut().insert(handle.clone());
    let gone = tokio::time::timeout(secs(1), stack.oneshot(request)).await;
    assert!(gone.is_err());
    let told = (handle.report().certainty(), handle.report().advice());
    gate.0.go.notify_waiters();
    tokio::time::sleep(secs(1)).await;
    let sent = sent.load(SeqCst);
    assert!(sent == 0 || told.0 == Certainty::Unknown, "told {told:?}, and then sent {sent}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_certain_of_a_call_that_a_gate_holds_and_that_goes_on() {
    let client = service_fn(|_: Request<Body>| async { Ok::<_, BoxError>(answer(200)) });
    let gate = Turnstile::saying([Says::Hold]);
    let stack =
        ServiceBuilder::new().layer(IdempotencyLayer::default()).service(Gated::new(client, gate.clone()));
    let handle = ReportHandle::new();
    let mut request = payment();
    request.extensions_mut().insert(handle.clone());
    let call = tokio::spawn(stack.oneshot(request));
    tokio::time::sleep(millis(10)).await;
    let told = (handle.report().certainty(), handle.report().advice());
    gate.0.go.notify_waiters();
    call.await.expect("no panic").expect("an answer");
    assert_eq!(handle.report().certainty(), Certainty::Executed);
    assert_eq!(told, (Certainty::Unknown, Advice::SameKey));
}

/// A 429 leaves the key unused and to be used again (`SameKey` "whatever the key's past"); a retry that was dropped in the
/// queue did not get as far as the wire, and is not "the last attempt that did".
#[tokio::test(start_paused = true)]
async fn a_retry_dropped_in_the_queue_does_not_change_the_advice_of_a_429() {
    let client = service_fn(|_: Request<Body>| async { Ok::<_, BoxError>(answer(429)) });
    let gated = Gated::new(client, Turnstile::saying([Says::Now, Says::Hold]));
    let stack = ServiceBuilder::new().layer(IdempotencyLayer::default()).layer(retry()).service(gated);
    let handle = ReportHandle::new();
    let mut request = payment();
    request.extensions_mut().insert(handle.clone());
    let gone = tokio::time::timeout(secs(10), stack.oneshot(request)).await;
    assert!(gone.is_err());
    let report = handle.report();
    assert_eq!((report.certainty(), report.advice()), (Certainty::Rejected, Advice::SameKey), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_around_retry_does_not_forget_what_is_under_way() {
    let sent = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&sent);
    let client = service_fn(move |_: Request<Body>| {
        count.fetch_add(1, SeqCst);
        std::future::pending::<Answer>()
    });
    let gated = Gated::new(client, Turnstile::saying([Says::Now, Says::Hold]));
    let inner = retry().layer(gated);
    let users = service_fn(move |request: Request<Body>| {
        let inner = inner.clone();
        async move {
            let first = inner.clone().oneshot(request.clone());
            let second = async {
                tokio::time::sleep(millis(100)).await;
                inner.oneshot(request).await
            };
            tokio::select! { biased; a = first => a, b = second => b }
        }
    });
    let stack = ServiceBuilder::new().layer(IdempotencyLayer::default()).service(users);
    let handle = ReportHandle::new();
    let mut request = payment();
    request.extensions_mut().insert(handle.clone());
    let gone = tokio::time::timeout(secs(1), stack.oneshot(request)).await;
    assert!(gone.is_err());
    assert_eq!(sent.load(SeqCst), 1);
    let report = handle.report();
    assert_eq!((report.certainty(), report.advice()), (Certainty::Unknown, Advice::SameKey), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_was_refused_first_costs_the_budget_when_it_is_made() {
    let sent = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&sent);
    let client = service_fn(move |_: Request<Body>| {
        count.fetch_add(1, SeqCst);
        async { Err::<Response<Body>, BoxError>("connection reset".into()) }
    });
    // Each call: sent, refused once, sent.
    let script = (0..20).flat_map(|_| [Says::Now, Says::No(10), Says::Now]);
    let budget =
        BudgetConfig::default().max_balance(1).per_second(0).ratio(tower_stripe::vocab::Ratio::percent(0));
    let settings = RetryConfig::builder()
        .max_attempts(std::num::NonZeroU32::new(2).expect("not zero"))
        .budget(budget)
        .build()
        .expect("valid");
    let stack = ServiceBuilder::new()
        .layer(IdempotencyLayer::default())
        .layer(RetryLayer::new(settings))
        .service(Gated::new(client, Turnstile::saying(script)));
    for _ in 0..10 {
        let _ = stack.clone().oneshot(payment()).await;
    }
    // The budget holds one retry, and is never filled again. (Calls that find it empty leave the script out of step; they
    // send once at most.)
    let retries = sent.load(SeqCst).saturating_sub(10);
    assert!(retries <= 1, "{retries} retries on the wire out of a budget of 1");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_timeout_within_a_gate_is_in_force() {
    let client = service_fn(|_: Request<Body>| std::future::pending::<Answer>());
    let timeout = TimeoutConfig::builder().attempt(secs(5)).deadline(secs(5)).build().expect("valid");
    let timeout = TimeoutLayer::new(TimeoutConfig::builder().deadline(secs(5)).build().unwrap_or(timeout));
    let stack = ServiceBuilder::new()
        .layer_fn(|inner| Gated::new(inner, Turnstile::default()))
        .layer(timeout)
        .layer(tower_stripe::edge::EdgeLayer::new())
        .service(client);
    let began = time::now();
    let _ = stack.oneshot(payment()).await;
    assert_eq!((time::now() - began), secs(5));
}

const fn partition(traffic: Traffic) -> Partition {
    Partition { host: Host::Api, mode: Mode::Live, traffic }
}

#[tokio::test(start_paused = true)]
async fn probes_answered_429_do_not_bypass_the_governor_nor_leave_it_in_debt() {
    let status = Arc::new(AtomicU32::new(500));
    let sent = Arc::new(AtomicU32::new(0));
    let (now, count) = (Arc::clone(&status), Arc::clone(&sent));
    let client = service_fn(move |_: Request<Body>| {
        count.fetch_add(1, SeqCst);
        let status = now.load(SeqCst) as u16;
        async move {
            tokio::time::sleep(millis(20)).await;
            let mut response = answer(status);
            if status == 429 {
                response.headers_mut().insert("stripe-rate-limited-reason", "global-rate".parse().unwrap());
            }
            Ok::<_, BoxError>(response)
        }
    });
    let (breaker, governor) = (
        BreakerGate::new(BreakerConfig::builder().jitter_seed(1).build().expect("valid")),
        GovernorGate::new(GovernorConfig::default()),
    );
    let stack = Gated::new(client, (breaker.clone(), governor.clone()));
    for _ in 0..10 {
        let _ = stack.clone().oneshot(read()).await;
    }
    assert_eq!(breaker.handle().state(partition(Traffic::Read)), State::Open);
    // Stripe is back, and its limiter says no to everything for ten seconds.
    status.store(429, SeqCst);
    tokio::time::sleep(secs(2)).await;
    sent.store(0, SeqCst);
    for _ in 0..1_000 {
        tokio::spawn(stack.clone().oneshot(read()));
        tokio::time::sleep(millis(10)).await;
    }
    let probes = sent.load(SeqCst);
    let rate = governor.handle().snapshot()[0].global_rate();
    // All is well again. How long until a call goes?
    status.store(200, SeqCst);
    let began = time::now();
    let mut served = 0;
    while served < 20 && (time::now() - began) < secs(120) {
        if matches!(stack.clone().oneshot(read()).await, Ok(r) if r.status() == 200) {
            served += 1;
        } else {
            tokio::time::sleep(millis(100)).await;
        }
    }
    println!(
        "{probes} probes in 10 s at a rate of {rate:?}; 20 calls served after {:?}",
        (time::now() - began)
    );
    assert!(probes <= 40, "{probes} in 10 s while the governor allows {rate:?} a second");
    assert!((time::now() - began) <= secs(20), "{:?}", (time::now() - began));
}

#[tokio::test(start_paused = true)]
async fn a_circuit_of_slow_calls_that_succeed_closes_some_time() {
    let status = Arc::new(AtomicU32::new(500));
    let now = Arc::clone(&status);
    // Searches, uploads, reports: six seconds each.
    let client = service_fn(move |_: Request<Body>| {
        let status = now.load(SeqCst) as u16;
        async move {
            tokio::time::sleep(if status == 200 { secs(6) } else { millis(20) }).await;
            Ok::<_, BoxError>(answer(status))
        }
    });
    let breaker = BreakerGate::new(BreakerConfig::builder().jitter_seed(1).build().expect("valid"));
    let stack = Gated::new(client, breaker.clone());
    for _ in 0..10 {
        let _ = stack.clone().oneshot(read()).await;
    }
    status.store(200, SeqCst);
    let (ok, all) = (Arc::new(AtomicU32::new(0)), 1_200);
    for _ in 0..all {
        let (ok, stack) = (Arc::clone(&ok), stack.clone());
        tokio::spawn(async move {
            if stack.oneshot(read()).await.is_ok() {
                ok.fetch_add(1, SeqCst);
            }
        });
        tokio::time::sleep(millis(500)).await;
    }
    let state = breaker.handle().state(partition(Traffic::Read));
    let ok = ok.load(SeqCst);
    assert_eq!(state, State::Closed, "ten minutes after Stripe is well; {ok} of {all} calls got through");
}

/// The defaults of `Interactive` cut an attempt at 8 s; only what was abandoned after 10 s counts. So no caller that goes away
/// ever counts, and an outage that hangs does not show.
#[tokio::test(start_paused = true)]
async fn a_hang_behind_callers_that_wait_seven_seconds_opens_the_circuit_of_interactive() {
    let sent = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&sent);
    let client = service_fn(move |_: Request<Body>| {
        count.fetch_add(1, SeqCst);
        std::future::pending::<Answer>()
    });
    let stack = StripeTransport::profile(Profile::Interactive).build().expect("valid").layer(client);
    for _ in 0..300 {
        let stack = stack.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(millis(7_500), stack.send(read())).await;
        });
        tokio::time::sleep(millis(100)).await;
    }
    let sent = sent.load(SeqCst);
    assert!(sent <= 150, "{sent} of 300 reads were sent into a server that answers nothing");
}

#[derive(Debug)]
struct Failed(tower_stripe::Failure);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failed {}

impl tower_stripe::TransportError for Failed {
    fn failure(&self) -> tower_stripe::Failure {
        self.0
    }
    fn as_source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self)
    }
}

/// The recommended client gives up connecting after 10 s. What overlaps counts once: six failures a minute, and ten are needed.
#[tokio::test(start_paused = true)]
async fn connections_that_time_out_open_the_local_circuit() {
    let sent = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&sent);
    let client = service_fn(move |_: Request<Body>| {
        count.fetch_add(1, SeqCst);
        async {
            tokio::time::sleep(secs(10)).await;
            Err::<Response<Body>, _>(Failed(tower_stripe::Failure::not_sent(
                tower_stripe::FailureKind::ConnectTimeout,
            )))
        }
    });
    let stack = StripeTransport::new(client);
    for _ in 0..3_000 {
        let stack = stack.clone();
        tokio::spawn(async move {
            let _ = stack.send(read()).await;
        });
        tokio::time::sleep(millis(100)).await;
    }
    let opened = stack.breaker().local_state(Host::Api);
    let last = sent.load(SeqCst);
    // Open, or being tried out: about one call in ten was spent on it.
    assert_ne!(opened, State::Closed, "after five minutes of it, and {last} attempts to connect");
    assert!(last <= 400, "{last} attempts to connect");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_proves_that_it_sent_nothing_does_not_open_the_circuit_of_a_partition() {
    let client = service_fn(|_: Request<Body>| async {
        // As of a pool that is exhausted.
        Err::<Response<Body>, _>(Failed(tower_stripe::Failure::not_sent(tower_stripe::FailureKind::Other)))
    });
    let stack = StripeTransport::new(client);
    for _ in 0..20 {
        let _ = stack.send(read()).await;
    }
    assert_eq!(stack.breaker().state(partition(Traffic::Read)), State::Closed);
}

/// A hundred calls a second: 92 % succeed, after three seconds each; 8 % fail at once. No rule is broken: not half of them
/// fail, nor ten in a row.
#[tokio::test(start_paused = true)]
async fn a_few_fast_failures_among_slow_successes_are_no_run() {
    let client = service_fn(|request: Request<Body>| async move {
        let fails = request.headers().contains_key("x-fails");
        tokio::time::sleep(if fails { millis(20) } else { secs(3) }).await;
        Ok::<_, BoxError>(answer(if fails { 500 } else { 200 }))
    });
    let breaker = BreakerGate::new(BreakerConfig::builder().jitter_seed(1).build().expect("valid"));
    let stack = Gated::new(client, breaker.clone());
    for i in 0..3_000_u32 {
        let mut request = read();
        // Only once successes come back.
        if i > 500 && i % 12 == 0 {
            request.headers_mut().insert("x-fails", "1".parse().unwrap());
        }
        tokio::spawn(stack.clone().oneshot(request));
        tokio::time::sleep(millis(10)).await;
        assert_eq!(breaker.handle().state(partition(Traffic::Read)), State::Closed, "after {i} calls");
    }
}

/// "Nothing yet: … The call ends with its caller." The first attempt provably was not sent.
#[tokio::test(start_paused = true)]
async fn a_payment_of_which_nothing_was_sent_ends_with_its_caller() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let client = service_fn(move |_: Request<Body>| {
        let first = count.fetch_add(1, SeqCst) == 0;
        let no_route = || Failed(tower_stripe::Failure::not_sent(tower_stripe::FailureKind::Connect));
        async move { if first { Err(no_route()) } else { Ok(answer(200)) } }
    });
    let stack = DetachLayer::default().layer(StripeTransport::new(client));
    let handle = ReportHandle::new();
    let mut request = payment();
    request.extensions_mut().insert(handle.clone());
    let gone = tokio::time::timeout(millis(50), stack.send(request)).await;
    assert!(gone.is_err());
    tokio::time::sleep(secs(60)).await;
    assert_eq!(calls.load(SeqCst), 1, "{:?}", handle.report());
}

#[test]
fn the_profiles_are_valid() {
    for profile in [Profile::Interactive, Profile::Background, Profile::SdkCompatible] {
        let built = profile.builder().build();
        assert!(built.is_ok(), "{profile:?}: {}", built.err().map(|e| e.to_string()).unwrap_or_default());
    }
}

#[test]
fn a_breaker_that_is_off_does_not_forbid_a_long_attempt() {
    let built = StripeTransport::builder()
        .attempt_timeout(secs(60))
        .breaker(BreakerConfig::builder().control(Control::Disabled))
        .build();
    assert!(built.is_ok(), "{}", built.err().map(|e| e.to_string()).unwrap_or_default());
}

#[test]
fn a_grace_that_never_ends_is_refused() {
    assert!(BreakerConfig::builder().money_grace(Duration::MAX).build().is_err());
    assert!(BreakerConfig::builder().probe_grace(Duration::MAX).build().is_err());
}

/// What may be in flight was set at build; nothing changes it any more.
#[test]
fn the_limit_in_flight_can_be_changed_at_run_time() {
    use tower_stripe::governor::{Bucket, Limit};
    let n = |n| std::num::NonZeroU32::new(n).expect("not zero");
    let gate = GovernorGate::new(GovernorConfig::builder().max_in_flight(100).build().expect("valid"));
    let half = Limit::per_second(n(90)).in_flight(50);
    let set = gate.handle().set_limit(Mode::Live, Bucket::Global, half);
    assert!(set.is_ok(), "{}", set.err().map(|e| e.to_string()).unwrap_or_default());
}
