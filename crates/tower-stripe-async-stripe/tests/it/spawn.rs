//! The client is an ordinary value and its calls are ordinary futures: they can be spawned, over any transport.
//!
//! The spawned blocks are written out by a macro, not by a generic function: behind a bound the compiler does not look
//! into the futures, and what fails there ("not general enough") would not show.

use std::future::ready;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Request, Response};
use http_body_util::Full;
use stripe_core::customer::{CreateCustomer, ListCustomer};
use stripe_sim::{Fault, Server, Step};
use tower::{Layer, util::BoxCloneSyncService};
use tower_stripe::{BoxError, StripeBody, StripeTransport, detach::DetachLayer, edge::hyper_util};
use tower_stripe_async_stripe::{Client, Error};

use crate::support::{
    API_KEY, assert_once, client, config, customer, of_order, payment, secs, sim, transport,
};

const fn is_shareable<T: Clone + Send + Sync + 'static>(_: &T) {}

const fn is_movable<T: Send>(_: &T) {}

macro_rules! spawned {
    ($client:expr) => {{
        let client = $client;
        is_shareable(&client);
        is_movable(&CreateCustomer::new().send(&client));
        tokio::spawn(async move { CreateCustomer::new().metadata(of_order("o")).send(&client).await })
            .await
            .expect("no panic")
    }};
}

type Boxed = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

fn boxed() -> Boxed {
    BoxCloneSyncService::new(tower::service_fn(|_| ready(Ok::<_, BoxError>(customer()))))
}

#[tokio::test(start_paused = true)]
async fn a_call_can_be_spawned_over_the_simulator() {
    let sim = sim();
    spawned!(client(&sim)).expect("created");
    assert_once(&sim, "o", 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_can_be_spawned_over_a_boxed_client() {
    spawned!(Client::new(StripeTransport::new(boxed()), API_KEY).expect("a valid key")).expect("created");
    let transport = DetachLayer::default().layer(StripeTransport::new(boxed()));
    spawned!(Client::new(transport, API_KEY).expect("a valid key")).expect("created");
}

#[tokio::test(start_paused = true)]
async fn a_call_can_be_spawned_over_a_boxed_transport() {
    let transport: BoxCloneSyncService<_, Response<StripeBody<Full<Bytes>>>, tower_stripe::Error> =
        BoxCloneSyncService::new(StripeTransport::new(boxed()));
    spawned!(Client::new(transport, API_KEY).expect("a valid key")).expect("created");
}

/// Over real sockets.
#[tokio::test]
async fn a_call_can_be_spawned_over_the_recommended_client() {
    let sim = sim();
    let server = Server::bind(sim.clone(), ([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let transport = StripeTransport::builder().allow_host("127.0.0.1").build().expect("valid settings");
    let config = config().url(format!("http://{}", server.addr()));
    let client = Client::with_config(transport.layer(hyper_util::Client::new()), config);
    spawned!(client.expect("valid settings")).expect("created");
    assert_once(&sim, "o", 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_can_be_read_in_a_task_of_its_own() {
    let sim = sim();
    let client = client(&sim);
    for _ in 0..3 {
        CreateCustomer::new().send(&client).await.expect("created");
    }
    let read = tokio::spawn(async move {
        ListCustomer::new().limit(2).paginate().stream(&client).try_collect::<Vec<_>>().await
    });
    assert_eq!(read.await.expect("no panic").expect("both pages").len(), 3);
}

/// A layer around the transport works for async-stripe's calls, too.
#[tokio::test(start_paused = true)]
async fn a_detached_payment_is_finished_though_its_caller_goes_away() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F2)]);
    let detach = DetachLayer::default();
    let transport = detach.layer(transport(&sim));
    let handle = transport.handle();
    let client = Client::new(transport, API_KEY).expect("a valid key");
    let call = payment("o");
    tokio::time::timeout(std::time::Duration::from_millis(1), call.send(&client))
        .await
        .expect_err("its caller goes away during the wait for the second attempt");
    assert_eq!(sim.ledger().executions("o"), 0);
    assert!(handle.drain(secs(60)).await.unresolved.is_empty());
    assert_once(&sim, "o", 2);
}

#[test]
fn errors_can_be_passed_on() {
    const fn is_error<T: std::error::Error + Send + Sync + 'static>() {}
    is_error::<Error>();
}
