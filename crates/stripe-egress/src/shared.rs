//! What all connections share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use http::{HeaderValue, Response, header::CONNECTION};
use tokio::sync::Semaphore;
use tower_stripe::{
    StripeTransport,
    detach::{Detach, DetachHandle, DetachLayer},
    edge::hyper_util::{self, Client, Https},
};

use crate::{
    body::{Memory, RequestBody},
    notes::Notes,
    reload::Live,
    settings::{Settings, SettingsError},
};

/// The stack over the recommended client.
pub(crate) type Transport = StripeTransport<Client<Https, RequestBody>>;

/// Renders the metrics of the process, in the format of Prometheus.
pub(crate) type Metrics = Box<dyn Fn() -> String + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) live: Live,
    /// The stack, with payments detached: one that was sent is finished though its client goes away.
    pub(crate) stripe: Detach<Transport>,
    /// The same stack, for its handles.
    pub(crate) transport: Transport,
    pub(crate) detach: DetachHandle,
    pub(crate) memory: Memory,
    pub(crate) notes: Notes,
    pub(crate) metrics: Option<Metrics>,
    /// The places for connections of clients.
    pub(crate) room: Arc<Semaphore>,
    under_way: AtomicUsize,
    /// No longer ready.
    draining: AtomicBool,
    /// No new connections.
    closing: AtomicBool,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let layer = settings.transport().build().map_err(|error| SettingsError::one(error.to_string()))?;
        let client = hyper_util::Builder::new().connect_timeout(settings.connect_timeout).build();
        let transport = layer.layer(client);
        let detach = settings.detach.config().map_err(|error| SettingsError::one(error.to_string()))?;
        let detach = DetachLayer::new(detach);
        Ok(Self {
            live: Live::new(&settings),
            stripe: tower::Layer::layer(&detach, transport.clone()),
            transport,
            detach: detach.handle(),
            memory: Arc::new(Semaphore::new(settings.limits.max_buffered_bytes)),
            notes: Notes::new(),
            metrics: None,
            under_way: AtomicUsize::new(0),
            room: Arc::new(Semaphore::new(settings.limits.max_connections)),
            draining: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            settings,
        })
    }

    /// Counts a call until the guard is dropped.
    pub(crate) fn under_way(&self) -> Counted<'_> {
        Counted::new(&self.under_way)
    }

    pub(crate) fn calls_under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    pub(crate) fn drains(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    pub(crate) fn begin_to_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    pub(crate) fn begin_to_close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// Asks the client to use this connection no more, once the sidecar is about to stop.
    pub(crate) fn while_closing<B>(&self, mut response: Response<B>) -> Response<B> {
        if self.closing.load(Ordering::SeqCst) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// One of something that goes on, until it is dropped.
pub(crate) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub(crate) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
