//! The simulator itself as JSON, for tests in any language.

use std::net::Ipv4Addr;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use stripe_sim::{Server, Sim};
use tokio::net::TcpStream;

use crate::client::{charge, get, sim};

async fn ask(server: &Server, request: Request<Full<bytes::Bytes>>) -> (StatusCode, Value) {
    let stream = TcpStream::connect(server.addr()).await.expect("the server listens");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let response = sender.send_request(request).await.expect("an answer");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    (status, serde_json::from_slice(&body).expect("JSON"))
}

async fn control(server: &Server, method: Method, name: &str, value: &Value) -> (StatusCode, Value) {
    let body = if method == Method::GET { String::new() } else { value.to_string() };
    let request = Request::builder().method(method).uri(format!("/_sim/{name}")).body(Full::from(body));
    ask(server, request.expect("a request")).await
}

async fn serve(sim: &Sim) -> Server {
    Server::bind(sim.clone(), (Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port")
}

#[tokio::test]
async fn ledger_and_log_are_read_without_leaving_a_trace() {
    let sim = sim();
    let server = serve(&sim).await;
    for _ in 0..2 {
        ask(&server, charge("8812").request()).await;
    }
    let (status, ledger) = control(&server, Method::GET, "ledger", &Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(ledger["orders"]["8812"], json!({ "executions": 2, "declines": 0 }));
    assert_eq!((&ledger["charged_twice"], &ledger["total"]), (&json!(["8812"]), &json!(2)));
    let (_, log) = control(&server, Method::GET, "log", &Value::Null).await;
    let requests = log["requests"].as_array().expect("requests");
    assert_eq!((requests.len(), &requests[0]["path"]), (2, &json!("/v1/payment_intents")));
    assert_eq!((&requests[0]["executed"], &requests[0]["step"]), (&json!(true), &json!("Pass")));
    assert!(!log.to_string().contains("sk_test"));
    assert_eq!(sim.log().len(), 2);
}

#[tokio::test]
async fn faults_scripts_and_the_clock_are_set() {
    let sim = sim();
    let server = serve(&sim).await;
    let script = json!({ "order": "a", "steps": [
        { "fault": "StoredServerError", "executed": true },
        { "answer": { "rate_limited": "global-rate", "headers": { "retry-after": "3" } } },
        "pass",
    ] });
    assert_eq!(control(&server, Method::POST, "script", &script).await.0, StatusCode::OK);
    for status in [500, 429, 500] {
        assert_eq!(ask(&server, charge("a").key("k").request()).await.0, status);
    }
    let listed =
        async || ask(&server, get("/v1/payment_intents").request()).await.1["data"].as_array().map(Vec::len);
    assert_eq!(listed().await, Some(0));
    control(&server, Method::POST, "settle", &json!({})).await;
    assert_eq!(listed().await, Some(1));
    assert_eq!(sim.ledger().executions("a"), 1);

    let before = control(&server, Method::GET, "clock", &Value::Null).await.1["unix_seconds"].as_u64();
    let (_, after) = control(&server, Method::POST, "clock", &json!({ "advance_ms": 86_400_000 })).await;
    assert!(after["unix_seconds"].as_u64() >= before.map(|before| before + 86_400));

    let unsteady = json!({ "phases": [{ "lasts_ms": 60_000, "answer": { "status": 503, "html": true } }] });
    control(&server, Method::POST, "scenario", &unsteady).await;
    let page = Request::get("/v1/charges").body(Full::<bytes::Bytes>::default()).expect("a request");
    let stream = TcpStream::connect(server.addr()).await.expect("the server listens");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    assert_eq!(sender.send_request(page).await.expect("an answer").status(), 503);
    control(&server, Method::POST, "scenario", &json!({})).await;

    assert_eq!(
        control(&server, Method::POST, "faults", &json!({ "probability": 1, "only": "NoFunds" })).await.0,
        200
    );
    assert_eq!(ask(&server, charge("b").request()).await.0, StatusCode::PAYMENT_REQUIRED);
    control(&server, Method::DELETE, "faults", &json!({})).await;
    assert_eq!(ask(&server, charge("b").request()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn an_account_can_get_another_key_and_lose_the_first() {
    let sim = sim();
    let server = serve(&sim).await;
    let roll = json!({ "key": "sk_test_sim", "new": "sk_test_new" });
    assert_eq!(control(&server, Method::POST, "roll_key", &roll).await.1, json!({ "done": true }));
    let under = |key: &str| {
        charge("a").header("authorization", &format!("Bearer {key}")).header("idempotency-key", "k")
    };
    for (key, replayed) in [("sk_test_sim", false), ("sk_test_new", true)] {
        assert_eq!(ask(&server, under(key).request()).await.0, StatusCode::OK);
        assert_eq!(sim.log().last().map(|seen| seen.replayed), Some(replayed), "{key}");
    }
    let expire = json!({ "key": "sk_test_sim" });
    for done in [true, false] {
        let told = control(&server, Method::POST, "expire_key", &expire).await.1;
        assert_eq!(told, json!({ "done": done }));
    }
    assert_eq!(ask(&server, under("sk_test_sim").request()).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&server, under("sk_test_new").request()).await.0, StatusCode::OK);
    let told = control(&server, Method::POST, "roll_key", &roll).await.1;
    assert_eq!((told, sim.ledger().executions("a")), (json!({ "done": false }), 1));
}

#[tokio::test]
async fn what_is_wrong_is_said_and_browsers_are_kept_out() {
    let sim = sim();
    let server = serve(&sim).await;
    for (method, name, value, status, part) in [
        (Method::POST, "faults", json!({ "probabilty": 1 }), 400, "faults.probabilty is not known"),
        (Method::POST, "script", json!({ "order": "a" }), 400, "script.steps is missing"),
        (Method::POST, "authenticate", json!({}), 400, "authenticate.payment_intent is missing"),
        (Method::GET, "nothing", Value::Null, 404, "nothing"),
    ] {
        let (answered, value) = control(&server, method, name, &value).await;
        let error = value["error"].as_str().expect("it says why");
        assert!(answered == status && error.contains(part), "{answered} {error}");
    }
    let page = Request::post("/_sim/settle").header("origin", "http://evil.test").body(Full::default());
    assert_eq!(ask(&server, page.expect("a request")).await.0, StatusCode::FORBIDDEN);
    // In-process there is nothing of it: whoever holds the simulator needs no path to it.
    assert_eq!(get("/_sim/ledger").ok(&sim).await.status, StatusCode::NOT_FOUND);
}
