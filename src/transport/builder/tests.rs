use super::*;
use crate::{
    classify::ClassifyConfig,
    idempotency::IdempotencyConfig,
    retry::{BudgetConfig, RetryConfig},
    vocab::Ratio,
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn problems(builder: Builder) -> String {
    builder.build().map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn settings_of_two_layers_that_contradict_each_other_are_named_with_their_values() {
    let retry_until = |deadline| Builder::default().retry(RetryConfig::builder().deadline(deadline));
    for (builder, expected) in [
        (Builder::default(), ""),
        (Builder::default().attempt_timeout(seconds(20)).deadline(seconds(45)), ""),
        (retry_until(seconds(45)).deadline(seconds(45)), ""),
        (
            Builder::default().attempt_timeout(seconds(30)).deadline(seconds(25)),
            "attempt_timeout = 30s must be at most deadline = 25s",
        ),
        (
            retry_until(seconds(20)).deadline(seconds(45)),
            "retry.deadline = 20s must be equal to deadline = 45s",
        ),
        (
            retry_until(seconds(20)).attempt_timeout(seconds(30)),
            "attempt_timeout = 30s must be at most retry.deadline = 20s",
        ),
        (
            Builder::default().attempt_timeout(seconds(100)),
            "attempt_timeout = 100s must be at most deadline = 75s (the default); breaker.window = 60s must be at least \
             twice attempt_timeout = 100s",
        ),
        (
            Builder::default().retry(RetryConfig::builder().min_attempt(seconds(80))),
            "min_attempt = 80s must be less than deadline = 75s (the default)",
        ),
        (
            Builder::default()
                .retry(RetryConfig::builder().base_delay(seconds(50)).max_delay(seconds(50)))
                .deadline(seconds(50)),
            "base_delay = 50s must be less than deadline = 50s",
        ),
        (Builder::default().deadline(seconds(1)).attempt_timeout(seconds(1)), ""),
    ] {
        assert_eq!(problems(builder.clone()), expected, "{builder:?}");
    }
}

#[test]
fn a_host_is_a_bare_name_or_address() {
    for good in ["127.0.0.1", "[::1]", "proxy.internal", "localhost"] {
        assert_eq!(problems(Builder::default().allow_host(good)), "", "{good}");
    }
    for bad in ["", "http://proxy", "proxy:8080", "proxy/", "user@proxy", "a b"] {
        let expected = format!(
            "allow_host = {bad:?} must be a host name, an IPv4 address, or an IPv6 address in brackets, and nothing else"
        );
        assert_eq!(problems(Builder::default().allow_host(bad)), expected);
    }
}

#[test]
fn every_problem_of_every_layer_is_told_at_once() {
    let budget = BudgetConfig::default().ratio(Ratio::percent(101));
    let builder = Builder::default()
        .idempotency(IdempotencyConfig::builder().prefix(""))
        .retry(RetryConfig::builder().base_delay(seconds(9)).deadline(seconds(10)).budget(budget))
        .classify(ClassifyConfig::builder().max_bytes(2_000_000))
        .attempt_timeout(seconds(8_000))
        .deadline(seconds(7_200))
        .allow_host("http://proxy");
    assert_eq!(
        problems(builder),
        "prefix = \"\" must be 1 to 64 printable ASCII characters without spaces; \
         base_delay = 9s must be at most max_delay = 5s; \
         budget.ratio = 101 % must be at most 100 %; \
         deadline = 7200s must be at most 3600s; \
         max_bytes = 2000000 must be at most 1048576; \
         allow_host = \"http://proxy\" must be a host name, an IPv4 address, or an IPv6 address in brackets, and nothing else; \
         retry.deadline = 10s must be equal to deadline = 7200s; \
         attempt_timeout = 8000s must be at most deadline = 7200s; breaker.window = 60s must be at least twice attempt_timeout = 8000s"
    );
}
