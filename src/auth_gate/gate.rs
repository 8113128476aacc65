use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::Request;

use super::{
    AuthGateConfig, AuthGateHandle,
    engine::{Admission, Change, Engine, Lease, Shown},
};
use crate::vocab::{Admit, Ask, Credential, Ended, Gate, Host, Refusal, Replay, gate::Never, sync::Lock};

/// Admits no call under an API key that Stripe does not accept. See the [module docs](super). Clones share what they know.
#[derive(Clone, Debug)]
pub struct AuthGate {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    enabled: bool,
    /// How many keys were rejected: while none was, nobody takes the lock.
    suspects: AtomicUsize,
    engine: Lock<Engine>,
}

impl Shared {
    pub(super) fn with<R>(&self, change: impl FnOnce(&mut Engine) -> R) -> R {
        self.engine.with(|engine| {
            let result = change(engine);
            self.suspects.store(engine.suspects(), Ordering::Release);
            result
        })
    }

    fn none_is_suspect(&self) -> bool {
        self.suspects.load(Ordering::Acquire) == 0
    }
}

impl AuthGate {
    /// With these settings.
    #[must_use]
    pub fn new(config: AuthGateConfig) -> Self {
        let shared = Shared {
            enabled: config.enabled,
            suspects: AtomicUsize::new(0),
            engine: Lock::new(Engine::new(config)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Reads and resets it.
    #[must_use]
    pub fn handle(&self) -> AuthGateHandle {
        AuthGateHandle::new(Arc::clone(&self.shared))
    }
}

impl Default for AuthGate {
    fn default() -> Self {
        Self::new(AuthGateConfig::default())
    }
}

impl Gate for AuthGate {
    type Permit = Permit;
    type Wait = Never<Permit>;

    fn admit<B: Replay>(&self, ask: &Ask, _: &Request<B>) -> Admit<Permit, Never<Permit>> {
        // Of OAuth, a 401 is about the client that is named in the body, and not about the key.
        let counts = self.shared.enabled && ask.host != Host::Connect;
        let permit =
            |probe| Permit { shared: Arc::clone(&self.shared), credential: ask.credential, counts, probe };
        if !counts || self.shared.none_is_suspect() {
            return Admit::Now(permit(None));
        }
        match self.shared.with(|engine| engine.admit(ask.credential, ask.now)) {
            Admission::Free => Admit::Now(permit(None)),
            Admission::Probe(lease) => Admit::Now(permit(Some(lease))),
            Admission::Blocked { until } => {
                Admit::No(Refusal::AuthBlocked { retry_in: until.saturating_duration_since(ask.now) })
            }
        }
    }

    fn settle(mut permit: Permit, ended: &Ended) {
        permit.settle(Shown::by(ended), ended);
    }
}

/// A call under way. Dropped, it shows nothing.
pub struct Permit {
    shared: Arc<Shared>,
    credential: Credential,
    counts: bool,
    probe: Option<Lease>,
}

impl Permit {
    fn settle(&mut self, shown: Shown, ended: &Ended) {
        let nothing_new = shown != Shown::Rejected && self.shared.none_is_suspect();
        if !self.counts || nothing_new {
            return;
        }
        let (probe, &Ended { sent, now, .. }) = (self.probe.take(), ended);
        match self.shared.with(|engine| engine.settle(self.credential, probe, shown, sent, now)) {
            Some(Change::Closed) => {
                tracing::error!("stripe does not accept an api key; calls under it are refused from now on");
            }
            Some(Change::Opened) => tracing::info!("stripe accepts an api key again"),
            None => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(probe) = self.probe.take() {
            self.shared.with(|engine| engine.release(self.credential, Some(probe)));
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("probe", &self.probe.is_some()).finish_non_exhaustive()
    }
}
