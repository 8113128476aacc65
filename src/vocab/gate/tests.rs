use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use http::{Response, StatusCode};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Service, ServiceExt, service_fn};

use super::*;
use crate::vocab::{BoxError, Certainty, Deadline, Error, FailureKind, ReportHandle, sync::Lock, time};

/// What a scripted gate answers, and what it saw.
#[derive(Clone, Default)]
struct Scripted(Arc<Seen>);

#[derive(Default)]
struct Seen {
    answers: Lock<VecDeque<Answer>>,
    /// Asked by whom, and what became of the permits.
    log: Lock<Vec<String>>,
    revoked: AtomicU32,
}

#[derive(Clone, Debug)]
enum Answer {
    Now,
    Wait(u32),
    Probe,
    No,
}

struct Permit {
    gate: Scripted,
    sent: bool,
    settled: bool,
}

struct Wait(u32, Option<Permit>);

impl Scripted {
    fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let gate = Self::default();
        gate.0.answers.with(|all| all.extend(answers));
        gate
    }

    fn note(&self, what: impl Into<String>) {
        self.0.log.with(|log| log.push(what.into()));
    }

    fn seen(&self) -> Vec<String> {
        self.0.log.with(|log| log.clone())
    }
}

impl Future for Wait {
    type Output = Result<Permit, Refusal>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0 > 0 {
            self.0 -= 1;
            return Poll::Pending;
        }
        self.1.take().map_or(Poll::Pending, |permit| Poll::Ready(Ok(permit)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.settled {
            self.gate.note(if self.sent { "cancelled" } else { "not sent" });
        }
    }
}

impl Gate for Scripted {
    type Permit = Permit;
    type Wait = Wait;

    fn admit<B: Replay>(&self, ask: &Ask, _: &Request<B>) -> Admit<Permit, Wait> {
        self.note(if ask.probe { "asked by a probe" } else { "asked" });
        let permit = Permit { gate: self.clone(), sent: false, settled: false };
        let refuse = |mut permit: Permit| {
            permit.settled = true;
            Admit::No(Refusal::CircuitOpen { retry_in: Some(Duration::from_secs(2)) })
        };
        match self.0.answers.with(VecDeque::pop_front) {
            Some(Answer::Now) | None => Admit::Now(permit),
            Some(Answer::Wait(polls)) => Admit::Wait(Wait(polls, Some(permit))),
            Some(Answer::Probe) => Admit::Probe(permit),
            Some(Answer::No) => refuse(permit),
        }
    }

    fn poll_revoked(permit: &mut Permit, _: &mut Context<'_>) -> Poll<Refusal> {
        if permit.gate.0.revoked.load(SeqCst) == 0 {
            return Poll::Pending;
        }
        Poll::Ready(Refusal::CircuitOpen { retry_in: None })
    }

    fn sent(permit: &mut Permit, _: Instant) {
        permit.sent = true;
        permit.gate.note("sent");
    }

    fn settle(mut permit: Permit, ended: &Ended) {
        permit.settled = true;
        permit.gate.note(format!("{}{}", ended.outcome, if ended.genuine { " of stripe's" } else { "" }));
    }
}

/// A gate that never lets anyone wait, for the outer place of a pair.
#[derive(Clone)]
struct Outer(Scripted);

impl Gate for Outer {
    type Permit = Permit;
    type Wait = Never<Permit>;

    fn admit<B: Replay>(&self, ask: &Ask, request: &Request<B>) -> Admit<Permit, Never<Permit>> {
        match self.0.admit(ask, request) {
            Admit::Now(permit) => Admit::Now(permit),
            Admit::Probe(permit) => Admit::Probe(permit),
            Admit::Wait(_) => unreachable!("not scripted"),
            Admit::No(refusal) => Admit::No(refusal),
        }
    }

    fn poll_revoked(permit: &mut Permit, cx: &mut Context<'_>) -> Poll<Refusal> {
        Scripted::poll_revoked(permit, cx)
    }

    fn sent(permit: &mut Permit, now: Instant) {
        Scripted::sent(permit, now);
    }

    fn settle(permit: Permit, ended: &Ended) {
        Scripted::settle(permit, ended);
    }
}

fn request(handle: &ReportHandle) -> Request<String> {
    Request::post("https://api.stripe.com/v1/refunds")
        .header("authorization", "Bearer sk_test_a")
        .extension(handle.clone())
        .body("amount=1".to_owned())
        .expect("a valid request")
}

type Client = tower::util::BoxCloneSyncService<Request<String>, Response<String>, Error>;

/// Answers with Stripe's own JSON, and counts what it was sent.
fn client(status: u16, seen: &Arc<Lock<Vec<String>>>) -> Client {
    let seen = Arc::clone(seen);
    let answer = move |request: Request<String>| {
        seen.with(|seen| seen.push(format!("{} {}", request.method(), request.uri().path())));
        let response = Response::builder()
            .status(StatusCode::from_u16(status).expect("a status"))
            .header("request-id", "req_1")
            .header("content-type", "application/json");
        std::future::ready(response.body(String::new()).map_err(|e| Error::transport(BoxError::from(e))))
    };
    tower::util::BoxCloneSyncService::new(service_fn(answer))
}

#[tokio::test]
async fn an_admitted_attempt_is_sent_and_settled_with_what_came_of_it() {
    for (status, expected) in
        [(200, "success of stripe's"), (402, "declined of stripe's"), (500, "server_error of stripe's")]
    {
        let (gate, seen) = (Scripted::default(), Arc::default());
        let handle = ReportHandle::new();
        let response = Gated::new(client(status, &seen), gate.clone()).oneshot(request(&handle)).await;
        assert_eq!(response.expect("an answer").status(), status);
        assert_eq!(gate.seen(), ["asked", "sent", expected]);
        assert_eq!(handle.attempts_made(), 1);
    }
}

#[tokio::test]
async fn a_refusal_reaches_no_client_and_says_when_to_come_back() {
    let (gate, seen) = (Scripted::answering([Answer::No]), Arc::default());
    let handle = ReportHandle::new();
    let error = Gated::new(client(200, &seen), gate).oneshot(request(&handle)).await.expect_err("refused");
    assert_eq!(error.refusal(), Some(&Refusal::CircuitOpen { retry_in: Some(Duration::from_secs(2)) }));
    assert_eq!(error.certainty(), Certainty::NotSent);
    assert_eq!(error.retry_in(), Some(Duration::from_secs(2)));
    assert_eq!((handle.attempts_made(), seen.with(|seen| seen.len())), (0, 0));
}

#[tokio::test]
async fn a_failure_of_the_client_is_settled_as_what_it_is() {
    let gate = Scripted::default();
    let broken = service_fn(|_: Request<String>| async {
        Err::<Response<String>, _>(Error::<std::io::Error>::transport(
            std::io::ErrorKind::ConnectionReset.into(),
        ))
    });
    let error = Gated::new(broken, gate.clone()).oneshot(request(&ReportHandle::new())).await;
    assert_eq!(error.expect_err("broken").certainty(), Certainty::Unknown);
    assert_eq!(gate.seen(), ["asked", "sent", "reset"]);
}

#[test]
fn a_call_dropped_while_it_waits_was_not_sent_and_while_it_is_under_way_is_unknown() {
    for polls in 0..4_u32 {
        let gate = Scripted::answering([Answer::Wait(2)]);
        let handle = ReportHandle::new();
        let never =
            service_fn(|_: Request<String>| std::future::pending::<Result<Response<String>, Error>>());
        let mut call = task::spawn(Gated::new(never, gate.clone()).call(request(&handle)));
        for _ in 0..polls {
            assert_pending!(call.poll());
        }
        drop(call);
        let report = handle.report();
        let sent = polls >= 3;
        assert_eq!(report.certainty(), if sent { Certainty::Unknown } else { Certainty::NotSent }, "{polls}");
        assert_eq!(report.attempts_made(), u32::from(sent), "{polls}");
        let expected: &[&str] = match polls {
            0 => &[],
            1 | 2 => &["asked", "not sent"],
            _ => &["asked", "sent", "cancelled"],
        };
        assert_eq!(gate.seen(), expected, "after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_in_the_queue_is_no_time_of_the_attempt() {
    #[derive(Clone)]
    struct Slow;
    impl Gate for Slow {
        type Permit = ();
        type Wait = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;
        fn admit<B: Replay>(&self, _: &Ask, _: &Request<B>) -> Admit<(), Self::Wait> {
            Admit::Wait(Box::pin(async {
                tokio::time::sleep(Duration::from_secs(3)).await;
                Ok(())
            }))
        }
        fn settle((): (), ended: &Ended) {
            assert_eq!(ended.now - ended.sent, Duration::from_secs(1));
        }
    }
    let handle = ReportHandle::new();
    let client = service_fn(|_: Request<String>| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, Error>(Response::new(String::new()))
    });
    Gated::new(client, Slow).oneshot(request(&handle)).await.expect("an answer");
    let report = handle.report();
    let attempt = &report.attempts()[0];
    assert_eq!((attempt.queued, attempt.took), (Duration::from_secs(3), Duration::from_secs(1)));
    assert_eq!(report.waited(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_not_ready_before_the_deadline_is_not_called_and_the_permit_comes_back() {
    let gate = Scripted::default();
    let handle = ReportHandle::new();
    let (mock, mut busy) = tower_test::mock::pair::<Request<String>, Response<String>>();
    busy.allow(0);
    let client = crate::edge::Edge::new(mock.map_err(BoxError::from));
    let mut request = request(&handle);
    request.extensions_mut().insert(Deadline::after(Duration::from_secs(2)));
    let began = time::now();
    let error = Gated::new(client, gate.clone()).oneshot(request).await.expect_err("never ready");
    assert_eq!(error.refusal(), Some(&Refusal::DeadlineExceeded));
    assert_eq!(time::now() - began, Duration::from_secs(2));
    assert_eq!(gate.seen(), ["asked", "not sent"]);
}

#[tokio::test]
async fn a_probe_is_a_get_of_our_own_and_does_not_show_in_the_callers_report() {
    let (gate, seen) = (Scripted::answering([Answer::Probe, Answer::Now]), Arc::default());
    let handle = ReportHandle::new();
    Gated::new(client(404, &seen), gate.clone()).oneshot(request(&handle)).await.expect("an answer");
    assert_eq!(seen.with(|seen| seen.clone()), ["GET /v1/", "POST /v1/refunds"]);
    assert_eq!(
        gate.seen(),
        ["asked", "sent", "not_found of stripe's", "asked", "sent", "not_found of stripe's"]
    );
    assert_eq!(handle.attempts_made(), 1);
}

#[tokio::test]
async fn a_gate_that_wants_ever_more_probes_is_not_heeded() {
    let (gate, seen) = (Scripted::answering(vec![Answer::Probe; 10]), Arc::default());
    let error = Gated::new(client(200, &seen), gate).oneshot(request(&ReportHandle::new())).await;
    assert!(matches!(error.expect_err("refused").refusal(), Some(Refusal::CircuitOpen { .. })));
    assert_eq!(seen.with(|seen| seen.len()), 3);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_is_given_up_and_counts_as_a_timeout() {
    let gate = Scripted::answering([Answer::Probe, Answer::No]);
    let never = service_fn(|_: Request<String>| std::future::pending::<Result<Response<String>, Error>>());
    let began = time::now();
    Gated::new(never, gate.clone()).oneshot(request(&ReportHandle::new())).await.expect_err("refused");
    assert_eq!(time::now() - began, PROBE_TIMEOUT);
    assert_eq!(gate.seen(), ["asked", "sent", FailureKind::Timeout.as_str(), "asked"]);
}

#[tokio::test]
async fn a_pair_asks_the_outer_first_and_settles_both() {
    let (outer, inner) = (Scripted::default(), Scripted::default());
    let pair = (Outer(outer.clone()), inner.clone());
    Gated::new(client(200, &Arc::default()), pair)
        .oneshot(request(&ReportHandle::new()))
        .await
        .expect("an answer");
    assert_eq!(outer.seen(), ["asked", "sent", "success of stripe's"]);
    assert_eq!(inner.seen(), outer.seen());

    // What the outer refuses, the inner never hears of; what the inner refuses, the outer gets back.
    let (outer, inner) = (Scripted::answering([Answer::No, Answer::Now]), Scripted::answering([Answer::No]));
    let gated = Gated::new(client(200, &Arc::default()), (Outer(outer.clone()), inner.clone()));
    gated.clone().oneshot(request(&ReportHandle::new())).await.expect_err("refused");
    assert!(inner.seen().is_empty());
    gated.oneshot(request(&ReportHandle::new())).await.expect_err("refused");
    assert_eq!(outer.seen(), ["asked", "asked", "not sent"]);
}

#[tokio::test]
async fn a_probe_of_the_outer_passes_the_inner_as_one() {
    let (outer, inner) = (Scripted::answering([Answer::Probe]), Scripted::default());
    let gated = Gated::new(client(200, &Arc::default()), (Outer(outer), inner.clone()));
    gated.oneshot(request(&ReportHandle::new())).await.expect("an answer");
    let success = "success of stripe's";
    assert_eq!(inner.seen(), ["asked by a probe", "sent", success, "asked", "sent", success]);
}

#[test]
fn what_waits_in_the_inner_can_be_called_back_by_the_outer() {
    let (outer, inner) = (Scripted::default(), Scripted::answering([Answer::Wait(u32::MAX)]));
    let handle = ReportHandle::new();
    let gated = Gated::new(client(200, &Arc::default()), (Outer(outer.clone()), inner.clone()));
    let mut call = task::spawn(gated.clone().call(request(&handle)));
    assert_pending!(call.poll());
    outer.0.revoked.store(1, SeqCst);
    let error = assert_ready!(call.poll()).expect_err("called back");
    assert_eq!(error.refusal(), Some(&Refusal::CircuitOpen { retry_in: None }));
    assert_eq!(handle.certainty(), Certainty::NotSent);
    drop(call);
    assert_eq!(
        (outer.seen(), inner.seen()),
        (vec!["asked".into(), "not sent".into()], vec!["asked".into(), "not sent".into()])
    );
}
