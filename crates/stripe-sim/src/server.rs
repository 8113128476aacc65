//! The simulator over TCP: HTTP/1.1 and HTTP/2 with prior knowledge, on one port.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Version};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tower::Service;

use crate::sim::Sim;

/// How long [`Server::shutdown`] waits for exchanges that are going on.
const DRAIN: Duration = Duration::from_secs(10);

/// How long nothing is accepted after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listening simulator. It serves in a background task; dropping it cuts every connection at once.
///
/// A fault that loses the connection resets it on HTTP/1.1, and resets the stream on HTTP/2, where the other streams go
/// on. See [`Fault`](crate::Fault) for what cannot be injected over TCP.
pub struct Server {
    addr: SocketAddr,
    accepted: Arc<AtomicU64>,
    stop: oneshot::Sender<()>,
    task: AbortOnDrop,
}

impl Server {
    /// Listens on `addr`; port 0 takes any free one.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub async fn bind(sim: Sim, addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let accepted = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(listener, sim, Arc::clone(&accepted), stopped));
        Ok(Self { addr, accepted, stop, task: AbortOnDrop(task) })
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
                Ok((stream, _)) => {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    sim.shared.connections.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(serve(stream, sim.clone(), graceful.watcher()));
                }
                // Out of descriptors, most likely: it gets better when a connection ends, not at once.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    let _ = timeout(DRAIN, graceful.shutdown()).await;
}

async fn serve(stream: TcpStream, sim: Sim, watcher: Watcher) {
    // Small answers are not to wait for an acknowledgement. A stream that refuses the option works all the same.
    let _ = stream.set_nodelay(true);
    let lost = Arc::new(AtomicBool::new(false));
    let connection = Connection { stream, lost: Arc::clone(&lost) };
    let service = service_fn(move |request: Request<Incoming>| {
        let lost = Arc::clone(&lost);
        let h1 = request.version() < Version::HTTP_2;
        let response = sim.service().call(request);
        async move {
            let response = response.await;
            if response.is_err() && h1 {
                lost.store(true, Ordering::SeqCst);
            }
            response
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Under paused time a timer would fire while a socket is waited on.
    builder.http1().header_read_timeout(None);
    let serving = builder.serve_connection(TokioIo::new(connection), service).into_owned();
    // A connection that was lost on purpose ends in an error, and so does one whose client went away.
    let _ = watcher.watch(serving).await;
}

/// A TCP stream that is reset instead of closed once it counts as lost.
struct Connection {
    stream: TcpStream,
    lost: Arc<AtomicBool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.lost.load(Ordering::SeqCst) {
            // Where the option is refused the client sees an ordinary close before the response, which is as fatal.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lost.load(Ordering::SeqCst) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
