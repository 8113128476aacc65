use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project::pin_project;

use super::service;
use crate::vocab::{Recorder, report::HandedOn};

/// The future of [`Idempotency`](super::Idempotency).
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F, E> {
    #[pin]
    state: State<F, E>,
}

#[pin_project(project = StateProj)]
#[derive(Debug)]
enum State<F, E> {
    Refused(Option<E>),
    HandedOn {
        #[pin]
        inner: F,
        recorder: Recorder,
        handed_on: Option<HandedOn>,
    },
}

impl<F, E> ResponseFuture<F, E> {
    pub(super) const fn refused(error: E) -> Self {
        Self { state: State::Refused(Some(error)) }
    }

    pub(super) const fn handed_on(inner: F, recorder: Recorder, handed_on: HandedOn) -> Self {
        Self { state: State::HandedOn { inner, recorder, handed_on: Some(handed_on) } }
    }
}

impl<F, R, E> Future for ResponseFuture<F, E>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Refused(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            },
            StateProj::HandedOn { inner, recorder, handed_on } => {
                let mut result = ready!(inner.poll(cx));
                if let Some(handed_on) = handed_on.take() {
                    handed_on
                        .close(result.as_ref().ok().map(|response| (response.status(), response.headers())));
                }
                if let Ok(response) = &mut result {
                    // Stripe echoes it.
                    service::conceal(response.headers_mut());
                    recorder.attach(response);
                }
                Poll::Ready(result)
            }
        }
    }
}
