//! What a caller says of one call counts in every layer, and what the settings say is told, or refused.

use std::{fs, path::Path};

use futures_util::future::join_all;
use http::StatusCode;
use stripe_sim::{Canned, Sim, Step};
use tokio::time::sleep;
use tower_stripe::{
    AttemptTimeout, Certainty, Deadline, Priority, Refusal, ResponseExt, RetryLimit, StripeTransport,
    breaker::{BreakerConfig, Partition, State, Traffic},
    governor::{Bucket, GovernorConfig, Limit},
    transport::{Builder, Profile},
    vocab::{Host, Mode, Ratio, Stop, time},
};

use crate::support::{
    client, get,
    load::{arrivals, assert_within, at_once, count, live, only, per_second, read},
    millis, payment, secs, sim, statuses, stop, stop_of, transport_of, with,
};

/// A transport in whose queue the next call waits for so many seconds, those included that are in it already.
fn busy(sim: &Sim) -> tower_stripe::StripeTransport<crate::support::SimClient> {
    transport_of(sim, StripeTransport::builder().governor(only(per_second(1).burst(2))))
}

#[tokio::test(start_paused = true)]
async fn a_deadline_covers_the_queue_and_the_attempt_and_a_time_limit_the_attempt_alone() {
    for (intent, ends, took) in [("deadline", 10, 7), ("attempt timeout", 5, 2)] {
        let sim = sim();
        let stripe = busy(&sim);
        sim.script("o", [Step::Hang]);
        let began = time::now();
        let queue = at_once(&stripe, (0..4).map(|n| live(read(n, "queue"))));
        let hung = async {
            let call = with(live(read(0, "o")), RetryLimit::NONE);
            let call = match intent {
                "deadline" => with(call, Deadline::after(secs(10))),
                _ => with(call, AttemptTimeout::new(secs(2))),
            };
            (stripe.send(call).await.expect_err("it hangs"), time::now() - began)
        };
        let (_, (error, ended)) = tokio::join!(queue, hung);
        assert!(error.is_timeout(), "{intent}: {error}");
        assert_eq!(error.certainty(), Certainty::Unknown);
        let report = error.report().expect("a report");
        let attempt = &report.attempts()[0];
        let whole = |time: std::time::Duration| time.as_secs_f64().round() as u64;
        assert_eq!(
            (attempt.queued.as_secs(), whole(attempt.took), whole(ended)),
            (3, took, ends),
            "{intent}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_retries_of_a_call_are_as_many_as_it_says_and_each_has_its_turn_in_its_priority() {
    for (limit, expected) in [(Some(RetryLimit::NONE), 1), (Some(RetryLimit::new(1)), 2), (None, 3)] {
        let sim = sim();
        let stripe = transport_of(&sim, StripeTransport::builder().governor(only(per_second(10).burst(2))));
        sim.script("o", vec![Step::Answer(Canned::html(503)); 5]);
        let call = with(live(payment("o")), Priority::Critical);
        let call = match limit {
            Some(limit) => with(call, limit),
            None => call,
        };
        // A queue of five seconds of what is less urgent.
        let queue = at_once(&stripe, (0..52).map(|n| with(live(read(n, "queue")), Priority::Normal)));
        let (_, answer) = tokio::join!(queue, stripe.send(call));
        let answer = answer.expect("something answered");
        assert_eq!((statuses(&sim, "o").len(), stop(&answer)), (expected, Some(Stop::Attempts)));
        let report = answer.report().expect("a report");
        for attempt in report.attempts() {
            assert!(attempt.queued <= millis(101), "{:?}", attempt.queued);
        }
        assert_within(&arrivals(&sim, |_| true), 10.0, 2);
    }
}

const PAYMENTS: Partition = Partition { host: Host::Api, mode: Mode::Live, traffic: Traffic::Write };

#[tokio::test(start_paused = true)]
async fn a_payment_that_may_not_be_retried_is_not_what_the_breaker_tries_out_first() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder());
    for n in 0..10 {
        sim.script(&n.to_string(), [Step::Answer(Canned::html(503))]);
        let call = with(live(payment(&n.to_string())), RetryLimit::NONE);
        assert_eq!(stripe.send(call).await.expect("answered").status(), 503);
    }
    assert_eq!(stripe.breaker().state(PAYMENTS), State::Open);
    sleep(millis(1_100)).await;

    // A GET of the stack's own finds that Stripe is back. Then it is the turn of those who can repair what goes wrong.
    let last = async |order: &str| stripe.send(with(live(payment(order)), RetryLimit::NONE)).await;
    let refused = last("last chance").await.expect_err("refused");
    assert!(matches!(refused.refusal(), Some(Refusal::CircuitOpen { .. })), "{refused}");
    assert_eq!((refused.certainty(), stop_of(&refused)), (Certainty::NotSent, Some(Stop::Refused)));
    assert_eq!(arrivals(&sim, |seen| seen.path == "/v1/").len(), 1);
    sleep(millis(300)).await;
    last("last chance").await.expect_err("refused as well");
    stripe.send(with(live(payment("repairable")), RetryLimit::new(1))).await.expect("it is the probe");
    assert_eq!(sim.ledger().executions("repairable"), 1);
    assert!(sim.log_of("last chance").is_empty());
    // But a service of payments that are never repeated is not shut out for good.
    sleep(millis(2_300)).await;
    assert_eq!(last("last chance").await.expect("it is let through").status(), 200);
}

/// What `describe` prints, as it was agreed. With `UPDATE_DESCRIBE=1` in the environment, what it prints now is agreed to.
#[tokio::test(start_paused = true)]
async fn a_transport_tells_its_layers_from_the_outside_in_with_the_settings_in_force() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/describe");
    let own = StripeTransport::builder()
        .deadline(secs(40))
        .attempt_timeout(secs(10))
        .breaker(BreakerConfig::builder().window(secs(20)).failure_ratio(Some(Ratio::percent(30))))
        .governor(
            GovernorConfig::builder()
                .replicas(count(4))
                .reserve(Ratio::percent(40))
                .max_in_flight(60)
                .serialize_objects(true)
                .limit_in(Mode::Live, Bucket::Search, per_second(8).burst(4).in_flight(2))
                .limit(Bucket::MeterEvents, Limit::UNLIMITED),
        );
    for (name, builder) in [
        ("default", StripeTransport::builder()),
        ("interactive", StripeTransport::profile(Profile::Interactive)),
        ("background", StripeTransport::profile(Profile::Background)),
        ("sdk_compatible", StripeTransport::profile(Profile::SdkCompatible)),
        ("own", own),
    ] {
        let stripe = builder.build().expect("valid settings").layer(client(&sim()));
        let path = directory.join(name).with_extension("txt");
        if std::env::var_os("UPDATE_DESCRIBE").is_some() {
            fs::write(&path, stripe.describe().to_string()).expect("written");
        }
        let agreed = fs::read_to_string(&path).unwrap_or_default();
        let actual = stripe.describe().to_string();
        assert_eq!(actual, agreed, "{} is not what {name} prints:\n{actual}", path.display());
        let layers: Vec<_> = stripe.describe().layers().map(|(name, _)| name).collect();
        let known = [
            "telemetry",
            "hosts",
            "idempotency",
            "retry",
            "credentials",
            "auth gate",
            "breaker",
            "governor",
            "timeout",
        ];
        let inner = ["request id", "classify", "edge"];
        assert_eq!(layers, [&known[..], &inner].concat());
    }
}

/// How many of forty calls that are answered 503 reach the server in a minute, and when the last one came.
async fn of_an_outage(builder: Builder) -> usize {
    let sim = sim();
    let stripe = transport_of(&sim, builder);
    let calls = (0..40).map(|n| {
        sim.script(&n.to_string(), vec![Step::Answer(Canned::html(503)); 10]);
        let (stripe, call) = (&stripe, with(live(payment(&n.to_string())), RetryLimit::NONE));
        async move {
            sleep(millis(10 * n)).await;
            stripe.send(call).await.map(|answer| answer.status())
        }
    });
    for answer in join_all(calls).await.into_iter().flatten() {
        assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE);
    }
    sim.log().len()
}

#[tokio::test(start_paused = true)]
async fn a_profile_does_what_it_says() {
    // How long a call goes on that hangs, and how often it is sent.
    for (profile, most, attempts) in
        [(Profile::Interactive, 20, 2), (Profile::Background, 600, 8), (Profile::SdkCompatible, 300, 3)]
    {
        let sim = sim();
        let stripe = transport_of(&sim, StripeTransport::profile(profile));
        sim.script("o", vec![Step::Hang; 20]);
        let began = time::now();
        let error = stripe.send(live(payment("o"))).await.expect_err("it hangs");
        assert_eq!(error.certainty(), Certainty::Unknown);
        assert!(time::now() - began <= secs(most), "{profile:?}: {:?}", time::now() - began);
        assert!(sim.log_of("o").len() >= attempts, "{profile:?}: {}", sim.log_of("o").len());

        // Only one of them is not kept within the limits.
        let before = sim.log().len();
        at_once(&stripe, (0..60).map(|n| live(get("/v1/customers/cus_1", &format!("burst {n}"))))).await;
        let burst = &sim.log()[before..];
        let together = burst.iter().filter(|seen| seen.arrived == burst[0].arrived).count();
        assert_eq!(together, if profile == Profile::SdkCompatible { 60 } else { 3 }, "{profile:?}");
    }
    assert_eq!(of_an_outage(StripeTransport::profile(Profile::SdkCompatible)).await, 40);
    for profile in [Profile::Interactive, Profile::Background] {
        let reached = of_an_outage(StripeTransport::profile(profile)).await;
        assert!(reached <= 12, "{profile:?}: {reached}");
    }
}
