//! A scripted outage of Stripe, and what reaches it meanwhile: no protection, tower's retry, and `StripeTransport`.
//!
//! `cargo run --release --example outage_drill [-- --seed N --health SECONDS --phases N --svg PATH]`
//!
//! The same calls are offered to the simulator three times, in virtual time: it takes seconds, not minutes, and comes out
//! the same each time. Prints tables, and draws a chart of what was offered, what was on the wire, and what succeeded. The
//! last line is for machines, and about `StripeTransport` in an outage that comes out of the blue.
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
    drill::Run,
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
    let through = |script: &Script| -> Result<Vec<Run>, BoxError> {
        Protection::ALL.into_iter().map(|protection| drill::run(protection, script, arguments.seed)).collect()
    };
    let script = Script::whole(arguments.health);
    let whole = through(&script)?;
    for run in &whole {
        println!("{}: {}", run.name, run.settings);
    }
    println!("The whole script:\n{}", table::Table(&whole));
    chart::draw(&whole, &script, arguments)?;
    println!("chart: {}\n", arguments.svg.display());

    // What the storm leaves behind flatters: who still sends little has little to hold back.
    let alone = through(&Script::outage(arguments.health))?;
    println!("The outage alone, after {:?} of health:\n{}", arguments.health, table::Table(&alone));
    println!("{}\n", table::LEGEND);
    let summary = match arguments.phases {
        None => Summary::of(&alone.last().map(Figures::of).into_iter().collect::<Vec<_>>()),
        Some(phases) => {
            let all = drill::phases(phases, arguments)?;
            println!("{} such outages, each at another moment: {}", all.len(), table::Spread(&all));
            Summary::of(&all)
        }
    };
    println!("{summary}");
    Ok(())
}
