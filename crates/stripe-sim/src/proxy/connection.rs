//! One connection: the bytes of both directions, and the end.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
};

use super::{
    fault::{Direction, Fault, FaultKind, Link, Point},
    pace::{CHUNK, Pace, after},
    queue::{Item, Queue},
    signal::Listener,
    stall::{Stall, reach},
    stats::{Board, Counted},
    tls,
    track::{Strike, Track, Verdict},
};
use crate::clock::tick;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Both sides are reset.
    Reset,
    /// Both sides are closed in order.
    Cut,
    /// Nothing is left to be said.
    Done,
}

/// What is decided about a connection when it is accepted.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) number: u64,
    pub(super) fault: Fault,
    pub(super) link: Link,
    pub(super) seed: u64,
    pub(super) upstream: SocketAddr,
}

/// Runs a connection to its end.
pub(super) async fn serve(
    client: TcpStream,
    course: Course,
    board: Board,
    mut listener: Listener,
    live: Counted,
) {
    // Dropped last: what is no longer live has closed its sockets.
    let _live = live;
    let (mut client, mut upstream) = (client, None);
    let line = Line::new(board, listener.clone());
    let ending = tokio::select! {
        biased;
        ending = listener.ended() => {
            line.board.fault(if ending == Ending::Cut { FaultKind::Cut } else { FaultKind::Reset });
            ending
        }
        ending = run(&mut client, &mut upstream, &course, &line) => ending,
    };
    match ending {
        Ending::Reset => {
            // Where the option is refused there is an ordinary close, which is as fatal.
            let _ = client.set_zero_linger();
            if let Some(upstream) = &upstream {
                let _ = upstream.set_zero_linger();
            }
        }
        Ending::Cut => {
            tokio::join!(cut(Some(&mut client)), cut(upstream.as_mut()));
        }
        Ending::Done => {}
    }
}

/// Closes in order. What the other side still sends is taken, for bytes left unread would turn the close into a reset.
async fn cut(stream: Option<&mut TcpStream>) {
    if let Some(stream) = stream {
        // Both fail only if the stream is gone already.
        let _ = stream.shutdown().await;
        let _ = tls::drain(stream).await;
    }
}

/// What both directions and the handle share of one connection.
struct Line {
    board: Board,
    listener: Listener,
    /// The upstream has begun to answer.
    answered: AtomicBool,
    /// The client has closed its side.
    client_closed: AtomicBool,
    /// The direction to the client is stalled.
    client_stalled: AtomicBool,
}

impl Line {
    fn new(board: Board, listener: Listener) -> Self {
        Self {
            board,
            listener,
            answered: AtomicBool::new(false),
            client_closed: AtomicBool::new(false),
            client_stalled: AtomicBool::new(false),
        }
    }
}

async fn run(
    client: &mut TcpStream,
    upstream: &mut Option<TcpStream>,
    course: &Course,
    line: &Line,
) -> Ending {
    // Small writes are not to wait for an acknowledgement. A stream that refuses the option works all the same.
    let _ = client.set_nodelay(true);
    match course.fault {
        Fault::Reset(Point::Start) => {
            line.board.fault(FaultKind::Reset);
            Ending::Reset
        }
        Fault::Cut(Point::Start) => {
            line.board.fault(FaultKind::Cut);
            Ending::Cut
        }
        Fault::TlsHang { limit } => hang(client, limit, line).await,
        Fault::TlsAlert(description) => match tls::client_hello(client).await {
            Ok(()) => {
                line.board.fault(FaultKind::TlsAlert);
                ending(tls::alert(client, description).await)
            }
            Err(error) => ending(Err(error)),
        },
        Fault::TlsGarbage => match tls::client_hello(client).await {
            Ok(()) => {
                line.board.fault(FaultKind::TlsGarbage);
                ending(tls::garbage(client).await)
            }
            Err(error) => ending(Err(error)),
        },
        fault => {
            let Ok(connected) = TcpStream::connect(course.upstream).await else {
                line.board.upstream_failed();
                return Ending::Reset;
            };
            let _ = connected.set_nodelay(true);
            if let Fault::Link(_) = fault {
                line.board.fault(FaultKind::Link);
            }
            relay(client, upstream.insert(connected), course, line).await
        }
    }
}

/// How a connection ends that only the client's side ever saw.
fn ending(said: io::Result<()>) -> Ending {
    if said.is_ok() { Ending::Cut } else { Ending::Done }
}

async fn hang(client: &mut TcpStream, limit: Option<Duration>, line: &Line) -> Ending {
    if tls::client_hello(client).await.is_err() {
        return Ending::Done;
    }
    let mut stall = Stall::begin(FaultKind::TlsHang, limit, &line.board, &line.listener);
    tokio::select! {
        () = stall.over() => Ending::Cut,
        _ = tls::drain(client) => Ending::Done,
    }
}

async fn relay(client: &mut TcpStream, upstream: &mut TcpStream, course: &Course, line: &Line) -> Ending {
    let (from_client, to_client) = client.split();
    let (from_upstream, to_upstream) = upstream.split();
    let requests = Pump::new(Direction::ToUpstream, from_client, to_upstream, course, line).run();
    let answers = Pump::new(Direction::ToClient, from_upstream, to_client, course, line).run();
    match tokio::try_join!(requests, answers) {
        Ok(((), ())) => Ending::Done,
        Err(ending) => ending,
    }
}

/// One direction.
struct Pump<'a> {
    direction: Direction,
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    line: &'a Line,
    track: Track,
    pace: Pace,
    queue: Queue,
    stall: Option<Stall>,
}

enum Event {
    Released,
    Due,
    Read(io::Result<usize>),
}

impl<'a> Pump<'a> {
    fn new(
        direction: Direction,
        from: ReadHalf<'a>,
        to: WriteHalf<'a>,
        course: &Course,
        line: &'a Line,
    ) -> Self {
        Self {
            direction,
            from,
            to,
            line,
            track: Track::new(course.fault, direction),
            pace: Pace::new(course.link, course.seed, direction, course.number),
            queue: Queue::default(),
            stall: None,
        }
    }

    /// Hands on until this direction is closed. An error ends the whole connection.
    async fn run(mut self) -> Result<(), Ending> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let most = self.pace.chunk();
            let event = tokio::select! {
                biased;
                () = over(&mut self.stall) => Event::Released,
                () = reach(self.queue.due()), if self.stall.is_none() => Event::Due,
                read = self.from.read(&mut buffer[..most]), if self.queue.has_room() => Event::Read(read),
            };
            match event {
                Event::Released => self.resume(),
                Event::Due => match self.queue.pop() {
                    Some(Item::Data(bytes)) => match self.forward(bytes).await? {
                        Forwarded::Open => {}
                        Forwarded::Closed => return Ok(()),
                    },
                    Some(Item::Close) => return self.close().await,
                    // A reset of one side is a reset of the other.
                    Some(Item::Reset) => return Err(Ending::Reset),
                    None => {}
                },
                Event::Read(Ok(0)) => self.source_ended(Item::Close)?,
                Event::Read(Ok(read)) => {
                    let bytes = Bytes::copy_from_slice(&buffer[..read]);
                    let due = self.pace.arrival(tick(), read);
                    self.queue.push(due, Item::Data(bytes));
                }
                Event::Read(Err(_)) => self.source_ended(Item::Reset)?,
            }
        }
    }

    /// Queues the end behind the bytes before it: it travels over the same link.
    fn source_ended(&mut self, end: Item) -> Result<(), Ending> {
        if self.direction == Direction::ToUpstream {
            self.line.client_closed.store(true, Ordering::SeqCst);
            // Nobody is left to notice the end of the stall.
            if self.stall.is_some() || self.line.client_stalled.load(Ordering::SeqCst) {
                return Err(if matches!(end, Item::Reset) { Ending::Reset } else { Ending::Done });
            }
        }
        let mut due = self.pace.arrival(tick(), 0);
        if matches!(end, Item::Close)
            && let Some(delay) = self.track.close_delay()
        {
            self.line.board.fault(FaultKind::SlowClose);
            due = after(due, delay);
        }
        self.queue.push(due, end);
        Ok(())
    }

    async fn forward(&mut self, mut bytes: Bytes) -> Result<Forwarded, Ending> {
        let answered = self.line.answered.load(Ordering::SeqCst);
        let Verdict { pass, strike } = self.track.admit(&bytes, answered);
        let rest = bytes.split_off(pass);
        self.write(bytes).await?;
        match strike {
            None => {}
            Some(Strike::Reset) => {
                self.line.board.fault(FaultKind::Reset);
                return Err(Ending::Reset);
            }
            Some(Strike::Cut) => {
                self.line.board.fault(FaultKind::Cut);
                return Err(Ending::Cut);
            }
            Some(Strike::HalfClose) => {
                self.line.board.fault(FaultKind::HalfClose);
                self.close().await?;
                return match tls::drain(&mut self.from).await {
                    Ok(()) => Ok(Forwarded::Closed),
                    Err(_) => Err(Ending::Reset),
                };
            }
            Some(Strike::Stall { limit }) => {
                self.queue.push_front(tick(), Item::Data(rest));
                self.begin_stall(limit)?;
            }
        }
        Ok(Forwarded::Open)
    }

    fn begin_stall(&mut self, limit: Option<Duration>) -> Result<(), Ending> {
        let stall = Stall::begin(FaultKind::Stall, limit, &self.line.board, &self.line.listener);
        if self.line.client_closed.load(Ordering::SeqCst) {
            return Err(Ending::Done);
        }
        if self.direction == Direction::ToClient {
            self.line.client_stalled.store(true, Ordering::SeqCst);
        }
        self.stall = Some(stall);
        Ok(())
    }

    fn resume(&mut self) {
        self.stall = None;
        if self.direction == Direction::ToClient {
            self.line.client_stalled.store(false, Ordering::SeqCst);
        }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Ending> {
        let mut rest = &bytes[..];
        if self.direction == Direction::ToClient && !rest.is_empty() {
            self.line.answered.store(true, Ordering::SeqCst);
        }
        while !rest.is_empty() {
            match self.to.write(rest).await {
                Ok(0) | Err(_) => return Err(Ending::Reset),
                Ok(written) => {
                    self.line.board.written(self.direction, written);
                    rest = &rest[written..];
                }
            }
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), Ending> {
        self.to.shutdown().await.map_err(|_| Ending::Reset)
    }
}

/// Whether a direction goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forwarded {
    Open,
    Closed,
}

async fn over(stall: &mut Option<Stall>) {
    match stall {
        Some(stall) => stall.over().await,
        None => pending().await,
    }
}
