//! What a client says about one call, in headers of the sidecar's own.

use std::time::{Duration, Instant};

use http::{Extensions, HeaderMap, HeaderName};
use tower_stripe::{Deadline, Priority, RetryLimit};

use crate::headers::{DEADLINE_MS, MAX_ATTEMPTS, PREFIX, PRIORITY};

/// The most that a call may ask for.
const MOST_ATTEMPTS: u32 = 20;

/// What a client says about one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intents {
    priority: Option<Priority>,
    deadline: Option<Duration>,
    max_attempts: Option<u32>,
}

/// A header that says what it cannot say: its name, and what it must be. The value is not repeated, since whoever mixes
/// up headers may have put anything there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadHeader {
    pub(crate) name: String,
    pub(crate) rule: String,
}

impl Intents {
    /// Takes them out of `headers`, with everything else that is named as the sidecar's own.
    ///
    /// # Errors
    /// If one is not known, or not what it must be.
    pub(crate) fn take(headers: &mut HeaderMap) -> Result<Self, BadHeader> {
        let own: Vec<HeaderName> =
            headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
        let mut intents = Self::default();
        for name in own {
            let values: Vec<_> = headers.get_all(&name).iter().cloned().collect();
            headers.remove(&name);
            let bad = |rule: String| BadHeader { name: name.to_string(), rule };
            let [value] = values.as_slice() else { return Err(bad("given once".to_owned())) };
            let value = value.to_str().unwrap_or_default().trim();
            if name == PRIORITY {
                let known = [Priority::Critical, Priority::Normal, Priority::Background];
                let priority = known.into_iter().find(|known| known.as_str() == value);
                intents.priority =
                    Some(priority.ok_or_else(|| bad("critical, normal or background".to_owned()))?);
            } else if name == DEADLINE_MS {
                let most = Deadline::MAX.as_millis();
                let ms = number(value).filter(|ms| (1..=most).contains(&u128::from(*ms)));
                let ms = ms.ok_or_else(|| bad(format!("a whole number of milliseconds from 1 to {most}")))?;
                intents.deadline = Some(Duration::from_millis(ms));
            } else if name == MAX_ATTEMPTS {
                let attempts = number(value).and_then(|n| u32::try_from(n).ok());
                let attempts = attempts.filter(|n| (1..=MOST_ATTEMPTS).contains(n));
                intents.max_attempts =
                    Some(attempts.ok_or_else(|| bad(format!("a whole number from 1 to {MOST_ATTEMPTS}")))?);
            } else {
                return Err(bad(format!("one of {PRIORITY}, {DEADLINE_MS} and {MAX_ATTEMPTS}")));
            }
        }
        Ok(intents)
    }

    /// Says the same to the stack, for a call that `arrived` then.
    pub(crate) fn tell(self, extensions: &mut Extensions, arrived: Instant) {
        if let Some(priority) = self.priority {
            extensions.insert(priority);
        }
        if let Some(deadline) = self.deadline {
            extensions.insert(Deadline::at(arrived + deadline));
        }
        if let Some(attempts) = self.max_attempts {
            extensions.insert(RetryLimit::new(attempts.saturating_sub(1)));
        }
    }
}

/// Digits and nothing else: `+5`, which Rust reads, is not what a header says.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn take(pairs: &[(&'static str, &'static str)]) -> (Result<Intents, BadHeader>, HeaderMap) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        (Intents::take(&mut headers), headers)
    }

    #[test]
    fn what_is_said_is_taken_out_and_told() {
        let (intents, left) = take(&[
            ("x-stripe-egress-priority", "background"),
            ("x-stripe-egress-deadline-ms", " 1500 "),
            ("x-stripe-egress-max-attempts", "1"),
            ("x-stripe-client-telemetry", "{}"),
        ]);
        assert_eq!(left.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-stripe-client-telemetry"]);
        let (mut told, arrived) = (Extensions::new(), tower_stripe::vocab::time::now());
        intents.expect("all are right").tell(&mut told, arrived);
        assert_eq!(told.get(), Some(&Priority::Background));
        assert_eq!(told.get(), Some(&Deadline::at(arrived + Duration::from_millis(1_500))));
        assert_eq!(told.get(), Some(&RetryLimit::NONE));
        assert_eq!(take(&[]).0, Ok(Intents::default()));
    }

    #[test]
    fn what_cannot_be_is_named_with_its_rule_and_never_its_value() {
        for (name, value, rule) in [
            ("x-stripe-egress-priority", "urgent", "critical, normal or background"),
            ("x-stripe-egress-deadline-ms", "0", "from 1 to 3600000"),
            ("x-stripe-egress-deadline-ms", "3600001", "from 1 to 3600000"),
            ("x-stripe-egress-deadline-ms", "+5", "whole number"),
            ("x-stripe-egress-deadline-ms", "", "whole number"),
            ("x-stripe-egress-max-attempts", "1.5", "from 1 to 20"),
            ("x-stripe-egress-max-attempts", "99999999999999999999", "from 1 to 20"),
            ("x-stripe-egress-deadline", "5", "one of x-stripe-egress-priority"),
        ] {
            let bad = take(&[(name, value)]).0.expect_err(name);
            assert_eq!(bad.name, name);
            assert!(bad.rule.contains(rule), "{}", bad.rule);
        }
        let twice = [("x-stripe-egress-max-attempts", "2"), ("x-stripe-egress-max-attempts", "2")];
        assert_eq!(take(&twice).0.expect_err("twice").rule, "given once");
    }
}
