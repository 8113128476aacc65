//! `Retry-After`: Stripe never sends it, but proxies do.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, header::RETRY_AFTER};

/// How long the server asks to wait, by seconds or by date; `None` where it asks for nothing that one could do: garbage,
/// a negative number, zero, a date that has passed. Of several lines the longest counts.
pub(super) fn parse(headers: &HeaderMap, now: impl Fn() -> SystemTime) -> Option<Duration> {
    headers.get_all(RETRY_AFTER).iter().filter_map(|value| parse_line(value, &now)).max()
}

fn parse_line(value: &HeaderValue, now: impl Fn() -> SystemTime) -> Option<Duration> {
    let value = value.to_str().ok()?.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are still a number, and still far too long.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now()).ok()?
    };
    (!wait.is_zero()).then_some(wait)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn parsed(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        parse(&headers, || NOW + Duration::from_secs(784_111_777))
    }

    #[test]
    fn seconds_and_dates_are_read_and_nonsense_is_not() {
        for (value, expected) in [
            ("3", Some(Duration::from_secs(3))),
            (" 3 ", Some(Duration::from_secs(3))),
            ("300", Some(Duration::from_secs(300))),
            ("99999999999999999999999", Some(Duration::from_secs(u64::MAX))),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(Duration::from_secs(3))),
            ("Sat, 06 Nov 2004 08:49:37 GMT", Some(Duration::from_secs(315_619_200))),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1984 08:49:37 GMT", None),
            ("0", None),
            ("-3", None),
            ("+3", None),
            ("3.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(parsed(value), expected, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_panics(value in "[ -~]{0,64}") {
            if let Some(wait) = parsed(&value) {
                prop_assert!(!wait.is_zero());
            }
        }
    }
}
