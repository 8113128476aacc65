use super::*;

#[test]
fn a_problem_names_every_setting_and_value_that_it_is_about() {
    let seconds = Duration::from_secs;
    let invalid = Setting::time("deadline", seconds(7_200)).must_be("at most 3600s");
    assert_eq!(invalid.to_string(), "deadline = 7200s must be at most 3600s");
    let deadline = Setting::time("deadline", seconds(75));
    let contradiction = Setting::time("attempt_timeout", seconds(90)).must_be_towards("at most", deadline);
    assert_eq!(contradiction.to_string(), "attempt_timeout = 90s must be at most deadline = 75s");
    assert_eq!(Setting::time("x", Duration::from_millis(1_500)).to_string(), "x = 1.5s");
    let setting = Setting::new("max_balance", 7);
    assert_eq!((setting.name(), setting.value()), ("max_balance", "7"));
}

#[test]
fn an_error_says_all_problems_at_once_and_in_order() {
    let problems = vec![Setting::new("a", 1).must_be("two"), Setting::new("b", 2).must_be("three")];
    let error = ConfigError::unless_none(problems.clone()).unwrap_err();
    assert_eq!(error.to_string(), "a = 1 must be two; b = 2 must be three");
    assert_eq!(error.problems(), problems);
    assert_eq!(ConfigError::unless_none(vec![]), Ok(()));
}

#[test]
fn a_share_is_written_in_hundredths_and_kept_in_thousandths() {
    for (ratio, permille, text) in [
        (Ratio::percent(0), 0, "0 %"),
        (Ratio::percent(10), 100, "10 %"),
        (Ratio::percent(100), 1_000, "100 %"),
        (Ratio::percent(255), 2_550, "255 %"),
        (Ratio::permille(5), 5, "0.5 %"),
        (Ratio::permille(1_001), 1_001, "100.1 %"),
    ] {
        assert_eq!((ratio.as_permille(), ratio.to_string().as_str()), (permille, text));
    }
    assert!(Ratio::permille(101) > Ratio::percent(10));
}
