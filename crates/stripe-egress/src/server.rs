//! Connections: accepting them, how many there may be, and how they end.

use std::{convert::Infallible, future::Future, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::sleep,
};
use tokio_io_timeout::TimeoutWriter;
use tower_stripe::BoxError;

use crate::settings::Limits;

/// How long nothing is accepted after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How many connections beyond the most are told so at a time; further ones are not even accepted.
const TURNED_AWAY: usize = 64;
/// How long a connection that is being closed is still listened to: a request may be on its way.
const GRACE: Duration = Duration::from_millis(500);

/// How far a server is with stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It accepts connections.
    Serving,
    /// It accepts none, and finishes what it has.
    Closing,
    /// It cuts off what is left.
    Cut,
}

/// Accepts connections until `phase` says otherwise, and returns when the last one has ended: how many had to be cut off.
///
/// `answer` is told whether there is room for the connection that a request comes on.
pub(crate) async fn run<A, F, R>(
    listener: TcpListener,
    limits: Limits,
    room: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
    answer: A,
) -> usize
where
    A: Fn(Request<Incoming>, bool) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<R>> + Send + 'static,
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
    // Aborted with this future: no connection outlives the server.
    let mut connections = JoinSet::new();
    let closing = phase.clone();
    let begin = |stream: TcpStream, place: Place, connections: &mut JoinSet<()>| {
        let answer = answer.clone();
        let there_is_room = place.there_is_room;
        connections.spawn(serve(stream, limits, closing.clone(), place, move |request| {
            answer(request, there_is_room)
        }));
    };
    loop {
        let accepted = tokio::select! {
            () = until(phase.clone(), Phase::Closing) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: it gets better when a connection ends, not at once.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let place = tokio::select! {
            () = until(phase.clone(), Phase::Closing) => break,
            place = place(&room, &turned_away) => place,
        };
        begin(stream, place, &mut connections);
    }
    // Whoever is connected already as far as the system is concerned does not know that nobody accepts any more. The system is
    // asked itself: tokio may not have heard of them yet.
    if let Ok(listener) = listener.into_std() {
        while let Some(stream) = accept_at_once(&listener) {
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { break };
            begin(stream, Place { _permit: permit, there_is_room: true }, &mut connections);
        }
    }
    let all_ended = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = all_ended => 0,
        () = until(phase.clone(), Phase::Cut) => {
            let cut = connections.len();
            connections.shutdown().await;
            cut
        }
    }
}

/// Waits until the server is that far. If nobody can say so any more, it is.
async fn until(mut phase: watch::Receiver<Phase>, wanted: Phase) {
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

/// A place for a connection.
struct Place {
    _permit: OwnedSemaphorePermit,
    there_is_room: bool,
}

async fn place(room: &Arc<Semaphore>, turned_away: &Arc<Semaphore>) -> Place {
    if let Ok(permit) = Arc::clone(room).try_acquire_owned() {
        return Place { _permit: permit, there_is_room: true };
    }
    tokio::select! {
        Ok(permit) = Arc::clone(room).acquire_owned() => Place { _permit: permit, there_is_room: true },
        Ok(permit) = Arc::clone(turned_away).acquire_owned() => Place { _permit: permit, there_is_room: false },
        else => std::future::pending().await,
    }
}

/// The next connection, if there is one; the listener does not block.
fn accept_at_once(listener: &std::net::TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    TcpStream::from_std(stream).ok()
}

/// Serves one connection to its end.
async fn serve<A, F, R>(
    stream: TcpStream,
    limits: Limits,
    phase: watch::Receiver<Phase>,
    place: Place,
    answer: A,
) where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<R>>,
    R: Body + 'static,
    R::Error: Into<BoxError>,
{
    let _place = place;
    // Small answers are not to wait for an acknowledgement. A stream that refuses the option works all the same.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(limits.write_stall));
    let service = service_fn(|request| {
        let answering = answer(request);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // From the end of one request to the end of the head of the next: slow heads and idle connections alike.
        .header_read_timeout(limits.idle)
        .max_header_size(limits.max_header_bytes)
        .max_buf_size(limits.max_header_bytes.max(64 * 1024))
        // What Stripe says comes back as it is.
        .auto_date_header(false);
    if limits.max_headers != Limits::default().max_headers {
        builder.max_headers(limits.max_headers);
    }
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Box::pin(stream)), service));
    // Whatever a connection ends in is its client's affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = until(phase.clone(), Phase::Closing) => {}
    }
    tokio::select! {
        _ = connection.as_mut() => return,
        () = sleep(GRACE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
