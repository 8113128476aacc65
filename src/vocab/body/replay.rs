//! Which request bodies can be sent again.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Empty, Full};

/// A request body that may be sent a second time, byte for byte.
///
/// Implemented for [`Full`], [`Empty`], `String` and [`Either`] of such. Wrap any other body: [`Cloneable`] for one that
/// is cheap to clone, [`SendOnce`] for a stream, which is then sent once and never retried.
#[diagnostic::on_unimplemented(
    message = "it is not known whether `{Self}` can be sent again",
    note = "wrap it: `Cloneable` for a body that is cheap to clone, `SendOnce` for a stream, which is then never retried"
)]
pub trait Replay: Sized {
    /// The same body from its beginning, or `None` where it cannot be had again.
    fn try_clone(&self) -> Option<Self>;

    /// All bytes of the body, if they are in memory and at most `limit`, so that two requests can be compared. Neither
    /// waits nor changes the body.
    ///
    /// `None` by default: such a body is sent without being looked at. [`content_of`] does it for a body that can be
    /// cloned.
    fn content(&self, limit: usize) -> Option<Bytes> {
        let _ = limit;
        None
    }

    /// A body of this type without content, so that the stack can send a GET of its own to find out whether Stripe is
    /// back; `None`, the default, where there is none to be had.
    fn without_content() -> Option<Self> {
        None
    }
}

/// More frames than this are not looked at: a body may be of empty ones without end.
const MAX_FRAMES: usize = 1_024;

/// Reads `body`, a clone of the one that will be sent, to its end: all its bytes, if it has them at once, at most `limit`
/// of them, and nothing besides.
pub fn content_of<B: Body>(body: B, limit: usize) -> Option<Bytes> {
    if body.size_hint().lower() > limit as u64 {
        return None;
    }
    let mut body = pin!(body);
    let mut cx = Context::from_waker(Waker::noop());
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    for _ in 0..MAX_FRAMES {
        let Poll::Ready(frame) = body.as_mut().poll_frame(&mut cx) else { return None };
        let Some(frame) = frame else {
            return Some(if all.is_empty() { first } else { all.freeze() });
        };
        let mut data = frame.ok()?.into_data().ok()?;
        if data.remaining() > limit - first.len().max(all.len()) {
            return None;
        }
        // One frame, as nearly every body in memory is, costs no copy.
        if first.is_empty() {
            first = data.copy_to_bytes(data.remaining());
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        while data.has_remaining() {
            let read = data.chunk().len();
            all.extend_from_slice(data.chunk());
            data.advance(read);
        }
    }
    None
}

impl<D: Buf + Clone> Replay for Full<D> {
    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }

    fn content(&self, limit: usize) -> Option<Bytes> {
        content_of(self.clone(), limit)
    }

    fn without_content() -> Option<Self> {
        Some(Self::default())
    }
}

impl<D: Buf> Replay for Empty<D> {
    fn try_clone(&self) -> Option<Self> {
        Some(Self::new())
    }

    fn content(&self, _: usize) -> Option<Bytes> {
        Some(Bytes::new())
    }

    fn without_content() -> Option<Self> {
        Some(Self::new())
    }
}

impl Replay for String {
    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }

    fn content(&self, limit: usize) -> Option<Bytes> {
        (self.len() <= limit).then(|| Bytes::copy_from_slice(self.as_bytes()))
    }

    fn without_content() -> Option<Self> {
        Some(Self::new())
    }
}

impl<L: Replay, R: Replay> Replay for Either<L, R> {
    fn try_clone(&self) -> Option<Self> {
        match self {
            Self::Left(body) => body.try_clone().map(Self::Left),
            Self::Right(body) => body.try_clone().map(Self::Right),
        }
    }

    fn content(&self, limit: usize) -> Option<Bytes> {
        match self {
            Self::Left(body) => body.content(limit),
            Self::Right(body) => body.content(limit),
        }
    }

    fn without_content() -> Option<Self> {
        L::without_content().map(Self::Left).or_else(|| R::without_content().map(Self::Right))
    }
}

/// A body that can be sent only once: a stream, or a boxed body of which nothing is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct SendOnce<B>(pub B);

impl<B> Replay for SendOnce<B> {
    fn try_clone(&self) -> Option<Self> {
        None
    }
}

/// A body whose clones begin where it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cloneable<B>(pub B);

impl<B: Body + Clone> Replay for Cloneable<B> {
    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }

    fn content(&self, limit: usize) -> Option<Bytes> {
        content_of(self.0.clone(), limit)
    }
}

macro_rules! forward_body {
    ($wrapper:ident) => {
        impl<B: Body + Unpin> Body for $wrapper<B> {
            type Data = B::Data;
            type Error = B::Error;

            fn poll_frame(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
                Pin::new(&mut self.0).poll_frame(cx)
            }

            fn is_end_stream(&self) -> bool {
                self.0.is_end_stream()
            }

            fn size_hint(&self) -> SizeHint {
                self.0.size_hint()
            }
        }
    };
}

forward_body!(SendOnce);
forward_body!(Cloneable);
