//! What the sidecar is told: by a TOML file, and by flags.

mod checklist;
mod describe;
mod fields;
mod file;
mod given;
mod stack;

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tower_stripe::{ConfigError, detach::DetachConfig, transport::Builder};
use tracing::level_filters::LevelFilter;

pub use self::checklist::Finding;
pub(crate) use self::given::Given;
pub(crate) use self::stack::LimitSet;
use crate::{
    body::Allowance,
    upstream::{Base, Upstreams},
};

/// All settings, checked as far as they can be by themselves.
///
/// ```
/// use stripe_egress::Settings;
///
/// let settings = Settings::from_toml("[retry]\nmax_attempts = 4\n[timeouts]\ndeadline = \"45s\"")?;
/// assert!(settings.describe()?.contains("max_attempts = 4"));
///
/// let error = Settings::from_toml("[retry]\nmax_atempts = 4").unwrap_err();
/// assert_eq!(error.to_string(), "retry.max_atempts is not known; did you mean retry.max_attempts?");
/// # Ok::<(), stripe_egress::SettingsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) allow_non_loopback: bool,
    pub(crate) upstreams: Upstreams,
    pub(crate) stack: Builder,
    pub(crate) governor: Governor,
    pub(crate) connect_timeout: Duration,
    /// The deadline of calls, if it is set.
    pub(crate) deadline: Option<Duration>,
    pub(crate) detach: Detach,
    pub(crate) limits: Limits,
    pub(crate) stop_sdk_retries: bool,
    pub(crate) drain: Drain,
    pub(crate) log: LevelFilter,
    /// What the file says, key by key, to tell what a reload changes.
    pub(crate) given: Given,
}

/// What of the governor can change while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Governor {
    pub(crate) replicas: std::num::NonZeroU32,
    pub(crate) limits: Vec<LimitSet>,
}

/// What clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) max_connections: usize,
    pub(crate) max_header_bytes: usize,
    pub(crate) max_headers: usize,
    pub(crate) max_buffered_bytes: usize,
    pub(crate) body: Allowance,
    pub(crate) idle: Duration,
    pub(crate) write_stall: Duration,
}

/// How many payments may be under way, and how many of those that nobody was told of are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Detach {
    pub(crate) max_detached: u32,
    pub(crate) max_unresolved: u32,
}

impl Detach {
    /// # Errors
    /// If one of them cannot be.
    pub(crate) fn config(self) -> Result<DetachConfig, ConfigError> {
        let Self { max_detached, max_unresolved } = self;
        let builder = DetachConfig::builder();
        builder.max_detached(max_detached as usize).max_unresolved(max_unresolved as usize).build()
    }
}

/// How it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drain {
    pub(crate) linger: Duration,
    pub(crate) within: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: local(12_111),
            admin: Some(local(12_112)),
            allow_non_loopback: false,
            upstreams: Upstreams::default(),
            stack: stack::default(),
            governor: Governor { replicas: std::num::NonZeroU32::MIN, limits: Vec::new() },
            connect_timeout: Duration::from_secs(10),
            deadline: None,
            detach: Detach { max_detached: 1_024, max_unresolved: 1_024 },
            limits: Limits::default(),
            stop_sdk_retries: true,
            drain: Drain { linger: Duration::ZERO, within: Duration::from_secs(25) },
            log: LevelFilter::INFO,
            given: Given::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 2_048,
            max_header_bytes: 64 * 1024,
            max_headers: 100,
            max_buffered_bytes: 64 * 1024 * 1024,
            body: Allowance {
                replayable: 1024 * 1024,
                largest: 512 * 1024 * 1024,
                idle: Duration::from_secs(30),
            },
            idle: Duration::from_secs(75),
            write_stall: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Reads a file's text; what it does not say is at its default.
    ///
    /// # Errors
    /// [`SettingsError`] with every problem at once, or the first place where it is no TOML.
    pub fn from_toml(text: &str) -> Result<Self, SettingsError> {
        file::read(text)
    }

    /// Where to listen.
    #[must_use]
    pub const fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// Where the admin pages are; `None` for nowhere.
    #[must_use]
    pub const fn admin(mut self, addr: Option<SocketAddr>) -> Self {
        self.admin = addr;
        self
    }

    /// Whether it may listen where other machines can connect: everybody who can, can use the API key that it holds, and
    /// everything that clients send, their API keys included, passes in the clear.
    #[must_use]
    pub const fn allow_non_loopback(mut self, allow: bool) -> Self {
        self.allow_non_loopback = allow;
        self
    }

    /// Where calls go, instead of to Stripe: a simulator, or a proxy. All hosts of Stripe's are replaced with it.
    ///
    /// # Errors
    /// [`SettingsError`] if it is no URL of a scheme and a host, or plain http to another machine.
    pub fn upstream(mut self, url: &str) -> Result<Self, SettingsError> {
        let api = Base::parse(url)
            .map_err(|rule| SettingsError::one(format!("upstream = {url:?} must be {rule}")))?;
        self.upstreams = Upstreams::new(api);
        Ok(self)
    }

    /// Where it is to listen.
    #[must_use]
    pub const fn listen_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Where the admin pages are to be.
    #[must_use]
    pub const fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// What is logged.
    #[must_use]
    pub const fn log_level(&self) -> LevelFilter {
        self.log
    }

    /// Checks what no single setting can break.
    ///
    /// # Errors
    /// [`SettingsError`] with every problem at once.
    pub fn check(&self) -> Result<(), SettingsError> {
        let mut problems = Vec::new();
        for (name, addr) in [("listen", Some(self.listen)), ("admin", self.admin)] {
            if let Some(addr) = addr.filter(|addr| !addr.ip().is_loopback() && !self.allow_non_loopback) {
                problems.push(format!(
                    "{name} = {addr} must be a loopback address: whoever can connect can make calls, and what clients \
                     send, API keys included, passes in the clear; --allow-non-loopback says that this is meant"
                ));
            }
        }
        if self.admin == Some(self.listen) && self.listen.port() != 0 {
            problems.push(format!("admin = {} must be another address than listen", self.listen));
        }
        for wrong in [self.transport().build().err(), self.detach.config().err()].into_iter().flatten() {
            problems.extend(wrong.problems().iter().map(ToString::to_string));
        }
        if problems.is_empty() { Ok(()) } else { Err(SettingsError { problems }) }
    }

    /// The builder of the stack: what the file says, and the hosts that it may call.
    pub(crate) fn transport(&self) -> Builder {
        let foreign = self.upstreams.iter().filter(|(_, base)| !base.is_stripes());
        let mut hosts: Vec<_> = foreign.map(|(_, base)| base.host()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts.into_iter().fold(self.stack.clone(), Builder::allow_host)
    }
}

/// What is wrong with settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    problems: Vec<String>,
}

impl SettingsError {
    pub(crate) fn one(problem: String) -> Self {
        Self { problems: vec![problem] }
    }

    /// Each problem, in a sentence of its own.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// One problem a line.
impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl Error for SettingsError {}
