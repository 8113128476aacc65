//! The scheduler beside a naive one, which looks at everybody each millisecond.

use proptest::prelude::*;

use super::*;

const OPERATIONS: [&str; 3] = ["balance.retrieve", "charges.list", "refunds.create"];

struct NaiveBucket {
    interval: Tick,
    burst: u32,
    missing: Tick,
}

impl NaiveBucket {
    fn new(interval: Tick, burst: u32) -> Self {
        Self { interval, burst, missing: 0 }
    }

    fn has(&self, kept: u32) -> bool {
        self.missing + self.interval * u64::from(kept + 1) <= self.interval * u64::from(self.burst)
    }
}

struct Naive {
    global: NaiveBucket,
    own: [NaiveBucket; 3],
    in_flight: u32,
    max_in_flight: u32,
    lingering: Vec<Tick>,
    /// In the order of arrival: number, operation, priority.
    waiting: Vec<(usize, usize, Priority)>,
    passed: [u32; 3],
}

impl Naive {
    fn millisecond_passes(&mut self) {
        for bucket in self.own.iter_mut().chain([&mut self.global]) {
            bucket.missing = bucket.missing.saturating_sub(MS);
        }
    }

    fn admit(&mut self, now: Tick) -> Vec<usize> {
        let before = self.lingering.len();
        self.lingering.retain(|until| *until > now);
        self.in_flight -= (before - self.lingering.len()) as u32;
        let mut admitted = Vec::new();
        loop {
            let mut can: Vec<_> = self
                .waiting
                .iter()
                .copied()
                .filter(|(_, operation, priority)| {
                    let all = *priority == Priority::Critical || self.passed[level(*priority)] >= 49;
                    let kept = |share| if all { 0 } else { share };
                    self.global.has(kept(1))
                        && self.own[*operation].has(0)
                        && self.in_flight + kept(self.max_in_flight / 5) < self.max_in_flight
                })
                .collect();
            can.sort_by_key(|(who, _, priority)| {
                (self.passed[level(*priority)] < 49, level(*priority), *who)
            });
            let Some(&(who, operation, priority)) = can.first() else { return admitted };
            self.waiting.retain(|(other, ..)| *other != who);
            self.global.missing += self.global.interval;
            self.own[operation].missing += self.own[operation].interval;
            self.in_flight += 1;
            admitted.push(who);
            self.passed[level(priority)] = 0;
            for less in level(priority) + 1..3 {
                let waits = self.waiting.iter().any(|(.., other)| level(*other) == less);
                self.passed[less] = if waits { self.passed[less] + 1 } else { 0 };
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(usize, Priority),
    Cancel(prop::sample::Index),
    End(prop::sample::Index, bool),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let priority = prop_oneof![
        6 => Just(Priority::Critical),
        2 => Just(Priority::Normal),
        1 => Just(Priority::Background)
    ];
    let step = prop_oneof![
        12 => (0..3_usize, priority).prop_map(|(operation, priority)| Step::Arrive(operation, priority)),
        1 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        8 => (any::<prop::sample::Index>(), prop::bool::weighted(0.1))
            .prop_map(|(which, timeout)| Step::End(which, timeout)),
        6 => (0_u64..30).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn it_admits_whom_a_naive_scheduler_admits_and_when(
        steps in steps(),
        (each, in_flight) in (prop_oneof![Just(25_u32), Just(50), Just(200)], 3_u32..12),
    ) {
        let limits = limits(
            Limit::per_second(n(100)).burst(5).in_flight(in_flight),
            Limit::per_second(n(each)).burst(2),
        );
        let mut bench = Bench::new(&limits, settings());
        let own = || NaiveBucket::new(SECOND / u64::from(each), 2);
        let mut naive = Naive {
            global: NaiveBucket::new(10 * MS, 5),
            own: [own(), own(), own()],
            in_flight: 0,
            max_in_flight: in_flight,
            lingering: Vec::new(),
            waiting: Vec::new(),
            passed: [0; 3],
        };
        let mut grants: Vec<Grant> = Vec::new();
        let settle = |bench: &mut Bench, naive: &mut Naive, grants: &mut Vec<Grant>, first: Option<(usize, Grant)>| {
            let ended = bench.run();
            let mut ours: Vec<usize> = first.iter().map(|(who, _)| *who).collect();
            grants.extend(first.map(|(_, grant)| grant));
            for (who, end) in ended {
                let End::Granted(grant) = end else { panic!("{end:?}") };
                ours.push(who);
                grants.push(grant);
            }
            let mut theirs = naive.admit(bench.now);
            // Who looks first is not who was admitted first.
            ours.sort_unstable();
            theirs.sort_unstable();
            assert_eq!(ours, theirs, "at {} ms", bench.now / MS);
        };
        for step in steps {
            match step {
                Step::Arrive(operation, priority) => {
                    if naive.waiting.iter().all(|(.., other)| *other != priority) {
                        naive.passed[level(priority)] = 0;
                    }
                    let (who, end) = bench.arrive(&call(OPERATIONS[operation], priority));
                    naive.waiting.push((who, operation, priority));
                    let first = match end {
                        Some(End::Granted(grant)) => Some((who, grant)),
                        Some(End::Refused(refusal)) => panic!("{refusal}"),
                        None => None,
                    };
                    settle(&mut bench, &mut naive, &mut grants, first);
                }
                Step::Cancel(which) if !naive.waiting.is_empty() => {
                    let (who, ..) = naive.waiting.remove(which.index(naive.waiting.len()));
                    bench.abandon(who);
                    settle(&mut bench, &mut naive, &mut grants, None);
                }
                Step::End(which, timeout) if !grants.is_empty() => {
                    let grant = grants.swap_remove(which.index(grants.len()));
                    if timeout {
                        naive.lingering.push(bench.now + LINGER);
                    } else {
                        naive.in_flight -= 1;
                    }
                    let leave = if timeout { Leave::TimedOut } else { Leave::Ended };
                    bench.account.leave(&grant, leave, bench.now);
                    settle(&mut bench, &mut naive, &mut grants, None);
                }
                Step::Pass(milliseconds) => {
                    for _ in 0..milliseconds {
                        bench.now += MS;
                        naive.millisecond_passes();
                        settle(&mut bench, &mut naive, &mut grants, None);
                    }
                }
                Step::Cancel(_) | Step::End(..) => {}
            }
        }
    }
}
