//! No secret can be printed: not by what a caller holds, and not by what a client logs.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower_stripe::{BoxError, StripeTransport};

use crate::support::{API_KEY, bytes, get, keyed, payment, sim, transport};

/// Stripe echoes the key in its answers.
#[tokio::test(start_paused = true)]
async fn a_responses_debug_shows_no_key() {
    let sim = sim();
    let response = transport(&sim).send(keyed(payment("o"), "my-own-key-8812")).await.expect("paid");
    let text = format!("{response:?}");
    assert!(!text.contains("my-own-key-8812"), "{text}");
}

/// Before it is polled it holds the request.
#[tokio::test(start_paused = true)]
async fn the_future_of_send_shows_no_api_key_and_no_body() {
    let sim = sim();
    let text = format!("{:?}", transport(&sim).send(keyed(payment("o"), "my-own-key-8812")));
    assert!(!text.contains(API_KEY), "{text}");
    assert!(!text.contains("amount=1099"), "{text}");
}

/// It passes through unchanged, but a client may print its headers.
#[tokio::test(start_paused = true)]
async fn a_callers_key_on_a_get_is_sensitive() {
    let client = tower::service_fn(|request: Request<Full<Bytes>>| async move {
        let text = format!("{:?}", request.headers());
        Response::builder()
            .header("request-id", "req_1")
            .body(Full::<Bytes>::from(text))
            .map_err(BoxError::from)
    });
    let mut request = get("/v1/customers", "o");
    for key in ["my-own-key-8812", "my-own-key-8812-again"] {
        request.headers_mut().append("idempotency-key", key.parse().expect("a header"));
    }
    let response = StripeTransport::new(client).send(request).await.expect("answered");
    let text = bytes(response).await;
    let text = std::str::from_utf8(&text).expect("text");
    assert!(!text.contains(API_KEY) && !text.contains("my-own-key-8812"), "{text}");
}
