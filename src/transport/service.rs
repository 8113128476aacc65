use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use http_body::Body;
use tower::{Layer, Service, ServiceExt};
use tower_http::sensitive_headers::{SetSensitiveRequestHeaders, SetSensitiveRequestHeadersLayer};

use super::{Builder, ResponseFuture, Sending, hosts::Hosts};
use crate::{
    classify::{Classify, ClassifyConfig, ClassifyLayer},
    edge::Edge,
    idempotency::{Idempotency, IdempotencyConfig, IdempotencyLayer},
    request_id::{ExtractRequestId, RequestIdLayer},
    retry::{Retry, RetryConfig, RetryLayer},
    timeout::{Timeout, TimeoutConfig, TimeoutLayer},
    vocab::{Error, Recorder, Replay, StripeBody, TransportError},
};

/// One attempt.
pub(super) type Attempt<S> = Timeout<ExtractRequestId<Classify<Edge<S>>>>;
/// One call: the order of all layers.
pub(super) type Call<S> = SetSensitiveRequestHeaders<Idempotency<Retry<Attempt<S>>>>;

/// A hardened transport for calls to Stripe, over any HTTP client. See the [module docs](super).
///
/// Clones share the retry budget; clone freely.
#[derive(Clone, Debug)]
pub struct StripeTransport<S> {
    call: Call<S>,
    hosts: Arc<Hosts>,
}

impl<S> StripeTransport<S> {
    /// Wraps `client`, with every layer at its defaults.
    pub fn new(client: S) -> Self {
        TransportLayer::default().layer(client)
    }

    /// Sends one request. The future can be spawned: it borrows nothing.
    ///
    /// # Errors
    /// [`Error`], when there is no response: the call was refused, timed out, or the client failed. Whatever Stripe
    /// answered, 4xx and 5xx included, is a response.
    ///
    /// # Panics
    /// The future, when it is polled outside of a tokio runtime with its timers enabled.
    pub fn send<B>(&self, request: Request<B>) -> Sending<Self, B>
    where
        Self: Service<Request<B>> + Clone,
    {
        Sending::new(self.clone().oneshot(request))
    }
}

impl StripeTransport<()> {
    /// Starts at the defaults; ends in a [`TransportLayer`], which wraps a client.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl<S, B, R> Service<Request<B>> for StripeTransport<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: TransportError,
    B: Replay,
    R: Body<Data = Bytes> + Unpin,
{
    type Response = Response<StripeBody<R>>;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Request<B>>::poll_ready(&mut self.call, cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let recorder = match Recorder::of_one_call(&mut request) {
            Ok(recorder) => recorder,
            Err(refused) => return ResponseFuture::refused(refused.into()),
        };
        match self.hosts.check(request.uri()) {
            Ok(()) => ResponseFuture::calling(self.call.call(request), recorder.handle().clone()),
            Err(refusal) => ResponseFuture::refused(recorder.refuse_unread(&request, refusal).into()),
        }
    }
}

/// Makes a [`StripeTransport`] of a client. All transports of one layer share its retry budget.
#[derive(Clone, Debug)]
pub struct TransportLayer {
    hosts: Arc<Hosts>,
    sensitive: SetSensitiveRequestHeadersLayer,
    idempotency: IdempotencyLayer,
    retry: RetryLayer,
    timeout: TimeoutLayer,
    request_id: RequestIdLayer,
    classify: ClassifyLayer,
}

impl TransportLayer {
    pub(super) fn new(
        hosts: Arc<Hosts>,
        idempotency: IdempotencyConfig,
        retry: RetryConfig,
        timeout: TimeoutConfig,
        classify: ClassifyConfig,
    ) -> Self {
        Self {
            hosts,
            sensitive: SetSensitiveRequestHeadersLayer::new([AUTHORIZATION]),
            idempotency: IdempotencyLayer::new(idempotency),
            retry: RetryLayer::new(retry),
            timeout: TimeoutLayer::new(timeout),
            request_id: RequestIdLayer::new(),
            classify: ClassifyLayer::new(classify),
        }
    }
}

impl Default for TransportLayer {
    fn default() -> Self {
        Self::new(
            Arc::default(),
            IdempotencyConfig::default(),
            RetryConfig::default(),
            TimeoutConfig::default(),
            ClassifyConfig::default(),
        )
    }
}

impl TransportLayer {
    /// Wraps `client`.
    pub fn layer<S>(&self, client: S) -> StripeTransport<S> {
        let attempt = self.timeout.layer(self.request_id.layer(self.classify.layer(Edge::new(client))));
        let call = self.sensitive.layer(self.idempotency.layer(self.retry.layer(attempt)));
        StripeTransport { call, hosts: Arc::clone(&self.hosts) }
    }
}

impl<S> Layer<S> for TransportLayer {
    type Service = StripeTransport<S>;

    fn layer(&self, client: S) -> StripeTransport<S> {
        self.layer(client)
    }
}
