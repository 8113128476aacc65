use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use http_body::Body;
use tower::{Layer, Service, ServiceExt};
use tower_http::sensitive_headers::{SetSensitiveRequestHeaders, SetSensitiveRequestHeadersLayer};

use super::{
    Builder, Description, Profile, ResponseFuture, Sending,
    attempt::{Attempt, Layers},
    hosts::{Checked, Hosts},
};
use crate::{
    auth_gate::{AuthGate, AuthGateConfig, AuthGateHandle},
    breaker::{BreakerConfig, BreakerGate, BreakerHandle},
    classify::{ClassifyConfig, ClassifyLayer},
    credentials::{Credentials, CredentialsConfig, CredentialsHandle, CredentialsLayer},
    governor::{GovernorConfig, GovernorGate, GovernorHandle},
    idempotency::{Idempotency, IdempotencyConfig, IdempotencyLayer},
    request_id::RequestIdLayer,
    retry::{Retry, RetryConfig, RetryLayer},
    telemetry::{AttemptSpanLayer, TelemetryConfig, TelemetryHandle, TelemetryLayer},
    timeout::{TimeoutConfig, TimeoutLayer},
    vocab::{Error, Gated, Recorder, Replay, StripeBody, TransportError},
};

/// What admits an attempt: an open circuit must neither queue nor spend tokens, and a key that is not accepted neither.
pub(super) type Gates = (AuthGate, (BreakerGate, GovernorGate));
/// One call: the order of all layers.
pub(super) type Call<S> =
    SetSensitiveRequestHeaders<Idempotency<Retry<Credentials<Gated<Gates, Attempt<S>>>>>>;

/// A hardened transport for calls to Stripe, over any HTTP client. See the [module docs](super).
///
/// Clones share the retry budget, what is known of Stripe's health and of API keys, and the rate limits; clone freely.
#[derive(Clone, Debug)]
pub struct StripeTransport<S> {
    call: Call<S>,
    shared: Arc<Shared>,
}

/// What all transports of a layer share, besides what is within the layers.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    gates: Gates,
    retry: RetryLayer,
    telemetry: TelemetryLayer,
    credentials: CredentialsHandle,
}

/// All settings, checked.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) telemetry: TelemetryConfig,
    pub(super) hosts: Hosts,
    pub(super) idempotency: IdempotencyConfig,
    pub(super) retry: RetryConfig,
    pub(super) credentials: CredentialsConfig,
    pub(super) auth_gate: AuthGateConfig,
    pub(super) breaker: BreakerConfig,
    pub(super) governor: GovernorConfig,
    pub(super) timeout: TimeoutConfig,
    pub(super) classify: ClassifyConfig,
}

impl<S> StripeTransport<S> {
    /// Wraps `client`, with every layer at its defaults.
    pub fn new(client: S) -> Self {
        TransportLayer::default().layer(client)
    }

    /// Reads what is known of the API key, and looks for another one.
    #[must_use]
    pub fn credentials(&self) -> CredentialsHandle {
        self.shared.credentials.clone()
    }

    /// Reads the auth gate, and resets it.
    #[must_use]
    pub fn auth_gate(&self) -> AuthGateHandle {
        self.shared.gates.0.handle()
    }

    /// Reads the circuit breaker, and forces its hand.
    #[must_use]
    pub fn breaker(&self) -> BreakerHandle {
        self.shared.gates.1.0.handle()
    }

    /// Reads the governor, and changes its limits.
    #[must_use]
    pub fn governor(&self) -> GovernorHandle {
        self.shared.gates.1.1.handle()
    }

    /// Reads which calls are pending, and strikes out what has become known.
    #[must_use]
    pub fn telemetry(&self) -> TelemetryHandle {
        self.shared.telemetry.handle()
    }

    /// How much of the retry budget is left, of the most that it can be, from 0 to 1; `None` without a budget.
    #[must_use]
    pub fn retry_budget_left(&self) -> Option<f64> {
        self.shared.retry.budget_left()
    }

    /// The layers, from the outside in, with the settings in force.
    ///
    /// ```
    /// # let client = tower::service_fn(|_: http::Request<String>| async {
    /// #     Ok::<_, tower_stripe::BoxError>(http::Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
    /// # });
    /// let stripe = tower_stripe::StripeTransport::new(client);
    /// println!("{}", stripe.describe());
    /// ```
    #[must_use]
    pub fn describe(&self) -> Description {
        self.shared.settings.describe()
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

    /// Starts at settings that suit a kind of caller.
    #[must_use]
    pub fn profile(profile: Profile) -> Builder {
        profile.builder()
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
        // A handle that belongs to another call is left as it is: the layer within refuses it, and counts that.
        let recorder = Recorder::of_one_call(&mut request).ok();
        let handle = recorder.map(|recorder| recorder.handle().clone());
        let Shared { settings, telemetry, .. } = &*self.shared;
        let call = telemetry.around(request, |request| {
            Checked::new(&settings.hosts, request, |request| self.call.call(request))
        });
        ResponseFuture::new(call, handle)
    }
}

/// Makes a [`StripeTransport`] of a client. All transports of one layer share what clones share.
#[derive(Clone, Debug)]
pub struct TransportLayer {
    shared: Arc<Shared>,
    sensitive: SetSensitiveRequestHeadersLayer,
    idempotency: IdempotencyLayer,
    credentials: CredentialsLayer,
    attempt: Layers,
}

impl TransportLayer {
    pub(super) fn new(settings: Settings) -> Self {
        let gates = (
            AuthGate::new(settings.auth_gate),
            (BreakerGate::new(settings.breaker.clone()), GovernorGate::new(settings.governor.clone())),
        );
        let retry = RetryLayer::new(settings.retry.clone());
        let (auth_gate, (breaker, governor)) = &gates;
        let credentials = CredentialsLayer::new(settings.credentials.clone());
        let telemetry = TelemetryLayer::new(settings.telemetry.clone().keyless(credentials.handle().mode()))
            .watch(retry.clone())
            .watch(auth_gate.handle())
            .watch(breaker.handle())
            .watch(governor.handle());
        Self {
            sensitive: SetSensitiveRequestHeadersLayer::new([AUTHORIZATION]),
            idempotency: IdempotencyLayer::new(settings.idempotency.clone()),
            attempt: Layers {
                span: AttemptSpanLayer::new(settings.telemetry.is_enabled()),
                timeout: TimeoutLayer::new(settings.timeout),
                request_id: RequestIdLayer::new(),
                classify: ClassifyLayer::new(settings.classify),
            },
            shared: Arc::new(Shared { settings, gates, retry, telemetry, credentials: credentials.handle() }),
            credentials,
        }
    }

    /// Reads which calls are pending, of all transports of this layer.
    #[must_use]
    pub fn telemetry(&self) -> TelemetryHandle {
        self.shared.telemetry.handle()
    }

    /// Wraps `client`.
    pub fn layer<S>(&self, client: S) -> StripeTransport<S> {
        let admitted = Gated::new(Attempt::new(self.attempt, client), self.shared.gates.clone());
        let sent = self.shared.retry.layer(self.credentials.layer(admitted));
        let call = self.sensitive.layer(self.idempotency.layer(sent));
        StripeTransport { call, shared: Arc::clone(&self.shared) }
    }
}

impl Default for TransportLayer {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl Settings {
    /// In the order of [`TransportLayer::layer`].
    fn describe(&self) -> Description {
        Description::new(vec![
            ("telemetry", self.telemetry.settings()),
            ("hosts", self.hosts.settings()),
            ("idempotency", self.idempotency.settings()),
            ("retry", self.retry.settings()),
            ("credentials", self.credentials.settings()),
            ("auth gate", self.auth_gate.settings()),
            ("breaker", self.breaker.settings()),
            ("governor", self.governor.settings()),
            ("timeout", self.timeout.settings()),
            ("request id", Vec::new()),
            ("classify", self.classify.settings()),
            ("edge", Vec::new()),
        ])
    }
}

impl<S> Layer<S> for TransportLayer {
    type Service = StripeTransport<S>;

    fn layer(&self, client: S) -> StripeTransport<S> {
        self.layer(client)
    }
}
