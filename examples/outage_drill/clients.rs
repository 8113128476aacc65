//! The clients: each sends one call, and says whether it came to a success.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use stripe_sim::{Sim, SimBody, SimError};
use tokio::time::Sleep;
use tower::{
    Service, ServiceBuilder, ServiceExt,
    retry::{
        Policy, Retry,
        backoff::{Backoff, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff},
        budget::{Budget, TpsBudget},
    },
    util::rng::Rng,
};
use tower_stripe::{
    BoxError, StripeTransport,
    breaker::{BreakerConfig, BreakerHandle, Partition, State, Traffic},
    governor::{Bucket, GovernorConfig, Limit},
    retry::RetryConfig,
    transport::Builder,
    vocab::{Host, Mode},
};

use crate::settings::{self, mix};

type Call = Request<Full<Bytes>>;
type Calling = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Who is between the callers and Stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    None,
    Tower,
    Ours,
}

impl Protection {
    pub(crate) const ALL: [Self; 3] = [Self::None, Self::Tower, Self::Ours];
}

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Circuit {
    Closed,
    HalfOpen,
    Open,
}

/// The states of the breaker's two circuits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Circuits {
    pub(crate) writes: Circuit,
    pub(crate) reads: Circuit,
}

pub(crate) struct Client {
    pub(crate) name: &'static str,
    /// What it is set to, to be printed.
    pub(crate) settings: String,
    send: Box<dyn Fn(Call) -> Calling>,
    circuits: Option<Box<dyn Fn() -> Circuits>>,
}

impl Client {
    pub(crate) fn new(protection: Protection, sim: &Sim, seed: u64) -> Result<Self, BoxError> {
        // A boxed error is one that `StripeTransport` can read too: all three have the same client.
        let client = ServiceBuilder::new().map_err(BoxError::from as fn(SimError) -> BoxError);
        let client = client.service(sim.service());
        Ok(match protection {
            Protection::None => Self {
                name: "none",
                settings: "the client alone, one attempt".to_owned(),
                send: sending(client),
                circuits: None,
            },
            Protection::Tower => {
                let policy = TowersOwn::new(seed)?;
                Self {
                    name: "tower",
                    settings: format!(
                        "tower::retry, {} attempts; TpsBudget and ExponentialBackoff at their defaults",
                        settings::ATTEMPTS
                    ),
                    send: sending(Retry::new(policy, client)),
                    circuits: None,
                }
            }
            Protection::Ours => {
                let stripe = settings(seed).build()?.layer(client);
                let breaker = stripe.breaker();
                Self {
                    name: "ours",
                    settings: format!("StripeTransport\n{}", stripe.describe()),
                    send: sending(stripe),
                    circuits: Some(Box::new(move || Circuits::of(&breaker))),
                }
            }
        })
    }

    /// Whether the call came to a success.
    pub(crate) fn send(&self, call: Call) -> Calling {
        (self.send)(call)
    }

    /// What the breaker shows, where there is one.
    pub(crate) fn circuits(&self) -> Option<Circuits> {
        self.circuits.as_ref().map(|circuits| circuits())
    }
}

/// `StripeTransport` as it is tried here: the defaults, but for twice the rate that is offered, where the default limits
/// would hold back half of it; and every draw from the seed.
fn settings(seed: u64) -> Builder {
    let limit = Limit::per_second(settings::ALLOWED_PER_SECOND);
    StripeTransport::builder()
        .retry(RetryConfig::builder().max_attempts(settings::ATTEMPTS).jitter_seed(seed))
        .breaker(BreakerConfig::builder().jitter_seed(seed))
        .governor(GovernorConfig::builder().limit(Bucket::Global, limit).limit(Bucket::EachOperation, limit))
}

impl Circuits {
    fn of(breaker: &BreakerHandle) -> Self {
        let state = |traffic| match breaker.state(Partition { host: Host::Api, mode: Mode::Sandbox, traffic })
        {
            State::Closed => Circuit::Closed,
            State::HalfOpen => Circuit::HalfOpen,
            State::Open => Circuit::Open,
        };
        Self { writes: state(Traffic::Write), reads: state(Traffic::Read) }
    }
}

fn sending<S, B>(service: S) -> Box<dyn Fn(Call) -> Calling>
where
    S: Service<Call, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Body + Send,
    B::Data: Send,
    B::Error: Send,
{
    Box::new(move |call| {
        let service = service.clone();
        Box::pin(async move {
            match service.oneshot(call).await {
                Ok(response) if response.status().is_success() => {
                    response.into_body().collect().await.is_ok()
                }
                _ => false,
            }
        })
    })
}

/// tower's retry as its documentation puts it together: a budget, and exponential backoff with jitter.
#[derive(Clone, Debug)]
struct TowersOwn {
    budget: Arc<TpsBudget>,
    backoff: ExponentialBackoff<Seeded>,
    left: u32,
}

impl TowersOwn {
    fn new(seed: u64) -> Result<Self, BoxError> {
        // The numbers of tower's own default, with a generator that repeats.
        let (min, max) = (Duration::from_millis(50), Duration::from_millis(u64::MAX));
        let mut backoff =
            ExponentialBackoffMaker::new(min, max, 0.99, Seeded(Arc::new(AtomicU64::new(seed))))
                .map_err(|error| error.to_string())?;
        Ok(Self {
            budget: Arc::new(TpsBudget::default()),
            backoff: backoff.make_backoff(),
            left: settings::ATTEMPTS.get() - 1,
        })
    }
}

impl Policy<Call, Response<SimBody>, BoxError> for TowersOwn {
    type Future = Sleep;

    fn retry(
        &mut self,
        _: &mut Call,
        result: &mut Result<Response<SimBody>, BoxError>,
    ) -> Option<Self::Future> {
        let failed = result.as_ref().map_or(true, |response| {
            response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS
        });
        if !failed {
            self.budget.deposit();
            return None;
        }
        if self.left == 0 || !self.budget.withdraw() {
            return None;
        }
        self.left -= 1;
        Some(self.backoff.next_backoff())
    }

    fn clone_request(&mut self, call: &Call) -> Option<Call> {
        Some(call.clone())
    }
}

/// Clones draw from the same numbers, so that no two calls draw the same.
#[derive(Clone, Debug)]
struct Seeded(Arc<AtomicU64>);

impl Rng for Seeded {
    fn next_u64(&mut self) -> u64 {
        mix(self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
    }
}
