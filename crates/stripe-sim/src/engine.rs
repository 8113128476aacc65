//! The simulated Stripe: all its state, and every decision about a request.
//!
//! The order of the gates is Stripe's. Limiters come first and see the API key only as a name to count under; then the
//! API key; then the parameters, as far as they can be judged by themselves; then the key store; then the execution.
//! Whatever is refused before the key store leaves no trace in it.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http::Method;

use crate::{
    answer::{
        Answer, IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED, ORIGINAL_REQUEST, RATE_LIMITED_REASON, SHOULD_RETRY,
    },
    api_error::ApiError,
    chance::Ids,
    clock::unix_seconds,
    command::Command,
    faults::Faults,
    keys::{Begin, KeyStore, Scope, ScopedKey, Stored},
    ledger::Ledger,
    limiter::{Ask, Limiter, Slot},
    limits::Limits,
    log::Exchange,
    plan::Plan,
    request::{Head, Received, is_live},
    route::Route,
    script::Step,
    world::{Outcome, World},
};

const LONGEST_KEY: usize = 255;

/// All of the simulator's state.
pub(crate) struct Engine {
    accounts: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) plan: Plan,
    pub(crate) ledger: Ledger,
    pub(crate) log: Vec<Exchange>,
    limiter: Limiter,
    keys: KeyStore,
    worlds: BTreeMap<Scope, World>,
    ids: Ids,
}

/// A request that arrived: its place in the log, and its id.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    number: usize,
    request_id: String,
}

/// What the gates make of a request.
pub(crate) enum Gate {
    /// It is answered without executing.
    Answered(Answer),
    /// It executes now: [`Engine::finish`] it.
    Executing(Box<Execution>),
}

/// A request in execution.
pub(crate) struct Execution {
    command: Command,
    scope: Scope,
    key: Option<ScopedKey>,
    slot: Slot,
    order: String,
    version: Option<String>,
}

/// How an execution goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    Smooth,
    /// It ends in a 500.
    BreaksDown {
        executed: bool,
    },
}

impl Engine {
    pub(crate) fn new(seed: u64, accounts: Vec<String>, limits: Limits, faults: Faults) -> Self {
        Self {
            accounts,
            limits,
            plan: Plan::new(seed, faults),
            ledger: Ledger::default(),
            log: Vec::new(),
            limiter: Limiter::default(),
            keys: KeyStore::default(),
            worlds: BTreeMap::new(),
            ids: Ids::new(seed),
        }
    }

    /// Enters a request in the log.
    pub(crate) fn arrive(&mut self, head: &Head, at: Instant) -> Visit {
        let request_id = self.ids.request();
        self.log.push(Exchange::new(head, request_id.clone(), at));
        Visit { number: self.log.len() - 1, request_id }
    }

    /// Decides which step a request of `order` takes.
    pub(crate) fn step(&mut self, visit: &Visit, order: &str) -> Step {
        let step = self.plan.next(order);
        self.note(visit, |exchange| {
            order.clone_into(&mut exchange.order);
            exchange.step = step.clone();
        });
        step
    }

    /// Notes what was read of the body.
    pub(crate) fn read(&mut self, visit: &Visit, body: Bytes) {
        self.note(visit, |exchange| exchange.body = body);
    }

    /// The answer as it goes out, with a note of it.
    pub(crate) fn deliver(&mut self, visit: &Visit, answer: Answer) -> Answer {
        self.note(visit, |exchange| exchange.status = Some(answer.status));
        answer.stamped(&visit.request_id, None)
    }

    /// Lets every hidden effect of a broken execution come to light.
    pub(crate) fn settle(&mut self) {
        self.worlds.values_mut().for_each(World::settle);
    }

    /// Handles a request from the first gate to its answer.
    pub(crate) fn handle(
        &mut self,
        visit: &Visit,
        request: &Received,
        course: Course,
        now: SystemTime,
    ) -> Answer {
        match self.begin(visit, request, now) {
            Gate::Answered(answer) => answer,
            Gate::Executing(execution) => self.finish(visit, *execution, course, now),
        }
    }

    /// Takes a request through the gates.
    pub(crate) fn begin(&mut self, visit: &Visit, request: &Received, now: SystemTime) -> Gate {
        let head = &request.head;
        let stamp = |answer: Answer| answer.stamped(&visit.request_id, head.version.as_deref());
        let route = Route::find(&head.method, &head.path);
        let ask = Ask {
            credential: head.credential.as_deref().unwrap_or_default(),
            live: head.live(),
            endpoint: route.as_ref().map_or("other", Route::name),
            search: route == Some(Route::SearchIntents),
            intent: route.as_ref().and_then(Route::updated_intent),
        };
        let slot = match self.limiter.admit(&self.limits, ask, now) {
            Ok(slot) => slot,
            Err(reason) => {
                let answer = Answer::error(&ApiError::rate_limited(reason));
                return Gate::Answered(stamp(answer.with(RATE_LIMITED_REASON, reason.as_str())));
            }
        };
        match self.admitted(request, route, now) {
            Ok((command, scope, key)) => {
                let (order, version) = (request.order.clone(), head.version.clone());
                Gate::Executing(Box::new(Execution { command, scope, key, slot, order, version }))
            }
            Err(answer) => {
                self.limiter.release(slot);
                self.note(visit, |exchange| exchange.replayed = answer.replayed);
                Gate::Answered(stamp(*answer))
            }
        }
    }

    /// The gates behind the limiters.
    fn admitted(
        &mut self,
        request: &Received,
        route: Option<Route>,
        now: SystemTime,
    ) -> Result<(Command, Scope, Option<ScopedKey>), Box<Answer>> {
        let head = &request.head;
        let refuse = |error: ApiError| Box::new(Answer::error(&error));
        let scope = self.authenticate(head).map_err(refuse)?;
        let route = route.ok_or_else(|| refuse(ApiError::no_such_route(head.method.as_str(), &head.path)))?;
        let command = Command::read(route, request).map_err(refuse)?;
        // Keys mean nothing on GET and v1 DELETE.
        let Some(key) = head.key.as_deref().filter(|_| head.method == Method::POST) else {
            return Ok((command, scope, None));
        };
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(refuse(ApiError::key_malformed()));
        }
        let scoped = ScopedKey { scope: scope.clone(), key: key.to_owned() };
        let answer = match self.keys.begin(&scoped, &request.fingerprint(), now) {
            Begin::Execute => return Ok((command, scope, Some(scoped))),
            Begin::Replay(stored) => Box::new(replay(stored)),
            Begin::InUse => refuse(ApiError::key_in_use()),
            Begin::Mismatch => refuse(ApiError::key_mismatch()),
        };
        Err(Box::new(answer.with(IDEMPOTENCY_KEY, key)))
    }

    fn authenticate(&self, head: &Head) -> Result<Scope, ApiError> {
        let credential = head.credential.as_ref().ok_or_else(ApiError::no_credential)?;
        let account = self.accounts.iter().position(|known| known == credential);
        let account = account.ok_or_else(ApiError::unauthorized)?;
        Ok(Scope { account, connected: head.connected.clone() })
    }

    /// Executes a request that came through the gates.
    pub(crate) fn finish(
        &mut self,
        visit: &Visit,
        execution: Execution,
        course: Course,
        now: SystemTime,
    ) -> Answer {
        let Execution { command, scope, key, slot, order, version } = execution;
        self.limiter.release(slot);
        let live = self.accounts.get(scope.account).is_some_and(|credential| is_live(credential));
        let world = self.worlds.entry(scope).or_insert_with(|| World::new(live));
        let (outcome, breaks) = match course {
            Course::BreaksDown { executed: false } => (None, true),
            Course::BreaksDown { executed: true } => {
                (Some(world.run(command, &mut self.ids, unix_seconds(now))), true)
            }
            Course::Smooth => (Some(world.run(command, &mut self.ids, unix_seconds(now))), false),
        };
        let mut executed = false;
        let mut stored = true;
        let mut put = |change| {
            if breaks { world.hide(change) } else { world.apply(change) }
        };
        let smooth = match outcome {
            None => None,
            Some(Outcome::Read(value)) => Some(Answer::ok(&value)),
            Some(Outcome::Done(value, change)) => {
                put(change);
                executed = true;
                self.ledger.executed(&order);
                Some(Answer::ok(&value))
            }
            Some(Outcome::Declined(error, change)) => {
                put(change);
                self.ledger.declined(&order);
                Some(Answer::error(&error))
            }
            Some(Outcome::Refused(error)) => Some(Answer::error(&error)),
            Some(Outcome::Unfit(error)) => {
                stored = false;
                Some(Answer::error(&error))
            }
        };
        // A request that refers to nothing is refused before anything could break.
        let mut answer = match smooth {
            Some(answer) if !breaks || !stored => answer,
            _ => Answer::error(&ApiError::broken()),
        };
        if let Some(key) = key {
            answer = answer.with(IDEMPOTENCY_KEY, &key.key);
            if stored {
                let (status, body) = (answer.status, answer.body.clone());
                self.keys.finish(&key, Stored { status, body, original_request: visit.request_id.clone() });
                answer = bound(answer, &visit.request_id);
            } else {
                self.keys.abandon(&key);
            }
        }
        self.note(visit, |exchange| exchange.executed = executed);
        answer.stamped(&visit.request_id, version.as_deref())
    }

    fn note(&mut self, visit: &Visit, write: impl FnOnce(&mut Exchange)) {
        if let Some(exchange) = self.log.get_mut(visit.number) {
            write(exchange);
        }
    }
}

/// An answer out of the key store.
fn replay(stored: Stored) -> Answer {
    let answer = bound(Answer::stored(stored.status, stored.body), &stored.original_request);
    Answer { replayed: true, ..answer.with(IDEMPOTENT_REPLAYED, "true") }
}

/// The headers of an answer that is final for its key. Stripe says so with `Stripe-Should-Retry`, except on a 500.
fn bound(answer: Answer, original_request: &str) -> Answer {
    let answer = answer.with(ORIGINAL_REQUEST, original_request);
    if answer.status.is_server_error() { answer } else { answer.with(SHOULD_RETRY, "false") }
}
