//! Object locks, OAuth, notices, and answers of something in between.

use std::{num::NonZeroU32, time::Duration};

use http::StatusCode;
use serde_json::json;
use stripe_sim::{Canned, Fault, Limits, Sim, Step};

use crate::client::{charge, delete, get, post, sim};

const SLOW: Step = Step::Fault(Fault::Slow { delay: Duration::from_secs(3) });

#[tokio::test(start_paused = true)]
async fn of_two_changes_of_one_object_the_second_finds_it_locked() {
    let sim = sim();
    let id = post("/v1/payment_intents", "amount=5&currency=eur").ok(&sim).await.text("/id").expect("an id");
    let other = charge("b").ok(&sim).await.text("/id").expect("an id");
    let update = |id: &str| post(&format!("/v1/payment_intents/{id}"), "description=x");
    sim.script("slow", [SLOW]);
    let slow = tokio::spawn(update(&id).header("x-sim-order", "slow").key("slow").start(&sim));
    tokio::task::yield_now().await;

    let cancel = post(&format!("/v1/payment_intents/{id}/cancel"), "").key("k");
    for locked in [cancel.clone(), cancel.clone().without("idempotency-key"), update(&id)] {
        let reply = locked.ok(&sim).await;
        assert_eq!(
            (reply.status, reply.code().as_deref()),
            (StatusCode::TOO_MANY_REQUESTS, Some("lock_timeout"))
        );
        assert_eq!((reply.header("request-id"), reply.header("stripe-rate-limited-reason")), (None, None));
        assert_eq!(reply.header("stripe-should-retry"), Some("true"));
    }
    assert_eq!(get(&format!("/v1/payment_intents/{id}")).ok(&sim).await.status, StatusCode::OK);
    assert_eq!(update(&other).ok(&sim).await.status, StatusCode::OK);
    slow.await.expect("no panic").expect("an answer");
    // A lock binds no key: the same one does the work now.
    let canceled = cancel.ok(&sim).await;
    assert_eq!((canceled.status, canceled.replayed()), (StatusCode::OK, false));
    assert_eq!(sim.ledger().executions("k"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refund_locks_what_it_refunds_and_v2_locks_too() {
    let sim = sim();
    let intent = charge("a").ok(&sim).await.text("/id").expect("an id");
    let refund = post("/v1/refunds", &format!("payment_intent={intent}&amount=1"));
    let hook =
        json!({ "name": "h", "type": "webhook_endpoint", "event_payload": "thin", "enabled_events": [] });
    let hook =
        post("/v2/core/event_destinations", &hook.to_string()).ok(&sim).await.text("/id").expect("an id");
    let remove = delete(&format!("/v2/core/event_destinations/{hook}"));
    for (call, type_of_error) in [(refund, Some("invalid_request_error")), (remove, None)] {
        sim.script("slow", [SLOW]);
        let slow = tokio::spawn(call.clone().header("x-sim-order", "slow").start(&sim));
        tokio::task::yield_now().await;
        let reply = call.ok(&sim).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_deref()), (429, Some("lock_timeout")));
        assert_eq!(reply.text("/error/type").as_deref(), type_of_error);
        assert_eq!(slow.await.expect("no panic").expect("an answer").status(), StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn oauth_errors_are_strings() {
    let sim = sim();
    let token = |form: &str| post("/oauth/token", form);
    for (call, status, error) in [
        (token(""), 400, "invalid_request"),
        (token("grant_type=password"), 400, "unsupported_grant_type"),
        (token("grant_type=authorization_code&code=x"), 400, "invalid_grant"),
        (token("grant_type=authorization_code&code=ac_1&scope=all"), 400, "invalid_scope"),
        (token("grant_type=authorization_code&code=ac_1").without("authorization"), 401, "invalid_client"),
        (post("/oauth/deauthorize", "stripe_user_id=acct_none"), 401, "invalid_client"),
    ] {
        let reply = call.ok(&sim).await;
        assert_eq!((reply.status.as_u16(), reply.text("/error").as_deref()), (status, Some(error)));
        assert!(reply.text("/error_description").is_some() && reply.header("request-id").is_some());
    }
    let redeem = token("grant_type=authorization_code&code=ac_1&client_secret=sk_live_sim");
    let granted = redeem.clone().without("authorization").header("x-sim-order", "a").ok(&sim).await.json();
    assert_eq!((&granted["token_type"], &granted["livemode"]), (&json!("bearer"), &json!(true)));
    assert_eq!(redeem.ok(&sim).await.text("/error").as_deref(), Some("invalid_grant"));
    let account = granted["stripe_user_id"].as_str().expect("an account");
    let leave = post("/oauth/deauthorize", &format!("stripe_user_id={account}"));
    assert_eq!(leave.ok(&sim).await.status, StatusCode::OK);
    assert_eq!(leave.ok(&sim).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(sim.ledger().executions("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_notice_comes_with_every_so_many_answers() {
    let every = NonZeroU32::new(3).expect("not zero");
    let sim = Sim::builder().limits(Limits::unlimited()).notice("upgrade", every).build();
    sim.script("page", [Step::Answer(Canned::html(502))]);
    let mut noticed = Vec::new();
    for call in [get("/v1/charges"), get("/v1/none"), get("/v1/charges").header("x-sim-order", "page")] {
        noticed.push(call.ok(&sim).await.header("stripe-notice").is_some());
    }
    assert_eq!(noticed, [false, false, false]);
    assert_eq!(charge("a").ok(&sim).await.header("stripe-notice"), Some("upgrade"));
}

#[tokio::test(start_paused = true)]
async fn something_in_between_answers_in_its_own_way() {
    let sim = sim();
    let canned = [
        (Canned::request_timeout(), 408, false),
        (Canned::external_dependency(), 424, true),
        (Canned::redirect(302, "https://elsewhere.test/"), 302, false),
        (Canned::redirect(308, "https://elsewhere.test/"), 308, false),
        (Canned::html(200), 200, false),
        (Canned::oauth(400, "invalid_grant").notice("read this"), 400, true),
    ];
    sim.script("a", canned.iter().map(|(answer, ..)| Step::Answer(answer.clone())));
    for (_, status, stripes) in canned {
        let reply = charge("a").key("k").ok(&sim).await;
        assert_eq!((reply.status.as_u16(), reply.header("request-id").is_some()), (status, stripes));
        assert_eq!(reply.header("location").is_some(), reply.status.is_redirection());
        assert_eq!(reply.header("stripe-notice").is_some(), status == 400);
    }
    assert_eq!(sim.ledger().executions("a"), 0);
}
