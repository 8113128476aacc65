//! What of a message is for the next hop, and what is for the one after it. Pure: headers in, headers out.

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        AUTHORIZATION, CONNECTION, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
};
use tower_stripe::vocab::headers::{IDEMPOTENCY_KEY, STRIPE_SHOULD_RETRY};

/// What belongs to one connection, besides what `Connection` names. (Source: RFC 9110, section 7.6.1; `Trailer` since
/// trailers are not handed on.)
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A header that `Connection` names although it is for Stripe. To drop it, as the rule is, would change the call: without
/// its key it would be another order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotForThisHop(pub(crate) &'static str);

/// Leaves of a request's headers what is for Stripe.
///
/// # Errors
/// If `Connection` names a header without which the call would be another one.
pub(crate) fn request(headers: &mut HeaderMap) -> Result<(), NotForThisHop> {
    for name in named(headers) {
        if name == IDEMPOTENCY_KEY {
            return Err(NotForThisHop("idempotency-key"));
        }
        if name == AUTHORIZATION {
            return Err(NotForThisHop("authorization"));
        }
    }
    strip(headers);
    // The client below writes the host that it connects to.
    headers.remove(HOST);
    // Fulfilled by this hop: the body is asked for before anything is sent.
    headers.remove(EXPECT);
    Ok(())
}

/// Leaves of a response's headers what is for the client.
pub(crate) fn response(headers: &mut HeaderMap) {
    strip(headers);
}

/// Tells an SDK above to leave it at that, where it would try again: the stack has decided already. (Source: the rules of
/// Stripe's libraries, which repeat a 409, a 429, a 5xx and whatever says `Stripe-Should-Retry: true`.)
pub(crate) fn is_final(status: StatusCode, headers: &mut HeaderMap) {
    let repeated = matches!(status, StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS)
        || status.is_server_error()
        || (!status.is_success() && headers.contains_key(STRIPE_SHOULD_RETRY));
    if repeated {
        headers.insert(STRIPE_SHOULD_RETRY, HeaderValue::from_static("false"));
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in named(headers).iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The headers that `Connection` names.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut headers = HeaderMap::new();
        lines.iter().map(line).for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    fn names(headers: &HeaderMap) -> BTreeSet<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn what_belongs_to_a_connection_stays_on_it() {
        let mut sent = headers(&[
            ("host", "127.0.0.1:12111"),
            ("connection", "keep-alive, X-Mine"),
            ("connection", "other"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("trailer", "x-checksum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("x-mine", "1"),
            ("other", "2"),
            ("authorization", "Bearer sk_test_123"),
            ("accept-encoding", "gzip"),
            ("content-length", "5"),
        ]);
        assert_eq!(request(&mut sent), Ok(()));
        assert_eq!(names(&sent), BTreeSet::from(["accept-encoding", "authorization", "content-length"]));
    }

    #[test]
    fn lines_of_the_same_name_stay_and_keep_their_order() {
        let mut answered = headers(&[("set-cookie", "a"), ("connection", "close"), ("set-cookie", "b")]);
        response(&mut answered);
        assert_eq!(answered.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(answered.len(), 2);
    }

    #[test]
    fn a_key_is_never_dropped_because_connection_names_it() {
        for name in ["idempotency-key", "authorization"] {
            let mut sent = headers(&[("connection", "close, Idempotency-Key")]);
            if name == "authorization" {
                sent = headers(&[("connection", "AUTHORIZATION")]);
            }
            assert_eq!(request(&mut sent), Err(NotForThisHop(name)));
        }
        assert_eq!(request(&mut headers(&[("connection", ", ,\t")])), Ok(()));
    }

    #[test]
    fn only_what_an_sdk_would_repeat_is_marked_as_final() {
        let marked = |status: u16, lines: &[(&'static str, &'static str)]| {
            let mut headers = headers(lines);
            is_final(StatusCode::from_u16(status).unwrap(), &mut headers);
            headers.get(STRIPE_SHOULD_RETRY).map(|value| value.to_str().unwrap().to_owned())
        };
        for status in [409, 429, 500, 502, 503] {
            assert_eq!(marked(status, &[]).as_deref(), Some("false"), "{status}");
            assert_eq!(
                marked(status, &[("stripe-should-retry", "true")]).as_deref(),
                Some("false"),
                "{status}"
            );
        }
        for status in [200, 301, 400, 402, 404] {
            assert_eq!(marked(status, &[]), None, "{status}");
        }
        assert_eq!(marked(400, &[("stripe-should-retry", "true")]).as_deref(), Some("false"));
        assert_eq!(marked(200, &[("stripe-should-retry", "true")]).as_deref(), Some("true"));
    }
}
