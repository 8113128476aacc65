//! What may be repeated is repeated: within limits, without a crowd, and holding nothing meanwhile.

use std::{
    num::NonZeroU32,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::Full;
use stripe_sim::{Canned, Fault, Reason, Sim, Step};
use tokio::time::timeout;
use tower_stripe::{
    Advice, AttemptTimeout, BoxError, Certainty, Deadline, Outcome, ResponseExt, RetryLimit, StripeTransport,
    retry::RetryConfig,
    vocab::{SendOnce, Stop, time, time::WallClock},
};

use crate::support::{
    API_KEY, assert_one_key_and_body, bytes, gaps, get, keys, millis, payment, post, request, secs, sim,
    statuses, stop, stop_of, transport, transport_of, with,
};

fn broken() -> Step {
    Step::Answer(Canned::html(503))
}

fn attempts(attempts: u32) -> NonZeroU32 {
    attempts.try_into().expect("not zero")
}

/// S-89
#[tokio::test(start_paused = true)]
async fn stripe_saying_not_to_retry_is_obeyed() {
    let answers = [
        ("limited", Canned::rate_limited(Reason::GlobalRate), Certainty::Rejected, Advice::SameKey),
        ("locked", Canned::lock_timeout(), Certainty::Rejected, Advice::SameKey),
        ("broken", Canned::html(503), Certainty::Unknown, Advice::SameKey),
        ("in use", Canned::key_in_use(), Certainty::Unknown, Advice::SameKey),
        ("conflict", Canned::conflict(), Certainty::Rejected, Advice::NewKey),
    ];
    for (order, answer, certainty, advice) in answers {
        let sim = sim();
        sim.script(order, [Step::Answer(answer.header("stripe-should-retry", "false"))]);
        let response = transport(&sim).send(payment(order)).await.expect("stripe answered");
        assert_eq!((sim.log().len(), stop(&response)), (1, Some(Stop::Header)), "{order}");
        assert_eq!((response.certainty(), response.advice()), (Some(certainty), Some(advice)));
        assert_eq!(sim.ledger().executions(order), 0);
    }
}

/// S-88
#[tokio::test(start_paused = true)]
async fn stripe_saying_to_retry_is_obeyed_within_the_attempts() {
    let sim = sim();
    let odd = || Canned::json(400, &serde_json::json!({"error": {"type": "invalid_request_error"}}));
    sim.script("o", vec![Step::Answer(odd().header("stripe-should-retry", "true")); 10]);
    let response = transport(&sim).send(payment("o")).await.expect("stripe answered");

    assert_eq!(statuses(&sim, "o"), [Some(400); 3]);
    assert_eq!(stop(&response), Some(Stop::Attempts));
    assert_eq!((response.certainty(), sim.ledger().executions("o")), (Some(Certainty::Rejected), 0));
    assert_one_key_and_body(&sim, "o");
}

/// S-90
#[tokio::test(start_paused = true)]
async fn only_the_exact_words_of_stripe_decide_about_a_retry() {
    for garbage in ["True", "FALSE", "false ", " true", "1", "no", "", "true,false", "f\u{e4}lse"] {
        let sim = sim();
        let odd = |canned: Canned| Step::Answer(canned.header("stripe-should-retry", garbage));
        sim.script("503", [odd(Canned::html(503))]);
        sim.script("401", [odd(Canned::unauthorized())]);
        transport(&sim).send(payment("503")).await.expect("paid");
        transport(&sim).send(payment("401")).await.expect("stripe answered");
        assert_eq!(statuses(&sim, "503"), [Some(503), Some(200)], "{garbage:?} is not false");
        assert_eq!(statuses(&sim, "401"), [Some(401)], "{garbage:?} is not true");
    }
}

/// S-91
#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_had_again_is_sent_once() {
    for (order, step, certainty, advice) in [
        ("lost", Step::Fault(Fault::F3), Certainty::Unknown, Advice::SameKey),
        ("refused", Step::Fault(Fault::F0), Certainty::NotSent, Advice::NewKey),
        ("untouched", Step::Fault(Fault::F1 { pulled: 0 }), Certainty::NotSent, Advice::NewKey),
    ] {
        let sim = sim();
        sim.script(order, [step.clone()]);
        let call = transport(&sim).send(payment(order).map(SendOnce));
        let ended = timeout(secs(300), call).await.expect("it ends");
        let error = ended.expect_err("no answer arrives");
        assert_eq!((sim.log().len(), stop_of(&error)), (1, Some(Stop::Body)), "{order}");
        assert_eq!((error.certainty(), error.advice()), (certainty, advice));
        assert_eq!(sim.ledger().executions(order), u32::from(order == "lost"));
    }
    let sim = sim();
    sim.script("o", [broken()]);
    let response = transport(&sim).send(payment("o").map(SendOnce)).await.expect("something answered");
    assert_eq!((statuses(&sim, "o"), stop(&response)), (vec![Some(503)], Some(Stop::Body)));
    assert_eq!(response.certainty(), Some(Certainty::Unknown));
}

async fn gaps_of(
    sim: &Sim,
    order: &str,
    canned: Canned,
    retry: tower_stripe::retry::RetryBuilder,
) -> Vec<Duration> {
    sim.script(order, vec![Step::Answer(canned); 7]);
    let stripe = transport_of(sim, StripeTransport::builder().retry(retry.max_attempts(attempts(8))));
    let call = with(get("/v1/customers", order), Deadline::after(Deadline::MAX));
    assert_eq!(stripe.send(call).await.expect("the eighth attempt is answered").status(), 200);
    gaps(sim, order)
}

/// S-92
#[tokio::test(start_paused = true)]
async fn waits_double_up_to_a_cap_and_are_spread_over_their_upper_half() {
    let sim = sim();
    let limited = Canned::rate_limited(Reason::GlobalRate);
    for (order, canned, tops) in [
        ("broken", Canned::html(503), [500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]),
        ("limited", limited, [2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]),
    ] {
        let gaps = gaps_of(&sim, order, canned, RetryConfig::builder()).await;
        assert_eq!(gaps.len(), tops.len());
        for (gap, top) in gaps.iter().zip(tops) {
            // A timer of tokio's has a resolution of one millisecond.
            assert!(millis(top / 2) <= *gap && *gap <= millis(top + 2), "{order}: {gap:?} of {top} ms");
        }
    }
}

/// S-92
#[tokio::test(start_paused = true)]
async fn clients_that_fail_together_do_not_come_back_together_unless_told_to() {
    let sim = sim();
    let run = async |order: &str, retry| gaps_of(&sim, order, Canned::html(503), retry).await;
    let seeded = |seed| RetryConfig::builder().jitter_seed(seed);
    let (first, second) = (run("a", seeded(7)).await, run("b", seeded(7)).await);
    assert_eq!(first, second, "a seed makes it repeatable");
    assert_ne!(first, run("c", seeded(8)).await);
    assert_ne!(run("d", RetryConfig::builder()).await, run("e", RetryConfig::builder()).await);
}

/// S-93
#[tokio::test(start_paused = true)]
async fn a_wait_that_leaves_no_time_for_an_attempt_is_not_begun() {
    let sim = sim();
    let long = RetryConfig::builder().base_delay(secs(9)).max_delay(secs(9));
    let stripe = transport_of(&sim, StripeTransport::builder().retry(long));
    for (deadline, sent) in [(5, 1), (20, 2)] {
        let order = &format!("o{deadline}");
        sim.script(order, [broken()]);
        let began = time::now();
        let call = with(payment(order), Deadline::after(secs(deadline)));
        let response = stripe.send(call).await.expect("something answered");
        assert_eq!(statuses(&sim, order).len(), sent);
        if sent == 1 {
            assert_eq!((time::now(), stop(&response)), (began, Some(Stop::Deadline)), "it stops at once");
            assert_eq!(response.certainty(), Some(Certainty::Unknown));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_sets_the_number_of_retries() {
    for (limit, sent) in [(RetryLimit::NONE, 1), (RetryLimit::new(1), 2), (RetryLimit::new(5), 6)] {
        let sim = sim();
        sim.script("o", vec![Step::Fault(Fault::F3); 10]);
        let error = transport(&sim).send(with(payment("o"), limit)).await.expect_err("all answers are lost");
        assert_eq!((sim.log().len(), stop_of(&error)), (sent, Some(Stop::Attempts)));
        assert_eq!((error.certainty(), sim.ledger().executions("o")), (Certainty::Unknown, 1));
        assert_one_key_and_body(&sim, "o");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_sets_the_deadline_of_its_call() {
    let sim = sim();
    let late = || Step::Fault(Fault::F5 { delay: secs(200) });
    for (order, deadline) in
        [("after", Deadline::after(secs(4))), ("at", Deadline::at(time::now() + secs(8)))]
    {
        sim.script(order, [late()]);
        let began = time::now();
        let error = transport(&sim).send(with(payment(order), deadline)).await.expect_err("it is given up");
        assert!(error.is_timeout());
        assert_eq!((time::now() - began, stop_of(&error)), (secs(4), Some(Stop::Deadline)));
        assert_eq!((error.certainty(), statuses(&sim, order).len()), (Certainty::Unknown, 1));
    }

    let past = with(payment("past"), Deadline::after(Duration::ZERO));
    let error = transport(&sim).send(past).await.expect_err("refused");
    assert!(error.is_refused());
    assert_eq!((error.certainty(), error.attempts()), (Certainty::NotSent, 0));
    assert!(sim.log_of("past").is_empty());
    sim.quiesce().await;
    assert_eq!(sim.ledger().total(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_word_a_call_ends_within_75_seconds() {
    let sim = sim();
    sim.script("o", vec![Step::Fault(Fault::F5 { delay: secs(300) }); 3]);
    let began = time::now();
    let error = transport(&sim).send(payment("o")).await.expect_err("it is given up");

    assert_eq!(time::now() - began, secs(75), "two attempts of 30 s, and the third is cut");
    assert_eq!((error.certainty(), error.attempts()), (Certainty::Unknown, 3));
    sim.quiesce().await;
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

#[tokio::test(start_paused = true)]
async fn a_caller_sets_the_time_of_an_attempt() {
    for (limit, retried) in [(secs(3), true), (millis(200), true), (secs(50), false)] {
        let sim = sim();
        sim.script("o", [Step::Fault(Fault::F5 { delay: secs(40) })]);
        let began = time::now();
        let call = with(payment("o"), AttemptTimeout::new(limit));
        let response = transport(&sim).send(call).await.expect("stripe answers in the end");
        let log = sim.log_of("o");
        assert_eq!(log.len(), 1 + usize::from(retried));
        if retried {
            let gap = log[1].arrived - began;
            assert!(limit + millis(250) <= gap && gap <= limit + millis(502), "{gap:?}");
        }
        assert_eq!(response.certainty(), Some(Certainty::Executed));
        sim.quiesce().await;
        assert_eq!(sim.ledger().executions("o"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn reads_and_v1_deletes_are_repeated_without_a_key() {
    let sim = sim();
    let stripe = transport(&sim);
    let created = stripe.send(post("/v1/customers", "create", "name=x")).await.expect("created");
    let customer: serde_json::Value = serde_json::from_slice(&bytes(created).await).expect("json");
    let path = format!("/v1/customers/{}", customer["id"].as_str().expect("an id"));

    sim.script("get", [Step::Fault(Fault::F3), Step::Fault(Fault::F2)]);
    let response = stripe.send(get(&path, "get")).await.expect("the third attempt is answered");
    assert_eq!((response.status(), response.attempts()), (StatusCode::OK, Some(3)));
    assert_eq!(keys(&sim, "get"), [None, None, None]);

    sim.script("delete", [Step::Fault(Fault::F2)]);
    let response = stripe.send(request("DELETE", &path, "delete", "")).await.expect("deleted");
    assert_eq!((response.status(), response.certainty()), (StatusCode::OK, Some(Certainty::Executed)));
    assert_eq!(keys(&sim, "delete"), [None, None]);
    assert_eq!(sim.ledger().executions("delete"), 1);
}

/// S-20: the 404 stays one; it may well be the trace of the first attempt, so that nothing is certain.
#[tokio::test(start_paused = true)]
async fn a_v1_delete_that_finds_nothing_after_a_lost_answer_may_have_been_executed() {
    for lost in [Fault::F3, Fault::F2] {
        let sim = sim();
        let stripe = transport(&sim);
        let created = stripe.clone().send(post("/v1/customers", "create", "name=x")).await.expect("created");
        let customer: serde_json::Value = serde_json::from_slice(&bytes(created).await).expect("json");
        let path = format!("/v1/customers/{}", customer["id"].as_str().expect("an id"));
        sim.script("o", [Step::Fault(lost)]);
        let first = stripe.clone().send(request("DELETE", &path, "o", "")).await.expect("stripe answered");
        assert_eq!((keys(&sim, "o"), sim.ledger().executions("o")), (vec![None, None], 1));
        if lost == Fault::F2 {
            assert_eq!(first.certainty(), Some(Certainty::Executed));
            continue;
        }
        assert_eq!((statuses(&sim, "o"), first.outcome()), (vec![None, Some(404)], Some(Outcome::NotFound)));
        assert_eq!((first.certainty(), first.advice()), (Some(Certainty::Unknown), Some(Advice::Resend)));
        assert!(first.report().is_some_and(|report| report.may_be_gone()), "it says so");

        // Without an attempt before it that may have done it, it is a plain no.
        let again = stripe.send(request("DELETE", &path, "again", "")).await.expect("stripe answered");
        assert!(again.report().is_some_and(|report| !report.may_be_gone()));
        assert_eq!(
            (again.outcome(), again.certainty()),
            (Some(Outcome::NotFound), Some(Certainty::Rejected))
        );
    }
}

/// S-40
#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_time_gets_it() {
    let noon = SystemTime::UNIX_EPOCH + secs(1_767_268_800);
    let date = |after: u64| httpdate::fmt_http_date(noon + secs(after));
    for (asked, least) in [("7".to_owned(), 7), (date(9), 9), ("0".to_owned(), 0), ("soon".to_owned(), 0)] {
        let sim = sim();
        sim.script("o", [Step::Answer(Canned::html(503).header("retry-after", asked))]);
        let retry = RetryConfig::builder().wall_clock(WallClock::manual(noon));
        let stripe = transport_of(&sim, StripeTransport::builder().retry(retry));
        stripe.send(payment("o")).await.expect("paid");
        let gap = gaps(&sim, "o")[0];
        assert!(secs(least).max(millis(250)) <= gap && gap <= secs(least) + millis(502), "{gap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_too_much_time_ends_the_call() {
    for (asked, why) in
        [("61", Stop::RetryAfter), ("99999999999999999999", Stop::RetryAfter), ("30", Stop::Deadline)]
    {
        let sim = sim();
        sim.script("o", [Step::Answer(Canned::html(503).header("retry-after", asked))]);
        let began = time::now();
        let call = with(payment("o"), Deadline::after(secs(20)));
        let response = transport(&sim).send(call).await.expect("something answered");
        assert_eq!((stop(&response), time::now()), (Some(why), began), "{asked}");
        let hint = response.report().and_then(|report| report.retry_in());
        assert_eq!(hint, Some(secs(asked.parse().unwrap_or(u64::MAX))), "it is handed over");
        assert_eq!((sim.log().len(), response.certainty()), (1, Some(Certainty::Unknown)));
    }
}

/// S-40
#[tokio::test(start_paused = true)]
async fn a_date_ten_years_ahead_ends_the_call() {
    let sim = sim();
    let noon = SystemTime::UNIX_EPOCH + secs(1_767_268_800);
    let years = secs(10 * 365 * 24 * 3_600);
    let asked = httpdate::fmt_http_date(noon + years);
    sim.script("o", [Step::Answer(Canned::html(503).header("retry-after", asked))]);
    let retry = RetryConfig::builder().wall_clock(WallClock::manual(noon));
    let stripe = transport_of(&sim, StripeTransport::builder().retry(retry));
    let began = time::now();
    let response = stripe.send(payment("o")).await.expect("something answered");
    assert_eq!((stop(&response), time::now()), (Some(Stop::RetryAfter), began));
    assert_eq!(response.report().and_then(|report| report.retry_in()), Some(years), "it is handed over");
    assert_eq!((statuses(&sim, "o"), response.certainty()), (vec![Some(503)], Some(Certainty::Unknown)));
}

/// A response body that notes how much of it was read, and when it was dropped.
struct Watched {
    frames: usize,
    stalls: bool,
    notes: Arc<Notes>,
}

#[derive(Default)]
struct Notes {
    frames: AtomicUsize,
    ends: AtomicUsize,
    dropped: OnceLock<Instant>,
}

const FRAME: usize = 16 * 1024;

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.frames > 0 {
            self.frames -= 1;
            self.notes.frames.fetch_add(1, Ordering::Relaxed);
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; FRAME])))));
        }
        if self.stalls {
            return Poll::Pending; // For good: nothing will wake the reader but its own alarm.
        }
        self.notes.ends.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(None)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // A body that is moved is not dropped, so this is set once.
        let _ = self.notes.dropped.set(time::now());
    }
}

/// What came of the body of a 503 that asked for 30 s: its notes, and when the request was repeated.
async fn after_a_failure_with(frames: usize, stalls: bool) -> (Arc<Notes>, Instant) {
    let notes = Arc::new(Notes::default());
    let repeated = Arc::new(OnceLock::new());
    let sent = Arc::new(AtomicUsize::new(0));
    let (watched, when) = (Arc::clone(&notes), Arc::clone(&repeated));
    let client = tower::service_fn(move |_: Request<Full<Bytes>>| {
        let first = sent.fetch_add(1, Ordering::Relaxed) == 0;
        if !first {
            when.set(time::now()).expect("one retry is enough");
        }
        let body = if first {
            Watched { frames, stalls, notes: Arc::clone(&watched) }
        } else {
            Watched { frames: 0, stalls: false, notes: Arc::default() }
        };
        let response = Response::builder().status(if first { 503 } else { 200 }).header("retry-after", "30");
        async move { response.header("request-id", "req_1").body(body).map_err(BoxError::from) }
    });
    let request = Request::post("https://api.stripe.com/v1/refunds")
        .header("authorization", format!("Bearer {API_KEY}"))
        .body(Full::<Bytes>::from("charge=ch_1"))
        .expect("a valid request");
    let response = StripeTransport::new(client).send(request).await.expect("the retry is answered");
    assert_eq!((response.status(), response.attempts()), (StatusCode::OK, Some(2)));
    (notes, *repeated.get().expect("it was repeated"))
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_is_read_to_its_end_and_let_go_before_the_wait() {
    let began = time::now();
    let (notes, repeated) = after_a_failure_with(2, false).await;
    assert_eq!((notes.frames.load(Ordering::Relaxed), notes.ends.load(Ordering::Relaxed)), (2, 1));
    assert_eq!(notes.dropped.get(), Some(&began), "nothing holds its connection during the wait");
    assert!(repeated - began >= secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_without_an_end_is_let_go_after_a_bounded_read() {
    let began = time::now();
    let (notes, repeated) = after_a_failure_with(usize::MAX, false).await;
    let read = notes.frames.load(Ordering::Relaxed) * FRAME;
    assert!(read <= (64 + 64) * 1024 + 2 * FRAME, "{read} bytes were read");
    assert_eq!(notes.dropped.get(), Some(&began));
    assert!(repeated - began >= secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_that_stalls_is_let_go_after_a_moment() {
    let began = time::now();
    let (notes, repeated) = after_a_failure_with(1, true).await;
    let held = *notes.dropped.get().expect("dropped") - began;
    assert!(held <= millis(1_102), "classify gives it a second, and draining 100 ms; it was held {held:?}");
    assert!(repeated - began >= secs(30));
}

/// S-90: of two lines that contradict each other Stripe wrote one at most.
#[tokio::test(start_paused = true)]
async fn a_should_retry_that_contradicts_itself_is_ignored() {
    let sim = sim();
    let both = |canned: Canned, a: &'static str, b: &'static str| {
        Step::Answer(canned.header_line("stripe-should-retry", a).header_line("stripe-should-retry", b))
    };
    sim.script("503", [both(Canned::html(503), "false", "true")]);
    sim.script("401", [both(Canned::unauthorized(), "true", "false")]);
    transport(&sim).send(payment("503")).await.expect("paid");
    transport(&sim).send(payment("401")).await.expect("answered");
    assert_eq!((statuses(&sim, "503").len(), statuses(&sim, "401").len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_longest_of_two_retry_afters_is_waited_for() {
    let sim = sim();
    let answer = Canned::html(503).header_line("retry-after", "1").header_line("retry-after", "20");
    sim.script("o", [Step::Answer(answer)]);
    transport(&sim).send(payment("o")).await.expect("paid");
    assert!(gaps(&sim, "o")[0] >= secs(20), "{:?}", gaps(&sim, "o"));
}

/// A layer within has read 80 KiB of it, and hands them on as one frame.
#[tokio::test(start_paused = true)]
async fn a_failed_response_of_96_kib_is_read_to_its_end() {
    let (notes, _) = after_a_failure_with(6, false).await;
    assert_eq!((notes.frames.load(Ordering::Relaxed), notes.ends.load(Ordering::Relaxed)), (6, 1));
}
