//! What Stripe has to tell whoever maintains the integration, in its `Stripe-Notice` header, fit for a log.

use std::fmt;

use http::HeaderValue;

/// So much of it is shown.
const MAX_LEN: usize = 300;

/// A notice. Only words, dates and links to Stripe's pages are shown of it, since whoever wrote it may quote anything,
/// as a key; the whole of it is in the response.
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
            f.write_str(if is_harmless(word) { word } else { "…" })?;
        }
        if shown.len() < self.0.len() { f.write_str(" …") } else { Ok(()) }
    }
}

/// Whether it is a date, as `2020-08-27`: other digits may be those of a card.
fn is_date(word: &[u8]) -> bool {
    let fits = |(index, byte): (usize, &u8)| {
        if matches!(index, 4 | 7) { *byte == b'-' } else { byte.is_ascii_digit() }
    };
    word.len() == 10 && word.iter().enumerate().all(fits)
}

/// Whether it is a word of a sentence, a date, or a link without parameters to a page of Stripe's.
fn is_harmless(word: &str) -> bool {
    let word = word.trim_matches(|letter: char| letter.is_ascii_punctuation());
    let link = ["https://stripe.com/", "https://docs.stripe.com/", "https://dashboard.stripe.com/"]
        .into_iter()
        .find_map(|page| word.strip_prefix(page));
    let lower = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'\'' | b'-' | b'/'))
    };
    match (link, word.as_bytes()) {
        (Some(path), _) => lower(path),
        (None, []) => true,
        (None, [first, ..]) if first.is_ascii_digit() => is_date(word.as_bytes()),
        (None, [_, rest @ ..]) => {
            let rest = std::str::from_utf8(rest).unwrap_or_default();
            word.len() <= 20 && (lower(rest) || word.bytes().all(|byte| byte.is_ascii_uppercase()))
        }
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
            ("the card 4242 4242 4242 4242 of +4915112345", Some("the card … … … … of …")),
            ("a tab\tbetween\tthem", Some("a …")),
            ("", None),
        ] {
            assert_eq!(shown(notice.as_bytes()), expected.unwrap_or(notice), "{notice}");
        }
        assert_eq!(shown(b"caf\xe9"), "it is not text");
        assert!(shown("ab ".repeat(1_000).as_bytes()).len() < MAX_LEN + 8);
    }
}
