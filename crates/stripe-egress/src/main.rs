//! The sidecar as a program: `stripe-egress --listen 127.0.0.1:12111 --admin 127.0.0.1:12112`.

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use stripe_egress::{Drained, Egress, Serving, Settings};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tower_stripe::telemetry::prometheus::{self, Exporter};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// Gives every Stripe SDK a transport that never charges twice: point its base URL here, and set its own retries to 0.
#[derive(Debug, Parser)]
#[command(name = "stripe-egress", version)]
struct Arguments {
    /// Where to listen for SDKs [default: 127.0.0.1:12111]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// Where the admin pages are, or off [default: 127.0.0.1:12112]
    #[arg(long, value_name = "ADDR|off", value_parser = admin)]
    admin: Option<Admin>,

    /// Where calls go; other hosts of Stripe's follow [default: https://api.stripe.com]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,

    /// Settings from a TOML file; what is given here as well wins
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Allow to listen where other machines can connect: whoever can, can make calls, and what clients send, API keys
    /// included, passes in the clear
    #[arg(long)]
    allow_non_loopback: bool,

    /// Print what would be in force, and exit
    #[arg(long)]
    print_config: bool,

    /// Check the settings, and exit: with 0 if they can be, with 2 if not
    #[arg(long)]
    check: bool,
}

#[derive(Clone, Copy, Debug)]
struct Admin(Option<SocketAddr>);

fn admin(text: &str) -> Result<Admin, String> {
    match text {
        "off" => Ok(Admin(None)),
        text => text.parse().map(|addr| Admin(Some(addr))).map_err(|error| format!("{error}; or off")),
    }
}

impl Arguments {
    /// What file and flags say together.
    fn settings(&self) -> Result<Settings, String> {
        let mut settings = match &self.config {
            None => Settings::default(),
            Some(path) => read(path)?,
        };
        if let Some(listen) = self.listen {
            settings = settings.listen(listen);
        }
        if let Some(Admin(admin)) = self.admin {
            settings = settings.admin(admin);
        }
        if let Some(upstream) = &self.upstream {
            settings = settings.upstream(upstream).map_err(|error| error.to_string())?;
        }
        if self.allow_non_loopback {
            settings = settings.allow_non_loopback(true);
        }
        settings.check().map_err(|error| error.to_string())?;
        Ok(settings)
    }
}

fn read(path: &Path) -> Result<Settings, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read '{}' for '--config <FILE>': {error}", path.display()))?;
    Settings::from_toml(&text).map_err(|error| format!("in '{}':\n{error}", path.display()))
}

/// Changes what is logged.
type Level = reload::Handle<LevelFilter, Registry>;

const CANNOT_SERVE: u8 = 1;
const WRONG_SETTINGS: u8 = 2;
const UNRESOLVED: u8 = 3;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = match arguments.settings() {
        Ok(settings) => settings,
        Err(error) => return fail(&error, WRONG_SETTINGS),
    };
    if arguments.print_config || arguments.check {
        return match report(&arguments, &settings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.to_string(), CANNOT_SERVE),
        };
    }
    let (filter, level) = reload::Layer::new(settings.log_level());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(filter).with(lines).init();
    match run(&arguments, settings, &level) {
        Ok(drained) if drained.is_clean() => ExitCode::SUCCESS,
        Ok(drained) => {
            tell(&drained);
            ExitCode::from(UNRESOLVED)
        }
        Err(error) => fail(&error, CANNOT_SERVE),
    }
}

fn fail(error: &str, code: u8) -> ExitCode {
    // Where even the complaint cannot be written, the exit status has to do.
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::from(code)
}

fn report(arguments: &Arguments, settings: &Settings) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    if arguments.print_config {
        let text = settings.describe().unwrap_or_else(|error| error.to_string());
        write!(out, "{text}")?;
    }
    if arguments.check {
        for finding in settings.checklist() {
            writeln!(out, "{finding}")?;
        }
    }
    Ok(())
}

fn run(arguments: &Arguments, settings: Settings, level: &Level) -> Result<Drained, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        // Before the first connection: a signal must not end the process by itself.
        let failed = |error: std::io::Error| format!("cannot listen for signals: {error}");
        let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let serving = serve(settings).await?;
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    reloaded(arguments, &serving, level);
                    serving.look_for_key().await;
                }
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        tracing::info!(calls = serving.calls_under_way(), "draining");
        Ok(serving.drain().await)
    })
}

async fn serve(settings: Settings) -> Result<Serving, String> {
    let bind = |addr: SocketAddr| async move {
        TcpListener::bind(addr).await.map_err(|error| format!("cannot listen on {addr}: {error}"))
    };
    let listener = bind(settings.listen_addr()).await?;
    let admin = match settings.admin_addr() {
        Some(addr) => Some(bind(addr).await?),
        None => None,
    };
    // Before the stack is made, which would find nobody to report to.
    let exporter = prometheus::install().map_err(|error| error.to_string())?;
    tokio::spawn(kept_up(exporter.clone()));
    let egress = Egress::new(settings).map_err(|error| error.to_string())?;
    let serving = egress.metrics(move || exporter.render()).serve(listener, admin);
    let serving = serving.map_err(|error| format!("cannot serve: {error}"))?;
    let mut said = writeln!(std::io::stdout(), "stripe-egress listens on http://{}", serving.addr());
    if let Some(admin) = serving.admin_addr() {
        said = said.and(writeln!(std::io::stdout(), "its admin pages are on http://{admin}"));
    }
    said.map_err(|error| format!("cannot say where it listens: {error}"))?;
    Ok(serving)
}

/// Where nobody scrapes, the exporter would keep all samples.
async fn kept_up(exporter: Exporter) {
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    loop {
        minute.tick().await;
        drop(exporter.render());
    }
}

/// Reads the settings anew. What is wrong with them is logged, and nothing changes.
fn reloaded(arguments: &Arguments, serving: &Serving, level: &Level) {
    let reloaded = arguments.settings().and_then(|settings| {
        let reloaded = serving.reload(&settings).map_err(|error| error.to_string())?;
        level.reload(settings.log_level()).map_err(|error| error.to_string())?;
        Ok(reloaded)
    });
    match reloaded {
        Ok(reloaded) => tracing::info!("reloaded; {reloaded}"),
        Err(error) => tracing::error!("not reloaded, nothing has changed: {error}"),
    }
}

/// Says what is unresolved: never a key, never a body.
fn tell(drained: &Drained) {
    for call in &drained.unresolved {
        tracing::warn!(
            operation = call.operation.name(),
            certainty = call.report.certainty().as_str(),
            advice = call.report.advice().as_str(),
            attempts = call.report.attempts_made(),
            request_id = call.report.request_ids().last().map(tracing::field::display),
            "unresolved: it may have been executed, and nobody was told"
        );
    }
    tracing::warn!(
        unresolved = drained.unresolved.len(),
        more = drained.forgotten,
        connections_cut_off = drained.cut_off,
        "stopped with calls that are not resolved"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(arguments: &[&str]) -> Result<Settings, String> {
        let arguments = Arguments::try_parse_from(std::iter::once(&"stripe-egress").chain(arguments));
        arguments.map_err(|error| error.to_string())?.settings()
    }

    #[test]
    fn the_defaults_are_safe() {
        let settings = settings(&[]).expect("no argument is needed");
        assert!(settings.listen_addr().ip().is_loopback());
        let text = settings.describe().expect("they can be");
        assert!(text.contains("api = https://api.stripe.com\n") && text.contains("stop_sdk_retries = true"));
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = std::env::temp_dir().join(format!("stripe-egress-{}.toml", std::process::id()));
        std::fs::write(&file, "listen = '127.0.0.1:1'\nadmin = 'off'\nupstream = 'http://127.0.0.1:2'")
            .unwrap();
        let config = format!("--config={}", file.display());
        let settings = settings(&[&config, "--listen=[::1]:3", "--upstream=http://127.0.0.1:4"]).unwrap();
        let text = settings.describe().unwrap();
        for line in
            ["listen = [::1]:3", "admin = off", "files = http://127.0.0.1:4", r#"allow_host = "127.0.0.1""#]
        {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        std::fs::remove_file(&file).expect("it is ours");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_rule() {
        for (arguments, parts) in [
            (&["--listen=0.0.0.0:80"][..], &["0.0.0.0:80", "loopback", "--allow-non-loopback"][..]),
            (&["--admin=0.0.0.0:80"], &["admin", "loopback"]),
            (&["--admin=no"], &["--admin", "or off"]),
            (&["--upstream=http://api.stripe.com"], &["http://api.stripe.com", "loopback"]),
            (&["--config=/nowhere.toml"], &["/nowhere.toml", "--config"]),
            (&["--listen=127.0.0.1:9", "--admin=127.0.0.1:9"], &["another address"]),
        ] {
            let error = settings(arguments).expect_err("it is wrong");
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
        assert!(settings(&["--listen=0.0.0.0:80", "--allow-non-loopback"]).is_ok());
    }
}
