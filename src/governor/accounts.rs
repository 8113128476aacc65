//! The accounts that calls are made for, each with a state of its own.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Arc, OnceLock},
    task::Waker,
    time::{Duration, Instant},
};

use super::{
    GovernorConfig,
    account::{Account, GLOBAL},
    allowance::Allowance,
    bucket::{SECOND, Tick},
    limits::{Limits, Route},
    objects::Object,
};
use crate::vocab::{Credential, Mode, Operation, sync::Lock, time};

/// How many accounts are kept apart. Whoever comes after that, while all are busy, shares one.
pub(super) const MAX_ACCOUNTS: usize = 256;

/// An account in which nothing happened for so long may be forgotten: its buckets are full, and its limits what they were.
const IDLE: Tick = 120 * SECOND;

/// Looking for idle accounts takes time, and is not done more often.
const SWEEP: Tick = SECOND;

type Key = (Credential, Mode);

pub(super) type Shared = Arc<Lock<Account<Waker>>>;

/// What all clones of a gate share.
pub(super) struct Core {
    pub(super) config: GovernorConfig,
    epoch: Instant,
    hasher: RandomState,
    /// By mode, then by operation.
    routes: [Box<[Route]>; 2],
    /// Nearly every process has but one account: the first one is found without a lock, and never forgotten.
    first: OnceLock<(Key, Shared)>,
    table: Lock<Table>,
}

struct Table {
    limits: Arc<Limits>,
    accounts: HashMap<Key, Shared>,
    /// Shared by all for whom there is no room, by mode.
    overflow: [Option<Shared>; 2],
    swept: Option<Tick>,
}

const fn index(mode: Mode) -> usize {
    match mode {
        Mode::Live => 0,
        Mode::Sandbox => 1,
    }
}

impl Core {
    pub(super) fn new(config: GovernorConfig) -> Self {
        let routes = |mode| {
            let mut routes = vec![Route::OF_OTHER; Operation::COUNT].into_boxed_slice();
            Operation::all().for_each(|operation| routes[operation.index()] = Route::of(operation, mode));
            routes
        };
        let table = Table {
            limits: Arc::new(config.limits.clone()),
            accounts: HashMap::new(),
            overflow: [None, None],
            swept: None,
        };
        Self {
            config,
            epoch: time::now(),
            hasher: RandomState::new(),
            routes: [routes(Mode::Live), routes(Mode::Sandbox)],
            first: OnceLock::new(),
            table: Lock::new(table),
        }
    }

    pub(super) fn tick(&self, at: Instant) -> Tick {
        Tick::try_from(at.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(Tick::MAX)
    }

    pub(super) fn instant(&self, at: Tick) -> Instant {
        self.epoch + Duration::from_nanos(at)
    }

    pub(super) fn route(&self, operation: Operation, mode: Mode) -> Route {
        self.routes[index(mode)][operation.index()]
    }

    pub(super) fn object(&self, id: impl Hash) -> Object {
        self.hasher.hash_one(id)
    }

    pub(super) fn account(&self, credential: Credential, mode: Mode, now: Tick) -> Shared {
        let key = (credential, mode);
        match self.first.get() {
            Some((first, account)) if *first == key => Arc::clone(account),
            _ => self.other(key, now),
        }
    }

    #[cold]
    fn other(&self, key: Key, now: Tick) -> Shared {
        self.table.with(|table| {
            if let Some(account) = table.accounts.get(&key) {
                return Arc::clone(account);
            }
            let limits = Arc::clone(&table.limits);
            let new = || Arc::new(Lock::new(Account::new(key.1, limits, self.config.scheduling())));
            if table.accounts.len() < MAX_ACCOUNTS || table.evict(self.first.get(), now) {
                let account = new();
                table.accounts.insert(key, Arc::clone(&account));
                // Whoever else comes first: the table has it too.
                let _ = self.first.set((key, Arc::clone(&account)));
                return account;
            }
            Arc::clone(table.overflow[index(key.1)].get_or_insert_with(new))
        })
    }

    /// How many calls a second the global rule allows an account of this mode, as it is set.
    pub(super) fn global_rate(&self, mode: Mode) -> Option<f64> {
        let limits = self.table.with(|table| Arc::clone(&table.limits));
        Allowance::new(limits.of_rule(mode, GLOBAL)).rate_in_force(0)
    }

    /// All accounts there are.
    pub(super) fn all(&self) -> Vec<Shared> {
        self.table.with(|table| table.all())
    }

    /// Puts other limits into force, for the accounts that are there and those to come.
    pub(super) fn replace<E>(
        &self,
        now: Tick,
        change: impl FnOnce(&mut Limits) -> Result<(), E>,
    ) -> Result<(), E> {
        let (accounts, limits) = self.table.with(|table| {
            let mut limits = Limits::clone(&table.limits);
            change(&mut limits)?;
            table.limits = Arc::new(limits);
            Ok((table.all(), Arc::clone(&table.limits)))
        })?;
        for account in accounts {
            enter(&account, |account| account.retune(&limits, now));
        }
        Ok(())
    }
}

impl Table {
    fn all(&self) -> Vec<Shared> {
        self.accounts.values().chain(self.overflow.iter().flatten()).cloned().collect()
    }

    /// Forgets the accounts that nobody uses. Whether there is room now.
    fn evict(&mut self, first: Option<&(Key, Shared)>, now: Tick) -> bool {
        if self.swept.is_some_and(|swept| now < swept + SWEEP) {
            return false;
        }
        self.swept = Some(now);
        self.accounts.retain(|key, account| {
            first.is_some_and(|(first, _)| first == key)
                // Whoever else has it may be about to use it.
                || Arc::strong_count(account) > 1
                || !now.checked_sub(IDLE).is_some_and(|then| account.with(|a| a.is_idle_since(then, now)))
        });
        self.accounts.len() < MAX_ACCOUNTS
    }
}

/// Does something with an account, and wakes whom that concerns once the lock is free.
pub(super) fn enter<R>(account: &Lock<Account<Waker>>, f: impl FnOnce(&mut Account<Waker>) -> R) -> R {
    let (result, woken) = account.with(|account| {
        let result = f(account);
        (result, account.woken())
    });
    woken.into_iter().for_each(Waker::wake);
    result
}

#[cfg(test)]
mod tests;
