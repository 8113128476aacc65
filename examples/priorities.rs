//! Payments under an endless flood of reporting reads: how long they wait for their turn, with priorities and without.
//!
//! `cargo run --release --example priorities [-- --seed N --sandbox]`
//!
//! Ten payments a second on average, and a report that reads as fast as it is let, against the simulator at the limits that Stripe
//! publishes. In virtual time: a minute of it takes seconds. The last line is for machines.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::{fmt, process::ExitCode, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use stripe_sim::{Latency, Profile, Sim, SimError, SimService};
use tokio::{runtime, task::JoinSet, time};
use tower::{ServiceBuilder, util::MapErr};
use tower_stripe::{
    BoxError, Priority, ReportHandle, StripeTransport, breaker::BreakerConfig, governor::GovernorConfig,
    retry::RetryConfig,
};

const USAGE: &str = "usage: priorities [--seed N] [--sandbox]

  --seed N   what everything random derives from [default: 7]
  --sandbox  against the limits of a sandbox, and not of live mode";

/// How many payments there are, and how far apart on average: a minute of them.
const PAYMENTS: u32 = 600;
const PAYMENT_EVERY: Duration = Duration::from_millis(100);
/// How many reads the report has going at any time.
const FLOOD: usize = 500;
/// What it reads: together more than the account's limit, each with a limit of its own.
const READS: [&str; 5] = ["/v1/charges", "/v1/customers", "/v1/events", "/v1/payment_intents", "/v1/refunds"];
/// How long a reader waits after it was refused.
const PAUSE: Duration = Duration::from_millis(100);

type Stripe = StripeTransport<MapErr<SimService, fn(SimError) -> BoxError>>;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("priorities: {wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("priorities: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    seed: u64,
    sandbox: bool,
}

impl Arguments {
    /// `None` if help was asked for.
    fn parse(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<Option<Self>, String> {
        let mut parsed = Self { seed: 7, sandbox: false };
        while let Some(name) = arguments.next() {
            match name.to_str() {
                Some("--seed") => {
                    let value = arguments.next().ok_or("--seed needs a value")?;
                    let seed = value.to_str().and_then(|value| value.parse().ok());
                    parsed.seed = seed.ok_or(format!("--seed must be a whole number, not {value:?}"))?;
                }
                Some("--sandbox") => parsed.sandbox = true,
                Some("--help" | "-h") => return Ok(None),
                _ => return Err(format!("there is no argument {name:?}")),
            }
        }
        Ok(Some(parsed))
    }
}

/// Who decides whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Nobody: everything goes at once.
    Ungoverned,
    /// First come, first served: all have one priority.
    FirstCome,
    /// Payments before reports.
    Priorities,
}

/// What a run came to.
struct Run {
    order: Order,
    /// How long each payment waited for its turn, sorted.
    waits: Vec<Duration>,
    paid: usize,
    /// Requests of each kind that Stripe handled, and those that its limiters refused.
    payments: usize,
    reads: usize,
    limited: usize,
}

fn run(arguments: &Arguments) -> Result<(), BoxError> {
    let (mode, limit) = if arguments.sandbox { ("sandbox", 25) } else { ("live mode", 100) };
    println!("seed {}, {mode}: {limit}/s, 25/s for each operation", arguments.seed);
    println!(
        "{} payments/s for a minute, at random, and {FLOOD} readers of {} lists who never stop\n",
        1_000 / PAYMENT_EVERY.as_millis(),
        READS.len()
    );
    println!(
        "{:<22} {:>8} {:>9} {:>9} {:>9} {:>7} {:>9} {:>13}",
        "", "wait p50", "p99", "longest", "payments", "paid", "429s seen", "reads handled"
    );
    let mut runs = Vec::new();
    for order in [Order::Ungoverned, Order::FirstCome, Order::Priorities] {
        let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let run = runtime.block_on(play(arguments, order))?;
        println!("{run}");
        runs.push(run);
    }
    let [_, first_come, priorities] = &runs[..] else { return Err("there are three runs".into()) };
    println!(
        "\npayment_wait_p50_ms={} payment_wait_p99_ms={} fifo_wait_p99_ms={} background_share={:.3} rate_limited={}",
        priorities.wait(50).as_millis(),
        priorities.wait(99).as_millis(),
        first_come.wait(99).as_millis(),
        priorities.share_of_reads(),
        priorities.limited,
    );
    Ok(())
}

async fn play(arguments: &Arguments, order: Order) -> Result<Run, BoxError> {
    let latency = Profile::log_normal(Duration::from_millis(120), Duration::from_millis(400));
    let sim = Sim::builder().seed(arguments.seed).latency(Latency::all(latency)).build();
    let client = ServiceBuilder::new().map_err(BoxError::from as fn(SimError) -> BoxError);
    let governor = GovernorConfig::builder()
        .enabled(order != Order::Ungoverned)
        .default_priority((order == Order::FirstCome).then_some(Priority::Normal));
    let stripe: Stripe = StripeTransport::builder()
        .governor(governor)
        .retry(RetryConfig::builder().jitter_seed(arguments.seed))
        .breaker(BreakerConfig::builder().jitter_seed(arguments.seed))
        .build()?
        .layer(client.service(sim.service()));
    let key = if arguments.sandbox { "sk_test_sim" } else { "sk_live_sim" };

    let mut readers = JoinSet::new();
    for number in 0..FLOOD {
        readers.spawn(read(stripe.clone(), key, READS[number % READS.len()]));
    }
    let mut payments = JoinSet::new();
    for number in 0..PAYMENTS {
        time::sleep(gap(arguments.seed, number)).await;
        payments.spawn(pay(stripe.clone(), key, number));
    }
    // Those of the last moments have their turn under the flood as well.
    let outcomes = payments.join_all().await;
    drop(readers);

    let mut waits = Vec::with_capacity(outcomes.len());
    let mut paid = 0;
    for outcome in outcomes {
        let (wait, succeeded) = outcome?;
        waits.push(wait);
        paid += usize::from(succeeded);
    }
    waits.sort_unstable();
    let log = sim.log();
    let count = |wanted: fn(&stripe_sim::Exchange) -> bool| log.iter().filter(|seen| wanted(seen)).count();
    Ok(Run {
        order,
        waits,
        paid,
        payments: count(|seen| !seen.is_read() && seen.status.is_some_and(|status| status.is_success())),
        reads: count(|seen| seen.is_read() && seen.status.is_some_and(|status| status.is_success())),
        limited: count(|seen| seen.status.is_some_and(|status| status == 429)),
    })
}

/// How long after the one before a payment comes: customers do not know of each other, so that some come in a bunch.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
fn gap(seed: u64, number: u32) -> Duration {
    // The finaliser of splitmix64.
    let mixed = seed.wrapping_add(u64::from(number)).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let unit = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
    PAYMENT_EVERY.mul_f64(-(1.0 - unit).ln())
}

/// One payment: how long it waited for its turns, and whether it was made.
async fn pay(stripe: Stripe, key: &'static str, number: u32) -> Result<(Duration, bool), http::Error> {
    let form = "amount=1099&currency=eur&confirm=true&payment_method=pm_card_visa";
    let mut request = request("POST", "/v1/payment_intents", key).body(Full::from(form))?;
    let handle = ReportHandle::new();
    request.extensions_mut().insert(handle.clone());
    request.headers_mut().insert("x-sim-order", format!("order-{number}").try_into()?);
    let answer = stripe.send(request).await;
    let succeeded = answer.is_ok_and(|response| response.status().is_success());
    let wait = handle.report().attempts().iter().map(|attempt| attempt.queued).sum();
    Ok((wait, succeeded))
}

/// Reads one page after the other, for ever.
async fn read(stripe: Stripe, key: &'static str, path: &'static str) {
    loop {
        let Ok(request) = request("GET", path, key).body(Full::<Bytes>::default()) else { return };
        match stripe.send(request).await {
            Ok(response) if response.status().is_success() => {
                // What it says is of no interest.
                let _ = response.into_body().collect().await;
            }
            _ => time::sleep(PAUSE).await,
        }
    }
}

fn request(method: &str, path: &str, key: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("https://api.stripe.com{path}"))
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/x-www-form-urlencoded")
}

impl Run {
    fn wait(&self, percent: usize) -> Duration {
        let rank = (self.waits.len() * percent).div_ceil(100).saturating_sub(1);
        self.waits.get(rank).copied().unwrap_or_default()
    }

    /// Of all requests that Stripe handled.
    #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
    fn share_of_reads(&self) -> f64 {
        self.reads as f64 / (self.reads + self.payments).max(1) as f64
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.order {
            Order::Ungoverned => "no governor",
            Order::FirstCome => "one priority for all",
            Order::Priorities => "payments first",
        };
        let ms = |time: Duration| format!("{} ms", time.as_millis());
        write!(
            f,
            "{name:<22} {:>8} {:>9} {:>9} {:>9} {:>7} {:>9} {:>6} ({:.1} %)",
            ms(self.wait(50)),
            ms(self.wait(99)),
            ms(self.wait(100)),
            self.waits.len(),
            self.paid,
            self.limited,
            self.reads,
            100.0 * self.share_of_reads(),
        )
    }
}
