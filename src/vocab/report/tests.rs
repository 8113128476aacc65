use bytes::Bytes;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::Full;
use proptest::prelude::*;

use super::*;
use crate::vocab::{
    Advice, Attempt, CallKind, Certainty, Failure, IdempotencyKey, Operation, Purpose, Refusal, RequestId,
    SendProof, Standing,
    key::{History, KeyClock},
    time,
};
use crate::vocab::{
    Error, FailureKind, Outcome, ResponseExt, headers::IDEMPOTENCY_KEY, time::WallClock, tracked::Tracked,
};

const SECRET: &str = "sk_live_51SecretSecret";
const KEY: &str = "order-8812-secret";

/// A keyed v1 POST, with everything in it that must never be shown.
fn post() -> Request<()> {
    Request::post("https://api.stripe.com/v1/refunds")
        .header(IDEMPOTENCY_KEY, KEY)
        .header("authorization", format!("Bearer {SECRET}"))
        .body(())
        .unwrap()
}

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

fn stripes() -> HeaderMap {
    headers(&[("request-id", "req_1")])
}

const LOST: Failure = Failure::unknown(FailureKind::Timeout);
const NOT_SENT: Failure = Failure::not_sent(FailureKind::Tcp);

fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap()
}

fn proof() -> (Tracked<Full<Bytes>>, SendProof) {
    Tracked::new(Full::new(Bytes::from_static(b"amount=1099")))
}

fn pull(body: &mut Tracked<Full<Bytes>>) -> bool {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    matches!(std::pin::Pin::new(body).poll_frame(&mut cx), std::task::Poll::Ready(Some(Ok(_))))
}

/// Makes one attempt that is answered.
fn attempt(handle: &Recorder, purpose: Purpose, answer: u16) -> Attempt {
    let entered = handle.enter(&post(), purpose);
    handle.answered(status(answer), &stripes());
    entered.close().expect("nobody else is in it")
}

fn outcomes(handle: &Recorder) -> Vec<&'static str> {
    handle.report().attempts().iter().map(|attempt| attempt.outcome.as_str()).collect()
}

// === who owns an attempt ===

#[test]
fn the_outermost_layer_owns_an_attempt_and_the_layers_within_only_add() {
    let handle = Recorder::default();
    let outer = handle.enter(&post(), Purpose::Retry);
    let inner = handle.enter(&post(), Purpose::First);
    let innermost = handle.enter(&post(), Purpose::First);
    innermost.answered(status(500), &stripes());
    assert_eq!(handle.last_attempt(|attempt| attempt.outcome), Some(Outcome::Cancelled), "not the owner");
    handle.answered(status(402), &stripes());
    assert!(inner.close().is_none());
    drop(innermost);
    let report = handle.report();
    assert_eq!((report.attempts_made(), report.stopped()), (1, None), "still open");
    outer.answered(status(200), &stripes());
    let attempt = outer.close().expect("the owner");
    assert_eq!((attempt.outcome, attempt.purpose), (Outcome::Declined, Purpose::Retry));
    assert_eq!(outcomes(&handle), ["declined"]);
}

#[test]
fn an_owner_that_hears_nothing_from_within_says_what_it_knows_itself() {
    let handle = Recorder::default();
    let entered = handle.enter(&post(), Purpose::First);
    entered.answered(status(200), &stripes());
    assert_eq!(entered.close().map(|attempt| attempt.outcome), Some(Outcome::Success));
    let entered = handle.enter(&post(), Purpose::First);
    let attempt = entered.close().expect("the owner");
    assert_eq!(attempt.outcome, Outcome::Transport(FailureKind::Other));
    assert_eq!(attempt.certainty, Certainty::Unknown, "an error of which nothing is known proves nothing");
    assert_eq!(handle.report().stopped(), None);
}

#[test]
fn dropping_an_attempt_means_that_the_caller_went_away() {
    let handle = Recorder::default();
    drop(handle.enter(&post(), Purpose::First));
    let report = handle.report();
    assert_eq!(outcomes(&handle), ["cancelled"]);
    assert_eq!((report.certainty(), report.stopped()), (Certainty::Unknown, Some(Stop::Cancelled)));
    assert_eq!(report.advice(), Advice::SameKey);
    // An answer that had arrived stands.
    let handle = Recorder::default();
    let entered = handle.enter(&post(), Purpose::First);
    handle.answered(status(200), &stripes());
    drop(entered);
    assert_eq!(handle.certainty(), Certainty::Executed);
    assert_eq!(handle.report().stopped(), Some(Stop::Cancelled));
}

#[test]
fn after_an_attempt_was_closed_the_next_one_can_be_entered_and_nothing_is_added_in_between() {
    let handle = Recorder::default();
    attempt(&handle, Purpose::First, 503);
    handle.answered(status(200), &stripes());
    handle.refined(Some("lock_timeout"), None);
    handle.identified(None, None);
    handle.failed(NOT_SENT);
    assert_eq!(outcomes(&handle), ["server_error"]);
    assert_eq!(handle.certainty(), Certainty::Unknown);
    attempt(&handle, Purpose::Retry, 200);
    assert_eq!(outcomes(&handle), ["server_error", "success"]);
    assert_eq!(handle.attempts_made(), 2);
}

// === proofs ===

#[test]
fn an_untouched_body_proves_that_a_failed_attempt_was_never_sent() {
    let handle = Recorder::default();
    let entered = handle.enter(&post(), Purpose::First);
    let (mut body, proof) = proof();
    handle.register_proof(proof);
    handle.failed(LOST);
    let attempt = entered.close().expect("the owner");
    assert_eq!(attempt.certainty, Certainty::NotSent);
    assert_eq!(
        attempt.outcome,
        Outcome::Transport(FailureKind::Timeout),
        "what went wrong is another matter"
    );
    assert!(!attempt.resend);
    assert!(!pull(&mut body), "the body is closed for good");
    assert_eq!(handle.certainty(), Certainty::NotSent);
}

#[test]
fn an_untouched_body_proves_that_a_dropped_attempt_was_never_sent() {
    let handle = Recorder::default();
    let entered = handle.enter(&post(), Purpose::First);
    let (mut body, proof) = proof();
    handle.register_proof(proof);
    assert_eq!(handle.certainty(), Certainty::Unknown, "as long as it may still leave");
    drop(entered);
    assert!(!pull(&mut body));
    assert_eq!(handle.certainty(), Certainty::NotSent);
    assert_eq!(handle.report().stopped(), Some(Stop::Cancelled));
}

#[test]
fn an_error_of_which_nothing_is_known_asks_the_body_too() {
    let handle = Recorder::default();
    let entered = handle.enter(&post(), Purpose::First);
    handle.register_proof(proof().1);
    assert_eq!(entered.close().map(|attempt| attempt.certainty), Some(Certainty::NotSent));
}

#[test]
fn a_body_of_which_a_frame_was_taken_proves_nothing() {
    for dropped in [true, false] {
        let handle = Recorder::default();
        let entered = handle.enter(&post(), Purpose::First);
        let (mut body, proof) = proof();
        handle.register_proof(proof);
        assert!(pull(&mut body));
        if dropped {
            drop(entered);
        } else {
            handle.failed(LOST);
            entered.close();
        }
        assert_eq!(handle.certainty(), Certainty::Unknown);
    }
}

#[test]
fn looking_at_a_report_closes_no_body() {
    let handle = Recorder::default();
    let entered = handle.enter(&post(), Purpose::First);
    let (mut body, proof) = proof();
    handle.register_proof(proof);
    assert_eq!(handle.report().certainty(), Certainty::Unknown);
    assert!(!format!("{handle:?}").is_empty());
    assert!(pull(&mut body), "the attempt is still under way");
    drop(entered);
}

#[test]
fn the_proof_of_one_attempt_says_nothing_about_another() {
    let handle = Recorder::default();
    handle.register_proof(proof().1); // No attempt is open.
    let entered = handle.enter(&post(), Purpose::First);
    handle.failed(LOST);
    entered.close();
    assert_eq!(handle.certainty(), Certainty::Unknown);

    let handle = Recorder::default();
    let first = handle.enter(&post(), Purpose::First);
    handle.register_proof(proof().1);
    handle.answered(status(503), &stripes());
    first.close();
    let second = handle.enter(&post(), Purpose::Retry);
    handle.failed(LOST);
    assert_eq!(second.close().map(|attempt| attempt.certainty), Some(Certainty::Unknown));

    // Nor that of an attempt that turned out to be a whole call.
    let handle = Recorder::default();
    let outer = handle.enter(&post(), Purpose::First);
    handle.register_proof(proof().1);
    handle.take_over(&post());
    let inner = handle.enter(&post(), Purpose::First);
    handle.failed(LOST);
    assert_eq!(inner.close().map(|attempt| attempt.certainty), Some(Certainty::Unknown));
    drop(outer);
}

#[test]
fn a_head_beats_every_failure_and_every_proof() {
    for (answer, expected) in
        [(200, Certainty::Executed), (402, Certainty::Rejected), (500, Certainty::Unknown)]
    {
        let handle = Recorder::default();
        let entered = handle.enter(&post(), Purpose::First);
        let (mut body, proof) = proof();
        handle.register_proof(proof);
        handle.answered(status(answer), &stripes());
        handle.failed(NOT_SENT);
        handle.failed_if_unheard(|| panic!("it was heard"));
        assert_eq!(entered.close().map(|attempt| attempt.certainty), Some(expected));
        assert!(pull(&mut body), "nothing was claimed: an early answer does not cut the request off");
    }
}

// === taking over and handing on ===

#[test]
fn a_layer_that_makes_the_attempts_takes_over_from_one_that_took_them_for_one() {
    let handle = Recorder::default();
    let outer = handle.enter(&post(), Purpose::First); // As a timeout around a retry.
    handle.take_over(&post());
    assert_eq!(handle.certainty(), Certainty::Unknown, "as long as the call goes on");
    assert_eq!(handle.proven(), Certainty::NotSent, "it says itself when it sends");
    attempt(&handle, Purpose::First, 503);
    attempt(&handle, Purpose::Retry, 200);
    assert!(outer.close().is_none(), "it owns nothing any more");
    assert_eq!(outcomes(&handle), ["server_error", "success"]);
    assert_eq!((handle.attempts_made(), handle.certainty()), (2, Certainty::Executed));
}

#[test]
fn where_nothing_is_open_there_is_nothing_to_take_over() {
    let handle = Recorder::default();
    handle.take_over(&post());
    let report = handle.report();
    assert_eq!((report.certainty(), report.attempts_made()), (Certainty::Unknown, 0));
    assert_eq!(report.advice(), Advice::SameKey, "attempts may follow");
    attempt(&handle, Purpose::First, 200);
    handle.take_over(&post());
    assert_eq!(outcomes(&handle), ["success"]);
}

#[test]
fn a_request_handed_on_to_a_stranger_is_one_attempt() {
    let answered = Recorder::default();
    let handed_on = answered.hand_on(&post());
    assert_eq!(answered.certainty(), Certainty::Unknown, "under way");
    assert_eq!(answered.report().advice(), Advice::SameKey);
    handed_on.close(Some((status(200), &stripes())));
    assert_eq!(outcomes(&answered), ["success"]);
    assert_eq!((answered.certainty(), answered.report().stopped()), (Certainty::Executed, None));

    let failed = Recorder::default();
    failed.hand_on(&post()).close(None);
    assert_eq!(outcomes(&failed), ["other"]);
    assert_eq!((failed.certainty(), failed.report().stopped()), (Certainty::Unknown, None));

    let dropped = Recorder::default();
    drop(dropped.hand_on(&post()));
    assert_eq!(outcomes(&dropped), ["cancelled"]);
    assert_eq!(
        (dropped.certainty(), dropped.report().stopped()),
        (Certainty::Unknown, Some(Stop::Cancelled))
    );
    for handle in [answered, failed, dropped] {
        assert_eq!(handle.attempts_made(), 1);
    }
}

#[test]
fn a_request_handed_on_to_a_layer_of_ours_is_not_counted_twice() {
    let handle = Recorder::default();
    let handed_on = handle.hand_on(&post());
    let entered = handle.enter(&post(), Purpose::First);
    handle.answered(status(429), &stripes());
    entered.close();
    handed_on.close(Some((status(429), &stripes())));
    assert_eq!(outcomes(&handle), ["rate_limited"]);
    assert_eq!(handle.attempts_made(), 1);
}

#[test]
fn a_request_handed_on_and_refused_within_was_never_sent() {
    let handle = Recorder::default();
    let handed_on = handle.hand_on(&post());
    let _ = handle.refuse(Refusal::DeadlineExceeded);
    handed_on.close(None);
    let report = handle.report();
    assert_eq!((report.certainty(), report.attempts_made()), (Certainty::NotSent, 0));
    assert_eq!(report.stopped(), Some(Stop::Refused));
}

// === refusals ===

#[test]
fn a_refused_attempt_is_listed_and_not_counted() {
    let handle = Recorder::default();
    attempt(&handle, Purpose::First, 503);
    let entered = handle.enter(&post(), Purpose::Retry);
    let _ = handle.refuse(Refusal::DeadlineExceeded);
    handle.failed(LOST);
    entered.close();
    assert_eq!(outcomes(&handle), ["server_error", "refused"]);
    let report = handle.report();
    assert_eq!((report.attempts_made(), report.certainty()), (1, Certainty::Unknown));
    assert_eq!(report.attempts()[1].certainty, Certainty::NotSent);
}

#[test]
fn a_key_of_the_callers_counts_though_it_was_refused_unread() {
    let unkeyed = Request::post("https://api.stripe.com/v1/refunds").body(()).unwrap();
    let mut extension = unkeyed.clone();
    extension.extensions_mut().insert(IdempotencyKey::new(KEY).unwrap().fresh());
    let mut read = post();
    *read.method_mut() = Method::GET;
    for (request, expected) in [
        (post(), Advice::SameKey),
        (extension, Advice::SameKey),
        (unkeyed, Advice::Resend),
        (read, Advice::Resend), // Stripe heeds no key there.
    ] {
        let handle = Recorder::default();
        let _ = handle.refuse_unread(&request, Refusal::ConflictingKeys);
        let report = handle.report();
        assert_eq!((report.certainty(), report.advice()), (Certainty::NotSent, expected), "{request:?}");
        assert_eq!((report.stopped(), report.attempts_made()), (Some(Stop::Refused), 0));
    }
}

// === what is kept ===

#[test]
fn a_report_keeps_the_first_and_the_last_fifteen_attempts_and_counts_all() {
    for made in [1, 2, 15, 16, 17, 40] {
        let handle = Recorder::default();
        for n in 0..made {
            let entered = handle.enter(&post(), Purpose::Poll);
            let id = HeaderValue::from_str(&format!("req_{n}")).unwrap();
            handle.answered(status(503), &stripes());
            handle.identified(RequestId::from_header(&id), None);
            entered.close();
        }
        let report = handle.report();
        let kept: Vec<_> = report.request_ids().map(|id| id.as_str().to_owned()).collect();
        let expected: Vec<_> =
            (0..made).filter(|n| *n == 0 || n + 15 >= made).map(|n| format!("req_{n}")).collect();
        assert_eq!(kept, expected);
        assert_eq!(report.attempts_made(), made);
    }
}

#[test]
fn what_a_dropped_out_attempt_proved_is_not_forgotten() {
    let handle = Recorder::default();
    attempt(&handle, Purpose::First, 429);
    let entered = handle.enter(&post(), Purpose::Retry);
    handle.failed(LOST);
    entered.close();
    (0..30).for_each(|_| drop(attempt(&handle, Purpose::Retry, 429)));
    assert!(!outcomes(&handle).contains(&"timeout"));
    assert_eq!(handle.certainty(), Certainty::Unknown);
}

proptest! {
    #[test]
    fn counts_and_standing_are_those_of_all_attempts(answers in prop::collection::vec(
        prop::sample::select(vec![200_u16, 400, 402, 409, 429, 500, 503]), 1..40,
    )) {
        let handle = Recorder::default();
        let mut standing = Standing::default();
        let kind = CallKind::of(&post());
        for answer in &answers {
            standing.observe(kind, &attempt(&handle, Purpose::Retry, *answer));
        }
        let report = handle.report();
        prop_assert_eq!(report.attempts_made() as usize, answers.len());
        prop_assert_eq!(report.attempts().len(), answers.len().min(state::KEPT));
        prop_assert_eq!(report.certainty(), standing.certainty());
        prop_assert_eq!(report.advice(), Advice::of(&standing, kind, Some(History::Unknown), false));
    }
}

// === a call under way ===

#[test]
fn the_report_of_a_call_under_way_says_what_would_be_true_if_it_were_dropped_now() {
    let handle = Recorder::default();
    let fresh = handle.report();
    assert_eq!((fresh.certainty(), fresh.attempts_made(), fresh.operation()), (Certainty::NotSent, 0, None));
    assert_eq!(fresh.advice(), Advice::SameKey, "nobody has looked for a key");

    handle.put_into(&mut post());
    attempt(&handle, Purpose::First, 429);
    assert_eq!(handle.certainty(), Certainty::Rejected);
    let entered = handle.enter(&post(), Purpose::Retry);
    let report = handle.report();
    assert_eq!((report.certainty(), report.attempts_made()), (Certainty::Unknown, 2));
    assert_eq!(outcomes(&handle), ["rate_limited", "cancelled"]);
    assert_eq!(report.operation().map(|operation| operation.name()), Some("refunds.create"));
    handle.answered(status(200), &stripes());
    assert_eq!(handle.certainty(), Certainty::Executed, "the head has arrived");
    entered.close();
    handle.waited(Duration::from_secs(1));
    handle.waited(Duration::from_secs(2));
    handle.stopped(Stop::Final, Some(Duration::from_secs(9)));
    handle.stopped(Stop::Final, None);
    let report = handle.report();
    assert_eq!(report.waited(), Duration::from_secs(3));
    assert_eq!((report.stopped(), report.retry_in()), (Some(Stop::Final), Some(Duration::from_secs(9))));
}

#[test]
fn the_first_deadline_stands_and_the_callers_operation_wins() {
    let handle = Recorder::default();
    assert_eq!(handle.deadline(), None);
    let mut request = post();
    let deadline = handle.deadline_of(&post(), Some(Duration::from_secs(5)));
    assert_eq!(handle.deadline_of(&post(), Some(Duration::from_secs(9))), deadline);
    assert_eq!(handle.deadline(), Some(deadline));
    let handle = Recorder::default();
    let said = Operation::new("payouts.create").unwrap();
    request.extensions_mut().insert(said);
    assert_eq!(handle.operation(&request), said);
    *request.method_mut() = Method::GET;
    assert_eq!(handle.operation(&Request::new(())), said, "one call has one operation");
}

#[test]
fn a_request_and_a_response_carry_one_handle() {
    let mut request = post();
    let handle = Recorder::of(&mut request);
    attempt(&Recorder::of(&mut request), Purpose::First, 200);
    assert_eq!(handle.attempts_made(), 1);
    let mut response = Response::new(());
    assert!(response.report().is_none() && response.certainty().is_none() && response.advice().is_none());
    Recorder::default().attach(&mut response);
    handle.attach(&mut response); // The outer layer knows more.
    assert_eq!(response.outcome(), Some(Outcome::Success));
    assert_eq!((response.attempts(), response.was_replayed()), (Some(1), Some(false)));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Executed), Some(Advice::Done)));
}

#[test]
fn a_handle_belongs_to_one_call() {
    let handle = ReportHandle::new();
    let mut first = post();
    first.extensions_mut().insert(handle.clone());
    let mut second = first.clone();
    let recorder = Recorder::of_one_call(&mut first).expect("it is new");
    attempt(&recorder, Purpose::First, 200);
    assert_eq!(handle.certainty(), Certainty::Executed);
    let refused = Recorder::of_one_call(&mut second).expect_err("it is used");
    assert_eq!(refused.refusal(), &Refusal::ReportReused);
    let of_second = refused.report().expect("its own").report();
    // It may be the same order again, so "not sent" would invite to a second charge.
    assert_eq!((of_second.certainty(), of_second.advice()), (Certainty::Unknown, Advice::Reconcile));
    // A layer that cannot refuse keeps the two accounts apart.
    attempt(&Recorder::of(&mut second), Purpose::First, 500);
    assert_eq!(handle.attempts_made(), 1);
    // Within one call all layers find the same account.
    assert_eq!(Recorder::of(&mut first).attempts_made(), 1);
}

#[test]
fn two_requests_within_one_attempt_prove_nothing_but_an_execution() {
    for (answer, expected) in
        [(200, Certainty::Executed), (400, Certainty::Unknown), (402, Certainty::Unknown)]
    {
        let handle = Recorder::default();
        let entered = handle.enter(&post(), Purpose::First);
        let ((mut pulled, first), (_unpulled, second)) = (proof(), proof());
        handle.register_proof(first);
        assert!(pull(&mut pulled));
        handle.register_proof(second);
        handle.answered(status(answer), &stripes());
        assert_eq!(entered.close().map(|attempt| attempt.certainty), Some(expected), "{answer}");
    }
    let handle = Recorder::default();
    let entered = handle.enter(&post(), Purpose::First);
    let ((mut pulled, first), (_unpulled, second)) = (proof(), proof());
    handle.register_proof(first);
    assert!(pull(&mut pulled));
    handle.register_proof(second);
    handle.failed(LOST);
    assert_eq!(entered.close().map(|attempt| attempt.certainty), Some(Certainty::Unknown));
    // Where the first never left, the second speaks for both.
    let handle = Recorder::default();
    let entered = handle.enter(&post(), Purpose::First);
    let ((_unpulled, first), (_unpulled_too, second)) = (proof(), proof());
    handle.register_proof(first);
    handle.register_proof(second);
    handle.failed(LOST);
    assert_eq!(entered.close().map(|attempt| attempt.certainty), Some(Certainty::NotSent));
}

#[test]
fn a_key_that_is_handed_back_has_a_past_and_a_birth() {
    let handle = Recorder::default();
    keyed(&handle, IdempotencyKey::new(KEY).unwrap().fresh(), Duration::from_secs(60));
    let key = handle.report().idempotency_key().cloned().unwrap();
    assert_eq!(key.history(), History::Unknown);
    assert!(key.birth().is_some());
    let handle = Recorder::default();
    keyed(&handle, IdempotencyKey::new(KEY).unwrap(), Duration::from_secs(60));
    let key = handle.report().idempotency_key().cloned().unwrap();
    assert!(
        key.birth().is_some(),
        "its caller never said when it was first used, but it is this old at least"
    );
}

// === keys ===

fn keyed(handle: &Recorder, key: IdempotencyKey, limit: Duration) {
    let wall = WallClock::manual(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_182_400));
    handle.keyed(key, KeyClock::start(wall, time::now(), None, limit));
}

#[test]
fn advice_asks_the_history_and_the_age_of_the_key() {
    let day = Duration::from_secs(86_400);
    let key = || IdempotencyKey::new(KEY).unwrap();
    for (key, limit, expected) in [
        (None, day, Advice::SameKey), // A header that nobody recorded: nothing is known of its past.
        (Some(key()), day, Advice::SameKey),
        (Some(key().fresh()), day, Advice::NewKey),
        (Some(key().fresh()), Duration::ZERO, Advice::Reconcile),
    ] {
        let handle = Recorder::default();
        if let Some(key) = key {
            keyed(&handle, key, limit);
            assert_eq!(handle.key_expired(time::now()), limit.is_zero());
            assert_eq!(handle.check_key_age(time::now()).is_err(), limit.is_zero());
        }
        attempt(&handle, Purpose::First, 402);
        assert_eq!(handle.report().advice(), expected);
    }
    assert!(!Recorder::default().key_expired(time::now()), "no key, no age");
}

#[test]
fn nothing_that_is_printed_shows_a_key_or_a_secret() {
    let handle = Recorder::default();
    keyed(&handle, IdempotencyKey::new(KEY).unwrap(), Duration::from_secs(60));
    let mut request = post();
    request.extensions_mut().insert(handle.clone());
    let handed_on = handle.hand_on(&request);
    let entered = handle.enter(&request, Purpose::First);
    let echo = headers(&[("idempotency-key", KEY), ("request-id", "req_1")]);
    handle.answered(status(503), &echo);
    let open = format!("{handle:?} {entered:?} {handed_on:?}");
    entered.close();
    handed_on.close(None);
    let report = handle.report();
    assert_eq!(
        report.idempotency_key().map(IdempotencyKey::as_str),
        Some(KEY),
        "whoever asks for it gets it"
    );
    let error: Error<std::io::Error> =
        Error::transport(std::io::Error::other(SECRET)).with_report(handle.handle().clone());
    let attempt = &report.attempts()[0];
    let shown = [
        open,
        format!("{handle:?} {handle:#?}"),
        format!("{report:?} {report:#?}"),
        format!("{error:?} {error:#?} {error}"),
        format!("{attempt:?}"),
    ]
    .concat();
    for hidden in [KEY, SECRET, "8812", "Bearer"] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
}
