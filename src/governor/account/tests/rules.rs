//! One rule after the other.

use super::*;

fn unlimited() -> Limits {
    limits(Limit::UNLIMITED, Limit::UNLIMITED)
}

fn granted(end: Option<End>) -> Grant {
    match end {
        Some(End::Granted(grant)) => grant,
        other => panic!("{other:?}"),
    }
}

fn refused(end: Option<End>) -> Refusal {
    match end {
        Some(End::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// Which of the waiters were admitted by now.
fn admitted(bench: &mut Bench) -> Vec<usize> {
    let ended = bench.run().into_iter();
    ended.map(|(who, end)| if let End::Granted(_) = end { who } else { panic!("{end:?}") }).collect()
}

#[test]
fn a_turn_after_the_deadline_is_refused_at_once_and_says_how_long_the_wait_would_be() {
    let limits = limits(Limit::per_second(n(10)).burst(2), Limit::UNLIMITED);
    let mut bench = Bench::new(&limits, settings());
    let call = call("balance.retrieve", Priority::Critical);
    (0..2).for_each(|_| {
        granted(bench.arrive(&call).1);
    });
    (0..4).for_each(|_| assert!(bench.arrive(&call).1.is_none()));
    let wait = Duration::from_millis(500);
    let late = Call { deadline: 499 * MS, ..call };
    assert_eq!(refused(bench.arrive(&late).1), Refusal::WaitTooLong { wait });
    let just = Call { deadline: 500 * MS, ..call };
    assert!(bench.arrive(&just).1.is_none());
    let past = Call { deadline: 0, ..call };
    assert_eq!(refused(bench.arrive(&past).1), Refusal::DeadlineExceeded);
}

#[test]
fn calls_of_others_that_wait_for_their_own_rule_do_not_count_for_the_wait() {
    let mut limits = limits(Limit::per_second(n(100)).burst(10), Limit::UNLIMITED);
    let slow = operation("charges.list");
    limits.replace(Mode::Live, Bucket::Operation(slow), Limit::per_second(n(1)).burst(2));
    let mut bench = Bench::new(&limits, settings());
    let slow = call("charges.list", Priority::Normal);
    (0..300).for_each(|_| drop(bench.arrive(&slow)));
    assert_eq!(bench.account.waiting(), [0, 298, 0]);
    // Six of eight tokens that are not in reserve are left; then one comes each 10 ms, and the slow ones take but one.
    let soon = Call { deadline: 50 * MS, ..call("balance.retrieve", Priority::Normal) };
    (0..6).for_each(|_| {
        granted(bench.arrive(&soon).1);
    });
    (0..5).for_each(|_| assert!(bench.arrive(&soon).1.is_none()));
    assert_eq!(refused(bench.arrive(&soon).1), Refusal::WaitTooLong { wait: Duration::from_millis(60) });
    bench.run();
    bench.now = 50 * MS;
    assert_eq!(admitted(&mut bench).len(), 5);
}

#[test]
fn it_is_not_refused_for_a_wait_that_ends_earlier_when_the_rate_has_grown_back() {
    let limits = limits(Limit::per_second(n(100)).burst(2), Limit::UNLIMITED);
    let mut bench = Bench::new(&limits, settings());
    let call = call("balance.retrieve", Priority::Critical);
    let grant = granted(bench.arrive(&call).1);
    for at in 1..8 {
        bench.account.limited(RateLimitReason::GlobalRate, grant.needs, None, at, at);
    }
    // At 1/s for ever, the 60th would wait for a minute; by then it is 100/s again.
    let patient = Call { deadline: 20 * SECOND, ..call };
    bench.account.leave(&grant, Leave::Ended, 8);
    let ends: Vec<_> = (0..100).map(|_| bench.arrive(&patient).1).collect();
    let refused = ends.iter().filter(|end| matches!(end, Some(End::Refused(_)))).count();
    let mut served = 0;
    while let Some(at) = bench.next_alarm() {
        bench.now = bench.now.max(at);
        for (_, end) in bench.run() {
            served += usize::from(matches!(end, End::Granted(_)));
        }
    }
    assert_eq!((refused, served), (0, 99), "in {} s", bench.now / SECOND);
    assert!(bench.now < 20 * SECOND);
}

#[test]
fn a_full_queue_refuses_the_newest_of_the_least_urgent() {
    let limits = limits(Limit::UNLIMITED.in_flight(1), Limit::UNLIMITED);
    let mut bench = Bench::new(&limits, Settings { max_queue: 3, ..settings() });
    let with = |priority| call("balance.retrieve", priority);
    let first = granted(bench.arrive(&with(Priority::Normal)).1);
    let old = bench.arrive(&with(Priority::Background)).0;
    let new = bench.arrive(&with(Priority::Background)).0;
    let normal = bench.arrive(&with(Priority::Normal)).0;
    bench.run();
    assert!(matches!(refused(bench.arrive(&with(Priority::Background)).1), Refusal::Saturated { .. }));
    let critical = bench.arrive(&with(Priority::Critical)).0;
    let shed = bench.run();
    assert!(matches!(shed[..], [(who, End::Refused(Refusal::Saturated { .. }))] if who == new), "{shed:?}");
    let other = bench.arrive(&with(Priority::Normal)).0;
    assert_eq!(bench.run().iter().map(|(who, _)| *who).collect::<Vec<_>>(), [old]);
    assert!(matches!(refused(bench.arrive(&with(Priority::Normal)).1), Refusal::Saturated { .. }));
    let mut order = Vec::new();
    let mut held = first;
    for _ in 0..3 {
        bench.account.leave(&held, Leave::Ended, bench.now);
        let ended = bench.run();
        let [(who, End::Granted(grant))] = ended[..] else { panic!("{ended:?}") };
        order.push(who);
        held = grant;
    }
    assert_eq!(order, [critical, normal, other]);
}

#[test]
fn without_a_queue_whoever_cannot_go_is_refused() {
    let limits = limits(Limit::per_second(n(10)).burst(2), Limit::UNLIMITED);
    let mut bench = Bench::new(&limits, Settings { max_queue: 0, ..settings() });
    let call = call("balance.retrieve", Priority::Critical);
    (0..2).for_each(|_| {
        granted(bench.arrive(&call).1);
    });
    let retry_in = Duration::from_millis(100);
    assert_eq!(refused(bench.arrive(&call).1), Refusal::Saturated { retry_in });
    bench.now = 100 * MS;
    granted(bench.arrive(&call).1);
}

#[test]
fn probes_pass_the_queue_without_a_place_but_their_tokens_are_owed() {
    let limits = limits(Limit::per_second(n(10)).burst(2).in_flight(2), Limit::UNLIMITED);
    let mut bench = Bench::new(&limits, settings());
    let call = call("balance.retrieve", Priority::Critical);
    (0..2).for_each(|_| {
        granted(bench.arrive(&call).1);
    });
    assert!(bench.arrive(&call).1.is_none());
    let probe = granted(bench.arrive(&Call { probe: true, ..call }).1);
    assert_eq!(bench.account.in_flight(), 2);
    bench.account.leave(&probe, Leave::Ended, 0);
    assert_eq!(bench.account.in_flight(), 2);
    bench.now = 199 * MS;
    assert!(bench.account.allowances[GLOBAL].ready(None, bench.now).is_err());
}

fn rates(bench: &mut Bench, operation: &str) -> [f64; 3] {
    let needs = bench.account.needs(&call(operation, Priority::Normal));
    let now = bench.now;
    needs.0.map(|index| {
        bench
            .account
            .allowances
            .get_mut(usize::from(index))
            .map_or(0.0, |allowance| allowance.rate_in_force(now).unwrap_or(f64::INFINITY).round())
    })
}

#[test]
fn each_reason_slows_what_it_is_about_and_nothing_else() {
    use RateLimitReason::{
        EndpointConcurrency, EndpointRate, GlobalConcurrency, GlobalRate, Other, Unstated,
    };
    for (reason, global, search, in_flight, of_search) in [
        (GlobalRate, 45.0, 18.0, 100, None),
        (Other, 45.0, 18.0, 100, None),
        (EndpointRate, 90.0, 9.0, 100, None),
        (GlobalConcurrency, 90.0, 18.0, 2, None),
        (EndpointConcurrency, 90.0, 18.0, 100, Some(1)),
        (Unstated, 90.0, 18.0, 100, None),
    ] {
        let mut bench = Bench::new(&Limits::default(), settings());
        let searching = call("charges.search", Priority::Critical);
        let search_grant = granted(bench.arrive(&searching).1);
        (0..2).for_each(|_| {
            granted(bench.arrive(&searching).1);
        });
        (0..2).for_each(|_| {
            granted(bench.arrive(&call("balance.retrieve", Priority::Critical)).1);
        });
        // All three were sent at the same time: one cut.
        bench.now = 10;
        for _ in 0..3 {
            bench.account.limited(reason, search_grant.needs, Some(7), 5, bench.now);
        }
        let own = if reason == EndpointRate { 11.0 } else { 22.0 };
        assert_eq!(rates(&mut bench, "charges.search"), [global, own, search], "{reason:?}");
        assert_eq!(rates(&mut bench, "balance.retrieve")[1], 22.0, "{reason:?}");
        let limit = |index: usize| bench.account.allowances[index].slots.limit(10);
        assert_eq!(limit(GLOBAL), Some(in_flight), "{reason:?}");
        let [_, own, special] = search_grant.needs.0.map(usize::from);
        assert_eq!([limit(own), limit(special)], [of_search; 2], "{reason:?}");
        bench.now = 60 * SECOND + 10;
        assert_eq!(rates(&mut bench, "charges.search"), [90.0, 22.0, 18.0], "{reason:?}");
    }
}

#[test]
fn a_cooling_object_is_not_changed_and_those_who_wait_for_it_are_told() {
    let mut bench = Bench::new(&unlimited(), settings());
    let change = Call { object: Some(7), alone: true, ..call("refunds.update", Priority::Normal) };
    let grant = granted(bench.arrive(&change).1);
    let (waits, end) = bench.arrive(&change);
    assert!(end.is_none());
    bench.account.limited(RateLimitReason::ResourceSpecific, grant.needs, Some(7), 0, 0);
    let retry_in = Duration::from_secs(60);
    let ended = bench.run();
    assert!(
        matches!(&ended[..], [(who, End::Refused(Refusal::ObjectCooling { retry_in: left }))]
            if *who == waits && *left == retry_in),
        "{ended:?}"
    );
    bench.account.leave(&grant, Leave::Ended, 0);
    bench.now = 20 * SECOND;
    let left = Duration::from_secs(40);
    assert_eq!(refused(bench.arrive(&change).1), Refusal::ObjectCooling { retry_in: left });
    granted(bench.arrive(&Call { object: Some(8), ..change }).1);
    granted(bench.arrive(&Call { object: None, ..change }).1);
    assert_eq!(rates(&mut bench, "refunds.update")[0], f64::INFINITY);
    bench.now = 60 * SECOND;
    granted(bench.arrive(&change).1);
}

#[test]
fn no_more_objects_cool_than_there_is_room_for() {
    let mut bench = Bench::new(&unlimited(), settings());
    let grant = granted(bench.arrive(&call("refunds.update", Priority::Normal)).1);
    for object in 0..5_000 {
        bench.account.limited(RateLimitReason::ResourceSpecific, grant.needs, Some(object), object, object);
    }
    assert_eq!(bench.account.objects.sizes().1, 1_024);
    // Those that would have ended first are forgotten.
    assert_eq!(bench.account.objects.cooling(5_000 - 1_025, 5_000), None);
    assert!(bench.account.objects.cooling(5_000 - 1_024, 5_000).is_some());
}

#[test]
fn changes_of_one_object_go_one_by_one_in_their_order_and_hold_nothing_meanwhile() {
    let limits = limits(Limit::UNLIMITED.in_flight(100), Limit::UNLIMITED);
    let mut bench = Bench::new(&limits, settings());
    let change = Call { object: Some(7), alone: true, ..call("refunds.update", Priority::Normal) };
    let mut held = granted(bench.arrive(&change).1);
    let waiting: Vec<usize> = (0..20).map(|_| bench.arrive(&change).0).collect();
    bench.run();
    assert_eq!((bench.account.in_flight(), bench.account.waiting()), (1, [0, 20, 0]));
    // One goes away, one that is next goes away after it was admitted; others are not affected.
    bench.abandon(waiting[3]);
    granted(bench.arrive(&Call { object: Some(8), ..change }).1);
    let mut order = Vec::new();
    for _ in 0..19 {
        bench.account.leave(&held, Leave::Ended, 0);
        let ended = bench.run();
        let [(who, End::Granted(grant))] = ended[..] else { panic!("{ended:?}") };
        order.push(who);
        held = grant;
    }
    assert!(order.is_sorted() && !order.contains(&waiting[3]), "{order:?}");
    bench.account.leave(&held, Leave::Ended, 0);
    assert_eq!(bench.account.objects.sizes().0, 1);
}

#[test]
fn a_call_that_timed_out_keeps_its_place_for_another_second() {
    let limits = limits(Limit::UNLIMITED.in_flight(1), Limit::UNLIMITED);
    let mut bench = Bench::new(&limits, settings());
    let call = call("balance.retrieve", Priority::Normal);
    let grant = granted(bench.arrive(&call).1);
    let (next, _) = bench.arrive(&call);
    bench.run();
    bench.account.leave(&grant, Leave::TimedOut, 0);
    assert!(bench.run().is_empty());
    assert_eq!(bench.next_alarm(), Some(SECOND));
    bench.now = SECOND - 1;
    assert!(bench.run().is_empty());
    bench.now = SECOND;
    assert_eq!(admitted(&mut bench), [next]);
}

#[test]
fn whoever_waits_for_a_lowered_limit_goes_when_it_has_grown_back() {
    let limits = limits(Limit::UNLIMITED.in_flight(2), Limit::UNLIMITED);
    let mut bench = Bench::new(&limits, Settings { reserve: Ratio::percent(0), ..settings() });
    let call = call("balance.retrieve", Priority::Normal);
    let grant = granted(bench.arrive(&call).1);
    bench.account.limited(RateLimitReason::GlobalConcurrency, grant.needs, None, 1, 1);
    let (next, _) = bench.arrive(&call);
    assert!(bench.run().is_empty());
    bench.now = bench.next_alarm().expect("somebody waits");
    assert!(bench.now <= 60 * SECOND + 2, "{}", bench.now);
    assert_eq!(admitted(&mut bench), [next]);
}

#[test]
fn a_faster_limit_lets_those_go_who_wait() {
    let slow = Limit::per_second(n(1)).burst(2);
    let mut bench = Bench::new(&limits(slow, Limit::UNLIMITED), settings());
    let call = call("balance.retrieve", Priority::Critical);
    bench.now = 3_600 * SECOND;
    let call = Call { deadline: 2 * bench.now, ..call };
    (0..22).for_each(|_| drop(bench.arrive(&call)));
    bench.run();
    let fast = Limit::per_second(n(100)).burst(2);
    bench.account.retune(&Arc::new(limits(fast, Limit::UNLIMITED)), bench.now);
    assert!(admitted(&mut bench).is_empty());
    let mut served = 0;
    while let Some(at) = bench.next_alarm().filter(|_| served < 20) {
        bench.now = bench.now.max(at);
        served += admitted(&mut bench).len();
    }
    assert_eq!(bench.now, 3_600 * SECOND + 200 * MS);
}

#[test]
fn who_waits_for_its_own_rule_does_not_hold_up_others() {
    let limits = limits(Limit::per_second(n(100)).burst(20), Limit::per_second(n(1)).burst(2));
    let mut bench = Bench::new(&limits, settings());
    let (one, other) =
        (call("balance.retrieve", Priority::Critical), call("charges.list", Priority::Background));
    (0..2).for_each(|_| {
        granted(bench.arrive(&one).1);
    });
    assert!(bench.arrive(&one).1.is_none());
    (0..2).for_each(|_| {
        granted(bench.arrive(&other).1);
    });
}

#[test]
fn whoever_is_next_and_never_looks_holds_up_nobody_for_long() {
    let limits = limits(Limit::per_second(n(10)).burst(2), Limit::UNLIMITED);
    let mut bench = Bench::new(&limits, settings());
    let call = call("balance.retrieve", Priority::Critical);
    (0..2).for_each(|_| {
        granted(bench.arrive(&call).1);
    });
    let (asleep, _) = bench.arrive(&call);
    let (awake, _) = bench.arrive(&call);
    let (ticket, _) = bench.waiting.remove(&asleep).expect("it waits");
    bench.run();
    bench.now = 200 * MS;
    assert_eq!(admitted(&mut bench), [awake]);
    // It has its own too, and gives it back when it goes.
    bench.account.abandon(ticket, bench.now);
    granted(bench.arrive(&call).1);
}
