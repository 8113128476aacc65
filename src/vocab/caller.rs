//! Who calls: which credential, and in which mode.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::OnceLock,
};

use http::{HeaderMap, header::AUTHORIZATION};

/// The API key of a request, as far as it must be told from others: a hash under a key that this process has drawn. The
/// API key itself is neither kept nor shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Credential(u64);

impl Credential {
    /// That of a request with these headers. Requests without any share one.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        let value = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        Self(KEY.get_or_init(RandomState::new).hash_one(value))
    }
}

/// Shows nothing.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

/// Whether it is about real money. Stripe limits both apart, and sheds the sandbox first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Real money.
    Live,
    /// Test mode, or a sandbox.
    Sandbox,
}

impl Mode {
    /// The mode of a request with these headers, by the prefix of its API key: `sk_test_…` and its like are of the
    /// sandbox; whatever does not say so is live.
    ///
    /// (Source: Stripe's guide to API keys. It takes them as a bearer token, or as the user name of basic
    /// authentication.)
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(AUTHORIZATION) else { return Self::Live };
        let value = value.as_bytes();
        match value.split_first_chunk::<6>() {
            Some((scheme, encoded)) if scheme.eq_ignore_ascii_case(b"basic ") => {
                Self::of_key(&decoded_prefix(encoded.trim_ascii()))
            }
            _ => match value.split_first_chunk::<7>() {
                Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
                    Self::of_key(key.trim_ascii())
                }
                _ => Self::Live,
            },
        }
    }

    /// The mode of an API key.
    pub(crate) fn of_key(key: &[u8]) -> Self {
        let prefix = &key[..key.len().min(PREFIX)];
        let test = prefix.windows(6).any(|window| window == b"_test_");
        if test { Self::Sandbox } else { Self::Live }
    }

    /// The word for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Sandbox => "sandbox",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where the mode ends in a prefix: `sk_test_`, `rk_test_`, `sk_org_test_`.
const PREFIX: usize = 12;

/// The first bytes of what is encoded in base64; what is not base64 yields nothing that says anything.
fn decoded_prefix(encoded: &[u8]) -> [u8; PREFIX] {
    let mut decoded = [0; PREFIX];
    for (quad, out) in encoded.chunks_exact(4).zip(decoded.chunks_exact_mut(3)) {
        let bits = quad.iter().fold(0_u32, |bits, byte| bits << 6 | u32::from(sextet(*byte)));
        out.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    decoded
}

const fn sextet(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_mode_is_that_of_the_prefix() {
        for (value, expected) in [
            ("Bearer sk_test_4eC39", Mode::Sandbox),
            ("bearer  rk_test_4eC39", Mode::Sandbox),
            ("Bearer sk_org_test_4eC39", Mode::Sandbox),
            ("Bearer sk_live_4eC39", Mode::Live),
            ("Bearer sk_live_a_test_b", Mode::Live),
            ("Bearer session_token", Mode::Live),
            ("Basic c2tfdGVzdF80ZUMzOTo=", Mode::Sandbox), // sk_test_4eC39:
            ("Basic cmtfdGVzdF80ZUMzOTo=", Mode::Sandbox), // rk_test_4eC39:
            ("Basic c2tfbGl2ZV80ZUMzOTo=", Mode::Live),    // sk_live_4eC39:
            ("Basic !", Mode::Live),
            ("Bearer", Mode::Live),
            ("", Mode::Live),
        ] {
            assert_eq!(Mode::of(&headers(value)), expected, "{value}");
        }
        assert_eq!(Mode::of(&HeaderMap::new()), Mode::Live);
    }

    #[test]
    fn a_credential_tells_keys_apart_and_shows_nothing() {
        let of = |value| Credential::of(&headers(value));
        assert_eq!(of("Bearer sk_test_a"), of("Bearer sk_test_a"));
        assert_ne!(of("Bearer sk_test_a"), of("Bearer sk_test_b"));
        assert_ne!(of("Bearer sk_test_a"), Credential::of(&HeaderMap::new()));
        assert_eq!(format!("{:?}", of("Bearer sk_test_a")), "Credential");
    }
}
