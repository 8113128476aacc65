//! How a client is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http_body::Body;
use hyper::rt::{Read, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tower::Service;

use super::{Client, Connector, Resolver};
use crate::vocab::BoxError;

/// The default connector: DNS by the system, TCP, and TLS if the URI is `https`.
pub type Https = HttpsConnector<HttpConnector<Resolver>>;

/// Makes a [`Client`]. The [module docs](super) list the defaults.
#[derive(Clone)]
#[must_use]
pub struct Builder {
    connect_timeout: Duration,
    http2_only: bool,
    http2_ping_interval: Duration,
    http2_ping_timeout: Duration,
    pool_idle_timeout: Duration,
    pool_max_idle_per_host: usize,
    tls_config: Option<ClientConfig>,
}

impl Builder {
    /// Starts with the defaults.
    pub fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            http2_only: false,
            http2_ping_interval: Duration::from_secs(20),
            http2_ping_timeout: Duration::from_secs(10),
            pool_idle_timeout: Duration::from_secs(60),
            pool_max_idle_per_host: 64,
            tls_config: None,
        }
    }

    /// The limit around DNS, TCP and TLS together. Default: 10 s.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Speak HTTP/2 only, without asking by ALPN: what a server without TLS needs. Default: off.
    pub fn http2_only(mut self, only: bool) -> Self {
        self.http2_only = only;
        self
    }

    /// How often HTTP/2 connections are pinged, idle ones too; at least a second. Default: 20 s.
    pub fn http2_ping_interval(mut self, interval: Duration) -> Self {
        self.http2_ping_interval = interval.max(Duration::from_secs(1));
        self
    }

    /// How long the answer to a ping may take before the connection counts as lost. Default: 10 s.
    pub fn http2_ping_timeout(mut self, timeout: Duration) -> Self {
        self.http2_ping_timeout = timeout;
        self
    }

    /// How long a connection may idle before it is closed. Default: 60 s.
    pub fn pool_idle_timeout(mut self, timeout: Duration) -> Self {
        self.pool_idle_timeout = timeout;
        self
    }

    /// How many idle connections are kept per host; 0 turns pooling off. Default: 64.
    pub fn pool_max_idle_per_host(mut self, max: usize) -> Self {
        self.pool_max_idle_per_host = max;
        self
    }

    /// Another TLS configuration: own roots, a client certificate. If it names no protocols for ALPN, `h2` and
    /// `http/1.1` are offered (or `h2` alone, after [`http2_only`](Self::http2_only)). Default: ring, the roots of
    /// webpki, no client certificate.
    pub fn tls_config(mut self, config: ClientConfig) -> Self {
        self.tls_config = Some(config);
        self
    }

    /// A client over the default connector.
    #[must_use]
    pub fn build<B>(self) -> Client<Https, B>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let https = self.https(Resolver::default());
        self.build_with(https)
    }

    /// A client over a connector of your own: any `Service<Uri>` whose connections implement hyper's traits. The
    /// connect limit is put around it; [`tls_config`](Self::tls_config) is not used.
    #[must_use]
    pub fn build_with<C, B>(self, connector: C) -> Client<C, B>
    where
        C: Service<Uri> + Clone + Send + 'static,
        C::Response: Read + Write + Connection + Unpin + Send + 'static,
        C::Error: Into<BoxError>,
        C::Future: Send,
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            // Resending is the business of whoever counts the attempts.
            .retry_canceled_requests(false)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.pool_idle_timeout)
            .pool_max_idle_per_host(self.pool_max_idle_per_host)
            .http2_only(self.http2_only)
            .http2_keep_alive_interval(self.http2_ping_interval)
            .http2_keep_alive_timeout(self.http2_ping_timeout)
            // A connection that died while it idled is found by a ping rather than by a payment.
            .http2_keep_alive_while_idle(true);
        Client::over(builder.build(Connector::new(connector, self.connect_timeout)))
    }

    pub(super) fn https<R>(&self, resolver: R) -> HttpsConnector<HttpConnector<R>> {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(self.pool_idle_timeout));
        // Shared out among the addresses of a host, so that one that is dead does not use up the limit of all.
        tcp.set_connect_timeout(Some(self.connect_timeout));
        let mut tls = self.tls_config.clone().unwrap_or_else(default_tls);
        if tls.alpn_protocols.is_empty() {
            let offered: &[&[u8]] = if self.http2_only { &[b"h2"] } else { &[b"h2", b"http/1.1"] };
            tls.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
        }
        HttpsConnector::from((tcp, tls))
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

// By hand: a TLS configuration may hold the key of a client certificate.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("connect_timeout", &self.connect_timeout)
            .field("http2_only", &self.http2_only)
            .field("http2_ping_interval", &self.http2_ping_interval)
            .field("http2_ping_timeout", &self.http2_ping_timeout)
            .field("pool_idle_timeout", &self.pool_idle_timeout)
            .field("pool_max_idle_per_host", &self.pool_max_idle_per_host)
            .field("tls_config", &self.tls_config.as_ref().map(|_| "custom"))
            .finish()
    }
}

// The provider is named rather than taken from the process, where another library may have installed another one, or
// two of them none at all.
pub(in crate::edge) fn default_tls() -> ClientConfig {
    let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
