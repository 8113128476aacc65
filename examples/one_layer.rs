//! A single layer on a client: Stripe's request ids, and nothing else changed.
//!
//! `cargo run --example one_layer`
//!
//! The client is the recommended one, the server the simulator on loopback. `ClassifyLayer` can stand in the place of
//! `RequestIdLayer` as it is; layers that can refuse need an `EdgeLayer` under them, whose error type has room for that.
#![expect(clippy::print_stdout, reason = "it is a program")]

use http::Request;
use http_body_util::Full;
use stripe_sim::{Server, Sim};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_stripe::{BoxError, ResponseExt, edge::hyper_util, request_id::RequestIdLayer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let stripe = Server::bind(Sim::new(), ([127, 0, 0, 1], 0).into()).await?;

    let client = hyper_util::Client::new();
    let mut client = ServiceBuilder::new().layer(RequestIdLayer::new()).service(client);

    for path in ["/v1/customers", "/v1/customers/cus_gone"] {
        let request = Request::get(format!("http://{}{path}", stripe.addr()))
            .header("authorization", "Bearer sk_test_sim")
            .body(Full::default())?;
        let response = client.ready().await?.call(request).await?;
        let id = response.request_id().ok_or("stripe names every answer")?;
        println!("GET {path}: {}, {id}", response.status());
    }
    Ok(())
}
