//! Two thousand payments over real sockets, with TLS, through a proxy that damages connections: none is charged twice,
//! and none is lost.
//!
//! Sockets take real time, so time runs here. Nothing waits for a moment to come: what waits is the time limits, the
//! backoffs and the damage itself. Which connection suffers what is drawn by seed; which payment is on it is not.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use stripe_sim::{
    Server, Sim,
    proxy::{Fault, FaultKind, FaultProxy, Link, Plan},
};
use tokio::{sync::Semaphore, task::JoinSet, time};
use tower_stripe::{
    Advice, AttemptTimeout, Certainty, FailureKind, IdempotencyKey, Outcome, Report, ReportHandle,
    RetryLimit, StripeTransport,
    edge::hyper_util::{Builder, Client, Https},
    retry::{BudgetConfig, RetryConfig},
    vocab::Attempt,
};

use crate::support::{millis, never_open, payment, secs, sim, ungoverned, with};

type Stripe = StripeTransport<Client<Https, Full<Bytes>>>;

const PAYMENTS: usize = 1_000;

/// So many payments share a client, and with it a pool of connections.
const PER_SHOP: usize = 20;

/// So many shops are open at once.
const SHOPS: usize = 2;

const ATTEMPT: Duration = millis(300);

/// What ends a test that hangs.
const LIMIT: Duration = secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_payments_over_http1_with_tls_are_charged_once_each() {
    let seen = within_limit(campaign(&[b"http/1.1"], Version::HTTP_11, 1)).await;
    println!("{seen:?}");
    assert!(seen.faults > 500 && seen.unknown > 150 && seen.replayed > 50, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_payments_over_http2_with_tls_are_charged_once_each() {
    // With nothing said about ALPN, the client offers both.
    let seen = within_limit(campaign(&[], Version::HTTP_2, 2)).await;
    println!("{seen:?}");
    assert!(seen.faults > 500 && seen.unknown > 300 && seen.replayed > 150, "{seen:?}");
}

/// S-03: what ends the wait, the limit of the connection or that of the attempt, makes no difference to what is proven.
#[tokio::test]
async fn a_tls_handshake_that_hangs_behind_a_proxy_has_sent_nothing() {
    for (connect, attempt, kind) in
        [(millis(100), secs(30), Some(FailureKind::ConnectTimeout)), (secs(30), millis(100), None)]
    {
        let network = Network::start(Plan::always(Fault::TlsHang { limit: None })).await;
        let stripe = network.stripe(network.client(&[]).connect_timeout(connect), 8);
        let order = network.payment("o");
        let order = with(with(order, RetryLimit::NONE), AttemptTimeout::new(attempt));
        let error = time::timeout(LIMIT, stripe.send(order)).await.expect("a limit").expect_err("no answer");

        assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::NewKey));
        match kind {
            Some(kind) => assert_eq!(error.outcome(), Outcome::Transport(kind)),
            None => assert!(error.is_timeout(), "{error:?}"),
        }
        assert_eq!(network.proxy.stats().applied(FaultKind::TlsHang), 1);
        assert_eq!((network.server.connections(), network.sim.log().len()), (0, 0));
    }
}

#[tokio::test]
async fn the_protocol_is_what_alpn_picks_and_an_unknown_root_is_not_trusted() {
    let network = Network::start(Plan::none()).await;
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    for (offered, version) in
        [(&[][..], Version::HTTP_2), (both, Version::HTTP_2), (&[b"http/1.1"], Version::HTTP_11)]
    {
        let stripe = network.stripe(network.client(offered), 1);
        let response = stripe.send(network.payment("o")).await.expect("an answer");
        assert_eq!(response.version(), version);
    }
    let stripe = network.stripe(Builder::new(), 1);
    let error = stripe.send(network.payment("p")).await.expect_err("nobody signed the certificate");
    assert_eq!(error.outcome(), Outcome::Transport(FailureKind::Tls));
    assert_eq!((error.certainty(), network.sim.log_of("p").len()), (Certainty::NotSent, 0));
}

/// What a campaign met with. One in which nothing goes wrong proves nothing.
#[derive(Debug)]
struct Seen {
    faults: u64,
    applied: BTreeMap<FaultKind, u64>,
    attempts: u32,
    /// Payments with an attempt that ended so.
    unknown: usize,
    replayed: usize,
    /// What the calls ended as, before anyone followed their advice.
    ended: BTreeMap<&'static str, usize>,
}

/// A call that is over, and what is known of it.
struct Call {
    order: String,
    report: Report,
    version: Option<Version>,
}

async fn campaign(alpn: &[&[u8]], version: Version, seed: u64) -> Seen {
    let network = Network::start(damage(seed)).await;
    let open = Arc::new(Semaphore::new(SHOPS));
    let mut shops = JoinSet::new();
    for shop in 0..PAYMENTS / PER_SHOP {
        let stripe = network.stripe(network.client(alpn).connect_timeout(ATTEMPT), 8);
        let orders = (0..PER_SHOP).map(|number| network.payment(&format!("order-{shop}-{number}")));
        let (orders, open) = (orders.collect::<Vec<_>>(), Arc::clone(&open));
        shops.spawn(async move {
            let _open = open.acquire_owned().await.expect("never closed");
            let mut calls = JoinSet::new();
            for (number, order) in orders.into_iter().enumerate() {
                calls.spawn(pay(stripe.clone(), format!("order-{shop}-{number}"), order));
            }
            calls.join_all().await
        });
    }
    let calls: Vec<_> = shops.join_all().await.into_iter().flatten().collect();

    let stats = network.proxy.stats();
    // From here on the network is sound, and what was under way has arrived or never will.
    network.proxy.plan(Plan::none());
    network.proxy.reset_all();
    network.proxy.wait_for(|stats| stats.live == 0).await;
    let mut seen = Seen {
        faults: stats.faults(),
        applied: FaultKind::ALL.map(|kind| (kind, stats.applied(kind))).into(),
        attempts: 0,
        unknown: 0,
        replayed: 0,
        ended: BTreeMap::new(),
    };
    for call in &calls {
        check(&network.sim, call);
        assert!(call.version.is_none_or(|spoken| spoken == version), "{:?}", call.version);
        let any = |holds: fn(&Attempt) -> bool| usize::from(call.report.attempts().iter().any(holds));
        seen.attempts += call.report.attempts_made();
        seen.unknown += any(|attempt| attempt.certainty == Certainty::Unknown);
        seen.replayed += any(|attempt| attempt.replayed);
        *seen.ended.entry(call.report.certainty().as_str()).or_default() += 1;
    }
    assert!(seen.applied.values().all(|count| *count > 0), "{seen:?}");
    assert!(seen.attempts as usize > PAYMENTS + PAYMENTS / 5, "{seen:?}");
    assert!(seen.ended.len() > 1, "all paid at once leaves no advice to follow: {seen:?}");

    let stripe = network.stripe(network.client(alpn), 3);
    for call in &calls {
        resolve(&network, &stripe, call).await;
    }
    let Network { sim, server, proxy } = network;
    proxy.shutdown().await;
    server.shutdown().await;
    let ledger = sim.ledger();
    assert_eq!(ledger.charged_twice(), Vec::<&str>::new());
    assert_eq!(ledger.executed_orders().len(), PAYMENTS, "an order is lost");
    assert_eq!(ledger.total() as usize, PAYMENTS);
    seen
}

/// Nine connections in ten suffer, most of them from what ends them.
fn damage(seed: u64) -> Plan {
    let bandwidth = NonZeroU64::new(30_000).expect("not zero");
    Plan::probability(0.9)
        .seed(seed)
        .weight(FaultKind::Reset, 12)
        .weight(FaultKind::Cut, 12)
        .weight(FaultKind::HalfClose, 12)
        .weight(FaultKind::Stall, 12)
        .weight(FaultKind::Link, 6)
        .weight(FaultKind::SlowClose, 3)
        // About half of them in the handshake.
        .bytes(0..=2_500)
        .slow_link(Link::default().latency(millis(3)).jitter(millis(10)).bandwidth(bandwidth))
        .stall_limit(ATTEMPT * 2)
}

async fn pay(stripe: Stripe, order: String, request: Request<Full<Bytes>>) -> Call {
    let handle = ReportHandle::new();
    let sent = stripe.send(with(request, handle.clone())).await;
    let version = sent.as_ref().ok().map(http::Response::version);
    if let Ok(response) = sent {
        // The body may break off: its head has said it all.
        let _ = response.into_body().collect().await;
    }
    Call { order, report: handle.report(), version }
}

/// What was told is so, on the day when it was told.
fn check(sim: &Sim, Call { order, report, .. }: &Call) {
    let executions = sim.ledger().executions(order);
    match report.certainty() {
        Certainty::Executed => assert_eq!(executions, 1, "{order} is told executed\n{report:?}"),
        Certainty::NotSent | Certainty::Rejected => {
            assert_eq!(executions, 0, "{order} is told {}\n{report:?}", report.certainty());
        }
        Certainty::Unknown => assert!(executions <= 1, "{order}\n{report:?}"),
    }
}

/// Does what the advice says, until the order is paid.
async fn resolve(network: &Network, stripe: &Stripe, call: &Call) {
    let Call { order, report, .. } = call;
    let (mut advice, mut key) = (report.advice(), report.idempotency_key().cloned());
    for _ in 0..10 {
        match advice {
            Advice::Done => return,
            Advice::NewKey => key = None,
            Advice::SameKey => {}
            Advice::Resend | Advice::Reconcile => panic!("{order} is advised to {advice}\n{report:?}"),
        }
        let mut request = network.payment(order);
        key.clone().map(|key: IdempotencyKey| request.extensions_mut().insert(key));
        let again = pay(stripe.clone(), order.clone(), request).await;
        (advice, key) = (again.report.advice(), again.report.idempotency_key().cloned());
    }
    panic!("{order} cannot be resolved over a sound network: {advice}");
}

// === the network ===

/// A server with TLS, behind a proxy.
struct Network {
    sim: Sim,
    server: Server,
    proxy: FaultProxy,
}

impl Network {
    async fn start(plan: Plan) -> Self {
        let sim = sim();
        let server =
            Server::bind_tls(sim.clone(), (Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port");
        let proxy = FaultProxy::start(server.addr()).await.expect("a free port");
        proxy.plan(plan);
        Self { sim, server, proxy }
    }

    /// A client that trusts the server, and offers these protocols.
    fn client(&self, alpn: &[&[u8]]) -> Builder {
        let mut roots = RootCertStore::empty();
        let certificate = self.server.certificate().expect("it has one").to_vec();
        roots.add(certificate.into()).expect("the certificate is one");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Builder::new().tls_config(config)
    }

    fn stripe(&self, client: Builder, attempts: u32) -> Stripe {
        let retry = RetryConfig::builder()
            .max_attempts(NonZeroU32::new(attempts).expect("at least one"))
            .base_delay(millis(10))
            .max_delay(millis(100))
            .budget(BudgetConfig::OFF);
        let transport = StripeTransport::builder()
            .retry(retry)
            .breaker(never_open())
            .governor(ungoverned())
            .attempt_timeout(ATTEMPT);
        let transport = transport.allow_host("127.0.0.1").build().expect("valid settings");
        transport.layer(client.build())
    }

    fn payment(&self, order: &str) -> Request<Full<Bytes>> {
        let mut request = payment(order);
        let uri = format!("https://{}/v1/payment_intents", self.proxy.addr());
        *request.uri_mut() = uri.parse().expect("a uri");
        request
    }
}

async fn within_limit<F: Future>(campaign: F) -> F::Output {
    time::timeout(LIMIT, campaign)
        .await
        .unwrap_or_else(|_| panic!("the campaign is not over after {LIMIT:?}"))
}
