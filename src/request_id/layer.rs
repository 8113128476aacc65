use tower::Layer;

use super::ExtractRequestId;

/// Extracts Stripe's `Request-Id`. See the [module docs](super).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RequestIdLayer;

impl RequestIdLayer {
    /// There is nothing to set.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = ExtractRequestId<S>;

    fn layer(&self, inner: S) -> ExtractRequestId<S> {
        ExtractRequestId::new(inner)
    }
}
