//! What the server does below HTTP: connections that are reset, and `GOAWAY` frames that hyper would not send.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::lock::Lock;

/// What a connection is to do next, shared by its layers.
#[derive(Debug)]
pub(crate) struct Signals {
    lost: AtomicBool,
    streams: Lock<Streams>,
}

#[derive(Default)]
struct Streams {
    /// How many were let through. A client numbers its streams 1, 3, 5, …, so this tells the id of each.
    seen: u32,
    going: Going,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Going {
    #[default]
    On,
    /// A `GOAWAY` is to be written that names this stream as the last that was handled.
    Away { last: u32 },
    /// It is written.
    Gone,
}

impl Signals {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { lost: AtomicBool::new(false), streams: Lock::new(Streams::default()) })
    }

    /// The connection is to be reset when it ends.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    /// Lets a stream through and gives its number; `None` after a `GOAWAY`, when nothing may be handled any more.
    pub(crate) fn next_stream(&self) -> Option<u32> {
        self.streams.with(|streams| {
            if streams.going != Going::On {
                return None;
            }
            streams.seen += 1;
            Some(streams.seen)
        })
    }

    /// Sends a `GOAWAY` from before the stream of this number, unless a later one was let through: that may have been
    /// executed, and the frame would say that it was not.
    pub(crate) fn go_away_before(&self, number: u32) {
        self.streams.with(|streams| {
            if streams.seen == number && streams.going == Going::On {
                streams.going = Going::Away { last: (2 * number).saturating_sub(3) };
            }
        });
    }

    fn take_farewell(&self) -> Option<u32> {
        self.streams.with(|streams| match streams.going {
            Going::Away { last } => {
                streams.going = Going::Gone;
                Some(last)
            }
            Going::On | Going::Gone => None,
        })
    }
}

/// A TCP stream that is reset instead of closed once it counts as lost.
pub(crate) struct Resettable {
    stream: TcpStream,
    signals: Arc<Signals>,
}

impl Resettable {
    pub(crate) fn new(stream: TcpStream, signals: Arc<Signals>) -> Self {
        Self { stream, signals }
    }
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.signals.is_lost() {
            // Where the option is refused the client sees an ordinary close before the response, which is as fatal.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.signals.is_lost() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A stream of HTTP/2 frames into which a `GOAWAY` is slipped where one frame has ended and the next not begun. hyper
/// itself sends one only for streams that it has not looked at, and it looks at every stream at once.
pub(crate) struct Slipping<T> {
    inner: T,
    signals: Arc<Signals>,
    frames: Frames,
    unsent: Vec<u8>,
}

/// Where in the frames a writer is.
#[derive(Default)]
struct Frames {
    header: [u8; 9],
    /// How much of the header was written.
    filled: usize,
    /// How much of the payload is still to come.
    rest: usize,
}

impl Frames {
    fn between(&self) -> bool {
        self.filled == 0 && self.rest == 0
    }

    fn advance(&mut self, mut written: &[u8]) {
        while !written.is_empty() {
            if self.rest > 0 {
                let payload = self.rest.min(written.len());
                self.rest -= payload;
                written = &written[payload..];
                continue;
            }
            let taken = (self.header.len() - self.filled).min(written.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&written[..taken]);
            self.filled += taken;
            written = &written[taken..];
            if self.filled == self.header.len() {
                let [a, b, c, ..] = self.header;
                self.rest = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.filled = 0;
            }
        }
    }
}

/// A frame of 8 bytes, of type 7, on stream 0, without an error code.
fn go_away(last: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
    frame.extend(last.to_be_bytes());
    frame.extend([0; 4]);
    frame
}

impl<T: AsyncWrite + Unpin> Slipping<T> {
    pub(crate) fn new(inner: T, signals: Arc<Signals>) -> Self {
        Self { inner, signals, frames: Frames::default(), unsent: Vec::new() }
    }

    /// Writes the `GOAWAY`, if it is time for one.
    fn poll_slip(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.frames.between()
            && self.unsent.is_empty()
            && let Some(last) = self.signals.take_farewell()
        {
            self.unsent = go_away(last);
        }
        while !self.unsent.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.unsent))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Slipping<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Slipping<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_slip(cx))?;
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, buf))?;
        this.frames.advance(buf.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_slip(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let bytes: Vec<u8> = [go_away(1), go_away(3)].concat();
        for step in 1..=bytes.len() {
            let mut frames = Frames::default();
            let mut at = 0;
            for piece in bytes.chunks(step) {
                frames.advance(piece);
                at += piece.len();
                assert_eq!(frames.between(), at % 17 == 0, "{at} in steps of {step}");
            }
        }
    }

    #[test]
    fn no_stream_that_may_have_been_handled_is_said_to_be_refused() {
        let signals = Signals::new();
        assert_eq!((signals.next_stream(), signals.next_stream()), (Some(1), Some(2)));
        signals.go_away_before(1);
        assert_eq!((signals.take_farewell(), signals.next_stream()), (None, Some(3)));
        signals.go_away_before(3);
        assert_eq!((signals.next_stream(), signals.take_farewell()), (None, Some(3)));
        assert_eq!((signals.next_stream(), signals.take_farewell()), (None, None));
    }
}
