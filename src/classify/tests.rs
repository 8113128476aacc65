use std::{
    cell::Cell,
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use proptest::prelude::*;
use tokio::time::{Instant, Sleep, sleep};
use tower::ServiceExt;

use super::{Classify, ClassifyConfig, StripeError};
use crate::vocab::{BodyError, Certainty, Outcome, ResponseExt, StripeBody, headers::IDEMPOTENCY_KEY, time};

const SECOND: Duration = Duration::from_secs(1);
const BOUND: usize = 64 * 1024;
const DECLINED: &str = r#"{"error":{"type":"card_error","code":"card_declined"}}"#;
const IN_USE: &str = r#"{"error":{"type":"invalid_request_error","code":"idempotency_key_in_use"}}"#;
const OTHER_CONFLICT: &str = r#"{"error":{"type":"api_error","code":"conflict"}}"#;

#[derive(Clone, Debug)]
enum Step {
    Data(Bytes),
    Trailers,
    Wait(Duration),
    Break,
}

fn data(bytes: impl Into<Bytes>) -> Step {
    Step::Data(bytes.into())
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("trailer"))])
}

/// A body that does what it is told, and counts how often it was polled.
struct Script {
    steps: VecDeque<Step>,
    waiting: Option<Pin<Box<Sleep>>>,
    polls: Rc<Cell<u32>>,
}

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), waiting: None, polls: Rc::default() }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.polls.set(self.polls.get() + 1);
        loop {
            if let Some(waiting) = &mut self.waiting {
                if waiting.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.waiting = None;
            }
            return Poll::Ready(match self.steps.pop_front() {
                None => None,
                Some(Step::Data(data)) => Some(Ok(Frame::data(data))),
                Some(Step::Trailers) => Some(Ok(Frame::trailers(trailers()))),
                Some(Step::Break) => Some(Err(io::Error::other("cut"))),
                Some(Step::Wait(time)) => {
                    self.waiting = Some(Box::pin(sleep(time)));
                    continue;
                }
            });
        }
    }
}

/// What is left of a body: its bytes, its trailers, and whether it broke off after them.
#[derive(Debug, Default, PartialEq)]
struct Read {
    bytes: Vec<u8>,
    trailers: Option<HeaderMap>,
    broke: bool,
}

async fn read(mut body: StripeBody<Script>) -> Read {
    let mut read = Read::default();
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => {
                assert!(read.trailers.is_none() && !read.broke, "nothing comes after the end");
                read.bytes.extend_from_slice(&data);
            }
            Ok(Err(frame)) => read.trailers = frame.into_trailers().ok(),
            Err(BodyError::Transport(_)) => {
                read.broke = true;
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    read
}

/// What a script would come to without anybody in between.
fn untouched(steps: &[Step]) -> Read {
    let mut read = Read::default();
    for step in steps {
        match step {
            Step::Data(data) => read.bytes.extend_from_slice(data),
            Step::Trailers => read.trailers = Some(trailers()),
            Step::Break => {
                read.broke = true;
                break;
            }
            Step::Wait(_) => {}
        }
    }
    read
}

/// Sends a keyed POST that is answered with this.
async fn classify(mut response: Response<Script>) -> Response<StripeBody<Script>> {
    response.headers_mut().insert("request-id", HeaderValue::from_static("req_1"));
    let inner = tower::service_fn(move |_: Request<()>| {
        let response = std::mem::replace(&mut response, Response::new(Script::new([])));
        async { Ok::<_, Infallible>(response) }
    });
    let request =
        Request::post("https://api.stripe.com/v1/refunds").header(IDEMPOTENCY_KEY, "k").body(()).unwrap();
    Classify::new(inner, ClassifyConfig::default()).oneshot(request).await.unwrap()
}

fn answer(status: u16, steps: impl IntoIterator<Item = Step>) -> Response<Script> {
    let mut response = Response::new(Script::new(steps));
    *response.status_mut() = status.try_into().unwrap();
    response
}

fn encoded(status: u16, encoding: &'static str, steps: impl IntoIterator<Item = Step>) -> Response<Script> {
    let mut response = answer(status, steps);
    response.headers_mut().insert("content-encoding", HeaderValue::from_static(encoding));
    response
}

fn understood(response: &Response<StripeBody<Script>>) -> Option<&str> {
    StripeError::of(response).and_then(StripeError::code)
}

#[tokio::test(start_paused = true)]
async fn an_error_is_understood_and_its_body_handed_on_as_it_came() {
    let response = classify(answer(402, [data(DECLINED), Step::Trailers])).await;
    assert_eq!(response.outcome(), Some(Outcome::Declined));
    assert_eq!(response.certainty(), Some(Certainty::Rejected));
    assert_eq!(understood(&response), Some("card_declined"));
    let read = read(response.into_body()).await;
    let expected = Read { bytes: DECLINED.into(), trailers: Some(trailers()), broke: false };
    assert_eq!(read, expected);
}

#[tokio::test(start_paused = true)]
async fn the_head_decides_and_the_body_refines() {
    for (steps, outcome, certainty) in [
        (vec![data(IN_USE)], Outcome::KeyInUse, Certainty::Unknown),
        (vec![data(OTHER_CONFLICT)], Outcome::Conflict, Certainty::Rejected),
        (vec![], Outcome::Conflict, Certainty::Unknown),
        (vec![data("<html>conflict</html>")], Outcome::Conflict, Certainty::Unknown),
        (vec![data(&OTHER_CONFLICT[..20])], Outcome::Conflict, Certainty::Unknown),
        (vec![data(OTHER_CONFLICT), Step::Break], Outcome::Conflict, Certainty::Unknown),
        (vec![Step::Wait(2 * SECOND), data(OTHER_CONFLICT)], Outcome::Conflict, Certainty::Unknown),
    ] {
        let response = classify(answer(409, steps.clone())).await;
        assert_eq!((response.outcome(), response.certainty()), (Some(outcome), Some(certainty)), "{steps:?}");
        assert_eq!(read(response.into_body()).await, untouched(&steps), "{steps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_and_an_empty_body_leave_the_head_alone_to_decide() {
    for steps in [vec![], vec![data("<html>503</html>")], vec![data("")], vec![Step::Trailers]] {
        let response = classify(answer(503, steps.clone())).await;
        assert_eq!(response.outcome(), Some(Outcome::ServerError));
        assert_eq!(understood(&response), None);
        assert_eq!(read(response.into_body()).await, untouched(&steps));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_below_400_is_polled_by_us() {
    for status in [200, 201, 204, 302, 304] {
        let response = answer(status, [data(DECLINED)]);
        let polls = Rc::clone(&response.body().polls);
        let response = classify(response).await;
        assert_eq!(polls.get(), 0, "{status}");
        assert_eq!(understood(&response), None);
        assert_eq!(read(response.into_body()).await.bytes, DECLINED.as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_body_is_handed_on_unread_after_a_second() {
    let began = Instant::from_std(time::now());
    let steps = [data(&DECLINED[..10]), Step::Wait(60 * SECOND), data(&DECLINED[10..]), Step::Trailers];
    let response = classify(answer(402, steps.clone())).await;
    assert_eq!(began.elapsed(), SECOND);
    assert_eq!(response.outcome(), Some(Outcome::Declined));
    assert_eq!(understood(&response), None, "nobody knows the rest yet");
    assert_eq!(read(response.into_body()).await, untouched(&steps), "and it is still to be had");
    assert_eq!(began.elapsed(), 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_dripping_body_has_one_second_in_all() {
    let began = Instant::from_std(time::now());
    let steps: Vec<_> =
        DECLINED.bytes().flat_map(|byte| [Step::Wait(SECOND / 4), data(vec![byte])]).collect();
    let response = classify(answer(402, steps.clone())).await;
    assert_eq!(began.elapsed(), SECOND);
    assert_eq!(read(response.into_body()).await, untouched(&steps));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_takes_its_time_within_the_second_is_read() {
    let steps =
        [Step::Wait(SECOND / 2), data(&DECLINED[..10]), Step::Wait(SECOND / 4), data(&DECLINED[10..])];
    let response = classify(answer(402, steps)).await;
    assert_eq!(understood(&response), Some("card_declined"));
}

#[tokio::test(start_paused = true)]
async fn an_encoded_body_is_not_taken_for_json() {
    for encoding in ["gzip", "br", "identity"] {
        let response = classify(encoded(409, encoding, [data(OTHER_CONFLICT)])).await;
        assert_eq!(understood(&response), None);
        assert_eq!(response.certainty(), Some(Certainty::Unknown), "it was not read: the key may be in use");
        assert_eq!(read(response.into_body()).await.bytes, OTHER_CONFLICT.as_bytes());
    }
}

/// A conflict of exactly so many bytes.
fn padded(length: usize) -> String {
    let text = OTHER_CONFLICT.strip_suffix("}}").unwrap();
    let padding = length - text.len() - r#","message":""}}"#.len();
    format!(r#"{text},"message":"{}"}}}}"#, "x".repeat(padding))
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_bound_passes_whole_and_its_head_alone_decides() {
    for (length, certainty) in
        [(BOUND - 1, Certainty::Rejected), (BOUND, Certainty::Rejected), (BOUND + 1, Certainty::Unknown)]
    {
        let body = padded(length);
        assert_eq!(body.len(), length);
        for frame in [1_000, BOUND / 2, BOUND, 2 * BOUND] {
            let steps: Vec<_> = body
                .as_bytes()
                .chunks(frame)
                .map(|chunk| data(chunk.to_vec()))
                .chain([Step::Trailers])
                .collect();
            let response = classify(answer(409, steps.clone())).await;
            assert_eq!(response.certainty(), Some(certainty), "{length} in frames of {frame}");
            assert_eq!(read(response.into_body()).await, untouched(&steps));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_bound_and_a_frame_of_a_large_body_is_read() {
    let frame = Bytes::from(vec![b'x'; 1_000]);
    let response = answer(500, (0..100_000).map(|_| Step::Data(frame.clone())));
    let polls = Rc::clone(&response.body().polls);
    let response = classify(response).await;
    assert!(polls.get() <= 66, "{} frames", polls.get());
    assert_eq!(response.outcome(), Some(Outcome::ServerError));
    assert_eq!(read(response.into_body()).await.bytes.len(), 100_000_000);
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_body_runs_under_the_deadline_of_the_call() {
    let steps = [data("a"), Step::Wait(60 * SECOND), data("b")];
    let inner = tower::service_fn(|_: Request<()>| async { Ok::<_, Infallible>(answer(500, steps.clone())) });
    let mut request = Request::post("https://api.stripe.com/v1/refunds").body(()).unwrap();
    crate::vocab::Recorder::of(&mut request).deadline_of(&request, Some(5 * SECOND));
    let response = Classify::new(inner, ClassifyConfig::default()).oneshot(request).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
    assert!(matches!(body.frame().await, Some(Err(BodyError::Deadline))));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_client_is_passed_on_and_proves_nothing() {
    let inner =
        tower::service_fn(|_: Request<()>| async { Err::<Response<Script>, _>(io::Error::other("x")) });
    let mut request = Request::post("https://api.stripe.com/v1/refunds").body(()).unwrap();
    let handle = crate::vocab::Recorder::of(&mut request);
    let result = Classify::new(inner, ClassifyConfig::default()).oneshot(request).await;
    assert_eq!(result.err().map(|error| error.to_string()).as_deref(), Some("x"));
    assert_eq!((handle.certainty(), handle.attempts_made()), (Certainty::Unknown, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_its_error_body_is_read_keeps_what_the_head_said() {
    let inner = tower::service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(answer(402, [Step::Wait(SECOND / 2), data(DECLINED)]))
    });
    let mut request = Request::post("https://api.stripe.com/v1/refunds").body(()).unwrap();
    let handle = crate::vocab::Recorder::of(&mut request);
    let call = Classify::new(inner, ClassifyConfig::default()).oneshot(request);
    assert!(tokio::time::timeout(SECOND / 4, call).await.is_err());
    assert_eq!(handle.certainty(), Certainty::Rejected);
    assert_eq!(handle.report().stopped(), Some(crate::vocab::Stop::Cancelled));
}

fn any_step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![
        4 => 0_usize..100,
        2 => 1_000_usize..40_000,
        1 => BOUND - 2..BOUND + 3,
    ];
    prop_oneof![
        6 => (size, any::<u8>()).prop_map(|(size, byte)| data(vec![byte; size])),
        1 => (0_u64..3_000).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
    ]
}

fn any_script() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![3 => Just(None), 1 => Just(Some(Step::Trailers)), 1 => Just(Some(Step::Break))];
    (prop::collection::vec(any_step(), 0..8), end)
        .prop_map(|(steps, end)| steps.into_iter().chain(end).collect())
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

proptest! {
    #[test]
    fn whatever_the_frames_the_body_is_handed_on_as_it_came(
        steps in any_script(), status in prop::sample::select(vec![200_u16, 400, 409, 429, 500]),
    ) {
        let read = paused().block_on(async {
            let response = classify(answer(status, steps.clone())).await;
            read(response.into_body()).await
        });
        prop_assert_eq!(read, untouched(&steps));
    }

    #[test]
    fn an_error_is_understood_however_it_is_cut_into_frames(
        cuts in prop::collection::btree_set(0..IN_USE.len(), 0..6), trailers in any::<bool>(),
    ) {
        let ends = cuts.iter().copied().chain([IN_USE.len()]);
        let mut begin = 0;
        let mut steps: Vec<_> = ends
            .map(|end| {
                let frame = data(&IN_USE[begin..end]);
                begin = end;
                frame
            })
            .collect();
        if trailers {
            steps.push(Step::Trailers);
        }
        paused().block_on(async {
            let response = classify(answer(409, steps.clone())).await;
            assert_eq!(response.outcome(), Some(Outcome::KeyInUse));
            assert_eq!(read(response.into_body()).await, untouched(&steps));
        });
    }
}
