//! The words for logs and labels: closed sets, lower case, and no two alike within one.

use std::{collections::BTreeSet, fmt::Display, time::Duration};

use super::*;

/// Each prints as its label, which is a word of its own in its set.
fn assert_labels<T: Display>(labels: &[(T, &'static str)]) {
    let mut seen = BTreeSet::new();
    for (value, label) in labels {
        assert_eq!(value.to_string(), *label);
        assert!(!label.is_empty() && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')), "{label}");
        assert!(seen.insert(*label), "{label} stands twice");
    }
    let longest = labels.iter().map(|(_, label)| label.len()).max().unwrap();
    for (value, label) in labels {
        assert_eq!(format!("{value:>longest$}"), format!("{label:>longest$}"), "it can be set in a column");
    }
}

macro_rules! labels {
    ($($value:expr),+ $(,)?) => { assert_labels(&[$(($value, $value.as_str())),+]) };
}

#[test]
fn every_label_is_a_lower_case_word_of_its_own() {
    labels!(Certainty::NotSent, Certainty::Rejected, Certainty::Executed, Certainty::Unknown);
    labels!(Advice::Done, Advice::SameKey, Advice::NewKey, Advice::Resend, Advice::Reconcile);
    labels!(
        Outcome::Success,
        Outcome::Foreign,
        Outcome::Redirect,
        Outcome::InvalidRequest,
        Outcome::KeyMismatch,
        Outcome::Unauthorized,
        Outcome::Declined,
        Outcome::Forbidden,
        Outcome::NotFound,
        Outcome::Interrupted,
        Outcome::Conflict,
        Outcome::KeyInUse,
        Outcome::RateLimited(RateLimitReason::Other),
        Outcome::LockTimeout,
        Outcome::ServerError,
        Outcome::Transport(FailureKind::Reset),
        Outcome::Transport(FailureKind::Tls),
        Outcome::Refused,
        Outcome::Cancelled,
    );
    labels!(
        RateLimitReason::GlobalRate,
        RateLimitReason::GlobalConcurrency,
        RateLimitReason::EndpointRate,
        RateLimitReason::EndpointConcurrency,
        RateLimitReason::ResourceSpecific,
        RateLimitReason::Other,
        RateLimitReason::Unstated,
    );
    labels!(
        Stop::Final,
        Stop::Attempts,
        Stop::Deadline,
        Stop::Budget,
        Stop::KeyAge,
        Stop::Body,
        Stop::Header,
        Stop::Unkeyed,
        Stop::RetryAfter,
        Stop::Refused,
        Stop::Cancelled,
    );
    labels!(Class::Money, Class::Write, Class::Read, Class::Search, Class::Upload, Class::Meter);
    labels!(Priority::Background, Priority::Normal, Priority::Critical);
    let purposes = [Purpose::First, Purpose::Retry, Purpose::Poll, Purpose::Resend, Purpose::Rotated]
        .map(Purpose::as_str);
    assert_eq!(BTreeSet::from(purposes).len(), purposes.len());
}

#[test]
fn every_refusal_says_that_nothing_was_sent_and_what_to_do_about_it() {
    let (age, limit) = (Duration::from_secs(90_000), Duration::from_secs(82_800));
    let refusals = [
        (Refusal::InvalidKey(InvalidKey::Empty), "the idempotency key is empty"),
        (Refusal::InvalidKey(InvalidKey::TooLong { length: 256 }), "256 characters, more than 255"),
        (Refusal::ConflictingKeys, "two idempotency keys that differ"),
        (Refusal::KeyTooOld { age: Some(age), limit }, "90000s old, and is safe only for 82800s"),
        (Refusal::KeyTooOld { age: None, limit }, "the clocks contradict each other"),
        (Refusal::DeadlineExceeded, "no time is left"),
        (
            Refusal::HostNotAllowed { host: "evil.example".into() },
            "\"evil.example\" is not a host of Stripe's",
        ),
        (Refusal::HostNotAllowed { host: "".into() }, "names no host"),
        (Refusal::InvalidUri, "no uri of http"),
        (Refusal::PlainHttp { host: "proxy".into() }, "plain http to \"proxy\""),
        (
            Refusal::WrongMode { expected: Mode::Live, found: Mode::Sandbox },
            "of sandbox mode, where live is expected",
        ),
        (Refusal::NoRandomness, "no randomness"),
        (Refusal::ReportReused, "give each call its own"),
        (Refusal::CallEnded, "has ended without it"),
        (Refusal::CircuitOpen { retry_in: Some(age) }, "the circuit is open for another"),
        (Refusal::CircuitOpen { retry_in: None }, "held open"),
        (Refusal::AuthBlocked { retry_in: age }, "does not accept this api key"),
        (Refusal::Saturated { retry_in: age }, "too many calls are waiting"),
        (Refusal::WaitTooLong { wait: age }, "after its deadline"),
        (Refusal::ObjectCooling { retry_in: age }, "limit for this object is used up"),
        (Refusal::ShuttingDown, "shutting down"),
    ];
    for (refusal, part) in refusals {
        let text = refusal.to_string();
        assert!(text.starts_with("refused before sending: ") && text.contains(part), "{text}");
        // Only of what passes by itself is it known when.
        let hinted = text.contains(" in 90000.0s") || text.contains("another 90000.0s");
        assert_eq!(refusal.retry_in(), hinted.then_some(age), "{text}");
        assert!(!refusal.as_str().is_empty());
        let error: Error = Refused::from(refusal.clone()).into();
        assert_eq!(error.refusal(), Some(&refusal));
        assert_eq!(error.to_string(), format!("{text}; nothing was sent"));
        assert_eq!((error.outcome(), error.certainty()), (Outcome::Refused, Certainty::NotSent));
    }
}

#[test]
fn an_error_without_a_report_claims_no_more_than_it_proves() {
    let timeout: Error = AttemptTimedOut::after(Duration::from_secs(30)).into();
    assert_eq!(timeout.to_string(), "no answer from stripe within 30s; stripe may have executed the call");
    assert_eq!((timeout.certainty(), timeout.advice()), (Certainty::Unknown, Advice::Reconcile));
    assert!(
        timeout.report().is_none() && timeout.idempotency_key().is_none() && timeout.request_id().is_none()
    );
    assert_eq!((timeout.attempts(), timeout.retry_in()), (0, None));

    let lost = Error::transport(std::io::Error::other("cut"));
    assert!(lost.is_transport() && lost.transport_error().is_some());
    let boxed = lost.boxed();
    assert_eq!(boxed.to_string(), "no response from stripe (other); stripe may have executed the call");
    assert_eq!(boxed.into_transport().map(|error| error.to_string()), Some("cut".into()));
}

#[test]
fn a_reason_of_a_limiter_that_is_new_has_no_label_of_its_own() {
    let kind = CallKind { verb: Verb::Post, api: ApiVersion::V1, keyed: true };
    let of = |reason: &'static str| {
        let value = http::HeaderValue::from_static(reason);
        let headers = http::HeaderMap::from_iter([(headers::STRIPE_RATE_LIMITED_REASON, value)]);
        Outcome::of_head(kind, http::StatusCode::TOO_MANY_REQUESTS, &headers)
    };
    for reason in ["global-speed", "GLOBAL-RATE", "", "cus_4f6DzA"] {
        assert_eq!(
            of(reason),
            (Outcome::RateLimited(RateLimitReason::Other), Certainty::Rejected),
            "{reason}"
        );
    }
    assert_eq!(of("global-rate").0, Outcome::RateLimited(RateLimitReason::GlobalRate));
}
