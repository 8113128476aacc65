use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use http::Request;

use super::{
    GuardConfig,
    engine::{Entered, Id, Left, Table, Ticket, Turn as Whose},
    fingerprint::Salt,
};
use crate::vocab::{CallKind, IdempotencyKey, Recorder, Refusal, Replay, certainty::KeyPast, sync::Lock};

/// The most of a body that is looked at.
const MAX_BODY: usize = 1 << 20;

/// The keys of all calls of one layer.
pub(in super::super) struct Guard {
    config: GuardConfig,
    salt: Salt,
    table: Lock<Table<Waker>>,
}

/// How a guarded call goes on.
pub(in super::super) enum Guarded {
    /// It may be sent.
    Go(Option<Turn>),
    /// Another call with its key is under way.
    Wait(Turn),
}

impl Guard {
    pub(in super::super) fn new(config: GuardConfig) -> Self {
        let table = Lock::new(Table::new(config.capacity));
        Self { config, salt: Salt::new(), table }
    }

    /// The deadline of a call that has to wait and brings none.
    pub(in super::super) const fn deadline(&self) -> Option<Duration> {
        self.config.deadline
    }

    /// A call enters with a key of its caller's, which can be used for `life`. `recorder` must know the key by now.
    pub(in super::super) fn enter<B: Replay>(
        self: &Arc<Self>,
        request: &Request<B>,
        key: &IdempotencyKey,
        now: Instant,
        life: Duration,
        recorder: &Recorder,
    ) -> Result<Guarded, Refusal> {
        let Some(body) = request.body().content(MAX_BODY) else {
            tracing::debug!("the body cannot be looked at, and its key is not guarded");
            return Ok(Guarded::Go(None));
        };
        let id = self.salt.id(request.headers(), key);
        let fingerprint = self.salt.fingerprint(request, CallKind::of(request).api, &body);
        let turn = |ticket| Turn { guard: Arc::clone(self), id, ticket, recorder: recorder.clone() };
        match self.table.with(|table| table.enter(now, id, fingerprint, life)) {
            Entered::First(ticket, past) => {
                if let Some(past) = past {
                    recorder.inherit(past == KeyPast::Open);
                }
                Ok(Guarded::Go(Some(turn(ticket))))
            }
            Entered::Wait(ticket) => {
                // Whatever becomes of this one: the other may be executed.
                recorder.inherit(true);
                Ok(Guarded::Wait(turn(ticket)))
            }
            Entered::Reused => {
                recorder.mismatched();
                Err(Refusal::KeyReused)
            }
            Entered::Unguarded => {
                tracing::debug!("too many keys are in flight, and this one is not guarded");
                Ok(Guarded::Go(None))
            }
        }
    }
}

/// Shows nothing of keys and requests.
impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (keys, in_flight) = self.table.with(|table| table.size());
        f.debug_struct("Guard")
            .field("config", &self.config)
            .field("keys", &keys)
            .field("in_flight", &in_flight)
            .finish_non_exhaustive()
    }
}

/// The place of a call among those with its key. Dropped, wherever the call is, it makes room for the next.
pub(in super::super) struct Turn {
    guard: Arc<Guard>,
    id: Id,
    ticket: Ticket,
    recorder: Recorder,
}

impl Turn {
    /// Ready when it is the turn of this call.
    pub(in super::super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let renew = |kept: Option<&Waker>| {
            let unchanged = kept.is_some_and(|kept| kept.will_wake(cx.waker()));
            (!unchanged).then(|| cx.waker().clone())
        };
        // What is replaced is dropped here, without the lock: a waker may own anything.
        match self.guard.table.with(|table| table.turn(&self.id, self.ticket, renew)) {
            Whose::Yours(past) => {
                self.recorder.inherit(past == KeyPast::Open);
                Poll::Ready(())
            }
            Whose::Wait(_replaced) => Poll::Pending,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let past = self.recorder.key_past();
        match self.guard.table.with(|table| table.leave(&self.id, self.ticket, past)) {
            Left::Wake { next, shared } => {
                if shared {
                    // The others come back with this key, so that its caller must not take a new one.
                    self.recorder.not_fresh();
                }
                if let Some(next) = next {
                    next.wake();
                }
            }
            Left::Waited(_) => {}
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.ticket).finish()
    }
}
