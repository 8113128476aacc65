//! The sidecar as a whole: set up, served, reloaded, drained.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::{AbortHandle, JoinHandle},
    time::{sleep, timeout},
};
use tower_stripe::{
    auth_gate::AuthGateHandle, breaker::BreakerHandle, detach::Unresolved, governor::GovernorHandle,
    vocab::time::now,
};

use crate::{
    admin, call,
    refusal::Refusal,
    reload::Reloaded,
    server::{self, Phase},
    settings::{Settings, SettingsError},
    shared::Shared,
};

/// How many connections the admin pages may have.
const ADMIN_CONNECTIONS: usize = 64;

/// The sidecar, set up. See the [crate's documentation](crate).
pub struct Egress {
    shared: Shared,
}

impl Egress {
    /// Sets the stack up.
    ///
    /// # Errors
    /// [`SettingsError`], with every problem at once.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        Shared::new(settings).map(|shared| Self { shared })
    }

    /// What `/metrics` answers. Without it there is none.
    #[must_use]
    pub fn metrics(mut self, render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.shared.metrics = Some(Box::new(render));
        self
    }

    /// Serves clients on one listener, and the admin pages on the other, in background tasks. That the addresses are those
    /// of the settings is up to the caller.
    ///
    /// # Errors
    /// If a listener has no address.
    pub fn serve(self, listener: TcpListener, admin: Option<TcpListener>) -> io::Result<Serving> {
        let addr = listener.local_addr()?;
        let admin_addr = admin.as_ref().map(TcpListener::local_addr).transpose()?;
        let shared = Arc::new(self.shared);
        let (phase, receiver) = watch::channel(Phase::Serving);
        let limits = shared.settings.limits;
        let of_calls = Arc::clone(&shared);
        let answer = move |request, there_is_room| {
            let shared = Arc::clone(&of_calls);
            async move {
                if there_is_room {
                    return call::handle(shared, request).await;
                }
                call::turn_away(&shared, Refusal::too_many_connections(), call::key(&request))
            }
        };
        let calls = tokio::spawn(server::run(listener, limits, Arc::clone(&shared.room), receiver, answer));
        let admin = admin.map(|listener| {
            let shared = Arc::clone(&shared);
            let answer = move |request, _| std::future::ready(admin::answer(&shared, &request));
            // It goes on while the sidecar drains, and ends with it.
            let (phase, receiver) = watch::channel(Phase::Serving);
            let task = tokio::spawn(async move {
                let _phase = phase;
                let room = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
                server::run(listener, limits, room, receiver, answer).await
            });
            AbortOnDrop(task.abort_handle())
        });
        let cut = AbortOnDrop(calls.abort_handle());
        Ok(Serving { addr, admin_addr, shared, phase, calls, _tasks: (cut, admin) })
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").finish_non_exhaustive()
    }
}

/// A sidecar that serves. Dropping it cuts every connection at once; [`drain`](Self::drain) finishes first.
pub struct Serving {
    addr: SocketAddr,
    admin_addr: Option<SocketAddr>,
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    calls: JoinHandle<usize>,
    _tasks: (AbortOnDrop, Option<AbortOnDrop>),
}

impl Serving {
    /// Where clients connect.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the admin pages are.
    #[must_use]
    pub const fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// Reads the circuit breaker, and forces its hand.
    #[must_use]
    pub fn breaker(&self) -> BreakerHandle {
        self.shared.transport.breaker()
    }

    /// Reads the governor, and changes its limits.
    #[must_use]
    pub fn governor(&self) -> GovernorHandle {
        self.shared.transport.governor()
    }

    /// Reads the auth gate, and resets it.
    #[must_use]
    pub fn auth_gate(&self) -> AuthGateHandle {
        self.shared.transport.auth_gate()
    }

    /// How many calls are under way, as far as their clients are still there.
    #[must_use]
    pub fn calls_under_way(&self) -> usize {
        self.shared.calls_under_way()
    }

    /// Puts in force what of `settings` can change without a restart: the limits and the replicas of the governor, what
    /// SDKs are told about retries, and how it drains. Nothing changes if they are not valid.
    ///
    /// # Errors
    /// [`SettingsError`], with every problem at once.
    pub fn reload(&self, settings: &Settings) -> Result<Reloaded, SettingsError> {
        settings.check()?;
        Ok(self.shared.live.reload(settings, &self.governor()))
    }

    /// Looks whether there is a newer API key now, instead of when the next look is due. Without a key that is held here, and
    /// when there is none, nothing happens but a line in the log.
    pub async fn look_for_key(&self) {
        let credentials = self.shared.transport.credentials();
        if credentials.mode().is_none() {
            return;
        }
        match credentials.look().await {
            Ok(true) => tracing::info!("there is another api key, and it is in use"),
            Ok(false) => tracing::info!("there is no other api key"),
            Err(error) => tracing::error!("no api key could be read, the one in use stays so: {error}"),
        }
    }

    /// Stops: `/readyz` says so, then nothing is accepted any more, what was accepted is finished, and what is not over in
    /// time is cut off. Returns what is unresolved.
    pub async fn drain(mut self) -> Drained {
        let settings = self.shared.live.drain();
        self.shared.begin_to_drain();
        if !settings.linger.is_zero() {
            sleep(settings.linger).await;
        }
        self.shared.begin_to_close();
        let began = now();
        // It fails only if the task is gone.
        let _ = self.phase.send(Phase::Closing);
        let (cut, at_once) = match timeout(settings.within, &mut self.calls).await {
            Ok(cut) => (cut.unwrap_or_default(), false),
            Err(_) => {
                let _ = self.phase.send(Phase::Cut);
                ((&mut self.calls).await.unwrap_or_default(), true)
            }
        };
        // Payments that go on though their clients have gone.
        let left = if at_once { Duration::ZERO } else { settings.within.saturating_sub(now() - began) };
        let drained = self.shared.detach.drain(left).await;
        Drained { unresolved: drained.unresolved, forgotten: drained.forgotten, cut_off: cut }
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("addr", &self.addr)
            .field("admin_addr", &self.admin_addr)
            .field("calls_under_way", &self.calls_under_way())
            .finish_non_exhaustive()
    }
}

/// What a drain leaves behind.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Drained {
    /// Calls that may have moved money, and whose clients were not told. Look them up by their keys.
    pub unresolved: Vec<Unresolved>,
    /// How many more of them there were than are remembered.
    pub forgotten: u64,
    /// How many connections had to be cut off, with whatever calls were on them.
    pub cut_off: usize,
}

impl Drained {
    /// Whether every call came to an end that its client knows of.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.unresolved.is_empty() && self.forgotten == 0 && self.cut_off == 0
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
