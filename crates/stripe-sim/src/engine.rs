//! The simulated Stripe: all its state, and every decision about a request.
//!
//! The order of the gates is Stripe's. Limiters come first and see the API key only as a name to count under; then the
//! API key; then the parameters, as far as they can be judged by themselves; then the key store; then the execution.
//! Whatever is refused before the key store leaves no trace in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::Method;

use crate::{
    answer::{Answer, IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED, RATE_LIMITED_REASON, SHOULD_RETRY},
    api_error::ApiError,
    chance::Ids,
    clock::unix_seconds,
    command::Command,
    execution::{Admitted, Course, Execution, HeldKey, bound},
    expand::Expansions,
    faults::Faults,
    keys::{Begin, KeyStore, Scope, ScopedKey, Stored},
    ledger::Ledger,
    limiter::{Ask, Limiter},
    limits::Limits,
    log::Exchange,
    notice::Notice,
    oauth::{Endpoint, Grants},
    plan::Plan,
    request::{Api, Head, Received, is_live, is_read},
    route::Route,
    scenario::Target,
    script::Step,
    strict, v2,
    world::World,
};

const LONGEST_KEY: usize = 255;

/// All of the simulator's state.
pub(crate) struct Engine {
    /// Accounts by the API key that each began with.
    pub(crate) accounts: Vec<String>,
    /// The API keys that accounts have got since.
    rolled: BTreeMap<String, usize>,
    /// The API keys that are not accepted any more.
    expired: BTreeSet<String>,
    pub(crate) limits: Limits,
    pub(crate) plan: Plan,
    pub(crate) ledger: Ledger,
    pub(crate) log: Vec<Exchange>,
    pub(crate) limiter: Limiter,
    pub(crate) keys: KeyStore,
    pub(crate) keys_v2: v2::KeyStore<v2::Subject>,
    pub(crate) worlds: BTreeMap<Scope, World>,
    pub(crate) ids: Ids,
    pub(crate) grants: Grants,
    /// The objects that requests in execution are changing.
    pub(crate) locks: BTreeSet<(Scope, String)>,
    pub(crate) notice: Notice,
    /// Whether unknown parameters are refused.
    pub(crate) strict: bool,
}

/// A request that arrived: its place in the log, and its id.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    number: usize,
    pub(crate) request_id: String,
}

/// What the gates make of a request.
pub(crate) enum Gate {
    /// It is answered without executing.
    Answered(Answer),
    /// It executes now: [`Engine::finish`] it.
    Executing(Box<Execution>),
}

impl Engine {
    pub(crate) fn new(seed: u64, accounts: Vec<String>, limits: Limits, faults: Faults) -> Self {
        Self {
            accounts,
            rolled: BTreeMap::new(),
            expired: BTreeSet::new(),
            limits,
            plan: Plan::new(seed, faults),
            ledger: Ledger::default(),
            log: Vec::new(),
            limiter: Limiter::default(),
            keys: KeyStore::default(),
            keys_v2: v2::KeyStore::default(),
            worlds: BTreeMap::new(),
            ids: Ids::new(seed),
            grants: Grants::default(),
            locks: BTreeSet::new(),
            notice: Notice::default(),
            strict: false,
        }
    }

    /// Enters a request in the log.
    pub(crate) fn arrive(&mut self, head: &Head, arrived: Instant, at: Duration) -> Visit {
        let request_id = self.ids.request();
        self.log.push(Exchange::new(head, request_id.clone(), arrived, at));
        Visit { number: self.log.len() - 1, request_id }
    }

    /// Decides which step a request of `order` takes, and how long it takes if it passes.
    pub(crate) fn step(&mut self, visit: &Visit, head: &Head, order: &str, now: Instant) -> (Step, Duration) {
        let operation = operation(head, Route::find(&head.method, &head.path).as_ref());
        let target = Target { operation, is_read: is_read(&head.method) };
        let (step, latency) = self.plan.next(order, target, now);
        self.note(visit, |exchange| {
            order.clone_into(&mut exchange.order);
            exchange.step = step.clone();
        });
        (step, latency)
    }

    /// Notes what was read of the body.
    pub(crate) fn read(&mut self, visit: &Visit, body: Bytes) {
        self.note(visit, |exchange| exchange.body = body);
    }

    /// The answer as it goes out, with a note of it.
    pub(crate) fn deliver(&mut self, visit: &Visit, answer: Answer) -> Answer {
        self.note(visit, |exchange| exchange.status = Some(answer.status));
        let answer = self.notice.attach(answer);
        answer.stamped(&visit.request_id, None)
    }

    /// Lets every hidden effect of a broken execution come to light.
    pub(crate) fn settle(&mut self, now: SystemTime) {
        for world in self.worlds.values_mut() {
            world.settle(&mut self.ids, unix_seconds(now));
        }
    }

    /// Lets the customer of a payment intent authenticate, or fail to.
    pub(crate) fn customer_acts(&mut self, intent: &str, passed: bool, now: SystemTime) -> bool {
        let now = unix_seconds(now);
        self.worlds.values_mut().any(|world| world.authenticate(intent, passed, &mut self.ids, now))
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
        let oauth = Endpoint::find(head.method.as_str(), &head.path);
        let credential = head.credential.as_deref().unwrap_or_default();
        // All keys of an account share its limits.
        let account = self.account(credential).and_then(|account| self.accounts.get(account));
        let ask = Ask {
            credential: account.map_or(credential, String::as_str),
            live: head.live(),
            endpoint: operation(head, route.as_ref()),
            search: route.as_ref().is_some_and(Route::is_search),
            intent: route.as_ref().and_then(Route::updated_intent),
        };
        let slot = match self.limiter.admit(&self.limits, ask, now) {
            Ok(slot) => slot,
            Err(reason) => {
                let answer = Answer::error(&ApiError::rate_limited(reason).for_api(head.api));
                return Gate::Answered(stamp(answer.with(RATE_LIMITED_REASON, reason.as_str())));
            }
        };
        if let Some(endpoint) = oauth {
            self.limiter.release(slot);
            return Gate::Answered(stamp(self.oauth(visit, request, endpoint)));
        }
        match self.admitted(request, route, now) {
            Ok(admitted) => {
                let (order, version, api) = (request.order.clone(), head.version.clone(), head.api);
                Gate::Executing(Box::new(Execution { admitted, api, slot, order, version }))
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
    ) -> Result<Admitted, Box<Answer>> {
        let head = &request.head;
        let refuse = |error: ApiError| Box::new(Answer::error(&error.for_api(head.api)));
        let scope = self.authenticate(head).map_err(refuse)?;
        let route = route.ok_or_else(|| refuse(ApiError::no_such_route(head.method.as_str(), &head.path)))?;
        let expand = if head.api == Api::V2 {
            Expansions::default()
        } else {
            Expansions::read(if head.method == Method::POST { &request.form } else { &head.query })
                .map_err(refuse)?
        };
        if self.strict {
            strict::check(&route, request).map_err(refuse)?;
        }
        let locked = route.locked(&request.form).map(str::to_owned);
        let command = Command::read(route, request).map_err(refuse)?;
        let lock = locked.map(|object| (scope.clone(), object));
        let Some(key) = head.key.as_deref().filter(|_| head.takes_keys()) else {
            self.lock(lock.as_ref(), head.api)?;
            return Ok(Admitted { command, expand, scope, key: None, lock });
        };
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(refuse(ApiError::key_malformed()));
        }
        let scoped = ScopedKey { scope: scope.clone(), key: key.to_owned() };
        let begun = match head.api {
            Api::V1 => self.take_v1(scoped, &request.fingerprint(), now),
            Api::V2 => self.take_v2(scoped, &request.fingerprint(), now),
        };
        match begun {
            Ok(held) => {
                if let Err(answer) = self.lock(lock.as_ref(), head.api) {
                    self.give_back(&held);
                    return Err(answer);
                }
                Ok(Admitted { command, expand, scope, key: Some(held), lock })
            }
            Err(answer) => Err(Box::new(answer.with(IDEMPOTENCY_KEY, key))),
        }
    }

    /// Takes the lock on the object that a request changes. Stripe waits for it a while before it gives up; here it does
    /// not wait at all.
    fn lock(&mut self, lock: Option<&(Scope, String)>, api: Api) -> Result<(), Box<Answer>> {
        match lock {
            Some(lock) if !self.locks.insert(lock.clone()) => {
                let answer = Answer::error(&ApiError::lock_timeout().for_api(api)).with(SHOULD_RETRY, "true");
                // What answers here knows nothing of requests: it sends no id.
                Err(Box::new(Answer { stripes: false, ..answer }))
            }
            _ => Ok(()),
        }
    }

    fn oauth(&mut self, visit: &Visit, request: &Received, endpoint: Endpoint) -> Answer {
        let secret = request.head.credential.as_deref().or_else(|| request.form.get("client_secret"));
        let known = secret.is_some_and(|secret| self.account(secret).is_some());
        let live = secret.is_some_and(is_live);
        let (answer, done) = self.grants.handle(endpoint, &request.form, known, live, &mut self.ids);
        if done {
            self.ledger.executed(&request.order);
            self.note(visit, |exchange| exchange.executed = true);
        }
        answer
    }

    fn take_v1(
        &mut self,
        key: ScopedKey,
        fingerprint: &str,
        now: SystemTime,
    ) -> Result<HeldKey, Box<Answer>> {
        match self.keys.begin(&key, fingerprint, now) {
            Begin::Execute => Ok(HeldKey::V1(key)),
            Begin::Replay(stored) => Err(Box::new(replay(stored))),
            Begin::InUse => Err(Box::new(Answer::error(&ApiError::key_in_use()))),
            Begin::Mismatch => Err(Box::new(Answer::error(&ApiError::key_mismatch()))),
        }
    }

    fn take_v2(
        &mut self,
        key: ScopedKey,
        fingerprint: &str,
        now: SystemTime,
    ) -> Result<HeldKey, Box<Answer>> {
        let refuse = |error: ApiError| Err(Box::new(Answer::error(&error.for_api(Api::V2))));
        match self.keys_v2.begin(&key, fingerprint, now) {
            v2::Begin::Execute(achieved) => Ok(HeldKey::V2 { key, achieved }),
            v2::Begin::Replay(achieved) => {
                let shown = self.worlds.get(&key.scope).map(|world| world.show(&achieved));
                match shown {
                    // Whether v2 marks a replay is not known, so nothing here does: the harder case for a client.
                    Some(Ok(value)) => Err(Box::new(Answer { replayed: true, ..Answer::ok(&value) })),
                    Some(Err(error)) => refuse(error),
                    None => refuse(ApiError::broken()),
                }
            }
            v2::Begin::InUse => refuse(ApiError::key_in_use()),
            v2::Begin::Mismatch => refuse(ApiError::key_mismatch()),
        }
    }

    /// The account that has this API key.
    fn account(&self, key: &str) -> Option<usize> {
        if self.expired.contains(key) {
            return None;
        }
        let first = self.accounts.iter().position(|known| known == key);
        first.or_else(|| self.rolled.get(key).copied())
    }

    pub(crate) fn roll_key(&mut self, key: &str, new: String) -> bool {
        let account = self.account(key);
        if let Some(account) = account {
            self.expired.remove(&new);
            self.rolled.insert(new, account);
        }
        account.is_some()
    }

    pub(crate) fn expire_key(&mut self, key: &str) -> bool {
        self.account(key).is_some() && self.expired.insert(key.to_owned())
    }

    fn authenticate(&self, head: &Head) -> Result<Scope, ApiError> {
        let credential = head.credential.as_ref().ok_or_else(ApiError::no_credential)?;
        let account = self.account(credential).ok_or_else(ApiError::unauthorized)?;
        Ok(Scope { account, connected: head.connected.clone() })
    }

    pub(crate) fn note(&mut self, visit: &Visit, write: impl FnOnce(&mut Exchange)) {
        if let Some(exchange) = self.log.get_mut(visit.number) {
            write(exchange);
        }
    }
}

/// The name of what a request is for.
fn operation(head: &Head, route: Option<&Route>) -> &'static str {
    let oauth = || Endpoint::find(head.method.as_str(), &head.path).map(Endpoint::name);
    route.map(Route::name).or_else(oauth).unwrap_or("other")
}

/// An answer out of the key store.
fn replay(stored: Stored) -> Answer {
    let answer = bound(Answer::stored(stored.status, stored.body), &stored.original_request);
    Answer { replayed: true, ..answer.with(IDEMPOTENT_REPLAYED, "true") }
}
