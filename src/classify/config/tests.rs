use super::*;

#[test]
fn an_error_body_is_read_and_no_more_than_a_mebibyte_of_it() {
    let new = ClassifyConfig::builder;
    for (builder, expected) in [
        (new().max_bytes(1_048_576), ""),
        (new().max_bytes(1), ""),
        (new().buffer(1_048_576), ""),
        (new().buffer(1_048_577), "buffer = 1048577 must be at most 1048576"),
        (new().max_bytes(1_048_577), "max_bytes = 1048577 must be at most 1048576"),
        (
            new().max_bytes(0).max_time(Duration::ZERO),
            "max_bytes = 0 must be more than zero; max_time = 0ns must be more than zero",
        ),
    ] {
        let told = builder.build().map_or_else(|error| error.to_string(), |_| String::new());
        assert_eq!(told, expected, "{builder:?}");
    }
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = ClassifyConfig::default();
    assert_eq!((config.max_bytes, config.max_time), (64 * 1024, Duration::from_secs(1)));
}
