//! What happens to a request that came through the gates.

use std::time::SystemTime;

use serde_json::Value;

use crate::{
    answer::{Answer, IDEMPOTENCY_KEY, ORIGINAL_REQUEST, SHOULD_RETRY},
    api_error::ApiError,
    chance::Ids,
    clock::unix_seconds,
    command::Command,
    engine::{Engine, Visit},
    expand::Expansions,
    keys::{Scope, ScopedKey, Stored},
    limiter::Slot,
    objects::Cause,
    request::{Api, is_live},
    v2::Subject,
    world::{Change, Moment, Outcome, World},
};

/// A request in execution.
pub(crate) struct Execution {
    pub(crate) admitted: Admitted,
    pub(crate) api: Api,
    pub(crate) slot: Slot,
    pub(crate) order: String,
    pub(crate) version: Option<String>,
}

/// What the gates let through.
pub(crate) struct Admitted {
    pub(crate) command: Command,
    pub(crate) expand: Expansions,
    pub(crate) scope: Scope,
    pub(crate) key: Option<HeldKey>,
    pub(crate) lock: Option<(Scope, String)>,
}

/// An idempotency key that was taken for an execution.
pub(crate) enum HeldKey {
    V1(ScopedKey),
    V2 {
        key: ScopedKey,
        /// What earlier requests with this key achieved before they failed.
        achieved: Option<Subject>,
    },
}

/// How an execution goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    Smooth,
    /// It ends in a 500.
    BreaksDown {
        executed: bool,
    },
    /// It ends in a 402.
    NoFunds,
}

/// A request as its execution sees it.
struct Running {
    api: Api,
    expand: Expansions,
    order: String,
    course: Course,
    cause: Cause,
}

/// What an execution came to, as far as the key store wants to know.
struct Ended {
    answer: Answer,
    executed: bool,
    /// Whether it was an execution at all, and no parameter that names nothing.
    stored: bool,
    /// What a v2 request achieved.
    achieved: Option<Subject>,
}

impl Engine {
    /// Executes a request that came through the gates.
    pub(crate) fn finish(
        &mut self,
        visit: &Visit,
        execution: Execution,
        course: Course,
        now: SystemTime,
    ) -> Answer {
        let Execution { admitted, api, slot, order, version } = execution;
        self.limiter.release(slot);
        let Admitted { command, expand, scope, key, lock } = admitted;
        if let Some(lock) = lock {
            self.locks.remove(&lock);
        }
        let ended = match &key {
            Some(HeldKey::V2 { achieved: Some(achieved), .. }) => {
                self.complete(&scope, achieved.clone(), course, now)
            }
            _ => {
                let cause = Cause {
                    request: Some(visit.request_id.clone()),
                    key: key.as_ref().map(|key| key.name().to_owned()),
                };
                let request = Running { api, expand, order, course, cause };
                self.execute(command, &scope, &request, now)
            }
        };
        self.note(visit, |exchange| exchange.executed = ended.executed);
        let answer = match key {
            Some(key) => self.keep(key, ended, visit),
            None => ended.answer,
        };
        answer.stamped(&visit.request_id, version.as_deref())
    }

    fn execute(&mut self, command: Command, scope: &Scope, request: &Running, now: SystemTime) -> Ended {
        let Running { api, course, .. } = *request;
        let live = self.accounts.get(scope.account).is_some_and(|credential| is_live(credential));
        let world = self.worlds.entry(scope.clone()).or_insert_with(|| World::new(live));
        let indexed = now.checked_sub(self.limits.search_lag).unwrap_or(SystemTime::UNIX_EPOCH);
        let moment = Moment { now: unix_seconds(now), indexed: unix_seconds(indexed) };
        let failure = match course {
            Course::Smooth => None,
            Course::BreaksDown { .. } => Some(ApiError::broken()),
            Course::NoFunds => Some(ApiError::insufficient_funds(api)),
        };
        let failed = |error: ApiError| Ended::without_effect(Answer::error(&error.for_api(api)));
        if let Some(error) = failure.clone().filter(|_| course != (Course::BreaksDown { executed: true })) {
            return failed(error);
        }
        let outcome = world.run(command, &mut self.ids, moment);
        let ids = &mut self.ids;
        let put = |world: &mut World, changes: Vec<Change>, ids: &mut Ids| {
            for change in changes {
                if failure.is_some() {
                    world.hide(change, &request.cause);
                } else {
                    world.apply(change, &request.cause, ids, moment.now);
                }
            }
        };
        let expanded = |world: &World, mut value: Value| {
            world.expand(&mut value, &request.expand);
            Answer::ok(&value)
        };
        let ended = match outcome {
            // A request that refers to nothing is refused before anything could break.
            Outcome::Unfit(error) => return Ended { stored: false, ..failed(error) },
            Outcome::Read(value) => Ended::without_effect(expanded(world, value)),
            Outcome::Refused(error) => failed(error),
            Outcome::Done(value, changes) => {
                let achieved = changes.iter().find_map(Change::subject);
                put(world, changes, ids);
                self.ledger.executed(&request.order);
                Ended { answer: expanded(world, value), executed: true, stored: true, achieved }
            }
            Outcome::Declined(error, changes) => {
                put(world, changes, ids);
                self.ledger.declined(&request.order);
                failed(error)
            }
        };
        match failure {
            Some(error) => Ended { answer: failed(error).answer, ..ended },
            None => ended,
        }
    }

    /// Does what is left to do for a v2 request that failed before: its side effect was made then.
    fn complete(&mut self, scope: &Scope, achieved: Subject, course: Course, now: SystemTime) -> Ended {
        let failed = |error: ApiError| Ended::without_effect(Answer::error(&error.for_api(Api::V2)));
        let shown = match (course, self.worlds.get_mut(scope)) {
            (Course::Smooth, Some(world)) => world.complete(&achieved, &mut self.ids, unix_seconds(now)),
            (Course::NoFunds, _) => return failed(ApiError::insufficient_funds(Api::V2)),
            _ => return failed(ApiError::broken()),
        };
        match shown {
            Ok(value) => Ended { achieved: Some(achieved), ..Ended::without_effect(Answer::ok(&value)) },
            Err(error) => failed(error),
        }
    }

    /// Gives back a key whose request did not get to execute.
    pub(crate) fn give_back(&mut self, key: &HeldKey) {
        match key {
            HeldKey::V1(key) => self.keys.abandon(key),
            HeldKey::V2 { key, .. } => self.keys_v2.abandon(key),
        }
    }

    /// Binds the end of an execution to its key, as far as it is to be bound.
    fn keep(&mut self, key: HeldKey, ended: Ended, visit: &Visit) -> Answer {
        let Ended { answer, stored, achieved, .. } = ended;
        match key {
            HeldKey::V1(key) => {
                let answer = answer.with(IDEMPOTENCY_KEY, &key.key);
                if !stored {
                    self.keys.abandon(&key);
                    return answer;
                }
                let (status, body) = (answer.status, answer.body.clone());
                self.keys.finish(&key, Stored { status, body, original_request: visit.request_id.clone() });
                bound(answer, &visit.request_id)
            }
            HeldKey::V2 { key, .. } => {
                let answer = answer.with(IDEMPOTENCY_KEY, &key.key);
                match achieved {
                    _ if !stored => self.keys_v2.abandon(&key),
                    Some(achieved) if answer.status.is_success() => self.keys_v2.succeeded(&key, achieved),
                    achieved => self.keys_v2.failed(&key, achieved),
                }
                answer
            }
        }
    }
}

impl HeldKey {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::V1(key) | Self::V2 { key, .. } => &key.key,
        }
    }
}

impl Ended {
    fn without_effect(answer: Answer) -> Self {
        Self { answer, executed: false, stored: true, achieved: None }
    }
}

/// The headers of an answer that is final for its key. Stripe says so with `Stripe-Should-Retry`, except on a 500.
pub(crate) fn bound(answer: Answer, original_request: &str) -> Answer {
    let answer = answer.with(ORIGINAL_REQUEST, original_request);
    if answer.status.is_server_error() { answer } else { answer.with(SHOULD_RETRY, "false") }
}
