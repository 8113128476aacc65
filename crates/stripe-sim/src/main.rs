//! The simulator as a program: `stripe-sim --listen 127.0.0.1:12111`.

use std::{io::Write, net::SocketAddr, process::ExitCode, time::SystemTime};

use clap::{CommandFactory, Parser, error::ErrorKind};
use stripe_sim::{Faults, Limits, Server, Sim};

/// A stateful Stripe to test against, over HTTP/1.1 and HTTP/2 without TLS.
#[derive(Debug, Parser)]
#[command(name = "stripe-sim", version)]
struct Arguments {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:12111")]
    listen: SocketAddr,

    /// What ids and faults derive from
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// How likely a request is to fail, from 0 to 1
    #[arg(long, value_name = "P", default_value = "0", value_parser = probability)]
    faults: f64,

    /// An API key to accept; repeat for more [default: sk_test_sim and sk_live_sim]
    #[arg(long = "key", value_name = "KEY", value_parser = api_key)]
    keys: Vec<String>,

    /// Switch the rate limiters off
    #[arg(long)]
    unlimited: bool,

    /// Allow to listen where other machines can connect
    #[arg(long)]
    allow_remote: bool,
}

impl Arguments {
    /// The rules that no single argument can break.
    fn check(&self) -> Result<(), clap::Error> {
        if self.allow_remote || self.listen.ip().is_loopback() {
            return Ok(());
        }
        let message = format!(
            "invalid value '{}' for '--listen <ADDR>': it is no loopback address, and '--allow-remote' is not given",
            self.listen
        );
        Err(Self::command().error(ErrorKind::ValueValidation, message))
    }

    fn sim(&self) -> Sim {
        let limits = if self.unlimited { Limits::unlimited() } else { Limits::published() };
        let builder = Sim::builder()
            .seed(self.seed)
            .limits(limits)
            .faults(Faults::probability(self.faults))
            .epoch(wall_clock());
        self.keys.iter().fold(builder, |builder, key| builder.account(key)).build()
    }
}

/// Clients compare `created` with their own clocks, so the program starts at the real time.
#[expect(clippy::disallowed_methods, reason = "the program has no test that could stop its clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("it must be a number from 0 to 1".to_owned()),
    }
}

fn api_key(text: &str) -> Result<String, String> {
    let prefixes = ["sk_test_", "sk_live_", "rk_test_", "rk_live_"];
    match prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        Some(rest) if !rest.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(text.to_owned())
        }
        _ => Err(format!("it must begin with one of {}, and go on", prefixes.join(", "))),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = arguments.check() {
        error.exit();
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even the complaint cannot be written, the exit status has to do.
            let _ = writeln!(std::io::stderr(), "error: cannot serve on {}: {error}", arguments.listen);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::bind(arguments.sim(), arguments.listen).await?;
        writeln!(std::io::stdout(), "stripe-sim listens on http://{}", server.addr())?;
        tokio::signal::ctrl_c().await?;
        server.shutdown().await;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        let arguments = Arguments::try_parse_from(std::iter::once(&"stripe-sim").chain(arguments))?;
        arguments.check().map(|()| arguments)
    }

    #[test]
    fn the_defaults_are_safe() {
        let arguments = read(&[]).expect("no argument is needed");
        assert!(arguments.listen.ip().is_loopback());
        assert!(arguments.keys.is_empty() && !arguments.unlimited && !arguments.allow_remote);
    }

    #[test]
    fn everything_can_be_said() {
        let all = [
            "--listen=[::1]:0",
            "--seed=9",
            "--faults=0.3",
            "--key=sk_test_a",
            "--key=rk_live_b",
            "--unlimited",
        ];
        let arguments = read(&all).expect("these are fine");
        assert_eq!((arguments.seed, arguments.keys.len(), arguments.unlimited), (9, 2, true));
        assert!(read(&["--listen=0.0.0.0:80", "--allow-remote"]).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_rule_and_exits_with_2() {
        for (arguments, parts) in [
            (["--listen=0.0.0.0:80"], ["--listen", "0.0.0.0:80", "loopback"]),
            (["--listen=here"], ["--listen", "here", "invalid socket address"]),
            (["--faults=1.5"], ["--faults", "1.5", "from 0 to 1"]),
            (["--faults=NaN"], ["--faults", "NaN", "from 0 to 1"]),
            (["--seed=-1"], ["--seed", "-1", "invalid digit"]),
            (["--key=secret"], ["--key", "secret", "sk_test_"]),
        ] {
            let error = read(&arguments).expect_err("it is wrong");
            let text = error.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
