use super::*;
use crate::vocab::Ratio;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn problems(builder: RetryBuilder) -> String {
    builder.build().map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn each_problem_names_its_settings_and_values() {
    let new = RetryConfig::builder;
    let budget = |budget: BudgetConfig| new().budget(budget);
    let of = BudgetConfig::default;
    for (builder, expected) in [
        (new(), ""),
        (new().base_delay(Duration::ZERO), "base_delay = 0ns must be more than zero"),
        (new().base_delay(seconds(6)), "base_delay = 6s must be at most max_delay = 5s"),
        (new().max_delay(Duration::from_millis(100)), "base_delay = 500ms must be at most max_delay = 100ms"),
        (new().base_delay(seconds(5)), ""),
        (new().limiter_base_delay(Duration::ZERO), "limiter_base_delay = 0ns must be more than zero"),
        (
            new().limiter_base_delay(seconds(31)),
            "limiter_base_delay = 31s must be at most limiter_max_delay = 30s",
        ),
        (
            new().limiter_max_delay(seconds(1)),
            "limiter_base_delay = 2s must be at most limiter_max_delay = 1s",
        ),
        (new().deadline(Duration::ZERO), "deadline = 0ns must be more than zero"),
        (new().deadline(seconds(3_601)), "deadline = 3601s must be at most 3600s"),
        (new().deadline(seconds(3_600)), ""),
        (budget(of().ratio(Ratio::permille(1_001))), "budget.ratio = 100.1 % must be at most 100 %"),
        (budget(of().ratio(Ratio::percent(100))), ""),
        (budget(of().max_balance(0).per_second(0)), "budget.max_balance = 0 must be from 1 to 16000"),
        (budget(of().max_balance(16_001)), "budget.max_balance = 16001 must be from 1 to 16000"),
        (budget(of().max_balance(16_000)), ""),
        (budget(of().per_second(101)), "budget.per_second = 101 must be at most budget.max_balance = 100"),
        (budget(BudgetConfig::OFF), ""),
    ] {
        assert_eq!(problems(builder.clone()), expected, "{builder:?}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let budget = BudgetConfig::default().ratio(Ratio::percent(200)).max_balance(0).per_second(7);
    let builder = RetryConfig::builder()
        .base_delay(Duration::ZERO)
        .limiter_base_delay(seconds(40))
        .deadline(seconds(7_200))
        .budget(budget);
    assert_eq!(
        problems(builder),
        "base_delay = 0ns must be more than zero; \
         limiter_base_delay = 40s must be at most limiter_max_delay = 30s; \
         deadline = 7200s must be at most 3600s; \
         budget.ratio = 200 % must be at most 100 %; \
         budget.max_balance = 0 must be from 1 to 16000; \
         budget.per_second = 7 must be at most budget.max_balance = 0"
    );
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = RetryConfig::default();
    assert_eq!(config.max_attempts.get(), 3);
    assert_eq!(config.ordinary, Ladder { base: Duration::from_millis(500), cap: seconds(5) });
    assert_eq!(config.limiter, Ladder { base: seconds(2), cap: seconds(30) });
    assert_eq!((config.max_retry_after, config.min_attempt), (seconds(60), seconds(1)));
    assert_eq!(
        config.budget,
        BudgetConfig::default().ratio(Ratio::percent(10)).per_second(1).max_balance(100)
    );
    assert_eq!((config.deadline, config.jitter_seed), (None, None));
}
