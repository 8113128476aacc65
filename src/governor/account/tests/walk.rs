//! Everything that can happen to an account, at random: what must hold whatever happens.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const OPERATIONS: [&str; 4] = ["balance.retrieve", "charges.list", "refunds.update", "payouts.create"];
const PRIORITIES: [Priority; 3] = [Priority::Critical, Priority::Normal, Priority::Background];

#[derive(Clone, Debug)]
enum Step {
    Arrive { operation: usize, priority: usize, object: Option<Object>, patience: Tick },
    Probe,
    Abandon(prop::sample::Index),
    Leave(prop::sample::Index, Leave),
    Limited(prop::sample::Index, RateLimitReason),
    Retune(u32, u32),
    Pass(Tick),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<prop::sample::Index>;
    let leave = prop_oneof![2 => Just(Leave::Unsent), 4 => Just(Leave::Ended), 1 => Just(Leave::TimedOut)];
    let reason = prop_oneof![
        Just(RateLimitReason::GlobalRate),
        Just(RateLimitReason::EndpointRate),
        Just(RateLimitReason::GlobalConcurrency),
        Just(RateLimitReason::EndpointConcurrency),
        Just(RateLimitReason::ResourceSpecific),
        Just(RateLimitReason::Unstated),
    ];
    let arrive = (0..4_usize, 0..3_usize, prop::option::of(0..3_u64), 1..5_000_u64);
    let step = prop_oneof![
        40 => arrive.prop_map(|(operation, priority, object, patience)| {
            let object = object.filter(|_| operation == 2);
            Step::Arrive { operation, priority, object, patience: patience * MS }
        }),
        1 => Just(Step::Probe),
        5 => index().prop_map(Step::Abandon),
        30 => (index(), leave).prop_map(|(which, leave)| Step::Leave(which, leave)),
        2 => (index(), reason).prop_map(|(which, reason)| Step::Limited(which, reason)),
        1 => (1..200_u32, 2..12_u32).prop_map(|(rate, burst)| Step::Retune(rate, burst)),
        20 => (0..100_000_u64).prop_map(|time| Step::Pass(time * 1_000)),
    ];
    prop::collection::vec(step, 1..500)
}

/// Never more in flight than may be, nobody with an object that another holds.
fn check(account: &Account<usize>, grants: &[Grant], limit: u32) {
    let held = grants.iter().filter(|grant| grant.slot).count() + account.lingering.len();
    assert_eq!(account.allowances[GLOBAL].slots.used(), held as u32);
    assert!(held <= limit as usize, "{held} in flight");
    let mut objects = BTreeSet::new();
    for object in grants.iter().filter_map(|grant| grant.holds) {
        assert!(objects.insert(object), "two hold {object}");
    }
    assert!(account.queue.len() <= account.settings.max_queue);
    let (objects, cooling) = account.objects.sizes();
    assert!(objects <= grants.len() + account.queue.len() && cooling <= 3);
}

/// Those that were kept would fit through a bucket of this pace.
fn check_pace(kept: &[Tick], rate: u32, burst: u32) {
    let (mut missing, mut last) = (0_u64, 0);
    let interval = SECOND / u64::from(rate);
    for at in kept {
        missing = missing.saturating_sub(at - last) + interval;
        last = *at;
        assert!(missing <= interval * u64::from(burst), "one too many at {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_lost_and_nothing_exceeds_its_limit(steps in steps(), retunes in any::<bool>()) {
        let limit = Limit::per_second(n(100)).burst(5).in_flight(10);
        let limits = limits(limit, Limit::per_second(n(50)).burst(2));
        let mut bench = Bench::new(&limits, Settings { max_queue: 12, reserve: Ratio::percent(20) });
        let mut grants: Vec<(Grant, Option<Tick>)> = Vec::new();
        let mut kept: Vec<Tick> = Vec::new();
        let mut deadlines = BTreeMap::new();
        let steps = steps.into_iter().filter(|step| retunes || !matches!(step, Step::Retune(..)));
        let mut steady = true;
        for step in steps {
            steady &= !matches!(step, Step::Limited(..));
            match step {
                Step::Arrive { operation, priority, object, patience } => {
                    let deadline = bench.now + patience;
                    let call = Call { deadline, object, alone: true, ..call(OPERATIONS[operation], PRIORITIES[priority]) };
                    let (who, end) = bench.arrive(&call);
                    deadlines.insert(who, deadline);
                    if let Some(End::Granted(grant)) = end {
                        grants.push((grant, Some(bench.now)));
                    }
                }
                Step::Probe => {
                    let call = Call { probe: true, ..call(OPERATIONS[0], Priority::Normal) };
                    let (_, end) = bench.arrive(&call);
                    let Some(End::Granted(grant)) = end else { panic!("{end:?}") };
                    prop_assert!(!grant.slot);
                    grants.push((grant, None));
                }
                Step::Abandon(which) if !bench.waiting.is_empty() => {
                    let who = *which.get(&bench.waiting.keys().copied().collect::<Vec<_>>());
                    bench.abandon(who);
                }
                Step::Leave(which, leave) if !grants.is_empty() => {
                    let (grant, at) = grants.swap_remove(which.index(grants.len()));
                    bench.account.leave(&grant, leave, bench.now);
                    kept.extend(at.filter(|_| leave != Leave::Unsent));
                }
                Step::Limited(which, reason) if !grants.is_empty() => {
                    let (grant, _) = grants[which.index(grants.len())];
                    bench.account.limited(reason, grant.needs, grant.holds, bench.now, bench.now);
                }
                Step::Retune(rate, burst) => {
                    let mut limits = limits.clone();
                    limits.replace(Mode::Live, Bucket::Global, Limit::per_second(n(rate)).burst(burst).in_flight(10));
                    bench.account.retune(&Arc::new(limits), bench.now);
                }
                Step::Pass(time) => {
                    let then = bench.now + time;
                    while let Some(at) = bench.next_alarm().filter(|at| *at <= then) {
                        bench.now = bench.now.max(at);
                        for (who, end) in bench.run() {
                            if let End::Granted(grant) = end {
                                grants.push((grant, Some(bench.now)));
                            } else if let End::Refused(Refusal::DeadlineExceeded) = end {
                                prop_assert!(bench.now >= deadlines[&who]);
                            }
                        }
                    }
                    bench.now = then;
                }
                Step::Abandon(_) | Step::Leave(..) | Step::Limited(..) => {}
            }
            for (_, end) in bench.run() {
                if let End::Granted(grant) = end {
                    grants.push((grant, Some(bench.now)));
                }
            }
            let held: Vec<Grant> = grants.iter().map(|(grant, _)| *grant).collect();
            check(&bench.account, &held, 10);
            // Nobody who could go is left to wait, and somebody looks when the next one can. (A rate that grows in
            // steps may bring that forward whenever anybody looks.)
            let (now, waiting, alarm) = (bench.now, bench.account.queue.len(), bench.next_alarm());
            let next = bench.account.dispatch(now);
            prop_assert!(!steady || bench.account.queue.len() == waiting, "somebody could have gone");
            prop_assert!(next.is_none_or(|(at, _)| at > now));
            let covered = next.is_none_or(|(at, _)| at == Tick::MAX || alarm.is_some_and(|alarm| alarm <= at));
            prop_assert!(!steady || covered, "nobody would look in time");
            let woken = bench.account.woken();
            woken.into_iter().for_each(|who| bench.wake(who));
            for (_, end) in bench.run() {
                if let End::Granted(grant) = end {
                    grants.push((grant, Some(bench.now)));
                }
            }
        }
        kept.extend(grants.iter().filter_map(|(_, at)| *at));
        kept.sort_unstable();
        if !retunes {
            check_pace(&kept, 100, 5);
        }

        // All end: whoever waits gets its turn, and then everything is as it was.
        for (grant, _) in grants.drain(..) {
            bench.account.leave(&grant, Leave::Ended, bench.now);
        }
        let mut rounds = 0;
        loop {
            for (_, end) in bench.run() {
                if let End::Granted(grant) = end {
                    bench.account.leave(&grant, Leave::Ended, bench.now);
                }
            }
            rounds += 1;
            prop_assert!(rounds < 10_000, "it does not end");
            match bench.next_alarm() {
                Some(at) => bench.now = bench.now.max(at),
                None => break,
            }
        }
        bench.now += 200 * SECOND;
        prop_assert!(bench.account.is_idle_since(bench.now - 100 * SECOND, bench.now));
        prop_assert_eq!(bench.account.objects.sizes().0, 0);
        let slots = bench.account.allowances.iter().map(|allowance| allowance.slots.used());
        prop_assert_eq!(slots.sum::<u32>(), 0);
        prop_assert_eq!(bench.account.waiting(), [0; 3]);
    }
}
