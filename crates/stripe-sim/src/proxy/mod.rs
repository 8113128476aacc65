//! A TCP proxy on loopback that damages connections on purpose.
//!
//! # What
//!
//! [`FaultProxy`] stands between a client and any upstream address and hands bytes on, both ways, whatever they mean:
//! HTTP/1.1, HTTP/2, TLS. A [`Plan`] says which [`Fault`] each connection meets; a [`Door`] says whether there can be
//! connections at all. [`Stats`] count what happened, and [`FaultProxy::wait_for`] waits for it.
//!
//! # Why
//!
//! The simulator's own faults end an exchange. They cannot show what a client makes of a socket: a reset is not an
//! orderly close, a request may be cut in half, a handshake may hang, a pooled connection may die while it is idle.
//!
//! # When not
//!
//! To lose the answer to one certain request, script the simulator ([`Sim::script`](crate::Sim::script)): the proxy
//! knows connections and bytes, not requests.
//!
//! # Example
//!
//! The first connection is reset when the answer's first byte should arrive; the second is left alone:
//!
//! ```
//! use std::net::Ipv4Addr;
//!
//! use stripe_sim::{
//!     Server, Sim,
//!     proxy::{Direction, Fault, FaultProxy, Plan, Point},
//! };
//! use tokio::{
//!     io::{AsyncReadExt, AsyncWriteExt},
//!     net::TcpStream,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let server = Server::bind(Sim::new(), (Ipv4Addr::LOCALHOST, 0).into()).await?;
//! let proxy = FaultProxy::start(server.addr()).await?;
//! proxy.plan(Plan::none().nth(0, Fault::Reset(Point::Byte(Direction::ToClient, 0))));
//!
//! let request = b"GET /v1/customers HTTP/1.1\r\nhost: sim\r\n\r\n";
//! let mut first = TcpStream::connect(proxy.addr()).await?;
//! first.write_all(request).await?;
//! let lost = first.read(&mut [0; 64]).await.expect_err("it is reset");
//! assert_eq!(lost.kind(), std::io::ErrorKind::ConnectionReset);
//!
//! let mut second = TcpStream::connect(proxy.addr()).await?;
//! second.write_all(request).await?;
//! assert!(second.read(&mut [0; 64]).await? > 0);
//!
//! let stats = proxy.shutdown().await;
//! assert_eq!((stats.connections, stats.faults()), (2, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # What loopback cannot do
//!
//! - The kernel answers a connection attempt before the proxy learns of it. Refused and blackholed attempts are
//!   therefore no faults of a single connection but a state of the [`Door`].
//! - Nothing is lost or reordered below TCP. A stall stands in for lost packets: the peer gets acknowledgements, but no
//!   bytes.
//! - Latency is added to bytes and to the close, not to the handshake of TCP.
//! - A reset overtakes bytes that the receiver has no room for, so "at byte n" is exact as long as the receiver reads
//!   or the bytes before n fit its buffer.
//!
//! # Time
//!
//! Only what a fault simulates takes time, on tokio's clock: latency, bandwidth, a slow close, the limit of a stall.
//! Sockets take real time, so do not pause tokio's clock where a limit is to be long.
//!
//! # How it refuses
//!
//! A connection whose upstream refuses is reset, and counted in [`Stats::upstream_failures`]. A reset of one side is
//! handed on as a reset to the other, a close as a close.

mod connection;
mod door;
mod fault;
mod handle;
mod pace;
mod plan;
mod queue;
mod response;
mod signal;
mod stall;
mod stats;
mod tls;
mod track;

pub use door::Door;
pub use fault::{Direction, Fault, FaultKind, Link, Point};
pub use handle::FaultProxy;
pub use plan::Plan;
pub use stats::Stats;
