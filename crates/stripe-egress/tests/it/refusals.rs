//! What is answered in Stripe's place: in its shape, and with what may have happened.

use stripe_sim::{Canned, Fault, Sim, Step};

use crate::support::{
    account, code, egress, get, header, json, listener, payment, post, raw, send, serve, sim,
    upstream::{Upstream, stripe_says},
    with,
};

/// An upstream at which nobody listens.
async fn nobody() -> std::net::SocketAddr {
    listener().await.local_addr().expect("an address")
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let egress = egress(nobody().await, "[retry]\nmax_attempts = 2\nbase_delay = '10ms'").await;
    let response = send(egress.addr(), payment("8812")).await;
    assert_eq!((response.status().as_u16(), code(&response).as_str()), (503, "egress_unreachable"));
    assert_eq!(account(&response), (2, "not_sent", "new_key", "false"));
    assert!(header(&response, "idempotency-key").is_some_and(|key| key.starts_with("ts")));
}

#[tokio::test]
async fn where_the_answer_was_lost_the_key_is_there_to_come_back_with() {
    let sim = sim();
    sim.script("lost", [Step::Fault(Fault::F3), Step::Fault(Fault::F3)]);
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "[retry]\nmax_attempts = 2\nbase_delay = '10ms'").await;
    let response = send(egress.addr(), payment("lost")).await;
    assert_eq!((response.status().as_u16(), code(&response).as_str()), (504, "egress_no_response"));
    assert_eq!(account(&response), (2, "unknown", "same_key", "false"));
    let key = header(&response, "idempotency-key").expect("the key in force").to_owned();
    let response = send(egress.addr(), with(payment("lost"), "idempotency-key", &key)).await;
    assert_eq!((response.status().as_u16(), account(&response).3), (200, "true"));
    assert_eq!(sim.ledger().executions("lost"), 1);
}

#[tokio::test]
async fn an_open_circuit_refuses_at_once_and_nothing_arrives() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    egress.breaker().force_open(tower_stripe::breaker::Scope::All);
    for request in [payment("8812"), get("/v1/customers")] {
        let response = send(egress.addr(), request).await;
        assert_eq!((response.status().as_u16(), code(&response).as_str()), (503, "egress_circuit_open"));
        assert_eq!((account(&response).0, account(&response).1), (0, "not_sent"));
    }
    assert!(sim.log().is_empty());
}

#[tokio::test]
async fn a_circuit_that_stripe_opened_says_when_to_come_back() {
    let upstream = Upstream::answering(|_| stripe_says(503, "{}")).await;
    let settings = "[retry]\nmax_attempts = 1\n[breaker]\nconsecutive_failures = 3\nbase_interval = '30s'\nmax_interval = '30s'";
    let egress = egress(upstream.addr(), settings).await;
    let mut last = send(egress.addr(), get("/v1/customers")).await;
    for _ in 0..40 {
        if last.status() == 503 && header(&last, "retry-after").is_some() {
            break;
        }
        last = send(egress.addr(), get("/v1/customers")).await;
    }
    assert_eq!(code(&last), "egress_circuit_open");
    let wait: u64 = header(&last, "retry-after").expect("it says when").parse().expect("seconds");
    assert!((1..=30).contains(&wait), "{wait}");
}

#[tokio::test]
async fn an_api_key_that_stripe_rejects_is_left_alone() {
    let sim = Sim::builder().account("sk_test_other").build();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    for _ in 0..3 {
        let response = send(egress.addr(), get("/v1/customers")).await;
        assert_eq!(response.status(), 401, "it is Stripe's own answer");
    }
    let response = send(egress.addr(), payment("8812")).await;
    assert_eq!((response.status().as_u16(), code(&response).as_str()), (503, "egress_auth_blocked"));
    assert_eq!((account(&response).1, sim.log().len()), ("not_sent", 3));
}

#[tokio::test]
async fn a_turn_that_would_come_too_late_is_refused_at_once() {
    let sim = sim();
    let server = serve(&sim).await;
    let limits = "[governor]\nenabled = true\n[governor.limits.global]\nper_second = 1\nburst = 2";
    let egress = egress(server.addr(), limits).await;
    let mut refused = None;
    for n in 0..4 {
        let request = with(get(&format!("/v1/customers?n={n}")), "x-stripe-egress-deadline-ms", "300");
        let response = send(egress.addr(), request).await;
        if response.status() != 200 {
            refused = Some(response);
        }
    }
    let refused = refused.expect("four at once are too many");
    assert_eq!((refused.status().as_u16(), code(&refused).as_str()), (429, "egress_wait_too_long"));
    assert_eq!((account(&refused).1, header(&refused, "retry-after").is_some()), ("not_sent", true));
}

#[tokio::test]
async fn what_is_wrong_with_keys_is_the_clients_fault() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "[idempotency]\nrequire_explicit_key = true\nguard = true").await;
    let keyed = |order: &str, key: &str| with(payment(order), "idempotency-key", key);
    let first = send(egress.addr(), keyed("first", "shared")).await;
    assert_eq!(first.status(), 200);
    for (request, expected) in [
        (payment("none"), "egress_key_required"),
        (keyed("long", &"k".repeat(256)), "egress_invalid_key"),
        (with(keyed("two", "one"), "idempotency-key", "other"), "egress_conflicting_keys"),
        (keyed("reused", "shared"), "egress_key_reused"),
    ] {
        let response = send(egress.addr(), request).await;
        assert_eq!((response.status().as_u16(), code(&response).as_str()), (400, expected));
        assert_eq!((account(&response).0, account(&response).1), (0, "not_sent"));
    }
    assert_eq!(sim.log().len(), 1);
}

#[tokio::test]
async fn a_body_that_cannot_be_taken_is_refused_before_anything_is_sent() {
    let sim = sim();
    let server = serve(&sim).await;
    let limits = "[limits]\nmax_body_bytes = 1000\nbody_idle = '100ms'";
    let egress = egress(server.addr(), limits).await;
    let response = send(egress.addr(), post("/v1/customers", vec![b'x'; 1_001])).await;
    assert_eq!((response.status().as_u16(), code(&response).as_str()), (413, "egress_body_too_large"));
    // A body that was promised and does not come.
    let head =
        "POST /v1/customers HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\ncontent-length: 50\r\n\r\nemail=";
    let answer = raw(egress.addr(), head).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("egress_body_too_slow"), "{answer}");
    assert!(answer.contains("x-stripe-egress-advice: same_key"), "{answer}");
    assert!(sim.log().is_empty());
}

#[tokio::test]
async fn a_page_in_a_browser_makes_no_calls() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    let response = send(egress.addr(), with(payment("8812"), "origin", "https://evil.example")).await;
    assert_eq!((response.status().as_u16(), code(&response).as_str()), (403, "egress_browser"));
    assert!(sim.log().is_empty());
}

#[tokio::test]
async fn what_names_a_lost_connection_and_what_stripe_says_are_never_mixed_up() {
    let sim = sim();
    sim.script("limited", [Step::Answer(Canned::rate_limited(stripe_sim::Reason::GlobalRate))]);
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "[retry]\nmax_attempts = 1").await;
    let response = send(egress.addr(), payment("limited")).await;
    assert_eq!(response.status(), 429);
    let body = json(&response);
    assert!(!body["error"]["code"].as_str().unwrap_or_default().starts_with("egress_"), "{body}");
    assert!(header(&response, "request-id").is_some_and(|id| id.starts_with("req_")));
    assert_eq!((account(&response).1, header(&response, "stripe-should-retry")), ("rejected", Some("false")));
}

#[tokio::test]
async fn no_answer_of_the_sidecars_own_repeats_a_secret() {
    let egress = egress(nobody().await, "[retry]\nmax_attempts = 1").await;
    let secret = "sk_test_never_shown";
    for head in [
        format!(
            "POST /v1/charges HTTP/1.1\r\nauthorization: Bearer {secret}\r\nx-stripe-egress-priority: {secret}\r\n"
        ),
        format!("POST /v1/charges HTTP/1.1\r\nauthorization: Bearer {secret}\r\n"),
        format!("CONNECT {secret}:1 HTTP/1.1\r\nauthorization: Bearer {secret}\r\n"),
    ] {
        let answer =
            raw(egress.addr(), head + "host: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        assert!(answer.contains("egress_") && !answer.contains(secret), "{answer}");
    }
}
