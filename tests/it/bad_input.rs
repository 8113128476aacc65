//! What is wrong is refused with the value and the reason, before anything is sent, and without showing a secret.

use std::error::Error as StdError;

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Full;
use stripe_sim::{Canned, Fault, Sim, Step};
use tower_stripe::{
    Advice, Certainty, ConfigError, Error, IdempotencyKey, Refusal, ReportHandle, ResponseExt,
    StripeTransport,
    breaker::BreakerConfig,
    classify::{ClassifyConfig, StripeError},
    governor::{Bucket, GovernorConfig, Limit},
    idempotency::IdempotencyConfig,
    retry::{BudgetConfig, RetryConfig},
    vocab::{InvalidKey, Mode, Problem, Ratio, Stop},
};

use crate::support::{
    API_KEY, NetworkError, SimClient, gaps, get, keyed, millis, notes::Notes, payment, payment_with, secs,
    sim, statuses, transport, transport_of, with,
};

/// Refused before the wire: nothing was sent, the text is `text`, and the transport works on.
async fn assert_refused(
    sim: &Sim,
    stripe: &StripeTransport<SimClient>,
    request: Request<Full<Bytes>>,
    refusal: &Refusal,
    text: &str,
) -> Error<NetworkError> {
    let seen = sim.log().len();
    let error = stripe.send(request).await.expect_err("refused");
    assert_eq!(error.refusal(), Some(refusal));
    assert!(error.is_refused() && !error.is_timeout() && !error.is_transport());
    assert_eq!(error.to_string(), format!("refused before sending: {text}; nothing was sent"));
    assert_eq!((error.certainty(), error.attempts()), (Certainty::NotSent, 0));
    assert_eq!(error.report().and_then(|report| report.stopped()), Some(Stop::Refused));
    assert_eq!(sim.log().len(), seen, "something was sent");
    let response = stripe.send(get("/v1/customers", "next")).await.expect("the transport works on");
    assert_eq!(response.status(), 200);
    error
}

/// S-26
#[tokio::test(start_paused = true)]
async fn an_invalid_key_is_refused_with_the_rule_it_breaks() {
    let sim = sim();
    let stripe = transport(&sim);
    let (long, longest) = ("k".repeat(256), "k".repeat(255));
    for (key, why, text) in [
        ("", InvalidKey::Empty, "the idempotency key is empty"),
        (&long, InvalidKey::TooLong { length: 256 }, "the idempotency key has 256 characters, more than 255"),
        (
            "order\t8812",
            InvalidKey::Character { position: 5 },
            "the idempotency key has a character that is not printable ASCII at position 5",
        ),
        (
            "\u{fc}ber",
            InvalidKey::Character { position: 0 },
            "the idempotency key has a character that is not printable ASCII at position 0",
        ),
        (" order", InvalidKey::SurroundingSpace, "the idempotency key begins or ends with a space"),
        ("order ", InvalidKey::SurroundingSpace, "the idempotency key begins or ends with a space"),
    ] {
        assert_eq!(IdempotencyKey::new(key), Err(why));
        assert_eq!(why.to_string(), text);
        let mut request = payment("o");
        let value = HeaderValue::from_bytes(key.as_bytes()).expect("http allows it");
        request.headers_mut().insert("idempotency-key", value);
        let error = assert_refused(&sim, &stripe, request, &Refusal::InvalidKey(why), text).await;
        assert!(error.source().is_none(), "what it says is said once");
    }
    for key in ["order\n8812", "order\u{0}", "\u{7f}"] {
        assert!(matches!(IdempotencyKey::new(key), Err(InvalidKey::Character { .. })));
    }
    assert!(sim.log_of("o").is_empty());

    let response = stripe.send(keyed(payment("o"), &longest)).await.expect("255 characters are a key");
    assert_eq!((response.status().as_u16(), sim.ledger().executions("o")), (200, 1));
}

/// S-25
#[tokio::test(start_paused = true)]
async fn two_keys_that_differ_are_refused() {
    let sim = sim();
    let stripe = transport(&sim);
    let text = "two idempotency keys that differ were given";
    for (lines, extension) in
        [(&["one"][..], Some("two")), (&["one", "two"], None), (&["one", "one", "two"], Some("one"))]
    {
        let mut request = payment("o");
        for line in lines {
            request.headers_mut().append("idempotency-key", line.parse().expect("a header"));
        }
        if let Some(key) = extension {
            request = keyed(request, key);
        }
        assert_refused(&sim, &stripe, request, &Refusal::ConflictingKeys, text).await;
    }
    assert!(sim.log_of("o").is_empty());
    assert_eq!(sim.ledger().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_another_host_is_refused() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().allow_host("proxy.internal"));
    let to = |uri: &str| {
        let mut request = payment("o");
        *request.uri_mut() = uri.parse().expect("a uri");
        request
    };
    let not_allowed = |host: &str| Refusal::HostNotAllowed { host: host.into() };
    let foreign = |host: &str| format!("{host:?} is not a host of Stripe's; allow_host admits another one");
    for (uri, host) in [
        ("https://evil.example/v1/payment_intents", "evil.example"),
        ("https://api.stripe.com.evil.example/v1/payment_intents", "api.stripe.com.evil.example"),
        ("https://api.stripe.com@evil.example/v1/payment_intents", "evil.example"),
        ("https://127.0.0.1/v1/payment_intents", "127.0.0.1"),
    ] {
        assert_refused(&sim, &stripe, to(uri), &not_allowed(host), &foreign(host)).await;
    }
    let none = "the URI names no host";
    assert_refused(&sim, &stripe, to("/v1/payment_intents"), &not_allowed(""), none).await;
    for host in ["api.stripe.com", "proxy.internal"] {
        let text = format!("plain http to {host:?}; it is allowed only to loopback addresses");
        let request = to(&format!("http://{host}/v1/payment_intents"));
        assert_refused(&sim, &stripe, request, &Refusal::PlainHttp { host: host.into() }, &text).await;
    }
    assert!(sim.log_of("o").is_empty());
    stripe.send(to("https://proxy.internal/v1/payment_intents")).await.expect("this one is allowed");
    assert_eq!(sim.ledger().executions("o"), 1);
}

#[test]
fn settings_that_contradict_each_other_are_named_all_at_once_with_their_values() {
    let budget = BudgetConfig::default().ratio(Ratio::percent(150)).per_second(30).max_balance(20);
    let retry = RetryConfig::builder()
        .base_delay(secs(9))
        .max_delay(secs(5))
        .limiter_base_delay(secs(0))
        .deadline(secs(60))
        .budget(budget);
    let idempotency =
        IdempotencyConfig::builder().prefix("two words").max_age_v1(secs(86_400)).max_age_v2(secs(0));
    let error: ConfigError = StripeTransport::builder()
        .idempotency(idempotency)
        .retry(retry)
        .classify(ClassifyConfig::builder().max_bytes(2 << 20))
        .attempt_timeout(secs(7_300))
        .deadline(secs(7_200))
        .allow_host("https://proxy.internal:8443")
        .build()
        .expect_err("nothing of this fits");

    let texts: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
    let expected = [
        "prefix = \"two words\" must be 1 to 64 printable ASCII characters without spaces",
        "max_age_v1 = 86400s must be less than the 86400s that stripe remembers a v1 key",
        "max_age_v2 = 0ns must be more than zero",
        "base_delay = 9s must be at most max_delay = 5s",
        "limiter_base_delay = 0ns must be more than zero",
        "budget.ratio = 150 % must be at most 100 %",
        "budget.per_second = 30 must be at most budget.max_balance = 20",
        "deadline = 7200s must be at most 3600s",
        "max_bytes = 2097152 must be at most 1048576",
        "allow_host = \"https://proxy.internal:8443\" must be a host name, an IPv4 address, or an IPv6 address in brackets, and nothing else",
        "retry.deadline = 60s must be equal to deadline = 7200s",
        "attempt_timeout = 7300s must be at most deadline = 7200s",
        "breaker.window = 60s must be at least twice attempt_timeout = 7300s",
    ];
    assert_eq!(texts, expected);
    assert_eq!(error.to_string(), expected.join("; "));
    let typed = error.problems().iter().find_map(|problem| match problem {
        Problem::Contradiction { setting, other, .. } if setting.name() == "attempt_timeout" => {
            Some((setting.value(), other.name(), other.value()))
        }
        _ => None,
    });
    assert_eq!(typed, Some(("7300s", "deadline", "7200s")));
}

#[test]
fn limits_that_cannot_be_are_named_all_at_once_with_their_values() {
    let rate = |rate: u32| Limit::per_second(rate.try_into().expect("not zero"));
    let governor = GovernorConfig::builder()
        .share(Ratio::percent(0))
        .reserve(Ratio::percent(101))
        .max_in_flight(0)
        .limit(Bucket::Global, rate(2_000_000))
        .limit_in(Mode::Live, Bucket::Search, rate(5).burst(0))
        .limit_in(Mode::Sandbox, Bucket::PayoutsCreate, rate(5).burst(1).in_flight(0))
        .replicas(1_000_000.try_into().expect("not zero"));
    let breaker = BreakerConfig::builder()
        .window(secs(10))
        .min_calls(0)
        .consecutive_failures(Some(0))
        .base_interval(secs(9))
        .max_interval(secs(5));
    let error = StripeTransport::builder().governor(governor).breaker(breaker).build();
    let texts: Vec<_> =
        error.expect_err("nothing of this fits").problems().iter().map(ToString::to_string).collect();
    let expected = [
        "breaker.min_calls = 0 must be at least 1",
        "breaker.consecutive_failures = 0 must be at least 1, or off",
        "breaker.base_interval = 9s must be at most breaker.max_interval = 5s",
        "share = 0 % must be more than 0 %",
        "max_in_flight = 0 must be more than zero",
        "per_second = 2000000 (global, live) must be at most 1000000; or say Limit::UNLIMITED",
        "per_second = 5 (search, live) must be at least one call an hour for each, with replicas = 1000000",
        "burst = 0 (search, live) must be at least 2",
        "per_second = 5 (payouts_create, sandbox) must be at least one call an hour for each, with replicas = 1000000",
        "burst = 1 (payouts_create, sandbox) must be at least 2",
        "in_flight = 0 (payouts_create, sandbox) must be more than zero",
        "reserve = 101 % must be at most 100 %",
        "breaker.window = 10s must be at least twice attempt_timeout = 30s",
    ];
    assert_eq!(texts, expected);
}

/// S-122
#[tokio::test(start_paused = true)]
async fn a_malformed_request_id_is_cut_or_dropped_and_nothing_else() {
    let huge = "r".repeat(10 * 1024);
    for (sent, kept) in [
        (huge.as_bytes(), Some(&huge[..128])),
        (b"req_\xff\xfe", None),
        (b"req 1", None),
        (b"", None),
        (b"req_1", Some("req_1")),
    ] {
        let sim = sim();
        let value = HeaderValue::from_bytes(sent).expect("http allows it");
        let answer = Canned::json(200, &serde_json::json!({"id": "pi_1"})).header("request-id", value);
        sim.script("o", [Step::Answer(answer)]);
        let response = transport(&sim).send(payment("o")).await.expect("stripe answered");
        assert_eq!(response.request_id().as_ref().map(|id| id.as_str()), kept);
        assert_eq!(response.headers()["request-id"].as_bytes(), sent, "the response is handed on as it came");
        assert_eq!((response.certainty(), sim.log().len()), (Some(Certainty::Executed), 1));
    }
}

/// S-40
#[tokio::test(start_paused = true)]
async fn a_retry_after_that_makes_no_sense_is_ignored() {
    for garbage in
        ["", "soon", "-5", "+5", "3.5", "0", "Thu, 99 Foo 2026 99:99:99 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"]
    {
        let sim = sim();
        sim.script("o", [Step::Answer(Canned::html(503).header("retry-after", garbage))]);
        transport(&sim).send(payment("o")).await.expect("paid");
        let gap = gaps(&sim, "o")[0];
        assert!(millis(250) <= gap && gap <= millis(502), "{garbage:?}: {gap:?}");
        assert_eq!(sim.ledger().executions("o"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn headers_that_come_twice_or_broken_lose_nothing() {
    let sim = sim();
    let mut answer = Canned::json(503, &serde_json::json!({"error": {"type": "api_error"}}));
    for name in ["request-id", "stripe-should-retry", "retry-after", "idempotent-replayed", "content-type"] {
        for value in [&b"\xff\xfe"[..], b"2", b"", b"\t"] {
            answer = answer.header_line(name, HeaderValue::from_bytes(value).expect("http allows it"));
        }
    }
    sim.script("o", [Step::Answer(answer)]);
    let response = transport(&sim).send(payment("o")).await.expect("paid");
    assert_eq!(statuses(&sim, "o"), [Some(503), Some(200)]);
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Executed), Some(Advice::Done)));
    assert_eq!(sim.ledger().executions("o"), 1);
}

const KEY: &str = "my-own-key-8812";

fn assert_shows_no_secret(what: &str, text: &str) {
    for secret in [KEY, API_KEY, "amount=1099", "pm_card", "Bearer"] {
        assert!(!text.contains(secret), "{what} shows {secret}: {text}");
    }
}

fn assert_error_shows_no_secret(error: &Error<NetworkError>) {
    assert_shows_no_secret("Display", &error.to_string());
    assert_shows_no_secret("Debug", &format!("{error:?} {error:#?}"));
    let mut source = error.source();
    while let Some(error) = source {
        assert_shows_no_secret("a source", &format!("{error} {error:?}"));
        source = error.source();
    }
    assert_shows_no_secret("the report", &format!("{:?}", error.report()));
}

/// I7
#[tokio::test(start_paused = true)]
async fn no_text_of_an_error_or_a_report_shows_a_secret() {
    let sim = sim();
    let stripe = transport(&sim);
    let handle = ReportHandle::new();
    let call = with(keyed(payment("lost"), KEY), handle.clone());
    sim.script("lost", vec![Step::Fault(Fault::F3); 3]);
    assert_error_shows_no_secret(&stripe.send(call).await.expect_err("all answers are lost"));
    assert_shows_no_secret("the handle", &format!("{handle:?}"));

    sim.script("late", vec![Step::Fault(Fault::F5 { delay: secs(200) }); 3]);
    assert_error_shows_no_secret(&stripe.send(keyed(payment("late"), KEY)).await.expect_err("all time out"));
    sim.script("refused", vec![Step::Fault(Fault::F0); 3]);
    assert_error_shows_no_secret(
        &stripe.send(keyed(payment("refused"), KEY)).await.expect_err("no connection"),
    );

    let mut conflicting = keyed(payment("o"), KEY);
    conflicting.headers_mut().insert("idempotency-key", "another".parse().expect("a header"));
    assert_error_shows_no_secret(&stripe.send(conflicting).await.expect_err("refused"));
    let mut invalid = payment("o");
    invalid.headers_mut().insert("idempotency-key", HeaderValue::from_static("my-own-key-8812 "));
    assert_error_shows_no_secret(&stripe.send(invalid).await.expect_err("refused"));
    let mut abroad = keyed(payment("o"), KEY);
    *abroad.uri_mut() = format!("https://{API_KEY}@evil.example/v1/x?key={KEY}").parse().expect("a uri");
    assert_error_shows_no_secret(&stripe.send(abroad).await.expect_err("refused"));

    assert_shows_no_secret("the transport", &format!("{stripe:?}"));
    assert_shows_no_secret("a key", &format!("{:?}", IdempotencyKey::new(KEY)));
    let declined =
        stripe.send(keyed(payment_with("card", "pm_card_chargeDeclined"), "k2")).await.expect("answered");
    assert_shows_no_secret("an error of Stripe's", &format!("{:?}", StripeError::of(&declined)));
    assert_shows_no_secret("a body", &format!("{:?}", declined.body()));
}

/// I7
#[tokio::test(start_paused = true)]
async fn no_log_shows_a_secret() {
    let mut notes = Notes::taken();
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3), Step::Answer(Canned::key_in_use())]);
    transport(&sim).send(keyed(payment("o"), KEY)).await.expect("paid");
    sim.script("lost", vec![Step::Fault(Fault::F3); 3]);
    transport(&sim).send(keyed(payment("lost"), KEY)).await.expect_err("all answers are lost");
    let lines = notes.read();
    assert!(!lines.is_empty(), "retries are logged");
    lines.iter().for_each(|line| assert_shows_no_secret("a log", line));
}

/// The key may have a past, though this call never looked at it.
#[tokio::test(start_paused = true)]
async fn a_refusal_by_host_keeps_a_callers_key() {
    let sim = sim();
    let mut request = keyed(payment("o"), "mine");
    *request.uri_mut() = "https://evil.example/v1/payment_intents".parse().expect("a uri");
    let error = transport(&sim).send(request).await.expect_err("refused");
    assert_eq!((error.certainty(), error.advice()), (Certainty::NotSent, Advice::SameKey));
}
