//! How much the simulated Stripe takes before its limiters answer.

use std::{fmt, time::Duration};

/// Why a limiter refused: the values of `Stripe-Rate-Limited-Reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Too many requests per second on the account.
    GlobalRate,
    /// Too many requests of the account at once.
    GlobalConcurrency,
    /// Too many requests per second on one endpoint.
    EndpointRate,
    /// Too many requests on one endpoint at once.
    EndpointConcurrency,
    /// Too many updates of one object.
    ResourceSpecific,
}

impl Reason {
    /// All five.
    pub const ALL: [Self; 5] = [
        Self::GlobalRate,
        Self::GlobalConcurrency,
        Self::EndpointRate,
        Self::EndpointConcurrency,
        Self::ResourceSpecific,
    ];

    /// The value of the header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GlobalRate => "global-rate",
            Self::GlobalConcurrency => "global-concurrency",
            Self::EndpointRate => "endpoint-rate",
            Self::EndpointConcurrency => "endpoint-concurrency",
            Self::ResourceSpecific => "resource-specific",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the limiters allow; zero refuses everything.
///
/// | limit | [`Limits::published`] (the default) |
/// |---|---|
/// | [`live_rate`](Self::live_rate), [`sandbox_rate`](Self::sandbox_rate) | 100/s, 25/s per account |
/// | [`endpoint_rate`](Self::endpoint_rate), [`search_rate`](Self::search_rate) | 25/s, 20/s |
/// | [`global_concurrency`](Self::global_concurrency), [`endpoint_concurrency`](Self::endpoint_concurrency) | 100, 50 at once: Stripe publishes no number, these are ours |
/// | [`intent_updates_per_hour`](Self::intent_updates_per_hour) | 1000 per payment intent |
/// | [`search_lag`](Self::search_lag) | 1 min: no limit, but as much a fact about Stripe that a client has to live with |
///
/// A rate is a token bucket that holds one second's worth, so that a burst of a whole second's quota passes.
///
/// ```
/// use stripe_sim::Limits;
///
/// let tight = Limits::unlimited().sandbox_rate(2).endpoint_concurrency(1);
/// assert_ne!(tight, Limits::published());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Limits {
    pub(crate) live_rate: Option<u32>,
    pub(crate) sandbox_rate: Option<u32>,
    pub(crate) endpoint_rate: Option<u32>,
    pub(crate) search_rate: Option<u32>,
    pub(crate) global_concurrency: Option<u32>,
    pub(crate) endpoint_concurrency: Option<u32>,
    pub(crate) intent_updates_per_hour: Option<u32>,
    pub(crate) search_lag: Duration,
}

impl Limits {
    /// The limits that Stripe publishes.
    pub fn published() -> Self {
        Self {
            live_rate: Some(100),
            sandbox_rate: Some(25),
            endpoint_rate: Some(25),
            search_rate: Some(20),
            global_concurrency: Some(100),
            endpoint_concurrency: Some(50),
            intent_updates_per_hour: Some(1000),
            search_lag: Duration::from_secs(60),
        }
    }

    /// No limits at all, for tests that are about something else.
    pub fn unlimited() -> Self {
        Self {
            live_rate: None,
            sandbox_rate: None,
            endpoint_rate: None,
            search_rate: None,
            global_concurrency: None,
            endpoint_concurrency: None,
            intent_updates_per_hour: None,
            search_lag: Duration::ZERO,
        }
    }

    /// Requests per second of one live account.
    pub fn live_rate(mut self, per_second: u32) -> Self {
        self.live_rate = Some(per_second);
        self
    }

    /// Requests per second of one sandbox account.
    pub fn sandbox_rate(mut self, per_second: u32) -> Self {
        self.sandbox_rate = Some(per_second);
        self
    }

    /// Requests per second of one account on one endpoint; ids in the path do not matter.
    pub fn endpoint_rate(mut self, per_second: u32) -> Self {
        self.endpoint_rate = Some(per_second);
        self
    }

    /// Requests per second of one account on one search endpoint.
    pub fn search_rate(mut self, per_second: u32) -> Self {
        self.search_rate = Some(per_second);
        self
    }

    /// Requests of one account that may execute at once.
    pub fn global_concurrency(mut self, at_once: u32) -> Self {
        self.global_concurrency = Some(at_once);
        self
    }

    /// Requests of one account on one endpoint that may execute at once.
    pub fn endpoint_concurrency(mut self, at_once: u32) -> Self {
        self.endpoint_concurrency = Some(at_once);
        self
    }

    /// How long after an object was made a search finds it, in whole seconds. It is then found by what it is by then.
    pub fn search_lag(mut self, lag: Duration) -> Self {
        self.search_lag = lag;
        self
    }

    /// Updates and confirmations of one payment intent in any hour.
    pub fn intent_updates_per_hour(mut self, updates: u32) -> Self {
        self.intent_updates_per_hour = Some(updates);
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::published()
    }
}
