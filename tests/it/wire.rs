//! Real HTTP, byte by byte: what leaves, and what every way of answering comes to. Over pipes in memory, under paused
//! time.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    sync::{Semaphore, mpsc},
};
use tower::Service;
use tower_stripe::{
    Advice, AttemptTimeout, Certainty, Error, FailureKind, Outcome, ResponseExt, RetryLimit, StripeBody,
    StripeTransport,
    classify::StripeError,
    edge::hyper_util::{Builder, Client, ClientError},
    vocab::{RequestId, Stop},
};

use crate::support::{millis, secs};

// === the network ===

/// One end of a connection in memory.
pub(crate) struct Pipe(DuplexStream);

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Connects in memory, once the test lets it, and hands the other end to the test. A connection comes up even if nobody
/// waits for it any more, as with a network.
#[derive(Clone)]
pub(crate) struct Dial {
    accepted: mpsc::UnboundedSender<DuplexStream>,
    open: Arc<Semaphore>,
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Pipe>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { accepted, open } = self.clone();
        let connecting = tokio::spawn(async move {
            let _open = open.acquire().await.expect("never closed");
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            // A test that has seen enough no longer listens.
            let _ = accepted.send(theirs);
            TokioIo::new(Pipe(ours))
        });
        Box::pin(async move { Ok(connecting.await.expect("no panic")) })
    }
}

pub(crate) type Stripe = StripeTransport<Client<Dial, Full<Bytes>>>;
pub(crate) type Answer = Result<Response<StripeBody<Incoming>>, Error<ClientError>>;

/// The other side.
pub(crate) struct Peer {
    accepted: mpsc::UnboundedReceiver<DuplexStream>,
    pub(crate) open: Arc<Semaphore>,
}

impl Peer {
    pub(crate) async fn next(&mut self) -> Wire {
        Wire(self.accepted.recv().await.expect("the client lives"))
    }

    /// Whether the client has made no connection but those that were taken.
    pub(crate) fn is_alone(&mut self) -> bool {
        self.accepted.try_recv().is_err()
    }
}

pub(crate) fn network() -> (Stripe, Peer) {
    network_of(Builder::new())
}

pub(crate) fn network_of(client: Builder) -> (Stripe, Peer) {
    let (sender, accepted) = mpsc::unbounded_channel();
    let open = Arc::new(Semaphore::new(1));
    let client = client.build_with(Dial { accepted: sender, open: Arc::clone(&open) });
    let transport = StripeTransport::builder().allow_host("127.0.0.1").build().expect("valid settings");
    (tower::Layer::layer(&transport, client), Peer { accepted, open })
}

/// The server's end of a connection.
pub(crate) struct Wire(pub(crate) DuplexStream);

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    head: String,
    body: Bytes,
}

impl Seen {
    /// The values of all lines of a header.
    fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(line, _)| line.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

impl Wire {
    /// Reads a request of HTTP/1.1 to its end.
    pub(crate) async fn read(&mut self) -> Seen {
        self.try_read().await.expect("a request")
    }

    /// The same; `None` if the client closes without one.
    async fn try_read(&mut self) -> Option<Seen> {
        let mut head = vec![self.0.read_u8().await.ok()?];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("a head"));
        }
        let mut seen = Seen { head: String::from_utf8(head).expect("text"), body: Bytes::new() };
        let length = seen.all("content-length").first().map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.expect("a body");
        seen.body = body.into();
        Some(seen)
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("the client listens");
    }

    /// Whatever else the client writes until it closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await;
        rest
    }
}

const BODY: &str = "amount=1099&currency=usd&metadata[order]=8812";
const DECLINED: &str = r#"{"error":{"type":"card_error","code":"card_declined"}}"#;

fn request(method: &str) -> Request<Full<Bytes>> {
    let body = if method == "POST" { BODY } else { "" };
    Request::builder()
        .method(method)
        .uri("http://127.0.0.1/v1/payment_intents")
        .header("authorization", "Bearer sk_test_wire")
        .body(Full::from(body))
        .expect("a request")
}

pub(crate) fn post() -> Request<Full<Bytes>> {
    request("POST")
}

/// One attempt, so that its own account is the call's.
pub(crate) fn once() -> Request<Full<Bytes>> {
    let mut request = post();
    request.extensions_mut().insert(RetryLimit::NONE);
    request
}

pub(crate) fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nrequest-id: req_1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn chunked(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nrequest-id: req_1\r\ntransfer-encoding: chunked\r\n\r\n")
}

async fn text(response: Response<StripeBody<Incoming>>) -> Bytes {
    response.into_body().collect().await.expect("a whole body").to_bytes()
}

/// Runs a call against one scripted connection.
async fn against<S: AsyncFnOnce(&mut Wire)>(request: Request<Full<Bytes>>, server: S) -> Answer {
    let (stripe, mut peer) = network();
    let server = async {
        let mut wire = peer.next().await;
        server(&mut wire).await;
    };
    let (result, ()) = tokio::join!(stripe.send(request), server);
    result
}

// === what leaves ===

#[tokio::test(start_paused = true)]
async fn every_attempt_leaves_with_one_key_line_and_the_same_bytes() {
    let (stripe, mut peer) = network();
    let server = async {
        let mut wire = peer.next().await;
        let first = wire.read().await;
        wire.write(answer("503 Service Unavailable", "{}")).await;
        let second = wire.read().await;
        drop(wire);
        let mut wire = peer.next().await;
        let third = wire.read().await;
        wire.write(answer("200 OK", "{}")).await;
        [first, second, third]
    };
    let (result, seen) = tokio::join!(stripe.send(post()), server);
    let response = result.expect("an answer");
    assert_eq!((response.certainty(), response.attempts()), (Some(Certainty::Executed), Some(3)));

    for attempt in &seen {
        assert_eq!(attempt, &seen[0], "to the byte, head and body");
        assert!(attempt.head.starts_with("POST /v1/payment_intents HTTP/1.1\r\n"), "{}", attempt.head);
        assert_eq!(attempt.body, BODY);
        assert_eq!(attempt.all("content-length"), [BODY.len().to_string()]);
        assert_eq!(attempt.all("authorization"), ["Bearer sk_test_wire"]);
        assert!(attempt.all("transfer-encoding").is_empty());
        let [key] = attempt.all("idempotency-key")[..] else { panic!("not one key: {}", attempt.head) };
        assert!(key.len() >= 32, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_callers_key_leaves_as_one_line_however_often_it_was_given() {
    let mut request = once();
    request.headers_mut().append("Idempotency-Key", "order-8812".parse().expect("a value"));
    request.headers_mut().append("idempotency-key", "order-8812".parse().expect("a value"));
    let mut key = Vec::new();
    let response = against(request, async |wire| {
        let seen = wire.read().await;
        key.extend(seen.all("idempotency-key").into_iter().map(str::to_owned));
        wire.write(answer("200 OK", "{}")).await;
    });
    assert_eq!(response.await.expect("an answer").certainty(), Some(Certainty::Executed));
    assert_eq!(key, ["order-8812"]);
}

/// S-23
#[tokio::test(start_paused = true)]
async fn a_get_and_a_v1_delete_leave_without_a_key_also_when_retried() {
    for method in ["GET", "DELETE"] {
        let result = against(request(method), async |wire| {
            for status in ["503 Service Unavailable", "200 OK"] {
                let seen = wire.read().await;
                assert_eq!(seen.all("idempotency-key"), [""; 0]);
                wire.write(answer(status, "{}")).await;
            }
        });
        assert_eq!(result.await.expect("an answer").attempts(), Some(2));
    }
}

// === what the other side can do ===

/// What a call came to: outcome, certainty, advice, and the body, if there was one and as far as it came.
type Came = (Outcome, Certainty, Advice, Option<(Vec<u8>, bool)>);

async fn came(answer: Answer) -> Came {
    match answer {
        Ok(response) => {
            let report = response.report().expect("a report");
            let outcome = response.outcome().expect("an outcome");
            let (mut body, mut read, mut whole) = (response.into_body(), Vec::new(), true);
            while let Some(frame) = body.frame().await {
                match frame.map(http_body::Frame::into_data) {
                    Ok(data) => read.extend(data.unwrap_or_default()),
                    Err(_) => whole = false,
                }
            }
            (outcome, report.certainty(), report.advice(), Some((read, whole)))
        }
        Err(error) => {
            assert_eq!(error.attempts(), 1);
            (error.outcome(), error.certainty(), error.advice(), None)
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_a_connection_breaks_the_report_says_what_is_known() {
    let reset = Outcome::Transport(FailureKind::Reset);
    let protocol = Outcome::Transport(FailureKind::Protocol);
    let unknown = |outcome, body| (outcome, Certainty::Unknown, Advice::SameKey, body);
    let declined = |body| (Outcome::Declined, Certainty::Rejected, Advice::NewKey, Some(body));
    let executed = |body| (Outcome::Success, Certainty::Executed, Advice::Done, Some(body));
    let cut = |body: &str| (body.as_bytes().to_vec(), false);
    let whole = |body: &str| (body.as_bytes().to_vec(), true);

    let long = |status| answer(status, DECLINED).replace("content-length: 5", "content-length: 6");
    let head_of = |status| long(status).replace(DECLINED, "");
    let half = DECLINED.split_at(30).0;
    for (sent, expected) in [
        // Before and within the head.
        (String::new(), unknown(reset, None)),
        ("HTTP/1.1 200 O".into(), unknown(reset, None)),
        ("HTTP/1.1 200 OK\r\nrequest-id: req_1\r\n".into(), unknown(reset, None)),
        // Something else than HTTP.
        ("SSH-2.0-OpenSSH_9.2\r\n".into(), unknown(protocol, None)),
        ("HTTP/1.1 OK\r\n\r\n".into(), unknown(protocol, None)),
        ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n".into(), unknown(protocol, None)),
        ("\0".repeat(100), unknown(protocol, None)),
        // After the head: it decides.
        (head_of("200 OK"), executed(cut(""))),
        (head_of("402 Payment Required"), declined(cut(""))),
        (head_of("503 Service Unavailable"), unknown(Outcome::ServerError, Some(cut("")))),
        (chunked("402 Payment Required"), declined(cut(""))),
        // In the middle of the body.
        (head_of("200 OK") + half, executed(cut(half))),
        (head_of("402 Payment Required") + half, declined(cut(half))),
        (head_of("503 Service Unavailable") + half, unknown(Outcome::ServerError, Some(cut(half)))),
        (chunked("402 Payment Required") + "4\r\n{\"er\r\n", declined(cut("{\"er"))),
        (chunked("402 Payment Required") + "4\r\n{\"er\r\nzz\r\n", declined(cut("{\"er"))),
        // Without a length the body ends with the connection.
        ("HTTP/1.1 402 Payment Required\r\n\r\n{}".into(), declined(whole("{}"))),
        (answer("200 OK", "{}"), executed(whole("{}"))),
    ] {
        let answer = against(once(), async |wire| {
            wire.read().await;
            wire.write(&sent).await;
        });
        assert_eq!(came(answer.await).await, expected, "{sent:?}");
    }
}

/// S-18a
#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_before_it_is_read_proves_something_only_if_the_body_stayed_here() {
    let reset = Outcome::Transport(FailureKind::Reset);
    // At once: no byte of the body was asked for.
    let answer = against(once(), async |_| {}).await;
    assert_eq!(came(answer).await, (reset, Certainty::NotSent, Advice::NewKey, None));
    // The bytes are in the pipe, unread; from here that looks the same as if they had been read.
    let answer = against(once(), async |_| tokio::time::sleep(secs(1)).await).await;
    assert_eq!(came(answer).await, (reset, Certainty::Unknown, Advice::SameKey, None));
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_be_split_at_every_byte() {
    let sent = chunked("402 Payment Required") + &format!("{:x}\r\n{DECLINED}\r\n0\r\n\r\n", DECLINED.len());
    for pieces in (1..sent.len()).map(|at| vec![at]).chain([(1..sent.len()).collect()]) {
        let answer = against(once(), async |wire| {
            wire.read().await;
            let mut from = 0;
            for to in pieces.iter().copied().chain([sent.len()]) {
                wire.write(&sent[from..to]).await;
                // Until the client has done all it can with what it has.
                tokio::time::sleep(millis(1)).await;
                from = to;
            }
        });
        let response = answer.await.expect("an answer");
        assert_eq!(StripeError::of(&response).and_then(StripeError::code), Some("card_declined"));
        assert_eq!(response.request_id().as_ref().map(RequestId::as_str), Some("req_1"));
        assert_eq!(text(response).await, DECLINED, "split at {pieces:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn informational_answers_are_passed_over() {
    let answer = against(once(), async |wire| {
        wire.read().await;
        for status in ["100 Continue", "102 Processing", "103 Early Hints\r\nlink: </x>; rel=preload"] {
            wire.write(format!("HTTP/1.1 {status}\r\n\r\n")).await;
            tokio::time::sleep(secs(1)).await;
        }
        wire.write(answer("402 Payment Required", DECLINED)).await;
    });
    let declined = Some((DECLINED.into(), true));
    assert_eq!(came(answer.await).await, (Outcome::Declined, Certainty::Rejected, Advice::NewKey, declined));
}

#[tokio::test(start_paused = true)]
async fn trailers_of_an_error_body_are_handed_on() {
    let answer = against(once(), async |wire| {
        wire.read().await;
        let body = format!("{:x}\r\n{DECLINED}\r\n0\r\nx-after: 1\r\n\r\n", DECLINED.len());
        let head = chunked("402 Payment Required").replace("\r\n\r\n", "\r\ntrailer: x-after\r\n\r\n");
        wire.write(head + &body).await;
    });
    let response = answer.await.expect("an answer");
    assert!(StripeError::of(&response).is_some());
    let body = response.into_body().collect().await.expect("a whole body");
    assert_eq!(
        body.trailers().map(|trailers| trailers["x-after"].clone()),
        Some("1".parse().expect("a value"))
    );
    assert_eq!(body.to_bytes(), DECLINED);
}

/// S-122
#[tokio::test(start_paused = true)]
async fn header_values_of_ten_kilobytes_arrive_and_are_not_kept_in_the_report() {
    let long = "r".repeat(10 * 1024);
    let answer = against(once(), async |wire| {
        wire.read().await;
        let headers = format!("request-id: {long}\r\noriginal-request: {long}\r\nx-other: {long}\r\n");
        let head = format!("HTTP/1.1 402 Payment Required\r\n{headers}stripe-should-retry: {long}\r\n");
        wire.write(head + "content-length: 2\r\n\r\n{}").await;
    });
    let response = answer.await.expect("an answer");
    assert_eq!(
        (response.outcome(), response.certainty()),
        (Some(Outcome::Declined), Some(Certainty::Rejected))
    );
    assert_eq!(response.headers()["x-other"].len(), long.len());
    let report = response.report().expect("a report");
    let attempt = &report.attempts()[0];
    for id in [&attempt.request_id, &attempt.original_request] {
        assert_eq!(id.as_ref().map(|id| id.as_str().len()), Some(RequestId::MAX_LEN));
    }
    assert_eq!(attempt.should_retry, None);
}

// === time limits, and what may not leave afterwards ===

pub(crate) fn once_within(limit: Duration) -> Request<Full<Bytes>> {
    let mut request = once();
    request.extensions_mut().insert(AttemptTimeout::new(limit));
    request
}

pub(crate) fn timed_out(answer: Answer, certainty: Certainty, advice: Advice) {
    let error = answer.expect_err("no answer");
    assert!(error.is_timeout());
    assert_eq!((error.certainty(), error.advice(), error.attempts()), (certainty, advice, 1));
    assert_eq!(error.report().and_then(|report| report.stopped()), Some(Stop::Attempts));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_timed_out_after_its_body_was_taken_is_unknown_and_its_connection_gone() {
    let (stripe, mut peer) = network();
    let server = async {
        let mut wire = peer.next().await;
        assert_eq!(wire.read().await.body, BODY);
        // However late the answer comes, nobody else gets it.
        assert!(wire.rest().await.is_empty(), "closed");
        let mut wire = peer.next().await;
        wire.read().await;
        wire.write(answer("200 OK", "{}")).await;
    };
    let calls = async {
        timed_out(stripe.send(once_within(secs(5))).await, Certainty::Unknown, Advice::SameKey);
        stripe.send(once()).await.expect("an answer");
    };
    tokio::join!(calls, server);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_timed_out_while_it_connected_was_not_sent_and_cannot_leave_later() {
    let (stripe, mut peer) = network();
    let stuck = Arc::clone(&peer.open).acquire_owned().await.expect("open");
    let impatient = async {
        timed_out(stripe.send(once_within(secs(5))).await, Certainty::NotSent, Advice::NewKey);
        drop(stuck);
    };
    let patient = async {
        let response = stripe.send(post()).await.expect("an answer");
        assert_eq!((response.attempts(), response.certainty()), (Some(1), Some(Certainty::Executed)));
    };
    let server = async {
        // Both connections come up; on the one that nobody waits for any more, no byte arrives.
        let (mut one, mut other) = (peer.next().await, peer.next().await);
        let answered = async |wire: &mut Wire| {
            let seen = wire.try_read().await?;
            wire.write(answer("200 OK", "{}")).await;
            Some(seen.body)
        };
        let mut bodies = <[_; 2]>::from(tokio::join!(answered(&mut one), answered(&mut other)));
        bodies.sort();
        assert_eq!(bodies, [None, Some(BODY.into())]);
    };
    tokio::join!(impatient, patient, server);
}

// === HTTP/2, frame by frame ===

pub(crate) const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

impl Wire {
    /// Accepts a connection of HTTP/2, with these settings.
    pub(crate) async fn greet(&mut self, settings: &[u8]) {
        self.0.read_exact(&mut [0; 24]).await.expect("a preface");
        self.write([&[0, 0, settings.len() as u8, 4, 0, 0, 0, 0, 0], settings].concat()).await;
    }

    /// Type, flags and stream of the next frame; `None` once the connection is closed.
    async fn frame(&mut self) -> Option<(u8, u8, u32)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((kind, flags, u32::from_be_bytes(stream)))
    }

    /// Skips frames up to one of a type.
    pub(crate) async fn until(&mut self, kind: u8) -> u32 {
        loop {
            let frame = self.frame().await.expect("the connection is open");
            if frame.0 == kind {
                return frame.2;
            }
        }
    }

    /// Answers a stream with 200 and a `Request-Id`.
    pub(crate) async fn answer(&mut self, stream: u32) {
        let mut frame = vec![0, 0, 18, HEADERS, 5];
        frame.extend(stream.to_be_bytes());
        frame.extend([0x88, 0, 10]);
        frame.extend(b"request-id");
        frame.extend(*b"\x04req1");
        self.write(frame).await;
    }
}

/// One stream at a time is allowed, and taken: a second request waits in the connection, and nobody asks for its body.
#[tokio::test(start_paused = true)]
async fn a_request_that_timed_out_in_the_queue_of_a_connection_was_not_sent_and_cannot_leave_later() {
    for in_time in [false, true] {
        let (stripe, mut peer) = network_of(Builder::new().http2_only(true));
        let server = async {
            let mut wire = peer.next().await;
            wire.greet(&[0, 3, 0, 0, 0, 1]).await;
            let first = wire.until(HEADERS).await;
            wire.answer(first).await;
            let holder = wire.until(DATA).await;
            tokio::time::sleep(secs(if in_time { 3 } else { 10 })).await;
            wire.answer(holder).await;
            let mut ended = 0;
            while let Some((kind, flags, stream)) = wire.frame().await {
                assert!(in_time || kind != DATA, "a body left after its call had been given up");
                if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                    ended += 1;
                    wire.answer(stream).await;
                }
            }
            assert_eq!(ended, u32::from(in_time), "whole requests after the one that took the place");
        };
        let client = async {
            // After this the settings of the other side are known.
            stripe.send(request("GET")).await.expect("an answer");
            let (held, queued) = tokio::join!(stripe.send(once()), stripe.send(once_within(secs(5))));
            assert_eq!(held.expect("an answer").certainty(), Some(Certainty::Executed));
            match in_time {
                false => timed_out(queued, Certainty::NotSent, Advice::NewKey),
                true => assert_eq!(queued.expect("an answer").certainty(), Some(Certainty::Executed)),
            }
            drop(stripe);
        };
        tokio::join!(client, server);
    }
}
