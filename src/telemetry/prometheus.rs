//! Metrics for Prometheus: installs an exporter, and serves `/metrics`.
//!
//! # What
//! [`serve`] does it all in one call. [`install`] does without a server, for a service that has one: it gives an [`Exporter`],
//! whose [`render`](Exporter::render) is what to answer with. [`buckets`] is for those who build an exporter of their
//! own.
//!
//! # Why
//! The buckets that an exporter comes with end at 10 s, where Stripe's time limits begin; gauges that are read off must
//! be so before each scrape; and the exporter keeps all samples of a histogram until somebody scrapes, or looks after
//! it.
//!
//! # When not
//! Where a recorder is installed already, as by the service's own metrics: there can be only one in a process, and this
//! one's metrics go to that one as well. Use [`buckets`] on its builder, and [`sample`] before each scrape.
//!
//! # Example
//! ```no_run
//! use tower_stripe::{StripeTransport, edge::hyper_util, telemetry::prometheus};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), prometheus::ServeError> {
//! let serving = prometheus::serve(([127, 0, 0, 1], 9464).into()).await?; // before the transport is made
//! let stripe = StripeTransport::new(hyper_util::Client::new());
//! println!("http://{}/metrics", serving.local_addr());
//! # let _ = stripe;
//! # Ok(())
//! # }
//! ```
//!
//! # Exemplars
//! There are none. The `metrics` facade cannot carry them, and what would be in them, trace and request ids, stands in
//! the spans and in the log line of each call, where it can be searched.
//!
//! # Defaults
//! A connection is for one request, and gets 10 s, so that whoever sends nothing, or reads nothing, keeps nobody else
//! out for longer; at most 16 are served at a time. Nothing but `GET /metrics` is answered.
//!
//! # How it refuses
//! With [`InstallError`] where another recorder is installed, and [`ServeError`] where the address cannot be listened
//! on.

use std::{convert::Infallible, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, header::ALLOW, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};

use super::sample;
use crate::vocab::metric::{ALL, MetricKind};

/// For a connection in all: as long as Prometheus waits by default.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 16;
const UPKEEP: Duration = Duration::from_secs(5);
/// After an error of the listener, as of too many open files, which passes by itself.
const PAUSE: Duration = Duration::from_millis(100);

/// Sets the buckets of this crate's histograms on an exporter's builder.
///
/// ```
/// use metrics_exporter_prometheus::PrometheusBuilder;
/// use tower_stripe::telemetry::prometheus;
///
/// let builder = prometheus::buckets(PrometheusBuilder::new()).add_global_label("region", "eu");
/// # let _ = builder;
/// ```
#[must_use]
pub fn buckets(builder: PrometheusBuilder) -> PrometheusBuilder {
    ALL.iter().fold(builder, |builder, metric| match metric.kind {
        MetricKind::Histogram(bounds) => {
            let matcher = Matcher::Full(metric.name.to_owned());
            builder.set_buckets_for_metric(matcher, bounds).expect("the bounds of a metric are not none")
        }
        _ => builder,
    })
}

/// Installs an exporter as the recorder of the process. Do so before transports are made: those made before report
/// nothing.
///
/// # Errors
/// [`InstallError`], when there is a recorder already.
pub fn install() -> Result<Exporter, InstallError> {
    buckets(PrometheusBuilder::new())
        .install_recorder()
        .map(|handle| Exporter { handle })
        .map_err(|_| InstallError(()))
}

/// Installs an exporter, and serves what it has under `/metrics`, in a task of its own. Port 0 is one that is free.
///
/// # Errors
/// [`ServeError`], when there is a recorder already, or the address cannot be listened on. Then none is installed.
///
/// # Panics
/// Outside of a tokio runtime with I/O and timers.
pub async fn serve(address: SocketAddr) -> Result<Serving, ServeError> {
    let cannot_listen = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let exporter = install().map_err(ServeError::Install)?;
    let task = tokio::spawn(exporter.clone().run(listener));
    Ok(Serving { exporter, address, task })
}

/// Gives the metrics as text. Clones are of the same.
#[derive(Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
}

impl Exporter {
    /// The type of what [`render`](Self::render) gives.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// All metrics of the process, up to date, in Prometheus' text format. Have it asked for every minute at least:
    /// until then the samples of histograms are kept one by one.
    #[must_use]
    pub fn render(&self) -> String {
        sample();
        self.handle.render()
    }

    /// Serves `/metrics` for as long as it is polled.
    pub async fn run(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut upkeep = tokio::time::interval(UPKEEP);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = upkeep.tick() => {
                    self.handle.run_upkeep();
                    continue;
                }
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            // Who comes when all places are taken is turned away: it is a scraper, and comes again.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let exporter = self.clone();
            tokio::spawn(async move {
                let _place = place;
                exporter.answer_over(stream).await;
            });
        }
    }

    async fn answer_over(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| self.answer(request));
        let exchange =
            http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
        // What goes wrong is the scraper's business.
        let _ = timeout(PATIENCE, exchange).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let mut response = Response::new(Full::default());
        if request.uri().path() != "/metrics" {
            *response.status_mut() = StatusCode::NOT_FOUND;
            *response.body_mut() = Full::from("not found: the metrics are at /metrics\n");
        } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        } else {
            response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(Self::CONTENT_TYPE));
            *response.body_mut() = Full::from(self.render());
        }
        Ok(response)
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// A server of `/metrics` that runs. Dropping this does not stop it.
#[derive(Debug)]
pub struct Serving {
    exporter: Exporter,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Serving {
    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Gives the same text without asking the server.
    #[must_use]
    pub const fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// Stops the server, and what looks after the histograms: have the text [rendered](Exporter::render) now and then,
    /// since what is counted goes on to be.
    pub fn stop(self) {
        self.task.abort();
    }
}

/// There is a recorder in this process already: see the [module docs](self) for what to do with that.
#[derive(Debug)]
pub struct InstallError(());

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a metrics recorder is installed in this process already, and there can be only one")
    }
}

impl std::error::Error for InstallError {}

/// Why `/metrics` cannot be served.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// There is a recorder already.
    Install(InstallError),
    /// The address cannot be listened on.
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Install(error) => fmt::Display::fmt(error, f),
            Self::Listen { address, .. } => write!(f, "cannot listen on {address} to serve /metrics"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Install(_) => None,
            Self::Listen { source, .. } => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_nothing_or_reads_nothing_gives_its_place_back() {
        for request in ["", "GET /met", "GET /metrics HTTP/1.1\r\n\r\n"] {
            let exporter = Exporter { handle: PrometheusBuilder::new().build_recorder().handle() };
            // Room for the request, and not for the answer.
            let (mut scraper, served) = duplex(32);
            scraper.write_all(request.as_bytes()).await.unwrap();
            let connection = timeout(Duration::from_secs(3_600), exporter.answer_over(served));
            connection.await.unwrap_or_else(|_| panic!("it is cut off after {request:?}"));
        }
    }
}
