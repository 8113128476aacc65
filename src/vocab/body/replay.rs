//! Which request bodies can be sent again.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Buf;
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
}

impl<D: Buf + Clone> Replay for Full<D> {
    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl<D: Buf> Replay for Empty<D> {
    fn try_clone(&self) -> Option<Self> {
        Some(Self::new())
    }
}

impl Replay for String {
    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl<L: Replay, R: Replay> Replay for Either<L, R> {
    fn try_clone(&self) -> Option<Self> {
        match self {
            Self::Left(body) => body.try_clone().map(Self::Left),
            Self::Right(body) => body.try_clone().map(Self::Right),
        }
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

impl<B: Clone> Replay for Cloneable<B> {
    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
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
