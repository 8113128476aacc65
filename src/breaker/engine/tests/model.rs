//! Whatever happens: what must hold always.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Wait(u64),
    Ask(Traffic, Tier),
    /// Ends one of those under way.
    End(usize, Outcome, bool),
    /// Loses one: its end is never told.
    Lose(usize),
    Drop(usize),
    Control(Traffic, Control),
    Reset(Traffic),
}

fn traffic() -> impl Strategy<Value = Traffic> {
    prop_oneof![Just(Traffic::Read), Just(Traffic::Write)]
}

fn tier() -> impl Strategy<Value = Tier> {
    prop_oneof![Just(Tier::Harmless), Just(Tier::Money), Just(Tier::Last)]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::ServerError),
        3 => Just(Outcome::Success),
        1 => Just(Outcome::RateLimited(RateLimitReason::GlobalRate)),
        1 => Just(Outcome::Transport(FailureKind::Timeout)),
        2 => Just(Outcome::Transport(FailureKind::Tcp)),
        1 => Just(Outcome::Cancelled),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_u64..2_000).prop_map(Act::Wait),
        1 => (0_u64..100_000).prop_map(Act::Wait),
        10 => (traffic(), tier()).prop_map(|(traffic, tier)| Act::Ask(traffic, tier)),
        10 => (any::<usize>(), outcome(), any::<bool>()).prop_map(|(i, outcome, own)| Act::End(i, outcome, own)),
        1 => any::<usize>().prop_map(Act::Lose),
        1 => any::<usize>().prop_map(Act::Drop),
    ]
}

fn command() -> impl Strategy<Value = Act> {
    let control = prop_oneof![
        3 => Just(Control::Automatic),
        1 => Just(Control::ForcedOpen),
        1 => Just(Control::ForcedClosed),
        1 => Just(Control::Disabled),
        1 => Just(Control::ObserveOnly),
    ];
    prop_oneof![
        (traffic(), control).prop_map(|(traffic, control)| Act::Control(traffic, control)),
        traffic().prop_map(Act::Reset),
    ]
}

/// A world after `acts`, and who is still under way.
struct Run {
    world: World,
    under_way: Vec<(Pass, Instant)>,
    /// Probes that have not ended and whose time is not over: of the reads, of the writes, of the dials.
    leases: Vec<(Pass, Instant)>,
}

impl Run {
    fn new() -> Self {
        let builder = BreakerConfig::builder().consecutive_failures(3).min_calls(8);
        Self { world: World::with(builder), under_way: Vec::new(), leases: Vec::new() }
    }

    fn act(&mut self, act: Act) {
        self.world.draw = self.world.draw.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let pick = |under_way: &mut Vec<(Pass, Instant)>, i: usize| {
            (!under_way.is_empty()).then(|| under_way.swap_remove(i % under_way.len()))
        };
        match act {
            Act::Wait(time) => self.world.wait(ms(time)),
            Act::Ask(traffic, tier) => self.ask(traffic, tier),
            Act::End(i, outcome, genuine) => {
                if let Some((pass, sent)) = pick(&mut self.under_way, i) {
                    self.leases.retain(|lease| lease.0 != pass);
                    self.world.end_sent(pass, outcome, genuine, sent);
                }
            }
            Act::Lose(i) => {
                pick(&mut self.under_way, i);
            }
            Act::Drop(i) => {
                if let Some((pass, _)) = pick(&mut self.under_way, i) {
                    self.leases.retain(|lease| lease.0 != pass);
                    self.world.drop(pass);
                }
            }
            Act::Control(traffic, control) => self.world.control(traffic, control),
            Act::Reset(traffic) => {
                self.world.step(|engine, step| engine.reset(step, LIVE, traffic));
            }
        }
    }

    fn ask(&mut self, traffic: Traffic, tier: Tier) {
        let (Answer::Admit(pass) | Answer::Ask(pass)) = self.world.admit_in(LIVE, traffic, tier) else {
            return;
        };
        let now = self.world.now;
        self.leases.retain(|(_, began)| now - *began < self.world.rules.probe_lease);
        for (other, _) in &self.leases {
            // A second lease of the same generation, while the first is held, would be a second probe.
            let twice = |a: Ticket, b: Ticket| a.is_probe() && b.is_probe() && a.generation == b.generation;
            let same = other.traffic == pass.traffic && twice(other.ticket, pass.ticket);
            assert!(!same && !twice(other.local, pass.local), "{other:?} {pass:?}");
        }
        if pass.is_probe() {
            self.leases.push((pass, now));
        }
        self.under_way.push((pass, now));
    }

    /// From here on all is well, and calls of this kind come at this spacing: how many until the circuit is closed.
    fn heal(&mut self, traffic: Traffic, tier: Tier, spacing: Duration, limit: u32) -> Option<u32> {
        for n in 0..limit {
            self.world.wait(spacing);
            for _ in 0..4 {
                match self.world.admit_in(LIVE, traffic, tier) {
                    Answer::Ask(pass) => self.world.end(pass, Outcome::Success),
                    Answer::Admit(pass) => {
                        self.world.end(pass, Outcome::Success);
                        break;
                    }
                    Answer::Refuse(_) => break,
                }
            }
            if self.world.state(traffic) == State::Closed && self.world.engine.local_state() == State::Closed
            {
                return Some(n);
            }
        }
        None
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_two_live_leases_and_never_stuck(
        acts in prop::collection::vec(act(), 0..120),
        spacing in prop_oneof![1_u64..100, 100_u64..10_000, 10_000_u64..=600_000],
        (traffic, tier) in prop_oneof![
            Just((Traffic::Read, Tier::Harmless)),
            Just((Traffic::Write, Tier::Harmless)),
            Just((Traffic::Write, Tier::Money)),
            Just((Traffic::Write, Tier::Last)),
        ],
    ) {
        let mut run = Run::new();
        acts.into_iter().for_each(|act| run.act(act));
        // What is under way may still hold leases, for 5 s each and one after the other at most; then intervals of up to
        // 5 s, the graces, and three probes. A call that comes rarely finds all of that over each time.
        let limit = 60_000 / spacing + 12;
        let healed = run.heal(traffic, tier, ms(spacing), limit as u32);
        prop_assert!(healed.is_some(), "{:?}", run.world.engine);
    }

    #[test]
    fn mixed_traffic_heals_both(acts in prop::collection::vec(act(), 0..120), spacing in 1_u64..=600_000) {
        let mut run = Run::new();
        acts.into_iter().for_each(|act| run.act(act));
        for _ in 0..60_000 / spacing + 12 {
            run.heal(Traffic::Write, Tier::Last, ms(spacing), 1);
            run.heal(Traffic::Read, Tier::Harmless, Duration::ZERO, 1);
            if [Traffic::Read, Traffic::Write].map(|traffic| run.world.state(traffic)) == [State::Closed; 2] {
                break;
            }
        }
        prop_assert_eq!(run.world.state(Traffic::Read), State::Closed);
        prop_assert_eq!(run.world.state(Traffic::Write), State::Closed);
    }

    #[test]
    fn commands_at_any_time_leave_nothing_behind(
        acts in prop::collection::vec(prop_oneof![4 => act(), 1 => command()], 0..150),
    ) {
        let mut run = Run::new();
        for act in acts {
            run.act(act);
            for traffic in [Traffic::Read, Traffic::Write] {
                let state = run.world.state(traffic);
                match run.world.engine.control_of(LIVE, traffic) {
                    Control::ForcedOpen => {
                        prop_assert_eq!(state, State::Open);
                        prop_assert_eq!(run.world.admit_in(LIVE, traffic, HARMLESS), Answer::Refuse(None));
                    }
                    Control::ForcedClosed | Control::Disabled => {
                        prop_assert_eq!(state, State::Closed);
                        let pass = admitted(run.world.admit_in(LIVE, traffic, HARMLESS));
                        prop_assert!(!pass.ticket.is_probe());
                        run.world.drop(pass);
                    }
                    Control::ObserveOnly => {
                        let pass = admitted(run.world.admit_in(LIVE, traffic, HARMLESS));
                        run.world.drop(pass);
                    }
                    Control::Automatic => {}
                }
            }
        }
        for traffic in [Traffic::Read, Traffic::Write] {
            run.world.control(traffic, Control::Automatic);
        }
        prop_assert!(run.heal(Traffic::Write, Tier::Last, ms(1_000), 80).is_some());
        prop_assert!(run.heal(Traffic::Read, HARMLESS, ms(1_000), 80).is_some());
    }

    /// A closed circuit opens exactly when one of its rules is met, as counted by hand.
    #[test]
    fn it_opens_when_a_rule_is_met_and_not_before(
        calls in prop::collection::vec((0_u64..3_000, any::<bool>()), 1..200),
    ) {
        let mut world = World::with(BreakerConfig::builder().consecutive_failures(6).min_calls(12));
        let mut past: Vec<(u64, bool)> = Vec::new();
        let mut now = 0;
        for (wait, failed) in calls {
            now += wait;
            world.wait(ms(wait));
            world.calls(Traffic::Write, 1, if failed { Outcome::ServerError } else { Outcome::Success });
            past.push((now / 6_000, failed));
            past.retain(|(bucket, _)| bucket + 10 > now / 6_000);
            let failures = past.iter().filter(|(_, failed)| *failed).count();
            let run = past.iter().rev().take_while(|(_, failed)| *failed).count();
            let opens = run >= 6 || past.len() >= 12 && failures * 2 >= past.len();
            prop_assert_eq!(world.state(Traffic::Write) == State::Open, opens);
            if opens {
                break;
            }
        }
    }
}
