//! What the simulator reads of a request.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
    request::Parts,
};
use serde_json::{Map, Value};

use crate::{
    answer::{IDEMPOTENCY_KEY, STRIPE_VERSION},
    form::Form,
    multipart,
};

/// The header that names the order of a request that has no form to say it in.
pub(crate) const ORDER_HEADER: HeaderName = HeaderName::from_static("x-sim-order");
const ORDER_FIELD: &str = "metadata[order]";

/// Which part of the API a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    V1,
    V2,
}

/// The head of a request: all that is known before its body is read.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) api: Api,
    pub(crate) query: Form,
    pub(crate) key: Option<String>,
    /// The API key. It is compared, and never shown.
    pub(crate) credential: Option<String>,
    pub(crate) authorization: bool,
    pub(crate) connected: Option<String>,
    pub(crate) version: Option<String>,
    order: Option<String>,
    json: bool,
    /// What stands between the parts of an upload.
    boundary: Option<String>,
}

impl Head {
    pub(crate) fn read(parts: &Parts) -> Self {
        let query = Form::read(parts.uri.query().unwrap_or_default().as_bytes());
        let order = text(&parts.headers, &ORDER_HEADER).or_else(|| query.get(ORDER_FIELD).map(str::to_owned));
        Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            api: if parts.uri.path().starts_with("/v2/") { Api::V2 } else { Api::V1 },
            key: text(&parts.headers, &IDEMPOTENCY_KEY),
            credential: credential(&parts.headers),
            authorization: parts.headers.contains_key(AUTHORIZATION),
            connected: text(&parts.headers, &HeaderName::from_static("stripe-account")),
            version: text(&parts.headers, &STRIPE_VERSION),
            json: text(&parts.headers, &CONTENT_TYPE)
                .is_some_and(|kind| kind.starts_with("application/json")),
            boundary: parts.headers.get(CONTENT_TYPE).and_then(multipart::boundary),
            query,
            order,
        }
    }

    /// The order, if it is certain without the body.
    pub(crate) fn order(&self, has_body: bool) -> Option<String> {
        let needs_body = has_body && self.method == Method::POST && (self.api == Api::V2 || !self.json);
        self.order.clone().or_else(|| (!needs_body).then(|| self.fallback_order()))
    }

    /// A request that belongs to no order is an order of its own, by key or by what it asks for.
    fn fallback_order(&self) -> String {
        self.key.clone().unwrap_or_else(|| format!("{} {}", self.method, self.path))
    }

    /// Whether keys mean anything here: not on GET, nor on DELETE in v1.
    pub(crate) fn takes_keys(&self) -> bool {
        self.method == Method::POST || (self.api == Api::V2 && self.method == Method::DELETE)
    }

    /// The API key's prefix says which mode it is of.
    pub(crate) fn live(&self) -> bool {
        self.credential.as_deref().is_some_and(is_live)
    }
}

/// A request that was read to its end.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) head: Head,
    pub(crate) order: String,
    pub(crate) form: Form,
    /// The parameters of a v2 request; absent if its body is no JSON object.
    pub(crate) json: Option<Map<String, Value>>,
    pub(crate) unreadable: bool,
}

impl Received {
    pub(crate) fn new(head: Head, body: &Bytes) -> Self {
        let unreadable = head.api == Api::V1 && head.json && head.method == Method::POST && !body.is_empty();
        let form = match &head.boundary {
            _ if unreadable || head.api == Api::V2 => Form::default(),
            Some(boundary) => Form::of(multipart::fields(body, boundary)),
            None => Form::read(body),
        };
        let json = match head.api {
            Api::V1 => None,
            // Actions that take no parameters are sent with no body.
            Api::V2 if body.is_empty() => Some(Map::new()),
            Api::V2 => serde_json::from_slice(body).ok(),
        };
        let in_json = || json.as_ref()?.get("metadata")?.get("order")?.as_str().map(str::to_owned);
        let in_body = || form.get(ORDER_FIELD).map(str::to_owned).or_else(in_json);
        let order = head.order.clone().or_else(in_body).unwrap_or_else(|| head.fallback_order());
        Self { head, order, form, json, unreadable }
    }

    /// Everything that the key store compares.
    pub(crate) fn fingerprint(&self) -> String {
        let Head { method, path, query, .. } = &self.head;
        let mut json = String::new();
        if let Some(fields) = &self.json {
            write_object(fields, &mut json);
        }
        format!("{method} {path} {} {} {json}", query.canonical(), self.form.canonical())
    }
}

/// Writes a value so that two that say the same are the same text, whichever order their members came in.
fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => write_object(fields, text),
        Value::Array(values) => {
            text.push('[');
            for value in values {
                write_value(value, text);
                text.push(',');
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

fn write_object(fields: &Map<String, Value>, text: &mut String) {
    text.push('{');
    for (name, value) in fields.iter().collect::<BTreeMap<_, _>>() {
        text.push_str(&Value::from(name.as_str()).to_string());
        text.push(':');
        write_value(value, text);
        text.push(',');
    }
    text.push('}');
}

/// Whether a request with this method changes nothing.
pub(crate) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Whether an API key is one of live mode.
pub(crate) fn is_live(credential: &str) -> bool {
    credential.starts_with("sk_live_") || credential.starts_with("rk_live_")
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The API key of a bearer token, or of Basic authentication with an empty password.
fn credential(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
    Some(decoded.split(':').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(request: http::request::Builder) -> Head {
        let (parts, ()) = request.body(()).expect("the request is well formed").into_parts();
        Head::read(&parts)
    }

    #[test]
    fn the_key_is_read_from_bearer_and_basic() {
        let bearer = head(Request::post("/").header("authorization", "Bearer sk_test_1"));
        assert_eq!(bearer.credential.as_deref(), Some("sk_test_1"));
        let basic = head(Request::post("/").header("authorization", "Basic c2tfbGl2ZV8xOg=="));
        assert_eq!(basic.credential.as_deref(), Some("sk_live_1"));
        assert!(basic.live() && !bearer.live());
        for odd in ["Digest x", "Bearer", "Basic !!"] {
            let head = head(Request::post("/").header("authorization", odd));
            assert_eq!((head.credential.as_deref(), head.authorization), (None, true));
        }
    }

    #[test]
    fn json_that_says_the_same_has_one_fingerprint() {
        let fingerprint = |body: &'static str| {
            Received::new(head(Request::post("/v2/core/accounts")), &Bytes::from(body)).fingerprint()
        };
        let one = fingerprint(r#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#);
        assert_eq!(one, fingerprint(r#"{ "b": {"d":"x", "c":[1, 2]}, "a": 1 }"#));
        assert_ne!(one, fingerprint(r#"{"a":1,"b":{"c":[2,1],"d":"x"}}"#));
        assert_ne!(one, fingerprint(r#"{"a":"1","b":{"c":[1,2],"d":"x"}}"#));
    }

    #[test]
    fn the_order_of_a_v2_request_stands_in_its_json() {
        let post = || head(Request::post("/v2/core/accounts").header("content-type", "application/json"));
        let body = Bytes::from(r#"{"metadata":{"order":"8812"}}"#);
        assert_eq!(post().order(true), None);
        assert_eq!(Received::new(post(), &body).order, "8812");
        assert!(Received::new(post(), &Bytes::from("[1]")).json.is_none());
    }

    #[test]
    fn the_order_comes_from_header_query_form_key_and_path_in_that_order() {
        let body = Bytes::from("metadata[order]=form");
        let post = || Request::post("/v1/customers?metadata[order]=query").header("idempotency-key", "key");
        let full = head(post().header("x-sim-order", "header"));
        assert_eq!(full.order(true).as_deref(), Some("header"));
        assert_eq!(Received::new(full, &body).order, "header");
        assert_eq!(head(post()).order(true).as_deref(), Some("query"));
        let keyed = head(Request::post("/v1/customers").header("idempotency-key", "key"));
        assert_eq!(keyed.order(true), None);
        assert_eq!(Received::new(keyed.clone(), &body).order, "form");
        assert_eq!(Received::new(keyed, &Bytes::new()).order, "key");
        let bare = head(Request::get("/v1/customers"));
        assert_eq!(bare.order(true).as_deref(), Some("GET /v1/customers"));
    }
}
