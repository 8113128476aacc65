use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::Request;
use tokio::sync::broadcast;

use super::{
    BreakerConfig, BreakerHandle,
    engine::{Answer, Change, Dial, Engine, Finding, Pass, Step, Tier, Verdict, Which, dial, verdict},
    state::{Circuit, Partition, State, Traffic, Transition},
    tally::Tally,
    waiters::Waiters,
};
use crate::vocab::{Admit, Ask, Ended, Gate, Host, Mode, Refusal, Replay, gate::Never, sync::Lock, time};

/// So many transitions are kept for a subscriber that is slow.
const KEPT: usize = 256;

/// Admits no call to what has been failing. See the [module docs](super). Clones share what they know.
#[derive(Clone)]
pub struct BreakerGate {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    rules: BreakerConfig,
    /// By host.
    sites: [Lock<Site>; Host::ALL.len()],
    pub(super) transitions: broadcast::Sender<Transition>,
    pub(super) tally: Tally,
}

/// What one lock guards: both modes of a host, since connecting to it concerns both.
struct Site {
    engine: Engine,
    draws: Draws,
    waiters: Waiters,
}

impl BreakerGate {
    /// With these settings.
    #[must_use]
    pub fn new(config: BreakerConfig) -> Self {
        let seed = config.jitter_seed.unwrap_or_else(|| RandomState::new().hash_one(0_u8));
        let now = time::now();
        let sites = Host::ALL.map(|host| {
            // The others may not know the path of the probe.
            let synthetic = matches!(host, Host::Api | Host::Files);
            Lock::new(Site {
                engine: Engine::new(&config, synthetic, now),
                draws: Draws(seed.rotate_left(host as u32 * 16)),
                waiters: Waiters::default(),
            })
        });
        let transitions = broadcast::channel(KEPT).0;
        let shared = Shared { rules: config, sites, transitions, tally: Tally::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Shows and controls it.
    #[must_use]
    pub fn handle(&self) -> BreakerHandle {
        BreakerHandle::new(Arc::clone(&self.shared))
    }
}

impl Default for BreakerGate {
    fn default() -> Self {
        Self::new(BreakerConfig::default())
    }
}

impl fmt::Debug for BreakerGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerGate").field("config", &self.shared.rules).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn read<R>(&self, host: Host, f: impl FnOnce(&Engine) -> R) -> R {
        self.sites[host as usize].with(|site| f(&site.engine))
    }

    /// Takes one step. Whom it concerns is told outside the lock, since they may call back.
    ///
    /// `wake`: whose waiters are to look again, whatever happens.
    pub(super) fn step<R>(
        &self,
        (host, mode): (Host, Mode),
        now: Instant,
        wake: Option<Traffic>,
        f: impl FnOnce(&mut Engine, &mut Step<'_>) -> R,
    ) -> R {
        let mut changes = Vec::new();
        let (result, wakers) = self.sites[host as usize].with(|site| {
            let draw = site.draws.next();
            let result =
                f(&mut site.engine, &mut Step { rules: &self.rules, now, draw, changes: &mut changes });
            let mut wakers = Vec::new();
            if let Some(traffic) = wake {
                site.waiters.take(|whose| whose == (mode, traffic), &mut wakers);
            }
            for change in changes.iter().filter(|change| change.to == State::Open) {
                site.waiters.take(|whose| concerns(change.which, whose, mode), &mut wakers);
            }
            (result, wakers)
        });
        wakers.into_iter().for_each(std::task::Waker::wake);
        changes.iter().for_each(|change| self.publish(host, mode, change));
        result
    }

    #[cold]
    fn publish(&self, host: Host, mode: Mode, change: &Change) {
        let partition = |traffic| Circuit::Partition(Partition { host, mode, traffic });
        let circuit = match change.which {
            Which::Read => partition(Traffic::Read),
            Which::Write => partition(Traffic::Write),
            Which::Local => Circuit::Local(host),
        };
        let Change { from, to, why, at, generation, .. } = *change;
        match to {
            State::Open => tracing::warn!(partition = %circuit, %from, %to, %why, "circuit"),
            State::Closed | State::HalfOpen => {
                tracing::info!(partition = %circuit, %from, %to, %why, "circuit");
            }
        }
        self.tally.went(circuit, to, why);
        // An error says only that nobody has subscribed.
        let _ = self.transitions.send(Transition { circuit, from, to, why, at, generation });
    }

    fn finish(&self, permit: &Permit, finding: Finding, dial: Dial, now: Instant) {
        self.step((permit.host, permit.mode), now, None, |engine, step| {
            engine.settle(step, permit.pass, finding, dial, permit.sent);
        });
    }
}

fn concerns(which: Which, (whose, traffic): (Mode, Traffic), mode: Mode) -> bool {
    match which {
        Which::Read => whose == mode && traffic == Traffic::Read,
        Which::Write => whose == mode && traffic == Traffic::Write,
        Which::Local => true,
    }
}

impl Gate for BreakerGate {
    type Permit = Permit;
    type Wait = Never<Permit>;

    fn admit<B: Replay>(&self, ask: &Ask, _: &Request<B>) -> Admit<Permit, Never<Permit>> {
        let traffic = Traffic::of(ask.kind.verb);
        let (host, mode) = (ask.host, ask.mode);
        let answer = self.shared.step((host, mode), ask.now, None, |engine, step| {
            engine.admit(step, mode as usize, traffic, tier(ask))
        });
        let permit = |pass| Permit {
            shared: Arc::clone(&self.shared),
            host,
            mode,
            pass,
            sent: None,
            waiter: None,
            settled: false,
        };
        match answer {
            Answer::Admit(pass) => Admit::Now(permit(pass)),
            Answer::Ask(pass) => Admit::Probe(permit(pass)),
            Answer::Refuse(retry_in) => Admit::No(Refusal::CircuitOpen { retry_in }),
        }
    }

    fn is_probe(permit: &Permit) -> bool {
        permit.pass.is_probe()
    }

    fn poll_revoked(permit: &mut Permit, cx: &mut Context<'_>) -> Poll<Refusal> {
        if permit.pass.is_probe() || permit.sent.is_some() {
            return Poll::Pending;
        }
        let now = time::now();
        // To drop a waker may drop a task, and that a permit, which takes the lock: so neither is done under it.
        let waker = cx.waker().clone();
        let (whose, pass) = ((permit.mode, permit.pass.traffic), permit.pass);
        let (revoked, _replaced) =
            permit.shared.sites[permit.host as usize].with(|site| match site.engine.revoked(&pass, now) {
                Some(retry_in) => (Some(retry_in), Some(waker)),
                None => (None, site.waiters.register(&mut permit.waiter, whose, waker)),
            });
        match revoked {
            Some(retry_in) => Poll::Ready(Refusal::CircuitOpen { retry_in }),
            None => Poll::Pending,
        }
    }

    fn sent(permit: &mut Permit, now: Instant) {
        permit.sent = Some(now);
        permit.leave();
    }

    fn settle(mut permit: Permit, ended: &Ended) {
        permit.sent = Some(ended.sent);
        let on_wire = ended.now.saturating_duration_since(ended.sent);
        let rules = &permit.shared.rules;
        // What provably never left says nothing of Stripe, whatever kept it back.
        let verdict = match verdict(ended.outcome, ended.genuine, Some(on_wire), rules.abandoned_after) {
            Verdict::Failure if ended.not_sent => Verdict::Neutral,
            verdict => verdict,
        };
        let finding = Finding { verdict, genuine: ended.genuine, answered: true, on_wire };
        permit.end(finding, dial(ended.outcome), ended.now);
    }
}

/// How soon an attempt may probe a half-open write circuit.
fn tier(ask: &Ask) -> Tier {
    match (ask.kind.repeatable(), ask.operation.is_money()) {
        (true, false) => Tier::Harmless,
        (true, true) if ask.retry_left => Tier::Money,
        _ => Tier::Last,
    }
}

/// A call under way. Dropped, it frees what it holds.
pub struct Permit {
    shared: Arc<Shared>,
    host: Host,
    mode: Mode,
    pass: Pass,
    sent: Option<Instant>,
    /// Its place among those who wait within, and are to hear if the circuit opens.
    waiter: Option<usize>,
    settled: bool,
}

impl Permit {
    fn end(&mut self, finding: Finding, dial: Dial, now: Instant) {
        self.settled = true;
        self.leave();
        if self.pass.is_probe() {
            let probed = match self.pass.is_local_probe() {
                true => Circuit::Local(self.host),
                false => Circuit::Partition(Partition {
                    host: self.host,
                    mode: self.mode,
                    traffic: self.pass.traffic,
                }),
            };
            self.shared.tally.probed(probed, finding.verdict);
        }
        if self.pass.counts() {
            self.shared.finish(self, finding, dial, now);
        }
    }

    fn leave(&mut self) {
        if let Some(place) = self.waiter.take() {
            let _waker = self.shared.sites[self.host as usize].with(|site| site.waiters.remove(place));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let now = time::now();
        let on_wire = self.sent.map(|sent| now.saturating_duration_since(sent));
        let verdict = match on_wire {
            Some(time) if time >= self.shared.rules.abandoned_after => Verdict::Failure,
            _ => Verdict::Neutral,
        };
        let on_wire = on_wire.unwrap_or(Duration::ZERO);
        self.end(Finding { verdict, genuine: false, answered: false, on_wire }, Dial::Neutral, now);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("pass", &self.pass).field("sent", &self.sent).finish_non_exhaustive()
    }
}

/// Draws for jitter: splitmix64.
struct Draws(u64);

impl Draws {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests;
