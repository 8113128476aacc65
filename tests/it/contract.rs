//! The contract of tower, kept by every layer: nothing is called that was not ready, and nothing is left behind,
//! wherever a call is dropped.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::sync::Semaphore;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};
use tower_stripe::vocab::Refused;
use tower_stripe::{
    Advice, BoxError, Certainty, Deadline, IdempotencyKey, Refusal, ReportHandle, ResponseExt,
    StripeTransport,
    classify::ClassifyLayer,
    edge::Edge,
    idempotency::{GuardConfig, IdempotencyBuilder, IdempotencyConfig, IdempotencyLayer},
    request_id::RequestIdLayer,
    retry::{BudgetConfig, RetryConfig, RetryLayer},
    timeout::TimeoutLayer,
    transport::TransportLayer,
    vocab::{Ratio, Stop, time, tracked::Tracked},
};

use crate::support::{millis, payment, secs};

type RequestBody = Full<Bytes>;

// === a client that takes its time ===

/// How often each step is pending before it goes on.
const PENDS: usize = 2;

/// What becomes of one attempt.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer(u16),
    /// Fails after the body of the request was taken.
    Fail,
    /// Fails before that.
    FailUntouched,
    PanicInReady,
    PanicInCall,
    PanicInPoll,
}

use Act::{Answer, Fail, FailUntouched};

const UNTOUCHED: u16 = 0;
const PULLED: u16 = 1;

/// What the other side knows.
#[derive(Debug)]
struct World {
    script: Vec<Act>,
    calls: AtomicUsize,
    /// Of each attempt: whether its body was taken, then the status of its answer.
    seen: [AtomicU16; 12],
    /// Futures and bodies that exist.
    alive: AtomicUsize,
}

impl World {
    fn new(script: &[Act]) -> Arc<Self> {
        let (calls, seen, alive) = Default::default();
        Arc::new(Self { script: script.to_vec(), calls, seen, alive })
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    fn act(&self) -> Act {
        self.script.get(self.calls()).copied().unwrap_or(Answer(200))
    }

    /// What an omniscient observer would say. Only who accounts for an attempt can use the proof of its body.
    fn certainty(&self, proves: bool) -> Certainty {
        let each: Vec<_> = (self.seen.iter().take(self.calls()))
            .map(|seen| match seen.load(SeqCst) {
                UNTOUCHED if proves => Certainty::NotSent,
                200 => Certainty::Executed,
                402 | 429 => Certainty::Rejected,
                _ => Certainty::Unknown,
            })
            .collect();
        let ranks = [Certainty::Executed, Certainty::Unknown, Certainty::Rejected];
        ranks.into_iter().find(|rank| each.contains(rank)).unwrap_or(Certainty::NotSent)
    }
}

#[derive(Debug)]
struct Alive(Arc<World>);

impl Alive {
    fn new(world: &Arc<World>) -> Self {
        world.alive.fetch_add(1, SeqCst);
        Self(Arc::clone(world))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, SeqCst);
    }
}

#[derive(Debug, Default)]
struct Pends(usize);

impl Pends {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 == PENDS {
            self.0 = 0;
            return Poll::Ready(());
        }
        self.0 += 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The client. A clone of it is not ready, and to call what is not ready is a panic.
#[derive(Debug)]
struct Slow {
    world: Arc<World>,
    pends: Pends,
    ready: bool,
}

impl Slow {
    fn new(world: &Arc<World>) -> Self {
        Self { world: Arc::clone(world), pends: Pends::default(), ready: false }
    }
}

impl Clone for Slow {
    fn clone(&self) -> Self {
        Self::new(&self.world)
    }
}

impl Service<Request<RequestBody>> for Slow {
    type Response = Response<SlowBody>;
    type Error = BoxError;
    type Future = SlowFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if !self.ready {
            ready!(self.pends.poll(cx));
            assert!(!matches!(self.world.act(), Act::PanicInReady), "scripted");
            self.ready = true;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> SlowFuture {
        assert!(std::mem::take(&mut self.ready), "called without having been polled ready");
        let (act, n) = (self.world.act(), self.world.calls.fetch_add(1, SeqCst));
        assert!(!matches!(act, Act::PanicInCall), "scripted");
        let (parts, body) = request.into_parts();
        let (body, proof) = Tracked::new(body);
        if let Some(handle) = parts.extensions.get::<tower_stripe::vocab::Recorder>() {
            handle.register_proof(proof);
        }
        SlowFuture { alive: Alive::new(&self.world), act, n, body, steps: 0, pends: Pends::default() }
    }
}

#[derive(Debug)]
struct SlowFuture {
    alive: Alive,
    act: Act,
    n: usize,
    body: Tracked<RequestBody>,
    steps: usize,
    pends: Pends,
}

impl Future for SlowFuture {
    type Output = Result<Response<SlowBody>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let world = &this.alive.0;
        while this.steps < 2 {
            ready!(this.pends.poll(cx));
            if this.steps == 0 {
                if matches!(this.act, FailUntouched) {
                    return Poll::Ready(Err("lost before it was written".into()));
                }
                while let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                    frame.expect("a body that nobody has given up");
                    world.seen[this.n].store(PULLED, SeqCst);
                }
            }
            this.steps += 1;
        }
        match this.act {
            Answer(status) => {
                world.seen[this.n].store(status, SeqCst);
                let frames = ["{\"error\":", "{}}"].map(Bytes::from).into();
                let body = SlowBody { _alive: Alive::new(world), frames, pends: Pends::default() };
                let response = Response::builder().status(status).header("request-id", "req_1").body(body);
                Poll::Ready(Ok(response.expect("a response")))
            }
            Fail => Poll::Ready(Err("connection reset".into())),
            _ => panic!("scripted"),
        }
    }
}

#[derive(Debug)]
struct SlowBody {
    _alive: Alive,
    frames: VecDeque<Bytes>,
    pends: Pends,
}

impl Body for SlowBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        ready!(self.pends.poll(cx));
        Poll::Ready(self.frames.pop_front().map(|bytes| Ok(Frame::data(bytes))))
    }
}

// === what the tests share ===

/// The client behind a limit of one request at a time.
type Limited = ConcurrencyLimit<Slow>;

fn limited(world: &Arc<World>) -> (Limited, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(1));
    (ConcurrencyLimit::with_semaphore(Slow::new(world), Arc::clone(&permits)), permits)
}

/// One retry in all, and no other ever.
fn transport_with_one_retry() -> TransportLayer {
    let budget = BudgetConfig::default().ratio(Ratio::percent(0)).per_second(0).max_balance(1);
    let retry = RetryConfig::builder().budget(budget);
    StripeTransport::builder().retry(retry).build().expect("valid settings")
}

fn guarding() -> IdempotencyBuilder {
    IdempotencyConfig::builder().guard(GuardConfig::new())
}

fn guarded() -> IdempotencyLayer {
    IdempotencyLayer::new(guarding().build().expect("valid settings"))
}

fn guarded_transport() -> TransportLayer {
    StripeTransport::builder().idempotency(guarding()).build().expect("valid settings")
}

fn keyed(handle: &ReportHandle) -> Request<RequestBody> {
    let mut request = payment("o");
    request.headers_mut().insert("idempotency-key", "k".parse().expect("a value"));
    request.extensions_mut().insert(handle.clone());
    request
}

/// Polls so many times, as a runtime does: whenever the task was woken. Time passes only while it was not.
async fn poll_times<F: Future>(call: &mut task::Spawn<F>, polls: usize) -> Option<F::Output> {
    for _ in 0..polls {
        if let Poll::Ready(output) = call.poll() {
            return Some(output);
        }
        let alarm = time::now() + secs(3_600);
        while !call.is_woken() {
            assert!(time::now() < alarm, "nothing will ever wake it");
            tokio::time::advance(millis(50)).await;
        }
    }
    None
}

/// Fails where a test would wait forever.
async fn ends<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(secs(3_600), future).await.expect("an end")
}

fn assert_nothing_left(world: &World, permits: &Semaphore, at: &str) {
    assert_eq!(world.alive.load(SeqCst), 0, "{at}: something of the client lives on");
    assert_eq!(permits.available_permits(), 1, "{at}: a permit is held");
}

// === dropped at every await ===

/// Drops a call after every number of polls up to its end, and compares the report with what the client knows.
async fn dropped_everywhere<S, R>(name: &str, proves: bool, make: impl Fn(Limited) -> S)
where
    S: Service<Request<RequestBody>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes> + Unpin,
{
    for script in
        [[Answer(503), Answer(200)], [Fail, Answer(200)], [FailUntouched, Fail], [Answer(429), Answer(402)]]
    {
        for polls in 0.. {
            assert!(polls < 200, "{name} never ends");
            let at = format!("{name}, {script:?} dropped after {polls} polls");
            let world = World::new(&script);
            let (client, permits) = limited(&world);
            let service = make(client);
            let handle = ReportHandle::new();
            let request = keyed(&handle);
            let delivered = AtomicBool::new(false);
            let mut call = task::spawn(async {
                let response = service.clone().oneshot(request).await;
                delivered.store(true, SeqCst);
                if let Ok(response) = response {
                    response.into_body().collect().await.map_err(drop).expect("a whole body");
                }
            });
            let ended = poll_times(&mut call, polls).await.is_some();
            drop(call);

            assert_nothing_left(&world, &permits, &at);
            let report = handle.report();
            assert_eq!(report.certainty(), world.certainty(proves), "{at}");
            assert_eq!(report.attempts_made() as usize, world.calls(), "{at}");
            let executed = report.certainty() == Certainty::Executed;
            let advice = if executed { Advice::Done } else { Advice::SameKey };
            assert!(world.calls() == 0 || report.advice() == advice, "{at}: {:?}", report.advice());
            let cut = !delivered.load(SeqCst) && report.operation().is_some();
            assert_eq!(report.stopped() == Some(Stop::Cancelled), cut, "{at}: {:?}", report.stopped());
            if ended {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_alone_leaves_nothing_behind_wherever_it_is_dropped_and_never_lies() {
    dropped_everywhere("idempotency", false, |client| IdempotencyLayer::default().layer(client)).await;
    dropped_everywhere("guarded idempotency", false, |client| guarded().layer(client)).await;
    dropped_everywhere("retry", true, |client| RetryLayer::default().layer(client)).await;
    dropped_everywhere("timeout", true, |client| TimeoutLayer::default().layer(client)).await;
    dropped_everywhere("request id", true, |client| RequestIdLayer::new().layer(client)).await;
    dropped_everywhere("classify", true, |client| ClassifyLayer::default().layer(client)).await;
    dropped_everywhere("edge", true, Edge::new).await;
}

/// S-108
#[tokio::test(start_paused = true)]
async fn the_transport_leaves_nothing_behind_wherever_it_is_dropped_and_never_lies() {
    dropped_everywhere("transport", true, |client| TransportLayer::default().layer(client)).await;
    dropped_everywhere("guarded transport", true, |client| guarded_transport().layer(client)).await;
}

/// S-30: whichever of three calls with one key is dropped, and whenever: the others end, in the order in which they came,
/// one at a time, and nothing is left behind.
#[tokio::test(start_paused = true)]
async fn whichever_call_of_a_guarded_key_is_dropped_wherever_the_others_get_their_turn() {
    for script in [[Answer(503), Answer(200)], [Fail, Answer(200)], [FailUntouched, Fail]] {
        for dropped in 0..3 {
            for polls in 0.. {
                assert!(polls < 600, "it never ends");
                let at = format!("{script:?}: call {dropped} dropped after {polls} polls");
                let world = World::new(&script);
                let (client, permits) = limited(&world);
                let stripe = guarded_transport().layer(client);
                let handles: [_; 3] = std::array::from_fn(|_| ReportHandle::new());
                let mut calls =
                    handles.each_ref().map(|handle| Some(task::spawn(stripe.send(keyed(handle)))));
                let mut order = Vec::new();
                let mut polled = 0;
                let mut was_dropped = false;
                let alarm = time::now() + secs(60);
                while calls.iter().any(Option::is_some) {
                    let mut woken = false;
                    for (n, slot) in calls.iter_mut().enumerate() {
                        let Some(call) = slot else { continue };
                        let first = handles[n].report().operation().is_none();
                        if n == dropped && polled == polls {
                            *slot = None;
                            was_dropped = true;
                            woken = true;
                            continue;
                        }
                        if first || call.is_woken() {
                            woken = true;
                            polled += usize::from(n == dropped);
                            if call.poll().is_ready() {
                                *slot = None;
                                order.push(n);
                            }
                        }
                    }
                    let under_way = (calls.iter().zip(&handles))
                        .filter(|(call, handle)| call.is_some() && handle.attempts_made() > 0);
                    assert!(under_way.count() <= 1, "{at}: two at once");
                    if !woken {
                        assert!(time::now() < alarm, "{at}: nobody will ever wake what waits");
                        tokio::time::advance(millis(50)).await;
                    }
                }
                let expected: Vec<_> = (0..3).filter(|n| !(was_dropped && *n == dropped)).collect();
                assert_eq!(order, expected, "{at}");
                assert_nothing_left(&world, &permits, &at);
                let shown = format!("{stripe:?}");
                assert!(shown.contains("in_flight: 0"), "{at}: {shown}");
                if was_dropped {
                    let report = handles[dropped].report();
                    let begun = report.operation().is_some();
                    assert_eq!(report.stopped() == Some(Stop::Cancelled), begun, "{at}");
                    assert!(!begun || report.advice() != Advice::NewKey, "{at}");
                } else {
                    break;
                }
            }
        }
    }
}

/// S-106
#[tokio::test(start_paused = true)]
async fn a_retry_that_was_paid_for_but_not_made_goes_back_into_the_budget() {
    for polls in 0..200 {
        let world = World::new(&[Answer(503)]);
        let service = transport_with_one_retry().layer(limited(&world).0);
        let mut call = task::spawn(service.send(keyed(&ReportHandle::new())));
        let ended = poll_times(&mut call, polls).await.is_some();
        drop(call);

        let made = world.calls() == 2;
        // The same service, whose client fails once more.
        world.calls.store(0, SeqCst);
        let response = ends(service.send(keyed(&ReportHandle::new()))).await.expect("an answer");
        let expected = if made { (503, Some(Stop::Budget)) } else { (200, Some(Stop::Final)) };
        let stopped = response.report().and_then(|report| report.stopped());
        assert_eq!((response.status().as_u16(), stopped), expected, "dropped after {polls} polls");
        if ended {
            assert!(made, "the retry was made in the end");
            return;
        }
    }
    panic!("it never ended");
}

// === panics ===

/// S-111
#[tokio::test(start_paused = true)]
async fn a_panic_in_the_client_unwinds_and_the_next_call_goes_through() {
    for act in [Act::PanicInReady, Act::PanicInCall, Act::PanicInPoll] {
        for with_first in [false, true] {
            // Also in the middle of a retry, which was paid for by then.
            let script = if with_first { vec![Answer(503), act] } else { vec![act] };
            let world = World::new(&script);
            let (client, permits) = limited(&world);
            let stripe = TransportLayer::default().layer(client);
            let handle = ReportHandle::new();
            let panicked = ends(tokio::spawn(stripe.send(keyed(&handle)))).await.expect_err("a panic");
            assert!(panicked.is_panic());
            let at = format!("{script:?}");
            assert_nothing_left(&world, &permits, &at);
            let report = handle.report();
            assert_eq!(report.stopped(), Some(Stop::Cancelled), "{at}");
            assert_eq!(report.attempts_made() as usize, world.calls(), "{at}");
            let before = usize::from(with_first);
            let unsent = matches!(act, Act::PanicInReady) && !with_first;
            let expected = if unsent { Certainty::NotSent } else { Certainty::Unknown };
            assert_eq!(report.certainty(), expected, "{at}");
            assert_eq!(world.calls(), before + usize::from(!matches!(act, Act::PanicInReady)), "{at}");

            world.calls.store(script.len(), SeqCst);
            let response = ends(stripe.send(keyed(&ReportHandle::new()))).await.expect("an answer");
            assert_eq!(response.status(), 200, "{at}");
            drop(response);
            assert_nothing_left(&world, &permits, &at);
        }
    }
}

// === readiness ===

type MockRequest = Request<RequestBody>;
type MockHandle = tower_test::mock::Handle<MockRequest, Response<RequestBody>>;

/// That a layer is exactly as ready as what it wraps.
macro_rules! forwards_readiness {
    ($layer:expr) => {{
        let (mut service, mut client): (_, MockHandle) = tower_test::mock::spawn_with(|mock| $layer(mock));
        client.allow(0);
        assert_pending!(service.poll_ready());
        client.allow(1);
        assert!(service.is_woken());
        assert_ready_ok!(service.poll_ready());
        let mut call = task::spawn(service.call(payment("o")));
        assert_pending!(call.poll());
        let (_, send) = ends(client.next_request()).await.expect("the request");
        send.send_response(Response::new(Full::default()));
        assert_ready_ok!(call.poll());
        assert_pending!(service.poll_ready());
        client.send_error("gone");
        assert!(matches!(service.poll_ready(), Poll::Ready(Err(_))));
    }};
}

#[tokio::test(start_paused = true)]
async fn layers_that_cannot_wait_forward_readiness_and_its_errors() {
    forwards_readiness!(|mock| IdempotencyLayer::default().layer(mock));
    forwards_readiness!(|mock| guarded().layer(mock));
    forwards_readiness!(|mock| TimeoutLayer::default().layer(mock));
    forwards_readiness!(|mock| RequestIdLayer::new().layer(mock));
    forwards_readiness!(|mock| ClassifyLayer::default().layer(mock));
    forwards_readiness!(Edge::new);
}

/// That a service is ready at once, and that each of its attempts waits for the client by itself.
macro_rules! is_late {
    ($layer:expr) => {{
        let (mut service, mut client): (_, MockHandle) = tower_test::mock::spawn_layer($layer);
        client.allow(0);
        assert_ready_ok!(service.poll_ready());
        let mut call = task::spawn(service.call(keyed(&ReportHandle::new())));
        for status in [503, 200] {
            client.allow(0);
            assert_pending!(call.poll());
            assert_pending!(pin!(client.next_request()).as_mut().poll(&mut noop()));
            client.allow(1);
            assert_pending!(call.poll());
            let (_, send) = ends(client.next_request()).await.expect("the request");
            let response = Response::builder().status(status).header("request-id", "req_1");
            send.send_response(response.body(Full::from("{}")).expect("a response"));
            if status == 503 {
                assert_pending!(call.poll());
                tokio::time::advance(millis(500)).await;
            }
        }
        assert_eq!(assert_ready_ok!(call.poll()).attempts(), Some(2));
    }};
}

fn noop() -> Context<'static> {
    Context::from_waker(std::task::Waker::noop())
}

#[tokio::test(start_paused = true)]
async fn retry_and_the_transport_are_ready_at_once_and_each_attempt_waits_for_the_client() {
    is_late!(RetryLayer::default());
    is_late!(TransportLayer::default());
    is_late!(guarded_transport());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_ends_the_call_and_proves_that_nothing_was_sent() {
    let (client, mut handle): (_, MockHandle) = tower_test::mock::pair();
    handle.send_error("gone");
    let stripe = TransportLayer::default().layer(client);
    let error = stripe.send(payment("o")).await.expect_err("the client is gone");
    assert!(error.is_transport());
    assert_eq!((error.certainty(), error.attempts()), (Certainty::NotSent, 0));
    assert_eq!(error.advice(), Advice::NewKey);
}

/// S-110: a place that was reserved for a call that is never made. The transport reserves none before its attempt.
#[tokio::test(start_paused = true)]
async fn a_service_that_was_ready_and_is_dropped_without_a_call_gives_its_place_back() {
    let world = World::new(&[Answer(200)]);
    macro_rules! reserves {
        ($layer:expr, $permits_left:expr) => {{
            let (client, permits) = limited(&world);
            let mut service = $layer.layer(client);
            ends(poll_fn(|cx| service.poll_ready(cx))).await.expect("ready");
            assert_eq!(permits.available_permits(), $permits_left, stringify!($layer));
            drop(service);
            assert_nothing_left(&world, &permits, stringify!($layer));
        }};
    }
    reserves!(RequestIdLayer::new(), 0);
    reserves!(ClassifyLayer::default(), 0);
    reserves!(IdempotencyLayer::default(), 0);
    reserves!(TimeoutLayer::default(), 0);
    reserves!(RetryLayer::default(), 1);
    reserves!(TransportLayer::default(), 1);
    assert_eq!(world.calls(), 0);
}

/// Never ready.
#[derive(Clone, Copy, Debug)]
struct Never;

impl Service<Request<RequestBody>> for Never {
    type Response = Response<RequestBody>;
    type Error = BoxError;
    type Future = std::future::Pending<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<RequestBody>) -> Self::Future {
        panic!("it was never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_never_ready_is_refused_at_the_deadline() {
    let began = time::now();
    let error = ends(TransportLayer::default().layer(Never).send(payment("o"))).await.expect_err("refused");
    assert_eq!(time::now() - began, secs(75));
    assert_eq!(error.refusal(), Some(&Refusal::DeadlineExceeded));
    assert_eq!((error.certainty(), error.attempts()), (Certainty::NotSent, 0));
    assert_eq!(error.report().and_then(|report| report.stopped()), Some(Stop::Deadline));

    let handle = ReportHandle::new();
    let mut request = keyed(&handle);
    request.extensions_mut().insert(Deadline::after(secs(3)));
    let error = ends(RetryLayer::default().layer(Never).oneshot(request)).await.expect_err("refused");
    assert_eq!(error.downcast_ref().map(Refused::refusal), Some(&Refusal::DeadlineExceeded));
    assert_eq!(time::now() - began, secs(78));
    assert_eq!(handle.report().certainty(), Certainty::NotSent);
}

/// What was sent before stays unknown, also when the refusal itself sent nothing.
#[tokio::test(start_paused = true)]
async fn a_client_that_never_gets_ready_again_leaves_the_first_attempt_unknown() {
    let (client, mut handle): (_, MockHandle) = tower_test::mock::pair();
    handle.allow(1);
    let stripe = TransportLayer::default().layer(client);
    let call = tokio::spawn(stripe.send(payment("o")));
    let (_, send) = ends(handle.next_request()).await.expect("the first attempt");
    send.send_error("reset");
    handle.allow(0);
    let error = ends(call).await.expect("no panic").expect_err("no answer");
    assert_eq!(error.refusal(), Some(&Refusal::DeadlineExceeded));
    assert_eq!((error.certainty(), error.attempts()), (Certainty::Unknown, 1));
    assert_eq!(error.advice(), Advice::SameKey);
}

// === permits ===

#[tokio::test(start_paused = true)]
async fn no_permit_is_held_during_a_backoff() {
    let world = World::new(&[Answer(503)]);
    let (client, permits) = limited(&world);
    let stripe = TransportLayer::default().layer(client);
    let mut waiting = task::spawn(stripe.send(keyed(&ReportHandle::new())));
    loop {
        assert_pending!(waiting.poll());
        if !waiting.is_woken() {
            break; // It waits for the clock alone.
        }
    }
    assert_nothing_left(&world, &permits, "in the backoff");
    let began = time::now();
    let other = ends(stripe.send(keyed(&ReportHandle::new()))).await.expect("an answer");
    assert_eq!((other.attempts(), time::now()), (Some(1), began), "another call goes through meanwhile");
    let response = waiting.await.expect("an answer");
    assert_eq!((response.status().as_u16(), response.attempts()), (200, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn no_permit_is_held_after_a_refusal() {
    let world = World::new(&[]);
    let (client, permits) = limited(&world);
    let mut stripe = TransportLayer::default().layer(client);
    let mut invalid = payment("o");
    invalid.headers_mut().insert("idempotency-key", "".parse().expect("a value"));
    let mut conflicting = keyed(&ReportHandle::new());
    conflicting.extensions_mut().insert(IdempotencyKey::new("other").expect("a key"));
    let mut elsewhere = payment("o");
    *elsewhere.uri_mut() = "https://evil.example/v1/charges".parse().expect("a uri");
    let mut plain = payment("o");
    *plain.uri_mut() = "http://api.stripe.com/v1/charges".parse().expect("a uri");
    for request in [invalid, conflicting, elsewhere, plain] {
        // Both the service and the future that refused are still there.
        let mut call = task::spawn(stripe.ready().await.expect("ready").call(request));
        let Poll::Ready(Err(error)) = call.poll() else { panic!("a refusal is immediate") };
        assert!(error.is_refused());
        assert_eq!((error.certainty(), error.attempts()), (Certainty::NotSent, 0));
        assert_nothing_left(&world, &permits, &error.to_string());
        assert_pending!(call.poll());
    }
    assert_eq!(world.calls(), 0);
}
