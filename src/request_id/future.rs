use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, Response, header::HeaderName};
use pin_project::pin_project;

use crate::vocab::{
    Recorder, RequestId,
    headers::{ORIGINAL_REQUEST, REQUEST_ID},
    report::Entered,
};

/// The future of [`ExtractRequestId`](super::ExtractRequestId).
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F> {
    #[pin]
    inner: F,
    recorder: Recorder,
    entered: Option<Entered>,
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(inner: F, recorder: Recorder, entered: Entered) -> Self {
        Self { inner, recorder, entered: Some(entered) }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut result = ready!(this.inner.poll(cx));
        let entered = this.entered.take();
        if let Ok(response) = &mut result {
            if let Some(entered) = &entered {
                entered.answered(response.status(), response.headers());
            }
            this.recorder
                .identified(id(response.headers(), REQUEST_ID), id(response.headers(), ORIGINAL_REQUEST));
            this.recorder.attach(response);
        }
        entered.map(Entered::close);
        Poll::Ready(result)
    }
}

fn id(headers: &HeaderMap, name: HeaderName) -> Option<RequestId> {
    headers.get(name).and_then(RequestId::from_header)
}
