//! What telemetry costs a call that goes well, in instructions: `cargo bench --bench instructions`.
//!
//! Counted by callgrind (Debian's package `valgrind`), so that it repeats on any machine of a kind, however busy. The
//! program runs itself under it, with few calls and with many: the difference is the calls'.

#![expect(clippy::print_stdout, reason = "it is what it is for")]

mod support;

use std::{
    env,
    hint::black_box,
    process::{Command, ExitCode},
    sync::Arc,
};

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::runtime::Builder;
use tower::Service;
use tower_stripe::{StripeTransport, telemetry::TelemetryConfig};
use tracing_subscriber::prelude::*;

use self::support::{Null, payment, unlimited};

const FEW: u64 = 200;
const MANY: u64 = 1_200;

/// The ways to call, and what each adds.
const VARIANTS: [(&str, &str); 5] = [
    ("client", "the client and its request alone"),
    ("off", "the transport, telemetry turned off"),
    ("nobody", "telemetry on, with neither recorder nor subscriber"),
    ("recorder", "and a recorder of Prometheus metrics"),
    ("subscriber", "and a subscriber to spans, which writes nothing down"),
];

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    // Run by itself, as below; whatever cargo gives is none of these.
    if let (Some(variant), Some(calls)) = (arguments.next(), arguments.next())
        && let Ok(calls) = calls.parse()
    {
        run(&variant, calls);
        return ExitCode::SUCCESS;
    }
    let count = |variant| Some(instructions(variant, MANY)? - instructions(variant, FEW)?);
    println!("{:>12}  {:>6}  variant", "instructions", "more");
    let mut before = None;
    for (variant, what) in VARIANTS {
        let Some(counted) = count(variant) else {
            println!("SKIPPED: valgrind is not here, or does not run (Debian's package valgrind has it)");
            return if env::var_os("CI").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        };
        let each = counted / (MANY - FEW);
        println!(
            "{each:>12}  {:>6}  {variant}: {what}",
            before.map_or(0, |before| each.saturating_sub(before))
        );
        before = Some(each);
    }
    ExitCode::SUCCESS
}

/// How many instructions a run of this program takes; `None` where they cannot be counted.
fn instructions(variant: &str, calls: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().ok()?)
        .args([variant, &calls.to_string()])
        .output()
        .ok()?;
    let told = String::from_utf8(output.stderr).ok()?;
    told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

fn run(variant: &str, calls: u64) {
    let telemetry = match variant {
        "off" => TelemetryConfig::builder().enabled(false),
        "recorder" | "subscriber" => {
            TelemetryConfig::builder().recorder(Arc::new(PrometheusBuilder::new().build_recorder()))
        }
        _ => TelemetryConfig::builder(),
    };
    if variant == "subscriber" {
        tracing_subscriber::registry().with(Nothing).init();
    }
    let layer = StripeTransport::builder()
        .governor(unlimited())
        .telemetry(telemetry)
        .build()
        .expect("valid settings");
    let stripe = layer.layer(Null);
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        for _ in 0..calls {
            if variant == "client" {
                black_box(Null.call(payment()).await).expect("it cannot fail");
            } else {
                black_box(stripe.send(payment()).await).expect("answered");
            }
        }
    });
}

/// Wants to hear of everything, and does nothing with it.
struct Nothing;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Nothing {}
