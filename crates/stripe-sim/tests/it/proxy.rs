//! The fault proxy over real sockets: every fault as a client sees it.
//!
//! Nothing here sleeps. What must not happen is given [`MOMENT`] to happen, and that is the only real time spent.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    time::Duration,
};

use stripe_sim::{
    Server, Sim,
    proxy::{Direction, Door, Fault, FaultKind, FaultProxy, Link, Plan, Point, Stats},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::client::{Call, charge, sim};

/// How long silence is listened to.
const MOMENT: Duration = Duration::from_millis(60);

/// A bound for what must happen, so that a defect does not hang.
const PATIENCE: Duration = Duration::from_secs(20);

const TO_CLIENT: Direction = Direction::ToClient;
const TO_UPSTREAM: Direction = Direction::ToUpstream;

/// A proxy in front of a listener whose connections the test plays the upstream of.
struct Rig {
    upstream: TcpListener,
    proxy: FaultProxy,
}

impl Rig {
    async fn new(plan: Plan) -> Self {
        let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let proxy = FaultProxy::start(upstream.local_addr().expect("an address")).await.expect("a free port");
        proxy.plan(plan);
        Self { upstream, proxy }
    }

    async fn with(fault: Fault) -> Self {
        Self::new(Plan::always(fault)).await
    }

    async fn client(&self) -> TcpStream {
        soon(TcpStream::connect(self.proxy.addr())).await.expect("the proxy listens")
    }

    /// Both ends of a connection through the proxy.
    async fn pair(&self) -> (TcpStream, TcpStream) {
        let client = self.client().await;
        let (upstream, _) = soon(self.upstream.accept()).await.expect("the proxy connects");
        (client, upstream)
    }

    async fn wait_for(&self, holds: impl FnMut(&Stats) -> bool) -> Stats {
        soon(self.proxy.wait_for(holds)).await
    }

    /// Waits until no connection is left, and checks that the fault was counted once and nothing else was.
    async fn ended_by(self, kind: FaultKind) -> Stats {
        self.wait_for(|stats| stats.live == 0).await;
        let stats = soon(self.proxy.shutdown()).await;
        assert_eq!(
            (stats.applied(kind), stats.faults(), stats.live, stats.stalled),
            (1, 1, 0, 0),
            "{stats:?}"
        );
        stats
    }
}

#[expect(clippy::disallowed_methods, reason = "latency over real sockets passes in real time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

async fn soon<T>(happens: impl Future<Output = T>) -> T {
    timeout(PATIENCE, happens).await.expect("it happens")
}

async fn say(stream: &mut TcpStream, bytes: &[u8]) {
    soon(stream.write_all(bytes)).await.expect("it is taken");
}

/// Takes exactly these bytes.
async fn hear(stream: &mut TcpStream, bytes: &[u8]) {
    let mut heard = vec![0; bytes.len()];
    soon(stream.read_exact(&mut heard)).await.expect("it arrives");
    assert_eq!(heard, bytes);
}

async fn next(stream: &mut TcpStream) -> io::Result<usize> {
    soon(stream.read(&mut [0; 16])).await
}

async fn assert_reset(stream: &mut TcpStream) {
    assert_eq!(next(stream).await.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
}

async fn assert_end(stream: &mut TcpStream) {
    assert_eq!(next(stream).await.expect("an orderly end"), 0);
}

async fn assert_silence(stream: &mut TcpStream) {
    assert!(timeout(MOMENT, stream.read(&mut [0; 16])).await.is_err(), "nothing comes, not even an end");
}

fn response() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()
}

#[tokio::test]
async fn bytes_and_closes_pass_both_ways() {
    let rig = Rig::new(Plan::none()).await;
    let (mut client, mut upstream) = rig.pair().await;
    say(&mut client, b"question").await;
    client.shutdown().await.expect("a half-close");
    hear(&mut upstream, b"question").await;
    assert_end(&mut upstream).await;
    say(&mut upstream, b"answer").await;
    drop(upstream);
    hear(&mut client, b"answer").await;
    assert_end(&mut client).await;
    let stats = rig.wait_for(|stats| stats.live == 0).await;
    assert_eq!((stats.connections, stats.faults()), (1, 0));
    assert_eq!((stats.to_upstream, stats.to_client), (8, 6));
}

#[tokio::test]
async fn more_than_any_buffer_holds_passes_unchanged() {
    let rig = Rig::new(Plan::none()).await;
    let (client, upstream) = rig.pair().await;
    let sent: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut from, mut to) = (client, upstream);
    let (_, heard) = soon(async {
        tokio::join!(
            async {
                from.write_all(&sent).await.expect("it is taken");
                from.shutdown().await.expect("a close");
            },
            async {
                let mut heard = Vec::new();
                to.read_to_end(&mut heard).await.expect("it arrives");
                heard
            }
        )
    })
    .await;
    assert!(heard == sent, "the bytes are the same");
}

#[tokio::test]
async fn a_receiver_that_does_not_read_stops_the_sender() {
    let rig = Rig::new(Plan::none()).await;
    let (mut client, _upstream) = rig.pair().await;
    let chunk = vec![0; 1 << 20];
    let mut taken = 0;
    while let Ok(written) = timeout(MOMENT, client.write(&chunk)).await {
        taken += written.expect("it is taken");
        assert!(taken < 64 << 20, "the proxy has no end");
    }
}

#[tokio::test]
async fn a_reset_of_one_side_is_a_reset_of_the_other() {
    let rig = Rig::new(Plan::none()).await;
    let (mut client, upstream) = rig.pair().await;
    upstream.set_zero_linger().expect("an option");
    drop(upstream);
    assert_reset(&mut client).await;

    let (client, mut upstream) = rig.pair().await;
    client.set_zero_linger().expect("an option");
    drop(client);
    assert_reset(&mut upstream).await;
    assert_eq!(rig.wait_for(|stats| stats.live == 0).await.faults(), 0);
}

#[tokio::test]
async fn a_reset_at_the_start_never_reaches_the_upstream() {
    let rig = Rig::with(Fault::Reset(Point::Start)).await;
    assert_reset(&mut rig.client().await).await;
    assert!(timeout(MOMENT, rig.upstream.accept()).await.is_err(), "nobody connects");
    rig.ended_by(FaultKind::Reset).await;
}

#[tokio::test]
async fn a_reset_at_a_byte_of_the_request_lets_those_before_it_pass() {
    let rig = Rig::with(Fault::Reset(Point::Byte(TO_UPSTREAM, 3))).await;
    let (mut client, mut upstream) = rig.pair().await;
    say(&mut client, b"abc").await;
    hear(&mut upstream, b"abc").await;
    say(&mut client, b"def").await;
    assert_reset(&mut client).await;
    assert_reset(&mut upstream).await;
    assert_eq!(rig.ended_by(FaultKind::Reset).await.to_upstream, 3);
}

#[tokio::test]
async fn a_reset_at_byte_0_of_the_answer_lets_the_whole_request_pass() {
    let rig = Rig::with(Fault::Reset(Point::Byte(TO_CLIENT, 0))).await;
    let (mut client, mut upstream) = rig.pair().await;
    say(&mut client, b"question").await;
    hear(&mut upstream, b"question").await;
    say(&mut upstream, b"answer").await;
    assert_reset(&mut client).await;
    let stats = rig.ended_by(FaultKind::Reset).await;
    assert_eq!((stats.to_upstream, stats.to_client), (8, 0));
}

#[tokio::test]
async fn a_reset_in_the_answer_comes_behind_the_bytes_before_it() {
    let rig = Rig::with(Fault::Reset(Point::Byte(TO_CLIENT, 4))).await;
    let (mut client, mut upstream) = rig.pair().await;
    say(&mut upstream, b"answer").await;
    rig.wait_for(|stats| stats.live == 0).await;
    hear(&mut client, b"answ").await;
    assert_reset(&mut client).await;
    rig.ended_by(FaultKind::Reset).await;
}

#[tokio::test]
async fn a_reset_after_the_response_leaves_the_response_whole() {
    let rig = Rig::with(Fault::Reset(Point::AfterResponse)).await;
    let (mut client, mut upstream) = rig.pair().await;
    say(&mut client, b"question").await;
    hear(&mut upstream, b"question").await;
    say(&mut upstream, &response()).await;
    hear(&mut client, &response()).await;
    assert_reset(&mut client).await;
    rig.ended_by(FaultKind::Reset).await;
}

#[tokio::test]
async fn a_reset_at_the_next_request_is_the_race_for_a_pooled_connection() {
    let rig = Rig::with(Fault::Reset(Point::NextRequest)).await;
    let (mut client, mut upstream) = rig.pair().await;
    for part in [b"head", b"body"] {
        say(&mut client, part).await;
        hear(&mut upstream, part).await;
    }
    say(&mut upstream, &response()).await;
    hear(&mut client, &response()).await;
    assert_silence(&mut client).await;
    say(&mut client, b"head").await;
    assert_reset(&mut client).await;
    assert_eq!(rig.ended_by(FaultKind::Reset).await.to_upstream, 8);
}

#[tokio::test]
async fn a_cut_is_an_orderly_end_even_with_bytes_unread() {
    for (point, passed) in [
        (Point::Start, 0),
        (Point::Byte(TO_UPSTREAM, 2), 0),
        (Point::Byte(TO_CLIENT, 2), 2),
        (Point::AfterResponse, 40),
    ] {
        let rig = Rig::with(Fault::Cut(point)).await;
        let mut client = rig.client().await;
        say(&mut client, &[0; 100_000]).await;
        let upstream = if point == Point::Start {
            None
        } else {
            let (mut upstream, _) = soon(rig.upstream.accept()).await.expect("the proxy connects");
            say(&mut upstream, &response()).await;
            Some(upstream)
        };
        let mut heard = vec![0; passed];
        if !matches!(point, Point::Byte(Direction::ToUpstream, _)) {
            soon(client.read_exact(&mut heard)).await.expect("what came before");
            assert_eq!(heard, response()[..passed], "{point:?}");
            assert_end(&mut client).await;
        } else {
            // The answer races with the cut of the request.
            let mut heard = Vec::new();
            soon(client.read_to_end(&mut heard)).await.expect("an orderly end");
            assert!(response().starts_with(&heard));
        }
        if let Some(mut upstream) = upstream {
            let mut heard = Vec::new();
            soon(upstream.read_to_end(&mut heard)).await.expect("an orderly end");
        }
        drop(client);
        rig.ended_by(FaultKind::Cut).await;
    }
}

#[tokio::test]
async fn a_half_close_ends_one_direction_and_leaves_the_other() {
    let rig = Rig::with(Fault::HalfClose { direction: TO_CLIENT, at: 2 }).await;
    let (mut client, mut upstream) = rig.pair().await;
    say(&mut upstream, b"answer").await;
    hear(&mut client, b"an").await;
    assert_end(&mut client).await;
    say(&mut client, b"still there").await;
    hear(&mut upstream, b"still there").await;
    // What is dropped does not stop the sender.
    say(&mut upstream, &[0; 1_000_000]).await;
    drop((client, upstream));
    rig.ended_by(FaultKind::HalfClose).await;

    let rig = Rig::with(Fault::HalfClose { direction: TO_UPSTREAM, at: 0 }).await;
    let (mut client, mut upstream) = rig.pair().await;
    say(&mut client, b"question").await;
    assert_end(&mut upstream).await;
    say(&mut upstream, b"answer").await;
    hear(&mut client, b"answer").await;
    drop((client, upstream));
    rig.ended_by(FaultKind::HalfClose).await;
}

#[tokio::test]
async fn a_slow_close_delays_the_end_and_nothing_else() {
    let delay = 2 * MOMENT;
    let rig = Rig::with(Fault::SlowClose { direction: TO_CLIENT, delay }).await;
    let (mut client, mut upstream) = rig.pair().await;
    say(&mut upstream, b"answer").await;
    hear(&mut client, b"answer").await;
    let begin = now();
    drop(upstream);
    assert_silence(&mut client).await;
    assert_end(&mut client).await;
    assert!(begin.elapsed() >= delay);
    drop(client);
    rig.ended_by(FaultKind::SlowClose).await;
}

#[tokio::test]
async fn a_stall_to_the_client_lasts_until_it_is_released() {
    let rig = Rig::with(Fault::Stall { direction: TO_CLIENT, at: 2, limit: None }).await;
    let (mut client, mut upstream) = rig.pair().await;
    say(&mut upstream, b"answer").await;
    hear(&mut client, b"an").await;
    rig.wait_for(|stats| stats.stalled == 1).await;
    assert_silence(&mut client).await;
    say(&mut client, b"still there").await;
    hear(&mut upstream, b"still there").await;
    rig.proxy.release();
    hear(&mut client, b"swer").await;
    rig.wait_for(|stats| stats.stalled == 0).await;
    drop((client, upstream));
    rig.ended_by(FaultKind::Stall).await;
}

#[tokio::test]
async fn a_stall_to_the_upstream_leaves_the_answers_alone_and_takes_no_more_than_a_window() {
    let rig = Rig::with(Fault::Stall { direction: TO_UPSTREAM, at: 4, limit: None }).await;
    let (mut client, mut upstream) = rig.pair().await;
    say(&mut client, b"question").await;
    hear(&mut upstream, b"ques").await;
    rig.wait_for(|stats| stats.stalled == 1).await;
    assert_silence(&mut upstream).await;
    say(&mut upstream, b"answer").await;
    hear(&mut client, b"answer").await;
    let chunk = vec![0; 1 << 20];
    let mut taken = 0;
    while let Ok(written) = timeout(MOMENT, client.write(&chunk)).await {
        taken += written.expect("it is taken");
        assert!(taken < 64 << 20, "the proxy has no end");
    }
    rig.proxy.release();
    hear(&mut upstream, b"tion").await;
    drop((client, upstream));
    rig.ended_by(FaultKind::Stall).await;
}

#[tokio::test]
async fn a_stall_ends_at_its_limit() {
    let limit = Some(MOMENT);
    let rig = Rig::with(Fault::Stall { direction: TO_CLIENT, at: 0, limit }).await;
    let (mut client, mut upstream) = rig.pair().await;
    let begin = now();
    say(&mut upstream, b"answer").await;
    hear(&mut client, b"answer").await;
    assert!(begin.elapsed() >= MOMENT);
    drop((client, upstream));
    rig.ended_by(FaultKind::Stall).await;
}

#[tokio::test]
async fn a_release_does_not_reach_stalls_that_begin_later() {
    let rig = Rig::with(Fault::Stall { direction: TO_CLIENT, at: 0, limit: None }).await;
    let (mut client, mut upstream) = rig.pair().await;
    rig.proxy.release();
    say(&mut upstream, b"answer").await;
    rig.wait_for(|stats| stats.stalled == 1).await;
    assert_silence(&mut client).await;
}

#[tokio::test]
async fn a_stalled_connection_ends_with_its_client() {
    for direction in [TO_CLIENT, TO_UPSTREAM] {
        for close_first in [false, true] {
            let rig = Rig::with(Fault::Stall { direction, at: 0, limit: None }).await;
            let (mut client, mut upstream) = rig.pair().await;
            if close_first && direction == TO_CLIENT {
                drop(client);
                assert_end(&mut upstream).await;
                say(&mut upstream, b"answer").await;
            } else {
                let speaker = if direction == TO_CLIENT { &mut upstream } else { &mut client };
                say(speaker, b"hello").await;
                rig.wait_for(|stats| stats.stalled == 1).await;
                drop(client);
            }
            rig.ended_by(FaultKind::Stall).await;
        }
    }
}

#[tokio::test]
async fn a_stall_hides_a_reset_of_the_upstream() {
    let rig = Rig::with(Fault::Stall { direction: TO_CLIENT, at: 0, limit: None }).await;
    let (mut client, mut upstream) = rig.pair().await;
    say(&mut upstream, b"answer").await;
    rig.wait_for(|stats| stats.stalled == 1).await;
    upstream.set_zero_linger().expect("an option");
    drop(upstream);
    assert_silence(&mut client).await;
    rig.proxy.release();
    hear(&mut client, b"answer").await;
    assert_reset(&mut client).await;
    rig.ended_by(FaultKind::Stall).await;
}

#[tokio::test]
async fn latency_delays_each_way() {
    let link = Link::default().latency(MOMENT).jitter(Duration::from_millis(5));
    let rig = Rig::with(Fault::Link(link)).await;
    let (mut client, mut upstream) = rig.pair().await;
    let begin = now();
    say(&mut client, b"question").await;
    hear(&mut upstream, b"question").await;
    assert!(begin.elapsed() >= MOMENT);
    say(&mut upstream, b"answer").await;
    hear(&mut client, b"answer").await;
    assert!(begin.elapsed() >= 2 * MOMENT);
    drop((client, upstream));
    rig.ended_by(FaultKind::Link).await;
}

#[tokio::test]
async fn latency_lets_runs_of_bytes_travel_together() {
    let rig = Rig::new(Plan::none().link(Link::default().latency(MOMENT))).await;
    let (mut client, mut upstream) = rig.pair().await;
    let begin = now();
    for n in 0..20_u64 {
        say(&mut client, b"x").await;
        // Bytes that are written one by one while the first is under way.
        assert!(n == 0 || rig.proxy.stats().to_upstream < n);
    }
    hear(&mut upstream, &[b'x'; 20]).await;
    assert!(begin.elapsed() < 20 * MOMENT, "each waits once, not for those before it");
    assert_eq!(rig.proxy.stats().faults(), 0);
}

#[tokio::test]
async fn bandwidth_spreads_the_bytes() {
    let rate = NonZeroU64::new(100_000).expect("not zero");
    let rig = Rig::with(Fault::Link(Link::default().bandwidth(rate))).await;
    let (mut client, mut upstream) = rig.pair().await;
    let begin = now();
    say(&mut client, &[7; 10_000]).await;
    hear(&mut upstream, &[7; 10_000]).await;
    assert!(begin.elapsed() >= Duration::from_millis(100));
    drop((client, upstream));
    rig.ended_by(FaultKind::Link).await;
}

#[tokio::test]
async fn a_refusing_door_refuses_and_live_connections_go_on() {
    let rig = Rig::new(Plan::none()).await;
    let (mut client, mut upstream) = rig.pair().await;
    for _ in 0..3 {
        rig.proxy.door(Door::Refusing).await.expect("it can be closed");
        let refused = soon(TcpStream::connect(rig.proxy.addr())).await.expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        say(&mut client, b"question").await;
        hear(&mut upstream, b"question").await;
        rig.proxy.door(Door::Open).await.expect("it can be opened");
        let (mut client, mut upstream) = rig.pair().await;
        say(&mut client, b"question").await;
        hear(&mut upstream, b"question").await;
    }
    assert_eq!(rig.proxy.stats().connections, 4);
}

#[tokio::test]
async fn a_silent_door_makes_connections_that_nobody_serves() {
    let rig = Rig::new(Plan::none()).await;
    rig.proxy.door(Door::Silent).await.expect("it can be left ajar");
    let mut client = rig.client().await;
    say(&mut client, b"question").await;
    assert_silence(&mut client).await;
    assert_eq!(rig.proxy.stats().connections, 0);
    rig.proxy.door(Door::Open).await.expect("it can be opened");
    let (mut upstream, _) = soon(rig.upstream.accept()).await.expect("the proxy connects");
    hear(&mut upstream, b"question").await;

    rig.proxy.door(Door::Silent).await.expect("it can be left ajar");
    let mut client = rig.client().await;
    rig.proxy.door(Door::Refusing).await.expect("it can be closed");
    assert_reset(&mut client).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_blackholed_attempt_to_connect_goes_on_until_the_door_says_otherwise() {
    let rig = Rig::new(Plan::none()).await;
    let (mut old, mut upstream) = rig.pair().await;
    rig.proxy.door(Door::Blackhole).await.expect("linux has it");
    let attempts: Vec<_> = (0..3).map(|_| tokio::spawn(TcpStream::connect(rig.proxy.addr()))).collect();
    assert!(timeout(MOMENT, TcpStream::connect(rig.proxy.addr())).await.is_err(), "neither made nor refused");
    assert!(attempts.iter().all(|attempt| !attempt.is_finished()));
    say(&mut old, b"question").await;
    hear(&mut upstream, b"question").await;
    attempts.iter().for_each(tokio::task::JoinHandle::abort);
    rig.proxy.door(Door::Blackhole).await.expect("it stays");
    rig.proxy.door(Door::Open).await.expect("it can be opened");
    drop(rig.pair().await);
    rig.proxy.door(Door::Blackhole).await.expect("linux has it");
    rig.proxy.door(Door::Refusing).await.expect("it can be closed");
    assert!(soon(TcpStream::connect(rig.proxy.addr())).await.is_err());
}

#[tokio::test]
async fn the_port_stays_reserved_while_it_refuses() {
    let rig = Rig::new(Plan::none()).await;
    rig.proxy.door(Door::Refusing).await.expect("it can be closed");
    // As a system that looks for a free port does, and unlike one that insists on an address in use.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    assert_eq!(socket.bind(rig.proxy.addr()).expect_err("it is taken").kind(), ErrorKind::AddrInUse);
}

/// The record that a TLS client begins with, as far as the proxy looks.
fn client_hello() -> Vec<u8> {
    let mut record = vec![22, 3, 1, 2, 0];
    record.resize(5 + 512, 1);
    record
}

#[tokio::test]
async fn a_handshake_that_hangs_says_nothing_until_released_or_the_limit() {
    for limit in [None, Some(MOMENT * 2)] {
        let rig = Rig::with(Fault::TlsHang { limit }).await;
        let mut client = rig.client().await;
        say(&mut client, &client_hello()).await;
        rig.wait_for(|stats| stats.stalled == 1).await;
        assert_silence(&mut client).await;
        if limit.is_none() {
            rig.proxy.release();
        }
        assert_end(&mut client).await;
        assert!(timeout(MOMENT, rig.upstream.accept()).await.is_err(), "nobody connects");
        drop(client);
        rig.ended_by(FaultKind::TlsHang).await;
    }
    let rig = Rig::with(Fault::TlsHang { limit: None }).await;
    let mut client = rig.client().await;
    say(&mut client, &client_hello()).await;
    rig.wait_for(|stats| stats.stalled == 1).await;
    drop(client);
    rig.ended_by(FaultKind::TlsHang).await;
}

#[tokio::test]
async fn a_refused_handshake_is_a_fatal_alert_and_an_orderly_end() {
    let rig = Rig::with(Fault::TlsAlert(40)).await;
    let mut client = rig.client().await;
    let hello = client_hello();
    say(&mut client, &hello[..100]).await;
    assert_silence(&mut client).await;
    say(&mut client, &hello[100..]).await;
    hear(&mut client, &[21, 3, 3, 0, 2, 2, 40]).await;
    assert_end(&mut client).await;
    drop(client);
    let stats = rig.ended_by(FaultKind::TlsAlert).await;
    assert_eq!((stats.to_client, stats.to_upstream), (0, 0));
}

#[tokio::test]
async fn a_handshake_can_be_answered_with_garbage() {
    let rig = Rig::with(Fault::TlsGarbage).await;
    let mut client = rig.client().await;
    say(&mut client, &client_hello()).await;
    let mut heard = Vec::new();
    soon(client.read_to_end(&mut heard)).await.expect("an orderly end");
    assert!(!heard.is_empty() && !(20..=23).contains(&heard[0]) && heard[0] != b'H');
    drop(client);
    rig.ended_by(FaultKind::TlsGarbage).await;
}

#[tokio::test]
async fn live_connections_can_be_reset_and_cut_at_any_time() {
    let rig = Rig::new(Plan::none()).await;
    let (mut client, mut upstream) = rig.pair().await;
    say(&mut client, b"question").await;
    hear(&mut upstream, b"question").await;
    rig.proxy.reset_all();
    assert_reset(&mut client).await;
    assert_reset(&mut upstream).await;
    rig.wait_for(|stats| stats.live == 0).await;

    let (mut client, mut upstream) = rig.pair().await;
    say(&mut client, b"question").await;
    hear(&mut upstream, b"question").await;
    rig.proxy.cut_all();
    assert_end(&mut client).await;
    assert_end(&mut upstream).await;
    drop((client, upstream));
    let stats = rig.wait_for(|stats| stats.live == 0).await;
    assert_eq!((stats.applied(FaultKind::Reset), stats.applied(FaultKind::Cut)), (1, 1));
}

#[tokio::test]
async fn plans_and_scripts_can_be_changed_while_it_runs() {
    let rig = Rig::with(Fault::Reset(Point::Start)).await;
    assert_reset(&mut rig.client().await).await;
    rig.proxy.plan(Plan::none().nth(2, Fault::Reset(Point::Start)));
    let (mut old, mut upstream) = rig.pair().await;
    assert_reset(&mut rig.client().await).await;
    rig.proxy.script([Fault::None, Fault::Cut(Point::Start)]);
    drop(rig.pair().await);
    assert_end(&mut rig.client().await).await;
    drop(rig.pair().await);
    // The live one keeps what it has.
    rig.proxy.plan(Plan::always(Fault::Reset(Point::Start)));
    say(&mut old, b"question").await;
    hear(&mut upstream, b"question").await;
    let stats = rig.wait_for(|stats| stats.live == 1).await;
    assert_eq!((stats.connections, stats.faults()), (6, 3));
}

#[tokio::test]
async fn an_upstream_that_refuses_is_a_reset() {
    let rig = Rig::new(Plan::none()).await;
    let Rig { upstream, proxy } = rig;
    drop(upstream);
    let mut client = soon(TcpStream::connect(proxy.addr())).await.expect("the proxy listens");
    assert_reset(&mut client).await;
    let stats = soon(proxy.wait_for(|stats| stats.live == 0)).await;
    assert_eq!((stats.upstream_failures, stats.faults()), (1, 0));
}

/// Connections in every state that lasts.
async fn busy() -> (Rig, Vec<TcpStream>) {
    let link = Link::default().latency(Duration::from_secs(3_600));
    let stall = |direction| Fault::Stall { direction, at: 0, limit: None };
    let faults = [Fault::None, stall(TO_CLIENT), stall(TO_UPSTREAM), Fault::Link(link)];
    let rig = Rig::new(Plan::none()).await;
    rig.proxy.script(faults.into_iter().chain([
        Fault::HalfClose { direction: TO_CLIENT, at: 0 },
        Fault::Cut(Point::Byte(TO_CLIENT, 0)),
        Fault::TlsHang { limit: None },
    ]));
    let mut ends = Vec::new();
    for _ in 0..6 {
        let (mut client, mut upstream) = rig.pair().await;
        say(&mut client, b"question").await;
        say(&mut upstream, b"answer").await;
        ends.extend([client, upstream]);
    }
    let mut client = rig.client().await;
    say(&mut client, &client_hello()).await;
    ends.push(client);
    rig.wait_for(|stats| stats.stalled == 3 && stats.faults() == 6).await;
    assert_eq!(rig.proxy.stats().live, 7);
    (rig, ends)
}

/// Takes what is left, and then there must be an end, of whatever kind.
async fn assert_closed(ends: Vec<TcpStream>) {
    for mut end in ends {
        let _ = soon(end.read_to_end(&mut Vec::new())).await;
    }
}

#[tokio::test]
async fn a_shut_down_proxy_leaves_nothing_behind() {
    let (rig, ends) = busy().await;
    let addr = rig.proxy.addr();
    let stats = soon(rig.proxy.shutdown()).await;
    assert_eq!((stats.connections, stats.live, stats.stalled), (7, 0, 0));
    assert!(soon(TcpStream::connect(addr)).await.is_err());
    // Only the test is left: this one, and nothing that was spawned.
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    drop(std::net::TcpListener::bind(addr));
    assert_closed(ends).await;
}

#[tokio::test]
async fn a_dropped_proxy_takes_its_connections_along() {
    let (rig, ends) = busy().await;
    let addr = rig.proxy.addr();
    drop(rig.proxy);
    assert_closed(ends).await;
    assert!(soon(TcpStream::connect(addr)).await.is_err());
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_meet_what_was_drawn_for_their_numbers() {
    let plan = Plan::probability(0.5).seed(3).bytes(0..=0);
    let plan = [FaultKind::SlowClose, FaultKind::Link, FaultKind::Stall, FaultKind::HalfClose]
        .into_iter()
        .chain([FaultKind::TlsHang, FaultKind::TlsAlert, FaultKind::TlsGarbage, FaultKind::Cut])
        .fold(plan, |plan, kind| plan.weight(kind, 0));
    let rig = Rig::new(plan.clone()).await;
    let echo = tokio::spawn(async move {
        while let Ok((mut upstream, _)) = rig.upstream.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = upstream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    let mut lost = Vec::new();
    for _ in 0..200 {
        let exchange = async {
            // On another thread, a reset may come before the client knows that it is connected.
            let mut client = TcpStream::connect(rig.proxy.addr()).await?;
            client.write_all(b"question").await?;
            client.read_exact(&mut [0; 8]).await
        };
        lost.push(soon(exchange).await.is_err());
    }
    let expected: Vec<_> = (0..200)
        .map(|n| matches!(plan.for_connection(n), Fault::Reset(Point::Start | Point::Byte(..))))
        .collect();
    assert_eq!(lost, expected);
    soon(rig.proxy.shutdown()).await;
    echo.abort();
}

async fn send(addr: SocketAddr, call: &Call) -> hyper::Result<hyper::Response<hyper::body::Incoming>> {
    let stream = TcpStream::connect(addr).await.expect("the proxy listens");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    sender.send_request(call.request()).await
}

async fn serve(sim: &Sim) -> Server {
    Server::bind(sim.clone(), (Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port")
}

#[tokio::test]
async fn a_charge_whose_answer_is_lost_on_the_wire_is_executed_once_and_replayed() {
    let sim = sim();
    let server = serve(&sim).await;
    let proxy = FaultProxy::start(server.addr()).await.expect("a free port");
    proxy.script([Fault::Reset(Point::Byte(TO_UPSTREAM, 20)), Fault::Cut(Point::Byte(TO_CLIENT, 0))]);
    let call = charge("a").key("k");
    soon(send(proxy.addr(), &call)).await.expect_err("half a request");
    assert_eq!(sim.ledger().executions("a"), 0);
    soon(send(proxy.addr(), &call)).await.expect_err("no answer");
    assert_eq!(sim.ledger().executions("a"), 1);
    let response = soon(send(proxy.addr(), &call)).await.expect("an answer");
    assert_eq!(response.headers()["idempotent-replayed"], "true");
    assert_eq!(sim.ledger().executions("a"), 1);
}
