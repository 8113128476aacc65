//! What is kept of a request: two digests, from which neither key nor credential nor parameters can be told.

use http::{HeaderMap, Request, header};
use sha2::{Digest, Sha256};

use super::{
    canonical::{self, Format},
    engine::{Fingerprint, Id},
};
use crate::vocab::{ApiVersion, IdempotencyKey};

/// Makes the digests of one process comparable with each other and with nothing else.
pub(super) struct Salt([u8; 32]);

impl Salt {
    pub(super) fn new() -> Self {
        let mut salt = [0; 32];
        if getrandom::fill(&mut salt).is_err() {
            // Nothing leaves the process: digests without chance still tell requests apart.
            salt = [0; 32];
        }
        Self(salt)
    }

    fn begin(&self, what: &[u8]) -> Sha256 {
        let mut hash = Sha256::new();
        hash.update(self.0);
        canonical::add_text(&mut hash, what);
        hash
    }

    /// The key, for one account and mode: those of the credential, and of the headers that name a connected account.
    pub(super) fn id(&self, headers: &HeaderMap, key: &IdempotencyKey) -> Id {
        let mut hash = self.begin(b"key");
        canonical::add_text(&mut hash, key.as_str().as_bytes());
        for name in [header::AUTHORIZATION.as_str(), "stripe-account", "stripe-context"] {
            let lines = headers.get_all(name);
            hash.update((lines.iter().count() as u64).to_be_bytes());
            for line in lines {
                canonical::add_text(&mut hash, line.as_bytes());
            }
        }
        hash.finalize().into()
    }

    /// What the request says: method, path and query, and body.
    pub(super) fn fingerprint<B>(&self, request: &Request<B>, api: ApiVersion, body: &[u8]) -> Fingerprint {
        let mut hash = self.begin(b"request");
        canonical::add_text(&mut hash, request.method().as_str().as_bytes());
        canonical::add_text(&mut hash, request.uri().path().as_bytes());
        canonical::add_form(&mut hash, request.uri().query().unwrap_or_default().as_bytes());
        canonical::add_text(&mut hash, b"");
        canonical::add(&mut hash, format(request.headers(), api), body);
        hash.finalize().into()
    }
}

fn format(headers: &HeaderMap, api: ApiVersion) -> Format<'_> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Format::Bytes;
    }
    let default = match api {
        ApiVersion::V1 => Format::Form,
        ApiVersion::V2 => Format::Json,
        _ => Format::Bytes,
    };
    match headers.get(header::CONTENT_TYPE) {
        None => Format::of(None, default),
        Some(value) => value.to_str().map_or(Format::Bytes, |value| Format::of(Some(value), default)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    /// S-29 and S-103
    #[test]
    fn a_key_is_one_for_each_account_and_mode() {
        let salt = Salt::new();
        let [k, l] = ["k", "l"].map(|key| IdempotencyKey::new(key).unwrap());
        let live = ("authorization", "Bearer sk_live_1");
        let id = |key, headers: &[(&str, &str)]| salt.id(request("POST", "/", headers).headers(), key);
        let mut ids = vec![
            id(&k, &[live]),
            id(&l, &[live]),
            id(&k, &[("authorization", "Bearer sk_test_1")]),
            id(&k, &[]),
            id(&k, &[live, ("stripe-account", "acct_1")]),
            id(&k, &[live, ("stripe-account", "acct_2")]),
            id(&k, &[live, ("stripe-context", "acct_1")]),
        ];
        assert_eq!(ids[0], id(&k, &[live, ("content-type", "text/plain")]));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 7);
        assert_ne!(ids[0], Salt::new().id(request("POST", "/", &[live]).headers(), &k));
    }

    /// S-27, S-28 and S-29
    #[test]
    fn a_request_is_known_by_method_path_and_what_its_body_says() {
        let salt = Salt::new();
        let print = |method, uri, api, headers: &[_], body: &str| {
            salt.fingerprint(&request(method, uri, headers), api, body.as_bytes())
        };
        let (v1, v2) = (ApiVersion::V1, ApiVersion::V2);
        let form = &[("content-type", "application/x-www-form-urlencoded")][..];
        let first = print("POST", "/v1/refunds", v1, form, "a=1&b=2");
        for (same, what) in [
            (print("POST", "/v1/refunds", v1, form, "b=2&a=1"), "another order"),
            (print("POST", "/v1/refunds", v1, &[], "b=2&a=1"), "v1 takes forms"),
            (print("POST", "https://api.stripe.com/v1/refunds?", v1, form, "a=1&b=2"), "host, empty query"),
            (print("POST", "/v1/refunds", v1, &[form[0], ("x-a", "1")], "a=1&b=2"), "another header"),
        ] {
            assert_eq!(same, first, "{what}");
        }
        for (other, what) in [
            (print("DELETE", "/v1/refunds", v1, form, "a=1&b=2"), "method"),
            (print("POST", "/v1/charges", v1, form, "a=1&b=2"), "path"),
            (print("POST", "/v1/refunds?b=2", v1, form, "a=1"), "query"),
            (print("POST", "/v1/refunds", v1, form, "a=1&b=3"), "parameter"),
            (print("POST", "/v1/refunds", v1, &[("content-type", "text/plain")], "a=1&b=2"), "format"),
            (
                print("POST", "/v1/refunds", v1, &[form[0], ("content-encoding", "gzip")], "a=1&b=2"),
                "encoding",
            ),
        ] {
            assert_ne!(other, first, "{what}");
        }
        let json = |body| print("POST", "/v2/x", v2, &[], body);
        assert_eq!(json(r#"{"a":1,"b":2}"#), json(r#"{"b":2,"a":1}"#), "v2 takes JSON");
        let other = |body| print("POST", "/novelties", ApiVersion::Other, &[], body);
        assert_ne!(other("a=1&b=2"), other("b=2&a=1"), "of what is not known nothing is presumed");
        assert_ne!(
            print("POST", "/v1/x?a=1", v1, form, ""),
            print("POST", "/v1/x", v1, form, "a=1"),
            "query and body do not run together"
        );
    }
}
