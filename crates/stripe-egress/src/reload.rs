//! Changing settings while calls go on.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use tower_stripe::{governor::GovernorHandle, vocab::Mode};

use crate::{
    lock::Lock,
    settings::{Drain, Given, Settings},
};

/// The settings that can change.
pub(crate) struct Live {
    stop_sdk_retries: AtomicBool,
    drain: Lock<Drain>,
    /// What is in force, by the keys of the file.
    given: Lock<Given>,
}

/// What a reload came to, by the keys of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// In force now.
    pub changed: Vec<String>,
    /// What the file says differently, and needs a restart: until then it is as it was.
    pub needs_restart: Vec<String>,
}

impl Live {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            stop_sdk_retries: AtomicBool::new(settings.stop_sdk_retries),
            drain: Lock::new(settings.drain),
            given: Lock::new(settings.given.clone()),
        }
    }

    pub(crate) fn stop_sdk_retries(&self) -> bool {
        self.stop_sdk_retries.load(Ordering::Relaxed)
    }

    pub(crate) fn drain(&self) -> Drain {
        self.drain.with(|drain| *drain)
    }

    /// Puts in force what can be.
    pub(crate) fn reload(&self, new: &Settings, governor: &GovernorHandle) -> Reloaded {
        self.given.with(|given| {
            let mut reloaded = Reloaded::default();
            for key in given.differences(&new.given) {
                if self.apply(&key, new, governor) {
                    given.adopt(&key, &new.given);
                    reloaded.changed.push(key);
                } else {
                    reloaded.needs_restart.push(key);
                }
            }
            reloaded
        })
    }

    fn apply(&self, key: &str, new: &Settings, governor: &GovernorHandle) -> bool {
        match key {
            "responses.stop_sdk_retries" => {
                self.stop_sdk_retries.store(new.stop_sdk_retries, Ordering::Relaxed);
                true
            }
            "drain.linger" | "drain.within" => {
                self.drain.with(|drain| *drain = new.drain);
                true
            }
            // Whoever installed the subscriber changes it.
            "log.level" => true,
            "governor.replicas" => governor.set_replicas(new.governor.replicas).is_ok(),
            // A limit that the file no longer has cannot be taken back to what it would be without it.
            _ => new.governor.limits.iter().any(|set| {
                let of_this = key
                    .strip_prefix("governor.limits.")
                    .and_then(|rest| rest.strip_prefix(&*set.name))
                    .is_some_and(|rest| rest.starts_with('.'));
                of_this
                    && [Mode::Live, Mode::Sandbox]
                        .into_iter()
                        .all(|mode| governor.set_limit(mode, set.bucket, set.limit).is_ok())
            }),
        }
    }
}

/// One line for each.
impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |keys: &[String]| if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
        write!(f, "changed: {}; needs a restart: {}", list(&self.changed), list(&self.needs_restart))
    }
}
