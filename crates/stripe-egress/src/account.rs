//! The account of a call, as headers of its answer.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tower_stripe::{Advice, Certainty, Report, vocab::headers::IDEMPOTENCY_KEY};

use crate::headers::{ADVICE, ATTEMPTS, CERTAINTY, REPLAYED, WAITED_MS};

/// What the answer of a call says about the call.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    attempts: u32,
    certainty: Certainty,
    advice: Advice,
    replayed: bool,
    waited: Duration,
    /// The idempotency key in force.
    key: Option<HeaderValue>,
}

impl Account {
    pub(crate) fn of(report: &Report, replayed: bool) -> Self {
        Self {
            attempts: report.attempts_made(),
            certainty: report.certainty(),
            advice: report.advice(),
            replayed,
            waited: report.waited(),
            key: report.idempotency_key().and_then(|key| HeaderValue::from_str(key.as_str()).ok()),
        }
    }

    /// Of a call that never got as far as the stack. `key`: the client's own, to come back with.
    pub(crate) fn unsent(key: Option<HeaderValue>) -> Self {
        let advice = if key.is_some() { Advice::SameKey } else { Advice::Resend };
        Self {
            attempts: 0,
            certainty: Certainty::NotSent,
            advice,
            replayed: false,
            waited: Duration::ZERO,
            key,
        }
    }

    /// Writes it over whatever stands there under these names. An `Idempotency-Key` that Stripe has answered stays.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let waited = u64::try_from(self.waited.as_millis()).unwrap_or(u64::MAX);
        headers.insert(ATTEMPTS, self.attempts.into());
        headers.insert(CERTAINTY, HeaderValue::from_static(self.certainty.as_str()));
        headers.insert(ADVICE, HeaderValue::from_static(self.advice.as_str()));
        headers.insert(REPLAYED, HeaderValue::from_static(if self.replayed { "true" } else { "false" }));
        headers.insert(WAITED_MS, waited.into());
        if let Some(key) = self.key {
            headers.entry(IDEMPOTENCY_KEY).or_insert(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_got_to_the_stack_keeps_its_key() {
        let write = |key: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            Account::unsent(key.map(HeaderValue::from_static)).write(&mut headers);
            headers
        };
        let keyed = write(Some("order-8812"));
        assert_eq!(
            (&keyed[ADVICE], &keyed[IDEMPOTENCY_KEY]),
            (&"same_key".parse().unwrap(), &"order-8812".parse().unwrap())
        );
        assert_eq!(
            (&keyed[ATTEMPTS], &keyed[CERTAINTY]),
            (&"0".parse().unwrap(), &"not_sent".parse().unwrap())
        );
        let unkeyed = write(None);
        assert_eq!(unkeyed[ADVICE], "resend");
        assert!(!unkeyed.contains_key(IDEMPOTENCY_KEY));
    }
}
