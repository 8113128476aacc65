use std::sync::Arc;

use tower::Layer;

use super::{Retry, RetryConfig, service::Shared};
use crate::vocab::{Sample, Source, metric, time};

/// Sends again what may be sent again. See the [module docs](super).
///
/// All services of one layer share its budget.
#[derive(Clone, Debug)]
pub struct RetryLayer {
    shared: Arc<Shared>,
}

impl RetryLayer {
    /// With these settings.
    #[must_use]
    pub fn new(config: RetryConfig) -> Self {
        Self { shared: Arc::new(Shared::new(config)) }
    }

    /// How much of the budget is left, of the most that it can be, from 0 to 1; `None` without a budget.
    #[must_use]
    pub fn budget_left(&self) -> Option<f64> {
        self.shared.budget.available(time::now())
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new(RetryConfig::default())
    }
}

/// How much of the budget is left.
impl Source for RetryLayer {
    fn sample(&self, sample: &mut Sample<'_>) {
        if let Some(ratio) = self.budget_left() {
            sample.gauge(&metric::RETRY_BUDGET, &[], ratio);
        }
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Retry<S> {
        Retry::new(inner, Arc::clone(&self.shared))
    }
}
