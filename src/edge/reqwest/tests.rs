//! Over real sockets on loopback, as reqwest has no other way to connect. Nothing waits for a moment to come, but for the
//! connect limit.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::reqwest::dns::{Name, Resolve, Resolving};
use ::reqwest::{Body, retry};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::*;
use crate::vocab::certainty::Certainty;
use crate::vocab::transport_error::{Failure, FailureKind, TransportError};
use crate::vocab::{BoxError, Replay};

// === the harness ===

const CONTENT: &[u8] = b"amount=1099";

fn ours() -> Client {
    Client::new().expect("a client")
}

/// With settings of its own: it follows redirects.
fn foreign() -> Client {
    Client::wrap(Client::builder().build().expect("a client"))
}

fn post(uri: &str) -> Request<Full<Bytes>> {
    Request::post(uri).body(Full::from(CONTENT)).expect("a request")
}

/// A POST whose head is all of it.
fn confirm(uri: &str) -> Request<Full<Bytes>> {
    Request::post(uri).body(Full::default()).expect("a request")
}

async fn failed(client: &Client, request: Request<Full<Bytes>>) -> ClientError {
    client.clone().oneshot(request).await.expect_err("no response")
}

async fn failure(client: &Client, request: Request<Full<Bytes>>) -> Failure {
    failed(client, request).await.failure()
}

async fn answer(client: &Client, request: Request<Full<Bytes>>) -> Response<Body> {
    client.clone().oneshot(request).await.expect("a response")
}

/// An address that refuses connections.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    listener.local_addr().expect("bound")
}

/// Answers every request with the same bytes, and counts them.
struct Server {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let (requests, answer) = (Arc::new(AtomicUsize::new(0)), answer.into());
        let counted = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((mut io, _)) = listener.accept().await {
                read_request(&mut io).await;
                counted.fetch_add(1, Ordering::SeqCst);
                io.write_all(&answer).await.expect("writable");
                let _ = io.shutdown().await;
            }
        });
        Self { address, requests, task }
    }

    async fn redirecting(status: u16, location: &str) -> Self {
        let length = "content-length: 0\r\nconnection: close";
        Self::start(format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\n{length}\r\n\r\n")).await
    }

    fn uri(&self) -> String {
        format!("http://{}/v1/charges", self.address)
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads one HTTP/1.1 request, with the content of `post` or with none.
async fn read_request(io: &mut TcpStream) {
    let mut seen = Vec::new();
    loop {
        assert_ne!(io.read_buf(&mut seen).await.expect("readable"), 0, "closed before the request was read");
        let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
        let Some(head) = text.find("\r\n\r\n") else { continue };
        let content = if text.contains("content-length: 11") { CONTENT.len() } else { 0 };
        if seen.len() >= head + 4 + content {
            return;
        }
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

// === no connection ===

#[tokio::test]
async fn a_refused_tcp_connection_has_sent_nothing() {
    let uri = format!("http://{}/v1/charges", nobody().await);
    for request in [post(&uri), confirm(&uri)] {
        assert_eq!(failure(&ours(), request).await, Failure::not_sent(FailureKind::Tcp));
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_has_sent_nothing() {
    struct NoSuchName;

    impl Resolve for NoSuchName {
        fn resolve(&self, _: Name) -> Resolving {
            Box::pin(std::future::ready(Err("no such name".into())))
        }
    }

    let client = Client::build(Client::builder().dns_resolver(NoSuchName)).expect("a client");
    for uri in ["http://api.stripe.invalid/v1/charges", "https://api.stripe.invalid/v1/charges"] {
        assert_eq!(failure(&client, post(uri)).await, Failure::not_sent(FailureKind::Dns));
    }
}

#[tokio::test]
async fn a_tls_handshake_that_hangs_ends_at_the_connect_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let uri = format!("https://{}/v1/charges", listener.local_addr().expect("bound"));
    let limit = Duration::from_millis(100);
    let client = Client::build(Client::builder().connect_timeout(limit)).expect("a client");
    let (told, accepted) = tokio::join!(failure(&client, post(&uri)), listener.accept());
    assert_eq!(told, Failure::not_sent(FailureKind::ConnectTimeout));
    drop(accepted);
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_failure_and_one_that_hangs_up_is_not() {
    for (answer, kind) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], FailureKind::Tls), (&b""[..], FailureKind::Tcp)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let uri = format!("https://{}/v1/charges", listener.local_addr().expect("bound"));
        let server = tokio::spawn(async move {
            let (mut io, _) = listener.accept().await.expect("a connection");
            let mut hello = [0; 1024];
            assert_ne!(io.read(&mut hello).await.expect("a hello"), 0);
            io.write_all(answer).await.expect("writable");
            io.shutdown().await.expect("open");
            let _ = io.read_to_end(&mut Vec::new()).await;
        });
        assert_eq!(failure(&ours(), post(&uri)).await, Failure::not_sent(kind));
        server.await.expect("the server");
    }
}

#[tokio::test]
async fn what_is_no_request_was_not_sent() {
    for client in [ours(), foreign()] {
        assert_eq!(failure(&client, post("/v1/charges")).await, Failure::not_sent(FailureKind::Other));
    }
    let told = failure(&ours(), confirm("ftp://127.0.0.1/v1/charges")).await;
    assert_eq!(told, Failure::not_sent(FailureKind::Other));
}

#[tokio::test]
async fn both_versions_of_http_are_offered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let uri = format!("https://{}/v1/charges", listener.local_addr().expect("bound"));
    let client = ours();
    let (_, hello) = tokio::join!(failed(&client, post(&uri)), async {
        let (mut io, _) = listener.accept().await.expect("a connection");
        let mut hello = vec![0; 4_096];
        let read = io.read(&mut hello).await.expect("a hello");
        hello.truncate(read);
        hello
    });
    let alpn = b"\x02h2\x08http/1.1";
    assert!(hello.windows(alpn.len()).any(|window| window == alpn), "{}", hello.escape_ascii());
}

// === sent, or not ===

#[tokio::test]
async fn a_request_that_was_read_and_never_answered_is_unknown() {
    for client in [ours(), foreign()] {
        let server = Server::start("").await;
        for request in [post(&server.uri()), confirm(&server.uri())] {
            assert_eq!(failure(&client, request).await, Failure::unknown(FailureKind::Reset));
        }
        assert_eq!(server.requests(), 2);
    }
}

#[tokio::test]
async fn a_time_limit_of_reqwests_own_proves_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let uri = format!("http://{}/v1/charges", listener.local_addr().expect("bound"));
    let client = Client::build(Client::builder().read_timeout(Duration::from_millis(100))).expect("a client");
    let (told, io) = tokio::join!(failure(&client, post(&uri)), async {
        let (mut io, _) = listener.accept().await.expect("a connection");
        read_request(&mut io).await;
        io
    });
    assert_eq!(told, Failure::unknown(FailureKind::Timeout));
    drop(io);
}

#[tokio::test]
async fn the_failure_to_connect_of_a_client_that_is_there_already_proves_something_of_content_only() {
    let uri = format!("http://{}/v1/charges", nobody().await);
    assert_eq!(failure(&foreign(), post(&uri)).await, Failure::not_sent(FailureKind::Tcp));
    assert_eq!(failure(&foreign(), confirm(&uri)).await, Failure::unknown(FailureKind::Tcp));
}

#[tokio::test]
async fn what_was_told_is_not_lost_in_a_box() {
    let uri = format!("http://{}/v1/charges", nobody().await);
    let boxed: BoxError = failed(&ours(), post(&uri)).await.into();
    assert_eq!(boxed.failure(), Failure::not_sent(FailureKind::Tcp));
    // reqwest's own error is that of a client of which nothing is known.
    let plain = ours().get_ref().get(&uri).send().await.expect_err("nobody listens");
    assert_eq!(plain.failure(), Failure::unknown(FailureKind::Tcp));
    #[derive(Debug)]
    struct Wraps(::reqwest::Error);
    impl std::fmt::Display for Wraps {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("wraps")
        }
    }
    impl StdError for Wraps {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }
    let boxed: BoxError = Wraps(plain).into();
    assert_eq!(boxed.failure(), Failure::unknown(FailureKind::Tcp));
}

/// As the body of another exchange fails, whose own connection could not be made.
#[tokio::test]
async fn the_failure_of_a_body_is_not_taken_for_one_of_the_request() {
    let nobody = format!("http://{}/", nobody().await);
    let http = ours().get_ref().clone();
    let body = futures_util::stream::once(async move { http.get(nobody).send().await.map(|_| Bytes::new()) });
    let server = Server::start(OK).await;
    let request = Request::post(server.uri()).body(Body::wrap_stream(body)).expect("a request");
    let error = ours().oneshot(request).await.expect_err("the body fails");
    assert!(error.get_ref().is_some_and(::reqwest::Error::is_connect), "reqwest takes it for one");
    assert_eq!(error.failure(), Failure::unknown(FailureKind::Body));
}

// === once ===

#[tokio::test]
async fn our_client_never_follows_a_redirect_whatever_was_set() {
    let elsewhere = Server::start(OK).await;
    let follows = Client::builder().redirect(::reqwest::redirect::Policy::limited(5));
    for client in [ours(), Client::build(follows).expect("a client")] {
        for status in [301, 302, 303, 307, 308] {
            let server = Server::redirecting(status, &elsewhere.uri()).await;
            for request in [post(&server.uri()), confirm(&server.uri())] {
                assert_eq!(answer(&client, request).await.status().as_u16(), status);
            }
        }
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn an_answer_from_elsewhere_is_an_error_that_proves_nothing() {
    let elsewhere = Server::start(OK).await;
    for status in [301, 302, 303] {
        let server = Server::redirecting(status, &elsewhere.uri()).await;
        let error = failed(&foreign(), post(&server.uri())).await;
        assert!(error.is_redirected() && error.get_ref().is_none());
        assert_eq!(error.failure(), Failure::unknown(FailureKind::Protocol));
    }
    assert_eq!(elsewhere.requests(), 3);
    // Content is sent once, also where a redirect asks for it again.
    for status in [307, 308] {
        let server = Server::redirecting(status, &elsewhere.uri()).await;
        assert_eq!(answer(&foreign(), post(&server.uri())).await.status().as_u16(), status);
    }
    assert_eq!(elsewhere.requests(), 3);
}

#[tokio::test]
async fn a_failure_to_connect_after_a_redirect_proves_nothing() {
    let server = Server::redirecting(303, &format!("http://{}/", nobody().await)).await;
    for request in [post(&server.uri()), confirm(&server.uri())] {
        assert_eq!(failure(&foreign(), request).await, Failure::unknown(FailureKind::Tcp));
    }
}

#[tokio::test]
async fn content_is_sent_once_whatever_the_client_would_retry() {
    let unwell = "HTTP/1.1 503 Unwell\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let retries = || {
        let policy = retry::for_host("127.0.0.1").max_retries_per_request(2).no_budget();
        Client::builder().retry(policy.classify_fn(|attempt| match attempt.status() {
            Some(StatusCode::SERVICE_UNAVAILABLE) => attempt.retryable(),
            _ => attempt.success(),
        }))
    };
    let wrapped = Client::wrap(retries().build().expect("a client"));
    let ours = Client::build(retries()).expect("a client");
    for client in [&wrapped, &ours] {
        let server = Server::start(unwell).await;
        assert_eq!(answer(client, post(&server.uri())).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(server.requests(), 1);
    }
    // Neither does the client, where it is used for something else.
    let server = Server::start(unwell).await;
    let plain = ours.get_ref().post(server.uri()).body(CONTENT).send().await.expect("a response");
    assert_eq!((plain.status(), server.requests()), (StatusCode::SERVICE_UNAVAILABLE, 1));
    // The policy does what it says: without this crate it sends the same thing three times.
    let server = Server::start(unwell).await;
    let plain = wrapped.get_ref().post(server.uri()).body(CONTENT).send().await.expect("a response");
    assert_eq!((plain.status(), server.requests()), (StatusCode::SERVICE_UNAVAILABLE, 3));
}

// === bodies and secrets ===

#[test]
fn a_body_in_memory_can_be_had_again_and_a_stream_cannot() {
    let body = Body::from("amount=1099");
    assert_eq!(body.try_clone().and_then(|body| body.content(64)).expect("in memory"), CONTENT);
    assert_eq!(body.content(10), None);
    assert_eq!(Body::without_content().and_then(|body| body.content(0)), Some(Bytes::new()));
    let stream = Body::wrap(Full::<Bytes>::from(CONTENT));
    assert!(stream.try_clone().is_none() && stream.content(64).is_none());
}

#[tokio::test]
async fn neither_a_client_nor_its_errors_show_a_key_or_a_url() {
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", http::HeaderValue::from_static("Bearer sk_test_secret"));
    let client = Client::build(Client::builder().default_headers(headers)).expect("a client");
    let uri = format!("http://{}/v1/customers?email=jenny@example.com", nobody().await);
    let request = Request::get(uri).header("x-key", "sk_test_secret").body(Full::default());
    let error = failed(&client, request.expect("a request")).await;
    let mut shown = format!("{client:?} {error:?} {error}");
    let mut next = error.source();
    while let Some(error) = next {
        shown.push_str(&format!(" {error:?} {error}"));
        next = error.source();
    }
    assert!(!shown.contains("secret") && !shown.contains("jenny"), "{shown}");
    assert_eq!(error.failure().certainty(), Certainty::NotSent);
}
