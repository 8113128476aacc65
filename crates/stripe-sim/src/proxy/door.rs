//! Whether connections can be made at all.

use std::{future::pending, io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long the connection that fills a backlog is waited for at most.
const FILL: Duration = Duration::from_millis(200);

/// Whether connections can be made to a [`FaultProxy`](super::FaultProxy).
///
/// | door | what a client that connects sees |
/// |---|---|
/// | `Open` | a connection |
/// | `Refusing` | `ECONNREFUSED` |
/// | `Silent` | a connection that nobody answers or reads from |
/// | `Blackhole` | nothing: it keeps connecting |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Door {
    /// Connections are accepted.
    #[default]
    Open,
    /// Nothing listens. The port stays reserved: nobody is given it who asks for a free one. Connections that were made
    /// and not yet accepted are reset.
    Refusing,
    /// The kernel makes connections and takes a few bytes, and the proxy does not accept them: what a connection that
    /// waits in the backlog of a hung server looks like. They are accepted once the door opens.
    Silent,
    /// Attempts to connect are dropped, as if the host were not there. On Linux a full backlog does that; elsewhere
    /// it cannot be had on loopback, and asking for it fails. Attempts are repeated by the client's kernel, after a
    /// second at first, so one may still succeed when the door opens.
    Blackhole,
}

/// The listening side.
#[derive(Debug)]
pub(super) struct Gate {
    addr: SocketAddr,
    /// Bound and never listening: it keeps the port while nothing listens on it.
    reserve: Option<TcpSocket>,
    door: Door,
    listener: Option<TcpListener>,
    /// What fills the backlog of a black hole.
    filler: Option<TcpStream>,
}

impl Gate {
    /// Opens a gate on a free port of `addr`'s address, or on its very port.
    pub(super) fn open(addr: SocketAddr) -> io::Result<Self> {
        let reserve = bound(addr)?;
        let addr = reserve.local_addr()?;
        let mut gate = Self { addr, reserve: Some(reserve), door: Door::Open, listener: None, filler: None };
        gate.listener = Some(gate.listen(BACKLOG)?);
        Ok(gate)
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next connection; never one unless the door is open.
    pub(super) async fn accept(&self) -> io::Result<TcpStream> {
        match &self.listener {
            Some(listener) if self.door == Door::Open => Ok(listener.accept().await?.0),
            _ => pending().await,
        }
    }

    /// Turns the door, and returns when that has taken effect.
    pub(super) async fn turn(&mut self, door: Door) -> io::Result<()> {
        if door == Door::Blackhole && !cfg!(target_os = "linux") {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a full backlog drops attempts on Linux alone",
            ));
        }
        let from = std::mem::replace(&mut self.door, door);
        match (from, door) {
            (_, Door::Refusing) => self.close(),
            (Door::Open | Door::Silent, Door::Open | Door::Silent) | (Door::Blackhole, Door::Blackhole) => {}
            (_, Door::Open | Door::Silent) => {
                self.close();
                self.listener = Some(self.listen(BACKLOG)?);
            }
            (_, Door::Blackhole) => {
                self.close();
                // The kernel takes one connection more than it is told to, and drops what comes after it.
                self.listener = Some(self.listen(0)?);
                // A client that came first fills it as well. Then this attempt is dropped, and need not be waited for.
                self.filler = timeout(FILL, TcpStream::connect(self.addr)).await.ok().transpose()?;
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        self.listener = None;
        self.filler = None;
    }

    fn listen(&mut self, backlog: u32) -> io::Result<TcpListener> {
        match bound(self.addr) {
            Ok(socket) => socket.listen(backlog),
            // Some systems let one socket alone have the port: then it cannot be reserved beside a listener.
            Err(error) => match self.reserve.take() {
                Some(socket) => socket.listen(backlog),
                None => Err(error),
            },
        }
    }
}

fn bound(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of an earlier listener are no reason not to listen again.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}
