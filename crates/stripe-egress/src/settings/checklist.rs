//! What `--check` says about settings that can be, but should perhaps not.

use std::{fmt, time::Duration};

use tower_stripe::transport::Description;

use super::Settings;

/// After how long official SDKs give up, at their defaults: those of Python and Node.js after 80 s.
const SDK_TIMEOUT: Duration = Duration::from_secs(80);
/// How long Kubernetes waits, at its default, between the signal and the end.
const SUPERVISOR: Duration = Duration::from_secs(30);

/// One point of the production checklist.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Whether there is nothing to do.
    pub fine: bool,
    /// What was looked at, and what was found.
    pub text: String,
}

/// `ok: …`, or `look: …`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.fine { "ok" } else { "look" }, self.text)
    }
}

impl Settings {
    /// The points of the production checklist that settings show. Of settings that cannot be there are none.
    #[must_use]
    pub fn checklist(&self) -> Vec<Finding> {
        let Ok(layer) = self.transport().build() else { return Vec::new() };
        let stack = layer.layer(()).describe();
        let has = |layer, name, value: &str| setting(&stack, layer, name).is_some_and(|set| set == value);
        let mut findings = Vec::new();
        let mut point = |fine, good: &str, bad: &str| {
            findings.push(Finding { fine, text: if fine { good } else { bad }.to_owned() });
        };
        point(
            self.listen.ip().is_loopback() && self.admin.is_none_or(|addr| addr.ip().is_loopback()),
            "it listens on this machine alone",
            "it listens where other machines can connect: what clients send, API keys included, passes in the clear",
        );
        point(
            self.upstreams.iter().all(|(_, base)| base.is_stripes()),
            "calls go to Stripe",
            "calls do not go to Stripe: an upstream is set",
        );
        point(
            self.stop_sdk_retries,
            "SDKs are told not to retry what has been decided (responses.stop_sdk_retries)",
            "responses.stop_sdk_retries is off: set the retries of every SDK to 0",
        );
        point(
            self.deadline.is_none_or(|deadline| deadline < SDK_TIMEOUT),
            "calls end before an SDK's timeout of 80 s, uploads aside",
            "timeouts.deadline is not below 80 s: SDKs may give up first, and their users never learn how it ended",
        );
        point(
            !has("retry", "max_attempts", "1"),
            "what may be sent again is sent again",
            "retry.max_attempts is 1: nothing is sent again",
        );
        point(
            has("breaker", "control", "automatic"),
            "the breaker is on",
            "the breaker is off: in an outage calls wait for their timeouts",
        );
        point(
            has("auth gate", "enabled", "true"),
            "the auth gate is on",
            "the auth gate is off: a bad API key is tried with every call",
        );
        let governed = has("governor", "enabled", "true");
        point(
            governed,
            "the governor is on",
            "the governor is off: Stripe's limiters are found out by running into them",
        );
        point(
            !governed || self.given.has("governor.replicas"),
            "governor.replicas says how many processes share the account",
            "governor.replicas is not set: this process takes the whole of the account's rate limits for itself",
        );
        point(
            self.drain.linger + self.drain.within <= SUPERVISOR,
            "it stops within the 30 s that Kubernetes gives by default",
            "drain.linger and drain.within are more than 30 s: what stops this process must wait for longer than that",
        );
        let held = setting(&stack, "credentials", "mode").is_some();
        point(
            !held || self.given.has("credentials.expect_mode"),
            if held {
                "the API key that is held is of the mode that is expected"
            } else {
                "no API key is held here"
            },
            "credentials.expect_mode is not set: a test key in the place of a live one would go unnoticed",
        );
        point(
            self.admin.is_some(),
            "the admin pages are on",
            "the admin pages are off: nothing can be probed or scraped",
        );
        findings
    }
}

fn setting<'a>(stack: &'a Description, layer: &str, name: &str) -> Option<&'a str> {
    let (_, settings) = stack.layers().find(|(found, _)| *found == layer)?;
    settings.iter().find(|setting| setting.name() == name).map(tower_stripe::vocab::Setting::value)
}
