//! When two bodies say the same. Pure.
//!
//! Where it errs, it errs towards "the same": the request is then sent, and Stripe, which compares too, has the last word.

use std::borrow::Cow;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format<'a> {
    /// Name and value, in any order.
    Form,
    Json,
    /// Parts between lines that the client draws anew each time.
    Multipart {
        boundary: &'a str,
    },
    Bytes,
}

impl<'a> Format<'a> {
    /// By the media type of a request; one without is what its API takes.
    pub(super) fn of(content_type: Option<&'a str>, default: Self) -> Self {
        let Some(content_type) = content_type else { return default };
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let essence = essence.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Self::Form,
            "application/json" => Self::Json,
            "multipart/form-data" => {
                boundary(parameters).map_or(Self::Bytes, |b| Self::Multipart { boundary: b })
            }
            _ => Self::Bytes,
        }
    }
}

fn boundary(parameters: &str) -> Option<&str> {
    let value = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value)
    })?;
    Some(value.trim().trim_matches('"')).filter(|value| !value.is_empty())
}

/// Adds what `body` says to `hash`, so that two bodies that say the same add the same.
pub(super) fn add(hash: &mut Sha256, format: Format<'_>, body: &[u8]) {
    match format {
        Format::Form => add_form(hash, body),
        Format::Json => match serde_json::from_slice::<Value>(body) {
            Ok(value) => {
                hash.update(b"j");
                add_json(hash, &value);
            }
            Err(_) => add_bytes(hash, body),
        },
        Format::Multipart { boundary } => {
            hash.update(b"m");
            for part in parts(body, boundary.as_bytes()) {
                add_text(hash, part);
            }
        }
        Format::Bytes => add_bytes(hash, body),
    }
}

fn add_bytes(hash: &mut Sha256, body: &[u8]) {
    hash.update(b"b");
    add_text(hash, body);
}

/// With its length, so that no two lists of texts run together to the same.
pub(super) fn add_text(hash: &mut Sha256, text: &[u8]) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

pub(super) fn add_form(hash: &mut Sha256, form: &[u8]) {
    let mut pairs: Vec<_> = form
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = equals.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
            (decode(name), decode(value))
        })
        .collect();
    pairs.sort_unstable();
    hash.update(b"f");
    for (name, value) in &pairs {
        add_text(hash, name);
        add_text(hash, value);
    }
}

/// Undoes percent-encoding. What is none stands for itself.
fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match (byte, digit(at), digit(at + 1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                at += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            (byte, ..) => decoded.push(*byte),
        }
    }
    Cow::Owned(decoded)
}

fn add_json(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hash.update(b"n"),
        Value::Bool(bool) => hash.update(if *bool { b"t" } else { b"f" }),
        Value::Number(number) => add_number(hash, number),
        Value::String(string) => {
            hash.update(b"s");
            add_text(hash, string.as_bytes());
        }
        Value::Array(values) => {
            hash.update(b"a");
            hash.update((values.len() as u64).to_be_bytes());
            values.iter().for_each(|value| add_json(hash, value));
        }
        Value::Object(members) => {
            // serde_json's map is sorted only as long as nobody in the program turns its `preserve_order` on.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            hash.update(b"o");
            hash.update((members.len() as u64).to_be_bytes());
            for (name, value) in members {
                add_text(hash, name.as_bytes());
                add_json(hash, value);
            }
        }
    }
}

/// 100, 100.0 and 1e2 are one number.
fn add_number(hash: &mut Sha256, number: &serde_json::Number) {
    /// Up to here a float is a whole number, and the only one.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = number.as_f64().unwrap_or(f64::NAN);
    let whole =
        number.as_i64().or_else(|| (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64));
    match (whole, number.as_u64()) {
        (Some(whole), _) => {
            hash.update(b"i");
            hash.update(whole.to_be_bytes());
        }
        (None, Some(large)) => {
            hash.update(b"u");
            hash.update(large.to_be_bytes());
        }
        (None, None) => {
            hash.update(b"d");
            hash.update(float.to_bits().to_be_bytes());
        }
    }
}

/// What stands between the occurrences of `boundary`.
fn parts<'a>(mut body: &'a [u8], boundary: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut over = false;
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        match body.windows(boundary.len()).position(|window| window == boundary) {
            Some(at) => {
                let part = &body[..at];
                body = &body[at + boundary.len()..];
                Some(part)
            }
            None => {
                over = true;
                Some(body)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn digest(format: Format<'_>, body: impl AsRef<[u8]>) -> [u8; 32] {
        let mut hash = Sha256::new();
        add(&mut hash, format, body.as_ref());
        hash.finalize().into()
    }

    fn same(format: Format<'_>, one: &str, other: &str) -> bool {
        digest(format, one) == digest(format, other)
    }

    /// S-28
    #[test]
    fn forms_that_say_the_same_are_the_same() {
        for (one, other, expected) in [
            ("a=1&b=2", "b=2&a=1", true),
            ("a=1&b=2", "&a=1&&b=2&", true),
            ("metadata[order]=8812", "metadata%5Border%5D=8812", true),
            ("name=J%c3%b6rg+A", "name=J%C3%B6rg%20A", true),
            ("expand[]=a&expand[]=b", "expand[]=b&expand[]=a", true),
            ("description", "description=", true),
            ("a=100%", "a=100%25", true),
            ("a=%4", "a=%254", true),
            ("", "&", true),
            ("a=1", "a=2", false),
            ("a=1", "a=1&a=1", false),
            ("a=1", "a=1&b=", false),
            ("a=1&b=2", "a=2&b=1", false),
            ("a=1%26b=2", "a=1&b=2", false),
            ("a=b=c", "a%3Db=c", false),
            ("a=+", "a=%2B", false),
            ("ab=c", "a=bc", false),
            ("a=1", "A=1", false),
            ("a=", "", false),
        ] {
            assert_eq!(same(Format::Form, one, other), expected, "{one:?} {other:?}");
        }
    }

    /// S-28
    #[test]
    fn json_that_says_the_same_is_the_same() {
        for (one, other, expected) in [
            (r#"{"a":1,"b":[1,2]}"#, "{ \"b\": [1, 2],\n\"a\": 1 }", true),
            (r#"{"a":{"x":1,"y":2}}"#, r#"{"a":{"y":2,"x":1}}"#, true),
            (r#""\u00e4""#, "\"ä\"", true),
            ("100", "1e2", true),
            ("100.0", "100", true),
            ("-0.0", "0", true),
            ("18446744073709551615", "18446744073709551615", true),
            ("18446744073709551615", "18446744073709551614", false),
            ("-9223372036854775808", "-9223372036854775807", false),
            ("1.5", "1.25", false),
            ("[1,2]", "[2,1]", false),
            ("[[1],2]", "[1,[2]]", false),
            ("null", "false", false),
            ("true", "false", false),
            ("1", "\"1\"", false),
            (r#"{"a":null}"#, "{}", false),
            ("[]", "{}", false),
            // Not JSON: as it stands.
            ("{a:1}", "{a:1}", true),
            ("{a:1}", "{a: 1}", false),
        ] {
            assert_eq!(same(Format::Json, one, other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn uploads_are_the_same_whatever_separates_their_parts() {
        let upload = |boundary: &str, file: &str| {
            let body = format!("--{boundary}\r\nname=\"file\"\r\n\r\n{file}\r\n--{boundary}--\r\n");
            digest(Format::Multipart { boundary }, body)
        };
        assert_eq!(upload("x1", "jpeg"), upload("boundary-2", "jpeg"));
        assert_ne!(upload("x1", "jpeg"), upload("x1", "png"));
        assert_ne!(digest(Format::Bytes, "x"), digest(Format::Form, "x"));
    }

    #[test]
    fn the_format_is_what_the_media_type_says() {
        let default = Format::Form;
        for (content_type, expected) in [
            (None, Format::Form),
            (Some("application/x-www-form-urlencoded"), Format::Form),
            (Some("Application/X-WWW-Form-Urlencoded; charset=utf-8"), Format::Form),
            (Some("application/json; charset=utf-8"), Format::Json),
            (Some("multipart/form-data; boundary=abc"), Format::Multipart { boundary: "abc" }),
            (Some("multipart/form-data; charset=x; Boundary=\"a b\""), Format::Multipart { boundary: "a b" }),
            (Some("multipart/form-data"), Format::Bytes),
            (Some("multipart/form-data; boundary="), Format::Bytes),
            (Some("text/plain"), Format::Bytes),
            (Some(""), Format::Bytes),
        ] {
            assert_eq!(Format::of(content_type, default), expected, "{content_type:?}");
        }
    }

    #[test]
    fn json_too_deep_to_be_read_is_compared_as_it_stands() {
        let deep = "[".repeat(100_000);
        assert!(same(Format::Json, &deep, &deep));
    }

    proptest! {
        /// S-28: against the obvious model, two sorted lists of decoded pairs.
        #[test]
        fn two_forms_are_the_same_if_they_have_the_same_pairs(
            pairs in prop::collection::vec(("[a-c]{1,2}", "[ -~]{0,3}"), 0..5),
            others in prop::collection::vec(("[a-c]{1,2}", "[ -~]{0,3}"), 0..5),
            shuffle in any::<prop::sample::Index>(),
        ) {
            let encode = |pairs: &[(String, String)]| {
                let all = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
                pairs.iter().map(|(name, value)| format!("{name}={}", all(value))).collect::<Vec<_>>().join("&")
            };
            let mut rotated = pairs.clone();
            if !pairs.is_empty() {
                rotated.rotate_left(shuffle.index(pairs.len()));
            }
            prop_assert!(same(Format::Form, &encode(&pairs), &encode(&rotated)));
            let sorted = |mut pairs: Vec<(String, String)>| { pairs.sort(); pairs };
            let equal = sorted(pairs.clone()) == sorted(others.clone());
            prop_assert_eq!(same(Format::Form, &encode(&pairs), &encode(&others)), equal);
        }

        #[test]
        fn nothing_that_is_sent_panics(body in prop::collection::vec(any::<u8>(), 0..60)) {
            for format in [Format::Form, Format::Json, Format::Multipart { boundary: "-" }, Format::Bytes] {
                prop_assert_eq!(digest(format, &body), digest(format, &body));
            }
        }

        #[test]
        fn json_is_the_same_however_it_is_written(a in any::<i64>(), b in ".{0,8}", c in any::<f64>()) {
            let value = json!({"a": a, "b": {"x": &b, "y": [c, null]}});
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert!(same(Format::Json, &value.to_string(), &pretty));
            let other = json!({"a": a.wrapping_add(1), "b": {"x": &b, "y": [c, null]}});
            prop_assert!(!same(Format::Json, &value.to_string(), &other.to_string()));
        }
    }
}
