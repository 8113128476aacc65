//! Thousands of payments over real TCP, through a network that lies, and not one charged twice.
//!
//! `cargo run --release --example checkout [-- --seed N --payments N]`
//!
//! Starts the simulator on loopback and sends the same payments to it four times: through `StripeTransport` and through
//! a naive client, over HTTP/1.1 and over HTTP/2. Three requests in ten meet a fault. When the faults stop, every payment
//! whose fate is unknown is resolved as its `advice()` says. The simulator's ledger is the judge.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

mod naive;
mod settings;
mod shop;
mod table;

use std::process::ExitCode;

use tower_stripe::BoxError;

use crate::{
    settings::{Arguments, Protocol},
    shop::Verdicts,
};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{}", settings::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("checkout: {wrong}\n{}", settings::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("checkout: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the transport kept its promises.
async fn run(arguments: &Arguments) -> Result<bool, BoxError> {
    println!("{arguments}");
    let mut runs: Vec<Verdicts> = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        runs.push(shop::run(arguments, protocol).await?);
        runs.push(naive::run(arguments, protocol).await?);
    }
    println!("\n{}", table::Table(&runs));
    if let Some(interesting) = runs.iter().find_map(|run| run.interesting.as_ref()) {
        println!("One call that had a hard time, as its report tells it:\n{}", table::Story(interesting));
    }
    let sum = |of: fn(&Verdicts) -> usize, naive: bool| -> usize {
        runs.iter().filter(|run| run.naive == naive).map(of).sum()
    };
    let charged_twice = sum(|run| run.charged_twice, false);
    let lost = sum(|run| run.lost, false);
    let unknown = sum(|run| run.unknown_at_last, false);
    println!(
        "charged_twice={charged_twice} lost={lost} unknown={unknown} attempts={} naive_charged_twice={}",
        sum(|run| run.attempts, false),
        sum(|run| run.charged_twice, true),
    );
    Ok(charged_twice == 0 && lost == 0)
}
