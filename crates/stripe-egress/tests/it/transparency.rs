//! Without faults nobody can tell whether there is a sidecar: what arrives is what was sent, and what comes back is what
//! was answered, but for what belongs to one hop, the idempotency key, and the sidecar's own headers.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use stripe_sim::{Limits, Sim};

use crate::support::{
    API_KEY, egress, send,
    upstream::{Received, Upstream},
};

/// How many exchanges each property is shown on.
const EXCHANGES: u32 = 250;

/// What may differ: what belongs to one hop, framing included, and what the sidecar adds.
fn is_aside(name: &HeaderName) -> bool {
    const ASIDE: [&str; 9] = [
        "connection",
        "keep-alive",
        "te",
        "transfer-encoding",
        "content-length",
        "upgrade",
        "expect",
        "host",
        "idempotency-key",
    ];
    ASIDE.contains(&name.as_str()) || name.as_str().starts_with("x-stripe-egress-")
}

/// The headers that may not differ: the values of each name in their order, the names in any.
fn compared(headers: &HeaderMap) -> Vec<(String, Vec<HeaderValue>)> {
    let names = headers.keys().filter(|name| !is_aside(name));
    let mut all: Vec<_> = names
        .map(|name| (name.to_string(), headers.get_all(name).iter().cloned().collect::<Vec<_>>()))
        .collect();
    all.sort();
    all
}

type Seen = (String, String, Vec<(String, Vec<HeaderValue>)>, Bytes);

fn seen(received: &Received) -> Seen {
    (received.method.to_string(), received.target.clone(), compared(&received.headers), received.body.clone())
}

fn came_back(response: &Response<Bytes>) -> (u16, Vec<(String, Vec<HeaderValue>)>, Bytes) {
    (response.status().as_u16(), compared(response.headers()), response.body().clone())
}

/// Names of headers that mean something to nobody in between.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("stripe-account".to_owned()),
        Just("stripe-version".to_owned()),
        Just("x-stripe-client-user-agent".to_owned()),
        Just("x-stripe-client-telemetry".to_owned()),
        Just("accept-encoding".to_owned()),
        Just("user-agent".to_owned()),
        Just("via".to_owned()),
        Just("set-cookie".to_owned()),
        "x-[a-z]{1,8}",
    ]
}

/// Values with whatever may stand in one, bytes above ASCII included.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![0x21_u8..0x7f, 0x80_u8..=0xff];
    (prop::collection::vec(byte.clone(), 1..4), prop::collection::vec(prop_oneof![byte, Just(b' ')], 0..24))
        .prop_map(|(end, middle)| [end.clone(), middle, end].concat())
}

fn headers() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    prop::collection::vec((name(), value()), 0..8)
}

fn target() -> impl Strategy<Value = String> {
    let path = prop_oneof![
        Just("/v1/customers".to_owned()),
        Just("/v1/payment_intents".to_owned()),
        Just("/v1/files".to_owned()),
        Just("/oauth/token".to_owned()),
        Just("/v2/billing/meter_event_stream".to_owned()),
        "/v1/[a-z_]{1,9}/[A-Za-z0-9_~.%!$&'()*+,;=:@-]{0,12}",
        "/[a-z0-9/._-]{0,16}",
    ];
    let query =
        prop_oneof![Just(String::new()), Just("?".to_owned()), "\\?[A-Za-z0-9_=&%\\[\\]:/?+.-]{0,24}"];
    (path, query).prop_map(|(path, query)| path + &query)
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 1..200),
        prop::collection::vec(any::<u8>(), 9_000..20_000),
    ]
}

#[derive(Clone, Debug)]
struct Exchange {
    method: &'static str,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    chunked: bool,
    status: u16,
    answered: Vec<(String, Vec<u8>)>,
    answer: Vec<u8>,
}

fn exchange() -> impl Strategy<Value = Exchange> {
    // Answers that the stack would try again are left out: there, to be seen is the point.
    let status = prop::sample::select(vec![200, 201, 202, 204, 301, 400, 402, 403, 404, 418]);
    let method = prop::sample::select(vec!["GET", "POST", "DELETE"]);
    let sent = (method, target(), headers(), body(), any::<bool>());
    (sent, status, headers(), body()).prop_map(
        |((method, target, headers, body, chunked), status, answered, answer)| {
            // A GET has no body, and a 204 none either.
            let body = if method == "GET" { Vec::new() } else { body };
            let answer = if status == 204 { Vec::new() } else { answer };
            Exchange { method, target, headers, body, chunked, status, answered, answer }
        },
    )
}

fn append(headers: &mut HeaderMap, all: &[(String, Vec<u8>)]) {
    for (name, value) in all {
        let name: HeaderName = name.parse().expect("a name");
        headers.append(name, HeaderValue::from_bytes(value).expect("a value"));
    }
}

impl Exchange {
    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(&self.target)
            .header("host", "api.stripe.com")
            .header("authorization", format!("Bearer {API_KEY}"))
            .body(Full::from(self.body.clone()))
            .expect("a request");
        append(request.headers_mut(), &self.headers);
        if self.chunked && !self.body.is_empty() {
            request.headers_mut().insert("transfer-encoding", HeaderValue::from_static("chunked"));
        }
        request
    }

    fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.answer.clone()));
        *response.status_mut() = self.status.try_into().expect("a status");
        let headers = response.headers_mut();
        append(headers, &self.answered);
        headers.insert("request-id", HeaderValue::from_static("req_1"));
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        response
    }
}

/// One after the other, what is drawn for them depends on nothing but the seed.
fn draw<S: Strategy>(strategy: &S) -> Vec<S::Value> {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    (0..EXCHANGES).map(|_| strategy.new_tree(&mut runner).expect("a value").current()).collect()
}

/// Everything off that would say no to what is drawn: the answers are no health, and there are hundreds of them.
const OPEN: &str = "[breaker]\nenabled = false\n[auth_gate]\nenabled = false\n[retry]\nmax_attempts = 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_drawn_arrives_and_comes_back_as_without_a_sidecar() {
    let (answers, asked) = tokio::sync::watch::channel(Response::new(Bytes::new()));
    let upstream = Upstream::answering(move |_| asked.borrow().clone()).await;
    let egress = egress(upstream.addr(), OPEN).await;
    for exchange in draw(&exchange()) {
        answers.send_replace(exchange.response());
        let direct = send(upstream.addr(), exchange.request()).await;
        let through = send(egress.addr(), exchange.request()).await;
        let [without, with] = <[Received; 2]>::try_from(upstream.take()).expect("two requests");
        assert_eq!(seen(&without), seen(&with), "{exchange:?}");
        assert_eq!(came_back(&direct), came_back(&through), "{exchange:?}");
        let given = with.headers.contains_key("idempotency-key");
        let heeded = exchange.method == "POST" && !exchange.target.starts_with("/oauth/")
            || exchange.method == "DELETE" && exchange.target.starts_with("/v2/");
        assert_eq!(given, heeded, "{exchange:?}");
    }
}

/// Calls of a shop: each creates, pays, refunds, lists, or asks for what there is not.
fn shopping() -> impl Strategy<Value = (&'static str, String, String)> {
    let card = prop::sample::select(vec![
        "pm_card_visa",
        "pm_card_chargeDeclined",
        "pm_card_chargeDeclinedInsufficientFunds",
        "pm_card_authenticationRequired",
    ]);
    prop_oneof![
        "[a-z]{1,8}".prop_map(|name| ("POST", "/v1/customers".to_owned(), format!("name={name}"))),
        (1_u32..9_999, card).prop_map(|(amount, card)| {
            let form = format!("amount={amount}&currency=eur&confirm=true&payment_method={card}");
            ("POST", "/v1/payment_intents".to_owned(), form)
        }),
        Just(("POST", "/v1/payment_intents".to_owned(), "amount=0".to_owned())),
        (1_u32..9).prop_map(|limit| ("GET", format!("/v1/payment_intents?limit={limit}"), String::new())),
        (1_u32..9).prop_map(|limit| ("GET", format!("/v1/customers?limit={limit}"), String::new())),
        Just(("GET", "/v1/events?".to_owned(), String::new())),
        Just(("GET", "/v1/charges/ch_gone".to_owned(), String::new())),
        Just(("DELETE", "/v1/customers/cus_gone".to_owned(), String::new())),
    ]
}

/// A runtime of its own, on which time stands still: two simulators on it say the same at the same moment.
async fn two_simulators() -> (Upstream, Upstream) {
    let (ready, both) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let sim = || Sim::builder().seed(7).limits(Limits::unlimited()).build();
            let upstreams = (Upstream::simulating(sim()).await, Upstream::simulating(sim()).await);
            assert!(ready.send(upstreams).is_ok(), "the test waits");
            std::future::pending::<()>().await;
        });
    });
    both.await.expect("both are there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_cannot_tell_whether_it_talks_to_stripe_through_a_sidecar() {
    let (alone, behind) = two_simulators().await;
    let egress = egress(behind.addr(), OPEN).await;
    for (n, (method, target, form)) in draw(&shopping()).into_iter().enumerate() {
        let request = || {
            let mut request = Request::builder()
                .method(method)
                .uri(&target)
                .header("host", "api.stripe.com")
                .header("authorization", format!("Bearer {API_KEY}"))
                .header("content-type", "application/x-www-form-urlencoded")
                .header("x-sim-order", format!("order-{n}"));
            // Without one, what Stripe says of keys would differ: the sidecar gives one to a call that comes without.
            if method == "POST" {
                request = request.header("idempotency-key", format!("key-{n}"));
            }
            request.body(Full::from(form.clone())).expect("a request")
        };
        let (direct, through) = (send(alone.addr(), request()).await, send(egress.addr(), request()).await);
        assert_eq!(came_back(&direct), came_back(&through), "{n}: {method} {target} {form}");
        let [without, with] =
            [alone.take(), behind.take()].map(|seen| seen.into_iter().next().expect("it arrived"));
        assert_eq!(seen(&without), seen(&with), "{n}: {method} {target} {form}");
    }
}
