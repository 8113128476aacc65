//! A client small enough to hide nothing.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use stripe_sim::{Limits, ResponseFuture, Sim, SimError};
use tower::ServiceExt;

/// A simulator without limits, with the API key `sk_test_sim`.
pub(crate) fn sim() -> Sim {
    Sim::builder().seed(7).limits(Limits::unlimited()).build()
}

/// A request to be.
#[derive(Clone)]
pub(crate) struct Call {
    method: Method,
    path: String,
    form: String,
    headers: Vec<(String, String)>,
}

pub(crate) fn post(path: &str, form: &str) -> Call {
    Call::new(Method::POST, path, form)
}

pub(crate) fn get(path: &str) -> Call {
    Call::new(Method::GET, path, "")
}

pub(crate) fn delete(path: &str) -> Call {
    Call::new(Method::DELETE, path, "")
}

/// The creation of a payment intent that is charged at once.
pub(crate) fn charge(order: &str) -> Call {
    charge_with("pm_card_visa", order)
}

pub(crate) fn charge_with(card: &str, order: &str) -> Call {
    let form = format!("amount=1099&currency=eur&confirm=true&payment_method={card}&metadata[order]={order}");
    post("/v1/payment_intents", &form)
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    fn new(method: Method, path: &str, form: &str) -> Self {
        let authorization = ("authorization".to_owned(), "Bearer sk_test_sim".to_owned());
        Self { method, path: path.to_owned(), form: form.to_owned(), headers: vec![authorization] }
    }

    /// With a header more, or instead.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn request(&self) -> Request<Full<Bytes>> {
        let mut request =
            Request::builder().method(&self.method).uri(format!("http://localhost{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::from(self.form.clone())).expect("the call is well formed")
    }

    /// The exchange up to the head of the response.
    pub(crate) fn start(&self, sim: &Sim) -> ResponseFuture {
        use tower::Service;
        sim.service().call(self.request())
    }

    pub(crate) async fn send(&self, sim: &Sim) -> Result<Reply, SimError> {
        let (head, body) = sim.service().oneshot(self.request()).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Reply { status: head.status, headers: head.headers, body })
    }

    pub(crate) async fn ok(&self, sim: &Sim) -> Reply {
        self.send(sim).await.expect("the simulator answers")
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("the header is text"))
    }

    pub(crate) fn replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// A string out of the body, by JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> Option<String> {
        self.json().pointer(pointer).and_then(Value::as_str).map(str::to_owned)
    }

    pub(crate) fn code(&self) -> Option<String> {
        self.text("/error/code")
    }
}
