use super::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn problems(builder: BreakerBuilder) -> String {
    builder.build().map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn each_problem_names_its_settings_and_values() {
    let new = BreakerConfig::builder;
    let slow = |traffic, limit, ratio| new().slow_calls(traffic, limit, Ratio::permille(ratio));
    for (builder, expected) in [
        (new(), ""),
        (new().window(Duration::ZERO), "window = 0ns must be more than zero"),
        (new().min_calls(0), "min_calls = 0 must be at least 1"),
        (new().min_calls(1), ""),
        (
            new().failure_ratio(Ratio::percent(0)),
            "failure_ratio = 0 % must be more than 0 %, and at most 100 %",
        ),
        (new().failure_ratio(Ratio::percent(100)), ""),
        (
            new().failure_ratio(Ratio::permille(1_001)),
            "failure_ratio = 100.1 % must be more than 0 %, and at most 100 %",
        ),
        (new().consecutive_failures(0), "consecutive_failures = 0 must be at least 1, or off"),
        (new().consecutive_failures(None), ""),
        (new().failure_ratio(None), ""),
        (
            new().failure_ratio(None).consecutive_failures(None),
            "consecutive_failures = off must be on, with failure_ratio = off",
        ),
        (slow(Traffic::Read, Duration::ZERO, 500), "slow_calls(read).limit = 0ns must be more than zero"),
        (
            slow(Traffic::Write, seconds(1), 0),
            "slow_calls(write).ratio = 0 % must be more than 0 %, and at most 100 %",
        ),
        (slow(Traffic::Write, seconds(1), 1_000), ""),
        (new().base_interval(Duration::ZERO), "base_interval = 0ns must be more than zero"),
        (new().base_interval(seconds(6)), "base_interval = 6s must be at most max_interval = 5s"),
        (new().base_interval(seconds(5)), ""),
        (new().max_interval(seconds(3_601)), "max_interval = 3601s must be at most 3600s"),
        (new().probe_lease(Duration::ZERO), "probe_lease = 0ns must be more than zero"),
        (
            new().probe_lease(Duration::MAX),
            "probe_lease = 18446744073709551615.999999999s must be at most 3600s",
        ),
        (new().probe_successes(0), "probe_successes = 0 must be at least 1"),
        (new().ramp(Duration::ZERO), ""),
        (new().ramp(seconds(3_601)), "ramp = 3601s must be at most 3600s"),
    ] {
        assert_eq!(problems(builder.clone()), expected, "{builder:?}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let builder = BreakerConfig::builder()
        .window(Duration::ZERO)
        .min_calls(0)
        .failure_ratio(Ratio::percent(101))
        .consecutive_failures(0)
        .probe_successes(0);
    assert_eq!(
        problems(builder),
        "window = 0ns must be more than zero; min_calls = 0 must be at least 1; \
         failure_ratio = 101 % must be more than 0 %, and at most 100 %; \
         consecutive_failures = 0 must be at least 1, or off; probe_successes = 0 must be at least 1"
    );
}

#[cfg(feature = "transport")]
#[test]
fn a_window_holds_two_attempts_if_ratios_are_of_interest() {
    let check = |builder: BreakerBuilder, timeout| {
        let mut problems = Vec::new();
        builder.check_against(("timeout.attempt", timeout), &mut problems);
        problems.first().map(ToString::to_string)
    };
    let new = BreakerConfig::builder;
    assert_eq!(check(new(), seconds(30)), None);
    assert_eq!(
        check(new(), seconds(31)).as_deref(),
        Some("window = 60s must be at least twice timeout.attempt = 31s")
    );
    assert_eq!(check(new().failure_ratio(None), seconds(31)), None);
    assert_eq!(new().window(seconds(9)).unchecked().window, seconds(9));
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = BreakerConfig::default();
    assert_eq!((config.window, config.min_calls), (seconds(60), 50));
    assert_eq!((config.failure_ratio, config.consecutive_failures), (Some(Ratio::percent(50)), Some(10)));
    assert!(config.slow_calls.iter().all(Option::is_none));
    assert_eq!(config.abandoned_after, seconds(10));
    assert_eq!((config.base_interval, config.max_interval), (seconds(1), seconds(5)));
    assert_eq!((config.probe_lease, config.probe_successes), (seconds(5), 3));
    assert_eq!(config.ramp, Duration::from_millis(500));
    assert_eq!(
        (config.probe_grace, config.money_grace),
        (Duration::from_millis(100), Duration::from_millis(250))
    );
    assert!(config.synthetic_probes && config.local && config.jitter_seed.is_none());
}

#[test]
fn the_settings_in_force_are_told_by_name() {
    let config = BreakerConfig::builder()
        .control(Control::ObserveOnly)
        .consecutive_failures(None)
        .slow_calls(Traffic::Write, seconds(3), Ratio::percent(80))
        .build()
        .unwrap();
    let told: Vec<_> = config.settings().iter().map(ToString::to_string).collect();
    for expected in [
        "control = observe_only",
        "window = 60s",
        "consecutive_failures = off",
        "slow_calls = write, 3s, 80 %",
    ] {
        assert!(told.iter().any(|told| told == expected), "{expected}: {told:?}");
    }
    assert_eq!(BreakerConfig::default().settings().len(), 15, "slow_calls only where they are limited");
}
