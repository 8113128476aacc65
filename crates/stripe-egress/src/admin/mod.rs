//! The admin pages: for probes, for scrapers, and for eyes.

mod page;
mod status;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::Full;

use self::status::Status;
use crate::shared::Shared;

const TEXT: &str = "text/plain; charset=utf-8";
/// The format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers one request for an admin page. Nothing here changes anything, and nothing shows a secret.
pub(crate) fn answer<B>(shared: &Shared, request: &Request<B>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        // That it answers at all is what it says.
        "/healthz" => page(StatusCode::OK, TEXT, "ok\n"),
        // An open circuit is no reason not to be ready: a refusal that says why is an answer, too.
        "/readyz" if shared.drains() => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n"),
        "/readyz" => page(StatusCode::OK, TEXT, "ready\n"),
        "/metrics" => match &shared.metrics {
            Some(render) => page(StatusCode::OK, METRICS, render()),
            None => page(StatusCode::NOT_FOUND, TEXT, "there are no metrics\n"),
        },
        "/status" => page(StatusCode::OK, "application/json", Status::of(shared).json().to_string()),
        "/" => page(StatusCode::OK, "text/html; charset=utf-8", page::render(&Status::of(shared))),
        _ => page(StatusCode::NOT_FOUND, TEXT, "there are /, /healthz, /readyz, /metrics and /status\n"),
    }
}

fn page(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
