//! What the stack decides can be seen: in metrics that add up, in spans, and in a line for each call; and nothing else
//! can.

mod contract;
mod elsewhere;
mod labels;
mod pending;
mod secrets;
mod spans;
mod values;

use std::{num::NonZeroU32, sync::Arc};

use http::Request;
use stripe_sim::{Canned, Fault, Reason, Sim, Step};
use tower::Layer;
use tower_stripe::{
    IdempotencyKey, Priority, ReportHandle, ResponseExt, RetryLimit, StripeTransport,
    breaker::{BreakerConfig, Partition, Scope, Traffic},
    credentials::ApiKey,
    governor::{Bucket, GovernorConfig, Limit},
    telemetry::{TelemetryConfig, TelemetryLayer},
    vocab::{Host, Mode, metric},
};

use crate::support::{
    API_KEY, client, get, keyed, metered, meters::Meters, millis, payment, payment_with, post, secs, sim,
    with,
};

fn builder() -> tower_stripe::transport::Builder {
    StripeTransport::builder()
}

/// A transport at its defaults, and what it counts.
fn metered_by_default(sim: &Sim) -> (StripeTransport<crate::support::SimClient>, Meters) {
    metered(sim, builder())
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_counted_by_why_it_was_made_and_what_it_came_to() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3), Step::Answer(Canned::server_error())]);
    let (stripe, meters) = metered_by_default(&sim);
    let response = stripe.send(payment("o")).await.expect("paid");
    assert_eq!(response.attempts(), Some(3));

    let create = ("operation", "payment_intents.create");
    let attempts = |purpose, outcome| {
        meters.sum(&metric::ATTEMPTS, &[create, ("purpose", purpose), ("outcome", outcome)])
    };
    assert_eq!(attempts("first", "reset"), 1.0);
    assert_eq!(attempts("retry", "server_error"), 1.0);
    assert_eq!(attempts("retry", "success"), 1.0);
    assert_eq!(meters.sum(&metric::ATTEMPTS, &[]), sim.log_of("o").len() as f64, "what the other side saw");
    for reason in ["reset", "server_error"] {
        assert_eq!(meters.sum(&metric::RETRIES, &[("class", "money"), ("reason", reason)]), 1.0);
    }
    assert_eq!(meters.sum(&metric::REPLAYS, &[("class", "money"), ("result", "success")]), 1.0);
    let call = [create, ("mode", "sandbox"), ("outcome", "success")];
    assert_eq!(meters.sum(&metric::CALLS, &call), 1.0);
    assert_eq!(meters.sum(&metric::CALLS_RETRIED, &[("class", "money"), ("result", "success")]), 1.0);
    assert_eq!(meters.sum(&metric::CALL_CERTAINTY, &[("certainty", "executed")]), 1.0);
    assert_eq!(meters.sum(&metric::KEYS, &[("class", "money"), ("source", "generated")]), 1.0);
    assert_eq!(meters.sum(&metric::UNKNOWN, &[]), 0.0, "it is known at the end");
}

#[tokio::test(start_paused = true)]
async fn what_stripe_said_is_counted_by_words_that_are_known() {
    let sim = sim();
    sim.script("limited", [Step::Answer(Canned::rate_limited(Reason::EndpointRate))]);
    sim.script("locked", [Step::Answer(Canned::lock_timeout())]);
    sim.script(
        "new",
        [Step::Answer(Canned::json(400, &serde_json::json!({"error": {"code": "cus_4f6DzA"}})))],
    );
    sim.script("stolen", [Step::Answer(Canned::declined("stolen_card"))]);
    sim.script("noticed", [Step::Answer(Canned::server_error().notice("a version is deprecated"))]);
    let (stripe, meters) = metered_by_default(&sim);
    for order in ["limited", "locked", "new", "stolen", "noticed"] {
        stripe.send(payment(order)).await.expect("answered");
    }
    stripe.send(payment_with("no funds", "pm_card_chargeDeclinedInsufficientFunds")).await.expect("answered");
    assert_eq!(meters.sum(&metric::RATE_LIMITED, &[("reason", "endpoint_rate")]), 1.0);
    assert_eq!(meters.sum(&metric::RATE_LIMITED, &[("reason", "lock_timeout")]), 1.0);
    assert_eq!(meters.sum(&metric::ERRORS, &[("code", "other")]), 2.0, "a new word, and a 500 without one");
    assert_eq!(meters.sum(&metric::ERRORS, &[("code", "lock_timeout")]), 1.0);
    assert_eq!(meters.sum(&metric::DECLINES, &[("code", "insufficient_funds")]), 1.0);
    assert_eq!(meters.sum(&metric::DECLINES, &[("code", "generic_decline")]), 1.0, "nobody is warned");
    assert_eq!(meters.sum(&metric::NOTICES, &[]), 1.0);
}

#[tokio::test(start_paused = true)]
async fn what_the_stack_refuses_is_counted_once_whoever_refuses() {
    let sim = sim();
    let (stripe, meters) = metered_by_default(&sim);
    let refused = |refusal| meters.sum(&metric::REFUSED, &[("refusal", refusal)]);

    let mut elsewhere = payment("o");
    *elsewhere.uri_mut() = "https://evil.example/v1/payment_intents".parse().expect("a URI");
    stripe.send(elsewhere).await.expect_err("not a host of stripe's");
    assert_eq!(refused("host_not_allowed"), 1.0);

    let mut two_keys = keyed(payment("o"), "one");
    two_keys.headers_mut().insert("idempotency-key", "another".parse().expect("a header"));
    stripe.send(two_keys).await.expect_err("two keys");
    assert_eq!(refused("conflicting_keys"), 1.0);
    assert_eq!(meters.sum(&metric::KEY_ERRORS_TOTAL, &[("kind", "conflicting")]), 1.0);

    let handle = ReportHandle::new();
    stripe.send(with(get("/v1/balance", "o"), handle.clone())).await.expect("answered");
    stripe.send(with(get("/v1/balance", "o"), handle)).await.expect_err("it belongs to another call");
    assert_eq!(refused("report_reused"), 1.0);

    stripe.breaker().force_open(Scope::All);
    stripe.send(payment("o")).await.expect_err("the circuit is open");
    assert_eq!(refused("circuit_open"), 1.0);
    assert_eq!(meters.sum(&metric::REFUSED, &[]), 4.0);
    let result = |result| meters.sum(&metric::CALL_DURATION, &[("result", result)]);
    assert_eq!((result("invalid"), result("refused"), result("rejected")), (3.0, 1.0, 1.0));
    stripe.telemetry().sample();
    let state = [("circuit", "api/sandbox/write"), ("state", "forced_open")];
    assert_eq!(meters.sum(&metric::BREAKER_STATE, &state), 1.0);
    assert_eq!(sim.log().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_caller_goes_away_is_counted_by_what_it_was_doing() {
    let sim = sim();
    sim.script("sent", [Step::Fault(Fault::Slow { delay: secs(60) })]);
    sim.script("between", [Step::Answer(Canned::server_error())]);
    let slow = Limit::per_second(NonZeroU32::MIN).burst(2);
    let governor = GovernorConfig::builder().limit(Bucket::Global, slow);
    let (stripe, meters) = metered(&sim, builder().governor(governor));
    let phase = |phase| meters.sum(&metric::CALLS_CANCELLED, &[("phase", phase)]);

    stripe.send(payment("first")).await.expect("paid");
    let calls = meters.sum(&metric::CALLS, &[]);
    drop(stripe.send(payment("never polled")));
    assert_eq!(meters.sum(&metric::CALLS, &[]), calls, "what was never polled has not begun");

    tokio::time::timeout(millis(100), stripe.send(payment("sent"))).await.expect_err("it hangs");
    assert_eq!(phase("in_flight"), 1.0);
    assert_eq!(meters.sum(&metric::UNKNOWN, &[("class", "money"), ("cause", "cancelled")]), 1.0);

    tokio::time::timeout(millis(100), stripe.send(payment("queued"))).await.expect_err("it waits its turn");
    assert_eq!(phase("queued"), 1.0);

    tokio::time::sleep(secs(5)).await;
    tokio::time::timeout(millis(100), stripe.send(payment("between"))).await.expect_err("it waits to retry");
    assert_eq!(phase("backoff"), 1.0);
    assert_eq!(meters.sum(&metric::CALLS_IN_FLIGHT, &[]), 0.0);
    assert!(sim.log_of("queued").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_waits_and_what_is_left_can_be_seen_while_it_is_so() {
    let sim = sim();
    sim.limits(stripe_sim::Limits::unlimited());
    let slow = Limit::per_second(NonZeroU32::MIN).burst(2);
    let (stripe, meters) =
        metered(&sim, builder().governor(GovernorConfig::builder().limit(Bucket::Global, slow)));
    for order in ["first", "second"] {
        stripe.send(payment(order)).await.expect("paid");
    }
    let waiting = [stripe.send(payment("a")), stripe.send(with(payment("b"), Priority::Background))];
    let calls: Vec<_> = waiting.into_iter().map(tokio::spawn).collect();
    tokio::time::sleep(millis(10)).await;
    stripe.telemetry().sample();
    let queue =
        |priority| meters.sum(&metric::GOVERNOR_WAITING, &[("mode", "sandbox"), ("priority", priority)]);
    assert_eq!((queue("critical"), queue("background"), queue("normal")), (1.0, 1.0, 0.0));
    assert_eq!(meters.sum(&metric::CALLS_IN_FLIGHT, &[("class", "money")]), 2.0);
    assert_eq!(meters.sum(&metric::RETRY_BUDGET, &[]), 1.0);
    for call in calls {
        call.await.expect("it does not panic").expect("paid");
    }
    stripe.telemetry().sample();
    assert_eq!(queue("critical") + queue("background"), 0.0);
    assert_eq!(meters.sum(&metric::GOVERNOR_WAIT, &[("priority", "critical")]), 3.0);
    assert_eq!(meters.sum(&metric::GOVERNOR_WAIT, &[("priority", "background")]), 1.0);
    let rate = |kind| meters.sum(&metric::GOVERNOR_RATE, &[("mode", "sandbox"), ("kind", kind)]);
    assert_eq!((rate("configured"), rate("effective")), (1.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_seen_in_the_breakers_series() {
    let sim = sim();
    for order in ["o1", "o2", "o3"] {
        sim.script(order, std::iter::repeat_n(Step::Answer(Canned::server_error()), 3));
    }
    let breaker = BreakerConfig::builder().consecutive_failures(3).synthetic_probes(false);
    let (stripe, meters) = metered(&sim, builder().breaker(breaker));
    for order in ["o1", "o2", "o3"] {
        let _ = stripe.send(with(payment(order), RetryLimit::NONE)).await;
        tokio::time::sleep(secs(1)).await;
    }
    stripe.telemetry().sample();
    let circuit = ("circuit", "api/sandbox/write");
    let write = Partition { host: Host::Api, mode: Mode::Sandbox, traffic: Traffic::Write };
    let state = stripe.breaker().state(write);
    assert_eq!(meters.sum(&metric::BREAKER_STATE, &[circuit, ("state", state.as_str())]), 1.0);
    let opened = [circuit, ("to", "open"), ("why", "consecutive")];
    assert_eq!(meters.sum(&metric::BREAKER_TRANSITIONS, &opened), 1.0);
    assert_eq!(meters.sum(&metric::BREAKER_CALLS, &[circuit]), 3.0);
    assert_eq!(meters.sum(&metric::BREAKER_FAILURES, &[circuit]), 1.0);

    for index in 0..20 {
        let _ = stripe.send(payment(&format!("after {index}"))).await;
        tokio::time::sleep(secs(1)).await;
    }
    stripe.telemetry().sample();
    assert_eq!(meters.sum(&metric::BREAKER_STATE, &[circuit, ("state", "closed")]), 1.0);
    assert!(meters.sum(&metric::BREAKER_PROBES, &[circuit, ("verdict", "succeeded")]) >= 3.0);
    let closed = [circuit, ("to", "closed"), ("why", "probes_succeeded")];
    assert_eq!(meters.sum(&metric::BREAKER_TRANSITIONS, &closed), 1.0);
}

/// Each series is registered when it is first written, and never looked up again.
#[tokio::test(start_paused = true)]
async fn no_series_is_looked_up_twice() {
    let sim = sim();
    let (stripe, meters) = metered_by_default(&sim);
    stripe.send(payment("o")).await.expect("paid");
    let before = meters.registrations();
    for index in 0..50 {
        stripe.send(payment(&format!("o{index}"))).await.expect("paid");
        tokio::time::sleep(secs(1)).await;
    }
    assert_eq!(meters.registrations(), before);
}

#[tokio::test(start_paused = true)]
async fn what_is_turned_off_counts_nothing() {
    let sim = sim();
    let meters = Meters::default();
    let off = builder().telemetry(meters.telemetry().enabled(false)).build().expect("valid settings");
    off.layer(client(&sim)).send(payment("o")).await.expect("paid");
    off.telemetry().sample();
    // Not even zeros, which would hide what another transport of the same name counts.
    assert_eq!(meters.text(), "");
}

/// A layer alone takes the whole call for one attempt, as it must.
#[tokio::test(start_paused = true)]
async fn alone_it_counts_calls_of_which_it_knows_nothing_more() {
    let sim = sim();
    let meters = Meters::default();
    let layer = TelemetryLayer::new(meters.telemetry().build().expect("valid settings"));
    let client = tower_stripe::edge::EdgeLayer::new().layer(client(&sim));
    let response = tower::ServiceExt::oneshot(layer.layer(client), payment("o")).await.expect("paid");
    assert_eq!(response.attempts(), Some(1));
    let attempt = [("operation", "payment_intents.create"), ("purpose", "first"), ("outcome", "success")];
    assert_eq!(meters.sum(&metric::ATTEMPTS, &attempt), 1.0);
    meters.assert_labels();
}

#[test]
fn a_name_that_is_no_label_is_refused_with_the_rule() {
    for name in ["", "a b", "zürich", "x\"y", &"x".repeat(65)] {
        let error = TelemetryConfig::builder().transport(name).build().expect_err(name);
        assert!(error.to_string().contains("telemetry.transport"), "{error}");
        let error = builder().telemetry(TelemetryConfig::builder().transport(name)).build().expect_err(name);
        assert!(error.to_string().contains("from 1 to 64"), "{error}");
    }
    TelemetryConfig::builder().transport("eu-west-1.payouts_2").build().expect("a fine name");
}

/// Those who want more than one transport tell them apart by name.
#[tokio::test(start_paused = true)]
async fn transports_are_told_apart_by_their_names() {
    let sim = sim();
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let exporter = recorder.handle();
    let recorder = Arc::new(recorder);
    for (name, calls) in [("payments", 2), ("reports", 1)] {
        let telemetry = TelemetryConfig::builder().transport(name).recorder(recorder.clone());
        let stripe = builder().telemetry(telemetry).build().expect("valid settings").layer(client(&sim));
        for index in 0..calls {
            let request: Request<_> = post("/v1/customers", &format!("{name}{index}"), "");
            stripe
                .send(with(request, IdempotencyKey::derive("c", &[name, &index.to_string()])))
                .await
                .expect("made");
        }
    }
    let text = exporter.render();
    let call = |name: &str, calls: u32| {
        format!(
            "stripe_client_calls_total{{transport=\"{name}\",operation=\"customers.create\",mode=\"sandbox\",\
             outcome=\"success\"}} {calls}"
        )
    };
    assert!(text.contains(&call("payments", 2)) && text.contains(&call("reports", 1)), "{text}");
    assert!(!text.contains(API_KEY));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_api_key_the_transport_holds_is_counted_under_that_keys_mode() {
    let sim = sim();
    let (stripe, meters) = metered(&sim, builder().credentials(ApiKey::new(API_KEY).expect("an API key")));
    let mut call = payment("o");
    call.headers_mut().remove("authorization");
    stripe.send(call).await.expect("paid");
    assert_eq!(meters.sum(&metric::CALLS, &[("mode", "sandbox")]), 1.0);
    assert_eq!(meters.sum(&metric::CALLS, &[]), 1.0);
}
