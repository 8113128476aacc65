//! What all benchmarks share: a client that costs nothing, and a payment.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{Empty, Full};
use tower::Service;
use tower_stripe::governor::{Bucket, GovernorBuilder, GovernorConfig, Limit};

/// A client that has the answer already.
#[derive(Clone, Copy)]
pub(crate) struct Null;

impl<B> Service<Request<B>> for Null {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Empty::new());
        response.headers_mut().insert("request-id", HeaderValue::from_static("req_4f6DzA"));
        ready(Ok(response))
    }
}

/// A payment, with headers as an SDK writes them: made at run time.
pub(crate) fn payment() -> Request<Full<Bytes>> {
    Request::post("https://api.stripe.com/v1/payment_intents")
        .header("authorization", format!("Bearer {}", "sk_test_123"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("stripe-version", "2026-07-29.dahlia")
        .header("user-agent", "Stripe/v1 RustBindings/1.0")
        .body(Full::from("amount=1099&currency=eur"))
        .expect("a valid request")
}

/// Counts everything, and lets everything pass: waits would be measured otherwise.
pub(crate) fn unlimited() -> GovernorBuilder {
    GovernorConfig::builder()
        .limit(Bucket::Global, Limit::UNLIMITED)
        .limit(Bucket::EachOperation, Limit::UNLIMITED)
}
