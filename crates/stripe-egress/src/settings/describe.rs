//! What is in force, for `--print-config`.

use std::fmt::Write;

use tower_stripe::vocab::Setting;

use super::{Settings, SettingsError};

impl Settings {
    /// Everything in force, the defaults included: the sidecar's own settings, then the stack from the outside in.
    ///
    /// # Errors
    /// [`SettingsError`] if these settings cannot be.
    pub fn describe(&self) -> Result<String, SettingsError> {
        self.check()?;
        let layer = self.transport().build().map_err(|error| SettingsError::one(error.to_string()))?;
        let mut text = String::new();
        for (name, settings) in self.own() {
            section(&mut text, name, &settings);
        }
        for (name, settings) in layer.layer(()).describe().layers() {
            section(&mut text, name, settings);
        }
        Ok(text)
    }

    fn own(&self) -> [(&'static str, Vec<Setting>); 6] {
        let admin = self.admin.map_or_else(|| "off".to_owned(), |addr| addr.to_string());
        let upstreams = self.upstreams.iter().map(|(host, base)| Setting::new(host.as_str(), base));
        let limits = &self.limits;
        [
            (
                "egress",
                vec![
                    Setting::new("listen", self.listen),
                    Setting::new("admin", admin),
                    Setting::new("allow_non_loopback", self.allow_non_loopback),
                    Setting::new("log.level", self.log),
                ],
            ),
            (
                "upstreams",
                upstreams.chain([Setting::time("timeouts.connect", self.connect_timeout)]).collect(),
            ),
            (
                "limits",
                vec![
                    Setting::new("max_connections", limits.max_connections),
                    Setting::new("max_header_bytes", limits.max_header_bytes),
                    Setting::new("max_headers", limits.max_headers),
                    Setting::new("max_replayable_bytes", limits.body.replayable),
                    Setting::new("max_body_bytes", limits.body.largest),
                    Setting::new("max_buffered_bytes", limits.max_buffered_bytes),
                    Setting::time("body_idle", limits.body.idle),
                    Setting::time("idle", limits.idle),
                    Setting::time("write_stall", limits.write_stall),
                ],
            ),
            ("responses", vec![Setting::new("stop_sdk_retries", self.stop_sdk_retries)]),
            (
                "drain",
                vec![Setting::time("linger", self.drain.linger), Setting::time("within", self.drain.within)],
            ),
            (
                "detach",
                vec![
                    Setting::new("max_detached", self.detach.max_detached),
                    Setting::new("max_unresolved", self.detach.max_unresolved),
                ],
            ),
        ]
    }
}

fn section(text: &mut String, name: &str, settings: &[Setting]) {
    let _ = writeln!(text, "{name}");
    for setting in settings {
        let _ = writeln!(text, "    {setting}");
    }
}
