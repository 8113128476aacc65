use super::*;
use crate::governor::tests::{n, operation};

fn per_second(allowed: Allowed) -> Option<(f64, u32)> {
    let pace = allowed.pace?;
    Some(((SECOND as f64 / pace.interval as f64 * 100.0).round() / 100.0, pace.burst.get()))
}

/// All rules that an operation is subject to: the global one, its own, a special one.
fn of(limits: &Limits, mode: Mode, name: &str) -> [Option<(f64, u32)>; 3] {
    let operation = operation(name);
    let route = Route::of(operation, mode);
    [
        route.global.then(|| limits.of_rule(mode, 0)).and_then(per_second),
        per_second(limits.of_operation(mode, operation)),
        route.special.and_then(|rule| per_second(limits.of_rule(mode, usize::from(rule)))),
    ]
}

#[test]
fn nine_tenths_of_what_stripe_publishes_are_in_force() {
    let limits = Limits::default();
    let (live, sandbox) = (Some((90.0, 10)), Some((22.5, 10)));
    let each = Some((22.5, 3));
    for (name, in_live, in_sandbox) in [
        ("payment_intents.create", [live, each, None], [sandbox, each, None]),
        ("charges.search", [live, each, Some((18.0, 3))], [sandbox, each, Some((18.0, 3))]),
        ("files.retrieve", [live, each, Some((18.0, 3))], [sandbox, each, Some((18.0, 3))]),
        ("files.create", [live, None, Some((18.0, 3))], [sandbox, None, Some((18.0, 3))]),
        ("payouts.create", [live, None, Some((13.5, 3))], [sandbox, None, Some((13.5, 3))]),
        ("accounts.create", [live, None, Some((27.0, 3))], [sandbox, None, Some((4.5, 3))]),
        ("v2.core.accounts.create", [live, None, Some((27.0, 3))], [sandbox, None, Some((4.5, 3))]),
        ("billing.meter_events.create", [None, None, Some((900.0, 5))], [sandbox, each, None]),
        ("v2.billing.meter_events.create", [None, None, Some((900.0, 5))], [sandbox, each, None]),
        ("v2.billing.meter_event_stream.create", [None, None, Some((8999.93, 50))], [sandbox, each, None]),
        ("billing.meter_event_adjustments.create", [live, each, None], [sandbox, each, None]),
    ] {
        assert_eq!(of(&limits, Mode::Live, name), in_live, "{name}");
        assert_eq!(of(&limits, Mode::Sandbox, name), in_sandbox, "{name}");
    }
    let in_flight = |name| {
        let rule = Route::of(operation(name), Mode::Live).special.map_or(0, usize::from);
        limits.of_rule(Mode::Live, rule).in_flight
    };
    assert_eq!(
        ["balance.retrieve", "payouts.create", "charges.search", "billing.meter_events.create"]
            .map(in_flight),
        [Some(100), Some(27), None, Some(100)]
    );
}

#[test]
fn replicas_get_their_part_never_more() {
    let limits = Limits { replicas: n(4), ..Limits::default() };
    assert_eq!(of(&limits, Mode::Live, "payouts.create"), [Some((22.5, 3)), None, Some((3.37, 2))]);
    assert_eq!(limits.of_rule(Mode::Live, 4).in_flight, Some(6));
    for replicas in 1..50 {
        let limits = Limits { replicas: n(replicas), ..Limits::default() };
        let interval = limits.of_rule(Mode::Live, 0).pace.expect("a limit").interval;
        assert!(interval * 90 >= SECOND * u64::from(replicas), "{replicas}");
    }
}

#[test]
fn what_is_given_is_taken_as_it_is_but_shared_among_replicas() {
    let mut limits = Limits { replicas: n(2), ..Limits::default() };
    let refunds = operation("refunds.create");
    limits.replace(Mode::Live, Bucket::Global, Limit::per_second(n(200)).burst(40).in_flight(50));
    limits.replace(Mode::Live, Bucket::EachOperation, Limit::per_second(n(50)));
    limits.replace(Mode::Live, Bucket::Operation(refunds), Limit::UNLIMITED);
    limits.replace(Mode::Live, Bucket::PayoutsCreate, Limit::per_second(n(10)));
    assert_eq!(of(&limits, Mode::Live, "balance.retrieve"), [Some((100.0, 40)), Some((25.0, 2)), None]);
    assert_eq!(of(&limits, Mode::Live, "refunds.create"), [Some((100.0, 40)), None, None]);
    assert_eq!(of(&limits, Mode::Live, "payouts.create")[2], Some((5.0, 2)));
    assert_eq!(limits.of_rule(Mode::Live, 0).in_flight, Some(25));
    // How many payouts may be in flight was not said.
    assert_eq!(limits.of_rule(Mode::Live, 4).in_flight, Some(13));
    assert_eq!(of(&limits, Mode::Sandbox, "balance.retrieve"), [Some((11.25, 5)), Some((11.25, 2)), None]);
    limits.replace(Mode::Live, Bucket::Global, Limit::UNLIMITED);
    assert_eq!(of(&limits, Mode::Live, "balance.retrieve")[0], None);
    assert_eq!(limits.of_rule(Mode::Live, 0).in_flight, Some(100));
}

#[test]
fn an_object_is_the_first_parameter_of_what_changes_it() {
    for (name, segment) in [
        ("payment_intents.confirm", Some(3)),
        ("accounts.persons.update", Some(3)),
        ("subscriptions.delete", Some(3)),
        ("payment_intents.create", None),
        ("payment_intents.retrieve", None),
    ] {
        assert_eq!(Route::of(operation(name), Mode::Live).object, segment, "{name}");
    }
}

#[test]
fn every_special_rule_has_an_operation() {
    let used: std::collections::BTreeSet<u16> = Operation::all().filter_map(special).collect();
    assert_eq!(used, (1..RULES as u16).collect());
}
