//! What an idempotency key is bound to, and for how long.

use std::time::Duration;

use http::StatusCode;
use stripe_sim::{Canned, Fault, Limits, Reason, Step};

use crate::client::{charge, charge_with, delete, get, post, sim};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test(start_paused = true)]
async fn a_replay_is_the_first_answer_with_a_mark() {
    let sim = sim();
    let first = charge("a").key("k").ok(&sim).await;
    let second = charge("a").key("k").ok(&sim).await;
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    assert!(!first.replayed() && second.replayed());
    let original = first.header("request-id");
    assert_ne!(second.header("request-id"), original);
    for reply in [&first, &second] {
        assert_eq!(reply.header("original-request"), original);
        assert_eq!(reply.header("idempotency-key"), Some("k"));
        assert_eq!(reply.header("stripe-should-retry"), Some("false"));
    }
    assert_eq!(sim.ledger().executions("a"), 1);
    let log = sim.log_of("a");
    assert_eq!(
        log.iter().map(|seen| (seen.executed, seen.replayed)).collect::<Vec<_>>(),
        [(true, false), (false, true)]
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_key_every_request_executes() {
    let sim = sim();
    for _ in 0..2 {
        let reply = charge("a").ok(&sim).await;
        assert_eq!((reply.header("original-request"), reply.header("idempotency-key")), (None, None));
    }
    assert_eq!(sim.ledger().charged_twice(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn the_order_of_parameters_does_not_matter_but_their_values_do() {
    let sim = sim();
    post("/v1/customers", "name=Ada&email=a%40b.test").key("k").ok(&sim).await;
    assert!(post("/v1/customers", "email=a@b.test&name=Ada").key("k").ok(&sim).await.replayed());
    for other in [
        post("/v1/customers", "name=Eve&email=a%40b.test"),
        charge("a"),
        post("/v1/customers?x=1", "name=Ada&email=a@b.test"),
    ] {
        let reply = other.key("k").ok(&sim).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(reply.text("/error/type").as_deref(), Some("idempotency_error"));
        assert!(!reply.replayed());
    }
    assert_eq!(sim.ledger().total(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_decline_is_stored_and_replayed() {
    let sim = sim();
    let call = charge_with("pm_card_chargeDeclined", "a").key("k");
    let first = call.ok(&sim).await;
    let second = call.ok(&sim).await;
    assert_eq!((first.status, first.body), (StatusCode::PAYMENT_REQUIRED, second.body.clone()));
    assert!(second.replayed());
    assert_eq!((sim.ledger().executions("a"), sim.ledger().declines("a")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn refusals_before_the_execution_are_not_stored() {
    let sim = sim();
    assert_eq!(charge("a").key("k").without("authorization").ok(&sim).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        post("/v1/payment_intents", "amount=1").key("k").ok(&sim).await.status,
        StatusCode::BAD_REQUEST
    );
    let nobody = post("/v1/payment_intents", "amount=1&currency=eur&customer=cus_none").key("k");
    assert_eq!(nobody.ok(&sim).await.status, StatusCode::BAD_REQUEST);
    let reply = charge("a").key("k").ok(&sim).await;
    assert_eq!((reply.status, reply.replayed()), (StatusCode::OK, false));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_the_state_of_the_object_is_stored() {
    let sim = sim();
    let id = post("/v1/payment_intents", "amount=1&currency=eur").ok(&sim).await.text("/id").expect("an id");
    let confirm = post(&format!("/v1/payment_intents/{id}/confirm"), "").key("k");
    assert_eq!(confirm.ok(&sim).await.status, StatusCode::BAD_REQUEST);
    assert!(confirm.ok(&sim).await.replayed());
}

#[tokio::test(start_paused = true)]
async fn limiters_come_before_the_key_store() {
    let sim = sim();
    charge("a").key("k").ok(&sim).await;
    sim.limits(Limits::unlimited().sandbox_rate(0));
    let limited = charge("a").key("k").ok(&sim).await;
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limited.header("original-request"), None);
    assert_eq!(charge("b").key("l").ok(&sim).await.status, StatusCode::TOO_MANY_REQUESTS);
    sim.limits(Limits::unlimited());
    assert!(charge("a").key("k").ok(&sim).await.replayed());
    assert!(!charge("b").key("l").ok(&sim).await.replayed());
}

#[tokio::test(start_paused = true)]
async fn a_key_is_forgotten_after_24_hours_on_stripes_clock() {
    let sim = sim();
    charge("a").key("k").ok(&sim).await;
    sim.clock().advance(DAY - Duration::from_secs(1));
    assert!(charge("a").key("k").ok(&sim).await.replayed());
    sim.clock().advance(Duration::from_secs(1));
    assert!(!charge("a").key("k").ok(&sim).await.replayed());
    assert_eq!(sim.ledger().executions("a"), 2);
    sim.clock().rewind(DAY);
    assert!(charge("a").key("k").ok(&sim).await.replayed());
}

#[tokio::test(start_paused = true)]
async fn a_key_in_use_is_a_conflict_until_the_first_request_ends() {
    let sim = sim();
    sim.script("a", [Step::Fault(Fault::Slow { delay: Duration::from_secs(3) })]);
    let first = tokio::spawn(charge("a").key("k").start(&sim));
    tokio::task::yield_now().await;
    let second = charge("a").key("k").ok(&sim).await;
    assert_eq!(
        (second.status, second.code().as_deref()),
        (StatusCode::CONFLICT, Some("idempotency_key_in_use"))
    );
    assert_eq!((sim.ledger().executions("a"), sim.in_flight()), (0, 1));
    let first = first.await.expect("no panic").expect("an answer");
    assert_eq!(first.status(), StatusCode::OK);
    assert!(charge("a").key("k").ok(&sim).await.replayed());
    assert_eq!((sim.ledger().executions("a"), sim.in_flight()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn scopes_keep_their_keys_apart() {
    let sim = sim();
    let call = charge("a").key("k");
    let live = call.clone().header("authorization", "Bearer sk_live_sim");
    let connected = call.clone().header("stripe-account", "acct_1");
    for scoped in [&call, &live, &connected] {
        assert!(!scoped.ok(&sim).await.replayed());
        assert!(scoped.ok(&sim).await.replayed());
    }
}

#[tokio::test(start_paused = true)]
async fn keys_mean_nothing_on_get_and_delete() {
    let sim = sim();
    let id = post("/v1/customers", "").key("k").ok(&sim).await.text("/id").expect("an id");
    let path = format!("/v1/customers/{id}");
    for _ in 0..2 {
        let read = get(&path).key("k").ok(&sim).await;
        assert_eq!(
            (read.status, read.replayed(), read.header("idempotency-key")),
            (StatusCode::OK, false, None)
        );
    }
    assert_eq!(delete(&path).key("k").ok(&sim).await.status, StatusCode::OK);
    assert_eq!(delete(&path).key("k").ok(&sim).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_1_to_255_characters_long() {
    let sim = sim();
    for (length, status) in [(0, 400), (1, 200), (255, 200), (256, 400)] {
        let reply = charge("a").key(&"k".repeat(length)).ok(&sim).await;
        assert_eq!(reply.status, status, "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stored_500_is_replayed_and_its_effect_shows_after_repair() {
    for executed in [true, false] {
        let sim = sim();
        sim.script("a", [Step::Fault(Fault::StoredServerError { executed })]);
        let first = charge("a").key("k").ok(&sim).await;
        assert_eq!(
            (first.status, first.header("stripe-should-retry")),
            (StatusCode::INTERNAL_SERVER_ERROR, None)
        );
        assert_eq!(sim.ledger().executions("a"), u32::from(executed));
        let second = charge("a").key("k").ok(&sim).await;
        assert!(second.replayed());
        assert_eq!((second.status, &second.body), (first.status, &first.body));

        let listed =
            async || get("/v1/payment_intents").ok(&sim).await.json()["data"].as_array().map(Vec::len);
        assert_eq!(listed().await, Some(0));
        sim.settle();
        assert_eq!(listed().await, Some(usize::from(executed)));
        assert!(charge("a").key("k").ok(&sim).await.replayed());
        assert_eq!(sim.ledger().executions("a"), u32::from(executed));
    }
}

#[tokio::test(start_paused = true)]
async fn canned_answers_touch_neither_key_store_nor_ledger() {
    let sim = sim();
    let canned = [
        (Canned::rate_limited(Reason::EndpointRate), 429, Some("rate_limit"), true),
        (Canned::lock_timeout(), 429, Some("lock_timeout"), false),
        (Canned::unauthorized(), 401, None, true),
        (Canned::key_in_use(), 409, Some("idempotency_key_in_use"), true),
        (Canned::conflict(), 409, None, true),
        (Canned::idempotency_error(), 400, None, true),
        (Canned::json(424, &serde_json::json!({ "error": { "code": "x" } })), 424, Some("x"), true),
    ];
    sim.script("a", canned.iter().map(|(answer, ..)| Step::Answer(answer.clone())));
    for (_, status, code, id) in canned {
        let reply = charge("a").key("k").ok(&sim).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_deref()), (status, code));
        assert_eq!(reply.header("request-id").is_some(), id, "{status} {code:?}");
    }
    assert!(!charge("a").key("k").ok(&sim).await.replayed());

    let by_hand = Canned::html(503).header("Retry-After", "3");
    sim.script("b", [Step::Answer(by_hand), Step::Answer(Canned::empty(StatusCode::GATEWAY_TIMEOUT))]);
    let page = charge("b").ok(&sim).await;
    assert_eq!((page.header("content-type"), page.header("retry-after")), (Some("text/html"), Some("3")));
    assert!(page.header("request-id").is_none() && page.body.starts_with(b"<html>"));
    assert!(charge("b").ok(&sim).await.body.is_empty());
    assert_eq!(sim.ledger().executions("b"), 0);
}
