//! Customers, payment intents, and errors in Stripe's shape.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use stripe_sim::Sim;

use crate::client::{charge, charge_with, delete, get, post, sim};

fn ids(list: &Value) -> Vec<&str> {
    let data = list["data"].as_array().expect("a list has data");
    data.iter().filter_map(|object| object["id"].as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_customer_lives_from_create_to_delete() {
    let sim = sim();
    let created = post("/v1/customers", "email=a%40b.test&metadata[shop]=3").ok(&sim).await.json();
    let path = format!("/v1/customers/{}", created["id"].as_str().expect("an id"));
    assert_eq!((&created["email"], &created["livemode"]), (&json!("a@b.test"), &json!(false)));

    let updated = post(&path, "name=Ada&email=&metadata[shop]=&metadata[floor]=1").ok(&sim).await.json();
    assert_eq!((&updated["name"], &updated["email"]), (&json!("Ada"), &Value::Null));
    assert_eq!(updated["metadata"], json!({ "floor": "1" }));
    assert_eq!(get(&path).ok(&sim).await.json(), updated);
    assert_eq!(ids(&get("/v1/customers").ok(&sim).await.json()).len(), 1);

    assert_eq!(delete(&path).ok(&sim).await.json()["deleted"], true);
    assert_eq!(get(&path).ok(&sim).await.json()["deleted"], true);
    assert!(ids(&get("/v1/customers").ok(&sim).await.json()).is_empty());
    let again = delete(&path).ok(&sim).await;
    assert_eq!((again.status, again.code().as_deref()), (StatusCode::NOT_FOUND, Some("resource_missing")));
}

#[tokio::test(start_paused = true)]
async fn a_payment_intent_is_confirmed_once() {
    let sim = sim();
    let created = post("/v1/payment_intents", "amount=500&currency=EUR").ok(&sim).await.json();
    assert_eq!(
        (&created["status"], &created["currency"]),
        (&json!("requires_payment_method"), &json!("eur"))
    );
    assert_eq!(created["confirmation_method"], "automatic");
    let confirm = format!("/v1/payment_intents/{}/confirm", created["id"].as_str().expect("an id"));

    let early = post(&confirm, "").ok(&sim).await;
    assert_eq!(early.code().as_deref(), Some("payment_intent_unexpected_state"));
    let paid = post(&confirm, "payment_method=pm_card_visa").ok(&sim).await.json();
    assert_eq!((&paid["status"], &paid["amount_received"]), (&json!("succeeded"), &json!(500)));
    let again = post(&confirm, "payment_method=pm_card_visa").ok(&sim).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert_eq!(again.text("/error/payment_intent/status").as_deref(), Some("succeeded"));
}

#[tokio::test(start_paused = true)]
async fn test_cards_are_declined_by_name_and_by_number() {
    let by_number = |number: &str| {
        let form = format!("amount=1&currency=usd&confirm=true&payment_method_data[card][number]={number}");
        post("/v1/payment_intents", &form)
    };
    for (call, code, decline) in [
        (charge_with("pm_card_chargeDeclined", "o"), "card_declined", Some("generic_decline")),
        (
            charge_with("pm_card_chargeDeclinedInsufficientFunds", "o"),
            "card_declined",
            Some("insufficient_funds"),
        ),
        (by_number("4000000000000002"), "card_declined", Some("generic_decline")),
        (by_number("4000+0000+0000+9995"), "card_declined", Some("insufficient_funds")),
        (by_number("1234"), "incorrect_number", None),
    ] {
        let sim = sim();
        let reply = call.ok(&sim).await;
        assert_eq!(reply.status, StatusCode::PAYMENT_REQUIRED);
        assert_eq!(reply.text("/error/type").as_deref(), Some("card_error"));
        assert_eq!(reply.code().as_deref(), Some(code));
        assert_eq!(reply.text("/error/decline_code").as_deref(), decline);
        assert!(reply.text("/error/charge").is_some_and(|charge| charge.starts_with("ch_")));
        let intent = reply.text("/error/payment_intent/id").expect("the intent is inside");
        let kept = get(&format!("/v1/payment_intents/{intent}")).ok(&sim).await.json();
        assert_eq!(kept["status"], "requires_payment_method");
        assert_eq!(sim.ledger().total(), 0);
    }
    assert_eq!(by_number("4242424242424242").ok(&sim()).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn parameters_are_judged_by_name() {
    let sim = sim();
    for (form, code, param) in [
        ("currency=eur", Some("parameter_missing"), "amount"),
        ("amount=&currency=eur", Some("parameter_invalid_empty"), "amount"),
        ("amount=ten&currency=eur", Some("parameter_invalid_integer"), "amount"),
        ("amount=0&currency=eur", Some("parameter_invalid_integer"), "amount"),
        ("amount=1", Some("parameter_missing"), "currency"),
        ("amount=1&currency=euro", None, "currency"),
        ("amount=1&currency=eur&confirm=true", Some("parameter_missing"), "payment_method"),
        ("amount=1&currency=eur&confirm=yes", None, "confirm"),
        ("amount=1&currency=eur&payment_method=pm_none", Some("resource_missing"), "payment_method"),
        ("amount=1&currency=eur&customer=cus_none", Some("resource_missing"), "customer"),
    ] {
        let reply = post("/v1/payment_intents", form).ok(&sim).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{form}");
        assert_eq!(reply.text("/error/type").as_deref(), Some("invalid_request_error"), "{form}");
        assert_eq!(
            (reply.code().as_deref(), reply.text("/error/param").as_deref()),
            (code, Some(param)),
            "{form}"
        );
    }
    let json = post("/v1/customers", "{}").header("content-type", "application/json").ok(&sim).await;
    assert_eq!(json.status, StatusCode::BAD_REQUEST);
    for path in ["/v1/payment_intents/pi_none", "/v1/customers/cus_none", "/v1/nothing", "/v2/core/events"] {
        assert_eq!(get(path).ok(&sim).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(sim.ledger().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered_by_time_and_paged() {
    let sim = sim();
    let start = sim.clock().unix_seconds();
    for order in ["a", "b", "c"] {
        charge(order).ok(&sim).await;
        sim.clock().advance(Duration::from_secs(10));
    }
    let list = |query: String| {
        let sim = sim.clone();
        async move { get(&format!("/v1/payment_intents?{query}")).ok(&sim).await.json() }
    };
    let orders = |list: &Value| -> Vec<String> {
        let data = list["data"].as_array().expect("a list has data");
        data.iter().filter_map(|intent| intent["metadata"]["order"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(orders(&list(String::new()).await), ["c", "b", "a"]);
    assert_eq!(orders(&list(format!("created[gte]={}", start + 10)).await), ["c", "b"]);
    assert_eq!(orders(&list(format!("created[lt]={}", start + 10)).await), ["a"]);
    let first = list("limit=1".to_owned()).await;
    assert_eq!(first["has_more"], true);
    assert_eq!(orders(&list(format!("starting_after={}", ids(&first)[0])).await), ["b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn intents_are_found_by_metadata() {
    let sim = sim();
    for order in ["a", "b", "a"] {
        charge(order).ok(&sim).await;
    }
    let found = get("/v1/payment_intents/search?query=metadata%5B'order'%5D:'a'").ok(&sim).await.json();
    assert_eq!((&found["object"], ids(&found).len()), (&json!("search_result"), 2));
    let bad = get("/v1/payment_intents/search?query=amount%3E5").ok(&sim).await;
    assert_eq!((bad.status, bad.text("/error/param").as_deref()), (StatusCode::BAD_REQUEST, Some("query")));
}

#[tokio::test(start_paused = true)]
async fn accounts_and_modes_do_not_share_objects() {
    let sim = sim();
    let id = charge("a").ok(&sim).await.text("/id").expect("an id");
    let path = format!("/v1/payment_intents/{id}");
    assert_eq!(get(&path).ok(&sim).await.status, StatusCode::OK);
    let live = get(&path).header("authorization", "Bearer sk_live_sim");
    assert_eq!(live.ok(&sim).await.status, StatusCode::NOT_FOUND);
    let connected = get(&path).header("stripe-account", "acct_1");
    assert_eq!(connected.ok(&sim).await.status, StatusCode::NOT_FOUND);
    let accounts: Vec<_> = sim.log().into_iter().map(|exchange| exchange.account).collect();
    assert_eq!(accounts, [None, None, None, Some("acct_1".to_owned())]);
    let made = post("/v1/customers", "").header("authorization", "Bearer sk_live_sim").ok(&sim).await.json();
    assert_eq!(made["livemode"], true);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_api_key_is_unauthorized_and_basic_is_as_good_as_bearer() {
    let sim = sim();
    let call = charge("a");
    for refused in
        [call.clone().header("authorization", "Bearer sk_test_other"), call.clone().without("authorization")]
    {
        let reply = refused.ok(&sim).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert_eq!(reply.text("/error/type").as_deref(), Some("invalid_request_error"));
        assert!(!String::from_utf8_lossy(&reply.body).contains("sk_test_other"));
    }
    let basic = call.header("authorization", "Basic c2tfdGVzdF9zaW06");
    assert_eq!(basic.ok(&sim).await.status, StatusCode::OK);
    let logged: Vec<_> = sim.log().iter().map(|exchange| exchange.authorized).collect();
    assert_eq!(logged, [true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn every_json_answer_says_who_and_which_version() {
    let sim = sim();
    let calls = [
        charge("a"),
        get("/v1/nothing"),
        post("/v1/payment_intents", ""),
        charge("b").without("authorization"),
    ];
    for call in calls {
        let reply = call.header("stripe-version", "2025-01-27.acacia").ok(&sim).await;
        assert!(reply.header("request-id").is_some_and(|id| id.starts_with("req_")));
        assert_eq!(reply.header("stripe-version"), Some("2025-01-27.acacia"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
}

#[tokio::test(start_paused = true)]
async fn two_runs_with_one_seed_are_equal_to_the_byte() {
    async fn run(seed: u64) -> Vec<bytes::Bytes> {
        let sim = Sim::builder().seed(seed).build();
        let mut bodies = Vec::new();
        for order in ["a", "b"] {
            bodies.push(charge(order).ok(&sim).await.body);
        }
        bodies.push(get("/v1/payment_intents").ok(&sim).await.body);
        bodies
    }
    assert_eq!(run(1).await, run(1).await);
    assert_ne!(run(1).await, run(2).await);
}

#[tokio::test(start_paused = true)]
async fn a_file_is_uploaded_in_parts_and_its_key_tells_contents_apart() {
    let sim = sim();
    let upload = |boundary: &str, content: &str| {
        let body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\ndispute_evidence\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n{content}\r\n\
             --{boundary}--\r\n"
        );
        let kind = format!("multipart/form-data; boundary={boundary}");
        post("/v1/files", &body).without("content-type").header("content-type", &kind).key("upload")
    };
    let created = upload("one", "hello").ok(&sim).await.json();
    assert_eq!((&created["object"], &created["purpose"]), (&json!("file"), &json!("dispute_evidence")));
    assert_eq!((&created["filename"], &created["size"]), (&json!("a.txt"), &json!(5)));
    let path = format!("/v1/files/{}", created["id"].as_str().expect("an id"));
    assert_eq!(get(&path).ok(&sim).await.json(), created);
    // Another boundary says the same; another content does not.
    assert!(upload("two", "hello").ok(&sim).await.replayed());
    assert_eq!(upload("one", "HELLO").ok(&sim).await.status, StatusCode::BAD_REQUEST);
    let no_file = post("/v1/files", "purpose=dispute_evidence").ok(&sim).await;
    assert_eq!(no_file.json()["error"]["param"], "file");
}
