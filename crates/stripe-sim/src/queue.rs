//! The queue in front of a server that can do only so much, and that can stand still.

use std::{collections::VecDeque, num::NonZeroU32, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};

use crate::{clock::tick, lock::Lock, shared::Shared};

/// Requests that wait for their turn, first come, first served.
#[derive(Debug)]
pub(crate) struct Queue {
    /// How long the server is busy with one request; `None` if that is no time at all.
    each: Option<Duration>,
    line: Lock<Line>,
    weather_changed: Notify,
}

#[derive(Debug, Default)]
struct Line {
    /// In front is the request that the server is busy with.
    waiting: VecDeque<oneshot::Sender<()>>,
    is_served: bool,
}

impl Queue {
    pub(crate) fn new(capacity: Option<NonZeroU32>) -> Self {
        let each = capacity.map(|per_second| Duration::from_secs(1) / per_second.get());
        Self { each, line: Lock::new(Line::default()), weather_changed: Notify::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.line.with(|line| line.waiting.len())
    }

    /// A stall may have ended before its time.
    pub(crate) fn weather_changed(&self) {
        self.weather_changed.notify_waiters();
    }
}

/// Takes a place in the queue. `None` if there is no need to: nobody waits, and nothing takes time.
pub(crate) fn join(sim: &Arc<Shared>) -> Option<oneshot::Receiver<()>> {
    let stalled = sim.stalled_until().is_some();
    let queue = &sim.queue;
    let (turn, begin) = queue.line.with(|line| {
        if queue.each.is_none() && !stalled && line.waiting.is_empty() {
            return None;
        }
        let (turn, receiver) = oneshot::channel();
        line.waiting.push_back(turn);
        Some((receiver, !std::mem::replace(&mut line.is_served, true)))
    })?;
    if begin {
        tokio::spawn(serve(Arc::clone(sim)));
    }
    Some(turn)
}

/// Serves the queue until nobody waits any more.
async fn serve(sim: Arc<Shared>) {
    let queue = &sim.queue;
    let each = queue.each.unwrap_or_default();
    // Timers fire on whole milliseconds. Counting from when a turn should have ended, not from when it did, keeps the
    // capacity what it is.
    let mut due = tick() + each;
    loop {
        if wait_for_clear_weather(&sim).await {
            due = tick() + each;
        }
        sleep_until(Instant::from_std(due)).await;
        if sim.stalled_until().is_some() {
            // What was begun before the stall is begun anew after it.
            continue;
        }
        due += each;
        let is_last = queue.line.with(|line| {
            // A client that has gone is no reason not to do the work: its task waits in its place.
            let _ = line.waiting.pop_front().map(|turn| turn.send(()));
            line.is_served = !line.waiting.is_empty();
            !line.is_served
        });
        if is_last {
            return;
        }
    }
}

/// Returns whether there was a stall to wait for.
async fn wait_for_clear_weather(sim: &Shared) -> bool {
    let mut stalled = false;
    loop {
        let changed = sim.queue.weather_changed.notified();
        let Some(end) = sim.stalled_until() else { return stalled };
        stalled = true;
        tokio::select! {
            biased;
            () = sleep_until(Instant::from_std(end)) => {}
            () = changed => {}
        }
    }
}
