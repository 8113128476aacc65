use std::convert::Infallible;
use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Ready, ready};
use http::{Request, Response, Uri};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tower::{Service, ServiceExt, service_fn};

use super::*;
use crate::vocab::certainty::Certainty;
use crate::vocab::transport_error::{Failure, FailureKind, TransportError};

type BoxError = Box<dyn StdError + Send + Sync>;

// === the harness ===

/// One end of a connection in memory.
struct Pipe(DuplexStream);

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

/// Connects in memory, and hands the other end to the test: what arrives there are the connections made.
#[derive(Clone)]
struct Dial(mpsc::UnboundedSender<DuplexStream>);

impl Service<Uri> for Dial {
    type Response = TokioIo<Pipe>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        self.0.send(theirs).expect("the test listens");
        ready(Ok(TokioIo::new(Pipe(ours))))
    }
}

type Accepted = mpsc::UnboundedReceiver<DuplexStream>;

fn over_memory<B>(builder: Builder) -> (Client<Dial, B>, Accepted)
where
    B: Body + Send,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let (sender, accepted) = mpsc::unbounded_channel();
    (builder.build_with(Dial(sender)), accepted)
}

/// The other end of the next connection, which is being made or never will.
async fn next(accepted: &mut Accepted) -> DuplexStream {
    let connection = tokio::time::timeout(Duration::from_secs(5), accepted.recv()).await;
    connection.expect("a connection is made").expect("the client lives")
}

fn h2() -> Builder {
    Builder::new().http2_only(true)
}

fn post() -> Request<Full<Bytes>> {
    post_to("http://sim.test/v1/charges")
}

fn post_to(uri: &str) -> Request<Full<Bytes>> {
    Request::post(uri).body(Full::from("amount=1099")).expect("a request")
}

/// A POST whose head is all of it.
fn confirm() -> Request<Full<Bytes>> {
    let uri = "http://sim.test/v1/payment_intents/pi_1/confirm";
    Request::post(uri).body(Full::default()).expect("a request")
}

async fn failure<C, B>(client: &Client<C, B>, request: Request<B>) -> Failure
where
    Client<C, B>:
        Service<Request<B>, Response = Response<hyper::body::Incoming>, Error = ClientError> + Clone,
{
    let result = tokio::time::timeout(Duration::from_secs(90), client.clone().oneshot(request)).await;
    let error = result.expect("an end").expect_err("no response");
    println!("{:?}: {}", error.failure(), chain(&error));
    error.failure()
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(&format!(" < {error}"));
        next = error.source();
    }
    text
}

async fn collect(response: Response<hyper::body::Incoming>) -> Bytes {
    response.into_body().collect().await.expect("a body").to_bytes()
}

/// Reads one HTTP/1.1 request with the content of `post`.
async fn read_h1(io: &mut DuplexStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"amount=1099") {
        assert_ne!(io.read_buf(&mut seen).await.expect("readable"), 0, "closed before the request was read");
    }
}

async fn answer_h1(io: &mut DuplexStream) {
    io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("writable");
}

/// Whether the other side closed, without another byte.
async fn drained(io: &mut DuplexStream) -> bool {
    let mut rest = Vec::new();
    io.read_to_end(&mut rest).await.is_ok() && rest.is_empty()
}

// === no connection ===

#[tokio::test]
async fn a_refused_tcp_connection_has_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let client = Builder::new().build();
    let told = failure(&client, post_to(&format!("http://{address}/v1/charges"))).await;
    assert_eq!(told, Failure::not_sent(FailureKind::Tcp));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_has_sent_nothing() {
    let no_such_name =
        service_fn(|_| ready(Err::<std::vec::IntoIter<SocketAddr>, _>(io::Error::other("no such name"))));
    let builder = Builder::new();
    let https = builder.https(Resolver::new(no_such_name));
    let client = builder.build_with(https);
    for uri in ["http://api.stripe.invalid/v1/charges", "https://api.stripe.invalid/v1/charges"] {
        assert_eq!(failure(&client, post_to(uri)).await, Failure::not_sent(FailureKind::Dns));
    }
}

#[tokio::test(start_paused = true)]
async fn the_connect_limit_is_one_limit_of_ten_seconds() {
    let hangs = service_fn(|_: Uri| std::future::pending::<Result<TokioIo<Pipe>, Infallible>>());
    let client = Builder::new().build_with(hangs);
    let began = crate::vocab::time::now();
    assert_eq!(failure(&client, post()).await, Failure::not_sent(FailureKind::ConnectTimeout));
    assert_eq!(crate::vocab::time::now() - began, Duration::from_secs(10));
}

/// With real sockets, so with real time, kept short.
#[tokio::test]
async fn a_tls_handshake_that_hangs_ends_at_the_connect_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let client = Builder::new().connect_timeout(Duration::from_millis(100)).build();
    let uri = format!("https://127.0.0.1:{port}/v1/charges");
    let (told, accepted) = tokio::join!(failure(&client, post_to(&uri)), listener.accept());
    assert_eq!(told, Failure::not_sent(FailureKind::ConnectTimeout));
    drop(accepted);
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_failure_and_one_that_hangs_up_is_not() {
    for (answer, kind) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], FailureKind::Tls), (&b""[..], FailureKind::Tcp)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let server = tokio::spawn(async move {
            let (mut io, _) = listener.accept().await.expect("a connection");
            let mut hello = [0; 1024];
            assert_ne!(io.read(&mut hello).await.expect("a hello"), 0);
            io.write_all(answer).await.expect("writable");
            io.shutdown().await.expect("open");
            let _ = io.read_to_end(&mut Vec::new()).await;
        });
        let client = Builder::new().build();
        let told = failure(&client, post_to(&format!("https://127.0.0.1:{port}/v1/charges"))).await;
        assert_eq!(told, Failure::not_sent(kind));
        server.await.expect("the server");
    }
}

#[tokio::test]
async fn an_error_of_a_foreign_connector_is_a_connect_failure() {
    let fails = service_fn(|_: Uri| ready(Err::<TokioIo<Pipe>, BoxError>("no route".into())));
    let client = Builder::new().build_with(fails);
    assert_eq!(failure(&client, post()).await, Failure::not_sent(FailureKind::Connect));
}

#[tokio::test]
async fn a_request_that_no_connection_was_chosen_for_was_not_sent() {
    let (client, mut accepted) = over_memory(Builder::new());
    let request = Request::get("/v1/charges").body(Full::<Bytes>::default()).expect("a request");
    let error = client.clone().oneshot(request).await.expect_err("no host");
    assert_eq!(error.failure(), Failure::not_sent(FailureKind::Other));
    assert_eq!(error.get_ref().failure(), Failure::unknown(FailureKind::Other));
    assert!(accepted.try_recv().is_err());
    // Only the client knows that; it is not lost in a box.
    let boxed: BoxError = error.into();
    assert_eq!(boxed.failure(), Failure::not_sent(FailureKind::Other));
}

/// It fails as HTTP does, before there is a connection to give the request to: only the pool's silence tells.
#[tokio::test(start_paused = true)]
async fn a_server_that_talks_first_gets_no_request_even_one_without_content() {
    for request in [post(), confirm()] {
        let (client, mut accepted) = over_memory(Builder::new());
        let server = async {
            let mut io = next(&mut accepted).await;
            io.write_all(b"220 mail.test ESMTP\r\n").await.expect("writable");
            assert!(drained(&mut io).await);
        };
        let (told, ()) = tokio::join!(failure(&client, request), server);
        assert_eq!(told, Failure::not_sent(FailureKind::Reset));
    }
}

// === sent, or not ===

#[tokio::test(start_paused = true)]
async fn a_request_that_was_read_and_never_answered_is_unknown() {
    let (client, mut accepted) = over_memory(Builder::new());
    let server = async {
        let mut io = next(&mut accepted).await;
        read_h1(&mut io).await;
    };
    let (told, ()) = tokio::join!(failure(&client, post()), server);
    assert_eq!(told, Failure::unknown(FailureKind::Reset));

    let (client, mut accepted) = over_memory(h2());
    let server = async {
        let io = next(&mut accepted).await;
        let mut connection = h2::server::handshake(io).await.expect("http/2");
        let (request, respond) = connection.accept().await.expect("a request").expect("a stream");
        let mut body = request.into_body();
        let read = async { while body.data().await.is_some() {} };
        tokio::select! {
            () = read => {}
            end = std::future::poll_fn(|cx| connection.poll_closed(cx)) => panic!("{end:?}"),
        }
        drop((connection, respond));
    };
    let (told, ()) = tokio::join!(failure(&client, post()), server);
    assert_eq!(told.certainty(), Certainty::Unknown);
    assert!(!told.resend());
}

/// The second request waits for a stream that the server does not allow, so that nobody asks for its body.
#[tokio::test(start_paused = true)]
async fn an_error_before_the_body_was_pulled_is_not_sent_by_proof() {
    let (client, mut accepted) = over_memory(h2());
    let server = async {
        let io = next(&mut accepted).await;
        let mut connection = h2::server::Builder::new()
            .max_concurrent_streams(1)
            .handshake::<_, Bytes>(io)
            .await
            .expect("http/2");
        let first = connection.accept().await.expect("a request").expect("a stream");
        // Long enough for the second to be queued; time is paused, so this waits until nobody can do more.
        let idle = tokio::time::sleep(Duration::from_secs(1));
        tokio::select! {
            () = idle => {}
            second = connection.accept() => panic!("one stream was allowed: {second:?}"),
        }
        drop((connection, first));
    };
    let requests = async {
        let first = failure(&client, post());
        let second = async {
            // After the settings of the server are known.
            tokio::time::sleep(Duration::from_millis(500)).await;
            failure(&client, post()).await
        };
        tokio::join!(first, second)
    };
    let ((first, second), ()) = tokio::join!(requests, server);
    assert_eq!(first.certainty(), Certainty::Unknown);
    assert_eq!(second.certainty(), Certainty::NotSent);
}

/// The server closes a pooled connection; before the client can notice, the next request is on its way to it.
#[tokio::test(start_paused = true)]
async fn a_pooled_connection_that_died_hands_the_request_back() {
    let (client, mut accepted) = over_memory(Builder::new());
    let server = async {
        let mut io = next(&mut accepted).await;
        read_h1(&mut io).await;
        answer_h1(&mut io).await;
        io
    };
    let first = async {
        let response = client.clone().oneshot(post()).await.expect("a response");
        collect(response).await
    };
    let (body, io) = tokio::join!(first, server);
    assert_eq!(body, "ok");
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    drop(io);
    let told = failure(&client, post()).await;
    assert_eq!(told, Failure::handed_back(FailureKind::Canceled));
    assert!(accepted.try_recv().is_err(), "it was on the pooled connection");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_remote_end_refuses_is_handed_back() {
    let (client, mut accepted) = over_memory(h2());
    let server = tokio::spawn(async move {
        let io = next(&mut accepted).await;
        let mut connection = h2::server::handshake(io).await.expect("http/2");
        let (_request, mut respond) = connection.accept().await.expect("a request").expect("a stream");
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        let (_request, mut respond) = connection.accept().await.expect("a request").expect("a stream");
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        let (_request, mut respond) = connection.accept().await.expect("a request").expect("a stream");
        respond.send_reset(h2::Reason::INTERNAL_ERROR);
        let _ = std::future::poll_fn(|cx| connection.poll_closed(cx)).await;
        accepted.try_recv().is_err()
    });
    let refused = Failure::handed_back(FailureKind::StreamRefused);
    assert_eq!(failure(&client, post()).await, refused);
    assert_eq!(failure(&client, confirm()).await, refused);
    assert_eq!(failure(&client, post()).await, Failure::unknown(FailureKind::Reset));
    drop(client);
    assert!(server.await.expect("the server"), "one connection for all: a reset is about one stream");
}

const HEADERS: u8 = 1;
const DATA_END: (u8, u8) = (0, 1);

/// Speaks just enough HTTP/2 to send GOAWAY with a last stream of its choice, once it has read a request.
async fn go_away(mut io: DuplexStream, last: u32, code: u32, content: bool) -> DuplexStream {
    let mut preface = [0; 24];
    io.read_exact(&mut preface).await.expect("a preface");
    io.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("settings");
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.expect("a frame");
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        io.read_exact(&mut payload).await.expect("its payload");
        if (!content && head[3] == HEADERS) || (content && (head[3], head[4]) == DATA_END) {
            break;
        }
    }
    let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
    frame.extend(last.to_be_bytes());
    frame.extend(code.to_be_bytes());
    io.write_all(&frame).await.expect("writable");
    io
}

#[tokio::test(start_paused = true)]
async fn a_remote_end_that_goes_away_hands_back_what_it_has_not_taken() {
    for code in [0, 2] {
        // Last stream 0: none was taken.
        let (client, mut accepted) = over_memory(h2());
        let server = async { go_away(next(&mut accepted).await, 0, code, true).await };
        let (told, _io) = tokio::join!(failure(&client, post()), server);
        assert_eq!(told, Failure::handed_back(FailureKind::StreamRefused));

        // A request of a head alone: the same error can mean that the head was sent, see `is_remote_go_away`.
        let (client, mut accepted) = over_memory(h2());
        let server = async { go_away(next(&mut accepted).await, 0, code, false).await };
        let (told, _io) = tokio::join!(failure(&client, confirm()), server);
        assert_eq!(told, Failure::unknown(FailureKind::StreamRefused));

        // Last stream 1: this one was taken, and may be executed before the connection ends.
        let (client, mut accepted) = over_memory(h2());
        let server = async { drop(go_away(next(&mut accepted).await, 1, code, true).await) };
        let (told, ()) = tokio::join!(failure(&client, post()), server);
        assert_eq!(told.certainty(), Certainty::Unknown, "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_failed_is_out_before_the_pool_notices() {
    let (mut client, mut accepted) = over_memory(h2());
    let mut waiting = client.call(post());
    let server = async { go_away(next(&mut accepted).await, 0, 0, true).await };
    let (result, _io) = tokio::join!(&mut waiting, server);
    result.expect_err("no response");
    assert!(waiting.poisoned());
}

#[tokio::test(start_paused = true)]
async fn after_a_goaway_the_next_request_gets_a_connection_of_its_own() {
    let (client, mut accepted) = over_memory(h2());
    let server = tokio::spawn(async move {
        let first = go_away(next(&mut accepted).await, 0, 0, true).await;
        let second = go_away(next(&mut accepted).await, 0, 0, true).await;
        drop((first, second));
    });
    for _ in 0..2 {
        // `Canceled` would mean that the dying connection was chosen again.
        assert_eq!(failure(&client, post()).await, Failure::handed_back(FailureKind::StreamRefused));
    }
    server.await.expect("the server");
}

/// Fails with an error that, on its own, would prove that nothing was sent.
#[derive(Clone)]
struct FailsAfter(Option<Bytes>);

impl Body for FailsAfter {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(Some(match self.0.take() {
            Some(bytes) => Ok(Frame::data(bytes)),
            None => Err(h2::Error::from(h2::Reason::REFUSED_STREAM).into()),
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_body_proves_nothing_whatever_made_it_fail() {
    let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    for (builder, greeting) in [(Builder::new(), &b""[..]), (h2(), settings)] {
        let (client, mut accepted) = over_memory(builder);
        let body = FailsAfter(Some(Bytes::from("amount=1099")));
        let request = Request::post("http://sim.test/v1/charges").body(body).expect("a request");
        let server = async {
            let mut io = next(&mut accepted).await;
            io.write_all(greeting).await.expect("writable");
            io
        };
        let (told, _io) = tokio::join!(failure(&client, request), server);
        assert_eq!(told, Failure::unknown(FailureKind::Body));
    }
}

/// With a client of hyper-util's own, the failed body's error stands where an error of the connection would.
#[tokio::test]
async fn a_body_that_fails_with_a_refused_stream_of_another_exchange_proves_nothing() {
    let (ours, theirs) = tokio::io::duplex(1024);
    tokio::spawn(async move {
        let mut server = h2::server::handshake(theirs).await.expect("http/2");
        let (_, mut respond) = server.accept().await.expect("a request").expect("a stream");
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        let _ = std::future::poll_fn(|cx| server.poll_closed(cx)).await;
    });
    let (mut other, connection) = h2::client::handshake(ours).await.expect("http/2");
    tokio::spawn(connection);
    let (response, _) = other.send_request(Request::new(()), true).expect("open");
    let refused = response.await.expect_err("refused");
    assert!(refused.is_remote() && refused.reason() == Some(h2::Reason::REFUSED_STREAM));

    let (sender, mut accepted) = mpsc::unbounded_channel();
    let builder = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new());
    let client = builder.build(Dial(sender));
    let refused = futures_util::stream::iter([Err::<Frame<Bytes>, _>(refused)]);
    let body = http_body_util::StreamBody::new(refused);
    let request = Request::post("http://sim.test/v1/charges").body(body).expect("a request");
    let (result, _io) = tokio::join!(client.request(request), accepted.recv());
    let error = result.expect_err("no response");
    assert!(error.source().and_then(StdError::source).is_some_and(|source| source.is::<h2::Error>()));
    assert_eq!(error.failure().certainty(), Certainty::Unknown);
}

// === the rotation ===

#[tokio::test(start_paused = true)]
async fn two_requests_in_a_row_share_a_connection() {
    let (client, mut accepted) = over_memory(Builder::new());
    let server = tokio::spawn(async move {
        let mut io = next(&mut accepted).await;
        for _ in 0..2 {
            read_h1(&mut io).await;
            answer_h1(&mut io).await;
        }
        assert!(accepted.try_recv().is_err());
        (io, accepted)
    });
    for _ in 0..2 {
        let response = client.clone().oneshot(post()).await.expect("a response");
        assert_eq!(collect(response).await, "ok");
    }
    server.await.expect("the server");

    let (client, mut accepted) = over_memory(h2());
    let server = tokio::spawn(async move {
        let io = next(&mut accepted).await;
        let mut connection = h2::server::handshake(io).await.expect("http/2");
        for _ in 0..2 {
            let (_, mut respond) = connection.accept().await.expect("a request").expect("a stream");
            respond.send_response(Response::new(()), true).expect("open");
        }
        let _ = std::future::poll_fn(|cx| connection.poll_closed(cx)).await;
        assert!(accepted.try_recv().is_err());
    });
    for _ in 0..2 {
        let response = client.clone().oneshot(post()).await.expect("a response");
        assert_eq!(collect(response).await, "");
    }
    drop(client);
    server.await.expect("the server");
}

#[tokio::test(start_paused = true)]
async fn http1_closes_a_connection_whose_response_nobody_waits_for() {
    let (client, mut accepted) = over_memory(Builder::new());
    let mut waiting = Box::pin(client.clone().oneshot(post()));
    let mut first = tokio::select! {
        _ = &mut waiting => panic!("no answer was sent"),
        io = async { let mut io = next(&mut accepted).await; read_h1(&mut io).await; io } => io,
    };
    drop(waiting);
    let server = async {
        let mut second = next(&mut accepted).await;
        read_h1(&mut second).await;
        answer_h1(&mut second).await;
        second
    };
    let (response, _second) = tokio::join!(client.clone().oneshot(post()), server);
    assert_eq!(collect(response.expect("a response")).await, "ok");
    assert!(drained(&mut first).await, "closed by the client");
}

/// The answer is already in the pipe when the future is dropped.
#[tokio::test(start_paused = true)]
async fn http1_does_not_reuse_a_connection_that_answers_too_late() {
    let (client, mut accepted) = over_memory(Builder::new());
    let mut waiting = Box::pin(client.clone().oneshot(post()));
    let mut first = tokio::select! {
        _ = &mut waiting => panic!("no answer was sent"),
        io = async { let mut io = next(&mut accepted).await; read_h1(&mut io).await; io } => io,
    };
    answer_h1(&mut first).await;
    drop(waiting);
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    let server = async {
        let mut second = next(&mut accepted).await;
        read_h1(&mut second).await;
        answer_h1(&mut second).await;
        second
    };
    let (response, _second) = tokio::join!(client.clone().oneshot(post()), server);
    assert_eq!(collect(response.expect("a response")).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn http2_resets_one_stream_takes_the_connection_out_and_lets_the_others_finish() {
    let (client, mut accepted) = over_memory(h2());
    let io = async { next(&mut accepted).await };
    let mut abandoned = Box::pin(client.clone().oneshot(post()));
    let mut connection = tokio::select! {
        _ = &mut abandoned => panic!("no answer was sent"),
        connection = async { h2::server::handshake(io.await).await.expect("http/2") } => connection,
    };
    let mut other = Box::pin(client.clone().oneshot(post()));
    let mut streams = Vec::new();
    while streams.len() < 2 {
        tokio::select! {
            _ = &mut abandoned => panic!("no answer was sent"),
            _ = &mut other => panic!("no answer was sent"),
            stream = connection.accept() => streams.push(stream.expect("open").expect("a stream")),
        }
    }
    let (_, mut respond_other) = streams.pop().expect("two streams");
    let (_, mut respond_abandoned) = streams.pop().expect("two streams");
    assert!(accepted.try_recv().is_err(), "both on one connection");

    drop(abandoned);
    let reset = async {
        tokio::select! {
            reset = std::future::poll_fn(|cx| respond_abandoned.poll_reset(cx)) => reset.expect("a reset"),
            end = connection.accept() => panic!("the connection stays: {end:?}"),
            _ = &mut other => panic!("no answer was sent"),
        }
    };
    assert_eq!(reset.await, h2::Reason::CANCEL);

    // A third request does not go there.
    let third = tokio::spawn(client.clone().oneshot(post()));
    let io = next(&mut accepted).await;
    let mut second = h2::server::handshake(io).await.expect("http/2");
    let (_, mut respond) = second.accept().await.expect("a request").expect("a stream");
    respond.send_response(Response::new(()), true).expect("open");
    tokio::select! {
        response = third => { response.expect("no panic").expect("a response"); }
        end = second.accept() => panic!("{end:?}"),
    }

    // The second one finishes where it was.
    respond_other.send_response(Response::new(()), true).expect("open");
    tokio::select! {
        response = &mut other => { response.expect("a response"); }
        end = connection.accept() => panic!("{end:?}"),
    }
}

// === types ===

#[tokio::test(start_paused = true)]
async fn it_can_be_spawned_boxed_and_with_boxed_bodies() {
    let (client, mut accepted) = over_memory::<UnsyncBoxBody<Bytes, io::Error>>(Builder::new());
    let server = tokio::spawn(async move {
        let mut io = next(&mut accepted).await;
        read_h1(&mut io).await;
    });
    let client = tower::util::BoxCloneSyncService::new(client.map_err(BoxError::from));
    let request = post().map(|body| body.map_err(|never| match never {}).boxed_unsync());
    let result = tokio::spawn(async move { client.oneshot(request).await });
    let error = result.await.expect("no panic").expect_err("no response");
    // Boxed, it still tells what it told.
    assert_eq!(error.failure(), Failure::unknown(FailureKind::Reset));
    server.await.expect("the server");

    let default = Builder::new().build::<Full<Bytes>>();
    let uri = "http://127.0.0.1:1/v1/charges";
    let result = tokio::spawn(async move { default.oneshot(post_to(uri)).await });
    let error: BoxError = result.await.expect("no panic").expect_err("nothing listens there").into();
    assert_eq!(error.failure(), Failure::not_sent(FailureKind::Tcp));
}

#[test]
fn a_failed_body_of_another_exchange_is_not_looked_into() {
    let nested = crate::vocab::tracked::TrackedError::from_body(ResolverErrorSample::connect());
    let boxed: BoxError = Box::new(Outer(Box::new(nested)));
    assert_eq!(boxed.failure(), Failure::unknown(FailureKind::Body));
    let boxed: BoxError = Box::new(Outer(ResolverErrorSample::connect()));
    assert_eq!(boxed.failure(), Failure::unknown(FailureKind::Dns), "a client within another one");
}

/// An error that says of its own exchange that nothing was sent.
struct ResolverErrorSample;

impl ResolverErrorSample {
    fn connect() -> BoxError {
        let mut connector = Connector::new(
            service_fn(|_: Uri| {
                let mut resolver = Resolver::new(service_fn(|_| ready(Err::<(), _>(io::Error::other("x")))));
                async move { resolver.call("stripe.invalid".parse().expect("a name")).await }
            }),
            Duration::from_secs(1),
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let error = runtime.block_on(async { connector.call(Uri::from_static("http://x/")).await });
        let error = error.expect_err("no such name");
        assert_eq!(error.kind(), ConnectErrorKind::Dns);
        assert_eq!(error.to_string(), "the host name could not be resolved, nothing was sent");
        Box::new(error)
    }
}

#[derive(Debug)]
struct Outer(BoxError);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("outer")
    }
}

impl StdError for Outer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

#[test]
fn no_debug_output_shows_a_request_or_a_key() {
    let client = Builder::new().build::<Empty<Bytes>>();
    assert_eq!(format!("{client:?}"), "Client { .. }");
    let shown = format!("{:?}", Builder::new());
    assert!(shown.contains("connect_timeout: 10s") && shown.contains("tls_config: None"), "{shown}");
}
