//! Which connections are used again, and which leave the rotation.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use stripe_sim::{Canned, Fault, Reason, Server, Sim, Step};
use tokio::{io::AsyncWriteExt, net::TcpListener, task::yield_now};
use tower_stripe::{
    Advice, AttemptTimeout, Certainty, FailureKind, Outcome, ResponseExt, RetryLimit, StripeTransport,
    classify::StripeError,
    edge::hyper_util::{Builder, Client, Https},
    retry::RetryConfig,
    vocab::time,
};

use crate::{
    support::{bytes, millis, payment, secs, sim},
    wire::{DATA, Wire, answer, chunked, network, network_of, once, once_within, post, timed_out},
};

// === over TCP ===

// Real sockets want real time: paused, the clock would run ahead while a socket is waited for.

type Stripe = StripeTransport<Client<Https, Full<Bytes>>>;

async fn serve(sim: &Sim) -> Server {
    Server::bind(sim.clone(), (Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port")
}

/// With backoffs that are over at once.
fn stripe(client: Builder) -> Stripe {
    let retry = RetryConfig::builder().base_delay(millis(1)).limiter_base_delay(millis(1));
    let transport = StripeTransport::builder().retry(retry).allow_host("127.0.0.1").build();
    transport.expect("valid settings").layer(client.build())
}

fn to(server: &Server, order: &str) -> Request<Full<Bytes>> {
    let mut request = payment(order);
    let uri = format!("http://{}/v1/payment_intents", server.addr());
    *request.uri_mut() = uri.parse().expect("a uri");
    request
}

fn once_to(server: &Server, order: &str) -> Request<Full<Bytes>> {
    let mut request = to(server, order);
    request.extensions_mut().insert(RetryLimit::NONE);
    request
}

/// Waits until so many requests are being worked on.
async fn under_way(sim: &Sim, requests: usize) {
    while sim.in_flight() != requests {
        yield_now().await;
    }
}

/// E11 of the peers: drained, all ten share one connection; dropped unread, a chunked body costs one each.
#[tokio::test]
async fn ten_calls_that_are_limited_share_one_connection() {
    let limited = || Canned::rate_limited(Reason::GlobalRate);
    for answer in [limited(), limited().header("transfer-encoding", "chunked")] {
        let sim = sim();
        let server = serve(&sim).await;
        let stripe = stripe(Builder::new());
        for n in 0..10 {
            let order = format!("order-{n}");
            sim.script(&order, [Step::Answer(answer.clone())]);
            let response = stripe.send(once_to(&server, &order)).await.expect("an answer");
            assert!(matches!(response.outcome(), Some(Outcome::RateLimited(_))));
            let chunked = response.headers().contains_key("transfer-encoding");
            assert_ne!(chunked, response.headers().contains_key("content-length"));
            // Nobody reads the body: it was read to its end to be understood.
            drop(response);
        }
        assert_eq!((sim.log().len(), server.connections()), (10, 1), "{answer:?}");
    }
}

#[tokio::test]
async fn a_retry_uses_the_connection_of_the_answer_before_it() {
    for failed in
        [Canned::html(503), Canned::html(503).header("transfer-encoding", "chunked"), Canned::empty(503)]
    {
        let sim = sim();
        let server = serve(&sim).await;
        sim.script("o", vec![Step::Answer(failed); 2]);
        let response = stripe(Builder::new()).send(to(&server, "o")).await.expect("an answer");
        assert_eq!((response.status().as_u16(), response.attempts()), (200, Some(3)));
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn a_lost_connection_costs_one_and_the_next_is_kept() {
    let sim = sim();
    let server = serve(&sim).await;
    let stripe = stripe(Builder::new());
    sim.script("o", [Step::Fault(Fault::F3)]);
    for order in ["o", "p", "q"] {
        let response = stripe.send(to(&server, order)).await.expect("an answer");
        bytes(response).await;
    }
    assert_eq!((sim.ledger().total(), server.connections()), (3, 2));
}

#[tokio::test]
async fn a_connection_that_served_an_attempt_that_timed_out_is_not_used_again() {
    for client in [Builder::new(), Builder::new().http2_only(true)] {
        let sim = sim();
        let server = serve(&sim).await;
        let stripe = stripe(client);
        sim.script("late", [Step::Fault(Fault::Slow { delay: secs(600) })]);
        bytes(stripe.send(to(&server, "first")).await.expect("an answer")).await;
        let mut late = once_to(&server, "late");
        late.extensions_mut().insert(AttemptTimeout::new(millis(50)));
        let error = stripe.send(late).await.expect_err("no answer");
        assert!(error.is_timeout());
        assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
        assert_eq!(server.connections(), 1, "they shared it until then");
        for order in ["next", "last"] {
            bytes(stripe.send(to(&server, order)).await.expect("an answer")).await;
        }
        assert_eq!(server.connections(), 2);
    }
}

/// The stream that timed out is reset; another one on its connection gets its answer afterwards.
#[tokio::test]
async fn other_streams_finish_on_a_connection_that_left_the_rotation() {
    let sim = sim();
    let server = serve(&sim).await;
    let stripe = stripe(Builder::new().http2_only(true));
    // On a machine so slow that this one ends first, the test shows less, but does not fail.
    sim.script("other", [Step::Fault(Fault::Slow { delay: millis(400) })]);
    sim.script("late", [Step::Fault(Fault::Slow { delay: secs(600) })]);
    let other = tokio::spawn(stripe.send(once_to(&server, "other")));
    under_way(&sim, 1).await;
    let mut late = once_to(&server, "late");
    late.extensions_mut().insert(AttemptTimeout::new(millis(50)));
    assert!(stripe.send(late).await.expect_err("no answer").is_timeout());

    let next = stripe.send(once_to(&server, "next")).await.expect("an answer");
    assert_eq!(next.certainty(), Some(Certainty::Executed));
    assert_eq!(server.connections(), 2, "one for the two, one for whoever comes after");
    let other = other.await.expect("no panic").expect("an answer");
    assert_eq!((other.certainty(), other.attempts()), (Some(Certainty::Executed), Some(1)));
    bytes(other).await;
}

/// S-03: in real time, 200 ms of it.
#[tokio::test]
async fn a_tls_handshake_that_hangs_ends_at_the_connect_limit_and_has_sent_nothing() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let stripe = stripe(Builder::new().connect_timeout(millis(200)));
    let mut request = post();
    let uri = format!("https://{}/v1/charges", listener.local_addr().expect("bound"));
    *request.uri_mut() = uri.parse().expect("a uri");
    request.extensions_mut().insert(RetryLimit::NONE);
    let (answer, accepted) = tokio::join!(stripe.send(request), listener.accept());
    let error = answer.expect_err("no answer");
    assert_eq!(error.outcome(), Outcome::Transport(FailureKind::ConnectTimeout));
    assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::NewKey));
    drop(accepted);
}

// === over memory, where every byte counts ===

const MIB: usize = 1024 * 1024;

/// Writes a body of so many megabytes, made as it is read; returns how much the client took.
async fn lengthy(wire: &mut Wire, mebibytes: usize, written: &AtomicUsize) {
    let piece = "x".repeat(64 * 1024);
    for _ in 0..mebibytes * 16 {
        if wire.0.write_all(piece.as_bytes()).await.is_err() {
            return;
        }
        written.fetch_add(piece.len(), SeqCst);
    }
}

/// S-118
#[tokio::test(start_paused = true)]
async fn an_error_body_of_a_hundred_megabytes_is_looked_into_and_passes_through() {
    let (stripe, mut peer) = network();
    let written = AtomicUsize::new(0);
    let server = async {
        let mut wire = peer.next().await;
        wire.read().await;
        wire.write(format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n", 100 * MIB)).await;
        lengthy(&mut wire, 100, &written).await;
    };
    let client = async {
        let response = stripe.send(once()).await.expect("an answer");
        let read = written.load(SeqCst);
        assert!(read < MIB, "{read} bytes were taken before the caller asked for one");
        assert_eq!(response.certainty(), Some(Certainty::Rejected));
        assert!(StripeError::of(&response).is_none());
        let (mut body, mut length) = (response.into_body(), 0);
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(100 * MIB as u64));
        while let Some(frame) = body.frame().await {
            let data = frame.expect("no error").into_data().expect("no trailers");
            assert!(data.iter().all(|byte| *byte == b'x'));
            length += data.len();
        }
        assert_eq!(length, 100 * MIB);
    };
    tokio::join!(client, server);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_megabytes_are_not_read_for_the_sake_of_a_connection() {
    let (stripe, mut peer) = network();
    let written = AtomicUsize::new(0);
    let server = async {
        let mut wire = peer.next().await;
        wire.read().await;
        wire.write(format!("HTTP/1.1 503 Slow Down\r\ncontent-length: {}\r\n\r\n", 100 * MIB)).await;
        lengthy(&mut wire, 100, &written).await;
        let mut wire = peer.next().await;
        wire.read().await;
        wire.write(answer("200 OK", "{}")).await;
    };
    let (answer, ()) = tokio::join!(stripe.send(post()), server);
    assert_eq!(answer.expect("an answer").attempts(), Some(2));
    assert!(written.load(SeqCst) < MIB, "{written:?} bytes");
}

/// A body that ends a little after its head, and also after what is looked into, does not cost the connection.
#[tokio::test(start_paused = true)]
async fn a_chunked_error_body_that_ends_late_is_drained_and_its_connection_used_again() {
    for length in [2, 60_000, 70_000] {
        let (stripe, mut peer) = network();
        let server = async {
            let mut wire = peer.next().await;
            let first = wire.read().await;
            let chunk = "x".repeat(length);
            wire.write(chunked("503 Service Unavailable") + &format!("{length:x}\r\n{chunk}\r\n")).await;
            tokio::time::sleep(millis(10)).await;
            wire.write("0\r\n\r\n").await;
            assert_eq!(wire.read().await, first, "on the same connection");
            wire.write(answer("200 OK", "{}")).await;
            assert!(peer.is_alone());
        };
        let (answer, ()) = tokio::join!(stripe.send(post()), server);
        assert_eq!(answer.expect("an answer").attempts(), Some(2));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_body_that_never_ends_is_given_up_with_its_connection() {
    let (stripe, mut peer) = network();
    let server = async {
        let mut stuck = peer.next().await;
        stuck.read().await;
        stuck.write(chunked("503 Service Unavailable") + "2\r\n{}\r\n").await;
        let began = time::now();
        // Closed before the backoff, which is 250 ms at least: one second to look into it, and 100 ms to drain it.
        assert!(stuck.rest().await.is_empty());
        assert_eq!(time::now() - began, millis(1_100));
        let mut wire = peer.next().await;
        wire.read().await;
        wire.write(answer("200 OK", "{}")).await;
    };
    let (answer, ()) = tokio::join!(stripe.send(post()), server);
    assert_eq!(answer.expect("an answer").attempts(), Some(2));
}

/// Two calls wait for one connection; the one for which it is being made gives up.
#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_the_connection_of_another_is_not_lost_with_it() {
    let (stripe, mut peer) = network_of(Builder::new().http2_only(true));
    let stuck = Arc::clone(&peer.open).acquire_owned().await.expect("open");
    let impatient = async {
        timed_out(stripe.send(once_within(secs(5))).await, Certainty::NotSent, Advice::NewKey);
        drop(stuck);
    };
    let patient = async {
        let response = stripe.send(post()).await.expect("an answer");
        assert_eq!(response.certainty(), Some(Certainty::Executed));
        let report = response.report().expect("a report");
        let (_, before) = report.attempts().split_last().expect("an attempt");
        assert!(before.iter().all(|attempt| attempt.certainty == Certainty::NotSent), "{before:?}");
    };
    let server = async {
        let nobody = peer.next().await.rest().await;
        assert_eq!(nobody, b"", "the connection of the one that gave up");
        let mut wire = peer.next().await;
        wire.greet(&[]).await;
        let stream = wire.until(DATA).await;
        wire.answer(stream).await;
    };
    tokio::join!(impatient, patient, server);
}
