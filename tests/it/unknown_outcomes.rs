//! An answer that was lost is neither lost money nor a second charge.

use std::{
    error::Error as StdError,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use stripe_sim::{Canned, Fault, Reason, Step};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tower::Service;
use tower_stripe::{
    Advice, Certainty, Error, Failure, FailureKind, Outcome, ResponseExt, RetryLimit, StripeBody,
    StripeTransport, TransportError,
    retry::{BudgetConfig, RetryConfig},
    vocab::{BodyError, Purpose, Ratio, Stop, time},
};

use crate::support::{
    assert_one_key_and_body, bytes, gaps, get, keyed, keys, millis, payment, payment_with, secs, sim,
    statuses, stop, stop_of, transport, transport_of, with,
};

/// A client that fails so many times, and then answers.
#[derive(Clone)]
struct Failing {
    failure: Failure,
    left: Arc<AtomicUsize>,
    arrivals: UnboundedSender<Instant>,
}

#[derive(Debug)]
struct Failed(Failure);

impl TransportError for Failed {
    fn failure(&self) -> Failure {
        self.0
    }

    fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        None
    }
}

impl Service<Request<Full<Bytes>>> for Failing {
    type Response = Response<Full<Bytes>>;
    type Error = Failed;
    type Future = Ready<Result<Response<Full<Bytes>>, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        self.arrivals.send(time::now()).expect("the test listens");
        let take_one = |left: usize| left.checked_sub(1);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one) {
            Ok(_) => ready(Err(Failed(self.failure))),
            Err(_) => {
                let mut response = Response::new(Full::default());
                response.headers_mut().insert("request-id", HeaderValue::from_static("req_1"));
                ready(Ok(response))
            }
        }
    }
}

/// Sends a payment through a client that fails so many times; also, when requests came to the client.
async fn send_failing(
    failure: Failure,
    times: usize,
    limit: RetryLimit,
) -> (Result<Response<StripeBody<Full<Bytes>>>, Error<Failed>>, Vec<Instant>) {
    let (arrivals, mut arrived) = unbounded_channel();
    let client = Failing { failure, left: Arc::new(AtomicUsize::new(times)), arrivals };
    let result = StripeTransport::new(client).send(with(payment("o"), limit)).await;
    (result, std::iter::from_fn(|| arrived.try_recv().ok()).collect())
}

/// S-01
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_fetched_with_the_same_key_and_charges_once() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3)]);
    let response = transport(&sim).send(payment("o")).await.expect("the second attempt is answered");

    assert_eq!(response.status(), 200);
    assert_eq!(response.was_replayed(), Some(true));
    assert_eq!(response.certainty(), Some(Certainty::Executed));
    assert_eq!(response.advice(), Some(Advice::Done));
    assert_eq!(response.attempts(), Some(2));
    assert_eq!(statuses(&sim, "o"), [None, Some(200)]);
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

/// S-02
#[tokio::test(start_paused = true)]
async fn answers_that_are_all_lost_leave_the_key_to_come_back_with() {
    let sim = sim();
    sim.script("o", vec![Step::Fault(Fault::F3); 3]);
    let stripe = transport(&sim);
    let error = stripe.send(payment("o")).await.expect_err("no answer arrives");

    assert!(error.is_transport());
    assert_eq!(error.outcome(), Outcome::Transport(FailureKind::Reset));
    assert_eq!(error.certainty(), Certainty::Unknown);
    assert_eq!(error.advice(), Advice::SameKey);
    assert_eq!(error.attempts(), 3);
    assert_eq!(error.request_id(), None, "the client never learnt an id");
    assert_eq!(stop_of(&error), Some(Stop::Attempts));
    let report = error.report().expect("a report");
    assert!(report.attempts().iter().all(|attempt| attempt.certainty == Certainty::Unknown));
    assert_one_key_and_body(&sim, "o");
    assert_eq!(sim.ledger().executions("o"), 1);

    let key = error.idempotency_key().expect("the key in force");
    assert_eq!(keys(&sim, "o"), vec![Some(key.as_str().to_owned()); 3]);
    let response = stripe.send(with(payment("o"), key)).await.expect("stripe is back");
    assert_eq!(response.was_replayed(), Some(true));
    assert_eq!(response.advice(), Some(Advice::Done));
    assert_eq!(sim.ledger().executions("o"), 1);
}

/// S-03
#[tokio::test(start_paused = true)]
async fn connections_that_are_refused_prove_that_nothing_was_sent() {
    let sim = sim();
    for (order, request, advice) in [
        ("generated", payment("generated"), Advice::NewKey),
        ("callers", keyed(payment("callers"), "order-8812"), Advice::SameKey),
    ] {
        sim.script(order, vec![Step::Fault(Fault::F0); 3]);
        let error = transport(&sim).send(request).await.expect_err("no connection is made");

        assert_eq!(error.outcome(), Outcome::Transport(FailureKind::Tcp));
        assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, advice), "{order}");
        assert_eq!((error.attempts(), stop_of(&error)), (3, Some(Stop::Attempts)));
        assert_eq!(statuses(&sim, order), [None; 3]);
        assert!(sim.log_of(order).iter().all(|seen| seen.body.is_empty()));
        assert_eq!(sim.ledger().executions(order), 0);
        assert_one_key_and_body(&sim, order);
    }
}

/// S-04
#[tokio::test(start_paused = true)]
async fn a_limiter_after_a_lost_answer_leaves_it_unknown() {
    let sim = sim();
    let limited = || Step::Answer(Canned::rate_limited(Reason::GlobalRate));
    sim.script("o", [Step::Fault(Fault::F3), limited(), limited()]);
    let response = transport(&sim).send(payment("o")).await.expect("stripe answered");

    assert_eq!(statuses(&sim, "o"), [None, Some(429), Some(429)]);
    assert!(matches!(response.outcome(), Some(Outcome::RateLimited(_))));
    assert_eq!(response.certainty(), Some(Certainty::Unknown));
    assert_eq!(response.advice(), Some(Advice::SameKey));
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

/// S-05
#[tokio::test(start_paused = true)]
async fn an_api_key_refused_after_a_lost_answer_leaves_it_unknown() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3), Step::Answer(Canned::unauthorized())]);
    let response = transport(&sim).send(payment("o")).await.expect("stripe answered");

    assert_eq!(statuses(&sim, "o"), [None, Some(401)]);
    assert_eq!(response.status(), 401);
    assert_eq!(response.outcome(), Some(Outcome::Unauthorized));
    assert_eq!(response.certainty(), Some(Certainty::Unknown));
    assert_eq!(response.advice(), Some(Advice::SameKey));
    assert_eq!(stop(&response), Some(Stop::Final));
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

/// S-06
#[tokio::test(start_paused = true)]
async fn a_key_in_use_after_a_lost_answer_is_polled_until_it_is_free() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3), Step::Answer(Canned::key_in_use())]);
    let response = transport(&sim).send(payment("o")).await.expect("the key is free in the end");

    assert_eq!(statuses(&sim, "o"), [None, Some(409), Some(200)]);
    assert_eq!(response.was_replayed(), Some(true));
    assert_eq!(response.certainty(), Some(Certainty::Executed));
    let report = response.report().expect("a report");
    let purposes: Vec<_> = report.attempts().iter().map(|attempt| attempt.purpose).collect();
    assert_eq!(purposes, [Purpose::First, Purpose::Retry, Purpose::Poll]);
    assert!(gaps(&sim, "o")[1] >= millis(250), "polls wait too");
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

/// S-07
#[tokio::test(start_paused = true)]
async fn a_mismatch_after_a_lost_answer_never_gets_a_new_key() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3), Step::Answer(Canned::idempotency_error())]);
    let response = transport(&sim).send(payment("o")).await.expect("stripe answered");

    assert_eq!(statuses(&sim, "o"), [None, Some(400)]);
    assert_eq!(response.outcome(), Some(Outcome::KeyMismatch));
    assert_eq!(response.certainty(), Some(Certainty::Unknown));
    assert_eq!(response.advice(), Some(Advice::Reconcile));
    assert_eq!(sim.ledger().executions("o"), 1);
    assert_one_key_and_body(&sim, "o");
}

/// S-07: and as Stripe itself says so.
#[tokio::test(start_paused = true)]
async fn a_key_used_for_another_order_executes_nothing_and_is_to_be_looked_up() {
    let sim = sim();
    let stripe = transport(&sim);
    stripe.send(keyed(payment("first"), "shared")).await.expect("paid");
    let response = stripe.send(keyed(payment("second"), "shared")).await.expect("stripe answered");

    assert_eq!(statuses(&sim, "second"), [Some(400)]);
    assert_eq!(response.outcome(), Some(Outcome::KeyMismatch));
    assert_eq!(response.certainty(), Some(Certainty::Rejected));
    assert_eq!(response.advice(), Some(Advice::Reconcile));
    assert_eq!((sim.ledger().executions("first"), sim.ledger().executions("second")), (1, 0));
}

/// S-10
#[tokio::test(start_paused = true)]
async fn an_empty_budget_after_a_lost_answer_leaves_it_unknown() {
    let sim = sim();
    let budget = BudgetConfig::default().max_balance(1).per_second(0).ratio(Ratio::percent(0));
    let stripe = transport_of(&sim, StripeTransport::builder().retry(RetryConfig::builder().budget(budget)));
    for order in ["a", "b"] {
        sim.script(order, [Step::Fault(Fault::F3)]);
    }
    stripe.clone().send(payment("a")).await.expect("one retry is left");
    let error = stripe.send(payment("b")).await.expect_err("none is left");

    assert_eq!(stop_of(&error), Some(Stop::Budget));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!((statuses(&sim, "a").len(), statuses(&sim, "b").len()), (2, 1));
    assert_eq!((sim.ledger().executions("a"), sim.ledger().executions("b")), (1, 1));
}

/// S-12
#[tokio::test(start_paused = true)]
async fn a_request_that_was_given_up_and_lands_later_charges_nobody_twice() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F5 { delay: secs(60) })]);
    let began = time::now();
    let response = transport(&sim).send(payment("o")).await.expect("the second attempt is answered");

    assert_eq!(response.certainty(), Some(Certainty::Executed));
    assert_eq!(response.was_replayed(), Some(false), "it overtook the first");
    assert_eq!(response.attempts(), Some(2));
    assert!(sim.log_of("o")[1].arrived - began < secs(31), "the first was given up at 30 s");
    assert_eq!((sim.ledger().executions("o"), sim.in_flight()), (1, 1));
    sim.quiesce().await;
    assert!(time::now() - began >= secs(60));
    let log = sim.log_of("o");
    assert_eq!([log[0].executed, log[0].replayed], [false, true], "the late one is a repetition");
    assert_eq!([log[1].executed, log[1].replayed], [true, false]);
    assert_eq!((sim.ledger().executions("o"), sim.in_flight()), (1, 0));
    assert_one_key_and_body(&sim, "o");
}

/// S-12: with nobody to overtake it.
#[tokio::test(start_paused = true)]
async fn a_timeout_is_unknown_because_it_may_be_executed_yet() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F5 { delay: secs(50) })]);
    let stripe = transport_of(&sim, StripeTransport::builder().attempt_timeout(secs(7)));
    let began = time::now();
    let error = stripe.send(with(payment("o"), RetryLimit::NONE)).await.expect_err("it is given up");

    assert_eq!(time::now() - began, secs(7));
    assert!(error.is_timeout());
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!((sim.ledger().executions("o"), statuses(&sim, "o")), (0, vec![None]));
    sim.quiesce().await;
    assert_eq!(sim.ledger().executions("o"), 1);

    let key = error.idempotency_key().expect("the key in force");
    let response = stripe.send(with(payment("o"), key)).await.expect("stripe is back");
    assert_eq!(response.was_replayed(), Some(true));
    assert_eq!(sim.ledger().executions("o"), 1);
}

/// S-15
#[tokio::test(start_paused = true)]
async fn a_stored_500_is_looked_at_once_more_and_left_to_the_webhook() {
    for executed in [true, false] {
        let sim = sim();
        sim.script("o", [Step::Fault(Fault::StoredServerError { executed })]);
        let response = transport(&sim).send(payment("o")).await.expect("stripe answered");

        assert_eq!(statuses(&sim, "o"), [Some(500), Some(500)]);
        assert_eq!(response.was_replayed(), Some(true));
        assert_eq!(response.certainty(), Some(Certainty::Unknown));
        assert_eq!(response.advice(), Some(Advice::Reconcile));
        assert_eq!(stop(&response), Some(Stop::Final));
        assert_eq!(sim.ledger().executions("o"), u32::from(executed));
        assert_one_key_and_body(&sim, "o");
    }
}

/// S-15: where Stripe did not store it.
#[tokio::test(start_paused = true)]
async fn a_500_to_a_post_is_repeated_once_at_most() {
    let sim = sim();
    let broken = || Step::Answer(Canned::html(500));
    sim.script("o", [broken(), broken(), broken()]);
    let response = transport(&sim).send(payment("o")).await.expect("something answered");

    assert_eq!(statuses(&sim, "o"), [Some(500), Some(500)]);
    assert_eq!(response.certainty(), Some(Certainty::Unknown));
    assert_eq!(response.advice(), Some(Advice::SameKey));
    assert_one_key_and_body(&sim, "o");
}

/// S-16
#[tokio::test(start_paused = true)]
async fn a_500_that_stripe_says_not_to_repeat_is_unknown_at_once() {
    let sim = sim();
    sim.script("o", [Step::Answer(Canned::html(500).header("stripe-should-retry", "false"))]);
    let response = transport(&sim).send(payment("o")).await.expect("stripe answered");

    assert_eq!(statuses(&sim, "o"), [Some(500)]);
    assert_eq!(response.certainty(), Some(Certainty::Unknown));
    assert_eq!(response.advice(), Some(Advice::SameKey));
    assert_eq!(stop(&response), Some(Stop::Header));
}

/// S-18
#[tokio::test(start_paused = true)]
async fn a_broken_gateway_is_unknown_and_tried_again() {
    for status in [502, 503, 504] {
        let sim = sim();
        let broken = || Step::Answer(Canned::html(status));
        sim.script("post", [broken(), broken()]);
        let response = transport(&sim).send(payment("post")).await.expect("stripe is back");
        assert_eq!(statuses(&sim, "post"), [Some(status), Some(status), Some(200)]);
        let report = response.report().expect("a report");
        let certainties: Vec<_> = report.attempts().iter().map(|attempt| attempt.certainty).collect();
        assert_eq!(certainties, [Certainty::Unknown, Certainty::Unknown, Certainty::Executed]);
        assert_eq!(sim.ledger().executions("post"), 1);
        assert_one_key_and_body(&sim, "post");

        sim.script("down", [broken(), broken(), broken()]);
        let response = transport(&sim).send(payment("down")).await.expect("something answered");
        assert_eq!(response.certainty(), Some(Certainty::Unknown));
        assert_eq!(response.advice(), Some(Advice::SameKey));
        assert_eq!((statuses(&sim, "down").len(), sim.ledger().executions("down")), (3, 0));

        sim.script("get", [broken(), broken()]);
        let response = transport(&sim).send(get("/v1/customers", "get")).await.expect("stripe is back");
        assert_eq!(response.status(), 200);
        assert_eq!(statuses(&sim, "get"), [Some(status), Some(status), Some(200)]);
        assert_eq!(keys(&sim, "get"), [None, None, None]);
    }
}

/// S-18b
#[tokio::test(start_paused = true)]
async fn a_request_that_was_handed_back_is_sent_again_at_once_and_once() {
    for (handed_back, limit, sent) in [
        (1, RetryLimit::NONE, 2),
        (2, RetryLimit::NONE, 2),
        (2, RetryLimit::new(1), 3),
        (9, RetryLimit::new(1), 3),
    ] {
        let began = time::now();
        let failure = Failure::handed_back(FailureKind::StreamRefused);
        let (result, arrivals) = send_failing(failure, handed_back, limit).await;

        assert_eq!(arrivals.len(), sent, "{handed_back} {limit:?}");
        assert_eq!(arrivals[..2], [began, began], "the first time costs no wait");
        assert!(arrivals[2..].iter().all(|arrival| *arrival - began >= millis(250)));
        match result {
            Ok(response) => assert_eq!(response.certainty(), Some(Certainty::Executed)),
            Err(error) => {
                assert!(handed_back >= sent);
                assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::NewKey));
                assert_eq!(error.report().map(|report| report.attempts()[1].purpose), Some(Purpose::Resend));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_is_not_trusted_is_not_tried_again() {
    let (result, arrivals) = send_failing(Failure::not_sent(FailureKind::Tls), 9, RetryLimit::new(5)).await;
    let error = result.expect_err("no connection is made");

    assert_eq!(arrivals.len(), 1);
    assert_eq!(stop_of(&error), Some(Stop::Final));
    assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::NewKey));
}

/// S-18c
#[tokio::test(start_paused = true)]
async fn a_rejection_says_nothing_about_a_request_that_is_still_on_its_way() {
    let sim = sim();
    let wrong = Canned::json(400, &serde_json::json!({"error": {"type": "invalid_request_error"}}));
    sim.script("o", [Step::Fault(Fault::F5 { delay: secs(60) }), Step::Answer(wrong)]);
    let response = transport(&sim).send(payment("o")).await.expect("stripe answered");

    assert_eq!(response.outcome(), Some(Outcome::InvalidRequest));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Unknown), Some(Advice::SameKey)));
    assert_eq!((statuses(&sim, "o"), sim.ledger().executions("o")), (vec![None, Some(400)], 0));
    sim.quiesce().await;
    assert_eq!(sim.ledger().executions("o"), 1, "the first one landed");
}

#[tokio::test(start_paused = true)]
async fn a_request_given_up_in_the_middle_is_unknown_and_not_repeated() {
    for status in [408, 424, 499] {
        let sim = sim();
        sim.script("o", [Step::Answer(Canned::empty(status))]);
        let response = transport(&sim).send(payment("o")).await.expect("something answered");
        assert_eq!((response.outcome(), stop(&response)), (Some(Outcome::Interrupted), Some(Stop::Final)));
        assert_eq!(
            (response.certainty(), response.advice()),
            (Some(Certainty::Unknown), Some(Advice::SameKey))
        );
        assert_eq!((statuses(&sim, "o"), sim.ledger().executions("o")), (vec![Some(status)], 0));
    }
}

/// S-18a
#[tokio::test(start_paused = true)]
async fn a_reset_proves_something_only_if_the_body_was_not_touched() {
    for (pulled, certainty, advice) in
        [(0, Certainty::NotSent, Advice::NewKey), (1, Certainty::Unknown, Advice::SameKey)]
    {
        let sim = sim();
        sim.script("o", vec![Step::Fault(Fault::F1 { pulled }); 3]);
        let error = transport(&sim).send(payment("o")).await.expect_err("every connection dies");
        assert_eq!((error.certainty(), error.advice()), (certainty, advice));
        assert_eq!(statuses(&sim, "o"), [None; 3]);
        assert!(sim.log_of("o").iter().all(|seen| seen.body.is_empty() == (pulled == 0)));
        assert_eq!(sim.ledger().executions("o"), 0);
        assert_one_key_and_body(&sim, "o");
    }
}

/// S-13, where the body is left to the caller.
#[tokio::test(start_paused = true)]
async fn a_success_whose_body_breaks_off_was_executed() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F4Cut)]);
    let response = transport(&sim).send(payment("o")).await.expect("the head arrives");
    let handle = response.report_handle().expect("a report").clone();
    let error = response.into_body().collect().await.expect_err("it breaks off");

    assert!(matches!(error, BodyError::Transport(_)));
    assert_eq!(handle.report().certainty(), Certainty::Executed);
    assert_eq!(handle.report().advice(), Advice::Done);
    assert_eq!(statuses(&sim, "o"), [Some(200)]);
    assert_eq!(sim.ledger().executions("o"), 1);
}

/// S-13, where it stalls: it ends at the deadline of the call.
#[tokio::test(start_paused = true)]
async fn a_success_whose_body_stalls_ends_at_the_deadline_and_was_executed() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F4Stall)]);
    let stripe = transport_of(&sim, StripeTransport::builder().deadline(secs(40)));
    let began = time::now();
    let response = stripe.send(payment("o")).await.expect("the head arrives");
    assert_eq!(time::now(), began, "a success is not read");
    let handle = response.report_handle().expect("a report").clone();
    let error = response.into_body().collect().await.expect_err("it stalls");

    assert!(matches!(error, BodyError::Deadline));
    assert_eq!(time::now() - began, secs(40));
    assert_eq!(handle.report().certainty(), Certainty::Executed);
    assert_eq!(handle.report().advice(), Advice::Done);
    assert_eq!(statuses(&sim, "o"), [Some(200)]);
    assert_eq!(sim.ledger().executions("o"), 1);
}

/// S-14
#[tokio::test(start_paused = true)]
async fn a_decline_whose_body_breaks_off_is_a_decline() {
    for fault in [Fault::F4Cut, Fault::F4Stall] {
        let sim = sim();
        sim.script("o", [Step::Fault(fault)]);
        let began = time::now();
        let response = transport(&sim)
            .send(payment_with("o", "pm_card_chargeDeclined"))
            .await
            .expect("the head arrives");

        assert!(time::now() - began <= secs(1), "an error body is read for a second at most");
        assert_eq!(response.outcome(), Some(Outcome::Declined));
        assert_eq!(response.certainty(), Some(Certainty::Rejected));
        assert_eq!(response.advice(), Some(Advice::NewKey));
        assert_eq!(statuses(&sim, "o"), [Some(402)]);
        assert_eq!((sim.ledger().executions("o"), sim.ledger().declines("o")), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_proxy_is_no_execution() {
    let sim = sim();
    sim.script("o", [Step::Answer(Canned::html(200))]);
    let response = transport(&sim).send(payment("o")).await.expect("something answered");

    assert_eq!(response.status(), 200);
    assert_eq!(response.outcome(), Some(Outcome::Foreign));
    assert_eq!(response.certainty(), Some(Certainty::Unknown));
    assert_eq!(response.advice(), Some(Advice::SameKey));
    assert_eq!(statuses(&sim, "o"), [Some(200)]);
    assert_eq!(sim.ledger().executions("o"), 0);
    assert!(bytes(response).await.starts_with(b"<html>"), "the page is handed on");
}

/// S-95
#[tokio::test(start_paused = true)]
async fn a_redirect_is_returned_and_never_followed() {
    for (status, location) in [(302, "https://evil.example/"), (307, "https://api.stripe.com/v1/customers")] {
        let sim = sim();
        let moved = || Step::Answer(Canned::empty(status).header("location", location));
        sim.script("post", [moved()]);
        let response = transport(&sim).send(payment("post")).await.expect("something answered");
        assert_eq!(response.headers()["location"], location);
        assert_eq!(response.outcome(), Some(Outcome::Redirect));
        assert_eq!(
            (response.certainty(), response.advice()),
            (Some(Certainty::Unknown), Some(Advice::SameKey))
        );
        assert_eq!((sim.log().len(), sim.ledger().total()), (1, 0));

        sim.script("get", [moved()]);
        let response = transport(&sim).send(get("/v1/customers", "get")).await.expect("something answered");
        assert_eq!(response.status(), status);
        assert_eq!(response.certainty(), Some(Certainty::Rejected));
        assert_eq!((sim.log().len(), stop(&response)), (2, Some(Stop::Final)));
    }
}
