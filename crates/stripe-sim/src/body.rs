//! The body of a response, whole or broken.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::{error::SimError, faults::Fault};

/// The body of the simulator's responses. A broken one announces its full length all the same.
pub struct SimBody {
    rest: Bytes,
    end: End,
    /// What the client still believes is coming.
    announced: u64,
}

enum End {
    Whole,
    /// Breaks off; the flag says that the next poll does it.
    Cut(bool),
    /// Goes silent for this long, then breaks off.
    Stall(Duration, Option<Pin<Box<Sleep>>>),
}

impl SimBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { announced: length(&bytes), rest: bytes, end: End::Whole }
    }

    pub(crate) fn cut(bytes: Bytes) -> Self {
        Self { announced: length(&bytes), rest: half(bytes), end: End::Cut(false) }
    }

    pub(crate) fn stalling(bytes: Bytes, limit: Duration) -> Self {
        Self { announced: length(&bytes), rest: half(bytes), end: End::Stall(limit, None) }
    }
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = SimError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SimError>>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            let bytes = std::mem::take(&mut this.rest);
            this.announced -= length(&bytes);
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let fault = match &mut this.end {
            End::Whole => return Poll::Ready(None),
            End::Cut(broken) if *broken => Fault::F4Cut,
            End::Cut(broken) => {
                // One more turn, so that a server sends what it has before it learns of the end.
                *broken = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            End::Stall(limit, timer) => {
                let limit = *limit;
                ready!(timer.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx));
                Fault::F4Stall
            }
        };
        this.end = End::Whole;
        this.announced = 0;
        Poll::Ready(Some(Err(SimError::reset(fault, true))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && matches!(self.end, End::Whole)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}

impl fmt::Debug for SimBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimBody").field("announced", &self.announced).finish_non_exhaustive()
    }
}

fn half(bytes: Bytes) -> Bytes {
    bytes.slice(..bytes.len() / 2)
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
