//! The admin pages: what they show, and what they never do.

use stripe_egress::Egress;
use stripe_sim::{Fault, Step};
use tower_stripe::breaker::Scope;

use crate::support::{
    API_KEY, egress, get, header, json, listener, payment, post, process::Process, send, serve, settings,
    sim, with,
};

#[tokio::test]
async fn the_status_tells_how_calls_went() {
    let sim = sim();
    sim.script("lost", [Step::Fault(Fault::F3)]);
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "[retry]\nmax_attempts = 1\n[governor]\nenabled = true").await;
    let admin = egress.admin_addr().expect("it has pages");
    send(egress.addr(), payment("paid")).await;
    send(egress.addr(), payment("lost")).await;
    let status = json(&send(admin, get("/status")).await);
    let calls = &status["calls"];
    assert_eq!(
        (&calls["total"], &calls["unknown"], &calls["refused"]),
        (&2.into(), &1.into(), &1.into()),
        "{status}"
    );
    assert_eq!((&calls["under_way"], &status["ready"]), (&0.into(), &true.into()));
    let lost = &status["last_unanswered"][0];
    assert_eq!((&lost["code"], &lost["certainty"]), (&"egress_no_response".into(), &"unknown".into()));
    let paid = &status["last_answered"][0];
    assert_eq!((&paid["operation"], &paid["status"]), (&"payment_intents.create".into(), &200.into()));
    assert_eq!(paid["request_id"], sim.log_of("paid")[0].request_id.as_str());
    assert_eq!(status["governor"][0]["mode"], "sandbox");
    assert_eq!(status["breaker"][0]["circuit"], "api/sandbox/write");
    assert_eq!(status["breaker"][0]["state"], "closed");
    assert_eq!(status["retry_budget_left"], 1.0);
    assert!(status["connections"]["max"].as_u64().is_some_and(|max| max > 0));
}

#[tokio::test]
async fn the_page_says_first_what_matters_most() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    let admin = egress.admin_addr().expect("it has pages");
    let page = async || {
        let response = send(admin, get("/")).await;
        assert_eq!(header(&response, "content-type"), Some("text/html; charset=utf-8"));
        String::from_utf8(response.into_body().to_vec()).expect("text")
    };
    let before = page().await;
    assert!(before.contains("Calls go through.") && before.contains("http-equiv=\"refresh\""), "{before}");
    send(egress.addr(), payment("8812")).await;
    egress.breaker().force_open(Scope::All);
    for _ in 0..30 {
        send(egress.addr(), get("/v1/customers")).await;
    }
    let after = page().await;
    for part in [
        "Stripe is left alone where it has been failing: ",
        "api/sandbox/write",
        "open: calls are refused",
        "Retries left in the budget: <span class=\"\">100 %</span>",
        "egress_circuit_open",
        "payment_intents.create",
        sim.log_of("8812")[0].request_id.as_str(),
    ] {
        assert!(after.contains(part), "{part} is not in {after}");
    }
    // It loads nothing and runs nothing.
    assert!(
        !after.contains("<script") && !after.contains("http://") && !after.contains("https://"),
        "{after}"
    );
}

#[tokio::test]
async fn no_page_shows_a_secret() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    let request = with(payment("8812"), "idempotency-key", "order-8812-key");
    send(egress.addr(), request).await;
    let admin = egress.admin_addr().expect("it has pages");
    for path in ["/", "/status", "/healthz", "/readyz", "/metrics", "/nowhere"] {
        let page = String::from_utf8(send(admin, get(path)).await.into_body().to_vec()).expect("text");
        for secret in [API_KEY, "order-8812-key", "pm_card_visa", "1099"] {
            assert!(!page.contains(secret), "{secret} is on {path}: {page}");
        }
    }
}

#[tokio::test]
async fn the_pages_are_there_to_be_read_and_for_nothing_else() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "").await;
    let admin = egress.admin_addr().expect("it has pages");
    for (path, status, text) in [
        ("/healthz", 200, "ok\n"),
        ("/readyz", 200, "ready\n"),
        ("/metrics", 404, "there are no metrics\n"),
        ("/v1/charges", 404, "there are /, /healthz, /readyz, /metrics and /status\n"),
    ] {
        let response = send(admin, get(path)).await;
        assert_eq!(
            (response.status().as_u16(), response.body().as_ref()),
            (status, text.as_bytes()),
            "{path}"
        );
        assert!(
            header(&response, "content-security-policy")
                .is_some_and(|policy| policy.contains("default-src 'none'"))
        );
    }
    assert_eq!(send(admin, post("/status", "a=b")).await.status(), 405);
    assert!(sim.log().is_empty(), "nothing of it goes to Stripe");
    assert_eq!(send(egress.addr(), get("/healthz")).await.status(), 404, "and clients do not see the pages");
}

#[tokio::test]
async fn the_metrics_are_what_they_are_rendered_to() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress =
        Egress::new(settings(server.addr(), "")).expect("valid settings").metrics(|| "up 1\n".to_owned());
    let egress = egress.serve(listener().await, Some(listener().await)).expect("it serves");
    let response = send(egress.admin_addr().expect("it has pages"), get("/metrics")).await;
    assert_eq!((response.status().as_u16(), response.body().as_ref()), (200, &b"up 1\n"[..]));
    assert_eq!(header(&response, "content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
}

#[tokio::test]
async fn the_program_has_the_metrics_of_the_transport() {
    let sim = sim();
    sim.script("lost", [Step::Fault(Fault::F3)]);
    let server = serve(&sim).await;
    let process = Process::start(server.addr(), "[retry]\nmax_attempts = 1").await;
    send(process.addr(), payment("paid")).await;
    send(process.addr(), payment("lost")).await;
    let metrics =
        String::from_utf8(send(process.admin(), get("/metrics")).await.into_body().to_vec()).expect("text");
    assert!(metrics.contains("operation=\"payment_intents.create\""), "{metrics}");
    assert!(!metrics.contains(API_KEY) && !metrics.contains("pm_card_visa"), "{metrics}");
    let status = json(&send(process.admin(), get("/status")).await);
    assert_eq!(status["pending"][0]["operation"], "payment_intents.create", "{status}");
    let page = String::from_utf8(send(process.admin(), get("/")).await.into_body().to_vec()).expect("text");
    assert!(page.contains("Calls of which nobody knows yet"), "{page}");
}
