//! Reading the body of a request, frame by frame, because some faults stop in the middle of it.

use std::{future::poll_fn, pin::Pin};

use bytes::{Bytes, BytesMut};
use http_body::Body;

/// The longest body the simulator reads.
pub(crate) const LONGEST_BODY: usize = 4 * 1024 * 1024;

/// A request body, and what was taken from it so far.
pub(crate) struct Pull<B> {
    body: Pin<Box<B>>,
    taken: BytesMut,
    frames: usize,
}

/// Why a body could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The client's side failed.
    Broken,
    /// It is longer than [`LONGEST_BODY`].
    TooLong,
}

impl<B: Body<Data = Bytes>> Pull<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body: Box::pin(body), taken: BytesMut::new(), frames: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_end_stream()
    }

    /// How many frames were taken.
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    /// The bytes taken so far.
    pub(crate) fn taken(&mut self) -> Bytes {
        self.taken.split().freeze()
    }

    /// Takes up to `most` frames.
    pub(crate) async fn take(&mut self, most: usize) -> Result<(), Unread> {
        for _ in 0..most {
            match poll_fn(|cx| self.body.as_mut().poll_frame(cx)).await {
                None => break,
                Some(Err(_)) => return Err(Unread::Broken),
                Some(Ok(frame)) => {
                    self.frames += 1;
                    if let Some(bytes) = frame.data_ref() {
                        if bytes.len() > LONGEST_BODY - self.taken.len() {
                            return Err(Unread::TooLong);
                        }
                        self.taken.extend_from_slice(bytes);
                    }
                }
            }
        }
        Ok(())
    }
}
