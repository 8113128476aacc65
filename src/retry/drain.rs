//! Reading what is left of a failed response, so that its connection can be used again.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use http_body::Body;
use pin_project::pin_project;
use tokio::time::Sleep;

/// More than this is not worth a connection.
const MAX_BYTES: usize = 64 * 1024;
const MAX_FRAMES: u32 = 4_096;
const MAX_TIME: Duration = Duration::from_millis(100);

/// Ends when the body has ended or failed, or when reading on is not worth it.
#[pin_project]
#[derive(Debug)]
pub(super) struct Drain<R> {
    #[pin]
    body: R,
    /// `None` until the first frame, which may be what a layer within has read already, and which is there at once.
    left: Option<usize>,
    frames: u32,
    #[pin]
    alarm: Sleep,
}

impl<R> Drain<R> {
    pub(super) fn new(body: R) -> Self {
        Self { body, left: None, frames: 0, alarm: tokio::time::sleep(MAX_TIME) }
    }
}

impl<R: Body> Future for Drain<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        // Frames may be empty, and never end.
        while *this.frames < MAX_FRAMES {
            *this.frames += 1;
            match this.body.as_mut().poll_frame(cx) {
                Poll::Ready(None | Some(Err(_))) => return Poll::Ready(()),
                Poll::Ready(Some(Ok(frame))) => {
                    let read = frame.data_ref().map_or(0, Buf::remaining);
                    match this.left.map_or(Some(MAX_BYTES), |left| left.checked_sub(read)) {
                        Some(left) => *this.left = Some(left),
                        None => return Poll::Ready(()),
                    }
                }
                Poll::Pending => return this.alarm.poll(cx),
            }
        }
        Poll::Ready(())
    }
}
