use std::{
    collections::HashSet,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    task::{Wake, Waker},
};

use http::{Response, StatusCode};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::{
    breaker::{BreakerLayer, Control, Scope, Why},
    vocab::{Error, Outcome, Recorder, headers::REQUEST_ID},
};

const READS: Partition = Partition { host: Host::Api, mode: Mode::Live, traffic: Traffic::Read };
const WRITES: Partition = Partition { host: Host::Api, mode: Mode::Live, traffic: Traffic::Write };

fn request(method: &str, uri: &str, key: &str, keyed: bool) -> Request<String> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("https://{uri}"))
        .header("authorization", format!("Bearer {key}"));
    if keyed {
        request = request.header("idempotency-key", "order-1");
    }
    request.body(String::new()).unwrap()
}

fn get() -> Request<String> {
    request("GET", "api.stripe.com/v1/charges/ch_1", "sk_live_1", false)
}

fn post() -> Request<String> {
    request("POST", "api.stripe.com/v1/customers", "sk_live_1", true)
}

fn ask(request: &Request<String>, now: Instant) -> Ask {
    Ask::of(request, &Recorder::default(), now)
}

fn admit(gate: &BreakerGate, request: &Request<String>, now: Instant) -> Option<Permit> {
    match gate.admit(&ask(request, now), request) {
        Admit::Now(permit) => Some(permit),
        Admit::No(Refusal::CircuitOpen { .. }) => None,
        other => panic!("{other:?}"),
    }
}

fn end(mut permit: Permit, outcome: Outcome, now: Instant) {
    BreakerGate::sent(&mut permit, now);
    BreakerGate::settle(permit, &Ended::new(outcome, true, now, now));
}

fn fail(gate: &BreakerGate, request: &Request<String>, now: Instant) {
    for _ in 0..10 {
        end(admit(gate, request, now).expect("closed"), Outcome::ServerError, now);
    }
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn waiters(gate: &BreakerGate) -> usize {
    gate.shared.sites.iter().map(|site| site.with(|site| site.waiters.len())).sum()
}

#[test]
fn who_may_probe_half_open_writes_and_how_soon() {
    for (method, path, keyed, retry_left, expected) in [
        ("POST", "customers", true, true, Tier::Harmless),
        ("POST", "customers", true, false, Tier::Harmless),
        ("DELETE", "customers/cus_1", false, false, Tier::Harmless),
        ("POST", "customers", false, true, Tier::Last),
        ("POST", "charges", true, true, Tier::Money),
        ("POST", "charges", true, false, Tier::Last),
        ("POST", "charges", false, true, Tier::Last),
        ("POST", "unheard_of", true, true, Tier::Money),
    ] {
        let request = request(method, &format!("api.stripe.com/v1/{path}"), "sk_live_1", keyed);
        let mut ask = ask(&request, time::now());
        ask.retry_left = retry_left;
        assert_eq!(tier(&ask), expected, "{method} {path} {keyed} {retry_left}");
    }
}

#[test]
fn hosts_modes_and_traffic_fail_apart() {
    let now = time::now();
    let requests = [
        request("POST", "files.stripe.com/v1/files", "sk_live_1", true),
        request("POST", "api.stripe.com/v1/customers", "sk_test_1", true),
        request("GET", "api.stripe.com/v1/customers", "sk_live_1", false),
        request("POST", "api.stripe.com/v1/customers", "sk_live_1", true),
    ];
    for failing in &requests {
        let gate = BreakerGate::default();
        fail(&gate, failing, now);
        for other in &requests {
            assert_eq!(
                admit(&gate, other, now).is_none(),
                other.uri() == failing.uri()
                    && other.method() == failing.method()
                    && other.headers() == failing.headers()
            );
        }
    }
}

#[test]
fn a_host_that_cannot_be_connected_to_is_another_matter() {
    let (gate, now) = (BreakerGate::default(), time::now());
    let handle = gate.handle();
    let mut transitions = handle.subscribe();
    for _ in 0..10 {
        end(admit(&gate, &post(), now).unwrap(), Outcome::Transport(crate::vocab::FailureKind::Dns), now);
    }
    let transition = transitions.try_recv().unwrap();
    assert_eq!((transition.circuit, transition.to), (Circuit::Local(Host::Api), State::Open));
    assert_eq!(transition.circuit.to_string(), "api/local");
    assert_eq!(handle.state(WRITES), State::Closed);
    assert_eq!(handle.local_states().collect::<Vec<_>>(), [(Host::Api, State::Open)]);
    assert!(admit(&gate, &get(), now).is_none());
    assert!(admit(&gate, &request("POST", "files.stripe.com/v1/files", "sk_live_1", true), now).is_some());
    handle.reset(Scope::All);
    assert_eq!(handle.local_state(Host::Api), State::Closed);
    assert!(admit(&gate, &get(), now).is_some());
}

#[test]
fn a_hundred_callers_at_half_open_are_one_probe_and_its_drop_frees_the_place() {
    let (gate, now) = (BreakerGate::default(), time::now());
    fail(&gate, &get(), now);
    let now = now + Duration::from_secs(1);
    for sent in [false, true] {
        let mut admitted: Vec<_> = (0..100).filter_map(|_| admit(&gate, &get(), now)).collect();
        assert_eq!(admitted.len(), 1);
        assert!(BreakerGate::is_probe(&admitted[0]));
        if sent {
            BreakerGate::sent(&mut admitted[0], now);
        }
    }
    assert!(admit(&gate, &get(), now).is_some());
    assert!(
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _probe = admit(&gate, &get(), now).expect("free");
            panic!("in the middle of a probe");
        }))
        .is_err()
    );
    assert!(admit(&gate, &get(), now).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_after_a_long_time_on_the_wire_counts() {
    for (time_on_wire, expected) in [(9_999, State::Closed), (10_000, State::Open)] {
        let gate = BreakerGate::default();
        let now = time::now();
        let mut permits: Vec<_> = (0..10).map(|_| admit(&gate, &post(), now).unwrap()).collect();
        permits.iter_mut().for_each(|permit| BreakerGate::sent(permit, now));
        // One that has not left is no failure, however long it waited.
        let _unsent: Vec<_> = (0..10).map(|_| admit(&gate, &get(), now).unwrap()).collect();
        tokio::time::advance(Duration::from_millis(time_on_wire)).await;
        drop(permits);
        assert_eq!(gate.handle().state(WRITES), expected);
        drop(_unsent);
        assert_eq!(gate.handle().state(READS), State::Closed);
    }
}

#[test]
fn who_waits_inside_is_woken_and_refused_when_it_opens() {
    let (gate, now) = (BreakerGate::default(), time::now());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&waker);
    let mut waiting: Vec<_> = (0..5).map(|_| admit(&gate, &get(), now).unwrap()).collect();
    let mut write = admit(&gate, &post(), now).unwrap();
    for _ in 0..3 {
        assert!(waiting.iter_mut().all(|permit| BreakerGate::poll_revoked(permit, cx).is_pending()));
        assert!(BreakerGate::poll_revoked(&mut write, cx).is_pending());
    }
    assert_eq!(waiters(&gate), 6, "each once, however often it was polled");
    waiting.pop();
    BreakerGate::sent(&mut waiting[3], now);
    assert_eq!(waiters(&gate), 4, "neither those who went away nor those who have left");

    fail(&gate, &get(), now);
    assert_eq!(woken.0.load(SeqCst), 3);
    for permit in &mut waiting[..3] {
        let Poll::Ready(Refusal::CircuitOpen { retry_in: Some(wait) }) =
            BreakerGate::poll_revoked(permit, cx)
        else {
            panic!("still admitted");
        };
        assert!(wait <= Duration::from_secs(1));
    }
    assert!(BreakerGate::poll_revoked(&mut waiting[3], cx).is_pending(), "it is on the wire");
    assert!(BreakerGate::poll_revoked(&mut write, cx).is_pending(), "not its circuit");

    gate.handle().observe_only(WRITES);
    fail(&gate, &post(), now);
    assert_eq!(gate.handle().state(WRITES), State::Open);
    let seen = woken.0.load(SeqCst);
    assert!(BreakerGate::poll_revoked(&mut write, cx).is_pending());
    gate.handle().force_open(Scope::All);
    assert_eq!(woken.0.load(SeqCst), seen + 1);
    let refusal = BreakerGate::poll_revoked(&mut write, cx);
    assert_eq!(refusal, Poll::Ready(Refusal::CircuitOpen { retry_in: None }));
    drop((waiting, write));
    assert_eq!(waiters(&gate), 0);
}

#[test]
fn places_of_waiters_are_used_again() {
    let (gate, now) = (BreakerGate::default(), time::now());
    let cx = &mut Context::from_waker(Waker::noop());
    for _ in 0..1_000 {
        let mut pair = [(); 2].map(|()| admit(&gate, &get(), now).unwrap());
        assert!(pair.iter_mut().all(|permit| BreakerGate::poll_revoked(permit, cx).is_pending()));
    }
    let places = gate.shared.sites[0].with(|site| format!("{:?}", site.waiters).matches("Place").count());
    assert_eq!(places, 2);
}

#[test]
fn a_probe_is_not_revoked() {
    let (gate, now) = (BreakerGate::default(), time::now());
    fail(&gate, &get(), now);
    let mut probe = admit(&gate, &get(), now + Duration::from_secs(1)).unwrap();
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(BreakerGate::poll_revoked(&mut probe, cx).is_pending());
    assert_eq!(waiters(&gate), 0);
}

/// A waker that holds a permit, as a task does: whoever drops it under the lock never gets out.
struct Holding(#[expect(dead_code, reason = "to be dropped")] Lock<Option<Permit>>);

impl Wake for Holding {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_that_drops_a_permit_does_not_stop_the_world() {
    let (gate, now) = (BreakerGate::default(), time::now());
    let mut permit = admit(&gate, &get(), now).unwrap();
    for _ in 0..3 {
        let held = admit(&gate, &get(), now);
        let waker = Waker::from(Arc::new(Holding(Lock::new(held))));
        assert!(BreakerGate::poll_revoked(&mut permit, &mut Context::from_waker(&waker)).is_pending());
    }
    fail(&gate, &get(), now);
    assert!(gate.handle().states().eq([(READS, State::Open)]));
}

#[test]
fn transitions_come_in_order_with_their_reasons() {
    let (gate, now) = (BreakerGate::default(), time::now());
    let mut transitions = gate.handle().subscribe();
    fail(&gate, &get(), now);
    let later = now + Duration::from_secs(1);
    for _ in 0..3 {
        end(admit(&gate, &get(), later).unwrap(), Outcome::Success, later);
    }
    let seen: Vec<_> = std::iter::from_fn(|| transitions.try_recv().ok()).collect();
    let expected = [
        (State::Closed, State::Open, Why::Consecutive { failures: 10 }, now),
        (State::Open, State::HalfOpen, Why::IntervalOver, later),
        (State::HalfOpen, State::Closed, Why::ProbesSucceeded, later),
    ];
    let got: Vec<_> = seen.iter().map(|seen| (seen.from, seen.to, seen.why, seen.at)).collect();
    assert_eq!(got, expected);
    assert!(seen.iter().all(|seen| seen.circuit == Circuit::Partition(READS)));
    assert!(seen.is_sorted_by_key(|seen| seen.generation));
    assert_eq!(seen[0].why.to_string(), "10 failures in a row");
    assert_eq!(seen[0].circuit.to_string(), "api/live/read");
    assert_eq!(transitions.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test]
async fn a_subscriber_that_lags_is_told_and_blocks_nobody() {
    let gate = BreakerGate::default();
    let handle = gate.handle();
    let mut transitions = handle.subscribe();
    for _ in 0..200 {
        handle.force_open(READS);
        handle.automatic(READS);
    }
    assert_eq!(transitions.recv().await, Err(RecvError::Lagged(144)));
    assert_eq!(transitions.recv().await.unwrap().why, Why::Operator);
}

/// A subscriber to events that asks the breaker about itself, and one who is woken by them and does the same.
struct Curious {
    handle: BreakerHandle,
    events: AtomicU32,
}

impl Curious {
    fn look(&self) {
        self.events.fetch_add(1, SeqCst);
        assert!(self.handle.states().count() <= 16);
        self.handle.disable(Partition { host: Host::Connect, ..READS });
    }
}

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

struct Logging(Arc<Curious>);

impl tracing::Subscriber for Logging {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let fields: Vec<_> = event.fields().map(|field| field.name()).collect();
        assert_eq!(fields, ["message", "partition", "from", "to", "why"]);
        self.0.look();
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn who_listens_may_call_back() {
    let (gate, now) = (BreakerGate::default(), time::now());
    let curious = Arc::new(Curious { handle: gate.handle(), events: AtomicU32::new(0) });
    let mut transitions = gate.handle().subscribe();
    let waker = Waker::from(Arc::clone(&curious));
    let mut next = std::pin::pin!(transitions.recv());
    assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let mut permit = admit(&gate, &get(), now).unwrap();
    assert!(BreakerGate::poll_revoked(&mut permit, &mut Context::from_waker(&waker)).is_pending());
    tracing::subscriber::with_default(Logging(Arc::clone(&curious)), || fail(&gate, &get(), now));
    assert_eq!(curious.events.load(SeqCst), 3, "the subscriber, the waiter and the log");
}

#[test]
fn the_handle_shows_what_has_been_used_and_commands_reach_what_they_name() {
    let (gate, now) = (BreakerGate::default(), time::now());
    let handle = gate.handle();
    assert_eq!(handle.states().count(), 0);
    end(admit(&gate, &get(), now).unwrap(), Outcome::Success, now);
    assert!(handle.states().eq([(READS, State::Closed)]));
    assert_eq!(format!("{handle:?}"), r#"{"api/live/read": Closed}"#);

    handle.force_open(READS);
    assert_eq!((handle.state(READS), handle.state(WRITES)), (State::Open, State::Closed));
    assert_eq!(handle.control(READS), Control::ForcedOpen);
    assert!(admit(&gate, &get(), now).is_none() && admit(&gate, &post(), now).is_some());
    type Command = fn(&BreakerHandle, Scope);
    let commands: [(Command, Control); 5] = [
        (BreakerHandle::force_closed, Control::ForcedClosed),
        (BreakerHandle::disable, Control::Disabled),
        (BreakerHandle::observe_only, Control::ObserveOnly),
        (BreakerHandle::force_open, Control::ForcedOpen),
        (BreakerHandle::automatic, Control::Automatic),
    ];
    for (command, control) in commands {
        command(&handle, Scope::All);
        for host in Host::ALL {
            assert_eq!(handle.control(Partition { host, ..WRITES }), control);
            assert_eq!(handle.control(Partition { host, mode: Mode::Sandbox, ..READS }), control);
        }
    }
    fail(&gate, &get(), now);
    fail(&gate, &post(), now);
    handle.reset(READS);
    assert_eq!((handle.state(READS), handle.state(WRITES)), (State::Closed, State::Open));
    handle.force_open(WRITES);
    handle.reset(Scope::All);
    assert_eq!(handle.state(WRITES), State::Open, "what is forced stays so");
}

#[test]
fn it_begins_under_the_control_that_the_settings_name() {
    let config = BreakerConfig::builder().control(Control::Disabled).build().unwrap();
    let (gate, now) = (BreakerGate::new(config), time::now());
    for _ in 0..10 {
        fail(&gate, &get(), now);
    }
    assert_eq!(
        (gate.handle().control(READS), gate.handle().state(READS)),
        (Control::Disabled, State::Closed)
    );
    gate.handle().automatic(Scope::All);
    fail(&gate, &get(), now);
    assert!(admit(&gate, &get(), now).is_none());
}

#[test]
fn only_hosts_that_know_the_path_are_asked_by_a_get_of_our_own() {
    for (uri, expected) in [
        ("api.stripe.com/v1/customers", true),
        ("files.stripe.com/v1/files", true),
        ("connect.stripe.com/oauth/token", false),
        ("meter-events.stripe.com/v2/billing/meter_event_stream", false),
    ] {
        let (gate, now) = (BreakerGate::default(), time::now());
        let request = request("POST", uri, "sk_live_1", true);
        fail(&gate, &request, now);
        let later = now + Duration::from_secs(1);
        let answer = gate.admit(&ask(&request, later), &request);
        assert_eq!(matches!(answer, Admit::Probe(_)), expected, "{uri}: {answer:?}");
    }
}

#[test]
fn seeds_make_the_intervals_repeatable_and_no_seed_makes_them_differ() {
    let interval = |config: BreakerConfig| {
        let (gate, now) = (BreakerGate::new(config), time::now());
        fail(&gate, &get(), now);
        match gate.admit(&ask(&get(), now), &get()) {
            Admit::No(refusal) => refusal.retry_in().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let seeded = |seed| BreakerConfig::builder().jitter_seed(seed).build().unwrap();
    assert_eq!(interval(seeded(7)), interval(seeded(7)));
    let fleet: HashSet<_> = (0..20).map(|_| interval(BreakerConfig::default())).collect();
    assert!(fleet.len() > 15, "{fleet:?}");
}

#[tokio::test(start_paused = true)]
async fn payments_alone_come_back_after_an_outage_and_the_first_to_ask_is_a_get() {
    let log = Arc::new(Lock::new(Vec::new()));
    let up = Arc::new(AtomicU32::new(0));
    let client = {
        let (log, up) = (Arc::clone(&log), Arc::clone(&up));
        service_fn(move |request: Request<String>| {
            log.with(|log| log.push(format!("{} {}", request.method(), request.uri().path())));
            let status = if up.load(SeqCst) == 1 { StatusCode::NOT_FOUND } else { StatusCode::BAD_GATEWAY };
            let response = Response::builder()
                .status(status)
                .header(REQUEST_ID, "req_1")
                .header("content-type", "application/json");
            std::future::ready(Ok::<_, Error>(response.body(String::new()).unwrap()))
        })
    };
    let layer = BreakerLayer::new(BreakerConfig::builder().jitter_seed(1).build().unwrap());
    let handle = layer.handle();
    let service = layer.layer(client);
    let pay = || service.clone().oneshot(request("POST", "api.stripe.com/v1/charges", "sk_live_1", true));
    for _ in 0..10 {
        assert_eq!(pay().await.unwrap().status(), StatusCode::BAD_GATEWAY);
    }
    let refusal = pay().await.unwrap_err();
    assert!(matches!(refusal.refusal(), Some(Refusal::CircuitOpen { retry_in: Some(_) })));
    assert_eq!(log.with(|log| log.len()), 10);

    up.store(1, SeqCst);
    tokio::time::advance(Duration::from_secs(1)).await;
    let mut refusals = 0;
    while handle.state(WRITES) != State::Closed {
        if let Err(error) = pay().await {
            tokio::time::advance(error.retry_in().expect("when to come back")).await;
            refusals += 1;
        }
    }
    let seen = log.with(|log| log.split_off(10));
    assert_eq!(seen, ["GET /v1/", "POST /v1/charges", "POST /v1/charges", "POST /v1/charges"]);
    assert_eq!(refusals, 1, "the grace for writes that move no money");
}
