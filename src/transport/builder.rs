use std::time::Duration;

use super::{
    hosts::Hosts,
    service::{Settings, TransportLayer},
};
use crate::{
    auth_gate::AuthGateBuilder,
    breaker::BreakerBuilder,
    classify::ClassifyBuilder,
    credentials::{CredentialProvider, CredentialsBuilder},
    governor::GovernorBuilder,
    idempotency::IdempotencyBuilder,
    retry::RetryBuilder,
    telemetry::TelemetryBuilder,
    timeout::TimeoutBuilder,
    vocab::{ConfigError, Mode, Setting},
};

/// What most operations may take, unless configured otherwise.
const DEFAULT_ATTEMPT: Duration = Duration::from_secs(30);

/// Builds a [`StripeTransport`](super::StripeTransport) layer by layer, from the defaults.
///
/// ```
/// use std::{num::NonZeroU32, time::Duration};
/// use tower::Layer;
/// use tower_stripe::{StripeTransport, retry::RetryConfig};
/// # let client = tower::service_fn(|_: http::Request<String>| async {
/// #     Ok::<_, tower_stripe::BoxError>(http::Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
/// # });
///
/// let stripe = StripeTransport::builder()
///     .retry(RetryConfig::builder().max_attempts(NonZeroU32::new(4).expect("not zero")))
///     .attempt_timeout(Duration::from_secs(20))
///     .deadline(Duration::from_secs(45))
///     .allow_host("127.0.0.1")
///     .build()?
///     .layer(client);
/// # let _: &dyn Send = &stripe;
/// # Ok::<(), tower_stripe::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Builder {
    telemetry: TelemetryBuilder,
    idempotency: IdempotencyBuilder,
    retry: RetryBuilder,
    credentials: CredentialsBuilder,
    auth_gate: AuthGateBuilder,
    breaker: BreakerBuilder,
    governor: GovernorBuilder,
    timeout: TimeoutBuilder,
    classify: ClassifyBuilder,
    hosts: Hosts,
}

impl Builder {
    /// The settings of [`telemetry`](crate::telemetry).
    #[must_use]
    pub fn telemetry(mut self, settings: TelemetryBuilder) -> Self {
        self.telemetry = settings;
        self
    }

    /// The settings of [`idempotency`](crate::idempotency).
    #[must_use]
    pub fn idempotency(mut self, settings: IdempotencyBuilder) -> Self {
        self.idempotency = settings;
        self
    }

    /// The settings of [`retry`](crate::retry).
    #[must_use]
    pub fn retry(mut self, settings: RetryBuilder) -> Self {
        self.retry = settings;
        self
    }

    /// Where the API key of calls that bring none comes from: an [`ApiKey`](crate::credentials::ApiKey), or what rotates
    /// one. Default: nowhere.
    #[must_use]
    pub fn credentials(mut self, provider: impl CredentialProvider) -> Self {
        self.credentials = self.credentials.provider(provider);
        self
    }

    /// The mode that API keys must be of; calls that bring one of the other mode are refused. Default: any.
    #[must_use]
    pub fn expect_mode(mut self, mode: Mode) -> Self {
        self.credentials = self.credentials.expect_mode(mode);
        self
    }

    /// The settings of [`auth_gate`](crate::auth_gate).
    #[must_use]
    pub const fn auth_gate(mut self, settings: AuthGateBuilder) -> Self {
        self.auth_gate = settings;
        self
    }

    /// The settings of [`breaker`](crate::breaker).
    #[must_use]
    pub fn breaker(mut self, settings: BreakerBuilder) -> Self {
        self.breaker = settings;
        self
    }

    /// The settings of [`governor`](crate::governor).
    #[must_use]
    pub fn governor(mut self, settings: GovernorBuilder) -> Self {
        self.governor = settings;
        self
    }

    /// The settings of [`classify`](crate::classify).
    #[must_use]
    pub const fn classify(mut self, settings: ClassifyBuilder) -> Self {
        self.classify = settings;
        self
    }

    /// The limit of every attempt, whatever the operation. Default: by the operation, 20 to 120 s.
    #[must_use]
    pub const fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.timeout = self.timeout.attempt(limit);
        self
    }

    /// The limit of the whole call, whatever the operation. Default: 75 s, uploads 300 s.
    #[must_use]
    pub const fn deadline(mut self, limit: Duration) -> Self {
        self.timeout = self.timeout.deadline(limit);
        self
    }

    /// Admits a host that is not Stripe's, as a simulator or a proxy. Plain http is still allowed only to loopback.
    #[must_use]
    pub fn allow_host(mut self, host: &str) -> Self {
        self.hosts.allow(host);
        self
    }

    /// Checks all settings, each by itself and against each other.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem at once.
    pub fn build(self) -> Result<TransportLayer, ConfigError> {
        let Self {
            telemetry,
            mut idempotency,
            mut retry,
            mut credentials,
            auth_gate,
            mut breaker,
            governor,
            timeout,
            classify,
            hosts,
        } = self;
        let mut problems = Vec::new();
        telemetry.check(&mut problems);
        idempotency.check(&mut problems);
        retry.check(&mut problems);
        credentials.check(&mut problems);
        auth_gate.check(&mut problems);
        breaker.check(&mut problems);
        governor.check(&mut problems);
        timeout.check(&mut problems);
        classify.check(&mut problems);
        hosts.check_settings(&mut problems);
        let of_timeout = timeout.unchecked().deadline;
        if let (Some(of_retry), Some(of_timeout)) = (retry.deadline_set(), of_timeout)
            && of_retry != of_timeout
        {
            problems.push(
                Setting::time("retry.deadline", of_retry)
                    .must_be_towards("equal to", Setting::time("deadline", of_timeout)),
            );
        }
        let deadline = match retry.deadline_set() {
            Some(deadline) if of_timeout.is_none() => ("retry.deadline", Some(deadline)),
            _ => ("deadline", of_timeout),
        };
        timeout.check_against(deadline, &mut problems);
        retry.check_against(deadline, &mut problems);
        breaker.check_against(
            ("attempt_timeout", timeout.unchecked().attempt.unwrap_or(DEFAULT_ATTEMPT)),
            &mut problems,
        );
        ConfigError::unless_none(problems)?;

        // Retry owns the deadline, and must know how little time an attempt can do with.
        let timeout = timeout.unchecked();
        if let Some(deadline) = timeout.deadline {
            retry = retry.deadline(deadline);
        }
        if let Some(attempt) = timeout.attempt {
            retry = retry.at_most_min_attempt(attempt);
            breaker = breaker.at_most_abandoned_after(attempt / 2);
        }
        if let Some(deadline) = retry.deadline_set() {
            idempotency = idempotency.guard_deadline(deadline);
        }
        Ok(TransportLayer::new(Settings {
            telemetry: telemetry.unchecked(),
            hosts,
            idempotency: idempotency.unchecked(),
            retry: retry.unchecked(),
            credentials: credentials.unchecked(),
            auth_gate: auth_gate.unchecked(),
            breaker: breaker.unchecked(),
            governor: governor.unchecked(),
            timeout,
            classify: classify.unchecked(),
        }))
    }
}

#[cfg(test)]
mod tests;
