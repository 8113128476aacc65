//! An upstream that keeps what it receives, byte for byte, and answers what it is told.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use stripe_sim::Sim;
use tokio::{sync::watch, task::JoinHandle};
use tower::Service;

use super::listener;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What is answered.
type Answer = Arc<dyn Fn(&Received) -> Response<Bytes> + Send + Sync>;

/// See the module's documentation.
pub(crate) struct Upstream {
    addr: SocketAddr,
    received: watch::Sender<Vec<Received>>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Answers what `answer` says.
    pub(crate) async fn answering(
        answer: impl Fn(&Received) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        let answer: Answer = Arc::new(answer);
        Self::start(move |received| {
            let answer = Arc::clone(&answer);
            Box::pin(async move { answer(&received) })
        })
        .await
    }

    /// Answers what the simulator does.
    pub(crate) async fn simulating(sim: Sim) -> Self {
        Self::start(move |received| {
            let mut sim = sim.service();
            Box::pin(async move {
                let mut request = Request::new(Full::new(received.body));
                *request.method_mut() = received.method;
                *request.uri_mut() = received.target.parse().expect("a target");
                *request.headers_mut() = received.headers;
                let (parts, body) = sim.call(request).await.expect("no fault was asked for").into_parts();
                Response::from_parts(parts, body.collect().await.expect("a whole body").to_bytes())
            })
        })
        .await
    }

    async fn start<F>(answer: F) -> Self
    where
        F: Fn(Received) -> std::pin::Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>
            + Send
            + Sync
            + 'static,
    {
        let listener = listener().await;
        let addr = listener.local_addr().expect("an address");
        let received = watch::Sender::new(Vec::new());
        let (keep, answer) = (received.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (keep, answer) = (keep.clone(), Arc::clone(&answer));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (keep, answer) = (keep.clone(), Arc::clone(&answer));
                    async move {
                        let (parts, body) = request.into_parts();
                        let Ok(body) = body.collect().await else {
                            return Ok(Response::new(Full::new(Bytes::new())));
                        };
                        let received = Received {
                            method: parts.method,
                            target: parts.uri.to_string(),
                            headers: parts.headers,
                            body: body.to_bytes(),
                        };
                        keep.send_modify(|all| all.push(received.clone()));
                        Ok::<_, Infallible>(answer(received).await.map(Full::new))
                    }
                });
                tokio::spawn(async move {
                    // A client that goes away is nobody's concern here.
                    let _ = http1::Builder::new()
                        .auto_date_header(false)
                        .header_read_timeout(None)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { addr, received, task }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What arrived, in order.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// What arrived since this was last asked.
    pub(crate) fn take(&self) -> Vec<Received> {
        self.received.send_replace(Vec::new())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer as Stripe gives it.
pub(crate) fn stripe_says(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("request-id", "req_of_upstream")
        .body(body.into())
        .expect("a response")
}
