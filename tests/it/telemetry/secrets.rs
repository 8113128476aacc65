//! Whatever is logged, traced and counted in a long run with faults: no secret is in it.

use http::Request;
use http_body_util::Full;
use stripe_sim::{Canned, Fault, Faults, Sim, Step};
use tower_stripe::{IdempotencyKey, Priority, ResponseExt, StripeTransport, vocab::metric};

use crate::support::{keyed, metered, millis, never_open, notes::Notes, request, ungoverned, with};

const API_KEY: &str = "sk_test_SEEDEDsecret0001";
const IDEMPOTENCY_KEY: &str = "SEEDEDkey-order";
const CARD: &str = "4242424242424242";
const CLIENT_SECRET: &str = "pi_3SEEDED_secret_SEEDEDclient";
const NAME: &str = "SEEDEDJenny Rosen";

fn payment(order: &str) -> Request<Full<bytes::Bytes>> {
    let form = format!(
        "amount=1099&currency=eur&confirm=true&payment_method=pm_card_visa&metadata[order]={order}\
         &card[number]={CARD}&client_secret={CLIENT_SECRET}&shipping[name]={NAME}"
    );
    let path = format!("/v1/payment_intents?client_secret={CLIENT_SECRET}");
    let mut request = keyed(request("POST", &path, order, form), &format!("{IDEMPOTENCY_KEY}-{order}"));
    let authorization = format!("Bearer {API_KEY}").parse().expect("a header");
    request.headers_mut().insert("authorization", authorization);
    request.headers_mut().insert("stripe-account", "acct_SEEDED".parse().expect("a header"));
    request
}

/// An error whose every text quotes a secret, as somebody in between might.
fn quoting(status: u16) -> Step {
    let all = format!("{API_KEY} {IDEMPOTENCY_KEY} {CARD} {CLIENT_SECRET}");
    let error = serde_json::json!({ "error": {
        "type": CLIENT_SECRET, "code": CLIENT_SECRET, "decline_code": CARD, "message": all, "param": API_KEY,
    }});
    Step::Answer(Canned::json(status, &error).notice(&all).header("x-echo", all.as_str()))
}

async fn run(sim: &Sim, stripe: &StripeTransport<crate::support::SimClient>) {
    let mut calls = tokio::task::JoinSet::new();
    for index in 0..300 {
        let order = format!("o{index}");
        match index % 10 {
            0 => sim.script(&order, [quoting([400, 401, 402, 403, 404, 409, 429, 500][index / 10 % 8])]),
            1 => sim.script(&order, [Step::Fault(Fault::F3), quoting(402)]),
            _ => {}
        }
        let mut call = payment(&order);
        if index % 7 == 0 {
            call = with(call, Priority::Background);
        }
        if index % 11 == 0 {
            call.headers_mut()
                .insert("idempotency-key", format!("{IDEMPOTENCY_KEY}-two").parse().expect("a header"));
        }
        if index % 13 == 0 {
            *call.uri_mut() =
                format!("https://{}.example/v1/{CLIENT_SECRET}", "seeded-host").parse().expect("a URI");
        }
        let stripe = stripe.clone();
        calls.spawn(async move {
            let patience = millis(if index % 5 == 0 { 40 } else { 120_000 });
            let result = tokio::time::timeout(patience, stripe.send(call)).await;
            // What a service would log of it.
            match result {
                Ok(Ok(response)) => tracing::info!(report = ?response.report(), "answered"),
                Ok(Err(error)) => tracing::warn!(%error, ?error, "failed"),
                Err(_) => {}
            }
        });
    }
    calls.join_all().await;
    stripe.telemetry().resolve(&IdempotencyKey::new(format!("{IDEMPOTENCY_KEY}-o0")).expect("a key"));
    tracing::info!(pending = ?stripe.telemetry().pending(), settings = %stripe.describe(), "at the end");
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_in_any_log_span_or_metric_of_a_faulty_run() {
    let faults = Faults::probability(0.4);
    let sim = Sim::builder().account(API_KEY).faults(faults).limits(stripe_sim::Limits::unlimited()).build();
    let builder = StripeTransport::builder().breaker(never_open()).governor(ungoverned());
    let (stripe, meters) = metered(&sim, builder);
    let mut notes = Notes::taken();
    run(&sim, &stripe).await;

    let told = notes.read();
    assert!(told.len() > 3_000, "it was a long run: {}", told.len());
    assert!(meters.sum(&metric::CALLS, &[]) == 300.0 && meters.sum(&metric::NOTICES, &[]) > 20.0);
    assert!(meters.sum(&metric::CALLS_CANCELLED, &[]) > 0.0 && meters.sum(&metric::UNKNOWN, &[]) > 0.0);
    let all = told.join("\n") + &meters.text();
    for secret in ["SEEDED", CARD, API_KEY, IDEMPOTENCY_KEY, CLIENT_SECRET, "amount=1099"] {
        let at = all.find(secret).map(|at| &all[at.saturating_sub(200)..(at + 60).min(all.len())]);
        assert_eq!(at, None, "{secret}");
    }
    assert!(all.contains("payment_intents.create"), "it does tell something");
}
