use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project::pin_project;

use super::{shared::Shared, watch::Watch};
use crate::vocab::{
    Recorder, Refused,
    report::{HandedOn, Observer},
};

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
    /// A call that is made by `call`; `alone` where perhaps no layer within accounts for what is sent.
    pub(super) fn new<B>(
        shared: &Arc<Shared>,
        mut request: Request<B>,
        alone: bool,
        call: impl FnOnce(Request<B>) -> F,
    ) -> Self {
        if !shared.config.enabled {
            return Self { state: State::Unseen(call(request)) };
        }
        let meter = || Arc::clone(&shared.meter) as Arc<dyn Observer>;
        let state = match Recorder::of_one_call(&mut request) {
            // Somebody outside counts it: twice would be as wrong as not at all.
            Ok(recorder) if !recorder.observe(meter()) => State::Unseen(call(request)),
            Ok(recorder) => {
                let watch = Watch::begin(shared, &recorder, &request);
                let handed_on = alone.then(|| recorder.hand_on(&request));
                let inner = watch.span().in_scope(|| call(request));
                State::Watched { inner, handed_on, watch: Some(watch) }
            }
            Err(refused) => {
                // Nobody could hear it yet.
                let watch = Watch::begin(shared, &Recorder::of_refused(&refused), &request);
                watch.refused(refused.refusal());
                State::Refused(Some((refused, watch)))
            }
        };
        Self { state }
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
