//! Spans of calls and attempts, exported by `tracing-opentelemetry` to a collector: `cargo run --example traces`.
//!
//! The collector is a stub in this process, on loopback. It takes what a real one takes, OTLP over HTTP, and prints the
//! tree of spans that arrived; in a service, leave it out and give the exporter the address of yours. Payments are made
//! to the embedded simulator, and the first answer of one of them is lost.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use stripe_sim::{Canned, Fault, Sim, Step};
use tokio::{net::TcpListener, runtime::Handle, sync::mpsc};
use tower::util::MapErr;
use tower_stripe::{BoxError, StripeTransport};
use tracing_subscriber::prelude::*;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (arrived, mut spans) = mpsc::unbounded_channel();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let collector = listener.local_addr()?;
    tokio::spawn(collect(listener, arrived));

    // What a service does at its start.
    let exporter = exporter(collector)?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    let tracer = provider.tracer("shop");
    let subscriber = tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer));
    let guard = tracing::subscriber::set_default(subscriber);

    pay().await?;

    drop(guard);
    // Sends what has not been sent, and waits for it: not on a thread of the runtime.
    tokio::task::spawn_blocking(move || provider.shutdown()).await??;
    let mut tree = Tree::default();
    while let Ok(batch) = spans.try_recv() {
        tree.add(&batch);
    }
    tree.print();
    Ok(())
}

/// Two payments: one whose first answer is lost, and a declined one.
async fn pay() -> Result<(), BoxError> {
    let sim = Sim::new();
    sim.script("order-1", [Step::Fault(Fault::F3)]);
    sim.script("order-2", [Step::Answer(Canned::declined("insufficient_funds"))]);
    let stripe = StripeTransport::new(MapErr::new(sim.service(), BoxError::from));
    for order in ["order-1", "order-2"] {
        let form = format!(
            "amount=1099&currency=eur&confirm=true&payment_method=pm_card_visa&metadata[order]={order}"
        );
        let request = Request::post("https://api.stripe.com/v1/payment_intents")
            .header("authorization", "Bearer sk_test_sim")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::from(form))?;
        stripe.send(request).await?;
    }
    Ok(())
}

fn exporter(collector: SocketAddr) -> Result<SpanExporter, BoxError> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    Ok(SpanExporter::builder()
        .with_http()
        .with_http_client(Courier { client, runtime: Handle::current() })
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(format!("http://{collector}/v1/traces"))
        .with_timeout(Duration::from_secs(5))
        .build()?)
}

/// Sends what the exporter has. That one works in a thread of its own, and hyper within the runtime.
#[derive(Debug)]
struct Courier {
    client: Client<HttpConnector, Full<Bytes>>,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Courier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let exchange = self.runtime.spawn(async move {
            let (head, body) = client.request(request.map(Full::new)).await?.into_parts();
            Ok::<_, HttpError>(Response::from_parts(head, body.collect().await?.to_bytes()))
        });
        exchange.await?
    }
}

/// A collector that hands on what it gets.
async fn collect(listener: TcpListener, arrived: mpsc::UnboundedSender<Value>) {
    while let Ok((stream, _)) = listener.accept().await {
        let arrived = arrived.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let arrived = arrived.clone();
            async move {
                let body =
                    request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let sent = serde_json::from_slice(&body).map(|batch| arrived.send(batch).is_ok());
                let status = if sent.is_ok() { 200 } else { 400 };
                let response = Response::builder().status(status).header("content-type", "application/json");
                Ok::<_, Infallible>(response.body(Full::<Bytes>::from("{}")).expect("a response"))
            }
        });
        tokio::spawn(async move {
            // What goes wrong is the exporter's to report.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The spans that arrived, by the one that each is in.
#[derive(Default)]
struct Tree(BTreeMap<String, Vec<Value>>);

impl Tree {
    /// (Source of the names: OpenTelemetry's protocol, OTLP, in JSON.)
    fn add(&mut self, batch: &Value) {
        let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
        for resource in list(batch, "resourceSpans") {
            for scope in list(&resource, "scopeSpans") {
                for span in list(&scope, "spans") {
                    let parent = span["parentSpanId"].as_str().unwrap_or_default().to_owned();
                    self.0.entry(parent).or_default().push(span);
                }
            }
        }
    }

    fn print(&self) {
        self.print_within("", 0);
        let spans = self.0.values().map(Vec::len).sum::<usize>();
        println!("spans={spans}");
    }

    fn print_within(&self, parent: &str, depth: usize) {
        for span in self.0.get(parent).into_iter().flatten() {
            println!("{:indent$}{}", "", span["name"].as_str().unwrap_or_default(), indent = depth * 4);
            for attribute in span["attributes"].as_array().into_iter().flatten() {
                let key = attribute["key"].as_str().unwrap_or_default();
                let ours = ["stripe.", "http.", "url.", "server.", "error."];
                if ours.iter().any(|prefix| key.starts_with(prefix)) {
                    let value = attribute["value"].as_object().and_then(|value| value.values().next());
                    println!(
                        "{:indent$}{key} = {}",
                        "",
                        value.unwrap_or(&Value::Null),
                        indent = depth * 4 + 2
                    );
                }
            }
            for event in span["events"].as_array().into_iter().flatten() {
                let name = event["name"].as_str().unwrap_or_default();
                println!("{:indent$}* {name}", "", indent = depth * 4 + 2);
            }
            self.print_within(span["spanId"].as_str().unwrap_or_default(), depth + 1);
        }
    }
}
