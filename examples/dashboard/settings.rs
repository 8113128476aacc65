//! The arguments, and the two transports.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tower_stripe::{
    BoxError, StripeTransport,
    breaker::BreakerConfig,
    edge::hyper_util::{self, Client},
    governor::GovernorConfig,
    idempotency::{GuardConfig, IdempotencyConfig},
    retry::{BudgetConfig, RetryConfig},
    telemetry::TelemetryConfig,
};

pub(crate) const USAGE: &str = "usage: dashboard [--seconds N] [--listen ADDRESS] [--seed N]

  --seconds N       ends after so long [default: goes on until Ctrl-C]
  --listen ADDRESS  where /metrics is served, on loopback; port 0 is one that is free [default: 127.0.0.1:9464]
  --seed N          what everything random derives from [default: 7]";

pub(crate) struct Arguments {
    pub(crate) seconds: Option<u64>,
    pub(crate) listen: SocketAddr,
    pub(crate) seed: u64,
}

impl Arguments {
    /// `None` if help was asked for.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut parsed = Self { seconds: None, listen: ([127, 0, 0, 1], 9464).into(), seed: 7 };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
            let number = |value: String| {
                value.parse::<u64>().map_err(|_| format!("{name} must be a whole number, not {value:?}"))
            };
            match name.as_str() {
                "--seconds" => match number(value()?)? {
                    seconds @ 1..=86_400 => parsed.seconds = Some(seconds),
                    seconds => return Err(format!("--seconds must be from 1 to 86400, not {seconds}")),
                },
                "--listen" => {
                    let value = value()?;
                    let address: SocketAddr = value.parse().map_err(|_| {
                        format!("--listen must be an address and a port, as 127.0.0.1:9464, not {value:?}")
                    })?;
                    if !address.ip().is_loopback() {
                        return Err(format!("--listen must be an address of loopback, not {address}"));
                    }
                    parsed.listen = address;
                }
                "--seed" => parsed.seed = number(value()?)?,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("there is no argument {name:?}")),
            }
        }
        Ok(Some(parsed))
    }
}

pub(crate) type Stripe = StripeTransport<Client>;

/// Who makes calls.
pub(crate) struct Shop {
    pub(crate) seed: u64,
    /// Pays, in live mode.
    pub(crate) checkout: Stripe,
    /// Reads lists and keeps records, in a sandbox.
    pub(crate) office: Stripe,
    orders: AtomicU64,
}

pub(crate) const LIVE: &str = "sk_live_sim";
pub(crate) const SANDBOX: &str = "sk_test_sim";
/// One that the simulator does not know.
pub(crate) const REVOKED: &str = "sk_live_revoked";

impl Shop {
    pub(crate) fn new(seed: u64) -> Result<Self, BoxError> {
        let retry = |retries| {
            RetryConfig::builder()
                .base_delay(Duration::from_millis(100))
                .max_delay(Duration::from_millis(500))
                .limiter_base_delay(Duration::from_secs(1))
                .jitter_seed(seed)
                // So few that a phase uses them up.
                .budget(BudgetConfig::default().max_balance(retries))
        };
        let breaker = || {
            BreakerConfig::builder()
                .window(Duration::from_secs(10))
                .max_interval(Duration::from_secs(2))
                .jitter_seed(seed)
        };
        let transport = |name| {
            StripeTransport::builder()
                .telemetry(TelemetryConfig::builder().transport(name))
                .breaker(breaker())
                .attempt_timeout(Duration::from_millis(500))
                .deadline(Duration::from_secs(5))
                .allow_host("127.0.0.1")
        };
        let max_queue = 40;
        Ok(Self {
            seed,
            checkout: transport("checkout")
                .retry(retry(25))
                .idempotency(IdempotencyConfig::builder().guard(GuardConfig::new()))
                .build()?
                .layer(hyper_util::Client::new()),
            // It may retry as it likes, and has no guard of keys.
            office: transport("back-office")
                .retry(retry(100))
                .governor(GovernorConfig::builder().max_queue(max_queue))
                .build()?
                .layer(hyper_util::Client::new()),
            orders: AtomicU64::new(0),
        })
    }

    /// A number that no call had before.
    pub(crate) fn next(&self) -> u64 {
        self.orders.fetch_add(1, Ordering::Relaxed)
    }
}
