//! What kind of call this is, as far as repeating it is concerned.

use http::{HeaderMap, Method, Request};

use super::{InvalidKey, headers::IDEMPOTENCY_KEY, operation::ApiVersion};

/// The method, as far as Stripe's rules distinguish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// GET and HEAD: moves nothing.
    Get,
    /// POST.
    Post,
    /// DELETE.
    Delete,
    /// Anything else. Stripe has none; treated as the most dangerous.
    Other,
}

/// Method, API version, and whether Stripe will recognise a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallKind {
    /// The method.
    pub verb: Verb,
    /// The API version, which decides what a key means.
    pub api: ApiVersion,
    /// Whether the request carries a key that Stripe heeds: on a POST or a v2 DELETE.
    pub keyed: bool,
}

impl CallKind {
    /// Of a call of which nothing is known yet.
    pub(super) const UNKNOWN: Self = Self { verb: Verb::Other, api: ApiVersion::Other, keyed: false };

    /// The kind of `request`: by its method, path and headers alone. What the caller calls it decides labels and limits,
    /// never whether it may be sent twice.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Self {
        let verb = match *request.method() {
            Method::GET | Method::HEAD => Verb::Get,
            Method::POST => Verb::Post,
            Method::DELETE => Verb::Delete,
            _ => Verb::Other,
        };
        let path = request.uri().path();
        let mut kind = Self { verb, api: version_of(path), keyed: false };
        kind.keyed = kind.heeds_key(path) && has_key(request.headers());
        kind
    }

    /// Whether Stripe heeds an idempotency key on a call of this kind to `path`: on every POST but those below
    /// `/oauth/`, and on a v2 DELETE. (Source: Stripe's API reference, "Idempotent requests"; its API v2 overview.)
    #[must_use]
    pub fn heeds_key(self, path: &str) -> bool {
        match self.verb {
            Verb::Post => !(self.api == ApiVersion::Other && path.starts_with("/oauth/")),
            Verb::Delete => self.api == ApiVersion::V2,
            Verb::Get | Verb::Other => false,
        }
    }

    /// Whether it changes nothing that must be reconciled: a GET, and a v1 DELETE, which may be repeated without a key.
    #[must_use]
    pub const fn harmless(self) -> bool {
        self.repeatable() && !self.keyed
    }

    /// Whether sending it twice is the same as sending it once: a GET, a v1 DELETE, or anything with a key.
    #[must_use]
    pub const fn repeatable(self) -> bool {
        self.keyed
            || match self.verb {
                Verb::Get => true,
                Verb::Delete => matches!(self.api, ApiVersion::V1),
                Verb::Post | Verb::Other => false,
            }
    }
}

/// Whether there is one key that Stripe can heed: whatever else stands there protects nothing.
fn has_key(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    lines
        .next()
        .is_some_and(|first| InvalidKey::check(first.as_bytes()).is_ok() && lines.all(|line| line == first))
}

fn version_of(path: &str) -> ApiVersion {
    match path.split('/').nth(1) {
        Some("v1") => ApiVersion::V1,
        Some("v2") => ApiVersion::V2,
        _ => ApiVersion::Other,
    }
}
