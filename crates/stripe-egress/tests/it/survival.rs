//! What no client and no upstream can do: bring it down, fill its memory, or make it send what nobody sent.

use std::{net::SocketAddr, time::Duration};

use http::Response;
use stripe_sim::{Sim, Step};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::support::{
    API_KEY, NoAnswer, account, code, egress, get, json, listener, millis, payment,
    process::Process,
    raw, read_all, secs, send, serve, sim, try_send, until,
    upstream::{Upstream, stripe_says},
    with,
};

const MIB: usize = 1024 * 1024;

/// That it still does what it is for.
async fn it_pays(addr: SocketAddr, sim: &Sim, order: &str) {
    let response = timeout(secs(10), send(addr, payment(order))).await.expect("it answers");
    assert_eq!(
        (response.status().as_u16(), account(&response).1),
        (200, "executed"),
        "{:?}",
        response.body()
    );
    assert_eq!(sim.ledger().executions(order), 1);
}

async fn open_connections(admin: SocketAddr) -> u64 {
    json(&send(admin, get("/status")).await)["connections"]["open"].as_u64().expect("a number")
}

async fn no_connection_is_left(admin: SocketAddr) {
    for _ in 0..1_000 {
        if open_connections(admin).await == 0 {
            return;
        }
        sleep(millis(5)).await;
    }
    panic!("{} connections are left", open_connections(admin).await);
}

#[tokio::test]
async fn clients_that_are_slow_to_speak_are_hung_up_on_and_hold_nobody_up() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "[limits]\nidle = '400ms'\nbody_idle = '400ms'").await;
    let mut slow = JoinSet::new();
    for n in 0..40_usize {
        let addr = egress.addr();
        slow.spawn(async move {
            let mut stream = TcpStream::connect(addr).await.expect("a connection");
            let whole = "POST /v1/customers HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\nemail=";
            // Some stop within the head, some within the body, some never begin.
            let part = &whole[..n * whole.len() / 39];
            stream.write_all(part.as_bytes()).await.expect("it is taken");
            read_all(&mut stream).await
        });
    }
    it_pays(egress.addr(), &sim, "meanwhile").await;
    while let Some(answer) = timeout(secs(10), slow.join_next()).await.expect("none hangs") {
        let answer = answer.expect("no panic");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    no_connection_is_left(egress.admin_addr().expect("it has pages")).await;
    assert_eq!(sim.log().len(), 1, "nothing that was half said was sent");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_hung_up_on() {
    let upstream = Upstream::answering(|_| stripe_says(200, vec![b'x'; 32 * MIB])).await;
    let egress = egress(upstream.addr(), "[limits]\nwrite_stall = '300ms'").await;
    let mut stream = TcpStream::connect(egress.addr()).await.expect("a connection");
    stream
        .write_all(b"GET /v1/files/file_1/contents HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("it is taken");
    no_connection_is_left(egress.admin_addr().expect("it has pages")).await;
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got).await;
    assert!(!got.is_empty() && got.len() < 32 * MIB, "{}", got.len());
}

#[tokio::test]
async fn a_payment_of_a_client_that_closed_half_its_connection_is_finished() {
    let sim = sim();
    sim.script("half", [Step::Fault(stripe_sim::Fault::Slow { delay: millis(150) })]);
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    let form = "amount=1&currency=eur&confirm=true&payment_method=pm_card_visa&metadata[order]=half";
    let mut stream = TcpStream::connect(egress.addr()).await.expect("a connection");
    let request = format!(
        "POST /v1/payment_intents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    stream.write_all(request.as_bytes()).await.expect("it is taken");
    until(|| sim.in_flight() == 1).await;
    stream.shutdown().await.expect("half of it");
    assert_eq!(read_all(&mut stream).await, "", "who closes counts as gone");
    until(|| sim.ledger().executions("half") == 1).await;
    no_connection_is_left(egress.admin_addr().expect("it has pages")).await;
    // A read is dropped with its client.
    assert_eq!(egress.calls_under_way(), 0);
    it_pays(egress.addr(), &sim, "after").await;
}

#[tokio::test]
async fn a_thousand_idle_connections_are_in_nobodys_way() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(TcpStream::connect(egress.addr()).await.expect("a connection"));
    }
    it_pays(egress.addr(), &sim, "among-them").await;
    assert!(open_connections(egress.admin_addr().expect("it has pages")).await >= 1_000);
    let request = format!(
        "GET /v1/customers HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\nconnection: close\r\n\r\n"
    );
    for stream in idle.iter_mut().step_by(50) {
        stream.write_all(request.as_bytes()).await.expect("it is open");
        assert!(read_all(stream).await.starts_with("HTTP/1.1 200 OK"));
    }
    drop(idle);
    no_connection_is_left(egress.admin_addr().expect("it has pages")).await;
}

#[tokio::test]
async fn a_connection_too_many_is_told_so_and_there_is_room_again_later() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "[limits]\nmax_connections = 2").await;
    let admin = egress.admin_addr().expect("it has pages");
    let idle = [TcpStream::connect(egress.addr()).await, TcpStream::connect(egress.addr()).await];
    for _ in 0..1_000 {
        if open_connections(admin).await == 2 {
            break;
        }
        sleep(millis(2)).await;
    }
    let response = send(egress.addr(), with(payment("too-many"), "idempotency-key", "order-9")).await;
    assert_eq!((response.status().as_u16(), code(&response).as_str()), (429, "egress_saturated"));
    assert_eq!(account(&response), (0, "not_sent", "same_key", "false"));
    drop(idle);
    no_connection_is_left(admin).await;
    it_pays(egress.addr(), &sim, "later").await;
    assert!(sim.log_of("too-many").is_empty());
}

#[tokio::test]
async fn what_is_no_http_is_answered_and_nothing_of_it_is_sent() {
    let upstream = Upstream::answering(|_| stripe_says(200, "{}")).await;
    let process = Process::start(upstream.addr(), "").await;
    let long = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(2 * MIB));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(20_000));
    for (what, bytes) in [
        ("nothing", ""),
        ("lines", "\r\n\r\n\r\n"),
        ("text", "hello there\r\n\r\n"),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}"),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("a version", "GET / HTTP/9.9\r\nhost: x\r\n\r\n"),
        ("a method", "G@T / HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("a path", "GET /\u{7f}\u{1} HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("a header", "GET / HTTP/1.1\r\nhost x\r\n\r\n"),
        ("a NUL", "GET / HTTP/1.1\r\nhost: \0\r\n\r\n"),
        ("a folded line", "GET / HTTP/1.1\r\nhost: x\r\n a\r\n\r\n"),
        (
            "two lengths",
            "POST /v1/charges HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        ),
        ("a length", "POST /v1/charges HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n"),
        ("a coding", "POST /v1/charges HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n"),
        ("a chunk", "POST /v1/charges HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        ("a flood of headers", &many),
        ("a header without an end", &long),
    ] {
        let mut stream = TcpStream::connect(process.addr()).await.expect("a connection");
        // It may be refused before all of it was taken.
        let _ = stream.write_all(bytes.as_bytes()).await;
        let _ = stream.shutdown().await;
        let answer =
            timeout(secs(10), read_all(&mut stream)).await.unwrap_or_else(|_| panic!("{what} hangs"));
        let refused = answer.is_empty()
            || ["HTTP/1.1 400 ", "HTTP/1.1 431 "].iter().any(|line| answer.starts_with(line));
        assert!(refused, "{what}: {answer}");
        if what.starts_with("a flood") {
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
        }
    }
    // One whose two lengths contradict each other is one request, by the rules of HTTP, and not two.
    let smuggled = "POST /v1/customers HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\
                    connection: close\r\n\r\n0\r\n\r\nGET /v1/payouts HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = raw(process.addr(), smuggled).await;
    assert!(upstream.take().iter().all(|received| received.target != "/v1/payouts"), "{answer}");
    let peak = process.peak_memory();
    assert!(peak < 64 * 1024, "{peak} KiB for floods of 2 MiB");
    process.signal("TERM").await;
    let (status, log) = process.ended().await;
    assert!(status.success() && !log.contains("panicked"), "{status}: {log}");
}

/// An upstream that reads and counts, and keeps nothing; it answers with so many bytes.
async fn counting(answer: usize) -> (SocketAddr, tokio::sync::watch::Receiver<u64>) {
    let listener = listener().await;
    let addr = listener.local_addr().expect("an address");
    let (count, counted) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let count = count.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                let mut head = Vec::new();
                let end = loop {
                    let read = stream.read(&mut buffer).await.expect("it is sent");
                    assert!(read > 0, "the head is whole");
                    head.extend_from_slice(&buffer[..read]);
                    if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                        break at + 4;
                    }
                };
                let text = String::from_utf8_lossy(&head[..end]).to_lowercase();
                let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
                let mut left = length.map_or(0, |length| length.parse::<u64>().expect("a number"));
                let chunked = text.contains("transfer-encoding: chunked");
                let mut seen = (head.len() - end) as u64;
                let mut tail = head[end..].to_vec();
                while chunked && !tail.ends_with(b"0\r\n\r\n") || !chunked && seen < left {
                    let read = stream.read(&mut buffer).await.expect("it is sent");
                    if read == 0 {
                        return;
                    }
                    seen += read as u64;
                    tail.extend_from_slice(&buffer[..read]);
                    tail.drain(..tail.len().saturating_sub(8));
                }
                left = seen;
                count.send_modify(|count| *count += left);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_1\r\ncontent-length: {answer}\r\n\r\n"
                );
                let _ = stream.write_all(head.as_bytes()).await;
                let mut left = answer;
                while left > 0 {
                    let part = left.min(buffer.len());
                    if stream.write_all(&buffer[..part]).await.is_err() {
                        return;
                    }
                    left -= part;
                }
            });
        }
    });
    (addr, counted)
}

/// Sends so many bytes, in chunks or with their length, and reads the answer to its end without keeping it.
async fn upload(addr: SocketAddr, bytes: usize, chunked: bool) -> (String, usize) {
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    let framing =
        if chunked { "transfer-encoding: chunked".to_owned() } else { format!("content-length: {bytes}") };
    let head = format!(
        "POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\n{framing}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    let part = vec![b'x'; 64 * 1024];
    for _ in 0..bytes / part.len() {
        if chunked {
            stream.write_all(format!("{:x}\r\n", part.len()).as_bytes()).await.expect("it is taken");
        }
        stream.write_all(&part).await.expect("it is taken");
        if chunked {
            stream.write_all(b"\r\n").await.expect("it is taken");
        }
    }
    if chunked {
        stream.write_all(b"0\r\n\r\n").await.expect("it is taken");
    }
    let (mut first, mut total, mut buffer) = (String::new(), 0, vec![0; 64 * 1024]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if first.is_empty() {
            first = String::from_utf8_lossy(&buffer[..read.min(1_000)]).into_owned();
        }
        total += read;
    }
    (first, total)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_64_mib_stream_both_ways_in_little_memory() {
    let (upstream, counted) = counting(64 * MIB).await;
    let process = Process::start(upstream, "[governor]\nenabled = false").await;
    let before = process.peak_memory();
    let mut uploads = JoinSet::new();
    for n in 0..4 {
        uploads.spawn(upload(process.addr(), 64 * MIB, n % 2 == 0));
    }
    while let Some(done) = uploads.join_next().await {
        let (answer, total) = done.expect("no panic");
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.contains("x-stripe-egress-attempts: 1"),
            "{answer}"
        );
        assert!(total > 64 * MIB, "{total} bytes came back");
    }
    assert!(*counted.borrow() >= 4 * 64 * MIB as u64, "{} bytes arrived", *counted.borrow());
    let peak = process.peak_memory();
    assert!(peak < before + 48 * 1024, "from {before} to {peak} KiB for 512 MiB that passed");
}

#[tokio::test]
async fn what_is_large_is_sent_once_and_what_is_small_again() {
    let upstream = Upstream::answering(|_| stripe_says(503, "{}")).await;
    let settings = "[retry]\nmax_attempts = 3\nbase_delay = '5ms'\n[limits]\nmax_replayable_bytes = 1000";
    let egress = egress(upstream.addr(), settings).await;
    for (size, attempts) in [(1_000, 3), (1_001, 1)] {
        let response = send(egress.addr(), crate::support::post("/v1/files", vec![b'x'; size])).await;
        assert_eq!((response.status().as_u16(), account(&response).0), (503, attempts), "{size}");
        let received = upstream.take();
        assert_eq!(received.len(), attempts as usize);
        assert!(received.iter().all(|received| received.body.len() == size));
    }
}

#[tokio::test]
async fn an_upstream_that_stalls_holds_calls_no_longer_than_their_deadline() {
    let silent = listener().await;
    let settings = "[retry]\nmax_attempts = 2\nbase_delay = '10ms'\nmin_attempt = '50ms'\n[timeouts]\nattempt = '200ms'\ndeadline = '1s'";
    let egress = egress(silent.local_addr().expect("an address"), settings).await;
    let mut calls = JoinSet::new();
    for n in 0..100 {
        let addr = egress.addr();
        calls.spawn(async move { send(addr, payment(&format!("stalled-{n}"))).await });
    }
    let all = timeout(secs(15), calls.join_all()).await.expect("none hangs");
    for response in &all {
        assert!(matches!(response.status().as_u16(), 503 | 504), "{:?}", response.body());
        assert!(matches!(code(response).as_str(), "egress_no_response" | "egress_circuit_open"));
    }
    assert!(all.iter().any(|response| account(response).1 == "unknown"));
    until(|| egress.calls_under_way() == 0).await;
}

#[tokio::test]
async fn an_answer_that_stalls_half_way_ends_with_the_deadline() {
    let half = listener().await;
    let addr = half.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = half.accept().await.expect("a connection");
            tokio::spawn(async move {
                let mut buffer = [0; 4_096];
                let _ = stream.read(&mut buffer).await;
                let head = "HTTP/1.1 200 OK\r\nrequest-id: req_1\r\ncontent-length: 200000\r\n\r\n";
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&vec![b'x'; 100_000]).await;
                std::future::pending::<()>().await;
            });
        }
    });
    let settings = "[retry]\nmin_attempt = '50ms'\n[timeouts]\nattempt = '400ms'\ndeadline = '600ms'";
    let egress = egress(addr, settings).await;
    let began = tower_stripe::vocab::time::now();
    let response: Result<Response<_>, NoAnswer> = try_send(egress.addr(), get("/v1/files/file_1")).await;
    assert_eq!(response.expect_err("the body breaks off"), NoAnswer::Lost);
    assert!(tower_stripe::vocab::time::now() - began < Duration::from_secs(5));
    no_connection_is_left(egress.admin_addr().expect("it has pages")).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_so_for_the_client_too() {
    let cut = listener().await;
    let addr = cut.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = cut.accept().await.expect("a connection");
            tokio::spawn(async move {
                let read = stream.read(&mut [0; 4_096]).await;
                let head =
                    "HTTP/1.1 404 Not Found\r\nrequest-id: req_1\r\ncontent-length: 1000\r\n\r\n{\"error\": ";
                let written = stream.write_all(head.as_bytes()).await;
                assert!(read.is_ok() && written.is_ok(), "the client is there");
            });
        }
    });
    let process = Process::start(addr, "[retry]\nmax_attempts = 1").await;
    for path in ["/v1/customers/cus_1", "/v1/payment_intents/pi_1"] {
        assert_eq!(try_send(process.addr(), get(path)).await.expect_err("it is not whole"), NoAnswer::Lost);
    }
    process.signal("TERM").await;
    let (status, log) = process.ended().await;
    assert!(status.success() && !log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn an_upstream_that_speaks_no_http_is_no_answer() {
    let odd = listener().await;
    let addr = odd.local_addr().expect("an address");
    tokio::spawn(async move {
        for answer in
            ["", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 two hundred\r\n\r\n", "\u{15}\u{3}\u{1}\0\u{2}\u{2}\u{28}"]
        {
            let (mut stream, _) = odd.accept().await.expect("a connection");
            let read = stream.read(&mut [0; 4_096]).await;
            let written = stream.write_all(answer.as_bytes()).await;
            assert!(read.is_ok() && written.is_ok(), "the client is there");
        }
    });
    let egress = egress(addr, "[retry]\nmax_attempts = 1").await;
    for n in 0..4 {
        let response = send(egress.addr(), payment(&format!("odd-{n}"))).await;
        assert_eq!(
            (response.status().as_u16(), code(&response).as_str()),
            (504, "egress_no_response"),
            "{n}"
        );
        assert_eq!(account(&response), (1, "unknown", "same_key", "false"), "{n}");
    }
}
