//! Probes, leases, evidence and the ramp.

use super::{super::super::state::Why, *};

/// Reads that are half-open, with no probe under way.
fn half_open_reads() -> World {
    let mut world = World::new();
    world.open(Traffic::Read);
    world.wait(seconds(1));
    let pass = probe(world.get());
    world.drop(pass);
    world
}

/// Writes whose interval is over, with this long since the last GET that was answered.
fn waiting_writes() -> World {
    let mut world = World::new();
    world.open(Traffic::Write);
    world.wait(seconds(1));
    world
}

/// Writes that are half-open with evidence, with no probe under way.
fn half_open_writes() -> World {
    let mut world = waiting_writes();
    world.calls(Traffic::Read, 1, Outcome::Success);
    let pass = probe(world.write(HARMLESS));
    world.drop(pass);
    world
}

#[test]
fn it_says_open_until_somebody_comes_to_probe() {
    let mut world = World::new();
    world.open(Traffic::Read);
    assert_eq!(refused(world.get()).as_millis(), 999);
    world.wait(ms(999));
    assert!(is_refused(world.get()));
    world.wait(seconds(3_600));
    assert_eq!(world.state(Traffic::Read), State::Open);
    probe(world.get());
    assert_eq!(world.state(Traffic::Read), State::HalfOpen);
}

#[test]
fn ten_thousand_callers_at_half_open_are_one_probe() {
    for traffic in [Traffic::Read, Traffic::Write] {
        let mut world = if traffic == Traffic::Read { half_open_reads() } else { half_open_writes() };
        let answers: Vec<_> = (0..10_000).map(|_| world.admit_in(LIVE, traffic, HARMLESS)).collect();
        assert_eq!(answers.iter().filter(|answer| !is_refused(**answer)).count(), 1);
        assert!(answers.iter().all(|answer| !matches!(answer, Answer::Refuse(None))));
    }
}

#[test]
fn three_probes_close_it_whatever_their_spacing() {
    for traffic in [Traffic::Read, Traffic::Write] {
        for spacing in [1, 100, 4_999, 60_000, 600_000] {
            let mut world = if traffic == Traffic::Read { half_open_reads() } else { half_open_writes() };
            for _ in 0..3 {
                assert_eq!(world.state(traffic), State::HalfOpen);
                let pass = probe(world.admit_in(LIVE, traffic, HARMLESS));
                world.end(pass, Outcome::Success);
                world.wait(ms(spacing));
            }
            assert_eq!(world.state(traffic), State::Closed, "every {spacing} ms");
            assert_eq!(world.last_why(), Why::ProbesSucceeded);
        }
    }
}

#[test]
fn a_probe_that_fails_opens_it_for_twice_as_long() {
    let mut world = World::new();
    world.open(Traffic::Read);
    for expected in [999, 1_999, 3_999, 4_999, 4_999] {
        let wait = refused(world.get());
        assert_eq!(wait.as_millis(), expected);
        world.wait(wait);
        let pass = probe(world.get());
        world.end(pass, Outcome::Transport(FailureKind::Timeout));
    }
    assert_eq!(world.last_why(), Why::ProbeFailed);
}

#[test]
fn a_probe_that_is_dropped_frees_its_place_and_says_nothing() {
    let mut world = half_open_reads();
    for _ in 0..1_000 {
        let pass = probe(world.get());
        assert!(is_refused(world.get()));
        world.drop(pass);
    }
    for outcome in [Outcome::RateLimited(RateLimitReason::Unstated), Outcome::Foreign, Outcome::Cancelled] {
        let pass = probe(world.get());
        world.end(pass, outcome);
        assert_eq!(world.state(Traffic::Read), State::HalfOpen);
        // More of them in quick succession would say no more.
        assert_eq!(refused(world.get()), seconds(1));
        world.wait(seconds(1));
    }
}

#[test]
fn a_probe_that_is_lost_has_failed_when_its_lease_ends() {
    let mut world = half_open_reads();
    let lost = probe(world.get());
    world.wait(ms(4_999));
    assert!(is_refused(world.get()));
    world.wait(ms(1));
    assert_eq!(refused(world.get()).as_millis(), 1_999);
    assert_eq!((world.state(Traffic::Read), world.last_why()), (State::Open, Why::ProbeExpired));
    world.end(lost, Outcome::Success);
    assert_eq!(world.state(Traffic::Read), State::Open);
    // Noticed late, the interval has begun when the lease ended.
    world.wait(seconds(2));
    probe(world.get());
    world.wait(seconds(60));
    probe(world.get());
}

#[test]
fn a_probe_whose_answer_comes_after_its_lease_has_failed() {
    let mut world = half_open_reads();
    let late = probe(world.get());
    world.wait(seconds(5));
    world.end(late, Outcome::Success);
    assert_eq!((world.state(Traffic::Read), world.last_why()), (State::Open, Why::ProbeExpired));
}

#[test]
fn what_was_admitted_before_decides_no_probe() {
    let mut world = World::new();
    let before: Vec<_> = (0..100).map(|_| admitted(world.get())).collect();
    world.open(Traffic::Read);
    world.wait(seconds(1));
    let freed = probe(world.get());
    world.drop(freed);
    let current = probe(world.get());
    for pass in before.into_iter().chain([freed]) {
        world.end(pass, Outcome::ServerError);
        world.end(pass, Outcome::Success);
    }
    assert_eq!(world.state(Traffic::Read), State::HalfOpen);
    assert!(is_refused(world.get()), "the lease is still held");
    world.end(current, Outcome::Success);
    probe(world.get());
}

#[test]
fn the_ramp_grows_from_a_tenth_to_all() {
    let mut world = half_open_reads();
    world.calls(Traffic::Read, 3, Outcome::Success);
    let mut admitted_in = [0; 6];
    for i in 0..600 {
        match world.get() {
            Answer::Admit(pass) => {
                admitted_in[i / 100] += 1;
                world.end(pass, Outcome::Success);
            }
            answer => assert_eq!(refused(answer), ms(500 - i as u64)),
        }
        world.wait(ms(1));
    }
    assert_eq!(admitted_in, [19, 37, 55, 73, 91, 100]);
}

#[test]
fn the_first_call_of_a_ramp_is_admitted_and_no_ramp_means_none() {
    let mut world = half_open_reads();
    world.calls(Traffic::Read, 3, Outcome::Success);
    admitted(world.get());
    assert!(is_refused(world.get()));

    let mut world = World::with(BreakerConfig::builder().ramp(Duration::ZERO));
    world.open(Traffic::Read);
    world.wait(seconds(1));
    world.calls(Traffic::Read, 1_000, Outcome::Success);
}

#[test]
fn three_failures_in_a_row_during_the_ramp_reopen_it() {
    for (outcomes, opens) in [([0, 0, 0, 1], true), ([0, 0, 1, 0], false)] {
        let mut world = half_open_reads();
        world.calls(Traffic::Read, 3, Outcome::Success);
        for outcome in outcomes {
            let pass = loop {
                if let Answer::Admit(pass) = world.get() {
                    break pass;
                }
                if world.state(Traffic::Read) == State::Open {
                    break Pass {
                        mode: LIVE,
                        traffic: Traffic::Read,
                        ticket: Ticket::UNTAGGED,
                        local: Ticket::UNTAGGED,
                    };
                }
                world.wait(ms(1));
            };
            world.end(pass, if outcome == 0 { Outcome::ServerError } else { Outcome::Success });
        }
        assert_eq!(world.state(Traffic::Read) == State::Open, opens);
        if opens {
            assert_eq!(world.last_why(), Why::RampFailed);
        }
    }
    // After the ramp three are not enough.
    let mut world = half_open_reads();
    world.calls(Traffic::Read, 3, Outcome::Success);
    world.wait(ms(500));
    world.calls(Traffic::Read, 9, Outcome::ServerError);
    assert_eq!(world.state(Traffic::Read), State::Closed);
}

#[test]
fn closing_forgets_what_was_before() {
    let mut world = World::with(BreakerConfig::builder().consecutive_failures(None).ramp(Duration::ZERO));
    world.calls(Traffic::Read, 50, Outcome::ServerError);
    world.wait(seconds(1));
    world.calls(Traffic::Read, 3, Outcome::Success);
    world.calls(Traffic::Read, 49, Outcome::ServerError);
    assert_eq!(world.state(Traffic::Read), State::Closed);
}

#[test]
fn a_write_is_probed_once_reads_have_shown_that_stripe_is_there() {
    let mut world = World::new();
    world.calls(Traffic::Read, 1, Outcome::Success); // Before it opened: says nothing.
    world.wait(ms(1));
    world.open(Traffic::Write);
    world.wait(seconds(1));
    asked(world.clone().write(HARMLESS));
    world.calls(Traffic::Read, 1, Outcome::Declined);
    probe(world.write(HARMLESS));
}

#[test]
fn what_something_in_between_answers_is_no_evidence() {
    let mut world = waiting_writes();
    for _ in 0..100 {
        let pass = admitted(world.get());
        world.end_sent(pass, Outcome::Success, false, world.now);
    }
    asked(world.write(HARMLESS));
}

#[test]
fn without_reads_one_get_of_our_own_asks_first() {
    let mut world = waiting_writes();
    let pass = asked(world.write(Tier::Last));
    assert!(pass.is_probe());
    assert!((0..100).all(|_| is_refused(world.write(HARMLESS))), "one at a time");
    assert_eq!(world.state(Traffic::Write), State::Open);
    world.wait(ms(50));
    world.end(pass, Outcome::NotFound);
    probe(world.write(HARMLESS));
}

#[test]
fn a_get_of_our_own_that_fails_keeps_writes_back_for_longer() {
    for lost in [false, true] {
        let mut world = waiting_writes();
        for expected in [1_999, 3_999, 4_999] {
            let pass = asked(world.write(HARMLESS));
            if lost {
                world.wait(seconds(5));
            } else {
                world.end(pass, Outcome::ServerError);
            }
            let wait = refused(world.write(HARMLESS));
            assert_eq!(wait.as_millis(), expected);
            world.wait(wait);
        }
        // Three rounds without evidence are enough.
        probe(world.write(HARMLESS));
    }
}

#[test]
fn gets_that_say_nothing_do_not_keep_writes_down() {
    let mut world = waiting_writes();
    // The last one: as where no GET can be made.
    for outcome in [Outcome::RateLimited(RateLimitReason::GlobalRate), Outcome::Foreign, Outcome::Refused] {
        let pass = asked(world.write(HARMLESS));
        world.end(pass, outcome);
        // Nobody asks again in an instant.
        let wait = refused(world.write(HARMLESS));
        assert_eq!(wait, seconds(1));
        world.wait(wait);
    }
    probe(world.write(HARMLESS));

    // Whoever goes away has not asked, and is no reason to send a write blindly.
    let mut world = waiting_writes();
    for _ in 0..10 {
        let pass = asked(world.write(HARMLESS));
        world.drop(pass);
    }
    asked(world.write(HARMLESS));
}

#[test]
fn where_no_get_may_be_sent_writes_are_probed_without() {
    let mut world = World::with(BreakerConfig::builder().synthetic_probes(false));
    world.open(Traffic::Write);
    world.wait(seconds(1));
    probe(world.write(HARMLESS));

    let mut world = waiting_writes();
    world.engine = Engine::new(&world.rules, false, world.start);
    world.now = world.start;
    world.open(Traffic::Write);
    world.wait(seconds(1));
    probe(world.write(HARMLESS));

    // Reads that are open too, and that nobody comes to probe.
    let mut world = World::with(BreakerConfig::builder().synthetic_probes(false));
    world.open(Traffic::Write);
    world.open(Traffic::Read);
    world.wait(ms(1_000));
    let grace = refused(world.write(HARMLESS));
    assert!(grace <= ms(100), "{grace:?}");
    world.wait(grace);
    probe(world.write(HARMLESS));
}

#[test]
fn where_reads_are_forced_open_writes_do_without_their_evidence() {
    let mut world = waiting_writes();
    world.control(Traffic::Read, Control::ForcedOpen);
    probe(world.write(HARMLESS));
}

#[test]
fn who_only_observes_sends_no_get_of_its_own() {
    let mut world = waiting_writes();
    world.control(Traffic::Write, Control::ObserveOnly);
    probe(world.write(HARMLESS));
    assert!(!admitted(world.write(HARMLESS)).is_probe());
}

#[test]
fn writes_wait_for_the_verdict_of_reads_that_are_open_too() {
    let mut world = World::new();
    world.open(Traffic::Write);
    world.wait(ms(500));
    world.open(Traffic::Read);
    world.wait(ms(500));
    assert_eq!(refused(world.write(HARMLESS)), refused(world.get()), "what remains there");
    world.wait(ms(501));
    let grace = refused(world.write(HARMLESS));
    assert!(ms(90) < grace && grace <= ms(100), "{grace:?}");
    let pass = probe(world.get());
    assert!(is_refused(world.write(HARMLESS)), "its verdict is awaited");
    world.end(pass, Outcome::Success);
    probe(world.write(HARMLESS));
    assert_eq!(world.state(Traffic::Read), State::HalfOpen, "one is enough for that");
}

#[test]
fn where_no_get_comes_a_write_probes_the_reads_with_one_of_our_own() {
    let mut world = World::new();
    world.open(Traffic::Write);
    world.open(Traffic::Read);
    world.wait(ms(1_000));
    let grace = refused(world.write(HARMLESS));
    world.wait(grace);
    let pass = asked(world.write(HARMLESS));
    assert_eq!((pass.traffic, world.state(Traffic::Read)), (Traffic::Read, State::HalfOpen));
    assert!(is_refused(world.write(HARMLESS)) && is_refused(world.get()));
    world.end(pass, Outcome::Success);
    probe(world.write(HARMLESS));
    let again = probe(world.get());
    world.end(again, Outcome::Success);
    world.calls(Traffic::Read, 1, Outcome::Success);
    assert_eq!(world.state(Traffic::Read), State::Closed);
}

#[test]
fn a_get_that_comes_within_the_grace_is_the_probe() {
    let mut world = World::new();
    world.open(Traffic::Write);
    world.open(Traffic::Read);
    world.wait(ms(1_050));
    assert_eq!(refused(world.write(HARMLESS)).as_millis(), 49);
    probe(world.get());
}

#[test]
fn after_three_failed_read_probes_a_write_is_tried_halfway_to_the_next() {
    let mut world = World::new();
    world.open(Traffic::Write);
    world.open(Traffic::Read);
    for _ in 0..3 {
        let wait = refused(world.get());
        world.wait(wait);
        assert!(is_refused(world.write(HARMLESS)));
        let pass = probe(world.get());
        world.end(pass, Outcome::ServerError);
    }
    let wait = refused(world.write(HARMLESS));
    assert_eq!(wait.as_millis(), refused(world.get()).as_millis() / 2);
    world.wait(wait);
    let pass = probe(world.write(HARMLESS));
    // If that succeeds, reads need not wait any longer either.
    world.end(pass, Outcome::Success);
    probe(world.get());
}

#[test]
fn a_read_probe_that_succeeds_lets_writes_be_probed_at_once() {
    let mut world = World::new();
    world.open(Traffic::Read);
    world.wait(ms(999));
    world.open(Traffic::Write);
    world.wait(ms(1));
    let pass = probe(world.get());
    assert!(is_refused(world.write(HARMLESS)));
    world.end(pass, Outcome::Success);
    probe(world.write(HARMLESS));
}

#[test]
fn healthy_reads_do_not_make_failing_writes_flap() {
    let mut world = World::new();
    world.open(Traffic::Write);
    for expected in [999, 1_999, 3_999, 4_999] {
        world.calls(Traffic::Read, 1_000, Outcome::Success);
        let wait = refused(world.write(HARMLESS));
        assert_eq!(wait.as_millis(), expected);
        world.wait(wait);
        world.calls(Traffic::Read, 1, Outcome::Success);
        let pass = probe(world.write(HARMLESS));
        world.end(pass, Outcome::ServerError);
    }
}

#[test]
fn money_is_tried_last_and_nothing_sticks() {
    let mut world = half_open_writes();
    assert_eq!(refused(world.write(Tier::Money)), ms(250));
    assert_eq!(refused(world.write(Tier::Last)), ms(2_250));
    world.wait(ms(249));
    assert!(is_refused(world.write(Tier::Money)));
    let pass = probe(world.write(HARMLESS));
    world.end(pass, Outcome::Success);
    // One that is harmless has just come: others may follow.
    assert_eq!(refused(world.write(Tier::Money)), ms(250));
    world.wait(ms(250));
    let pass = probe(world.write(Tier::Money));
    assert_eq!(refused(world.write(Tier::Money)), ms(250), "one at a time");
    world.end(pass, Outcome::Success);
    assert_eq!(refused(world.write(Tier::Last)), ms(2_250));
    world.wait(ms(2_250));
    let pass = probe(world.write(Tier::Last));
    world.end(pass, Outcome::Success);
    assert_eq!(world.state(Traffic::Write), State::Closed);
}

#[test]
fn harmless_writes_that_say_nothing_do_not_keep_money_out() {
    let mut world = half_open_writes();
    for _ in 0..30 {
        let pass = probe(world.write(HARMLESS));
        world.end(pass, Outcome::RateLimited(RateLimitReason::EndpointRate));
        world.wait(seconds(1));
    }
    probe(world.write(Tier::Money));
}

#[test]
fn what_waits_inside_is_refused_when_it_opens_and_probes_are_not() {
    let mut world = World::new();
    let (read, write) = (admitted(world.get()), admitted(world.write(HARMLESS)));
    assert_eq!(world.engine.revoked(&read, world.now), None);
    world.open(Traffic::Read);
    assert_eq!(world.engine.revoked(&read, world.now).unwrap().unwrap().as_millis(), 999);
    assert_eq!(world.engine.revoked(&write, world.now), None, "not its circuit");
    world.wait(seconds(1));
    let first = probe(world.get());
    assert_eq!(world.engine.revoked(&read, world.now), Some(Some(Duration::ZERO)));
    assert_eq!(world.engine.revoked(&first, world.now), None);
    world.end(first, Outcome::Success);
    world.calls(Traffic::Read, 2, Outcome::Success);
    assert_eq!(world.engine.revoked(&read, world.now), None, "closed again");

    world.control(Traffic::Write, Control::ForcedOpen);
    assert_eq!(world.engine.revoked(&write, world.now), Some(None));
    world.control(Traffic::Write, Control::Automatic);
    world.calls(Traffic::Write, 10, Outcome::Transport(FailureKind::Dns));
    assert!(world.engine.revoked(&write, world.now).is_some(), "the host cannot be reached");
    world.control(Traffic::Write, Control::ObserveOnly);
    assert_eq!(world.engine.revoked(&write, world.now), None);
}
