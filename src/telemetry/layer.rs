use std::sync::Arc;

use http::Request;
use tower::Layer;

use super::{ResponseFuture, Telemetry, TelemetryConfig, TelemetryHandle, sample, shared::Shared};
use crate::vocab::Source;

/// Counts, traces and logs calls. See the [module docs](super).
///
/// All services of one layer count into the same series.
#[derive(Clone, Debug)]
pub struct TelemetryLayer {
    shared: Arc<Shared>,
}

impl TelemetryLayer {
    /// With these settings. The series are registered now: install a recorder before.
    #[must_use]
    pub fn new(config: TelemetryConfig) -> Self {
        let shared = Arc::new(Shared::new(config));
        if shared.config.enabled && shared.config.recorder.is_none() {
            sample::register(Arc::downgrade(&shared));
        }
        Self { shared }
    }

    /// Reads `source` whenever the metrics are [sampled](super::sample), as long as this layer or a service of it lives.
    #[must_use]
    pub fn watch(self, source: impl Source + 'static) -> Self {
        if self.shared.config.enabled {
            self.shared.watch(Arc::new(source));
        }
        self
    }

    /// Does to a request what the service does, and hands it to `call`, where a layer of ours accounts for what is sent.
    #[cfg(feature = "transport")]
    pub(crate) fn around<B, F>(
        &self,
        request: Request<B>,
        call: impl FnOnce(Request<B>) -> F,
    ) -> ResponseFuture<F> {
        ResponseFuture::new(&self.shared, request, false, call)
    }

    /// The same, where perhaps none does.
    pub(super) fn alone<B, F>(
        &self,
        request: Request<B>,
        call: impl FnOnce(Request<B>) -> F,
    ) -> ResponseFuture<F> {
        ResponseFuture::new(&self.shared, request, true, call)
    }

    /// Reads what is pending.
    #[must_use]
    pub fn handle(&self) -> TelemetryHandle {
        TelemetryHandle::new(Arc::clone(&self.shared))
    }
}

impl Default for TelemetryLayer {
    fn default() -> Self {
        Self::new(TelemetryConfig::default())
    }
}

impl<S> Layer<S> for TelemetryLayer {
    type Service = Telemetry<S>;

    fn layer(&self, inner: S) -> Telemetry<S> {
        Telemetry::new(inner, self.clone())
    }
}
