//! Over real sockets: both protocols, and connections that really die. No test here depends on time.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use stripe_sim::{Fault, Server, Sim, Step};
use tokio::net::TcpStream;

use crate::client::{Call, charge, sim};

enum Client {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    async fn one(server: &Server) -> Self {
        let stream = TcpStream::connect(server.addr()).await.expect("the server listens");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        Self::One(sender)
    }

    async fn two(server: &Server) -> Self {
        let stream = TcpStream::connect(server.addr()).await.expect("the server listens");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.expect("a connection");
        tokio::spawn(connection);
        Self::Two(sender)
    }

    async fn send(&mut self, call: &Call) -> hyper::Result<Response<Incoming>> {
        let request: Request<Full<Bytes>> = call.request();
        match self {
            Self::One(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Two(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

async fn serve(sim: &Sim) -> Server {
    Server::bind(sim.clone(), (Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port")
}

#[tokio::test]
async fn both_protocols_answer_on_one_port_and_reuse_their_connection() {
    let sim = sim();
    let server = serve(&sim).await;
    for mut client in [Client::one(&server).await, Client::two(&server).await] {
        for _ in 0..3 {
            let response = client.send(&charge("a").key("k")).await.expect("an answer");
            assert_eq!(response.status(), StatusCode::OK);
            let length = response.headers()["content-length"].clone();
            let body = response.collect().await.expect("a whole body").to_bytes();
            assert_eq!(length, body.len().to_string());
        }
    }
    assert_eq!((sim.ledger().executions("a"), server.connections(), sim.connections()), (1, 2, 2));
}

#[tokio::test]
async fn a_lost_answer_kills_the_connection_of_http_1() {
    for fault in
        [Fault::F0, Fault::F1 { pulled: 0 }, Fault::F2, Fault::F3, Fault::RefusedStream, Fault::GoAway]
    {
        let sim = sim();
        let server = serve(&sim).await;
        sim.script("a", [Step::Fault(fault)]);
        let mut client = Client::one(&server).await;
        client.send(&charge("a").key("k")).await.expect_err("the connection dies");
        client.send(&charge("a").key("k")).await.expect_err("it is dead");
        assert_eq!(sim.ledger().executions("a"), u32::from(fault == Fault::F3), "{fault:?}");
        let response = Client::one(&server).await.send(&charge("a").key("k")).await.expect("an answer");
        assert_eq!(response.headers().contains_key("idempotent-replayed"), fault == Fault::F3);
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn a_lost_answer_resets_the_connection_instead_of_closing_it() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let sim = sim();
    let server = serve(&sim).await;
    sim.script("a", [Step::Fault(Fault::F2)]);
    let mut stream = TcpStream::connect(server.addr()).await.expect("the server listens");
    stream
        .write_all(b"GET /v1/customers HTTP/1.1\r\nhost: sim\r\nx-sim-order: a\r\n\r\n")
        .await
        .expect("it is sent");
    let error = stream.read(&mut [0; 64]).await.expect_err("there is nothing to read");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_lost_answer_resets_only_its_stream_of_http_2() {
    let sim = sim();
    let server = serve(&sim).await;
    sim.script("a", [Step::Fault(Fault::F3)]);
    let mut client = Client::two(&server).await;
    client.send(&charge("a").key("k")).await.expect_err("the stream is reset");
    let response = client.send(&charge("a").key("k")).await.expect("the connection lives");
    assert_eq!(response.headers()["idempotent-replayed"], "true");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_cut_body_is_cut_on_the_wire() {
    let sim = sim();
    let server = serve(&sim).await;
    for (order, mut client) in [("a", Client::one(&server).await), ("b", Client::two(&server).await)] {
        sim.script(order, [Step::Fault(Fault::F4Cut)]);
        let mut body = client.send(&charge(order).key(order)).await.expect("the head arrives").into_body();
        let first = body.frame().await.expect("a frame").expect("half of the body");
        assert!(first.data_ref().is_some_and(|half| !half.is_empty()));
        assert!(body.frame().await.expect("an end").is_err(), "{order}");
        assert_eq!(sim.ledger().executions(order), 1);
    }
}

#[tokio::test]
async fn a_shut_down_server_finishes_and_then_refuses() {
    let sim = sim();
    let server = serve(&sim).await;
    let addr = server.addr();
    let mut client = Client::one(&server).await;
    client.send(&charge("a")).await.expect("an answer").collect().await.expect("a whole body");
    server.shutdown().await;
    assert!(client.send(&charge("b")).await.is_err());
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_dropped_server_takes_its_connections_along() {
    let sim = sim();
    let server = serve(&sim).await;
    let mut client = Client::one(&server).await;
    client.send(&charge("a")).await.expect("an answer").collect().await.expect("a whole body");
    drop(server);
    assert!(client.send(&charge("b")).await.is_err());
}
