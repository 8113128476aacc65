mod model;
mod rules;
mod walk;

use std::collections::BTreeMap;

use super::*;
use crate::governor::{
    Bucket, Limit,
    tests::{n, operation},
};

const MS: Tick = 1_000_000;

/// An account with a caller's timers and wake-ups: who is woken, or whose time has come, looks.
struct Bench {
    account: Account<usize>,
    now: Tick,
    /// Who waits, by number, and when each looks by itself.
    waiting: BTreeMap<usize, (Ticket, Tick)>,
    arrivals: usize,
    looks: usize,
}

/// What became of a caller.
#[derive(Debug)]
enum End {
    Granted(Grant),
    Refused(Refusal),
}

impl Bench {
    fn new(limits: &Limits, settings: Settings) -> Self {
        let account = Account::new(Mode::Live, Arc::new(limits.clone()), settings);
        Self { account, now: 0, waiting: BTreeMap::new(), arrivals: 0, looks: 0 }
    }

    /// The number of the newcomer, and what became of it if that is known.
    fn arrive(&mut self, call: &Call) -> (usize, Option<End>) {
        self.arrivals += 1;
        let end = match self.account.admit(call, self.now) {
            Admission::Now(grant) => Some(End::Granted(grant)),
            Admission::No(refusal) => Some(End::Refused(refusal)),
            Admission::Wait(ticket) => {
                self.waiting.insert(self.arrivals, (ticket, 0));
                None
            }
        };
        (self.arrivals, end)
    }

    fn abandon(&mut self, who: usize) {
        if let Some((ticket, _)) = self.waiting.remove(&who) {
            self.account.abandon(ticket, self.now);
        }
    }

    /// Lets all look who are woken, or whose time has come.
    fn run(&mut self) -> Vec<(usize, End)> {
        let mut ended = Vec::new();
        loop {
            self.account.woken().into_iter().for_each(|who| self.wake(who));
            let due = self.waiting.iter().find(|(_, (_, at))| *at <= self.now);
            let Some((&who, &(ticket, _))) = due else { return ended };
            self.looks += 1;
            match self.account.look(ticket, self.now, |_| Some(who)).0 {
                Look::Until(at) => {
                    assert!(at > self.now, "it would look again at once");
                    self.waiting.insert(who, (ticket, at));
                }
                Look::Granted(grant) => {
                    self.waiting.remove(&who);
                    ended.push((who, End::Granted(grant)));
                }
                Look::Refused(refusal) => {
                    self.waiting.remove(&who);
                    ended.push((who, End::Refused(refusal)));
                }
            }
        }
    }

    fn wake(&mut self, who: usize) {
        if let Some((_, at)) = self.waiting.get_mut(&who) {
            *at = 0;
        }
    }

    fn next_alarm(&self) -> Option<Tick> {
        self.waiting.values().map(|(_, at)| *at).min()
    }
}

fn settings() -> Settings {
    Settings { max_queue: 1_024, reserve: Ratio::percent(20) }
}

fn call(name: &str, priority: Priority) -> Call {
    let operation = operation(name);
    Call {
        operation,
        route: Route::of(operation, Mode::Live),
        priority,
        deadline: 3_600 * SECOND,
        object: None,
        alone: false,
        probe: false,
    }
}

fn limits(global: Limit, each: Limit) -> Limits {
    let mut limits = Limits::default();
    limits.replace(Mode::Live, Bucket::Global, global);
    limits.replace(Mode::Live, Bucket::EachOperation, each);
    limits
}
