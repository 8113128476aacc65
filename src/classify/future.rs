use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode, header::CONTENT_ENCODING, response::Parts};
use http_body::Body;
use pin_project::pin_project;
use tokio::time::Sleep;

use super::{ClassifyConfig, StripeError};
use crate::vocab::{Recorder, StripeBody, body::Tail, report::Entered};

/// The future of [`Classify`](super::Classify).
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F, R: Body> {
    #[pin]
    inner: F,
    reading: Option<Reading<R>>,
    config: ClassifyConfig,
    recorder: Recorder,
    entered: Option<Entered>,
}

impl<F, R: Body> ResponseFuture<F, R> {
    pub(super) const fn new(inner: F, config: ClassifyConfig, recorder: Recorder, entered: Entered) -> Self {
        Self { inner, reading: None, config, recorder, entered: Some(entered) }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes> + Unpin,
{
    type Output = Result<Response<StripeBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match this.reading {
            Some(reading) => ready!(reading.poll(this.recorder, cx)),
            None => match ready!(this.inner.poll(cx)) {
                Ok(response) => {
                    this.recorder.answered_if_unheard(response.status(), response.headers());
                    let bounds = Bounds::of(this.config, response.status());
                    if bounds.max_bytes > 0 {
                        let reading = this.reading.insert(Reading::new(response, bounds));
                        ready!(reading.poll(this.recorder, cx))
                    } else {
                        response.map(|body| StripeBody::new(body, this.recorder.deadline()))
                    }
                }
                Err(error) => {
                    this.entered.take().map(Entered::close);
                    return Poll::Ready(Err(error));
                }
            },
        };
        this.recorder.attach(&mut response);
        this.entered.take().map(Entered::close);
        Poll::Ready(Ok(response))
    }
}

/// So many frames are read of a body at most: frames may be empty, and never end.
const MAX_FRAMES: u32 = 4_096;

/// How much of a body is read, and for how long.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    max_bytes: usize,
    /// `None` where the time limit of the attempt is the only one.
    max_time: Option<Duration>,
}

impl Bounds {
    fn of(config: &ClassifyConfig, status: StatusCode) -> Self {
        if status.as_u16() >= 400 {
            Self { max_bytes: config.max_bytes, max_time: Some(config.max_time) }
        } else {
            Self { max_bytes: if status.is_success() { config.buffer } else { 0 }, max_time: None }
        }
    }
}

/// A body that is being read.
struct Reading<R: Body> {
    bounds: Bounds,
    head: Option<Parts>,
    first: Bytes,
    more: BytesMut,
    tail: Tail<R>,
    frames: u32,
    /// Made only when a read has to wait.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<R: Body<Data = Bytes> + Unpin> Reading<R> {
    fn new(response: Response<R>, bounds: Bounds) -> Self {
        let (head, body) = response.into_parts();
        Self {
            bounds,
            head: Some(head),
            first: Bytes::new(),
            more: BytesMut::new(),
            tail: Tail::Rest(body),
            frames: 0,
            alarm: None,
        }
    }

    fn poll(&mut self, recorder: &Recorder, cx: &mut Context<'_>) -> Poll<Response<StripeBody<R>>> {
        ready!(self.poll_read(cx));
        let Some(head) = self.head.take() else { return Poll::Pending };
        let read = if self.more.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            std::mem::take(&mut self.more).freeze()
        };
        let tail = std::mem::replace(&mut self.tail, Tail::End);
        if matches!(tail, Tail::Failed(_)) {
            recorder.body_lost();
        }
        let readable = head.status.as_u16() >= 400
            && matches!(tail, Tail::End | Tail::Trailers(_))
            && !head.headers.contains_key(CONTENT_ENCODING);
        let error = if readable { StripeError::parse(&read) } else { None };
        let mut response = Response::from_parts(head, StripeBody::resumed(read, tail, recorder.deadline()));
        if let Some(error) = error {
            if !error.is_oauth() {
                recorder.refined(error.code(), error.error_type());
                #[cfg(feature = "telemetry")]
                recorder.named(error.words());
            }
            response.extensions_mut().insert(error);
        }
        Poll::Ready(response)
    }

    /// Reads until the body ends or fails, or a bound is reached.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Tail::Rest(body) = &mut self.tail {
            self.frames += 1;
            if self.frames > MAX_FRAMES {
                return Poll::Ready(());
            }
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(None) => self.tail = Tail::End,
                Poll::Ready(Some(Err(error))) => self.tail = Tail::Failed(error),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        self.push(data);
                        if self.len() > self.bounds.max_bytes {
                            return Poll::Ready(());
                        }
                    }
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.tail = Tail::Trailers(trailers);
                        }
                    }
                },
                Poll::Pending => {
                    let Some(max_time) = self.bounds.max_time else { return Poll::Pending };
                    let alarm = || Box::pin(tokio::time::sleep(max_time));
                    return self.alarm.get_or_insert_with(alarm).as_mut().poll(cx);
                }
            }
        }
        Poll::Ready(())
    }

    fn len(&self) -> usize {
        self.first.len().max(self.more.len())
    }

    /// Most error bodies are one frame: that one is kept as it is, without a copy.
    fn push(&mut self, data: Bytes) {
        if self.first.is_empty() && self.more.is_empty() {
            self.first = data;
            return;
        }
        if self.more.is_empty() {
            self.more.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.more.extend_from_slice(&data);
    }
}

impl<R: Body> std::fmt::Debug for Reading<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("tail", &self.tail).finish_non_exhaustive()
    }
}
