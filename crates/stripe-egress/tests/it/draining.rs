//! How it stops: nothing that was accepted is lost, and what cannot be known is said.

use std::{io::Write, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use stripe_sim::{Fault, Latency, Limits, Profile, Sim, Step};
use tokio::{
    net::TcpStream,
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::support::{
    API_KEY, NoAnswer, account, egress, get, header, millis, payment, process::Process, read_all, secs, send,
    serve, sim, try_send, until,
};

const FREE: &str = "[governor]\nenabled = false\n";

/// Pays one order after the other, each on a connection of its own, until nobody listens. Returns the orders whose answer
/// came, and those that were taken and never answered.
async fn pay_on_new_connections(addr: SocketAddr, worker: usize) -> (Vec<String>, Vec<String>) {
    let (mut answered, mut lost) = (Vec::new(), Vec::new());
    for n in 0.. {
        let order = format!("new-{worker}-{n}");
        match try_send(addr, payment(&order)).await {
            Ok(response) if response.status() == 200 => answered.push(order),
            Ok(response) => panic!("{order}: {} {:?}", response.status(), response.body()),
            Err(NoAnswer::NotConnected) => break,
            Err(NoAnswer::Lost) => lost.push(order),
        }
    }
    (answered, lost)
}

/// The same on a connection that is kept, until it is asked to close.
async fn pay_on_one_connection(addr: SocketAddr, worker: usize) -> (Vec<String>, Vec<String>) {
    let (mut answered, mut lost) = (Vec::new(), Vec::new());
    let stream = TcpStream::connect(addr).await.expect("it listens");
    let (mut sender, connection) =
        http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    for n in 0.. {
        let order = format!("kept-{worker}-{n}");
        if sender.ready().await.is_err() {
            break;
        }
        match sender.send_request(payment(&order)).await {
            Ok(response) => {
                let last = header(&response, "connection") == Some("close");
                assert_eq!(response.status(), 200, "{order}");
                match response.into_body().collect().await {
                    Ok(_) => answered.push(order),
                    Err(_) => lost.push(order),
                }
                if last {
                    break;
                }
            }
            Err(error) if error.is_canceled() => break,
            Err(_) => lost.push(order),
        }
    }
    (answered, lost)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_under_load_loses_no_call_that_was_accepted() {
    let latency = Latency::all(Profile::log_normal(millis(20), millis(120)));
    let sim = Sim::builder().limits(Limits::unlimited()).latency(latency).build();
    let server = serve(&sim).await;
    let process = Process::start(server.addr(), FREE).await;
    let addr = process.addr();
    let mut paying = JoinSet::new();
    for worker in 0..12 {
        paying.spawn(pay_on_new_connections(addr, worker));
        paying.spawn(pay_on_one_connection(addr, worker));
    }
    until(|| sim.ledger().total() >= 150).await;
    process.signal("TERM").await;
    let (mut answered, mut lost) = (Vec::new(), Vec::new());
    while let Some(done) = paying.join_next().await {
        let (of_one, not_of_one) = done.expect("no panic");
        answered.extend(of_one);
        lost.extend(not_of_one);
    }
    let (status, log) = process.ended().await;
    assert_eq!(lost, Vec::<String>::new());
    assert_eq!(status.code(), Some(0), "{log}");
    sim.quiesce().await;
    let ledger = sim.ledger();
    assert_eq!(ledger.charged_twice(), Vec::<&str>::new());
    let mut answered: Vec<_> = answered.iter().map(String::as_str).collect();
    answered.sort_unstable();
    assert_eq!(ledger.executed_orders(), answered, "what was executed was answered, and nothing else");
    assert!(answered.len() >= 150 && !log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn what_cannot_be_known_at_the_end_is_logged_and_is_the_exit_status() {
    let sim = sim();
    sim.script("hangs", [Step::Hang]);
    let server = serve(&sim).await;
    let process = Process::start(server.addr(), "[drain]\nwithin = '200ms'").await;
    let addr = process.addr();
    let paying = tokio::spawn(async move { try_send(addr, payment("hangs")).await });
    until(|| sim.in_flight() == 1).await;
    process.signal("TERM").await;
    let (status, log) = process.ended().await;
    assert_eq!(status.code(), Some(3), "{log}");
    let line = log
        .lines()
        .find(|line| line.contains("unresolved: it may have been executed"))
        .expect("a line for it");
    assert!(line.contains("payment_intents.create") && line.contains("same_key"), "{line}");
    assert!(!log.contains("ts_") && !log.contains("sk_test"), "keys are in {log}");
    assert!(paying.await.expect("no panic").is_err(), "it was cut off");
}

#[tokio::test]
async fn a_payment_whose_client_has_gone_is_finished_before_it_stops() {
    let sim = sim();
    sim.script("left", [Step::Fault(Fault::Slow { delay: millis(400) })]);
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    let addr = egress.addr();
    let client = tokio::spawn(async move { try_send(addr, payment("left")).await });
    until(|| sim.in_flight() == 1).await;
    client.abort();
    until(|| egress.calls_under_way() == 0).await;
    let drained = egress.drain().await;
    assert!(drained.is_clean(), "{drained:?}");
    assert_eq!((sim.ledger().executions("left"), sim.in_flight()), (1, 0));
}

#[tokio::test]
async fn while_it_lingers_it_is_not_ready_and_still_serves() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "[drain]\nlinger = '400ms'").await;
    let (addr, admin) = (egress.addr(), egress.admin_addr().expect("it has pages"));
    assert_eq!(send(admin, get("/readyz")).await.status(), 200);
    let started = Arc::new(Notify::new());
    let draining = tokio::spawn({
        let started = Arc::clone(&started);
        async move {
            started.notify_one();
            egress.drain().await
        }
    });
    started.notified().await;
    let mut ready = send(admin, get("/readyz")).await;
    for _ in 0..50 {
        if ready.status() == 503 {
            break;
        }
        sleep(millis(2)).await;
        ready = send(admin, get("/readyz")).await;
    }
    assert_eq!((ready.status().as_u16(), ready.body().as_ref()), (503, &b"draining\n"[..]));
    let response = send(addr, payment("late")).await;
    assert_eq!((response.status().as_u16(), account(&response).1), (200, "executed"));
    assert!(timeout(secs(10), draining).await.expect("it ends").expect("no panic").is_clean());
    assert_eq!(
        try_send(addr, payment("too-late")).await.expect_err("nobody listens"),
        NoAnswer::NotConnected
    );
    assert_eq!(sim.log_of("too-late").len(), 0);
}

#[tokio::test]
async fn who_is_connected_when_it_stops_is_answered_though_nobody_had_accepted_yet() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    // This thread is the only one: while it connects, nothing is accepted.
    let clients: Vec<_> = (0..20)
        .map(|n| {
            let mut stream = std::net::TcpStream::connect(egress.addr()).expect("the system takes it");
            let form = format!(
                "amount=1&currency=eur&confirm=true&payment_method=pm_card_visa&metadata[order]=early-{n}"
            );
            let request = format!(
                "POST /v1/payment_intents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\n\
                 content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
                form.len()
            );
            stream.write_all(request.as_bytes()).expect("it is taken");
            stream.set_nonblocking(true).expect("an option");
            stream
        })
        .collect();
    assert!(egress.drain().await.is_clean());
    for (n, stream) in clients.into_iter().enumerate() {
        let answer = read_all(&mut TcpStream::from_std(stream).expect("a stream")).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.contains("connection: close"),
            "{n}: {answer}"
        );
        assert_eq!(sim.ledger().executions(&format!("early-{n}")), 1);
    }
}
