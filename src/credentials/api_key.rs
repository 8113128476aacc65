//! The API key itself.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::vocab::Mode;

/// No API key of Stripe's is nearly as long.
const MAX_LENGTH: usize = 255;

const SCHEME: &str = "Bearer ";

/// A secret or restricted API key of Stripe's.
///
/// It is shown nowhere, and wiped from memory when the last that uses it is gone: clones, and the requests that carry it,
/// share one buffer. What a client and TLS make of a request is out of reach.
///
/// ```
/// use tower_stripe::{credentials::{ApiKey, InvalidApiKey}, vocab::Mode};
///
/// let key = ApiKey::new("sk_test_4eC39HqLyjWDarjtT1zdp7dc")?;
/// assert_eq!(key.mode(), Mode::Sandbox);
/// assert_eq!(format!("{key:?}"), "ApiKey(sandbox)");
/// assert_eq!(ApiKey::new("pk_live_123").unwrap_err(), InvalidApiKey::Publishable);
/// # Ok::<(), InvalidApiKey>(())
/// ```
#[derive(Clone)]
pub struct ApiKey {
    /// As it is sent. One buffer, from which clones are made without a copy.
    authorization: HeaderValue,
    mode: Mode,
    account: Option<Arc<str>>,
}

impl ApiKey {
    /// Takes a secret; one that is given as a `String` is wiped.
    ///
    /// # Errors
    /// [`InvalidApiKey`], which names the rule and never the value.
    pub fn new(secret: impl Into<String>) -> Result<Self, InvalidApiKey> {
        let secret = Zeroizing::new(secret.into());
        InvalidApiKey::check(&secret)?;
        let mut header = Vec::with_capacity(SCHEME.len() + secret.len());
        header.extend_from_slice(SCHEME.as_bytes());
        header.extend_from_slice(secret.as_bytes());
        // Wiped when the last of the values that share it goes.
        let header = Bytes::from_owner(Zeroizing::new(header));
        let mut authorization =
            HeaderValue::from_maybe_shared(header).map_err(|_| InvalidApiKey::Character)?;
        authorization.set_sensitive(true);
        Ok(Self { authorization, mode: Mode::of_key(secret.as_bytes()), account: None })
    }

    /// Declares which account it is of, by that one's id (`acct_…`). A key that replaces it must declare the same.
    #[must_use]
    pub fn of_account(mut self, account: &str) -> Self {
        self.account = Some(account.into());
        self
    }

    /// Whether it is about real money, by its prefix.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The account that it was declared to be of.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// The value of an `Authorization` header, marked as sensitive.
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }

    /// Whether it is the key that a request carried.
    pub(super) fn is(&self, authorization: &HeaderValue) -> bool {
        self.authorization == authorization
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.is(&other.authorization)
    }
}

/// Shows the mode, and nothing else.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.mode)
    }
}

/// Why something is no API key that calls can be made under. It names the rule, never the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidApiKey {
    /// There is nothing in it.
    Empty,
    /// It is a publishable key (`pk_…`), which is meant for browsers, and can make hardly any call.
    Publishable,
    /// It does not begin as a secret or restricted key does: `sk_live_`, `sk_test_`, `rk_live_`, `rk_test_`, or with
    /// `org_` within.
    Prefix,
    /// It has a character that is neither a letter nor a digit of ASCII, nor `_`.
    Character,
    /// It is longer than 255 characters.
    TooLong {
        /// How long it is.
        length: usize,
    },
}

impl InvalidApiKey {
    // (Source of the prefixes: Stripe's guides to API keys and to organizations.)
    fn check(secret: &str) -> Result<(), Self> {
        if secret.is_empty() {
            return Err(Self::Empty);
        }
        if secret.starts_with("pk_") {
            return Err(Self::Publishable);
        }
        if secret.len() > MAX_LENGTH {
            return Err(Self::TooLong { length: secret.len() });
        }
        if !secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(Self::Character);
        }
        let rest = secret.strip_prefix("sk_").or_else(|| secret.strip_prefix("rk_")).unwrap_or_default();
        let rest = rest.strip_prefix("org_").unwrap_or(rest);
        let rest = rest.strip_prefix("live_").or_else(|| rest.strip_prefix("test_")).unwrap_or_default();
        if rest.is_empty() { Err(Self::Prefix) } else { Ok(()) }
    }
}

impl fmt::Display for InvalidApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the api key is empty"),
            Self::Publishable => {
                f.write_str("the api key is a publishable one (pk_); calls need a secret or a restricted one")
            }
            Self::Prefix => {
                f.write_str("the api key begins with neither sk_live_, sk_test_, rk_live_ nor rk_test_")
            }
            Self::Character => {
                f.write_str("the api key has a character that is neither a letter, nor a digit, nor _")
            }
            Self::TooLong { length } => {
                write!(f, "the api key has {length} characters, more than {MAX_LENGTH}")
            }
        }
    }
}

impl std::error::Error for InvalidApiKey {}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, header::AUTHORIZATION};

    use super::*;

    #[test]
    fn only_a_secret_or_restricted_key_is_taken_and_its_prefix_tells_the_mode() {
        for (secret, mode) in [
            ("sk_live_51Abc", Mode::Live),
            ("rk_live_51Abc", Mode::Live),
            ("sk_org_live_51Abc", Mode::Live),
            ("sk_test_51Abc", Mode::Sandbox),
            ("rk_test_51Abc", Mode::Sandbox),
            ("sk_org_test_51Abc", Mode::Sandbox),
            ("sk_live_a_test_b", Mode::Live),
        ] {
            let key = ApiKey::new(secret).expect(secret);
            assert_eq!(key.mode(), mode, "{secret}");
            let headers = HeaderMap::from_iter([(AUTHORIZATION, key.authorization())]);
            assert_eq!(Mode::of(&headers), mode, "as the rest of the stack sees it: {secret}");
            assert_eq!(headers[AUTHORIZATION], format!("Bearer {secret}"));
        }
    }

    #[test]
    fn what_is_no_such_key_is_refused_by_the_rule_and_not_shown() {
        let long = format!("sk_live_{}", "a".repeat(248));
        for (secret, rule) in [
            ("", InvalidApiKey::Empty),
            ("pk_live_51Abc", InvalidApiKey::Publishable),
            ("pk_test_51Abc", InvalidApiKey::Publishable),
            ("whsec_51Abc", InvalidApiKey::Prefix),
            ("ek_live_51Abc", InvalidApiKey::Prefix),
            ("sk_51Abc", InvalidApiKey::Prefix),
            ("sk_live_", InvalidApiKey::Prefix),
            ("live_51Abc", InvalidApiKey::Prefix),
            ("SK_LIVE_51Abc", InvalidApiKey::Prefix),
            ("sk_live_51Abc\n", InvalidApiKey::Character),
            (" sk_live_51Abc", InvalidApiKey::Character),
            ("sk_live_51Äbc", InvalidApiKey::Character),
            ("sk_live_51A\r\nx-evil: 1", InvalidApiKey::Character),
            (&long, InvalidApiKey::TooLong { length: 256 }),
        ] {
            let error = ApiKey::new(secret).expect_err(secret);
            assert_eq!(error, rule, "{secret:?}");
            assert!(!format!("{error} {error:?}").contains("51A"), "{error}");
        }
        assert!(ApiKey::new(&long[..255]).is_ok());
    }

    #[test]
    fn it_is_one_buffer_that_everybody_shares_and_nothing_shows() {
        let key = ApiKey::new("sk_live_secret").expect("a key").of_account("acct_1");
        let keys = [key.clone(), key];
        let [first, second] = keys.each_ref().map(ApiKey::authorization);
        assert_eq!(first.as_bytes().as_ptr(), second.as_bytes().as_ptr(), "a copy would not be wiped");
        assert!(first.is_sensitive());
        let shown = format!("{keys:?} {first:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert_eq!(keys[0].account(), Some("acct_1"));
    }
}
