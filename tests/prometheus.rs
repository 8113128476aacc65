//! What a scraper gets. A test binary of its own, since it installs the recorder of the process.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower_stripe::{
    BoxError, RetryLimit, StripeTransport,
    telemetry::prometheus::{self, ServeError},
    vocab::metric,
};

async fn ask(method: Method, uri: String) -> Response<Bytes> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::builder().method(method).uri(uri).body(Empty::<Bytes>::new()).expect("a request");
    let (head, body) = client.request(request).await.expect("answered").into_parts();
    Response::from_parts(head, body.collect().await.expect("a body").to_bytes())
}

/// One test, since a process has one recorder.
#[tokio::test]
async fn metrics_are_served_with_the_right_buckets_help_and_types() {
    let serving = prometheus::serve(([127, 0, 0, 1], 0).into()).await.expect("it listens");
    let at = |path: &str| format!("http://{}{path}", serving.local_addr());

    // A second one is told why not, and nothing changes.
    let error = prometheus::serve(([127, 0, 0, 1], 0).into()).await.expect_err("there is a recorder");
    assert!(error.to_string().contains("already"), "{error}");
    let taken = prometheus::serve(serving.local_addr()).await.expect_err("the port is taken");
    assert!(
        matches!(taken, ServeError::Listen { address, .. } if address == serving.local_addr()),
        "{taken:?}"
    );
    assert!(taken.to_string().contains(&serving.local_addr().to_string()), "{taken}");

    let client = tower::service_fn(|_: Request<Full<Bytes>>| async {
        let response = Response::builder().header("request-id", "req_1");
        response.body(Empty::<Bytes>::new()).map_err(BoxError::from)
    });
    let stripe = StripeTransport::new(client);
    for _ in 0..3 {
        let request =
            Request::post("https://api.stripe.com/v1/refunds").header("authorization", "Bearer sk_live_1");
        let request = request.extension(RetryLimit::NONE).body(Full::from("charge=ch_1")).expect("a request");
        stripe.send(request).await.expect("answered");
    }

    let page = ask(Method::GET, at("/metrics")).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()["content-type"], prometheus::Exporter::CONTENT_TYPE);
    let text = String::from_utf8(page.into_body().to_vec()).expect("text");
    for line in [
        "stripe_client_calls_total{transport=\"default\",operation=\"refunds.create\",mode=\"live\",outcome=\"success\"} 3",
        "stripe_client_call_duration_seconds_bucket{transport=\"default\",operation=\"refunds.create\",result=\"success\",\
         le=\"80\"} 3",
        "stripe_client_unknown_calls_total{transport=\"default\",class=\"money\",cause=\"timeout\"} 0",
        "stripe_client_unknown_pending{transport=\"default\",class=\"money\"} 0",
        "stripe_client_breaker_state{transport=\"default\",circuit=\"api/live/write\",state=\"closed\"} 1",
        "stripe_client_retry_budget_available_ratio{transport=\"default\"} 1",
        concat!("stripe_client_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(text.lines().any(|written| written == line), "{line}\nis not in\n{text}");
    }
    let named = |line: &&str| line.starts_with("# TYPE ") || line.starts_with("# HELP ");
    for line in text.lines().filter(named) {
        let mut words = line.split(' ').skip(1);
        let (what, name) = (words.next(), words.next().expect("a name"));
        let metric = metric::ALL.iter().find(|metric| metric.name == name).expect("a metric of the contract");
        let rest = words.collect::<Vec<_>>().join(" ");
        assert_eq!(rest, if what == Some("TYPE") { metric.kind.as_str() } else { metric.help }, "{name}");
    }
    assert_eq!(serving.exporter().render().lines().count(), text.lines().count());

    for (method, path, status) in [
        (Method::HEAD, "/metrics", StatusCode::OK),
        (Method::POST, "/metrics", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/", StatusCode::NOT_FOUND),
        (Method::GET, "/metrics/../etc/passwd", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(ask(method, at(path)).await.status(), status, "{path}");
    }
}
