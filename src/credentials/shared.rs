//! What all clones share: the slots, the provider, and whose turn it is to ask it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderValue;
use tokio::{sync::Mutex, time::timeout_at};

use super::{ApiKey, CredentialError, CredentialProvider, CredentialsConfig, config::Source, engine::Slots};
use crate::vocab::{Mode, sync::Lock, time};

/// So long a provider may take. Calls go on without it, under the key in use.
const PATIENCE: Duration = Duration::from_secs(5);

/// Calls that are refused because their key is known bad ask for another one no more often than this.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) expected: Option<Mode>,
    pub(super) ring: Option<KeyRing>,
}

impl Shared {
    pub(super) fn new(config: CredentialsConfig) -> Self {
        Self { expected: config.expected, ring: config.source.map(KeyRing::new) }
    }
}

/// The keys of a provider.
pub(super) struct KeyRing {
    provider: Arc<dyn CredentialProvider>,
    look_every: Option<Duration>,
    slots: Lock<Slots>,
    asked: Lock<Asked>,
    /// Held by whoever asks: one at a time.
    turn: Mutex<()>,
}

/// When the provider was asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// When it was somebody's turn to look last, whether or not that came to anything.
    looked: Instant,
    /// When the last question was put that got an answer, or none in time.
    began: Option<Instant>,
    /// The same, if it was put because the key in use was not accepted, and that is still in use.
    in_vain: Option<Instant>,
}

impl KeyRing {
    fn new(Source { provider, first }: Source) -> Self {
        Self {
            look_every: provider.look_interval(),
            provider,
            slots: Lock::new(Slots::new(first)),
            asked: Lock::new(Asked { looked: time::now(), began: None, in_vain: None }),
            turn: Mutex::new(()),
        }
    }

    /// The value of the `Authorization` header.
    pub(super) fn authorization(&self) -> HeaderValue {
        self.slots.with(|slots| slots.current().authorization())
    }

    pub(super) fn mode(&self) -> Mode {
        self.slots.with(|slots| slots.current().mode())
    }

    pub(super) fn rotations(&self) -> u64 {
        self.slots.with(|slots| slots.rotations())
    }

    /// Whether it is time to look for another key, and whoever asks this is the one to do it.
    pub(super) fn look_is_due(&self, now: Instant) -> bool {
        let Some(interval) = self.look_every else { return false };
        self.asked.with(|asked| {
            let due = now
                .saturating_duration_since(asked.began.map_or(asked.looked, |began| began.max(asked.looked)))
                >= interval;
            if due {
                asked.looked = now;
            }
            due
        })
    }

    /// Whether a call that was refused for its key may ask for another one.
    pub(super) fn may_ask_again(&self, now: Instant) -> bool {
        let began = self.asked.with(|asked| asked.began);
        began.is_none_or(|began| now.saturating_duration_since(began) >= AGAIN)
    }

    /// Whether the key that a request carried is not the one in use any more.
    pub(super) fn replaced(&self, carried: &HeaderValue) -> bool {
        self.slots.with(|slots| !slots.current().is(carried))
    }

    /// Looks for another key. Returns whether the one in use was replaced.
    pub(super) async fn look(&self, until: Instant) -> Result<bool, CredentialError> {
        // Somebody else is looking.
        let Ok(_turn) = self.turn.try_lock() else { return Ok(false) };
        let result = match self.newest(until).await {
            Ok(key) => self.slots.with(|slots| slots.offered(key)),
            Err(error) => Err(error),
        };
        tell(&result);
        result
    }

    /// Stripe did not accept the key that a request carried; that was known at `since`. Returns whether there is another
    /// one.
    pub(super) async fn another(&self, carried: &HeaderValue, since: Instant, until: Instant) -> bool {
        let Ok(_turn) = timeout_at(until.into(), self.turn.lock()).await else {
            return self.replaced(carried);
        };
        if self.replaced(carried) {
            return true;
        }
        if self.asked.with(|asked| asked.in_vain.is_some_and(|began| began >= since)) {
            return false; // Somebody has asked since, and got no other one.
        }
        let began = time::now();
        let (newest, failed) = match self.newest(until).await {
            Ok(key) => (Some(key), None),
            Err(error) => (None, Some(error)),
        };
        let result = self.slots.with(|slots| slots.rejected(carried, newest));
        let replaced = self.replaced(carried);
        // Whoever had less time than the provider may take has not asked for the others.
        let cut = matches!(failed, Some(CredentialError::TimedOut)) && until < began + PATIENCE;
        if !cut {
            self.asked.with(|asked| asked.in_vain = (!replaced).then_some(began));
        }
        tell(&match (result, failed) {
            (Ok(false), Some(error)) => Err(error),
            (result, _) => result,
        });
        replaced
    }

    async fn newest(&self, until: Instant) -> Result<ApiKey, CredentialError> {
        let began = time::now();
        let until = until.min(began + PATIENCE);
        let newest = timeout_at(until.into(), self.provider.newest()).await;
        self.asked.with(|asked| asked.began = Some(began));
        newest.unwrap_or(Err(CredentialError::TimedOut))
    }
}

fn tell(result: &Result<bool, CredentialError>) {
    match result {
        Ok(true) => tracing::info!("calls are made under another api key from now on"),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "the api key in use is kept"),
    }
}

/// Shows no key.
impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("mode", &self.mode()).finish_non_exhaustive()
    }
}
