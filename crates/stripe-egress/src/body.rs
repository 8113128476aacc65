//! Bodies of requests: small ones are read to their end first, and can then be sent again; large ones stream.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, timeout},
};
use tower_stripe::vocab::{Replay, time::now};

/// What a body may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// The largest body that is kept, so that it can be sent again.
    pub(crate) replayable: usize,
    /// The largest body that is taken at all.
    pub(crate) largest: u64,
    /// How long the client may take for the next part.
    pub(crate) idle: Duration,
}

/// The memory for all bodies that are kept, in bytes.
pub(crate) type Memory = Arc<Semaphore>;

/// The body of a request, on its way to Stripe.
pub(crate) enum RequestBody<B = Incoming> {
    /// In memory.
    Whole(Full<Bytes>, Option<Arc<OwnedSemaphorePermit>>),
    /// Sent as it comes, and only once.
    Stream(Stream<B>),
}

/// A body of which a part has been read.
pub(crate) struct Stream<B> {
    /// What was read before it was known to be too large to keep.
    read: Option<Bytes>,
    held: Option<OwnedSemaphorePermit>,
    rest: B,
    /// How much may still come, of how much.
    left: u64,
    largest: u64,
    idle: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
    /// Whether it is the client that is waited for. An upstream that takes its time is not its fault.
    waiting: bool,
}

/// Why a body was not taken, or broke off.
#[derive(Debug)]
pub(crate) enum BodyFailed {
    /// The client's side failed.
    Broken,
    /// The client stopped sending.
    TooSlow(Duration),
    /// It is larger than any may be.
    TooLarge(u64),
    /// Too many bodies are kept already.
    NoMemory,
}

impl fmt::Display for BodyFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken => f.write_str("the body of the request broke off"),
            Self::TooSlow(idle) => {
                write!(f, "no part of the request's body arrived for {idle:?} (limits.body_idle)")
            }
            Self::TooLarge(largest) => {
                write!(f, "the body of the request is larger than {largest} bytes (limits.max_body_bytes)")
            }
            Self::NoMemory => {
                f.write_str("too many request bodies are kept already (limits.max_buffered_bytes)")
            }
        }
    }
}

impl Error for BodyFailed {}

impl<B: Body<Data = Bytes> + Unpin> RequestBody<B> {
    /// Reads `body` to its end, or until it is too large to keep.
    ///
    /// # Errors
    /// If it cannot be taken; nothing has been sent then.
    pub(crate) async fn receive(
        mut body: B,
        allowance: Allowance,
        memory: &Memory,
    ) -> Result<Self, BodyFailed> {
        let Allowance { replayable, largest, idle } = allowance;
        let hint = body.size_hint();
        if hint.lower() > largest {
            return Err(BodyFailed::TooLarge(largest));
        }
        let mut held: Option<OwnedSemaphorePermit> = None;
        let mut read = BytesMut::new();
        if hint.lower() <= replayable as u64 {
            loop {
                let frame = timeout(idle, body.frame()).await.map_err(|_| BodyFailed::TooSlow(idle))?;
                let Some(frame) = frame else {
                    return Ok(Self::Whole(Full::new(read.freeze()), held.map(Arc::new)));
                };
                // Trailers belong to the connection that they came on.
                let Ok(data) = frame.map_err(|_| BodyFailed::Broken)?.into_data() else { continue };
                keep(memory, data.len(), &mut held)?;
                // Copied: a part of one byte would keep the whole buffer alive that it was read into.
                read.extend_from_slice(&data);
                if read.len() > replayable {
                    break;
                }
            }
        }
        let taken = read.len() as u64;
        if taken > largest {
            return Err(BodyFailed::TooLarge(largest));
        }
        Ok(Self::Stream(Stream {
            read: (taken > 0).then(|| read.freeze()),
            held,
            rest: body,
            left: largest - taken,
            largest,
            idle,
            alarm: None,
            waiting: false,
        }))
    }
}

/// Takes memory for so many bytes more.
fn keep(memory: &Memory, bytes: usize, held: &mut Option<OwnedSemaphorePermit>) -> Result<(), BodyFailed> {
    let more = u32::try_from(bytes).map_err(|_| BodyFailed::NoMemory)?;
    let more = Arc::clone(memory).try_acquire_many_owned(more).map_err(|_| BodyFailed::NoMemory)?;
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
    Ok(())
}

impl<B: Body<Data = Bytes> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = BodyFailed;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        match self.get_mut() {
            Self::Whole(body, _) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Self::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body, _) => body.is_end_stream(),
            Self::Stream(stream) => stream.read.is_none() && stream.rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body, _) => body.size_hint(),
            Self::Stream(Stream { read, rest, .. }) => {
                let read = read.as_ref().map_or(0, |read| read.len() as u64);
                let rest = rest.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(read));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(read));
                }
                hint
            }
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Stream<B> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        if let Some(read) = self.read.take() {
            self.held = None; // The client below holds it now, and no more than one part at a time.
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.rest).poll_frame(cx) else {
                let idle = self.idle;
                let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
                if !std::mem::replace(&mut self.waiting, true) {
                    alarm.as_mut().reset((now() + idle).into());
                }
                return alarm.as_mut().poll(cx).map(|()| Some(Err(BodyFailed::TooSlow(idle))));
            };
            self.waiting = false;
            return Poll::Ready(match frame {
                None => None,
                Some(Err(_)) => Some(Err(BodyFailed::Broken)),
                Some(Ok(frame)) => match frame.into_data() {
                    Err(_trailers) => continue,
                    Ok(data) => match self.left.checked_sub(data.len() as u64) {
                        Some(left) => {
                            self.left = left;
                            Some(Ok(Frame::data(data)))
                        }
                        None => Some(Err(BodyFailed::TooLarge(self.largest))),
                    },
                },
            });
        }
    }
}

/// What is in memory can be sent again, what streams cannot.
impl<B> Replay for RequestBody<B> {
    fn try_clone(&self) -> Option<Self> {
        match self {
            Self::Whole(body, held) => Some(Self::Whole(body.clone(), held.clone())),
            Self::Stream(_) => None,
        }
    }

    fn content(&self, limit: usize) -> Option<Bytes> {
        match self {
            Self::Whole(body, _) => body.content(limit),
            Self::Stream(_) => None,
        }
    }

    fn without_content() -> Option<Self> {
        Some(Self::Whole(Full::default(), None))
    }
}

/// Never shows content.
impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole(..) => "Whole",
            Self::Stream(_) => "Stream",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Parts that come, or `None` where none comes for now.
    struct Parts(VecDeque<Option<&'static [u8]>>);

    impl Body for Parts {
        type Data = Bytes;
        type Error = BodyFailed;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
            match self.0.front() {
                Some(Some(part)) => {
                    let frame = Frame::data(Bytes::from_static(part));
                    self.0.pop_front();
                    Poll::Ready(Some(Ok(frame)))
                }
                Some(None) => Poll::Pending,
                None => Poll::Ready(None),
            }
        }
    }

    const ALLOWANCE: Allowance = Allowance { replayable: 8, largest: 12, idle: Duration::from_secs(30) };

    async fn receive(
        parts: &[Option<&'static [u8]>],
        memory: &Memory,
    ) -> Result<RequestBody<Parts>, BodyFailed> {
        RequestBody::receive(Parts(parts.iter().copied().collect()), ALLOWANCE, memory).await
    }

    fn memory() -> Memory {
        Arc::new(Semaphore::new(20))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_small_can_be_sent_again_and_gives_its_memory_back_with_the_last_copy() {
        let memory = memory();
        let body = receive(&[Some(b"1234"), Some(b"5678")], &memory).await.expect("it fits");
        let again = body.try_clone().expect("it is in memory");
        assert_eq!(body.content(8).as_deref(), Some(&b"12345678"[..]));
        assert_eq!((body.size_hint().exact(), memory.available_permits()), (Some(8), 12));
        drop(body);
        assert_eq!(again.collect().await.expect("in memory").to_bytes(), "12345678");
        assert_eq!(memory.available_permits(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_large_streams_once_with_nothing_lost() {
        let memory = memory();
        let body = receive(&[Some(b"12345"), Some(b"6789"), Some(b"ab")], &memory).await.expect("it streams");
        assert!(body.try_clone().is_none() && body.content(100).is_none() && !body.is_end_stream());
        assert_eq!(body.collect().await.expect("whole").to_bytes(), "123456789ab");
        assert_eq!(memory.available_permits(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_breaks_off_wherever_that_shows() {
        let body = receive(&[Some(b"12345"), Some(b"6789"), Some(b"abcd")], &memory()).await.expect("so far");
        assert!(matches!(body.collect().await, Err(BodyFailed::TooLarge(12))));
        assert!(matches!(receive(&[Some(b"123456789abcd")], &memory()).await, Err(BodyFailed::TooLarge(12))));
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_sending_is_not_waited_for() {
        assert!(matches!(receive(&[Some(b"12"), None], &memory()).await, Err(BodyFailed::TooSlow(_))));
        let body = receive(&[Some(b"123456789"), None], &memory()).await.expect("so far");
        assert!(matches!(body.collect().await, Err(BodyFailed::TooSlow(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_takes_its_time_is_not_the_clients_fault() {
        let parts = [Some(&b"123456789"[..]), Some(b"a"), None];
        let mut body = receive(&parts, &memory()).await.expect("so far");
        for _ in 0..2 {
            body.frame().await.expect("a part").expect("it is there");
            tokio::time::sleep(ALLOWANCE.idle * 2).await;
        }
        // Only from now on is the client waited for.
        let began = now();
        assert!(matches!(body.frame().await, Some(Err(BodyFailed::TooSlow(_)))));
        assert!(now() - began >= ALLOWANCE.idle);
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_there_is_memory_for_is_refused() {
        let memory = memory();
        let first = receive(&[Some(b"12345678")], &memory).await.expect("there is room");
        let second = receive(&[Some(b"12345678")], &memory).await.expect("there is room");
        assert!(matches!(receive(&[Some(b"12345678")], &memory).await, Err(BodyFailed::NoMemory)));
        drop(first);
        assert!(receive(&[Some(b"12345678")], &memory).await.is_ok());
        drop(second);
    }
}
