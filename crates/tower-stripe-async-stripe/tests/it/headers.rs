//! What async-stripe sends beside the request, and how the request itself is written.

use std::{future::ready, sync::mpsc};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use stripe_client_core::{SharedConfigBuilder, StripeRequest, VERSION};
use stripe_core::customer::{CreateCustomer, DeleteCustomer, ListCustomer, RetrieveCustomer};
use tower_stripe::{BoxError, StripeTransport};
use tower_stripe_async_stripe::Client;

use crate::support::{API_KEY, client, config, configured, customer, sim};

#[tokio::test(start_paused = true)]
async fn the_account_arrives_and_a_calls_own_stands_above_the_configured_one() {
    let sim = sim();
    let client = configured(&sim, config().account_id("acct_1".into()));
    let customer = CreateCustomer::new().send(&client).await.expect("created");
    let other = CreateCustomer::new().customize().account_id("acct_2".into());
    other.send(&client).await.expect("created");

    let accounts: Vec<_> = sim.log().into_iter().map(|seen| seen.account).collect();
    assert_eq!(accounts, [Some("acct_1".to_owned()), Some("acct_2".to_owned())]);

    // It is in that account, and in no other.
    let retrieve = RetrieveCustomer::new(customer.id);
    retrieve.send(&client).await.expect("it is there");
    let elsewhere = retrieve.customize().account_id("acct_2".into()).send(&client).await;
    assert_eq!(elsewhere.expect_err("it is not").status().map(|status| status.as_u16()), Some(404));
}

#[tokio::test(start_paused = true)]
async fn without_an_account_no_header_is_sent() {
    let sim = sim();
    CreateCustomer::new().send(&client(&sim)).await.expect("created");
    assert_eq!(sim.log()[0].account, None);
}

#[tokio::test(start_paused = true)]
async fn the_api_version_is_the_one_that_async_stripe_is_made_for() {
    let sim = sim();
    CreateCustomer::new().send(&client(&sim)).await.expect("created");
    let mut other = config();
    other.stripe_version = "2025-01-27.acacia".parse().expect("every text is a version");
    CreateCustomer::new().send(&configured(&sim, other)).await.expect("created");

    let versions: Vec<_> = sim.log().into_iter().filter_map(|seen| seen.version).collect();
    assert_eq!(versions, [VERSION.as_str(), "2025-01-27.acacia"]);
}

/// A client whose requests can be looked at.
fn watched(config: SharedConfigBuilder) -> (Client, mpsc::Receiver<Request<Full<Bytes>>>) {
    let (sent, seen) = mpsc::channel();
    let http = tower::service_fn(move |request| {
        sent.send(request).expect("the test looks");
        ready(Ok::<_, BoxError>(customer()))
    });
    let transport = StripeTransport::builder().allow_host("127.0.0.1").build().expect("valid settings");
    (Client::with_config(transport.layer(http), config).expect("valid settings"), seen)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().expect("text"))
}

#[tokio::test(start_paused = true)]
async fn a_request_is_written_as_async_stripe_writes_it() {
    let (client, seen) = watched(config());
    CreateCustomer::new().email("a@b.test").send(&client).await.expect("answered");
    ListCustomer::new().limit(3).email("#& \"ä").send(&client).await.expect_err("it is no list");
    DeleteCustomer::new("cus_1").send(&client).await.expect_err("it is not deleted");

    let mut written = Vec::new();
    for request in seen.try_iter() {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("infallible").to_bytes();
        let form = text(&head.headers, "content-type").map(str::to_owned);
        written.push(format!("{} {} {form:?} {body:?}", head.method, head.uri));
        assert_eq!(text(&head.headers, "authorization"), Some(format!("Bearer {API_KEY}")).as_deref());
        assert!(head.headers["authorization"].is_sensitive());
    }
    assert_eq!(
        written,
        [
            "POST https://api.stripe.com/v1/customers Some(\"application/x-www-form-urlencoded\") b\"email=a@b.test\"",
            "GET https://api.stripe.com/v1/customers?email=%23%26+%22%C3%A4&limit=3 None b\"\"",
            "DELETE https://api.stripe.com/v1/customers/cus_1 None b\"\"",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_configured_url_and_names_are_sent() {
    let own = "tower-stripe-async-stripe/0.1.0";
    let app = config().app_info("shop", Some("1.4".to_owned()), Some("https://a.test".to_owned()));
    for (config, url, agent, id) in [
        (config(), "https://api.stripe.com/v1/customers", own.to_owned(), None),
        (
            app.client_id("ca_1".into()).url("http://127.0.0.1:12111/"),
            "http://127.0.0.1:12111/v1/customers",
            format!("{own} shop/1.4 (https://a.test)"),
            Some("ca_1"),
        ),
        (
            config().url("http://127.0.0.1:12111/behind/a/"),
            "http://127.0.0.1:12111/behind/a/v1/customers",
            own.to_owned(),
            None,
        ),
    ] {
        let (client, seen) = watched(config);
        CreateCustomer::new().send(&client).await.expect("answered");
        let request = seen.try_recv().expect("one request");
        assert_eq!(request.uri(), url);
        assert_eq!(text(request.headers(), "user-agent"), Some(agent.as_str()));
        assert_eq!(text(request.headers(), "client-id"), id);
    }
}
