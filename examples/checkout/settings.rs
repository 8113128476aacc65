//! What the storm is like, and what the clients are set to.

use std::{fmt, num::NonZeroU32, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use stripe_sim::{Faults, Limits, Server, Sim};
use tower_stripe::{
    BoxError,
    edge::hyper_util::{self, Client},
};

pub(crate) const USAGE: &str = "usage: checkout [--seed N] [--payments N]";
pub(crate) const API_KEY: &str = "sk_test_sim";
pub(crate) const IN_FLIGHT: usize = 200;
pub(crate) const MAX_ATTEMPTS: NonZeroU32 = NonZeroU32::new(8).expect("not zero");
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(300);
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const BASE_DELAY: Duration = Duration::from_millis(100);
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(1);
const FAULTS: f64 = 0.3;

/// One order in twenty is paid with a card that is declined.
const DECLINED_EVERY: usize = 20;

pub(crate) struct Arguments {
    pub(crate) seed: u64,
    pub(crate) payments: usize,
}

impl Arguments {
    /// `None` if help was asked for.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut parsed = Self { seed: 7, payments: 2_000 };
        while let Some(name) = arguments.next() {
            let mut number = || {
                let value = arguments.next().ok_or(format!("{name} needs a number"))?;
                value.parse::<u64>().map_err(|_| format!("{name} must be a whole number, not {value:?}"))
            };
            match name.as_str() {
                "--seed" => parsed.seed = number()?,
                "--payments" => match usize::try_from(number()?) {
                    Ok(payments @ 1..=1_000_000) => parsed.payments = payments,
                    _ => return Err("--payments must be from 1 to 1000000".into()),
                },
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("there is no argument {name:?}")),
            }
        }
        Ok(Some(parsed))
    }

    pub(crate) fn orders(&self) -> impl Iterator<Item = Order> + use<> {
        (0..self.payments).map(|number| Order { number, id: format!("order-{number}") })
    }
}

impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {} payments, at most {IN_FLIGHT} at once", self.seed, self.payments)?;
        writeln!(f, "simulator: {:.0} % of requests meet a fault, limits raised", FAULTS * 100.0)?;
        writeln!(
            f,
            "both clients: {MAX_ATTEMPTS} attempts, {ATTEMPT_TIMEOUT:?} each, one declined card in {DECLINED_EVERY}"
        )?;
        write!(
            f,
            "transport: backoff {BASE_DELAY:?} to {MAX_DELAY:?}, deadline {DEADLINE:?}, no retry budget, limits raised, no breaker; \
             naive client: no keys, a retry {BASE_DELAY:?} after anything but a final answer"
        )
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    /// The recommended client, for a server on loopback without TLS.
    pub(crate) fn client(self) -> Client {
        hyper_util::Builder::new().http2_only(self == Self::Http2).pool_max_idle_per_host(IN_FLIGHT).build()
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        })
    }
}

/// What must be charged at most once.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) number: usize,
    pub(crate) id: String,
}

impl Order {
    /// The payment: create and confirm in one request. The body is the same each time.
    pub(crate) fn payment(&self, base: &str) -> Result<Request<Full<Bytes>>, http::Error> {
        let card = if self.number % DECLINED_EVERY == DECLINED_EVERY - 1 {
            "pm_card_chargeDeclined"
        } else {
            "pm_card_visa"
        };
        let form = format!(
            "amount=1099&currency=eur&confirm=true&payment_method={card}&metadata[order]={}",
            self.id
        );
        self.request("POST", &format!("{base}/v1/payment_intents"), form)
    }

    /// What finds the payment without its key.
    pub(crate) fn search(&self, base: &str) -> Result<Request<Full<Bytes>>, http::Error> {
        let query = format!("metadata['order']:'{}'", self.id).replace('\'', "%27").replace(':', "%3A");
        let query = query.replace('[', "%5B").replace(']', "%5D");
        self.request("GET", &format!("{base}/v1/payment_intents/search?query={query}"), String::new())
    }

    fn request(&self, method: &str, uri: &str, body: String) -> Result<Request<Full<Bytes>>, http::Error> {
        Request::builder()
            .method(method)
            .uri(uri)
            .header("authorization", format!("Bearer {API_KEY}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-sim-order", &self.id)
            .body(Full::from(body))
    }
}

/// A new simulator on a port of its own, and its URL.
pub(crate) async fn stripe(seed: u64) -> Result<(Sim, Server, String), BoxError> {
    let faults = Faults::probability(FAULTS)
        .late(Duration::from_millis(450)..=Duration::from_millis(1_500))
        .slow(Duration::from_millis(450)..=Duration::from_millis(900))
        .stall_limit(Duration::from_millis(1_000));
    let sim = Sim::builder().seed(seed).limits(Limits::unlimited()).faults(faults).build();
    let server = Server::bind(sim.clone(), ([127, 0, 0, 1], 0).into()).await?;
    let base = format!("http://{}", server.addr());
    Ok((sim, server, base))
}
