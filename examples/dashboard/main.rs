//! Traffic with changing faults, and its metrics: something to look at with the dashboard and the alerts of `ops/`.
//!
//! `cargo run --example dashboard [-- --seconds N --listen 127.0.0.1:9464 --seed N]`
//!
//! Two transports, of a checkout in live mode and of a back office in a sandbox, talk over TCP to the embedded simulator. A
//! round takes them through seven phases, each of which moves other rows of the dashboard; then the next one begins.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

mod calls;
mod phases;
mod round;
mod settings;

use std::{process::ExitCode, time::Duration};

use tokio::time::sleep;
use tower_stripe::{
    BoxError,
    telemetry::prometheus::{self, Exporter},
};

use crate::settings::{Arguments, Shop};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{}", settings::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("dashboard: {wrong}\n{}", settings::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dashboard: {error}");
            if let Some(cause) = error.source() {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), BoxError> {
    // Before the transports are made: those made before would report nothing.
    let serving = prometheus::serve(arguments.listen).await?;
    let shop = Shop::new(arguments.seed)?;
    let address = serving.local_addr();
    println!("metrics: http://{address}/metrics");
    println!(
        "Prometheus: ops/run --target {address}, then http://127.0.0.1:9090; Grafana: see ops/README.md"
    );
    println!("{}\n", phases::Plan);

    let ended = tokio::select! {
        ended = rounds(&shop) => ended,
        () = at_most(arguments.seconds) => Ok(()),
        ended = tokio::signal::ctrl_c() => ended.map_err(BoxError::from),
    };
    println!("\n{}", Summary(serving.exporter()));
    ended
}

/// One after the other, until something goes wrong: with this program, and not with a call.
async fn rounds(shop: &Shop) -> Result<(), BoxError> {
    for number in 1.. {
        let charged_twice = round::play(shop, number).await?;
        // Whoever waits for all faults to have happened reads this line.
        println!("round {number} is over: charged_twice={charged_twice}");
        if charged_twice > 0 {
            return Err(format!("{charged_twice} orders were charged twice").into());
        }
    }
    Ok(())
}

async fn at_most(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

/// What was counted, to be compared with what the dashboard shows.
struct Summary<'a>(&'a Exporter);

impl std::fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.render();
        let samples = || text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        writeln!(f, "{} series; of these, over both transports:", samples().count())?;
        for name in [
            "stripe_client_calls_total",
            "stripe_client_attempts_total",
            "stripe_client_retries_total",
            "stripe_client_unknown_calls_total",
            "stripe_client_unknown_resolved_total",
            "stripe_client_unknown_pending",
            "stripe_client_refusals_total",
            "stripe_client_breaker_transitions_total",
            "stripe_client_rate_limited_total",
            "stripe_client_declines_total",
        ] {
            let values = samples().filter_map(|line| line.strip_prefix(name)?.split_once("} "));
            let sum =
                values.filter_map(|(_, value)| value.parse::<f64>().ok()).fold(0.0, |sum, value| sum + value);
            writeln!(f, "  {name:<42} {sum:>7}")?;
        }
        Ok(())
    }
}
