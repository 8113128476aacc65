//! The simulator over TCP: HTTP/1.1 and HTTP/2 on one port, with prior knowledge or, with the feature `tls`, by ALPN.

use std::{
    error::Error,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, Version};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tower::Service;

use crate::{
    body::SimBody,
    control,
    error::SimErrorKind,
    faults::Fault,
    sim::Sim,
    wire::{Resettable, Signals, Slipping},
};

/// How long [`Server::shutdown`] waits for exchanges that are going on.
const DRAIN: Duration = Duration::from_secs(10);

/// How long nothing is accepted after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listening simulator. It serves in a background task; dropping it cuts every connection at once.
///
/// A fault that loses the connection resets it on HTTP/1.1, and resets the stream on HTTP/2, where the other streams go
/// on. See [`Fault`](crate::Fault) for what cannot be injected over TCP.
///
/// Clients on the same machine find the simulator itself under `/_sim/`: `ledger`, `log`, `clock`, `settle`, `faults`,
/// `script`, `scenario` and `authenticate`, as JSON. The crate's README tells what they take.
pub struct Server {
    addr: SocketAddr,
    accepted: Arc<AtomicU64>,
    stop: oneshot::Sender<()>,
    task: AbortOnDrop,
    #[cfg(feature = "tls")]
    certificate: Option<Vec<u8>>,
}

/// What stands between TCP and HTTP.
#[derive(Clone)]
enum Security {
    None,
    #[cfg(feature = "tls")]
    Tls(tokio_rustls::TlsAcceptor),
}

impl Server {
    /// Listens on `addr`; port 0 takes any free one.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub async fn bind(sim: Sim, addr: SocketAddr) -> io::Result<Self> {
        Self::listen(sim, addr, Security::None).await
    }

    /// Listens on `addr` with TLS, and negotiates HTTP/2 or HTTP/1.1. The certificate is made on the spot and valid for
    /// `localhost`, the loopback addresses and Stripe's hosts: see [`Server::certificate`].
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on, or no certificate be made.
    #[cfg(feature = "tls")]
    pub async fn bind_tls(sim: Sim, addr: SocketAddr) -> io::Result<Self> {
        let (acceptor, certificate) = crate::tls::acceptor()?;
        let server = Self::listen(sim, addr, Security::Tls(acceptor)).await?;
        Ok(Self { certificate: Some(certificate), ..server })
    }

    /// The certificate that it shows, as DER: what a client has to trust. `None` without TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    async fn listen(sim: Sim, addr: SocketAddr, security: Security) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let accepted = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(listener, sim, security, Arc::clone(&accepted), stopped));
        Ok(Self {
            addr,
            accepted,
            stop,
            task: AbortOnDrop(task),
            #[cfg(feature = "tls")]
            certificate: None,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections it has accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Stops accepting, lets the exchanges that are going on finish for up to ten seconds, and closes.
    pub async fn shutdown(self) {
        let Self { stop, mut task, .. } = self;
        // Both fail only if the task is gone already.
        let _ = stop.send(());
        let _ = (&mut task.0).await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addr", &self.addr).finish_non_exhaustive()
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept(
    listener: TcpListener,
    sim: Sim,
    security: Security,
    accepted: Arc<AtomicU64>,
    mut stopped: oneshot::Receiver<()>,
) {
    let graceful = GracefulShutdown::new();
    // Aborted with this task: no connection outlives the server.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepting = listener.accept() => match accepting {
                Ok((stream, peer)) => {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    sim.shared.connections.fetch_add(1, Ordering::SeqCst);
                    let handler = Handler { sim: sim.clone(), signals: Signals::new(), local: peer.ip().is_loopback() };
                    connections.spawn(secure(stream, handler, security.clone(), graceful.watcher()));
                }
                // Out of descriptors, most likely: it gets better when a connection ends, not at once.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    let _ = timeout(DRAIN, graceful.shutdown()).await;
}

async fn secure(stream: TcpStream, handler: Handler, security: Security, watcher: Watcher) {
    // Small answers are not to wait for an acknowledgement. A stream that refuses the option works all the same.
    let _ = stream.set_nodelay(true);
    let stream = Resettable::new(stream, Arc::clone(&handler.signals));
    match security {
        Security::None => serve(stream, handler, watcher).await,
        #[cfg(feature = "tls")]
        Security::Tls(acceptor) => {
            // A client that fails the handshake is told so by it, and is nobody's concern here.
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, handler, watcher).await;
            }
        }
    }
}

async fn serve<T>(stream: T, handler: Handler, watcher: Watcher)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = Slipping::new(stream, Arc::clone(&handler.signals));
    let service = service_fn(move |request: Request<Incoming>| {
        // After a GOAWAY the client takes every later stream for refused, so it has to be.
        let number = handler.signals.next_stream();
        let handler = handler.clone();
        async move {
            match number {
                Some(number) => handler.handle(request, number).await,
                None => Err(Lost::refused()),
            }
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Under paused time a timer would fire while a socket is waited on.
    builder.http1().header_read_timeout(None);
    let serving = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    // A connection that was lost on purpose ends in an error, and so does one whose client went away.
    let _ = watcher.watch(serving).await;
}

/// What handles the requests of one connection.
#[derive(Clone)]
struct Handler {
    sim: Sim,
    signals: Arc<Signals>,
    /// The client is on the same machine.
    local: bool,
}

impl Handler {
    async fn handle(self, request: Request<Incoming>, number: u32) -> Result<Response<SimBody>, Lost> {
        if self.local && request.uri().path().starts_with(control::PATH) {
            return Ok(control::handle(&self.sim, request).await);
        }
        let h1 = request.version() < Version::HTTP_2;
        self.sim.service().call(request).await.map_err(|error| {
            if h1 {
                self.signals.lose();
            }
            if error.kind() != SimErrorKind::Refused {
                return Lost { reason: None };
            }
            if error.fault() == Fault::GoAway {
                self.signals.go_away_before(number);
            }
            Lost::refused()
        })
    }
}

/// Why a request gets no response. hyper looks for the reason to reset a stream with among the sources.
#[derive(Debug)]
struct Lost {
    reason: Option<h2::Error>,
}

impl Lost {
    fn refused() -> Self {
        Self { reason: Some(h2::Reason::REFUSED_STREAM.into()) }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulator lost this request")
    }
}

impl Error for Lost {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.as_ref().map(|reason| reason as _)
    }
}
