//! An outage of 30 s at 200 calls a second: how much still gets through, and how soon all is well again.

use std::collections::BTreeMap;

use super::*;

const OUTAGE: Duration = seconds(30);
const FAILS_AFTER: Duration = ms(20);
const ANSWERS_AFTER: Duration = ms(100);
const CALLS_PER_SECOND: u64 = 200;

#[derive(Clone, Copy)]
enum Event {
    Arrival,
    /// A call that may have waited for a GET of our own.
    Ask(Traffic, Tier),
    End {
        pass: Pass,
        sent: Instant,
        failed: bool,
        /// Who asks again then.
        after: Option<(Traffic, Tier)>,
    },
}

struct Figures {
    attempts: u32,
    recovery: Duration,
}

struct Simulation {
    world: World,
    draws: u64,
    events: BTreeMap<(Instant, u64), Event>,
    number: u64,
    down: std::ops::Range<Instant>,
    attempts: u32,
}

impl Simulation {
    fn draw(&mut self) -> u64 {
        self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.draws ^ (self.draws >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn push(&mut self, wait: Duration, event: Event) {
        self.number += 1;
        self.events.insert((self.world.now + wait, self.number), event);
    }

    fn send(&mut self, pass: Pass, after: Option<(Traffic, Tier)>) {
        let sent = self.world.now;
        let failed = self.down.contains(&sent);
        self.attempts += u32::from(failed);
        let wait = if failed { FAILS_AFTER } else { ANSWERS_AFTER };
        self.push(wait, Event::End { pass, sent, failed, after });
    }

    fn ask(&mut self, traffic: Traffic, tier: Tier) {
        match self.world.admit_in(LIVE, traffic, tier) {
            Answer::Admit(pass) => self.send(pass, None),
            Answer::Ask(pass) => self.send(pass, Some((traffic, tier))),
            Answer::Refuse(_) => {}
        }
    }

    fn run(seed: u64, mix: fn(u64) -> (Traffic, Tier)) -> Figures {
        let world = World::new();
        let began = world.now + seconds(5);
        let mut this = Self {
            world,
            draws: seed,
            events: BTreeMap::new(),
            number: 0,
            down: began..began + OUTAGE,
            attempts: 0,
        };
        // The phase of the outage against the calls.
        this.push(Duration::from_micros(seed * 997 % 5_000), Event::Arrival);
        let over = this.down.end;
        while let Some(((at, _), event)) = this.events.pop_first() {
            this.world.now = at;
            this.world.draw = this.draw();
            match event {
                Event::Arrival => {
                    let (traffic, tier) = mix(this.draw() % 100);
                    this.ask(traffic, tier);
                    let gap = this.draw() % (2_000_000 / CALLS_PER_SECOND);
                    this.push(Duration::from_micros(gap), Event::Arrival);
                }
                Event::Ask(traffic, tier) => this.ask(traffic, tier),
                Event::End { pass, sent, failed, after } => {
                    let outcome = if failed { Outcome::ServerError } else { Outcome::Success };
                    this.world.end_sent(pass, outcome, true, sent);
                    if let Some((traffic, tier)) = after {
                        this.push(Duration::ZERO, Event::Ask(traffic, tier));
                    }
                }
            }
            let closed = [Traffic::Read, Traffic::Write].map(|traffic| this.world.state(traffic));
            if at > over && closed == [State::Closed; 2] {
                break;
            }
            assert!(at < over + seconds(120), "it does not recover");
        }
        let closed_at = this.world.changes.last().map_or(over, |change| change.at);
        let recovery = (closed_at + this.world.rules.ramp).saturating_duration_since(over);
        Figures { attempts: this.attempts, recovery }
    }
}

/// Half reads, a fifth harmless writes, the rest payments.
fn mixed(draw: u64) -> (Traffic, Tier) {
    match draw {
        0..50 => (Traffic::Read, Tier::Harmless),
        50..70 => (Traffic::Write, Tier::Harmless),
        _ => (Traffic::Write, Tier::Money),
    }
}

fn payments_only(_: u64) -> (Traffic, Tier) {
    (Traffic::Write, Tier::Money)
}

fn unrepeatable_only(_: u64) -> (Traffic, Tier) {
    (Traffic::Write, Tier::Last)
}

fn reads_only(_: u64) -> (Traffic, Tier) {
    (Traffic::Read, Tier::Harmless)
}

/// The most attempts, and median and 90th percentile of the recovery.
fn figures(name: &str, phases: usize, mix: fn(u64) -> (Traffic, Tier)) -> (u32, Duration, Duration) {
    let runs: Vec<_> = (0..phases as u64).map(|seed| Simulation::run(seed, mix)).collect();
    let mut attempts: Vec<_> = runs.iter().map(|run| run.attempts).collect();
    let mut recovery: Vec<_> = runs.iter().map(|run| run.recovery).collect();
    attempts.sort_unstable();
    recovery.sort_unstable();
    println!(
        "{name}: attempts during the outage: median {}, most {}; recovery: median {:?}, p90 {:?}, longest {:?}",
        attempts[phases / 2],
        attempts[phases - 1],
        recovery[phases / 2],
        recovery[phases * 9 / 10],
        recovery[phases - 1]
    );
    (attempts[phases - 1], recovery[phases / 2], recovery[phases * 9 / 10])
}

#[test]
fn an_outage_is_left_alone_and_its_end_is_noticed_soon() {
    let (attempts, median, p90) = figures("mixed", 100, mixed);
    assert!(attempts <= 60, "{attempts} attempts");
    assert!(median < seconds(3), "{median:?}");
    assert!(p90 < seconds(6), "{p90:?}");
}

#[test]
fn it_recovers_by_any_traffic_alone() {
    for (name, mix, limit) in [
        ("payments only", payments_only as fn(u64) -> _, seconds(4)),
        ("unrepeatable only", unrepeatable_only, seconds(6)),
        ("reads only", reads_only, seconds(4)),
    ] {
        let (attempts, median, _) = figures(name, 20, mix);
        assert!(attempts <= 60, "{name}: {attempts} attempts");
        assert!(median < limit, "{name}: {median:?}");
    }
}
