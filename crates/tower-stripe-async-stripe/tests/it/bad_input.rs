//! What cannot be right is refused before anything is sent, and says which rule it breaks.

use stripe_client_core::{RequestBuilder, RequestStrategy, SharedConfigBuilder, StripeMethod, StripeRequest};
use stripe_core::{
    customer::{CreateCustomer, RetrieveCustomer},
    payment_intent::CapturePaymentIntent,
};
use tower_stripe::{Advice, Certainty, IdempotencyKey, Refusal, vocab::InvalidKey};
use tower_stripe_async_stripe::{Client, Error, InvalidRequest};

use crate::support::{client, config, idempotent, payment, secs, sim, transport};

/// Nothing was sent, and the key is as good as it was.
fn assert_not_sent(sim: &stripe_sim::Sim, error: &Error) {
    assert!(sim.log().is_empty(), "{error}");
    assert_eq!(
        (error.certainty(), error.advice(), error.attempts()),
        (Certainty::NotSent, Advice::SameKey, 0)
    );
    assert!(error.to_string().ends_with("; nothing was sent"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_no_header_can_hold_is_refused() {
    for (key, why) in [
        ("bestellung-№1", InvalidKey::Character { position: 11 }),
        ("a\nb", InvalidKey::Character { position: 1 }),
        (" a", InvalidKey::SurroundingSpace),
    ] {
        let sim = sim();
        let call = payment("o").customize().request_strategy(idempotent(key));
        let error = call.send(&client(&sim)).await.expect_err("an invalid key");
        let refusal = error.no_response().and_then(tower_stripe::Error::refusal);
        assert_eq!(refusal, Some(&Refusal::InvalidKey(why)));
        assert_not_sent(&sim, &error);
    }
}

#[tokio::test(start_paused = true)]
async fn two_keys_that_differ_are_refused() {
    let sim = sim();
    let client = client(&sim).with(IdempotencyKey::new("a").expect("a key"));
    let call = payment("o").customize().request_strategy(idempotent("b"));
    let error = call.send(&client).await.expect_err("which of them?");
    let refusal = error.no_response().and_then(tower_stripe::Error::refusal);
    assert_eq!(refusal, Some(&Refusal::ConflictingKeys));
    assert_not_sent(&sim, &error);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_no_header_can_hold_is_refused() {
    for (account, why) in [
        ("", InvalidRequest::EmptyAccount),
        ("acct_1\n", InvalidRequest::Account { position: 6 }),
        ("acct 1", InvalidRequest::Account { position: 4 }),
    ] {
        let sim = sim();
        let call = payment("o").customize().account_id(account.into());
        let error = call.send(&client(&sim)).await.expect_err("no account");
        assert_eq!(error.invalid_request(), Some(why));
        assert_not_sent(&sim, &error);
    }
}

#[tokio::test(start_paused = true)]
async fn a_strategy_without_an_attempt_is_refused() {
    for strategy in [RequestStrategy::Retry(0), RequestStrategy::ExponentialBackoff(0)] {
        let sim = sim();
        let call = payment("o").customize().request_strategy(strategy);
        let error = call.send(&client(&sim)).await.expect_err("no attempt");
        assert_eq!(error.invalid_request(), Some(InvalidRequest::NoAttempts));
        assert_not_sent(&sim, &error);
    }
}

/// async-stripe puts ids into the path as they are.
#[tokio::test(start_paused = true)]
async fn an_id_that_would_ask_for_something_else_is_refused() {
    let sim = sim();
    let client = client(&sim);
    let cancel = CapturePaymentIntent::new("pi_1/cancel#").send(&client).await.map(drop);
    let query = RetrieveCustomer::new("?limit=100").send(&client).await.map(drop);
    let space = RetrieveCustomer::new("cus 1").send(&client).await.map(drop);
    let relative = RequestBuilder::new(StripeMethod::Get, "2/core/accounts").customize::<()>();
    let relative = relative.send(&client).await;
    for refused in [cancel, query, space, relative] {
        let error = refused.expect_err("no path");
        assert_eq!(error.invalid_request(), Some(InvalidRequest::Path));
        assert_not_sent(&sim, &error);
    }
}

fn refused(config: SharedConfigBuilder) -> String {
    Client::with_config(transport(&sim()), config).expect_err("invalid settings").to_string()
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_be_are_refused_with_name_value_and_rule() {
    for (config, message) in [
        (
            SharedConfigBuilder::new(""),
            "secret = (not shown) must be not empty, and of visible ASCII characters",
        ),
        (
            SharedConfigBuilder::new("sk_test_1\n"),
            "secret = (not shown) must be not empty, and of visible ASCII characters",
        ),
        (
            SharedConfigBuilder::new("pk_live_1"),
            "secret = (not shown) must be a secret or a restricted key, not a publishable one",
        ),
        (
            config().account_id("".into()),
            "account_id = \"\" must be not empty, and of visible ASCII characters",
        ),
        (
            config().client_id("ca 1".into()),
            "client_id = \"ca 1\" must be not empty, and of visible ASCII characters",
        ),
        (config().app_info("a\n", None, None), "app_info = \"a\\n\" must be of visible ASCII characters"),
        (config().timeout(secs(0)), "timeout = 0ns must be longer than 0s"),
        (config().url("127.0.0.1:80"), "url = \"127.0.0.1:80\" must be http(s)://host[:port][/path]"),
        (config().url("ftp://a.test"), "url = \"ftp://a.test\" must be http(s)://host[:port][/path]"),
        (
            config().url("https://a.test/?b"),
            "url = \"https://a.test/?b\" must be http(s)://host[:port][/path]",
        ),
        (
            config().url("https://user:password@a.test"),
            "url = (not shown) must be http(s)://host[:port][/path]",
        ),
        (
            config().request_strategy(RequestStrategy::Retry(0)),
            "request_strategy = Retry(0) must be of at least 1 attempt",
        ),
        (
            config().request_strategy(idempotent("order-8812")),
            "request_strategy = Idempotent(…) must be set for one call, by customize(): an idempotency key is for \
             one order",
        ),
    ] {
        assert_eq!(refused(config), message);
    }
}

#[tokio::test(start_paused = true)]
async fn all_problems_are_told_at_once() {
    let message = refused(SharedConfigBuilder::new("").timeout(secs(0)).url("x"));
    assert_eq!(message.matches(" must be ").count(), 3, "{message}");
}

/// The check of hosts is the transport's.
#[tokio::test(start_paused = true)]
async fn a_url_that_is_not_stripes_must_be_allowed_in_the_transport() {
    let sim = sim();
    let config = config().url("http://127.0.0.1:12111/");
    let client = Client::with_config(transport(&sim), config).expect("valid settings");
    let error = CreateCustomer::new().send(&client).await.expect_err("not allowed");
    let refusal = error.no_response().and_then(tower_stripe::Error::refusal);
    assert_eq!(refusal, Some(&Refusal::HostNotAllowed { host: "127.0.0.1".into() }));
    assert!(sim.log().is_empty());
}
