use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Response;
use pin_project::pin_project;
use tokio::time::Sleep;

use crate::vocab::{AttemptTimedOut, Recorder, TransportError, report::Entered};

/// The future of [`Timeout`](super::Timeout).
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F, E> {
    #[pin]
    state: State<F, E>,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
#[derive(Debug)]
enum State<F, E> {
    Refused(Option<E>),
    Calling {
        #[pin]
        inner: F,
        #[pin]
        alarm: Sleep,
        limit: Duration,
        recorder: Recorder,
        entered: Option<Entered>,
    },
    Done,
}

impl<F, E> ResponseFuture<F, E> {
    pub(super) const fn refused(error: E) -> Self {
        Self { state: State::Refused(Some(error)) }
    }

    pub(super) fn calling(inner: F, limit: Duration, recorder: Recorder, entered: Entered) -> Self {
        let alarm = tokio::time::sleep(limit);
        Self { state: State::Calling { inner, alarm, limit, recorder, entered: Some(entered) } }
    }
}

impl<F, R, E> Future for ResponseFuture<F, E>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: From<AttemptTimedOut>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        match state.as_mut().project() {
            StateProj::Refused(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            },
            StateProj::Calling { inner, alarm, limit, recorder, entered } => {
                if let Poll::Ready(mut result) = inner.poll(cx) {
                    let entered = entered.take();
                    if let Ok(response) = &mut result {
                        if let Some(entered) = &entered {
                            entered.answered(response.status(), response.headers());
                        }
                        recorder.attach(response);
                    }
                    entered.map(Entered::close);
                    return Poll::Ready(result);
                }
                ready!(alarm.poll(cx));
                let (timeout, recorder, entered) =
                    (AttemptTimedOut::after(*limit), recorder.clone(), entered.take());
                // Before anything is said about it: whether the body of the request can still leave is settled only once
                // nobody polls it any more.
                state.project_replace(State::Done);
                recorder.failed(timeout.failure());
                entered.map(Entered::close);
                Poll::Ready(Err(timeout.into()))
            }
            StateProj::Done => Poll::Pending,
        }
    }
}
