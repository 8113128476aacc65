use tower::Layer;

use super::AttemptSpan;

/// Opens a span for each attempt. See the [module docs](crate::telemetry).
#[derive(Clone, Copy, Debug)]
pub struct AttemptSpanLayer {
    enabled: bool,
}

impl AttemptSpanLayer {
    /// Whether it opens any: a subscriber that wants none is asked only if it does.
    #[must_use]
    pub const fn new(enabled: bool) -> Self {
        Self { enabled }
    }
}

impl Default for AttemptSpanLayer {
    fn default() -> Self {
        Self::new(true)
    }
}

impl<S> Layer<S> for AttemptSpanLayer {
    type Service = AttemptSpan<S>;

    fn layer(&self, inner: S) -> AttemptSpan<S> {
        AttemptSpan::new(inner, self.enabled)
    }
}
