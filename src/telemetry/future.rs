use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project::pin_project;

use super::watch::Watch;
use crate::vocab::{Refused, report::HandedOn};

/// The future of [`Telemetry`](super::Telemetry).
#[pin_project]
pub struct ResponseFuture<F> {
    #[pin]
    state: State<F>,
}

#[pin_project(project = StateProj)]
enum State<F> {
    Unseen(#[pin] F),
    /// In this order: dropped, what is within ends first, and the call last.
    Watched {
        #[pin]
        inner: F,
        handed_on: Option<HandedOn>,
        watch: Option<Watch>,
    },
    Refused(Option<(Refused, Watch)>),
}

impl<F> ResponseFuture<F> {
    pub(super) const fn unseen(inner: F) -> Self {
        Self { state: State::Unseen(inner) }
    }

    pub(super) const fn watched(inner: F, handed_on: HandedOn, watch: Watch) -> Self {
        Self { state: State::Watched { inner, handed_on: Some(handed_on), watch: Some(watch) } }
    }

    pub(super) const fn refused(refused: Refused, watch: Watch) -> Self {
        Self { state: State::Refused(Some((refused, watch))) }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: From<Refused>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().state.project() {
            StateProj::Unseen(inner) => inner.poll(cx),
            StateProj::Watched { inner, handed_on, watch } => {
                let mut result = {
                    let _entered = watch.as_ref().map(|watch| watch.span().enter());
                    ready!(inner.poll(cx))
                };
                let head = result.as_ref().ok().map(|response| (response.status(), response.headers()));
                handed_on.take().into_iter().for_each(|handed_on| handed_on.close(head));
                if let Some(watch) = watch.take() {
                    if let Ok(response) = &mut result {
                        watch.attach(response);
                    }
                    watch.returned();
                }
                Poll::Ready(result)
            }
            StateProj::Refused(refused) => match refused.take() {
                Some((refused, watch)) => {
                    watch.returned();
                    Poll::Ready(Err(refused.into()))
                }
                None => Poll::Pending,
            },
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
