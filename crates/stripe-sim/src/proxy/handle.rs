//! The handle of a proxy, and the task that accepts.

use std::{
    collections::VecDeque,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::{
    connection::{Course, serve},
    door::{Door, Gate},
    fault::Fault,
    plan::Plan,
    signal::Signals,
    stats::{Board, Stats},
};
use crate::lock::Lock;

/// How long nothing is accepted after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A proxy on loopback that damages the connections to one upstream. See the [module's documentation](super).
///
/// It runs in a background task; dropping it aborts that task and every connection.
pub struct FaultProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    task: AbortOnDrop,
}

struct Shared {
    upstream: SocketAddr,
    board: Board,
    signals: Signals,
    setup: Lock<Setup>,
}

#[derive(Default)]
struct Setup {
    plan: Plan,
    script: VecDeque<Fault>,
}

/// Turn the door, and say when that is done.
type Command = (Door, oneshot::Sender<io::Result<()>>);

impl FaultProxy {
    /// Listens on a free port of `127.0.0.1`, in front of `upstream`, which is connected to for each connection anew.
    /// No faults, the door open.
    ///
    /// # Errors
    ///
    /// If no port can be listened on.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let gate = Gate::open((Ipv4Addr::LOCALHOST, 0).into())?;
        let addr = gate.addr();
        let shared = Arc::new(Shared {
            upstream,
            board: Board::new(),
            signals: Signals::new(),
            setup: Lock::new(Setup::default()),
        });
        let (commands, received) = mpsc::channel(1);
        let task = tokio::spawn(accept(gate, Arc::clone(&shared), received));
        Ok(Self { addr, shared, commands, task: AbortOnDrop(task) })
    }

    /// Where it listens. That stays the same whatever the door does.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Replaces the plan for connections that are accepted from now on. Those that are live keep the fault they have.
    pub fn plan(&self, plan: Plan) {
        self.shared.setup.with(|setup| setup.plan = plan);
    }

    /// Replaces the script: the next connections meet these faults, one each, and those after them what is planned.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        let script = faults.into_iter().collect();
        self.shared.setup.with(|setup| setup.script = script);
    }

    /// Turns the door, and returns when that has taken effect. Connections that are live go on.
    ///
    /// # Errors
    ///
    /// If the system has no such door (see [`Door::Blackhole`]): then it stays as it is. If the port can no longer be
    /// listened on: then nothing listens until the door is turned again.
    pub async fn door(&self, door: Door) -> io::Result<()> {
        let (reply, replied) = oneshot::channel();
        let gone = || io::Error::other("the runtime of the proxy is gone");
        self.commands.send((door, reply)).await.map_err(|_| gone())?;
        replied.await.map_err(|_| gone())?
    }

    /// Ends every stall and every hanging handshake that is going on.
    pub fn release(&self) {
        self.shared.signals.release();
    }

    /// Resets both sides of every connection that is live: accepted, that is, so wait for [`Stats::connections`] first.
    /// An upstream that is just being connected to, and was sent nothing, may see an orderly end instead.
    pub fn reset_all(&self) {
        self.shared.signals.reset();
    }

    /// Closes both sides of every connection that is live in order, as [`Fault::Cut`] does.
    pub fn cut_all(&self) {
        self.shared.signals.cut();
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.board.stats()
    }

    /// Waits until `holds` of the stats, and returns those it holds of.
    pub async fn wait_for(&self, holds: impl FnMut(&Stats) -> bool) -> Stats {
        self.shared.board.wait_for(holds).await
    }

    /// Closes the listener and every connection, and returns when all sockets and tasks are gone.
    pub async fn shutdown(self) -> Stats {
        let Self { shared, commands, mut task, .. } = self;
        drop(commands);
        // It fails only if the task is gone already.
        let _ = (&mut task.0).await;
        shared.board.stats()
    }
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultProxy")
            .field("addr", &self.addr)
            .field("upstream", &self.shared.upstream)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept(mut gate: Gate, shared: Arc<Shared>, mut commands: mpsc::Receiver<Command>) {
    // Aborted with this task: no connection outlives the proxy.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some((door, reply)) => {
                    // Whoever asked may have gone.
                    let _ = reply.send(gate.turn(door).await);
                }
                None => break,
            },
            Some(_) = connections.join_next() => {}
            accepting = gate.accept() => match accepting {
                Ok(stream) => {
                    let _ = connections.spawn(begin(stream, &shared));
                }
                // Out of descriptors, most likely: it gets better when a connection ends, not at once.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(gate);
    connections.shutdown().await;
}

/// Counts a connection, decides about it, and returns the rest of its life.
fn begin(stream: TcpStream, shared: &Shared) -> impl Future<Output = ()> + use<> {
    // This task alone accepts, so that the count is the number of the connection.
    let number = shared.board.stats().connections;
    let (fault, link, seed) = shared.setup.with(|setup| {
        let fault = setup.script.pop_front().unwrap_or_else(|| setup.plan.for_connection(number));
        (fault, setup.plan.link_under(fault), setup.plan.seed_of_jitter())
    });
    let course = Course { number, fault, link, seed, upstream: shared.upstream };
    // Before it counts as accepted: who waits for that and then gives a signal must be heard.
    let listener = shared.signals.listen();
    let live = shared.board.accepted();
    serve(stream, course, shared.board.clone(), listener, live)
}
