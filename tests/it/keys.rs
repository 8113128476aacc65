//! A call has one key, whatever it takes to answer it, and no other call has the same.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use stripe_sim::{Fault, Step};
use tokio::sync::mpsc;
use tower_stripe::{
    Advice, BoxError, Certainty, IdempotencyKey, Outcome, ResponseExt, StripeTransport,
    idempotency::IdempotencyConfig, vocab::key::History,
};

use crate::support::{
    API_KEY, assert_one_key_and_body, get, keyed, keys, payment, payment_with, post, request, sim, statuses,
    transport, transport_of, ungoverned, with,
};

/// The key that the only request of an order carried.
fn only_key(sim: &stripe_sim::Sim, order: &str) -> Option<String> {
    let keys = keys(sim, order);
    assert_eq!(keys.len(), 1, "{order} made another number of requests");
    keys.into_iter().next().flatten()
}

/// S-22
#[tokio::test(start_paused = true)]
async fn a_post_without_a_key_gets_one_for_all_its_attempts() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3), Step::Fault(Fault::F2)]);
    let response = transport(&sim).send(payment("o")).await.expect("the third attempt is answered");

    assert_eq!(response.attempts(), Some(3));
    assert_one_key_and_body(&sim, "o");
    let key = keys(&sim, "o").into_iter().next().flatten().expect("a key");
    let (prefix, random) = key.split_once('_').expect("prefix and random part");
    assert_eq!((prefix, random.len()), ("ts", 32));
    assert!(random.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let report = response.report().expect("a report");
    let known = report.idempotency_key().expect("the key in force, which has a past and a birth by now");
    assert!(known.birth().is_some());
    assert_eq!((known.as_str(), known.history()), (key.as_str(), History::Unknown));
    assert_eq!(sim.ledger().executions("o"), 1);
}

/// S-22
#[tokio::test(start_paused = true)]
async fn a_generated_key_begins_as_configured() {
    let sim = sim();
    let settings = IdempotencyConfig::builder().prefix("shop-7");
    let stripe = transport_of(&sim, StripeTransport::builder().idempotency(settings));
    stripe.send(payment("o")).await.expect("paid");
    assert!(only_key(&sim, "o").expect("a key").starts_with("shop-7_"));
}

/// S-34
#[tokio::test(start_paused = true)]
async fn clones_of_a_transport_never_share_a_generated_key() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(ungoverned()));
    let calls = (0..2_000).map(|n| {
        let stripe = stripe.clone();
        tokio::spawn(async move { stripe.send(payment(&format!("o{n}"))).await.map(|paid| paid.status()) })
    });
    for status in join_all(calls).await {
        assert_eq!(status.expect("no panic").expect("paid"), 200);
    }
    let log = sim.log();
    let keys: HashSet<_> = log.iter().filter_map(|seen| seen.idempotency_key.as_deref()).collect();
    assert_eq!((log.len(), keys.len()), (2_000, 2_000));
    assert_eq!((sim.ledger().total(), sim.ledger().charged_twice().len()), (2_000, 0));
}

/// S-23
#[tokio::test(start_paused = true)]
async fn reads_and_v1_deletes_carry_no_key_but_the_callers_own() {
    let sim = sim();
    let stripe = transport(&sim);
    stripe.send(get("/v1/customers", "get")).await.expect("answered");
    stripe.send(request("DELETE", "/v1/customers/cus_1", "delete", "")).await.expect("answered");
    assert_eq!((only_key(&sim, "get"), only_key(&sim, "delete")), (None, None));

    for method in ["GET", "DELETE"] {
        let mut request = request(method, "/v1/customers/cus_1", method, "");
        request.headers_mut().insert("idempotency-key", "mine".parse().expect("a header"));
        stripe.send(request).await.expect("answered");
        assert_eq!(only_key(&sim, method).as_deref(), Some("mine"));
    }
}

/// S-25
#[tokio::test(start_paused = true)]
async fn a_callers_key_wins_from_a_header_in_any_case_and_from_the_extensions() {
    let sim = sim();
    let stripe = transport(&sim);
    for (order, header, extension) in [
        ("lower", Some("idempotency-key"), false),
        ("title", Some("Idempotency-Key"), false),
        ("upper", Some("IDEMPOTENCY-KEY"), false),
        ("extension", None, true),
        ("both", Some("Idempotency-Key"), true),
    ] {
        let key = format!("key of {order}");
        let mut request = payment(order);
        if let Some(header) = header {
            let name = http::HeaderName::from_bytes(header.as_bytes()).expect("a name");
            request.headers_mut().insert(name, key.parse().expect("a value"));
        }
        if extension {
            request = keyed(request, &key);
        }
        let response = stripe.send(request).await.expect("paid");
        assert_eq!(only_key(&sim, order), Some(key));
        assert_eq!(response.certainty(), Some(Certainty::Executed));
        assert_eq!(sim.ledger().executions(order), 1);
    }
}

/// S-24 and S-25: what the simulator has no routes for.
#[tokio::test(start_paused = true)]
async fn every_request_that_stripe_heeds_a_key_on_carries_exactly_one() {
    let (sent, mut seen) = mpsc::unbounded_channel::<HeaderMap>();
    let client = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let gone = sent.send(request.headers().clone()).is_err();
        async move {
            let status = if gone { 500 } else { 200 };
            Response::builder()
                .status(status)
                .header("request-id", "req_1")
                .body(Full::<Bytes>::default())
                .map_err(BoxError::from)
        }
    });
    let stripe = StripeTransport::new(client);
    let request = |method: &str, uri: &str| {
        Request::builder()
            .method(method)
            .uri(uri)
            .header("authorization", format!("Bearer {API_KEY}"))
            .body(Full::from("amount=1099"))
            .expect("a valid request")
    };
    for (method, uri, expected) in [
        ("POST", "https://api.stripe.com/v2/core/accounts", 1),
        ("DELETE", "https://api.stripe.com/v2/core/event_destinations/ed_1", 1),
        ("POST", "https://api.stripe.com/v2/novelties", 1),
        ("DELETE", "https://api.stripe.com/v2/novelties/nov_1", 1),
        ("POST", "https://meter-events.stripe.com/v2/billing/meter_event_stream", 1),
        ("POST", "https://api.stripe.com/v1/refunds", 1),
        ("POST", "https://files.stripe.com/v1/files", 1),
        ("POST", "https://api.stripe.com/v1/novelties", 1),
        ("GET", "https://api.stripe.com/v2/core/accounts", 0),
        ("GET", "https://api.stripe.com/v1/charges", 0),
        ("DELETE", "https://api.stripe.com/v1/customers/cus_1", 0),
        ("POST", "https://connect.stripe.com/oauth/token", 0),
        ("POST", "https://connect.stripe.com/oauth/deauthorize", 0),
    ] {
        stripe.send(request(method, uri)).await.expect("answered");
        let headers = seen.recv().await.expect("it was sent");
        assert_eq!(headers.get_all("idempotency-key").iter().count(), expected, "{method} {uri}");
    }

    // The same key twice is one key, and one line.
    let uri = "https://api.stripe.com/v2/core/accounts";
    let mut twice = keyed(request("POST", uri), "mine");
    for _ in 0..2 {
        twice.headers_mut().append("idempotency-key", "mine".parse().expect("a header"));
    }
    stripe.send(twice).await.expect("answered");
    let headers = seen.recv().await.expect("it was sent");
    let lines: Vec<_> = headers.get_all("idempotency-key").iter().collect();
    assert_eq!(lines, ["mine"]);

    // Where Stripe heeds none, a caller's is not touched.
    let mut read = request("GET", uri);
    read.headers_mut().insert("idempotency-key", " as it is".parse().expect("a header"));
    stripe.send(read).await.expect("answered");
    assert_eq!(seen.recv().await.expect("it was sent")["idempotency-key"], " as it is");
    assert!(seen.try_recv().is_err(), "nothing else was sent");
}

#[tokio::test(start_paused = true)]
async fn a_derived_key_charges_once_whoever_sends_it() {
    let sim = sim();
    let pay = || with(payment("o"), IdempotencyKey::derive("pay", &["8812", "1"]));
    sim.script("o", [Step::Fault(Fault::F3), Step::Fault(Fault::F3), Step::Fault(Fault::F3)]);
    // Another process, after a restart: all that it has is the caller's own ids.
    transport(&sim).send(pay()).await.expect_err("all answers are lost");
    let response = transport(&sim).send(pay()).await.expect("stripe is back");

    assert_eq!(response.was_replayed(), Some(true));
    assert_one_key_and_body(&sim, "o");
    assert_eq!((statuses(&sim, "o").len(), sim.ledger().executions("o")), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_decline_is_final_and_spends_a_generated_key() {
    let sim = sim();
    let stripe = transport(&sim);
    let response = stripe.send(payment_with("o", "pm_card_chargeDeclined")).await.expect("stripe answered");

    assert_eq!(response.outcome(), Some(Outcome::Declined));
    assert_eq!(response.certainty(), Some(Certainty::Rejected));
    assert_eq!(response.advice(), Some(Advice::NewKey));
    assert_eq!(statuses(&sim, "o"), [Some(402)]);
    assert_eq!((sim.ledger().executions("o"), sim.ledger().declines("o")), (0, 1));

    // As advised: another card, another key.
    let response = stripe.send(payment("o")).await.expect("paid");
    assert_eq!(response.certainty(), Some(Certainty::Executed));
    let keys = keys(&sim, "o");
    assert_ne!(keys[0], keys[1]);
    assert_eq!((sim.ledger().executions("o"), sim.ledger().declines("o")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_decline_whose_answer_was_lost_is_a_decline_when_it_is_replayed() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3)]);
    let declined = payment_with("o", "pm_card_chargeDeclined");
    let response = transport(&sim).send(declined).await.expect("stripe answered");

    assert_eq!(statuses(&sim, "o"), [None, Some(402)]);
    assert_eq!(response.was_replayed(), Some(true));
    assert_eq!(response.certainty(), Some(Certainty::Rejected));
    assert_eq!(response.advice(), Some(Advice::NewKey));
    assert_eq!((sim.ledger().executions("o"), sim.ledger().declines("o")), (0, 1));
    assert_one_key_and_body(&sim, "o");
}

/// S-115: a key of unknown history is never advised away, and one that its caller vouched for is.
#[tokio::test(start_paused = true)]
async fn a_replayed_decline_leaves_a_callers_key_to_its_caller() {
    let sim = sim();
    let stripe = transport(&sim);
    let declined = || payment_with("o", "pm_card_chargeDeclined");
    let fresh = IdempotencyKey::new("k").expect("a valid key").fresh();
    let first = stripe.send(with(declined(), fresh)).await.expect("stripe answered");
    assert_eq!((first.was_replayed(), first.advice()), (Some(false), Some(Advice::NewKey)));

    let again = stripe.send(keyed(declined(), "k")).await.expect("stripe answered");
    assert_eq!(again.was_replayed(), Some(true));
    assert_eq!(again.certainty(), Some(Certainty::Rejected));
    assert_eq!(again.advice(), Some(Advice::SameKey));
    assert_eq!(statuses(&sim, "o"), [Some(402), Some(402)]);
    assert_eq!((sim.ledger().executions("o"), sim.ledger().declines("o")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stripe_finds_wrong_spends_a_generated_key_only() {
    let sim = sim();
    let stripe = transport(&sim);
    let wrong = |order: &str| post("/v1/payment_intents", order, "amount=none&currency=eur");
    for (order, request, advice) in [
        ("generated", wrong("generated"), Advice::NewKey),
        ("callers", keyed(wrong("callers"), "k"), Advice::SameKey),
    ] {
        let response = stripe.send(request).await.expect("stripe answered");
        assert_eq!(response.outcome(), Some(Outcome::InvalidRequest));
        assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Rejected), Some(advice)));
        assert_eq!((statuses(&sim, order), sim.ledger().executions(order)), (vec![Some(400)], 0));
    }
}
