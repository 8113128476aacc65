//! What is forwarded, where to, and what is said about it.

use bytes::Bytes;
use stripe_egress::Settings;
use stripe_sim::{Canned, Fault, Step};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    API_KEY, account, code, egress, get, header, json, payment, payment_with, raw, read_all, request, send,
    serve, sim,
    upstream::{Upstream, stripe_says},
    with,
};

#[tokio::test]
async fn a_payment_goes_through_with_a_key_and_comes_back_with_its_account() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    let response = send(egress.addr(), payment("8812")).await;
    assert_eq!((response.status().as_u16(), json(&response)["status"].as_str()), (200, Some("succeeded")));
    assert_eq!(account(&response), (1, "executed", "done", "false"));
    let seen = &sim.log_of("8812")[0];
    assert_eq!(header(&response, "request-id"), Some(seen.request_id.as_str()));
    assert_eq!(header(&response, "idempotency-key"), seen.idempotency_key.as_deref());
    assert!(seen.idempotency_key.as_deref().is_some_and(|key| key.starts_with("ts")));
    assert_eq!(sim.ledger().executions("8812"), 1);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_fetched_again_and_says_so() {
    let sim = sim();
    sim.script("lost", [Step::Fault(Fault::F3)]);
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "[retry]\nbase_delay = '10ms'").await;
    let request = with(payment("lost"), "idempotency-key", "order-lost");
    let response = send(egress.addr(), request).await;
    assert_eq!(response.status(), 200);
    assert_eq!(account(&response), (2, "executed", "done", "true"));
    assert_eq!(header(&response, "idempotency-key"), Some("order-lost"));
    let keys: Vec<_> = sim.log_of("lost").into_iter().filter_map(|seen| seen.idempotency_key).collect();
    assert_eq!(keys, ["order-lost", "order-lost"]);
    assert_eq!(sim.ledger().executions("lost"), 1);
}

#[tokio::test]
async fn what_stripe_answers_comes_back_as_it_is() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    let declined = payment_with("declined", "pm_card_chargeDeclinedInsufficientFunds");
    let response = send(egress.addr(), declined).await;
    assert_eq!(response.status(), 402);
    assert_eq!(json(&response)["error"]["decline_code"], "insufficient_funds");
    assert_eq!(account(&response).1, "rejected");
    let response = send(egress.addr(), get("/v1/customers/cus_gone")).await;
    assert_eq!((response.status().as_u16(), account(&response).1), (404, "rejected"));
    assert_eq!(json(&response)["error"]["code"], "resource_missing");
}

#[tokio::test]
async fn an_sdk_is_told_not_to_repeat_what_has_been_decided_unless_that_is_turned_off() {
    let upstream = Upstream::answering(|_| stripe_says(503, "{}")).await;
    let told = egress(upstream.addr(), "[retry]\nmax_attempts = 1").await;
    let response = send(told.addr(), get("/v1/customers")).await;
    assert_eq!((response.status().as_u16(), header(&response, "stripe-should-retry")), (503, Some("false")));
    let untold =
        egress(upstream.addr(), "[retry]\nmax_attempts = 1\n[responses]\nstop_sdk_retries = false").await;
    let response = send(untold.addr(), get("/v1/customers")).await;
    assert_eq!((response.status().as_u16(), header(&response, "stripe-should-retry")), (503, None));
}

#[tokio::test]
async fn the_path_and_the_query_arrive_byte_for_byte() {
    let upstream = Upstream::answering(|_| stripe_says(200, "{}")).await;
    let egress = egress(upstream.addr(), "").await;
    for target in [
        "/v1/customers?",
        "/v1/customers?limit=3&expand[]=data.customer&&=",
        "/v1/customers/a%2Fb%zz//c/../d?query=name:'Jo'%20+x",
        "/v1/customers?a=b?c=d",
        "/",
    ] {
        let answer = raw(
            egress.addr(),
            format!("GET {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\nconnection: close\r\n\r\n"),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(upstream.take().pop().map(|received| received.target).as_deref(), Some(target));
    }
}

#[tokio::test]
async fn a_url_in_place_of_a_path_goes_nowhere_else() {
    let upstream = Upstream::answering(|_| stripe_says(200, "{}")).await;
    let egress = egress(upstream.addr(), "").await;
    let absolute =
        "GET http://evil.example/v1/customers HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert!(raw(egress.addr(), absolute).await.starts_with("HTTP/1.1 200 OK"));
    let received = upstream.take().pop().expect("it arrived");
    assert_eq!(
        (received.target.as_str(), &received.headers["host"]),
        ("/v1/customers", &upstream.addr().to_string().parse().unwrap())
    );
    for target in ["CONNECT api.stripe.com:443", "OPTIONS *"] {
        let answer =
            raw(egress.addr(), format!("{target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.contains("400 Bad Request") && answer.contains("egress_bad_request"), "{answer}");
    }
    assert!(upstream.take().is_empty());
}

#[tokio::test]
async fn each_host_of_stripes_has_an_upstream_of_its_own() {
    let [api, files, connect, meters] = [
        Upstream::answering(|_| stripe_says(200, "\"api\"")).await,
        Upstream::answering(|_| stripe_says(200, "\"files\"")).await,
        Upstream::answering(|_| stripe_says(200, "\"connect\"")).await,
        Upstream::answering(|_| stripe_says(200, "\"meters\"")).await,
    ];
    let others = format!(
        "[upstreams]\nfiles = 'http://{}'\nconnect = 'http://{}'\nmeter_events = 'http://{}'",
        files.addr(),
        connect.addr(),
        meters.addr()
    );
    let egress = egress(api.addr(), &others).await;
    for (method, path, host) in [
        ("POST", "/v1/files", "files"),
        ("GET", "/v1/files/file_1", "api"),
        ("POST", "/oauth/token", "connect"),
        ("POST", "/oauth/deauthorize", "connect"),
        ("POST", "/v2/billing/meter_event_stream", "meters"),
        ("POST", "/v1/charges", "api"),
        ("GET", "/v1/novelties", "api"),
    ] {
        let response = send(egress.addr(), request(method, path, "a=b")).await;
        assert_eq!(json(&response), host, "{method} {path}");
    }
    // OAuth takes no key.
    assert!(connect.received().iter().all(|received| !received.headers.contains_key("idempotency-key")));
}

#[tokio::test]
async fn the_headers_for_the_sidecar_are_heeded_and_never_leave_it() {
    let sim = sim();
    for order in ["once", "thrice"] {
        sim.script(order, [Step::Answer(Canned::server_error()), Step::Answer(Canned::server_error())]);
    }
    let upstream = Upstream::simulating(sim.clone()).await;
    let egress = egress(upstream.addr(), "[retry]\nbase_delay = '10ms'\nmax_attempts = 2").await;
    let once = with(payment("once"), "x-stripe-egress-max-attempts", "1");
    let response = send(egress.addr(), with(once, "x-stripe-egress-priority", "background")).await;
    assert_eq!((response.status().as_u16(), account(&response)), (500, (1, "unknown", "same_key", "false")));
    let thrice = with(get("/v1/customers?metadata[order]=thrice"), "x-stripe-egress-max-attempts", "3");
    let response = send(egress.addr(), with(thrice, "x-stripe-egress-deadline-ms", "20000")).await;
    assert_eq!((response.status().as_u16(), account(&response).0), (200, 3));
    let own =
        |headers: &http::HeaderMap| headers.keys().any(|name| name.as_str().starts_with("x-stripe-egress"));
    assert!(upstream.received().iter().all(|received| !own(&received.headers)));
}

#[tokio::test]
async fn a_deadline_of_the_client_ends_the_call() {
    let sim = sim();
    sim.script("hangs", [Step::Hang]);
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    let request = with(get("/v1/customers?metadata[order]=hangs"), "x-stripe-egress-deadline-ms", "150");
    let response = send(egress.addr(), request).await;
    assert_eq!((response.status().as_u16(), code(&response).as_str()), (504, "egress_no_response"));
    assert_eq!(account(&response), (1, "unknown", "resend", "false"));
}

#[tokio::test]
async fn what_a_header_for_the_sidecar_cannot_say_is_refused_and_nothing_is_sent() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    for (name, value) in [
        ("x-stripe-egress-priority", "urgent"),
        ("x-stripe-egress-deadline-ms", "soon"),
        ("x-stripe-egress-max-attempts", "0"),
        ("x-stripe-egress-retries", "3"),
        ("connection", "idempotency-key"),
    ] {
        let request = with(with(payment("bad"), "idempotency-key", "order-bad"), name, value);
        let response = send(egress.addr(), request).await;
        assert_eq!(
            (response.status().as_u16(), code(&response).as_str()),
            (400, "egress_bad_header"),
            "{name}"
        );
        assert_eq!(account(&response), (0, "not_sent", "same_key", "false"));
        assert_eq!(header(&response, "idempotency-key"), Some("order-bad"));
        let message = json(&response)["error"]["message"].as_str().unwrap().to_lowercase();
        assert!(message.contains(name), "{message}");
    }
    assert!(sim.log().is_empty());
}

#[tokio::test]
async fn a_body_without_a_length_arrives_whole_and_can_be_sent_again() {
    let sim = sim();
    sim.script("chunked", [Step::Answer(Canned::server_error())]);
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "[retry]\nbase_delay = '10ms'").await;
    let chunks =
        ["amount=1099&currency=eur&confirm=true", "&payment_method=pm_card_visa&metadata[order]=chunked"];
    let mut request = format!(
        "POST /v1/payment_intents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\n\
         content-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    for chunk in chunks {
        request += &format!("{:x}\r\n{chunk}\r\n", chunk.len());
    }
    let answer = raw(egress.addr(), request + "0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let seen = sim.log_of("chunked");
    assert!(seen.len() == 2 && seen.iter().all(|seen| seen.body == chunks.concat()), "{seen:?}");
    assert_eq!(sim.ledger().executions("chunked"), 1);
}

#[tokio::test]
async fn what_is_compressed_stays_so() {
    // `{}` by gzip.
    const ZIPPED: &[u8] = &[31, 139, 8, 0, 0, 0, 0, 0, 2, 255, 171, 174, 5, 0, 67, 191, 166, 163, 2, 0, 0, 0];
    let upstream = Upstream::answering(|_| {
        let mut response = stripe_says(200, Bytes::from_static(ZIPPED));
        response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        response
    })
    .await;
    let egress = egress(upstream.addr(), "").await;
    let response =
        send(egress.addr(), with(get("/v1/customers"), "accept-encoding", "gzip, deflate, br")).await;
    assert_eq!((response.body().as_ref(), header(&response, "content-encoding")), (ZIPPED, Some("gzip")));
    assert_eq!(upstream.take()[0].headers["accept-encoding"], "gzip, deflate, br");
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_and_the_next_one_is_not_mistaken_for_it() {
    let upstream = Upstream::answering(|_| stripe_says(200, "{}")).await;
    let egress = egress(upstream.addr(), "").await;
    let both = "HEAD /v1/customers HTTP/1.1\r\nhost: x\r\n\r\nGET /v1/customers HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = raw(egress.addr(), both).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert_eq!(answer.matches("{}").count(), 1, "{answer}");
}

#[test]
fn a_listener_elsewhere_needs_to_be_said() {
    let settings =
        |more: &str| Settings::from_toml(&format!("listen = '0.0.0.0:0'\n{more}")).expect("it is TOML");
    let error = settings("").check().expect_err("it is not said");
    assert!(error.to_string().contains("whoever can connect can make calls"), "{error}");
    assert!(settings("allow_non_loopback = true").check().is_ok());
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_its_body_is_told_to_go_on() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    let form = "amount=1&currency=eur&confirm=true&payment_method=pm_card_visa&metadata[order]=asked";
    let mut stream = TcpStream::connect(egress.addr()).await.expect("a connection");
    let head = format!(
        "POST /v1/payment_intents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\n\
         content-type: application/x-www-form-urlencoded\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        form.len()
    );
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut told = vec![0; go_on.len()];
    stream.read_exact(&mut told).await.expect("it is told");
    assert_eq!(told, go_on);
    stream.write_all(form.as_bytes()).await.expect("it is taken");
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(sim.ledger().executions("asked"), 1);
}

#[tokio::test]
async fn a_client_of_an_older_http_is_served_too() {
    let upstream = Upstream::answering(|_| stripe_says(200, "{}")).await;
    let egress = egress(upstream.addr(), "").await;
    let answer =
        raw(egress.addr(), format!("GET /v1/customers HTTP/1.0\r\nauthorization: Bearer {API_KEY}\r\n\r\n"))
            .await;
    assert!(answer.starts_with("HTTP/1.0 200 OK") && answer.ends_with("{}"), "{answer}");
    assert_eq!(upstream.take().len(), 1);
}
