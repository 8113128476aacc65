//! The body of a response, as the stack hands it on.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::vocab::TransportError;

/// The body of a response: the bytes that the stack has read already, then the rest as it arrives.
///
/// Of an error, up to 64 KiB have been read, to understand it; of a success, nothing. Either way the bytes are the
/// ones that came. A body that does not end before the deadline of its call fails with [`BodyError::Deadline`].
pub struct StripeBody<R: Body> {
    read: Option<Bytes>,
    tail: Tail<R>,
    deadline: Option<Instant>,
    /// Made only when a read has to wait.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// What follows the bytes that have been read already.
pub enum Tail<R: Body> {
    /// The rest of the body, not read yet.
    Rest(R),
    /// All bytes were read; these trailers follow.
    Trailers(HeaderMap),
    /// The body broke off here.
    Failed(R::Error),
    /// Nothing.
    End,
}

impl<R: Body> StripeBody<R> {
    /// A body of which nothing has been read.
    #[must_use]
    pub const fn new(rest: R, deadline: Option<Instant>) -> Self {
        Self { read: None, tail: Tail::Rest(rest), deadline, alarm: None }
    }

    /// A body of which `read` has been read.
    #[must_use]
    pub fn resumed(read: Bytes, tail: Tail<R>, deadline: Option<Instant>) -> Self {
        Self { read: (!read.is_empty()).then_some(read), tail, deadline, alarm: None }
    }
}

// Nothing but `R` is ever pinned.
impl<R: Body + Unpin> Unpin for StripeBody<R> {}

impl<R> Body for StripeBody<R>
where
    R: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError<R::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Some(read) = this.read.take() {
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        if let Tail::Rest(rest) = &mut this.tail {
            if let Poll::Ready(frame) = Pin::new(rest).poll_frame(cx) {
                return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Transport)));
            }
            let Some(deadline) = this.deadline else { return Poll::Pending };
            let alarm = this.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.tail = Tail::End; // Gives the connection up.
            return Poll::Ready(Some(Err(BodyError::Deadline)));
        }
        Poll::Ready(match std::mem::replace(&mut this.tail, Tail::End) {
            Tail::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
            Tail::Failed(error) => Some(Err(BodyError::Transport(error))),
            Tail::Rest(_) | Tail::End => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none()
            && match &self.tail {
                Tail::Rest(rest) => rest.is_end_stream(),
                Tail::Trailers(_) | Tail::Failed(_) => false,
                Tail::End => true,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.as_ref().map_or(0, |read| read.len() as u64);
        let rest = match &self.tail {
            Tail::Rest(rest) => rest.size_hint(),
            // How much is missing is not known: a server that was told the length of what is left would take its announced
            // length for a mistake of ours.
            Tail::Failed(_) => SizeHint::new(),
            Tail::Trailers(_) | Tail::End => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint
    }
}

/// Never shows content.
impl<R: Body> fmt::Debug for StripeBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripeBody")
            .field("bytes_read", &self.read.as_ref().map_or(0, Bytes::len))
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Never shows content.
impl<R: Body> fmt::Debug for Tail<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rest(_) => "Rest",
            Self::Trailers(_) => "Trailers",
            Self::Failed(_) => "Failed",
            Self::End => "End",
        })
    }
}

/// Why the body of a response broke off. Its head has arrived: what the report says of the call stands.
#[non_exhaustive]
pub enum BodyError<E> {
    /// It did not end before the deadline of the call.
    Deadline,
    /// The connection failed.
    Transport(E),
}

impl<E> fmt::Display for BodyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "the body of the response did not end before the deadline of the call",
            Self::Transport(_) => "the body of the response broke off",
        })
    }
}

impl<E> fmt::Debug for BodyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "Deadline",
            Self::Transport(_) => "Transport",
        })
    }
}

impl<E: TransportError> StdError for BodyError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Deadline => None,
            Self::Transport(error) => error.as_source(),
        }
    }
}
