//! Changing settings while it runs.

use crate::support::{
    egress, get, header,
    process::Process,
    send, settings,
    upstream::{Upstream, stripe_says},
};

#[tokio::test]
async fn what_can_change_does_and_what_cannot_is_named() {
    let upstream = Upstream::answering(|_| stripe_says(503, "{}")).await;
    let before = "[retry]\nmax_attempts = 1\n[governor]\nreplicas = 1\n[breaker]\nenabled = false";
    let egress = egress(upstream.addr(), before).await;
    let told =
        |response: &http::Response<bytes::Bytes>| header(response, "stripe-should-retry").map(str::to_owned);
    assert_eq!(told(&send(egress.addr(), get("/v1/customers")).await).as_deref(), Some("false"));
    let after = "[retry]\nmax_attempts = 5\n[governor]\nreplicas = 4\n[governor.limits.search]\nper_second = 3\n\
                 [breaker]\nenabled = false\n[responses]\nstop_sdk_retries = false\n[drain]\nwithin = '9s'";
    let reloaded = egress.reload(&settings(upstream.addr(), after)).expect("they can be");
    assert_eq!(
        reloaded.changed,
        [
            "drain.within",
            "governor.limits.search.per_second",
            "governor.replicas",
            "responses.stop_sdk_retries"
        ]
    );
    assert_eq!(reloaded.needs_restart, ["retry.max_attempts"]);
    assert_eq!(told(&send(egress.addr(), get("/v1/customers")).await), None);
    let rate = egress.governor().snapshot()[0].global_rate().expect("there is a limit");
    assert!((rate - 22.5 / 4.0).abs() < 0.01, "90 % of 25 a second for one of four: {rate}");
    // What waits for a restart is said again; what is in force is not.
    let again = egress.reload(&settings(upstream.addr(), after)).expect("they can be");
    assert_eq!((again.changed.len(), again.needs_restart.len()), (0, 1));
}

#[tokio::test]
async fn settings_that_cannot_be_change_nothing() {
    let upstream = Upstream::answering(|_| stripe_says(503, "{}")).await;
    let egress = egress(upstream.addr(), "").await;
    let wrong =
        settings(upstream.addr(), "[responses]\nstop_sdk_retries = false\n[timeouts]\nattempt = '2h'");
    assert!(egress.reload(&wrong).is_err());
    let response = send(egress.addr(), get("/v1/customers")).await;
    assert_eq!(header(&response, "stripe-should-retry"), Some("false"));
}

#[tokio::test]
async fn a_signal_reads_the_file_anew_and_a_wrong_one_is_logged() {
    let upstream = Upstream::answering(|_| stripe_says(503, "{}")).await;
    let process = Process::start(upstream.addr(), "[retry]\nmax_attempts = 1").await;
    process.configure(
        "[retry]\nmax_attempts = 1\n[responses]\nstop_sdk_retries = false\n[log]\nlevel = 'debug'",
    );
    process.signal("HUP").await;
    let mut told = Some(String::new());
    for _ in 0..500 {
        let response = send(process.addr(), get("/v1/customers")).await;
        told = header(&response, "stripe-should-retry").map(str::to_owned);
        if told.is_none() {
            break;
        }
    }
    assert_eq!(told, None, "it never changed");
    process.configure("[retry]\nmax_atempts = 1");
    process.signal("HUP").await;
    // Signals are taken one after the other: once it drains, it has read the file.
    process.signal("TERM").await;
    let (status, log) = process.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(
        log.contains("changed: log.level, responses.stop_sdk_retries; needs a restart: nothing"),
        "{log}"
    );
}
