//! A scripted outage of Stripe, and what reaches it meanwhile: no protection, tower's retry, and `StripeTransport`.
//!
//! `cargo run --release --example outage_drill [-- --seed N --health SECONDS --phases N --svg PATH]`
//!
//! The same calls are offered to the simulator three times, in virtual time: it takes seconds, not minutes, and comes out
//! the same each time. Prints a table, and draws a chart of what was offered, what was on the wire, and what succeeded.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

mod chart;
mod clients;
mod drill;
mod figures;
mod script;
mod settings;
mod table;

use std::process::ExitCode;

use tower_stripe::BoxError;

use crate::{
    clients::Protection,
    figures::{Figures, Summary},
    script::Script,
    settings::Arguments,
};

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{}", settings::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("outage_drill: {wrong}\n{}", settings::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("outage_drill: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), BoxError> {
    println!("{arguments}\n");
    let script = Script::whole(arguments.health);
    let mut runs = Vec::new();
    for protection in Protection::ALL {
        runs.push(drill::run(protection, &script, arguments.seed)?);
    }
    for run in &runs {
        println!("{}: {}", run.name, run.settings);
    }
    println!("\n{}", table::Table(&runs));
    chart::draw(&runs, &script, arguments)?;
    println!("chart: {}", arguments.svg.display());

    let of_whole = runs.last().map(Figures::of).ok_or("there was no run")?;
    let summary = match arguments.phases {
        None => Summary::of(&[of_whole]),
        Some(phases) => {
            let all = drill::phases(phases, arguments)?;
            let summary = Summary::of(&all);
            println!("{} outages, each at another moment: {}", all.len(), table::Spread(&all));
            summary
        }
    };
    println!("{summary}");
    Ok(())
}
