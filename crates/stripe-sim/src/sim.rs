//! The handle of a simulator, and how one is set up.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use serde_json::Value;

use crate::{
    clock::{Clock, DEFAULT_EPOCH, tick},
    engine::Engine,
    faults::Faults,
    fields::SettingsError,
    latency::Latency,
    ledger::Ledger,
    limits::Limits,
    log::Exchange,
    notice::Notice,
    queue::Queue,
    scenario::Scenario,
    script::Step,
    service::SimService,
    settings,
    shared::Shared,
};

/// A simulated Stripe. Clones are handles of the same one.
///
/// It keeps every request and every object it ever saw: memory grows with the number of requests, as suits a tool for
/// tests.
#[derive(Clone)]
pub struct Sim {
    pub(crate) shared: Arc<Shared>,
}

impl Sim {
    /// A simulator with the defaults of [`Sim::builder`].
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts from the defaults: seed 0, the API keys `sk_test_sim` and `sk_live_sim`, the published limits, no faults.
    pub fn builder() -> SimBuilder {
        SimBuilder {
            seed: 0,
            accounts: Vec::new(),
            limits: Limits::published(),
            faults: Faults::none(),
            epoch: SystemTime::UNIX_EPOCH + DEFAULT_EPOCH,
            notice: Notice::default(),
            latency: Latency::none(),
            scenario: None,
            strict: false,
            scripts: Vec::new(),
            capacity: None,
        }
    }

    /// The in-process service.
    #[must_use]
    pub fn service(&self) -> SimService {
        SimService::new(Arc::clone(&self.shared))
    }

    /// Stripe's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Scripts the requests of `order`: from now on its n-th request takes the n-th step, and what comes after them
    /// passes. A scripted order draws no faults.
    pub fn script(&self, order: &str, steps: impl IntoIterator<Item = Step>) {
        self.shared.engine.with(|engine| engine.plan.script(order, steps));
    }

    /// Replaces the faults that are drawn for requests from now on.
    pub fn faults(&self, faults: Faults) {
        self.shared.engine.with(|engine| *engine.plan.faults() = faults);
    }

    /// Replaces how long answers take.
    pub fn latency(&self, latency: Latency) {
        self.shared.engine.with(|engine| engine.plan.latency = latency);
    }

    /// Plays a scenario from now on, in place of the one that is playing. It follows tokio's time, not Stripe's clock.
    pub fn play(&self, scenario: Scenario) {
        self.shared.engine.with(|engine| engine.plan.play(scenario, tick()));
        self.shared.queue.weather_changed();
    }

    /// Replaces the limits. What was used of the old ones stays used.
    pub fn limits(&self, limits: Limits) {
        self.shared.engine.with(|engine| engine.limits = limits);
    }

    /// Gives the account of an API key another one, as rolling it does: both are accepted until the old one
    /// [expires](Self::expire_key). Returns whether any account has the key.
    pub fn roll_key(&self, key: &str, new: impl Into<String>) -> bool {
        let new = new.into();
        self.shared.engine.with(|engine| engine.roll_key(key, new))
    }

    /// Answers 401 to an API key from now on. Returns whether any account had it.
    pub fn expire_key(&self, key: &str) -> bool {
        self.shared.engine.with(|engine| engine.expire_key(key))
    }

    /// Lets Stripe repair what [`Fault::StoredServerError`](crate::Fault::StoredServerError) left behind: executed effects become visible.
    pub fn settle(&self) {
        self.shared.settle();
    }

    /// Lets the customer of a payment intent that `requires_action` authenticate, or fail to. Returns whether any intent of
    /// this id wanted it. It is nothing that a client did, so the ledger takes no note of it.
    pub fn authenticate(&self, payment_intent: &str, passed: bool) -> bool {
        let now = self.shared.clock.now();
        self.shared.engine.with(|engine| engine.customer_acts(payment_intent, passed, now))
    }

    /// What was executed so far, by order.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.shared.engine.with(|engine| engine.ledger.clone())
    }

    /// Every request seen so far, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<Exchange> {
        self.shared.engine.with(|engine| engine.log.clone())
    }

    /// The requests of one order, oldest first.
    #[must_use]
    pub fn log_of(&self, order: &str) -> Vec<Exchange> {
        self.shared
            .engine
            .with(|engine| engine.log.iter().filter(|seen| seen.order == order).cloned().collect())
    }

    /// Waits until every execution that a fault put off has landed, and nothing waits in the queue.
    pub async fn quiesce(&self) {
        self.shared.quiesce().await;
    }

    /// How many requests wait in the server's queue, client or no client, with the one that it is busy with. There is a
    /// queue where there is a [capacity](SimBuilder::capacity), and during a [stall](crate::Phase::stalls).
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.queue.len()
    }

    /// How many requests are being worked on: those without a response head yet whose client waits, and those that are
    /// queued or whose execution was put off, client or no client.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight()
    }

    /// How many TCP connections the servers of this simulator have accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Default for Sim {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("clock", self.clock())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// Sets up a [`Sim`].
#[derive(Clone)]
#[must_use]
pub struct SimBuilder {
    seed: u64,
    accounts: Vec<String>,
    limits: Limits,
    faults: Faults,
    epoch: SystemTime,
    notice: Notice,
    latency: Latency,
    scenario: Option<Scenario>,
    strict: bool,
    scripts: Vec<(String, Vec<Step>)>,
    capacity: Option<NonZeroU32>,
}

impl SimBuilder {
    /// What ids and drawn faults derive from.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Adds an account with this API key; `sk_live_…` and `rk_live_…` are of live mode, everything else is a sandbox.
    /// The first account added replaces the two default ones.
    pub fn account(mut self, api_key: impl Into<String>) -> Self {
        self.accounts.push(api_key.into());
        self
    }

    /// What the limiters allow.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Which faults are drawn.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// How long answers take; no time by default.
    pub fn latency(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self
    }

    /// How many requests the server handles in a second, one after the other; any number at once by default.
    ///
    /// What it cannot handle at once waits in one queue without an end, first come, first served. Nobody leaves the queue:
    /// the work for clients that have gone is done in its turn, as by a server that does not know that they have. What is
    /// answered in Stripe's place ([`Step::Answer`]) or never gets there does not queue.
    pub fn capacity(mut self, per_second: NonZeroU32) -> Self {
        self.capacity = Some(per_second);
        self
    }

    /// Scripts the requests of `order`, as [`Sim::script`] does.
    pub fn script(mut self, order: impl Into<String>, steps: impl IntoIterator<Item = Step>) -> Self {
        self.scripts.push((order.into(), steps.into_iter().collect()));
        self
    }

    /// Sets everything that a scenario file may say; the crate's README lists it.
    ///
    /// # Errors
    ///
    /// If something in it is unknown, missing, or not what it should be.
    pub fn settings(self, settings: &Value) -> Result<Self, SettingsError> {
        settings::apply(self, settings)
    }

    /// Plays this scenario from the start.
    pub fn scenario(mut self, scenario: Scenario) -> Self {
        self.scenario = Some(scenario);
        self
    }

    /// Refuses parameters of v1 that Stripe does not take, instead of ignoring them.
    pub fn strict_parameters(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Attaches `Stripe-Notice` with this text to every `every`th answer of Stripe's.
    pub fn notice(mut self, text: impl Into<String>, every: NonZeroU32) -> Self {
        self.notice = Notice::new(text.into(), every);
        self
    }

    /// What Stripe's clock shows at the start; 2026-01-01 by default.
    pub fn epoch(mut self, epoch: SystemTime) -> Self {
        self.epoch = epoch;
        self
    }

    /// Builds it. Stripe's clock starts now, on the time of the tokio runtime that this is called in.
    #[must_use]
    pub fn build(self) -> Sim {
        let mut accounts = self.accounts;
        if accounts.is_empty() {
            accounts = vec!["sk_test_sim".to_owned(), "sk_live_sim".to_owned()];
        }
        let mut engine = Engine::new(self.seed, accounts, self.limits, self.faults);
        engine.notice = self.notice;
        engine.strict = self.strict;
        for (order, steps) in self.scripts {
            engine.plan.script(&order, steps);
        }
        engine.plan.latency = self.latency;
        if let Some(scenario) = self.scenario {
            engine.plan.play(scenario, tick());
        }
        Sim {
            shared: Arc::new(Shared::new(engine, Clock::starting_at(self.epoch), Queue::new(self.capacity))),
        }
    }
}

impl fmt::Debug for SimBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The accounts are API keys.
        f.debug_struct("SimBuilder")
            .field("seed", &self.seed)
            .field("limits", &self.limits)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}
