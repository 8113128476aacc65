//! What the other side of HTTP/2 hands back was not executed, and is sent again at once; what our own side gave up may
//! have been.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use stripe_sim::{Fault, Server, Sim, Step};
use tower_stripe::{
    Advice, Certainty, FailureKind, Outcome, ResponseExt, RetryLimit, StripeTransport,
    edge::hyper_util::{Builder, Client, Https},
    retry::{BudgetConfig, RetryConfig},
    vocab::{Purpose, Ratio, Stop},
};

use crate::{
    support::{
        assert_one_key_and_body, gaps, millis, payment, secs, sim, statuses, stop_of, transport_of, with,
    },
    wire::{DATA, network_of, once},
};

/// S-18b: in-process.
#[tokio::test(start_paused = true)]
async fn a_refused_stream_and_a_goodbye_cost_neither_an_attempt_nor_budget_nor_time() {
    for fault in [Fault::RefusedStream, Fault::GoAway] {
        let sim = sim();
        sim.script("o", [Step::Fault(fault)]);
        // Nothing is left that a retry could be paid from.
        let budget = BudgetConfig::default().ratio(Ratio::percent(0)).per_second(0).max_balance(1);
        let retry = RetryConfig::builder().budget(budget);
        let stripe = transport_of(&sim, StripeTransport::builder().retry(retry));
        sim.script("spent", [Step::Fault(Fault::F3)]);
        stripe.clone().send(payment("spent")).await.expect("the only retry there is");

        let response = stripe.send(with(payment("o"), RetryLimit::NONE)).await.expect("sent again");
        assert_eq!(
            (response.certainty(), response.advice()),
            (Some(Certainty::Executed), Some(Advice::Done))
        );
        assert_eq!(response.was_replayed(), Some(false));
        let report = response.report().expect("a report");
        let told: Vec<_> =
            report.attempts().iter().map(|attempt| (attempt.purpose, attempt.certainty)).collect();
        assert_eq!(told, [(Purpose::First, Certainty::NotSent), (Purpose::Resend, Certainty::Executed)]);
        assert_eq!((statuses(&sim, "o"), gaps(&sim, "o")), (vec![None, Some(200)], vec![millis(0)]));
        assert_eq!(sim.ledger().executions("o"), 1);
        assert_one_key_and_body(&sim, "o");
    }
}

/// S-18b: once per call; from then on it is an ordinary retry, and in the end nothing was sent.
#[tokio::test(start_paused = true)]
async fn a_server_that_goes_on_refusing_is_left_alone_after_the_attempts() {
    let sim = sim();
    sim.script("o", vec![Step::Fault(Fault::RefusedStream); 9]);
    let error = transport_of(&sim, StripeTransport::builder()).send(payment("o")).await.expect_err("refused");

    assert_eq!(stop_of(&error), Some(Stop::Attempts));
    assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::NewKey));
    let gaps = gaps(&sim, "o");
    assert_eq!((gaps.len(), gaps[0]), (3, millis(0)), "three attempts and the one that does not count");
    assert!(gaps[1..].iter().all(|gap| *gap >= millis(250)), "{gaps:?}");
    assert!(sim.log_of("o").iter().all(|seen| seen.body.is_empty()));
    assert_eq!(sim.ledger().executions("o"), 0);
    assert_one_key_and_body(&sim, "o");
}

fn to(server: &Server, order: &str) -> Request<Full<Bytes>> {
    let mut request = with(payment(order), RetryLimit::NONE);
    let uri = format!("http://{}/v1/payment_intents", server.addr());
    *request.uri_mut() = uri.parse().expect("a uri");
    request
}

fn h2c() -> StripeTransport<Client<Https, Full<Bytes>>> {
    let transport = StripeTransport::builder().allow_host("127.0.0.1").build().expect("valid settings");
    tower::Layer::layer(&transport, Builder::new().http2_only(true).build())
}

async fn serve(sim: &Sim) -> Server {
    Server::bind(sim.clone(), (Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port")
}

/// S-18b: over TCP, in real time.
#[tokio::test]
async fn what_a_server_hands_back_over_a_socket_is_sent_again_and_charged_once() {
    for (fault, connections) in [(Fault::RefusedStream, 1), (Fault::GoAway, 2)] {
        for warm in [true, false] {
            let sim = sim();
            let server = serve(&sim).await;
            let stripe = h2c();
            sim.script("o", [Step::Fault(fault)]);
            if warm {
                stripe.clone().send(to(&server, "before")).await.expect("paid");
            }
            let response = stripe.send(to(&server, "o")).await.expect("sent again");

            assert_eq!(response.certainty(), Some(Certainty::Executed), "{fault:?}");
            let report = response.report().expect("a report");
            let first = &report.attempts()[0];
            assert_eq!(first.outcome, Outcome::Transport(FailureKind::StreamRefused), "{fault:?}");
            let told: Vec<_> =
                report.attempts().iter().map(|attempt| (attempt.purpose, attempt.certainty)).collect();
            assert_eq!(told, [(Purpose::First, Certainty::NotSent), (Purpose::Resend, Certainty::Executed)]);
            assert_eq!(statuses(&sim, "o"), [None, Some(200)]);
            assert_eq!((sim.ledger().executions("o"), server.connections()), (1, connections), "{fault:?}");
            assert_one_key_and_body(&sim, "o");
        }
    }
}

const GOAWAY: u8 = 7;

/// The same words on the wire, from the other end of it.
#[tokio::test(start_paused = true)]
async fn a_goodbye_of_our_own_is_unknown_and_one_of_the_server_is_sent_again() {
    // Ours: the server speaks nonsense, DATA on no stream, after it has read the request.
    let (stripe, mut peer) = network_of(Builder::new().http2_only(true));
    let server = async {
        let mut wire = peer.next().await;
        wire.greet(&[]).await;
        wire.until(DATA).await;
        wire.write([0, 0, 1, DATA, 0, 0, 0, 0, 0, b'x']).await;
        wire.until(GOAWAY).await;
        tokio::time::sleep(secs(60)).await;
        assert!(peer.is_alone(), "it is not sent again");
    };
    let (result, ()) = tokio::join!(stripe.send(once()), server);
    let error = result.expect_err("no answer");
    assert_eq!(error.outcome(), Outcome::Transport(FailureKind::Protocol));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!((error.attempts(), stop_of(&error)), (1, Some(Stop::Attempts)));

    // The server's: no stream was looked at.
    let (stripe, mut peer) = network_of(Builder::new().http2_only(true));
    let server = async {
        let mut wire = peer.next().await;
        wire.greet(&[]).await;
        wire.until(DATA).await;
        wire.write([[0, 0, 8, GOAWAY, 0, 0, 0, 0, 0].as_slice(), &[0; 8]].concat()).await;
        let mut next = peer.next().await;
        next.greet(&[]).await;
        let stream = next.until(DATA).await;
        next.answer(stream).await;
    };
    let (result, ()) = tokio::join!(stripe.send(once()), server);
    let response = result.expect("an answer");
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Executed), Some(Advice::Done)));
    let report = response.report().expect("a report");
    let told: Vec<_> = report.attempts().iter().map(|attempt| (attempt.purpose, attempt.certainty)).collect();
    assert_eq!(told, [(Purpose::First, Certainty::NotSent), (Purpose::Resend, Certainty::Executed)]);
}

/// The server's goodbye names the last stream that it will answer: one that is not above it is not handed back.
#[tokio::test(start_paused = true)]
async fn a_goodbye_that_keeps_the_stream_leaves_it_unknown_if_the_answer_does_not_come() {
    let (stripe, mut peer) = network_of(Builder::new().http2_only(true));
    let server = async {
        let mut wire = peer.next().await;
        wire.greet(&[]).await;
        let [a, b, c, d] = wire.until(DATA).await.to_be_bytes();
        wire.write([[0, 0, 8, GOAWAY, 0, 0, 0, 0, 0].as_slice(), &[a, b, c, d, 0, 0, 0, 0]].concat()).await;
        tokio::time::sleep(secs(1)).await;
        drop(wire);
        tokio::time::sleep(secs(60)).await;
        assert!(peer.is_alone(), "it is not sent again");
    };
    let (result, ()) = tokio::join!(stripe.send(once()), server);
    let error = result.expect_err("no answer");
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!(error.attempts(), 1);
}
