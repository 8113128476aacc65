//! What HTTP/2 can say that HTTP/1.1 cannot: this request was not looked at.

use std::{error::Error, net::Ipv4Addr};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use stripe_sim::{Fault, Server, Sim, SimErrorKind, Step};
use tokio::net::TcpStream;

use crate::client::{Call, charge, sim};

type Sender = http2::SendRequest<Full<Bytes>>;

async fn serve(sim: &Sim) -> Server {
    Server::bind(sim.clone(), (Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port")
}

async fn connect(server: &Server) -> Sender {
    let stream = TcpStream::connect(server.addr()).await.expect("the server listens");
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    sender
}

async fn send(sender: &mut Sender, call: &Call) -> hyper::Result<Response<Incoming>> {
    sender.ready().await?;
    sender.send_request(call.request()).await
}

/// What HTTP/2 says about why a request failed.
fn reason(error: &hyper::Error) -> &h2::Error {
    let source = error.source().expect("there is a reason");
    source.downcast_ref().expect("it is one of HTTP/2")
}

fn order(order: &str) -> Call {
    charge(order).header("x-sim-order", order).key(order)
}

#[tokio::test(start_paused = true)]
async fn in_process_a_refusal_is_an_error_of_its_own() {
    for fault in [Fault::RefusedStream, Fault::GoAway] {
        let sim = sim();
        sim.script("a", [Step::Fault(fault), Step::Fault(fault)]);
        for (call, pulled) in [(order("a"), false), (charge("a"), true)] {
            let error = call.send(&sim).await.expect_err("it is refused");
            assert_eq!(
                (error.kind(), error.fault(), error.body_pulled()),
                (SimErrorKind::Refused, fault, pulled)
            );
        }
        assert_eq!(sim.ledger().executions("a"), 0);
    }
}

#[tokio::test]
async fn a_refused_stream_leaves_the_connection_alone() {
    let sim = sim();
    let server = serve(&sim).await;
    sim.script("a", [Step::Fault(Fault::RefusedStream)]);
    let mut client = connect(&server).await;
    let error = send(&mut client, &order("a")).await.expect_err("it is refused");
    let reason = reason(&error);
    assert!(reason.is_reset() && reason.is_remote() && !reason.is_go_away(), "{reason:?}");
    assert_eq!(reason.reason(), Some(h2::Reason::REFUSED_STREAM));
    assert_eq!(sim.ledger().executions("a"), 0);
    assert_eq!(send(&mut client, &order("a")).await.expect("an answer").status(), StatusCode::OK);
    assert_eq!((sim.ledger().executions("a"), server.connections()), (1, 1));
}

#[tokio::test]
async fn a_goodbye_refuses_what_it_names_and_ends_the_connection() {
    let sim = sim();
    let server = serve(&sim).await;
    sim.script("b", [Step::Fault(Fault::GoAway)]);
    let mut client = connect(&server).await;
    assert_eq!(send(&mut client, &order("a")).await.expect("an answer").status(), StatusCode::OK);
    let error = send(&mut client, &order("b")).await.expect_err("it is refused");
    let reason = reason(&error);
    assert!(reason.is_go_away() && reason.is_remote(), "{reason:?}");
    assert_eq!(reason.reason(), Some(h2::Reason::NO_ERROR));
    send(&mut client, &order("b")).await.expect_err("the connection ends");
    assert_eq!((sim.ledger().executions("a"), sim.ledger().executions("b")), (1, 0));

    let mut client = connect(&server).await;
    assert_eq!(send(&mut client, &order("b")).await.expect("an answer").status(), StatusCode::OK);
    assert_eq!(sim.ledger().executions("b"), 1);
}

#[tokio::test]
async fn the_first_stream_can_be_refused_by_a_goodbye_too() {
    let sim = sim();
    let server = serve(&sim).await;
    sim.script("a", [Step::Fault(Fault::GoAway)]);
    let error = send(&mut connect(&server).await, &order("a")).await.expect_err("it is refused");
    assert!(reason(&error).is_go_away() && reason(&error).is_remote(), "{error:?}");
    assert_eq!(sim.ledger().executions("a"), 0);
}

#[tokio::test]
async fn a_goodbye_never_disowns_a_stream_that_was_executed() {
    for round in 0..20 {
        let sim = sim();
        let server = serve(&sim).await;
        sim.script("x", [Step::Fault(Fault::GoAway)]);
        let client = connect(&server).await;
        let calls = ["a", "b", "x", "c", "d"].map(|name| {
            let mut client = client.clone();
            tokio::spawn(async move { (name, send(&mut client, &order(name)).await) })
        });
        for call in calls {
            let (name, result) = call.await.expect("no panic");
            if let Err(error) = result {
                assert!(reason(&error).is_remote(), "{name} in round {round}");
                assert_eq!(sim.ledger().executions(name), 0, "{name} in round {round}");
            }
        }
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::sync::Arc;

    use hyper::client::conn::http1;
    use tokio_rustls::{
        TlsConnector,
        client::TlsStream,
        rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
    };

    use super::*;

    async fn connect(server: &Server, name: &str, alpn: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let certificate = server.certificate().expect("it has one").to_vec();
        roots.add(certificate.into()).expect("the certificate is one");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let stream = TcpStream::connect(server.addr()).await.expect("the server listens");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn serve(sim: &Sim) -> Server {
        Server::bind_tls(sim.clone(), (Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port")
    }

    #[tokio::test]
    async fn both_protocols_are_negotiated() {
        let sim = sim();
        let server = serve(&sim).await;
        for name in ["localhost", "127.0.0.1", "api.stripe.com"] {
            let stream = connect(&server, name, "h2").await.expect("it is trusted");
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (mut sender, connection) = handshake.await.expect("a connection");
            tokio::spawn(connection);
            assert_eq!(send(&mut sender, &order("a")).await.expect("an answer").status(), StatusCode::OK);

            let stream = connect(&server, name, "http/1.1").await.expect("it is trusted");
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.expect("a connection");
            tokio::spawn(connection);
            let response = sender.send_request(order("a").request()).await.expect("an answer");
            assert_eq!(response.headers()["idempotent-replayed"], "true");
        }
        assert_eq!(sim.ledger().executions("a"), 1);
        assert!(connect(&server, "elsewhere.test", "h2").await.is_err());
    }

    #[tokio::test]
    async fn faults_reach_through() {
        let sim = sim();
        let server = serve(&sim).await;
        sim.script("a", [Step::Fault(Fault::F3), Step::Fault(Fault::GoAway)]);
        let stream = connect(&server, "localhost", "http/1.1").await.expect("it is trusted");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        sender.send_request(order("a").request()).await.expect_err("the answer is lost");

        let stream = connect(&server, "localhost", "h2").await.expect("it is trusted");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.expect("a connection");
        tokio::spawn(connection);
        let error = send(&mut sender, &order("a")).await.expect_err("it is refused");
        assert!(reason(&error).is_go_away(), "{error:?}");
        assert_eq!(sim.ledger().executions("a"), 1);
    }
}
