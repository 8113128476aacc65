use std::{
    cell::Cell,
    collections::VecDeque,
    error::Error as _,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Either, Empty, Full};
use tokio::time::{Instant, Sleep, sleep};

use super::*;
use crate::vocab::time;

const SECOND: Duration = Duration::from_secs(1);

/// A body whose frames each take their time.
#[derive(Default)]
struct Slow {
    frames: VecDeque<(Duration, Result<Frame<Bytes>, io::Error>)>,
    waiting: Option<Pin<Box<Sleep>>>,
    dropped: Rc<Cell<bool>>,
}

impl Slow {
    fn new(frames: impl IntoIterator<Item = (Duration, &'static str)>) -> Self {
        let frame = |(after, data)| (after, Ok(Frame::data(Bytes::from_static(str::as_bytes(data)))));
        let mut slow = Self::default();
        slow.frames.extend(frames.into_iter().map(frame));
        slow
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.dropped.set(true);
    }
}

impl Body for Slow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let Some((after, _)) = this.frames.front() else { return Poll::Ready(None) };
        if !after.is_zero() {
            let after = *after;
            let waiting = this.waiting.get_or_insert_with(|| Box::pin(sleep(after)));
            if waiting.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.waiting = None;
        }
        Poll::Ready(this.frames.pop_front().map(|(_, frame)| frame))
    }
}

fn deadline(time: Duration) -> Option<std::time::Instant> {
    Some(time::now() + time)
}

/// The text of a body up to its end, and how it ended.
async fn read<R: Body<Data = Bytes> + Unpin>(
    body: &mut StripeBody<R>,
) -> (String, Option<BodyError<R::Error>>) {
    let mut text = String::new();
    loop {
        match body.frame().await {
            None => return (text, None),
            Some(Err(error)) => return (text, Some(error)),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    text.push_str(std::str::from_utf8(data).unwrap());
                }
            }
        }
    }
}

// === the deadline of a response body ===

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_in_time_is_handed_on_as_it_is() {
    let slow = Slow::new([(SECOND, "a"), (SECOND, "b"), (SECOND, "c")]);
    let mut body = StripeBody::new(slow, deadline(4 * SECOND));
    assert!(matches!(read(&mut body).await, (text, None) if text == "abc"));
    assert!(body.frame().await.is_none(), "and stays at its end");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_goes_on_past_the_deadline_fails_there_and_gives_its_connection_up() {
    let began = Instant::from_std(time::now());
    let slow = Slow::new([(SECOND, "a"), (SECOND, "b"), (SECOND, "c")]);
    let dropped = Rc::clone(&slow.dropped);
    let mut body = StripeBody::new(slow, deadline(SECOND * 5 / 2));
    let (text, error) = read(&mut body).await;
    assert_eq!(text, "ab", "what came in time is not lost");
    assert!(matches!(error, Some(BodyError::Deadline)));
    assert_eq!(began.elapsed(), SECOND * 5 / 2);
    assert!(dropped.get());
    assert!(body.frame().await.is_none() && body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn a_body_without_a_deadline_may_take_as_long_as_it_likes() {
    let mut body = StripeBody::new(Slow::new([(10_000 * SECOND, "late")]), None);
    assert!(matches!(read(&mut body).await, (text, None) if text == "late"));
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_is_handed_on_even_past_the_deadline() {
    let past = deadline(Duration::ZERO);
    sleep(SECOND).await;
    let mut body = StripeBody::new(Slow::new([(Duration::ZERO, "there"), (SECOND, "late")]), past);
    let (text, error) = read(&mut body).await;
    assert_eq!(text, "there");
    assert!(matches!(error, Some(BodyError::Deadline)));
    let mut body = StripeBody::resumed(Bytes::from_static(b"read"), Tail::<Slow>::End, past);
    assert!(matches!(read(&mut body).await, (text, None) if text == "read"));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_comes_first_then_the_tail() {
    let head = || Bytes::from_static(b"head ");
    let mut body = StripeBody::resumed(head(), Tail::Rest(Slow::new([(SECOND, "rest")])), None);
    assert!(matches!(read(&mut body).await, (text, None) if text == "head rest"));

    let mut body = StripeBody::<Slow>::resumed(head(), Tail::Failed(io::Error::other("cut")), None);
    let (text, error) = read(&mut body).await;
    assert_eq!(text, "head ");
    let error = error.expect("it broke off");
    assert_eq!(error.to_string(), "the body of the response broke off");
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("cut"));
    assert!(body.frame().await.is_none());

    let trailers = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("x"))]);
    let mut body = StripeBody::<Slow>::resumed(head(), Tail::Trailers(trailers.clone()), None);
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), head());
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_client_stays_what_it_is() {
    let mut slow = Slow::new([(Duration::ZERO, "a")]);
    slow.frames.push_back((SECOND, Err(io::Error::from(io::ErrorKind::ConnectionReset))));
    let (text, error) = read(&mut StripeBody::new(slow, deadline(10 * SECOND))).await;
    assert_eq!(text, "a");
    assert!(
        matches!(error, Some(BodyError::Transport(error)) if error.kind() == io::ErrorKind::ConnectionReset)
    );
    let error = BodyError::<io::Error>::Deadline;
    assert_eq!(error.to_string(), "the body of the response did not end before the deadline of the call");
    assert!(error.source().is_none());
}

#[test]
fn hints_add_what_was_read_to_what_follows() {
    let head = || Bytes::from_static(b"head");
    let full = |text: &'static str| Full::new(Bytes::from_static(text.as_bytes()));
    let exact = |body: &StripeBody<Full<Bytes>>| body.size_hint().exact();
    assert_eq!(exact(&StripeBody::new(full("12345"), None)), Some(5));
    // Nobody knows how much is missing of one that broke off.
    let failed = StripeBody::<Slow>::resumed(head(), Tail::Failed(io::Error::other("cut")), None);
    assert_eq!((failed.size_hint().lower(), failed.size_hint().upper()), (4, None));
    assert_eq!(exact(&StripeBody::resumed(head(), Tail::Rest(full("12345")), None)), Some(9));
    assert_eq!(exact(&StripeBody::resumed(head(), Tail::End, None)), Some(4));
    assert_eq!(exact(&StripeBody::resumed(Bytes::new(), Tail::End, None)), Some(0));
    assert!(StripeBody::<Full<Bytes>>::resumed(Bytes::new(), Tail::End, None).is_end_stream());
    assert!(!StripeBody::<Full<Bytes>>::resumed(head(), Tail::End, None).is_end_stream());
    assert!(
        !StripeBody::<Full<Bytes>>::resumed(Bytes::new(), Tail::Trailers(HeaderMap::new()), None)
            .is_end_stream()
    );
    assert!(StripeBody::new(full(""), None).is_end_stream());
    let open = StripeBody::resumed(head(), Tail::Rest(Slow::default()), None);
    assert_eq!((open.size_hint().lower(), open.size_hint().upper()), (4, None));
}

#[test]
fn debug_shows_no_content() {
    let secret = Bytes::from_static(b"pi_secret");
    let body = StripeBody::resumed(secret.clone(), Tail::Rest(Full::new(secret)), None);
    let failed = Tail::<Slow>::Failed(io::Error::other("pi_secret"));
    let error = BodyError::Transport(io::Error::other("pi_secret"));
    let shown = format!("{body:?} {failed:?} {error:?} {error}");
    assert!(!shown.contains("secret") && shown.contains("bytes_read: 9"), "{shown}");
}

// === what can be sent twice ===

async fn text_of<B: Body<Data = Bytes> + Unpin>(body: B) -> Bytes
where
    B::Error: std::fmt::Debug,
{
    body.collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_copy_begins_where_the_body_began_byte_for_byte() {
    let bytes = Bytes::from_static(b"amount=1099&currency=usd");
    let full = Full::new(bytes.clone());
    let copy = full.try_clone().unwrap();
    assert_eq!(text_of(full).await, bytes);
    let again = copy.try_clone().unwrap();
    assert_eq!((text_of(copy).await, text_of(again).await), (bytes.clone(), bytes.clone()));
    let cloneable = Cloneable(Full::new(bytes.clone()));
    assert_eq!(text_of(cloneable.try_clone().unwrap()).await, bytes);
    assert_eq!("amount=1099".to_owned().try_clone().as_deref(), Some("amount=1099"));
    assert_eq!(text_of(Empty::<Bytes>::new().try_clone().unwrap()).await, Bytes::new());
    type Both = Either<Full<Bytes>, Empty<Bytes>>;
    assert_eq!(text_of(Both::Left(Full::new(bytes.clone())).try_clone().unwrap()).await, bytes);
    assert!(matches!(Both::Right(Empty::new()).try_clone(), Some(Either::Right(_))));
}

#[test]
fn a_stream_has_no_copy_and_neither_has_a_choice_that_is_one() {
    assert!(SendOnce(Full::new(Bytes::from_static(b"x"))).try_clone().is_none());
    type Both = Either<Full<Bytes>, SendOnce<Full<Bytes>>>;
    assert!(Both::Right(SendOnce(Full::default())).try_clone().is_none());
    assert!(Both::Left(Full::default()).try_clone().is_some());
}

#[test]
fn the_content_of_a_body_in_memory_can_be_read_and_the_body_stays_whole() {
    let bytes = Bytes::from_static(b"amount=1099");
    let full = || Full::new(bytes.clone());
    let limit = bytes.len();
    for body in [Cloneable(full()), Cloneable(full())] {
        assert_eq!(body.content(limit), Some(bytes.clone()));
        assert_eq!(body.size_hint().exact(), Some(limit as u64), "not a byte is gone");
        assert_eq!(body.content(limit - 1), None, "it is larger than what is looked at");
    }
    assert_eq!(full().content(limit), Some(bytes.clone()));
    assert_eq!("amount=1099".to_owned().content(limit), Some(bytes.clone()));
    assert_eq!("amount=1099".to_owned().content(limit - 1), None);
    assert_eq!(Empty::<Bytes>::new().content(0), Some(Bytes::new()));
    assert_eq!(Full::<Bytes>::default().content(0), Some(Bytes::new()));
    type Both = Either<Full<Bytes>, SendOnce<Full<Bytes>>>;
    assert_eq!(Both::Left(full()).content(limit), Some(bytes.clone()));
    assert_eq!(Both::Right(SendOnce(full())).content(limit), None, "a stream is not looked at");
}

#[test]
fn content_is_what_is_there_at_once_and_nothing_else() {
    let slow = |frames: Vec<(Duration, Result<Frame<Bytes>, io::Error>)>| {
        let mut slow = Slow::default();
        slow.frames.extend(frames);
        slow
    };
    let data = |text: &'static str| (Duration::ZERO, Ok(Frame::data(Bytes::from_static(text.as_bytes()))));
    let trailers = || (Duration::ZERO, Ok(Frame::trailers(HeaderMap::new())));
    for (frames, limit, expected) in [
        (vec![], 0, Some("")),
        (vec![data("ab"), data(""), data("cd"), data("e")], 5, Some("abcde")),
        (vec![data(""), data("ab"), data("")], 2, Some("ab")),
        (vec![data("ab"), data("cd"), data("e")], 4, None),
        (vec![data("abc")], 2, None),
        (vec![data("a"), trailers()], 9, None),
        (vec![data("a"), (Duration::ZERO, Err(io::Error::other("disk")))], 9, None),
        ((0..2_000).map(|_| data("")).collect(), 9, None),
    ] {
        let read = content_of(slow(frames), limit);
        assert_eq!(read.as_deref(), expected.map(str::as_bytes), "{expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_has_to_be_waited_for_has_no_content_yet() {
    assert_eq!(content_of(Slow::new([(Duration::ZERO, "a"), (SECOND, "b")]), 9), None);
}

#[tokio::test]
async fn a_wrapped_body_looks_the_same_on_the_wire() {
    let bytes = Bytes::from_static(b"amount=1099");
    let full = || Full::new(bytes.clone());
    assert_eq!(SendOnce(full()).size_hint().exact(), Some(11));
    assert_eq!(Cloneable(full()).size_hint().exact(), Some(11));
    assert!(!SendOnce(full()).is_end_stream() && SendOnce(Full::<Bytes>::default()).is_end_stream());
    assert_eq!(text_of(SendOnce(full())).await, bytes);
    assert_eq!(text_of(Cloneable(full())).await, bytes);
    assert_eq!(SendOnce(Slow::default()).size_hint().lower(), SizeHint::default().lower());
}
