use super::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn each_problem_names_its_settings_and_values_and_all_are_told_at_once() {
    let new = TimeoutConfig::builder;
    for (builder, expected) in [
        (new(), ""),
        (new().attempt(seconds(30)).deadline(seconds(30)), ""),
        (new().attempt(seconds(75)), ""),
        (new().attempt(seconds(76)), "attempt_timeout = 76s must be at most deadline = 75s (the default)"),
        (new().deadline(seconds(3_600)), ""),
        (new().attempt(Duration::ZERO), "attempt_timeout = 0ns must be more than zero"),
        (new().deadline(Duration::ZERO), "deadline = 0ns must be more than zero"),
        (new().deadline(seconds(3_601)), "deadline = 3601s must be at most 3600s"),
        (
            new().attempt(seconds(31)).deadline(seconds(30)),
            "attempt_timeout = 31s must be at most deadline = 30s",
        ),
        (
            new().attempt(seconds(7_201)).deadline(seconds(7_200)),
            "deadline = 7200s must be at most 3600s; attempt_timeout = 7201s must be at most deadline = 7200s",
        ),
        (
            new().attempt(Duration::ZERO).deadline(Duration::ZERO),
            "attempt_timeout = 0ns must be more than zero; deadline = 0ns must be more than zero",
        ),
    ] {
        let told = builder.build().map_or_else(|error| error.to_string(), |_| String::new());
        assert_eq!(told, expected, "{builder:?}");
    }
}
