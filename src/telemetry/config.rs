use std::{fmt, num::NonZeroUsize, sync::Arc};

use metrics::Recorder;

use crate::vocab::{ConfigError, Mode, Problem, Setting};

/// The settings of [`Telemetry`](super::Telemetry). See the [module docs](super).
#[derive(Clone)]
pub struct TelemetryConfig {
    pub(super) enabled: bool,
    pub(super) transport: Arc<str>,
    pub(super) max_operations: NonZeroUsize,
    pub(super) recorder: Option<Arc<dyn Recorder + Send + Sync>>,
    /// That of calls that bring no API key of their own.
    pub(super) keyless: Mode,
}

impl TelemetryConfig {
    /// Starts at the defaults.
    #[must_use]
    pub fn builder() -> TelemetryBuilder {
        TelemetryBuilder::default()
    }

    /// Calls that bring no API key of their own are of this mode, if any: a layer within has the key.
    #[cfg(feature = "transport")]
    pub(crate) fn keyless(mut self, mode: Option<Mode>) -> Self {
        self.keyless = mode.unwrap_or(self.keyless);
        self
    }

    /// Whether anything is counted, traced or logged.
    #[cfg(feature = "transport")]
    pub(crate) const fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The settings in force, by name.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        if !self.enabled {
            return vec![Setting::new("enabled", false)];
        }
        vec![
            Setting::new("transport", &self.transport),
            Setting::new("max_operations", self.max_operations),
            Setting::new("recorder", if self.recorder.is_some() { "own" } else { "global" }),
        ]
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            transport: "default".into(),
            max_operations: NonZeroUsize::MIN.saturating_add(199),
            recorder: None,
            keyless: Mode::Live,
        }
    }
}

impl fmt::Debug for TelemetryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryConfig")
            .field("enabled", &self.enabled)
            .field("transport", &self.transport)
            .field("max_operations", &self.max_operations)
            .finish_non_exhaustive()
    }
}

/// Builds a [`TelemetryConfig`].
#[derive(Clone, Debug, Default)]
pub struct TelemetryBuilder {
    config: TelemetryConfig,
}

impl TelemetryBuilder {
    /// Whether anything is counted, traced or logged. Default: `true`.
    #[must_use]
    pub const fn enabled(mut self, enabled: bool) -> Self {
        self.config.enabled = enabled;
        self
    }

    /// The name that tells this transport from the others of the process, in the label `transport` of every metric. Two
    /// with the same name are counted as one, and what is read off of one, gauges and the breaker's counters, hides the
    /// other's. Default: `default`.
    #[must_use]
    pub fn transport(mut self, name: &str) -> Self {
        self.config.transport = name.into();
        self
    }

    /// So many operations have series of their own; what comes after them is counted as `other`. Default: 200.
    #[must_use]
    pub const fn max_operations(mut self, operations: NonZeroUsize) -> Self {
        self.config.max_operations = operations;
        self
    }

    /// Writes metrics to this recorder. Default: the one that is installed for the process when the layer is made.
    #[must_use]
    pub fn recorder(mut self, recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        self.config.recorder = Some(recorder);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] when the name is not from 1 to 64 letters, digits, and any of `_-.`, all of ASCII.
    pub fn build(self) -> Result<TelemetryConfig, ConfigError> {
        let mut problems = Vec::new();
        self.check(&mut problems);
        ConfigError::unless_none(problems)?;
        Ok(self.config)
    }

    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        let name = &self.config.transport;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if !(1..=64).contains(&name.len()) || !name.bytes().all(fits) {
            problems.push(
                Setting::new("telemetry.transport", format_args!("{name:?}"))
                    .must_be("from 1 to 64 ASCII letters, digits, and any of \"_-.\""),
            );
        }
    }

    #[cfg(feature = "transport")]
    pub(crate) fn unchecked(self) -> TelemetryConfig {
        self.config
    }
}
