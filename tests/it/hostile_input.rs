//! Whatever comes back is understood as far as it can be, handed on as it came, and believed in nothing it cannot prove.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use stripe_sim::{Canned, Fault, Step};
use tower_stripe::{
    Advice, BoxError, Certainty, Outcome, ResponseExt, StripeTransport, classify::StripeError, vocab::Stop,
};

use crate::support::{bytes, get, keys, payment, post, sim, statuses, stop, transport};

// === errors ===

/// S-117
#[tokio::test(start_paused = true)]
async fn a_decline_code_that_nobody_knows_is_a_decline() {
    for code in ["hologram_missing", "", "not a word", &"x".repeat(10_000)] {
        let sim = sim();
        let declined = Canned::json(
            402,
            &json!({"error": {"type": "card_error", "code": "card_declined", "decline_code": code}}),
        );
        sim.script("o", [Step::Answer(declined)]);
        let response = transport(&sim).send(payment("o")).await.expect("stripe answered");
        assert_eq!(response.outcome(), Some(Outcome::Declined));
        assert_eq!(
            (response.certainty(), response.advice()),
            (Some(Certainty::Rejected), Some(Advice::NewKey))
        );
        let error = StripeError::of(&response).expect("stripe's error");
        assert_eq!(error.decline_code(), Some(code));
        assert!(format!("{error:?}").len() < 300, "nothing of it is printed that is no word");
        assert_eq!((statuses(&sim, "o"), sim.ledger().executions("o")), (vec![Some(402)], 0));
    }
    // Of another type than text it is left out, and the rest is understood.
    let sim = sim();
    let odd = json!({"error": {"type": "card_error", "code": "card_declined", "decline_code": 51}});
    sim.script("o", [Step::Answer(Canned::json(402, &odd))]);
    let response = transport(&sim).send(payment("o")).await.expect("stripe answered");
    let error = StripeError::of(&response).expect("stripe's error");
    assert_eq!((error.code(), error.decline_code()), (Some("card_declined"), None));
}

/// A gzip stream that would unpack to something larger: its first bytes, and then what repeats.
fn zipped(length: usize) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0xec, 0xc1];
    bytes.resize(length, 0);
    bytes
}

/// S-118: by status alone; a 409 that cannot be read may mean that the key is executing.
#[tokio::test(start_paused = true)]
async fn an_error_that_is_not_stripes_json_is_what_its_status_says_and_handed_on() {
    let (server, rejected) = (Outcome::ServerError, Certainty::Rejected);
    let html = || Canned::html(503);
    let page = b"<html><body><h1>503 Service Unavailable</h1></body></html>".to_vec();
    let gzip = |status: u16, length| Canned::raw(status, zipped(length)).header("content-encoding", "gzip");
    let deep = "[".repeat(20_000);
    for (what, answer, body, expected) in [
        ("a page", html(), page, (server, Certainty::Unknown)),
        ("nothing at all", Canned::empty(503), vec![], (server, Certainty::Unknown)),
        ("nothing", Canned::empty(400), vec![], (Outcome::InvalidRequest, rejected)),
        ("gzip", gzip(402, 500), zipped(500), (Outcome::Declined, rejected)),
        ("a bomb", gzip(400, 60 * 1024), zipped(60 * 1024), (Outcome::InvalidRequest, rejected)),
        ("a large bomb", gzip(500, 9 << 20), zipped(9 << 20), (server, Certainty::Unknown)),
        ("gzip on 409", gzip(409, 500), zipped(500), (Outcome::Conflict, Certainty::Unknown)),
        ("depth", Canned::raw(400, deep.clone()), deep.into(), (Outcome::InvalidRequest, rejected)),
        ("half", Canned::raw(402, "{\"error\""), "{\"error\"".into(), (Outcome::Declined, rejected)),
        ("no error", Canned::raw(404, "{}"), "{}".into(), (Outcome::NotFound, rejected)),
        ("a list", Canned::raw(400, "[1]"), "[1]".into(), (Outcome::InvalidRequest, rejected)),
        (
            "no text",
            Canned::raw(400, vec![0xff, 0xfe]),
            vec![0xff, 0xfe],
            (Outcome::InvalidRequest, rejected),
        ),
    ] {
        let sim = sim();
        sim.script("o", vec![Step::Answer(answer.header("stripe-should-retry", "false"))]);
        let response = transport(&sim).send(payment("o")).await.expect("something answered");
        let told = (response.outcome(), response.certainty());
        assert_eq!(told, (Some(expected.0), Some(expected.1)), "{what}");
        assert!(StripeError::of(&response).is_none(), "{what}");
        assert_eq!(response.body().size_hint().exact(), Some(body.len() as u64), "{what}: not unpacked");
        assert!(bytes(response).await == body, "{what} is not handed on as it came");
        assert_eq!((sim.log().len(), sim.ledger().executions("o")), (1, 0), "{what}");
    }
}

/// S-119: the simulator's own endpoint.
#[tokio::test(start_paused = true)]
async fn an_error_of_oauth_is_understood_and_not_tried_again() {
    let sim = sim();
    let stripe = transport(&sim);
    let redeem = |order: &str| {
        let mut request = post("/oauth/token", order, "grant_type=authorization_code&code=ac_1");
        *request.uri_mut() = "https://connect.stripe.com/oauth/token".parse().expect("a uri");
        request
    };
    assert_eq!(stripe.clone().send(redeem("first")).await.expect("stripe answered").status(), 200);
    let response = stripe.send(redeem("again")).await.expect("stripe answered");

    assert_eq!(
        (response.status(), response.outcome()),
        (400.try_into().expect("a status"), Some(Outcome::InvalidRequest))
    );
    let error = StripeError::of(&response).expect("an error of oauth");
    assert!(error.is_oauth() && error.message().is_some());
    assert_eq!((error.code(), error.error_type()), (Some("invalid_grant"), None));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Rejected), Some(Advice::Resend)));
    assert_eq!((keys(&sim, "again"), stop(&response)), (vec![None], Some(Stop::Final)));
}

/// S-120
#[tokio::test(start_paused = true)]
async fn an_error_of_v2_is_understood_without_a_type() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::NoFunds)]);
    let request = post("/v2/core/accounts", "o", json!({ "display_name": "Ada" }).to_string());
    let response = transport(&sim).send(request).await.expect("stripe answered");

    assert_eq!((statuses(&sim, "o"), response.outcome()), (vec![Some(402)], Some(Outcome::Declined)));
    let error = StripeError::of(&response).expect("an error of v2");
    assert!(error.user_message().is_some() && error.code().is_some(), "{error:?}");
    assert!(!error.is_oauth());
    assert_eq!(response.certainty(), Some(Certainty::Rejected));
    assert_eq!(sim.ledger().executions("o"), 0);

    let bare = json!({"error": {"code": "temporary", "user_message": "Try later.", "message": "no"}});
    sim.script("bare", [Step::Answer(Canned::json(400, &bare))]);
    let request = post("/v2/core/accounts", "bare", "{}");
    let response = transport(&sim).send(request).await.expect("stripe answered");
    let error = StripeError::of(&response).expect("an error of v2");
    assert_eq!((error.error_type(), error.code()), (None, Some("temporary")));
    assert_eq!(error.user_message(), Some("Try later."));
}

// === successes ===

/// A body in two frames that counts who asks for it.
struct Counted {
    frames: std::array::IntoIter<Bytes, 2>,
    polls: Arc<AtomicUsize>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.polls.fetch_add(1, SeqCst);
        Poll::Ready(self.frames.next().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.frames.as_slice().iter().map(|bytes| bytes.len() as u64).sum())
    }
}

/// S-121
#[tokio::test(start_paused = true)]
async fn the_body_of_a_success_is_neither_read_nor_copied() {
    let sent = [Bytes::from(vec![b'a'; 100_000]), Bytes::from(vec![b'b'; 7])];
    let polls = Arc::new(AtomicUsize::new(0));
    let (frames, counter) = (sent.clone(), Arc::clone(&polls));
    let client = tower::service_fn(move |_: Request<Full<Bytes>>| {
        let body = Counted { frames: frames.clone().into_iter(), polls: Arc::clone(&counter) };
        let response = Response::builder().header("request-id", "req_1").body(body);
        async { response.map_err(BoxError::from) }
    });
    let response = StripeTransport::new(client).send(payment("o")).await.expect("an answer");
    assert_eq!(
        (response.certainty(), polls.load(SeqCst)),
        (Some(Certainty::Executed), 0),
        "it was not polled"
    );
    let mut body = response.into_body();
    assert_eq!(body.size_hint().exact(), Some(100_007));
    for (n, expected) in sent.iter().enumerate() {
        let frame = body.frame().await.expect("a frame").expect("no error").into_data().expect("data");
        assert_eq!((frame.as_ptr(), frame.len()), (expected.as_ptr(), expected.len()), "the very same bytes");
        assert_eq!(polls.load(SeqCst), n + 1, "as they are asked for, one by one");
    }
    assert!(body.frame().await.is_none());
}

// === requests ===

/// S-123: nothing of a path shows in what is told about the call, and none is too odd to be sent.
#[tokio::test(start_paused = true)]
async fn a_path_may_be_anything_and_is_not_told() {
    let sim = sim();
    let stripe = transport(&sim);
    let long = format!("/v1/customers/{}", "hidden".repeat(2_000));
    for (n, path) in [
        "/v1/customers/cus_hidden",
        "/v1/customers/cus_hidden/",
        "/v1//hidden",
        "/v1/hidden?hidden=1",
        "/hidden",
        "/",
        "/v1/payment_intents/%00%ffhidden/confirm",
        "/v1/customers/..%2f..%2fhidden",
        "/v3/hidden",
        "/oauth/hidden",
        &long,
    ]
    .into_iter()
    .enumerate()
    {
        let order = &format!("o{n}");
        let response = stripe.clone().send(get(path, order)).await.expect("stripe answered");
        assert_eq!((response.outcome(), response.attempts()), (Some(Outcome::NotFound), Some(1)), "{path}");
        assert_eq!(sim.log_of(order).len(), 1, "{path}");
        let told = format!("{:?}", response.report().expect("a report"));
        assert!(!told.contains("hidden"), "{told}");
    }
}
