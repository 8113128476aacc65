use tower::Layer;

use super::Edge;

/// Makes a client the innermost part of a stack. See the [module docs](super).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct EdgeLayer;

impl EdgeLayer {
    /// There is nothing to set.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, client: S) -> Edge<S> {
        Edge::new(client)
    }
}
