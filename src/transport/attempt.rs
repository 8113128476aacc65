//! One attempt, from the span that shows it to the edge.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::Service;

use crate::{
    classify::{self, ClassifyLayer},
    edge::{self, EdgeLayer},
    request_id::{self, RequestIdLayer},
    telemetry::{self, AttemptSpanLayer},
    timeout::{self, TimeoutLayer},
    vocab::{Error, StripeBody, TransportError},
};

/// The layers within the gates.
///
/// As futures within each other and not as services: each service that stands around others multiplies what the
/// compiler has to do to prove that a call's future can be sent, by a factor. These need nothing of a service but its
/// call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layers {
    pub(super) span: AttemptSpanLayer,
    pub(super) timeout: TimeoutLayer,
    pub(super) request_id: RequestIdLayer,
    pub(super) classify: ClassifyLayer,
}

/// Makes one attempt with a client.
#[derive(Clone, Debug)]
pub(super) struct Attempt<S> {
    layers: Layers,
    client: S,
}

impl<S> Attempt<S> {
    pub(super) const fn new(layers: Layers, client: S) -> Self {
        Self { layers, client }
    }
}

type InClassify<F, R> = classify::ResponseFuture<edge::ResponseFuture<F>, R>;
type InTimeout<F, R, E> = timeout::ResponseFuture<request_id::ResponseFuture<InClassify<F, R>>, E>;

impl<S, B, R> Service<Request<B>> for Attempt<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: TransportError,
    R: Body<Data = Bytes> + Unpin,
{
    type Response = Response<StripeBody<R>>;
    type Error = Error<S::Error>;
    type Future = telemetry::attempt::ResponseFuture<InTimeout<S::Future, R, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.client.poll_ready(cx).map_err(Error::transport)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Layers { span, timeout, request_id, classify } = self.layers;
        span.around(request, |request| {
            timeout.around(request, |request| {
                request_id.around(request, |request| {
                    classify.around(request, |request| {
                        EdgeLayer::new().around(request, |request| self.client.call(request))
                    })
                })
            })
        })
    }
}
