//! What follows a payment: captures, cancellations, refunds, charges, events, authentication, and how they are found.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use stripe_sim::{Canned, Fault, Limits, Sim, Step};

use crate::client::{charge, charge_with, get, post, sim};

const MINUTE: Duration = Duration::from_secs(60);

async fn held(sim: &Sim) -> String {
    let form = "amount=1000&currency=eur&confirm=true&payment_method=pm_card_visa&capture_method=manual";
    let held = post("/v1/payment_intents", form).ok(sim).await.json();
    assert_eq!((&held["status"], &held["amount_capturable"]), (&json!("requires_capture"), &json!(1000)));
    format!("/v1/payment_intents/{}", held["id"].as_str().expect("an id"))
}

async fn event_kinds(sim: &Sim) -> Vec<String> {
    let events = get("/v1/events?limit=100").ok(sim).await.json();
    let kinds = events["data"].as_array().expect("a list has data").iter().rev();
    kinds.map(|event| event["type"].as_str().expect("an event has a type").to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_captured_once_and_in_part() {
    let sim = sim();
    let path = held(&sim).await;
    let capture = post(&format!("{path}/capture"), "amount_to_capture=600").header("x-sim-order", "capture");
    let too_much = post(&format!("{path}/capture"), "amount_to_capture=1001").ok(&sim).await;
    assert_eq!(too_much.code().as_deref(), Some("amount_too_large"));
    let taken = capture.ok(&sim).await.json();
    assert_eq!((&taken["status"], &taken["amount_received"]), (&json!("succeeded"), &json!(600)));
    let again = capture.ok(&sim).await;
    assert_eq!(again.code().as_deref(), Some("payment_intent_unexpected_state"));
    assert_eq!(sim.ledger().executions("capture"), 1);

    let charge = get(&format!("{path}?expand[]=latest_charge")).ok(&sim).await.json()["latest_charge"].take();
    assert_eq!((&charge["captured"], &charge["amount_captured"]), (&json!(true), &json!(600)));
    assert_eq!(
        event_kinds(&sim).await,
        [
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.amount_capturable_updated",
            "charge.captured",
            "payment_intent.succeeded"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_given_back_when_the_intent_is_canceled() {
    let sim = sim();
    let path = held(&sim).await;
    let cancel = post(&format!("{path}/cancel"), "cancellation_reason=abandoned");
    let canceled = cancel.ok(&sim).await.json();
    assert_eq!(
        (&canceled["status"], &canceled["cancellation_reason"]),
        (&json!("canceled"), &json!("abandoned"))
    );
    let charge = get("/v1/charges").ok(&sim).await.json()["data"][0].take();
    assert_eq!((&charge["captured"], &charge["refunded"]), (&json!(false), &json!(true)));
    for late in [cancel, post(&format!("{path}/capture"), ""), post(&format!("{path}/confirm"), "")] {
        assert_eq!(late.ok(&sim).await.code().as_deref(), Some("payment_intent_unexpected_state"));
    }
}

#[tokio::test(start_paused = true)]
async fn refunds_take_what_is_left_and_no_more() {
    let sim = sim();
    let intent = charge("a").ok(&sim).await.text("/id").expect("an id");
    let refund = |rest: &str| post("/v1/refunds", &format!("payment_intent={intent}{rest}"));
    let first = refund("&amount=99&metadata[order]=r").key("k").ok(&sim).await.json();
    assert_eq!((&first["amount"], &first["status"]), (&json!(99), &json!("succeeded")));
    assert!(refund("&amount=99&metadata[order]=r").key("k").ok(&sim).await.replayed());
    assert_eq!(refund("&amount=1001").ok(&sim).await.text("/error/param").as_deref(), Some("amount"));
    assert_eq!(refund("&expand[]=charge").ok(&sim).await.json()["charge"]["refunded"], true);
    assert_eq!(refund("").ok(&sim).await.code().as_deref(), Some("charge_already_refunded"));
    assert_eq!(sim.ledger().executions("r"), 1);

    let path = format!("/v1/refunds/{}", first["id"].as_str().expect("an id"));
    assert_eq!(get(&path).ok(&sim).await.json(), first);
    let list = get(&format!("/v1/refunds?payment_intent={intent}")).ok(&sim).await.json();
    let amounts: Vec<_> =
        list["data"].as_array().expect("data").iter().map(|r| r["amount"].clone()).collect();
    assert_eq!(amounts, [1000, 99]);

    let held = held(&sim).await.replace("/v1/payment_intents/", "");
    for (form, code) in [
        (format!("payment_intent={held}"), "charge_not_refundable"),
        ("charge=ch_none".to_owned(), "resource_missing"),
        ("amount=1".to_owned(), "parameter_missing"),
    ] {
        assert_eq!(post("/v1/refunds", &form).ok(&sim).await.code().as_deref(), Some(code));
    }
}

#[tokio::test(start_paused = true)]
async fn every_change_leaves_an_event_that_names_its_request() {
    let sim = sim();
    let reply = charge("a").key("k").ok(&sim).await;
    assert!(charge("a").key("k").ok(&sim).await.replayed());
    charge_with("pm_card_visa_chargeDeclined", "b").ok(&sim).await;
    assert_eq!(
        event_kinds(&sim).await,
        [
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.succeeded",
            "payment_intent.created",
            "charge.failed",
            "payment_intent.payment_failed"
        ]
    );
    let paid = get("/v1/events?type=payment_intent.succeeded").ok(&sim).await.json()["data"][0].take();
    assert_eq!(paid["request"]["id"].as_str(), reply.header("request-id"));
    assert_eq!((&paid["request"]["idempotency_key"], &paid["data"]["object"]), (&json!("k"), &reply.json()));
    let path = format!("/v1/events/{}", paid["id"].as_str().expect("an id"));
    assert_eq!(get(&path).ok(&sim).await.json(), paid);
}

#[tokio::test(start_paused = true)]
async fn what_a_broken_execution_did_is_told_by_the_repair() {
    let sim = sim();
    sim.script("a", [Step::Fault(Fault::StoredServerError { executed: true })]);
    assert_eq!(charge("a").key("k").ok(&sim).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(event_kinds(&sim).await.is_empty());
    sim.settle();
    assert_eq!(event_kinds(&sim).await.last().map(String::as_str), Some("payment_intent.succeeded"));
}

#[tokio::test(start_paused = true)]
async fn a_search_learns_of_an_object_a_minute_late() {
    for (limits, lag) in [
        (Limits::published(), MINUTE),
        (Limits::unlimited(), Duration::ZERO),
        (Limits::unlimited().search_lag(MINUTE * 5), MINUTE * 5),
    ] {
        let sim = Sim::builder().limits(limits).build();
        charge("a").ok(&sim).await;
        let found = async |what: &str| {
            let query = format!("/v1/{what}/search?query=metadata%5B'order'%5D:'a'");
            get(&query).ok(&sim).await.json()["data"].as_array().map_or(0, Vec::len)
        };
        if lag > Duration::ZERO {
            sim.clock().advance(lag - Duration::from_secs(1));
            assert_eq!((found("payment_intents").await, found("charges").await), (0, 0));
            sim.clock().advance(Duration::from_secs(1));
        }
        assert_eq!((found("payment_intents").await, found("charges").await), (1, 1));
        assert_eq!(
            get("/v1/payment_intents").ok(&sim).await.json()["data"].as_array().map(Vec::len),
            Some(1)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn lists_and_searches_are_paged_both_ways() {
    let sim = sim();
    for _ in 0..3 {
        post("/v1/customers", "metadata[shop]=3").ok(&sim).await;
    }
    let ids = |list: &Value| -> Vec<String> {
        let data = list["data"].as_array().expect("a list has data");
        data.iter().filter_map(|object| object["id"].as_str().map(str::to_owned)).collect()
    };
    let all = ids(&get("/v1/customers").ok(&sim).await.json());
    let back = get(&format!("/v1/customers?limit=1&ending_before={}", all[2])).ok(&sim).await.json();
    assert_eq!((ids(&back), &back["has_more"]), (vec![all[1].clone()], &json!(true)));

    let query = "/v1/customers/search?limit=2&query=metadata%5B'shop'%5D:'3'";
    let first = get(query).ok(&sim).await.json();
    let next = first["next_page"].as_str().expect("there is more");
    let second = get(&format!("{query}&page={next}")).ok(&sim).await.json();
    assert_eq!([ids(&first), ids(&second)].concat(), all);
    assert_eq!((&second["has_more"], &second["next_page"]), (&json!(false), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn objects_are_expanded_where_ids_stand() {
    let sim = sim();
    let customer = post("/v1/customers", "name=Ada").ok(&sim).await.text("/id").expect("an id");
    let form = format!(
        "amount=5&currency=eur&confirm=true&payment_method=tok_visa&customer={customer}&\
         expand[]=latest_charge.customer"
    );
    let made = post("/v1/payment_intents", &form).ok(&sim).await.json();
    assert_eq!(made["latest_charge"]["customer"]["name"], "Ada");
    assert_eq!(made["customer"], customer);
    let list = get("/v1/charges?expand[]=data.payment_intent").ok(&sim).await.json();
    assert_eq!(list["data"][0]["payment_intent"]["id"], made["id"]);
    let bad = get("/v1/charges?expand[]=data.amount").ok(&sim).await;
    assert_eq!((bad.status, bad.text("/error/param").as_deref()), (StatusCode::BAD_REQUEST, Some("expand")));
}

#[tokio::test(start_paused = true)]
async fn an_authentication_stands_between_confirmation_and_charge() {
    for (card, passed, status) in [
        ("pm_card_threeDSecure2Required", true, "succeeded"),
        ("pm_card_threeDSecure2Required", false, "requires_payment_method"),
        ("pm_card_threeDSecureRequiredChargeDeclined", true, "requires_payment_method"),
    ] {
        let sim = sim();
        let wanted = charge_with(card, "a").key("k").ok(&sim).await;
        assert_eq!(
            (wanted.status, wanted.text("/status").as_deref()),
            (StatusCode::OK, Some("requires_action"))
        );
        assert_eq!(wanted.text("/next_action/type").as_deref(), Some("use_stripe_sdk"));
        let id = wanted.text("/id").expect("an id");
        assert!(sim.authenticate(&id, passed) && !sim.authenticate(&id, passed));
        assert_eq!(get(&format!("/v1/payment_intents/{id}")).ok(&sim).await.json()["status"], status);
        assert_eq!(sim.ledger().executions("a"), 1);
        assert_eq!(charge_with(card, "a").key("k").ok(&sim).await.text("/status"), wanted.text("/status"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_absent_customer_cannot_authenticate() {
    let sim = sim();
    let form = "amount=1&currency=usd&confirm=true&off_session=true&payment_method_data[card][number]=4000002760003184";
    let reply = post("/v1/payment_intents", form).header("x-sim-order", "a").ok(&sim).await;
    assert_eq!(
        (reply.status, reply.code().as_deref()),
        (StatusCode::PAYMENT_REQUIRED, Some("authentication_required"))
    );
    assert_eq!((sim.ledger().executions("a"), sim.ledger().declines("a")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn declines_say_what_to_do_about_them() {
    for (card, code, decline, advice, network) in [
        ("pm_card_visa_chargeDeclined", "card_declined", Some("generic_decline"), "try_again_later", "05"),
        (
            "tok_chargeDeclinedInsufficientFunds",
            "card_declined",
            Some("insufficient_funds"),
            "try_again_later",
            "51",
        ),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", Some("lost_card"), "do_not_try_again", "41"),
        (
            "pm_card_visa_chargeDeclinedStolenCard",
            "card_declined",
            Some("stolen_card"),
            "do_not_try_again",
            "43",
        ),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None, "confirm_card_data", "54"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None, "confirm_card_data", "82"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", None, "try_again_later", "96"),
        (
            "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
            "card_declined",
            Some("card_velocity_exceeded"),
            "try_again_later",
            "65",
        ),
        ("pm_sim_declined_pickup_card", "card_declined", Some("pickup_card"), "do_not_try_again", "04"),
    ] {
        let sim = sim();
        let charged = charge_with(card, "a").ok(&sim).await;
        let canned = Canned::declined(decline.unwrap_or(code));
        sim.script("b", [Step::Answer(canned)]);
        for reply in [charged, charge("b").ok(&sim).await] {
            assert_eq!(reply.status, StatusCode::PAYMENT_REQUIRED);
            let text = |field: &str| reply.text(&format!("/error/{field}"));
            assert_eq!((text("code").as_deref(), text("decline_code").as_deref()), (Some(code), decline));
            assert_eq!(
                (text("advice_code"), text("network_decline_code")),
                (Some(advice.into()), Some(network.into()))
            );
        }
        assert_eq!((sim.ledger().total(), sim.ledger().declines("a")), (0, 1));
    }
    assert_eq!(charge_with("pm_sim_declined_nonsense", "a").ok(&sim()).await.status, StatusCode::BAD_REQUEST);
}
