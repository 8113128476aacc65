use super::*;

fn problems(builder: IdempotencyBuilder) -> String {
    builder.build().map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn each_problem_names_its_setting_and_value() {
    let new = IdempotencyConfig::builder;
    let prefix =
        |value: &str| format!("prefix = {value:?} must be 1 to 64 printable ASCII characters without spaces");
    let (longest, too_long) = ("p".repeat(64), "p".repeat(65));
    for good in ["ts", "shop-1", longest.as_str()] {
        assert_eq!(problems(new().prefix(good)), "", "{good}");
    }
    for bad in ["", " ", "my shop", " shop", "shop\n", "läden", too_long.as_str()] {
        assert_eq!(problems(new().prefix(bad)), prefix(bad));
    }
    let day = Duration::from_secs(86_400);
    let (second, none) = (Duration::from_secs(1), Duration::ZERO);
    for (builder, expected) in [
        (new(), ""),
        (new().max_age_v1(day - second), ""),
        (new().max_age_v2(30 * day - second), ""),
        (
            new().max_age_v1(day),
            "max_age_v1 = 86400s must be less than the 86400s that stripe remembers a v1 key",
        ),
        (
            new().max_age_v2(30 * day),
            "max_age_v2 = 2592000s must be less than the 2592000s that stripe remembers a v2 key",
        ),
        (new().max_age_v1(none), "max_age_v1 = 0ns must be more than zero"),
        (new().max_age_v2(none), "max_age_v2 = 0ns must be more than zero"),
    ] {
        assert_eq!(problems(builder.clone()), expected, "{builder:?}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let builder =
        IdempotencyConfig::builder().prefix("").max_age_v1(Duration::ZERO).max_age_v2(Duration::MAX);
    let told = problems(builder);
    let parts: Vec<_> = told.split("; ").map(|problem| problem.split(' ').next().unwrap()).collect();
    assert_eq!(parts, ["prefix", "max_age_v1", "max_age_v2"], "{told}");
}

#[test]
fn the_defaults_keep_clear_of_what_stripe_forgets() {
    let config = IdempotencyConfig::default();
    assert_eq!(&*config.prefix, "ts");
    assert_eq!(config.max_age_v1, Duration::from_secs(23 * 3_600));
    assert_eq!(config.max_age_v2, Duration::from_secs(29 * 86_400));
    assert!(!config.require_explicit_key && !config.require_key_birth);
}

#[test]
fn the_deadline_of_the_guard_is_one_that_a_call_can_have() {
    let told = |seconds| {
        let guard = crate::idempotency::GuardConfig::new().deadline(Duration::from_secs(seconds));
        let built = IdempotencyConfig::builder().guard(guard).build();
        built.map_or_else(|error| error.to_string(), |_| String::new())
    };
    assert_eq!(told(0), "guard.deadline = 0ns must be more than zero");
    assert_eq!(told(3_600), "");
    assert_eq!(told(3_601), "guard.deadline = 3601s must be at most 3600s");
}
