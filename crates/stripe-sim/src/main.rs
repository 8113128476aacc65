//! The simulator as a program: `stripe-sim --listen 127.0.0.1:12111`.

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use serde_json::Value;
use stripe_sim::{Faults, Limits, Server, Sim};

/// A stateful Stripe to test against, over HTTP/1.1 and HTTP/2 without TLS.
#[derive(Debug, Parser)]
#[command(name = "stripe-sim", version)]
struct Arguments {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:12111")]
    listen: SocketAddr,

    /// Settings, outages and scripts from a file, TOML or JSON by its ending; what is given here as well wins
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,

    /// What ids and faults derive from [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// How likely a request is to fail, from 0 to 1 [default: 0]
    #[arg(long, value_name = "P", value_parser = probability)]
    faults: Option<f64>,

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

    /// # Errors
    ///
    /// If the scenario cannot be read, or says something that is not known.
    fn sim(&self) -> Result<Sim, String> {
        let mut builder = Sim::builder().epoch(wall_clock());
        if let Some(path) = &self.scenario {
            let wrong =
                |error: String| format!("cannot take '{}' for '--scenario <FILE>': {error}", path.display());
            let settings = read(path).map_err(wrong)?;
            builder = builder.settings(&settings).map_err(|error| wrong(error.to_string()))?;
        }
        if let Some(seed) = self.seed {
            builder = builder.seed(seed);
        }
        if let Some(probability) = self.faults {
            builder = builder.faults(Faults::probability(probability));
        }
        if self.unlimited {
            builder = builder.limits(Limits::unlimited());
        }
        Ok(self.keys.iter().fold(builder, |builder, key| builder.account(key)).build())
    }
}

/// The settings of a file.
fn read(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("toml") => toml::from_str(&text).map_err(|error| error.to_string()),
        Some("json") => serde_json::from_str(&text).map_err(|error| error.to_string()),
        _ => Err("its name must end in .toml or .json".to_owned()),
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
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot serve on {}: {error}", arguments.listen);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let sim = arguments.sim()?;
        let server = Server::bind(sim, arguments.listen).await.map_err(failed)?;
        writeln!(std::io::stdout(), "stripe-sim listens on http://{}", server.addr()).map_err(failed)?;
        tokio::signal::ctrl_c().await.map_err(failed)?;
        server.shutdown().await;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        let arguments = Arguments::try_parse_from(std::iter::once(&"stripe-sim").chain(arguments))?;
        arguments.check().map(|()| arguments)
    }

    #[test]
    fn the_defaults_are_safe() {
        let arguments = parse(&[]).expect("no argument is needed");
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
        let arguments = parse(&all).expect("these are fine");
        assert_eq!((arguments.seed, arguments.keys.len(), arguments.unlimited), (Some(9), 2, true));
        assert!(parse(&["--listen=0.0.0.0:80", "--allow-remote"]).is_ok());
    }

    #[tokio::test]
    async fn a_scenario_is_read_from_either_kind_of_file() {
        let folder = std::env::temp_dir().join(format!("stripe-sim-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, text, wrong) in [
            ("a.json", r#"{ "seed": 3, "phases": [{ "script": "outage", "lasts_ms": 5 }] }"#, None),
            (
                "a.toml",
                "seed = 3\n[[phases]]\nscript = 'outage'\nlasts_ms = 5\n[scripts]\na = ['pass']\n",
                None,
            ),
            ("b.toml", "sed = 3", Some("settings.sed is not known")),
            ("c.json", "{", Some("EOF")),
            ("d.yaml", "", Some(".toml or .json")),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("a file");
            let arguments = parse(&["--scenario", path.to_str().expect("text")]).expect("it is fine");
            match (arguments.sim(), wrong) {
                (Ok(_), None) => {}
                (Err(error), Some(part)) => assert!(error.contains(part) && error.contains(name), "{error}"),
                (result, _) => panic!("{name}: {result:?}"),
            }
        }
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }

    #[tokio::test]
    async fn the_scenario_of_the_readme_is_taken() {
        let readme = include_str!("../README.md");
        let (_, rest) = readme.split_once("```toml\n").expect("it has an example");
        let (example, _) = rest.split_once("```").expect("which ends");
        let settings: Value = toml::from_str(example).expect("it is TOML");
        let _ = Sim::builder().settings(&settings).expect("all of it is known");
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
            let error = parse(&arguments).expect_err("it is wrong");
            let text = error.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
