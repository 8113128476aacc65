//! What Stripe has to tell whoever maintains the integration, in its `Stripe-Notice` header, fit for a log.

use std::fmt;

use http::HeaderValue;

/// So much of it is shown.
const MAX_LEN: usize = 300;

/// A word at least this long that has a digit in it may be an id, or a key.
const ID_LEN: usize = 14;

/// A notice. What looks like an id or a key in it is left out of what is shown: the whole of it is in the response.
pub(super) struct Notice<'a>(&'a str);

impl<'a> Notice<'a> {
    pub(super) fn of(value: &'a HeaderValue) -> Self {
        Self(value.to_str().unwrap_or("it is not text"))
    }
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(MAX_LEN)]; // `to_str` lets only ASCII through.
        for (index, word) in shown.split(' ').enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            let is_id = word.len() >= ID_LEN && word.bytes().any(|byte| byte.is_ascii_digit());
            f.write_str(if is_id { "…" } else { word })?;
        }
        if shown.len() < self.0.len() { f.write_str(" …") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(notice: &[u8]) -> String {
        Notice::of(&HeaderValue::from_bytes(notice).unwrap()).to_string()
    }

    #[test]
    fn a_notice_is_shown_without_what_looks_like_an_id_or_a_key() {
        for (notice, expected) in [
            ("API version 2020-08-27 is deprecated, see https://stripe.com/docs", None),
            (
                "the key sk_test_51H8xYzAbCdEf is used in pi_3PqRsTuVwXyZ now",
                Some("the key … is used in … now"),
            ),
            ("", None),
        ] {
            assert_eq!(shown(notice.as_bytes()), expected.unwrap_or(notice));
        }
        assert_eq!(shown(b"caf\xe9"), "it is not text");
        assert!(shown("ab ".repeat(1_000).as_bytes()).len() < MAX_LEN + 8);
    }
}
