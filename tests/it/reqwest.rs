//! Calls by way of reqwest keep what the crate promises, over real sockets: what the server saw is what was told.
//!
//! Sockets take real time, so time runs here. Nothing waits for a moment to come: what waits is the time limits, the
//! backoffs and the damage itself.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use ::reqwest::{
    Body,
    multipart::{Form, Part},
};
use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::BodyExt;
use reqwest_middleware::{Middleware, Next};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde_json::json;
use stripe_sim::{
    Canned, Server, Sim, Step,
    proxy::{Direction, Fault, FaultKind, FaultProxy, Plan, Point},
};
use tokio::{sync::Semaphore, task::JoinSet};
use tower::ServiceExt;
use tower_stripe::{
    Advice, AttemptTimeout, Certainty, Deadline, Error, FailureKind, IdempotencyKey, Operation, Outcome,
    Priority, Refusal, Report, ReportHandle, ResponseExt, RetryLimit, StripeTransport,
    classify::StripeError,
    detach::DetachLayer,
    edge::reqwest::{Client, ClientError, ReqwestExt},
    retry::{BudgetConfig, RetryConfig},
    vocab::Stop,
};

use crate::support::{
    API_KEY, assert_one_key_and_body, keys, millis, never_open, secs, sim, statuses, ungoverned,
};

type Stripe = StripeTransport<Client>;
type Answer = Result<reqwest::Response, Error<ClientError>>;

const ATTEMPT: Duration = millis(300);

// === the network ===

/// A server, and a shop that calls it by reqwest.
struct Shop {
    sim: Sim,
    server: Server,
    http: reqwest::Client,
    stripe: Stripe,
}

impl Shop {
    async fn open() -> Self {
        let sim = sim();
        let server = Server::bind(sim.clone(), (Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port");
        let client = Client::new().expect("a client");
        Self { sim, server, http: client.get_ref().clone(), stripe: transport(client, 3) }
    }

    fn post(&self, path: &str, order: &str) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("http://{}{path}", self.server.addr()));
        request.bearer_auth(API_KEY).header("x-sim-order", order)
    }

    /// A payment as programs make it with reqwest.
    fn payment(&self, order: &str) -> reqwest::Request {
        self.payment_with(order, "pm_card_visa")
    }

    fn payment_with(&self, order: &str, card: &str) -> reqwest::Request {
        payment(self.post("/v1/payment_intents", order), card)
    }

    fn upload(&self, order: &str) -> reqwest::Request {
        let file = Part::bytes(vec![b'%'; 100_000]).file_name("evidence.pdf");
        let form = Form::new().text("purpose", "dispute_evidence").part("file", file);
        self.post("/v1/files", order).multipart(form).build().expect("a request")
    }
}

fn payment(request: reqwest::RequestBuilder, card: &str) -> reqwest::Request {
    let form = [("amount", "1099"), ("currency", "eur"), ("confirm", "true"), ("payment_method", card)];
    request.form(&form).build().expect("a request")
}

fn transport(client: Client, attempts: u32) -> Stripe {
    let retry = RetryConfig::builder()
        .max_attempts(NonZeroU32::new(attempts).expect("at least one"))
        .base_delay(millis(10))
        .max_delay(millis(100))
        .budget(BudgetConfig::OFF);
    let layer = StripeTransport::builder().retry(retry).breaker(never_open()).governor(ungoverned());
    layer.allow_host("127.0.0.1").build().expect("valid settings").layer(client)
}

fn unwell() -> Step {
    Step::Answer(Canned::raw(503, r#"{"error":{"type":"api_error"}}"#))
}

async fn nobody() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    listener.local_addr().expect("bound")
}

// === as before ===

#[tokio::test]
async fn a_call_is_executed_as_reqwest_would_and_its_report_is_in_the_response() {
    let shop = Shop::open().await;
    let request = shop.payment("o");
    let url = request.url().clone();
    let response = shop.stripe.execute(request).await.expect("an answer");
    assert_eq!((response.status(), response.url()), (StatusCode::OK, &url));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Executed), Some(Advice::Done)));
    assert_eq!(response.request_id().map(|id| id.to_string()), Some(shop.sim.log()[0].request_id.clone()));
    assert!(response.text().await.expect("a body").contains(r#""status":"succeeded""#));
    assert_eq!(shop.sim.ledger().executions("o"), 1);
    assert!(shop.sim.log()[0].idempotency_key.is_some() && shop.sim.log()[0].authorized);
}

#[tokio::test]
async fn a_decline_comes_as_stripe_wrote_it() {
    let shop = Shop::open().await;
    let declined = |order: &str| shop.payment_with(order, "pm_card_chargeDeclined");
    let response = shop.stripe.execute(declined("o")).await.expect("an answer");
    assert_eq!(
        (response.status(), response.certainty()),
        (StatusCode::PAYMENT_REQUIRED, Some(Certainty::Rejected))
    );
    let error = response.extensions().get::<StripeError>().expect("it was understood");
    assert!(error.decline().is_some());
    let (through, direct) = (response.bytes(), shop.http.execute(declined("p")));
    let direct = direct.await.expect("an answer").bytes().await.expect("a body");
    let without_ids = |body: &Bytes| {
        let mut body: serde_json::Value = serde_json::from_slice(body).expect("json");
        body["error"]["payment_intent"] = json!(null);
        body["error"]["charge"] = json!(null);
        body["error"]["request_log_url"] = json!(null);
        body
    };
    let through = through.await.expect("a body");
    assert_eq!(through.len(), direct.len());
    assert_eq!(without_ids(&through), without_ids(&direct));
    assert_eq!(statuses(&shop.sim, "o"), [Some(402)]);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_under_one_key() {
    let shop = Shop::open().await;
    shop.sim.script("o", [Step::Fault(stripe_sim::Fault::F3), unwell()]);
    let response = shop.stripe.execute(shop.payment("o")).await.expect("an answer");
    assert_eq!((response.attempts(), response.was_replayed()), (Some(3), Some(true)));
    assert_one_key_and_body(&shop.sim, "o");
    assert_eq!(shop.sim.ledger().executions("o"), 1);
}

// === what there is to say about a call ===

#[tokio::test]
async fn what_is_said_of_a_call_is_heeded() {
    let shop = Shop::open().await;
    let key = IdempotencyKey::new("order-8812").expect("a key");
    for order in ["none", "one"] {
        shop.sim.script(order, [unwell(), unwell(), unwell()]);
    }
    let call = shop.stripe.call(shop.payment("none")).no_retry().idempotency_key(key);
    let response = call.priority(Priority::Critical).await.expect("an answer");
    assert_eq!((response.status().as_u16(), response.attempts()), (503, Some(1)));
    assert_eq!(response.report().and_then(|report| report.stopped()), Some(Stop::Attempts));
    assert_eq!(keys(&shop.sim, "none"), [Some("order-8812".to_owned())]);

    let handle = ReportHandle::new();
    let refunds = Operation::new("refunds.create").expect("known");
    let call = shop.stripe.call(shop.payment("one")).retry_limit(RetryLimit::new(1)).operation(refunds);
    let response = call.report_handle(handle.clone()).send().await.expect("an answer");
    assert_eq!((response.status().as_u16(), statuses(&shop.sim, "one").len()), (503, 2));
    assert_eq!((handle.attempts_made(), handle.report().operation()), (2, Some(refunds)));
}

#[tokio::test]
async fn a_time_limit_of_the_request_is_that_of_the_whole_call() {
    let shop = Shop::open().await;
    shop.sim.script("o", [Step::Hang]);
    let mut request = shop.payment("o");
    *request.timeout_mut() = Some(millis(200));
    let error = shop.stripe.execute(request).await.expect_err("nobody answers");
    // Of the stack's own, which knows what that means, and not reqwest's. The attempt alone might take 30 s.
    assert!(error.is_timeout(), "{error}");
    assert_eq!((error.certainty(), error.attempts()), (Certainty::Unknown, 1));

    // Zero is in the past: nothing is sent.
    let mut request = shop.payment("p");
    *request.timeout_mut() = Some(Duration::ZERO);
    let error = shop.stripe.execute(request).await.expect_err("no time");
    assert_eq!(error.refusal(), Some(&Refusal::DeadlineExceeded));
    // What is said of the call goes first.
    let mut request = shop.payment("p");
    *request.timeout_mut() = Some(Duration::ZERO);
    shop.stripe.call(request).deadline(Deadline::after(secs(30))).await.expect("an answer");
    assert_eq!(statuses(&shop.sim, "p"), [Some(200)]);
}

#[tokio::test]
async fn a_key_in_a_header_and_another_one_are_refused() {
    let shop = Shop::open().await;
    let mut request = shop.payment("o");
    request.headers_mut().insert("idempotency-key", "a".parse().expect("a value"));
    let call = shop.stripe.call(request).idempotency_key(IdempotencyKey::new("b").expect("a key"));
    let error = call.await.expect_err("refused");
    assert_eq!(error.refusal(), Some(&Refusal::ConflictingKeys));
    assert!(shop.sim.log().is_empty());
}

#[tokio::test]
async fn a_url_that_is_no_uri_is_refused_and_its_handle_knows() {
    let shop = Shop::open().await;
    let handle = ReportHandle::new();
    let long = format!("https://api.stripe.com/v1/charges/{}", "x".repeat(70_000));
    let request = shop.http.post(long).body("amount=1").build().expect("reqwest takes it");
    let error = shop.stripe.call(request).report_handle(handle.clone()).await.expect_err("refused");
    assert_eq!(error.refusal(), Some(&Refusal::InvalidUri));
    assert_eq!((error.certainty(), handle.certainty()), (Certainty::NotSent, Certainty::NotSent));
    assert_eq!(handle.report().stopped(), Some(Stop::Refused));
}

// === uploads ===

fn stored() -> Step {
    Step::Answer(Canned::json(200, &json!({ "id": "file_1", "object": "file" })))
}

#[tokio::test]
async fn an_upload_that_streams_is_sent_once_and_says_why() {
    let shop = Shop::open().await;
    shop.sim.script("sound", [stored()]);
    let response = shop.stripe.execute(shop.upload("sound")).await.expect("an answer");
    assert!(response.text().await.expect("a body").contains("file_1"));
    let [seen] = &shop.sim.log_of("sound")[..] else { panic!("one request") };
    assert!(seen.body.len() > 100_000 && seen.idempotency_key.is_some(), "{}", seen.body.len());

    shop.sim.script("unwell", [unwell(), stored()]);
    let response = shop.stripe.execute(shop.upload("unwell")).await.expect("an answer");
    assert_eq!((response.status().as_u16(), response.attempts()), (503, Some(1)));
    assert_eq!(response.report().and_then(|report| report.stopped()), Some(Stop::Body));
    assert_eq!(statuses(&shop.sim, "unwell"), [Some(503)]);
}

/// As in production: by name, by TLS, and without a word about hosts.
#[tokio::test]
async fn an_upload_to_files_stripe_com_goes_through() {
    let network = Network::start(Plan::none()).await;
    let builder = network.builder(&[b"h2", b"http/1.1"]).resolve("files.stripe.com", network.server.addr());
    let client = Client::build(builder).expect("a client");
    let http = client.get_ref().clone();
    let stripe = StripeTransport::new(client);
    network.sim.script("o", [stored()]);
    let form = Form::new().text("purpose", "dispute_evidence").part("file", Part::bytes(vec![b'%'; 100_000]));
    let request =
        http.post("https://files.stripe.com/v1/files").bearer_auth(API_KEY).header("x-sim-order", "o");
    let response = stripe.execute(request.multipart(form).build().expect("a request")).await;
    let response = response.expect("an answer");
    assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
    let [seen] = &network.sim.log_of("o")[..] else { panic!("one request") };
    assert!(seen.body.len() > 100_000 && seen.path == "/v1/files", "{}", seen.body.len());
    assert_eq!(response.report().and_then(|report| report.operation()), Operation::new("files.create"));
}

#[tokio::test]
async fn an_upload_in_memory_is_sent_again() {
    let shop = Shop::open().await;
    shop.sim.script("o", [unwell(), stored()]);
    let mut request = shop.upload("o");
    let body = request.body_mut().take().expect("a form").collect().await.expect("in memory");
    *request.body_mut() = Some(body.to_bytes().into());
    let response = shop.stripe.execute(request).await.expect("an answer");
    assert_eq!((response.status(), response.attempts()), (StatusCode::OK, Some(2)));
    assert_one_key_and_body(&shop.sim, "o");
    assert!(shop.sim.log_of("o").iter().all(|seen| seen.body.len() > 100_000));
}

// === what is proven ===

#[tokio::test]
async fn a_connection_that_is_refused_has_sent_nothing() {
    let shop = Shop::open().await;
    let uri = format!("http://{}/v1/payment_intents", nobody().await);
    let request = || payment(shop.http.post(&uri).bearer_auth(API_KEY), "pm_card_visa");
    let error = shop.stripe.execute(request()).await.expect_err("nobody listens");
    assert_eq!(error.outcome(), Outcome::Transport(FailureKind::Tcp));
    assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::NewKey));
    assert_eq!(error.attempts(), 3);
}

/// The limit of the attempt ends the wait, not reqwest: what proves that nothing left is the untouched body.
#[tokio::test]
async fn a_handshake_that_hangs_until_the_attempt_is_given_up_has_sent_nothing() {
    let network = Network::start(Plan::always(Fault::TlsHang { limit: None })).await;
    let (http, stripe) = network.shop(&[], 1);
    let call = stripe.call(network.payment(&http, "o"));
    let error = call.attempt_timeout(AttemptTimeout::new(millis(100))).await.expect_err("no answer");
    assert!(error.is_timeout());
    assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::NewKey));
    assert_eq!(network.proxy.stats().applied(FaultKind::TlsHang), 1);
}

#[tokio::test]
async fn a_reset_after_the_request_was_sent_leaves_it_unknown_and_the_key_answers_it() {
    let sim = sim();
    let server = Server::bind(sim.clone(), (Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port");
    let proxy = FaultProxy::start(server.addr()).await.expect("a free port");
    proxy.script([Fault::Reset(Point::Byte(Direction::ToClient, 0))]);
    let client = Client::new().expect("a client");
    let (http, stripe) = (client.get_ref().clone(), transport(client, 3));
    let request = || {
        let request = http.post(format!("http://{}/v1/payment_intents", proxy.addr()));
        payment(request.bearer_auth(API_KEY).header("x-sim-order", "o"), "pm_card_visa")
    };
    let error = stripe.call(request()).no_retry().await.expect_err("the answer is lost");
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    assert_eq!(sim.ledger().executions("o"), 1);
    let key = error.idempotency_key().expect("it had one");
    let response = stripe.call(request()).idempotency_key(key).await.expect("an answer");
    assert_eq!((response.was_replayed(), response.certainty()), (Some(true), Some(Certainty::Executed)));
    assert_eq!(sim.ledger().executions("o"), 1);
}

/// S-95.
#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let shop = Shop::open().await;
    let elsewhere = format!("http://{}/elsewhere", shop.server.addr());
    for status in [301, 302, 303, 307, 308] {
        let order = format!("o-{status}");
        shop.sim.script(&order, [Step::Answer(Canned::redirect(status, &elsewhere))]);
        let response = shop.stripe.execute(shop.payment(&order)).await.expect("an answer");
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.certainty(), Some(Certainty::Unknown));
    }
    assert!(shop.sim.log().iter().all(|seen| seen.path == "/v1/payment_intents"));

    // A client of the program's own follows it. Its answer is another one's, and is not taken for this one's.
    let foreign = transport(Client::wrap(Client::builder().build().expect("a client")), 1);
    shop.sim.script("o-foreign", [Step::Answer(Canned::redirect(303, &elsewhere))]);
    let error = foreign.execute(shop.payment("o-foreign")).await.expect_err("it is from elsewhere");
    assert!(error.transport_error().is_some_and(ClientError::is_redirected));
    assert_eq!((error.certainty(), error.advice()), (Certainty::Unknown, Advice::SameKey));
    assert!(shop.sim.log().iter().any(|seen| seen.path == "/elsewhere"));
}

// === among others ===

#[tokio::test]
async fn calls_can_be_spawned_and_detached() {
    let shop = Shop::open().await;
    let executed = tokio::spawn(shop.stripe.execute(shop.payment("a"))).await.expect("no panic");
    let called = tokio::spawn(shop.stripe.call(shop.payment("b")).into_future()).await.expect("no panic");
    let stripe = shop.stripe.clone();
    let request = shop.payment("c");
    let within = tokio::spawn(async move { stripe.call(request).no_retry().await }).await.expect("no panic");
    let detached = tower::Layer::layer(&DetachLayer::default(), shop.stripe.clone());
    let detached = tokio::spawn(detached.execute(shop.payment("d"))).await.expect("no panic");
    for answer in [executed, called, within] {
        assert_eq!(answer.expect("an answer").certainty(), Some(Certainty::Executed));
    }
    assert_eq!(detached.expect("an answer").certainty(), Some(Certainty::Executed));
    assert_eq!(shop.sim.ledger().total(), 4);
}

/// Whoever has `http` requests needs nothing of this.
#[tokio::test]
async fn http_requests_with_bodies_of_their_own_pass_too() {
    let shop = Shop::open().await;
    let uri = format!("http://{}/v1/payment_intents", shop.server.addr());
    let form = "amount=1099&currency=eur&confirm=true&payment_method=pm_card_visa&metadata[order]=o";
    let request = Request::post(uri).header("authorization", format!("Bearer {API_KEY}"));
    let response = shop.stripe.clone().oneshot(request.body(form.to_owned()).expect("a request")).await;
    assert_eq!(response.expect("an answer").certainty(), Some(Certainty::Executed));
    assert_eq!((shop.sim.ledger().executions("o"), &shop.sim.log()[0].body[..]), (1, form.as_bytes()));
}

/// Sends what arrives through the stack, and not on.
struct Through(Stripe);

#[async_trait::async_trait]
impl Middleware for Through {
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut http::Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        let mut call = self.0.call(request);
        if let Some(limit) = extensions.get::<RetryLimit>() {
            call = call.retry_limit(*limit);
        }
        call.await.map_err(reqwest_middleware::Error::middleware)
    }
}

/// As a program's own does, which knows nothing of this crate.
struct Stamp;

#[async_trait::async_trait]
impl Middleware for Stamp {
    async fn handle(
        &self,
        mut request: reqwest::Request,
        extensions: &mut http::Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        request.headers_mut().insert("stripe-version", "2026-01-28".parse().expect("a value"));
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn the_last_middleware_of_a_chain_sends_through_the_stack() {
    let shop = Shop::open().await;
    let chain = reqwest_middleware::ClientBuilder::new(shop.http.clone());
    let chain = chain.with(Stamp).with(Through(shop.stripe.clone())).build();
    shop.sim.script("a", [Step::Fault(stripe_sim::Fault::F3)]);
    let response = chain.execute(shop.payment("a")).await.expect("an answer");
    assert_eq!((response.attempts(), response.was_replayed()), (Some(2), Some(true)));
    assert!(shop.sim.log_of("a").iter().all(|seen| seen.version.as_deref() == Some("2026-01-28")));
    assert_eq!(shop.sim.ledger().executions("a"), 1);

    shop.sim.script("b", [Step::Fault(stripe_sim::Fault::F3)]);
    let mut intents = http::Extensions::new();
    intents.insert(RetryLimit::NONE);
    let error = chain.execute_with_extensions(shop.payment("b"), &mut intents).await.expect_err("lost");
    let reqwest_middleware::Error::Middleware(error) = error else { panic!("{error}") };
    let error: &Error<ClientError> = error.downcast_ref().expect("the stack's own");
    assert_eq!((error.certainty(), error.attempts()), (Certainty::Unknown, 1));
}

#[tokio::test]
async fn nothing_shows_an_api_key() {
    let shop = Shop::open().await;
    let mut request = shop.payment("o");
    let value = format!("Bearer {API_KEY}").parse().expect("a value");
    request.headers_mut().insert("authorization", value);
    let call = shop.stripe.call(request);
    let mut shown = format!("{call:?} {:?}", shop.stripe);
    let executing = call.send();
    shown.push_str(&format!("{executing:?}"));
    let response = executing.await.expect("an answer");
    shown.push_str(&format!("{:?}", response.report()));
    assert!(!shown.contains(API_KEY), "{shown}");
}

// === a campaign ===

const PAYMENTS: usize = 200;

/// So many payments share a client, and with it a pool of connections.
const PER_SHOP: usize = 20;

/// So many shops are open at once.
const SHOPS: usize = 2;

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

    /// A client that trusts the server, and a transport over it.
    fn shop(&self, alpn: &[&[u8]], attempts: u32) -> (reqwest::Client, Stripe) {
        let client = Client::build(self.builder(alpn)).expect("a client");
        (client.get_ref().clone(), transport(client, attempts))
    }

    fn builder(&self, alpn: &[&[u8]]) -> reqwest::ClientBuilder {
        let mut roots = RootCertStore::empty();
        let certificate = self.server.certificate().expect("it has one").to_vec();
        roots.add(certificate.into()).expect("the certificate is one");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Client::builder().tls_backend_preconfigured(config).connect_timeout(ATTEMPT)
    }

    fn payment(&self, http: &reqwest::Client, order: &str) -> reqwest::Request {
        let request = http.post(format!("https://{}/v1/payment_intents", self.proxy.addr()));
        payment(request.bearer_auth(API_KEY).header("x-sim-order", order), "pm_card_visa")
    }
}

async fn pay(stripe: Stripe, request: reqwest::Request, key: Option<IdempotencyKey>) -> (Answer, Report) {
    let handle = ReportHandle::new();
    let mut call = stripe.call(request).attempt_timeout(AttemptTimeout::new(ATTEMPT));
    if let Some(key) = key {
        call = call.idempotency_key(key);
    }
    let answer = call.report_handle(handle.clone()).await;
    (answer, handle.report())
}

/// Nine connections in ten suffer.
fn damage(seed: u64) -> Plan {
    Plan::probability(0.9)
        .seed(seed)
        .weight(FaultKind::Reset, 12)
        .weight(FaultKind::Cut, 12)
        .weight(FaultKind::HalfClose, 12)
        .weight(FaultKind::Stall, 12)
        .weight(FaultKind::SlowClose, 3)
        .bytes(0..=2_500)
        .stall_limit(ATTEMPT * 2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_payments_over_a_damaged_network_are_charged_once_each() {
    for (alpn, seed) in [(&[&b"http/1.1"[..]][..], 1), (&[b"h2"], 2)] {
        let seen = tokio::time::timeout(secs(90), campaign(alpn, seed)).await.expect("within its limit");
        println!("{seen:?}");
        assert!(seen.0 > 20 && seen.1 > PAYMENTS + 20 && seen.2 > 5, "{seen:?}");
    }
}

/// How many connections suffered, how many attempts were made, and how many payments had an attempt that ended `Unknown`.
async fn campaign(alpn: &[&[u8]], seed: u64) -> (u64, usize, usize) {
    let network = Network::start(damage(seed)).await;
    let open = Arc::new(Semaphore::new(SHOPS));
    let mut shops = JoinSet::new();
    for shop in 0..PAYMENTS / PER_SHOP {
        let (http, stripe) = network.shop(alpn, 8);
        let orders = (0..PER_SHOP).map(|number| format!("order-{shop}-{number}"));
        let orders = orders.map(|order| (network.payment(&http, &order), order)).collect::<Vec<_>>();
        let open = Arc::clone(&open);
        shops.spawn(async move {
            let _open = open.acquire_owned().await.expect("never closed");
            let mut calls = JoinSet::new();
            for (request, order) in orders {
                let stripe = stripe.clone();
                calls.spawn(async move { (order, pay(stripe, request, None).await.1) });
            }
            calls.join_all().await
        });
    }
    let calls: Vec<_> = shops.join_all().await.into_iter().flatten().collect();

    let faults = network.proxy.stats().faults();
    network.proxy.plan(Plan::none());
    network.proxy.reset_all();
    network.proxy.wait_for(|stats| stats.live == 0).await;
    let mut attempts = 0;
    let mut unknown = 0;
    let (http, stripe) = network.shop(alpn, 3);
    for (order, report) in calls {
        attempts += report.attempts_made() as usize;
        unknown += usize::from(report.attempts().iter().any(|made| made.certainty == Certainty::Unknown));
        let executions = network.sim.ledger().executions(&order);
        match report.certainty() {
            Certainty::Executed => assert_eq!(executions, 1, "{order} is told executed\n{report:?}"),
            Certainty::NotSent | Certainty::Rejected => assert_eq!(executions, 0, "{order}\n{report:?}"),
            Certainty::Unknown => assert!(executions <= 1, "{order}\n{report:?}"),
        }
        let key = match report.advice() {
            Advice::Done => continue,
            Advice::NewKey => None,
            Advice::SameKey => report.idempotency_key().cloned(),
            advice => panic!("{order} is advised to {advice}\n{report:?}"),
        };
        let (answer, _) = pay(stripe.clone(), network.payment(&http, &order), key).await;
        assert_eq!(answer.expect("a sound network").certainty(), Some(Certainty::Executed));
    }
    let Network { sim, server, proxy } = network;
    drop((http, stripe));
    proxy.shutdown().await;
    server.shutdown().await;
    let ledger = sim.ledger();
    assert_eq!(ledger.charged_twice(), Vec::<&str>::new());
    assert_eq!((ledger.executed_orders().len(), ledger.total() as usize), (PAYMENTS, PAYMENTS));
    (faults, attempts, unknown)
}

/// The body of a success is not read by the stack, but streams on.
#[tokio::test]
async fn a_body_goes_on_streaming() {
    let shop = Shop::open().await;
    let large = "x".repeat(1 << 20);
    shop.sim.script("o", [Step::Answer(Canned::raw(200, large.clone()))]);
    let mut response = shop.stripe.execute(shop.payment("o")).await.expect("an answer");
    let mut chunks = Vec::new();
    while let Some(chunk) = response.chunk().await.expect("a body") {
        chunks.push(chunk);
    }
    assert!(chunks.len() > 1, "a body in one piece was collected");
    assert_eq!(chunks.concat(), large.as_bytes());
    let _: fn(reqwest::Response) -> Body = Body::from;
}
