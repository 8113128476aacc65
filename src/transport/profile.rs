use std::{num::NonZeroU32, time::Duration};

use super::Builder;
use crate::{
    auth_gate::AuthGateConfig,
    breaker::{BreakerBuilder, BreakerConfig, Control},
    governor::{GovernorBuilder, GovernorConfig},
    retry::{BudgetConfig, RetryBuilder, RetryConfig},
    vocab::Priority,
};

/// Settings that suit a kind of caller, to begin from.
///
/// What the layers' own builders hold for a profile can be had from it too, to change one of them and keep the rest:
///
/// ```
/// use std::num::NonZeroU32;
/// use tower_stripe::{StripeTransport, transport::Profile};
///
/// let profile = Profile::Background;
/// let retry = profile.retry().max_attempts(NonZeroU32::new(12).expect("not zero"));
/// let layer = StripeTransport::profile(profile).retry(retry).build()?;
/// # let _ = layer;
/// # Ok::<(), tower_stripe::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// Somebody waits for the answer: it comes within 20 s, or an error does. Attempts of 8 s, waits of 2 s at most.
    Interactive,
    /// Nobody waits: up to 8 attempts within 10 minutes, waits of up to 30 s, and behind everything else in the queue
    /// unless a call says otherwise.
    Background,
    /// As near to Stripe's own libraries as the rules about money allow: 3 attempts of 80 s, no retry budget, and neither
    /// auth gate nor breaker nor governor. For a change of one thing at a time.
    SdkCompatible,
}

impl Profile {
    /// Starts from this profile; ends in a [`TransportLayer`](super::TransportLayer).
    #[must_use]
    pub fn builder(self) -> Builder {
        let builder =
            Builder::default().retry(self.retry()).breaker(self.breaker()).governor(self.governor());
        match self {
            Self::Interactive => {
                builder.attempt_timeout(Duration::from_secs(8)).deadline(Duration::from_secs(20))
            }
            Self::Background => builder.deadline(Duration::from_secs(600)),
            Self::SdkCompatible => builder
                .attempt_timeout(Duration::from_secs(80))
                .deadline(Duration::from_secs(300))
                .auth_gate(AuthGateConfig::builder().enabled(false)),
        }
    }

    /// What it says of retries.
    #[must_use]
    pub fn retry(self) -> RetryBuilder {
        let retry = RetryConfig::builder();
        match self {
            Self::Interactive => retry
                .max_delay(Duration::from_secs(2))
                .limiter_base_delay(Duration::from_secs(1))
                .limiter_max_delay(Duration::from_secs(4))
                .max_retry_after(Duration::from_secs(5)),
            Self::Background => retry
                .max_attempts(NonZeroU32::MIN.saturating_add(7))
                .max_delay(Duration::from_secs(30))
                .limiter_max_delay(Duration::from_secs(60)),
            // (Source: the defaults of stripe-python and stripe-node, read in 2026-11.)
            Self::SdkCompatible => retry.max_delay(Duration::from_secs(5)).budget(BudgetConfig::OFF),
        }
    }

    /// What it says of the breaker.
    #[must_use]
    pub fn breaker(self) -> BreakerBuilder {
        match self {
            Self::SdkCompatible => BreakerConfig::builder().control(Control::Disabled),
            Self::Interactive | Self::Background => BreakerConfig::builder(),
        }
    }

    /// What it says of the governor.
    #[must_use]
    pub fn governor(self) -> GovernorBuilder {
        let governor = GovernorConfig::builder();
        match self {
            Self::Interactive => governor,
            Self::Background => governor.default_priority(Some(Priority::Background)),
            Self::SdkCompatible => governor.enabled(false),
        }
    }
}
