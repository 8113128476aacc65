use super::{super::config::BreakerBuilder, *};
use crate::vocab::{FailureKind, Outcome, RateLimitReason, Ratio};

mod half_open;
mod model;
mod rules;
mod simulation;

const LIVE: usize = 0;
const SANDBOX: usize = 1;
const HARMLESS: Tier = Tier::Harmless;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[expect(clippy::disallowed_methods, reason = "some instant to count from")]
fn start() -> Instant {
    Instant::now()
}

/// One host, a clock that only moves when told to, and draws that are given.
#[derive(Clone)]
struct World {
    rules: BreakerConfig,
    engine: Engine,
    start: Instant,
    now: Instant,
    draw: u64,
    changes: Vec<Change>,
}

impl World {
    fn new() -> Self {
        Self::with(BreakerConfig::builder())
    }

    fn with(builder: BreakerBuilder) -> Self {
        let rules = builder.build().unwrap();
        let start = start();
        let engine = Engine::new(&rules, true, start);
        Self { rules, engine, start, now: start, draw: u64::MAX, changes: Vec::new() }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn step<R>(&mut self, f: impl FnOnce(&mut Engine, &mut Step<'_>) -> R) -> R {
        let Self { rules, engine, now, draw, changes, .. } = self;
        f(engine, &mut Step { rules, now: *now, draw: *draw, changes })
    }

    fn admit_in(&mut self, mode: usize, traffic: Traffic, tier: Tier) -> Answer {
        self.step(|engine, step| engine.admit(step, mode, traffic, tier))
    }

    fn get(&mut self) -> Answer {
        self.admit_in(LIVE, Traffic::Read, HARMLESS)
    }

    fn write(&mut self, tier: Tier) -> Answer {
        self.admit_in(LIVE, Traffic::Write, tier)
    }

    /// Ends an attempt that left at `sent`.
    fn end_sent(&mut self, pass: Pass, outcome: Outcome, genuine: bool, sent: Instant) {
        let on_wire = self.now - sent;
        let verdict = verdict(outcome, genuine, Some(on_wire), self.rules.abandoned_after);
        let finding = Finding { verdict, genuine, on_wire };
        self.step(|engine, step| engine.settle(step, pass, finding, dial(outcome), Some(sent)));
    }

    fn end(&mut self, pass: Pass, outcome: Outcome) {
        self.end_sent(pass, outcome, true, self.now);
    }

    /// Drops an attempt that was not sent.
    fn drop(&mut self, pass: Pass) {
        let finding = Finding { verdict: Verdict::Neutral, genuine: false, on_wire: Duration::ZERO };
        self.step(|engine, step| engine.settle(step, pass, finding, Dial::Neutral, None));
    }

    /// So many calls that are admitted and end at once.
    fn calls(&mut self, traffic: Traffic, n: usize, outcome: Outcome) {
        for _ in 0..n {
            let pass = admitted(self.admit_in(LIVE, traffic, HARMLESS));
            self.end(pass, outcome);
        }
    }

    fn open(&mut self, traffic: Traffic) {
        self.calls(traffic, 10, Outcome::ServerError);
        assert_eq!(self.state(traffic), State::Open);
    }

    fn control(&mut self, traffic: Traffic, control: Control) {
        self.step(|engine, step| engine.control(step, LIVE, traffic, control));
    }

    fn state(&self, traffic: Traffic) -> State {
        self.engine.state(LIVE, traffic)
    }

    /// The states that a circuit went through.
    fn path(&self, which: Which) -> Vec<State> {
        self.changes.iter().filter(|change| change.which == which).map(|change| change.to).collect()
    }

    fn last_why(&self) -> super::super::state::Why {
        self.changes.last().unwrap().why
    }
}

#[track_caller]
fn admitted(answer: Answer) -> Pass {
    match answer {
        Answer::Admit(pass) => pass,
        _ => panic!("{answer:?}"),
    }
}

#[track_caller]
fn probe(answer: Answer) -> Pass {
    let pass = admitted(answer);
    assert!(matches!(pass.ticket.role, Role::Probe(_)), "{pass:?}");
    pass
}

#[track_caller]
fn asked(answer: Answer) -> Pass {
    match answer {
        Answer::Ask(pass) => pass,
        _ => panic!("{answer:?}"),
    }
}

#[track_caller]
fn refused(answer: Answer) -> Duration {
    match answer {
        Answer::Refuse(Some(wait)) => wait,
        _ => panic!("{answer:?}"),
    }
}

fn is_refused(answer: Answer) -> bool {
    matches!(answer, Answer::Refuse(_))
}

const REASONS: [RateLimitReason; 7] = [
    RateLimitReason::GlobalRate,
    RateLimitReason::GlobalConcurrency,
    RateLimitReason::EndpointRate,
    RateLimitReason::EndpointConcurrency,
    RateLimitReason::ResourceSpecific,
    RateLimitReason::Other,
    RateLimitReason::Unstated,
];
