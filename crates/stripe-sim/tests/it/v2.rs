//! The v2 API: JSON, its own errors, and keys that remember what was achieved instead of what was answered.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use stripe_sim::{Fault, Limits, Sim, Step};

use crate::client::{Call, delete, get, post, sim};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SECOND: Duration = Duration::from_secs(1);

fn send(path: &str, value: &Value) -> Call {
    post(path, &value.to_string())
        .header("content-type", "application/json")
        .header("stripe-version", "2026-10-28.endive")
}

/// The creation of an account for one order.
fn account(order: &str) -> Call {
    send("/v2/core/accounts", &json!({ "display_name": "Ada", "metadata": { "order": order } }))
}

fn destination(order: &str) -> Call {
    let fields = json!({
        "name": "hook", "type": "webhook_endpoint", "event_payload": "thin",
        "enabled_events": ["v1.billing.meter.no_meter_found"], "metadata": { "order": order },
    });
    send("/v2/core/event_destinations", &fields)
}

fn broken(executed: bool) -> Step {
    Step::Fault(Fault::StoredServerError { executed })
}

async fn accounts(sim: &Sim) -> usize {
    get("/v2/core/accounts").ok(sim).await.json()["data"].as_array().map_or(0, Vec::len)
}

#[tokio::test(start_paused = true)]
async fn resources_are_created_changed_and_listed_as_json() {
    let sim = sim();
    let made = account("a").ok(&sim).await;
    assert_eq!((made.status, made.header("stripe-version")), (StatusCode::OK, Some("2026-10-28.endive")));
    let made = made.json();
    assert_eq!(
        (&made["object"], &made["created"]),
        (&json!("v2.core.account"), &json!("2026-01-01T00:00:00.000Z"))
    );
    let path = format!("/v2/core/accounts/{}", made["id"].as_str().expect("an id"));
    let changed = send(&path, &json!({ "display_name": null, "metadata": { "shop": "3" } })).ok(&sim).await;
    assert_eq!(changed.json()["metadata"], json!({ "order": "a", "shop": "3" }));
    assert_eq!(changed.json().get("display_name"), None);
    assert_eq!(get(&path).ok(&sim).await.json(), changed.json());

    let fields =
        json!({ "event_name": "tokens", "payload": { "stripe_customer_id": "cus_1", "value": "5" } });
    let event = send("/v2/billing/meter_events", &fields).ok(&sim).await.json();
    assert_eq!(
        (&event["object"], &event["payload"]["value"]),
        (&json!("v2.billing.meter_event"), &json!("5"))
    );
    assert!(event["identifier"].is_string());
    assert_eq!(sim.log()[0].version.as_deref(), Some("2026-10-28.endive"));
}

#[tokio::test(start_paused = true)]
async fn pages_lead_to_the_next_by_url() {
    let sim = sim();
    for order in ["a", "b", "c"] {
        account(order).ok(&sim).await;
    }
    let mut url = Some("/v2/core/accounts?limit=2".to_owned());
    let mut orders = Vec::new();
    while let Some(at) = url {
        let page = get(&at).ok(&sim).await.json();
        for object in page["data"].as_array().expect("a page has data") {
            orders.push(object["metadata"]["order"].as_str().expect("an order").to_owned());
        }
        url = page["next_page_url"].as_str().map(str::to_owned);
    }
    assert_eq!(orders, ["c", "b", "a"]);
    let bad = get("/v2/core/accounts?page=2").ok(&sim).await;
    assert_eq!((bad.status, bad.code().as_deref()), (StatusCode::BAD_REQUEST, Some("invalid_fields")));
}

#[tokio::test(start_paused = true)]
async fn errors_have_a_code_and_seldom_a_type() {
    let sim = sim();
    let small = Sim::builder().limits(Limits::unlimited().sandbox_rate(0)).build();
    for (sim, call, status, code, kind) in [
        (&sim, post("/v2/core/accounts", "{"), 400, "invalid_fields", None),
        (&sim, send("/v2/billing/meter_events", &json!({ "event_name": "x" })), 400, "invalid_fields", None),
        (&sim, account("a").without("authorization"), 401, "unauthorized", None),
        (&sim, get("/v2/core/accounts/acct_none"), 404, "not_found", None),
        (&sim, get("/v2/core/nothing"), 404, "not_found", None),
        (&sim, account("a").key(""), 400, "idempotency_error", Some("idempotency_error")),
        (&small, account("a"), 429, "account_rate_limit_exceeded", Some("rate_limit")),
    ] {
        let reply = call.ok(sim).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_deref()), (status, Some(code)));
        assert_eq!(reply.text("/error/type").as_deref(), kind, "{code}");
        assert!(reply.text("/error/message").is_some() && reply.text("/error/param").is_none());
    }
    assert_eq!(sim.ledger().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_replayed_success_changes_nothing_and_shows_how_things_stand_now() {
    let sim = sim();
    let first = account("a").key("k").ok(&sim).await.json();
    let path = format!("/v2/core/accounts/{}", first["id"].as_str().expect("an id"));
    send(&path, &json!({ "display_name": "Eve" })).ok(&sim).await;
    let again = account("a").key("k").ok(&sim).await;
    assert_eq!((again.status, again.json()["display_name"].as_str()), (StatusCode::OK, Some("Eve")));
    assert!(!again.replayed() && sim.log_of("a")[1].replayed);
    assert_eq!((sim.ledger().executions("a"), accounts(&sim).await), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_executed_again() {
    for failure in [broken(false), Step::Fault(Fault::NoFunds)] {
        let sim = sim();
        sim.script("a", [failure.clone(), failure.clone()]);
        for _ in 0..2 {
            let failed = account("a").key("k").ok(&sim).await;
            assert!(failed.status.is_server_error() || failed.text("/error/user_message").is_some());
            assert_eq!(sim.ledger().executions("a"), 0);
        }
        assert_eq!(account("a").key("k").ok(&sim).await.status, StatusCode::OK);
        assert_eq!(account("a").key("k").ok(&sim).await.status, StatusCode::OK);
        assert_eq!((sim.ledger().executions("a"), accounts(&sim).await), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_failure_achieved_is_not_done_twice() {
    for settled in [false, true] {
        let sim = sim();
        sim.script("a", [broken(true), broken(true), broken(false), Step::Fault(Fault::NoFunds)]);
        for status in [500, 500, 500, 402] {
            assert_eq!(account("a").key("k").ok(&sim).await.status, status);
            assert_eq!((sim.ledger().executions("a"), accounts(&sim).await), (1, 0));
        }
        if settled {
            sim.settle();
        }
        let whole = account("a").key("k").ok(&sim).await;
        assert_eq!((whole.status, whole.json()["display_name"].as_str()), (StatusCode::OK, Some("Ada")));
        assert_eq!((sim.ledger().executions("a"), accounts(&sim).await), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_402_does_not_stop_a_zombie() {
    let sim = sim();
    sim.script("a", [Step::Fault(Fault::F5 { delay: SECOND * 30 }), Step::Fault(Fault::NoFunds)]);
    assert!(tokio::time::timeout(SECOND, account("a").key("k").start(&sim)).await.is_err());
    assert_eq!(account("a").key("k").ok(&sim).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(sim.ledger().executions("a"), 0);
    sim.quiesce().await;
    assert_eq!(sim.ledger().executions("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_the_state_of_the_object_is_looked_at_again() {
    let sim = sim();
    let id = destination("a").ok(&sim).await.text("/id").expect("an id");
    let act = |action: &str| send(&format!("/v2/core/event_destinations/{id}/{action}"), &json!({}));
    act("disable").ok(&sim).await;
    let refused = act("ping").key("k").ok(&sim).await;
    assert_eq!(
        (refused.status, refused.code().as_deref()),
        (StatusCode::BAD_REQUEST, Some("cannot_proceed"))
    );
    act("enable").ok(&sim).await;
    assert_eq!(act("ping").key("k").ok(&sim).await.status, StatusCode::OK);
    assert_eq!(sim.ledger().executions("k"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delete_takes_a_key() {
    let sim = sim();
    let id = destination("a").ok(&sim).await.text("/id").expect("an id");
    let path = format!("/v2/core/event_destinations/{id}");
    for _ in 0..2 {
        let gone = delete(&path).key("k").ok(&sim).await;
        assert_eq!((gone.status, gone.text("/id")), (StatusCode::OK, Some(id.clone())));
    }
    assert_eq!(delete(&path).key("l").ok(&sim).await.status, StatusCode::NOT_FOUND);
    assert_eq!(delete(&path).ok(&sim).await.status, StatusCode::NOT_FOUND);
    assert_eq!(sim.ledger().executions("k"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replay_whose_object_is_gone_is_told_so() {
    let sim = sim();
    let id = destination("a").key("k").ok(&sim).await.text("/id").expect("an id");
    delete(&format!("/v2/core/event_destinations/{id}")).ok(&sim).await;
    assert_eq!(destination("a").key("k").ok(&sim).await.status, StatusCode::NOT_FOUND);
    assert_eq!(sim.ledger().executions("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_are_in_use_mismatched_and_given_back_as_in_v1() {
    let sim = sim();
    assert_eq!(post("/v2/core/accounts", "[]").key("k").ok(&sim).await.status, StatusCode::BAD_REQUEST);
    sim.script("a", [Step::Fault(Fault::Slow { delay: SECOND * 3 })]);
    let first = tokio::spawn(account("a").key("k").start(&sim));
    tokio::task::yield_now().await;
    let busy = account("a").key("k").ok(&sim).await;
    assert_eq!((busy.status, busy.code().as_deref()), (StatusCode::CONFLICT, Some("idempotency_key_in_use")));
    assert_eq!(busy.text("/error/type"), None);
    first.await.expect("no panic").expect("an answer");
    let other = account("b").key("k").ok(&sim).await;
    assert_eq!((other.status, other.code().as_deref()), (StatusCode::BAD_REQUEST, Some("idempotency_error")));
    assert_eq!((sim.ledger().executions("a"), sim.ledger().total()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_forgotten_after_30_days_on_stripes_clock() {
    let sim = sim();
    account("a").key("k").ok(&sim).await;
    sim.clock().advance(DAY * 30 - SECOND);
    account("a").key("k").ok(&sim).await;
    assert_eq!(sim.ledger().executions("a"), 1);
    sim.clock().advance(SECOND);
    account("a").key("k").ok(&sim).await;
    assert_eq!(sim.ledger().executions("a"), 2);
}
