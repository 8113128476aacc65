//! What all tests share: a sidecar in this process, what it calls, and clients on raw sockets.

pub(crate) mod process;
pub(crate) mod upstream;

use std::{net::Ipv4Addr, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use stripe_egress::{Egress, Serving, Settings};
use stripe_sim::{Limits, Server, Sim};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The API key of the simulator's sandbox account.
pub(crate) const API_KEY: &str = "sk_test_sim";

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A simulator without limits.
pub(crate) fn sim() -> Sim {
    Sim::builder().limits(Limits::unlimited()).build()
}

pub(crate) async fn serve(sim: &Sim) -> Server {
    Server::bind(sim.clone(), (Ipv4Addr::LOCALHOST, 0).into()).await.expect("a port")
}

pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port")
}

/// Settings that suit tests: a simulator in Stripe's place, and no governor to slow them down.
pub(crate) fn settings(upstream: SocketAddr, more: &str) -> Settings {
    let governor = if more.contains("[governor]") { "" } else { "[governor]\nenabled = false\n" };
    let text = format!("upstream = \"http://{upstream}\"\n{governor}{more}");
    Settings::from_toml(&text).unwrap_or_else(|error| panic!("{error}\nin\n{text}"))
}

/// A sidecar before `upstream`.
pub(crate) async fn egress(upstream: SocketAddr, more: &str) -> Serving {
    let egress = Egress::new(settings(upstream, more)).expect("valid settings");
    egress.serve(listener().await, Some(listener().await)).expect("it serves")
}

/// A payment of one order, as a shop makes it: create and confirm in one request.
pub(crate) fn payment(order: &str) -> Request<Full<Bytes>> {
    payment_with(order, "pm_card_visa")
}

pub(crate) fn payment_with(order: &str, payment_method: &str) -> Request<Full<Bytes>> {
    post(
        "/v1/payment_intents",
        format!(
            "amount=1099&currency=eur&confirm=true&payment_method={payment_method}&metadata[order]={order}"
        ),
    )
}

pub(crate) fn post(path: &str, form: impl Into<Bytes>) -> Request<Full<Bytes>> {
    request("POST", path, form)
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    request("GET", path, "")
}

pub(crate) fn request(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1")
        .header("authorization", format!("Bearer {API_KEY}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(body.into()))
        .expect("a valid request")
}

/// The same request with another header.
pub(crate) fn with(
    mut request: Request<Full<Bytes>>,
    name: &'static str,
    value: &str,
) -> Request<Full<Bytes>> {
    request.headers_mut().append(name, value.parse().expect("a header"));
    request
}

/// Sends one request on a connection of its own.
pub(crate) async fn send(addr: SocketAddr, request: Request<Full<Bytes>>) -> Response<Bytes> {
    try_send(addr, request).await.expect("an answer")
}

/// Why there is no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// Nobody listens.
    NotConnected,
    /// The connection was lost with the request on it.
    Lost,
}

/// As [`send`], where it may fail.
pub(crate) async fn try_send(
    addr: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, NoAnswer> {
    let stream = TcpStream::connect(addr).await.map_err(|_| NoAnswer::NotConnected)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| NoAnswer::Lost)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|_| NoAnswer::Lost)?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| NoAnswer::Lost)?.to_bytes();
    drop(sender);
    let _ = connection.await;
    Ok(Response::from_parts(parts, body))
}

/// Writes `request` as it is, and reads until the other end closes.
pub(crate) async fn raw(addr: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    stream.write_all(request.as_ref()).await.expect("it is taken");
    read_all(&mut stream).await
}

/// Whatever still comes.
pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset ends it as well.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn json(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap_or_else(|_| panic!("no JSON: {:?}", response.body()))
}

/// The value of a header, if it is there once.
pub(crate) fn header<'a, B>(response: &'a Response<B>, name: &str) -> Option<&'a str> {
    let mut all = response.headers().get_all(name).iter();
    let first = all.next()?.to_str().expect("text");
    assert!(all.next().is_none(), "{name} is there twice");
    Some(first)
}

/// The account of the call: attempts, certainty, advice, replayed.
pub(crate) fn account<B>(response: &Response<B>) -> (u32, &str, &str, &str) {
    let own = |name: &str| {
        header(response, &format!("x-stripe-egress-{name}")).unwrap_or_else(|| panic!("no {name}"))
    };
    let waited: u64 = own("waited-ms").parse().expect("milliseconds");
    assert!(waited < 60_000);
    (own("attempts").parse().expect("a number"), own("certainty"), own("advice"), own("replayed"))
}

/// The code of an answer of the sidecar's own, whose shape is looked at.
pub(crate) fn code(response: &Response<Bytes>) -> String {
    let body = json(response);
    let error = &body["error"];
    let status = response.status().as_u16();
    let kind =
        if (400..500).contains(&status) && status != 429 { "invalid_request_error" } else { "api_error" };
    assert_eq!(error["type"], kind, "{body}");
    assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{body}");
    assert_eq!(header(response, "stripe-should-retry"), Some("false"));
    assert_eq!(header(response, "content-type"), Some("application/json"));
    error["code"].as_str().expect("a code").to_owned()
}

/// Waits until `holds`, which something on another task makes true.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(millis(2)).await;
        }
    };
    tokio::time::timeout(secs(20), waiting).await.expect("it never held");
}
