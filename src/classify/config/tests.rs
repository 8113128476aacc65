use super::*;

#[test]
fn more_than_a_mebibyte_is_not_held_for_each_failure() {
    let new = || ClassifyConfig::builder().max_time(Duration::ZERO);
    assert!(new().max_bytes(1_048_576).build().is_ok());
    assert!(new().max_bytes(0).build().is_ok());
    let error = new().max_bytes(1_048_577).build().unwrap_err();
    assert_eq!(error.to_string(), "max_bytes = 1048577 must be at most 1048576");
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = ClassifyConfig::default();
    assert_eq!((config.max_bytes, config.max_time), (64 * 1024, Duration::from_secs(1)));
}
