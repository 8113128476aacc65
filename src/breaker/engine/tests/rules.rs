//! What counts, and what opens.

use super::{super::super::state::Why, *};

const GENUINE_NO: [Outcome; 8] = [
    Outcome::InvalidRequest,
    Outcome::KeyMismatch,
    Outcome::Unauthorized,
    Outcome::Declined,
    Outcome::Forbidden,
    Outcome::NotFound,
    Outcome::Conflict,
    Outcome::KeyInUse,
];

#[test]
fn every_outcome_is_judged() {
    use FailureKind as F;
    use Verdict::{Failure, Neutral, Success};
    let judge = |outcome, genuine| verdict(outcome, genuine, Some(seconds(9)), seconds(10));
    for genuine in [true, false] {
        for (outcome, expected, expected_dial) in [
            (Outcome::Success, Success, Dial::Connected),
            (Outcome::LockTimeout, Success, Dial::Connected),
            (Outcome::ServerError, Failure, Dial::Connected),
            (Outcome::Foreign, Neutral, Dial::Connected),
            (Outcome::Redirect, Neutral, Dial::Connected),
            (Outcome::Interrupted, Neutral, Dial::Connected),
            (Outcome::Refused, Neutral, Dial::Neutral),
            (Outcome::Cancelled, Neutral, Dial::Neutral),
            (Outcome::Transport(F::Timeout), Failure, Dial::Neutral),
            (Outcome::Transport(F::Reset), Failure, Dial::Neutral),
            (Outcome::Transport(F::Protocol), Failure, Dial::Neutral),
            (Outcome::Transport(F::Other), Failure, Dial::Neutral),
            (Outcome::Transport(F::Canceled), Neutral, Dial::Neutral),
            (Outcome::Transport(F::StreamRefused), Neutral, Dial::Neutral),
            (Outcome::Transport(F::Body), Neutral, Dial::Neutral),
            (Outcome::Transport(F::Connect), Neutral, Dial::Failed),
            (Outcome::Transport(F::Dns), Neutral, Dial::Failed),
            (Outcome::Transport(F::Tcp), Neutral, Dial::Failed),
            (Outcome::Transport(F::Tls), Neutral, Dial::Failed),
            (Outcome::Transport(F::ConnectTimeout), Neutral, Dial::Failed),
        ] {
            assert_eq!(judge(outcome, genuine), expected, "{outcome:?}");
            assert_eq!(dial(outcome), expected_dial, "{outcome:?}");
        }
        for outcome in GENUINE_NO {
            assert_eq!(judge(outcome, genuine), if genuine { Success } else { Neutral }, "{outcome:?}");
            assert_eq!(dial(outcome), Dial::Connected);
        }
        for reason in REASONS {
            assert_eq!(judge(Outcome::RateLimited(reason), genuine), Neutral, "{reason:?}");
        }
    }
    for (sent, expected) in [(None, Neutral), (Some(ms(9_999)), Neutral), (Some(seconds(10)), Failure)] {
        assert_eq!(verdict(Outcome::Cancelled, false, sent, seconds(10)), expected);
    }
}

#[test]
fn ten_thousand_declines_do_not_move_it() {
    let mut world = World::new();
    world.calls(Traffic::Write, 10_000, Outcome::Declined);
    assert!(world.changes.is_empty());
    // … and are successes: ten failures among them are nothing.
    for _ in 0..5_000 {
        world.calls(Traffic::Write, 9, Outcome::ServerError);
        world.calls(Traffic::Write, 10, Outcome::Declined);
    }
    assert!(world.changes.is_empty());
}

#[test]
fn no_flood_of_rejections_opens_it() {
    let mut world = World::new();
    for outcome in GENUINE_NO.into_iter().chain(REASONS.map(Outcome::RateLimited)) {
        world.calls(Traffic::Write, 1_000, outcome);
        world.calls(Traffic::Read, 1_000, outcome);
    }
    assert!(world.changes.is_empty());
}

#[test]
fn what_is_neutral_neither_breaks_a_run_nor_dilutes_a_ratio() {
    let mut world = World::new();
    for _ in 0..9 {
        world.calls(Traffic::Read, 1, Outcome::Transport(FailureKind::Timeout));
        world.calls(Traffic::Read, 100, Outcome::RateLimited(RateLimitReason::GlobalRate));
        world.calls(Traffic::Read, 100, Outcome::Foreign);
    }
    assert_eq!(world.state(Traffic::Read), State::Closed);
    world.calls(Traffic::Read, 1, Outcome::Transport(FailureKind::Reset));
    assert_eq!(world.path(Which::Read), [State::Open]);
}

#[test]
fn half_of_fifty_calls_open_it_once_and_it_says_so() {
    let mut world = World::new();
    for i in 0..49 {
        world.calls(Traffic::Read, 1, if i % 2 == 0 { Outcome::ServerError } else { Outcome::Success });
    }
    assert!(world.changes.is_empty(), "49 calls say nothing");
    let late = admitted(world.get());
    world.calls(Traffic::Read, 1, Outcome::Success);
    assert_eq!(world.changes.len(), 1);
    assert_eq!(world.last_why(), Why::Ratio { failures: 25, calls: 50 });
    world.end(late, Outcome::ServerError);
    assert_eq!(world.changes.len(), 1, "it opens once");
}

#[test]
fn just_under_half_does_not_open_it() {
    let mut world = World::new();
    world.calls(Traffic::Read, 1, Outcome::Success);
    for _ in 0..500 {
        world.calls(Traffic::Read, 1, Outcome::Success);
        world.calls(Traffic::Read, 1, Outcome::ServerError);
    }
    assert!(world.changes.is_empty());
}

#[test]
fn failures_in_a_row_open_it_only_within_the_window() {
    for (spacing, opens) in [(seconds(3), true), (seconds(600), false)] {
        let mut world = World::with(BreakerConfig::builder().consecutive_failures(7));
        for _ in 0..7 {
            assert_eq!(world.state(Traffic::Read), State::Closed);
            world.calls(Traffic::Read, 1, Outcome::ServerError);
            world.wait(spacing);
        }
        assert_eq!(world.state(Traffic::Read) == State::Open, opens);
        if opens {
            assert_eq!(world.last_why(), Why::Consecutive { failures: 7 });
        }
    }
}

#[test]
fn the_window_slides_after_a_million_successes() {
    let mut world = World::with(BreakerConfig::builder().consecutive_failures(None));
    world.calls(Traffic::Read, 1_000_000, Outcome::Success);
    world.wait(seconds(61));
    world.calls(Traffic::Read, 50, Outcome::ServerError);
    assert_eq!(world.path(Which::Read), [State::Open]);
}

#[test]
fn slow_answers_open_it_only_if_asked_to() {
    for (rule, opens) in [(false, false), (true, true)] {
        let mut builder = BreakerConfig::builder();
        if rule {
            builder = builder.slow_calls(Traffic::Read, seconds(2), Ratio::percent(80));
        }
        let mut world = World::with(builder);
        for traffic in [Traffic::Read, Traffic::Write] {
            for _ in 0..60 {
                let Answer::Admit(pass) = world.admit_in(LIVE, traffic, HARMLESS) else { break };
                let sent = world.now;
                world.wait(ms(2_000));
                world.end_sent(pass, Outcome::Success, true, sent);
                world.now = sent;
            }
        }
        assert_eq!(world.path(Which::Read), if opens { vec![State::Open] } else { vec![] });
        assert!(world.path(Which::Write).is_empty());
        if opens {
            assert_eq!(world.last_why(), Why::Slow { slow: 50, calls: 50 });
        }
    }
}

#[test]
fn answers_under_the_limit_are_not_slow() {
    let mut world =
        World::with(BreakerConfig::builder().slow_calls(Traffic::Read, seconds(2), Ratio::percent(1)));
    for _ in 0..1_000 {
        let pass = admitted(world.get());
        let sent = world.now;
        world.wait(ms(1_999));
        world.end_sent(pass, Outcome::Success, true, sent);
        world.now = sent;
    }
    assert!(world.changes.is_empty());
}

#[test]
fn an_upstream_that_hangs_is_noticed_behind_a_shorter_timeout_outside() {
    let mut world = World::new();
    for _ in 0..10 {
        let pass = admitted(world.write(HARMLESS));
        let sent = world.now;
        world.wait(seconds(10));
        world.end_sent(pass, Outcome::Cancelled, false, sent);
        world.now = sent + seconds(1);
    }
    assert_eq!(world.path(Which::Write), [State::Open]);
}

#[test]
fn reads_writes_and_modes_fail_apart() {
    let mut world = World::new();
    world.open(Traffic::Read);
    admitted(world.write(HARMLESS));
    admitted(world.admit_in(SANDBOX, Traffic::Read, HARMLESS));
    admitted(world.admit_in(SANDBOX, Traffic::Write, HARMLESS));
    assert!(is_refused(world.get()));
    assert_eq!(world.engine.state(SANDBOX, Traffic::Read), State::Closed);
}

#[test]
fn failed_dials_open_the_local_circuit_and_no_other() {
    let mut world = World::new();
    for i in 0..10 {
        assert_eq!(world.engine.local_state(), State::Closed, "after {i}");
        world.calls(Traffic::Write, 1, Outcome::Transport(FailureKind::Dns));
        world.wait(ms(10));
    }
    assert_eq!(world.path(Which::Local), [State::Open]);
    assert_eq!(world.state(Traffic::Write), State::Closed);
    for mode in [LIVE, SANDBOX] {
        for traffic in [Traffic::Read, Traffic::Write] {
            assert!(is_refused(world.admit_in(mode, traffic, HARMLESS)));
        }
    }
    world.wait(seconds(1));
    let first = admitted(world.admit_in(SANDBOX, Traffic::Write, Tier::Last));
    assert!(first.is_probe() && is_refused(world.get()), "one dial at a time");
    world.drop(first);
    let second = admitted(world.get());
    world.end_sent(second, Outcome::Foreign, false, world.now);
    assert_eq!(world.path(Which::Local), [State::Open, State::HalfOpen, State::Closed]);
    for _ in 0..100 {
        admitted(world.get()); // There is no ramp.
    }
}

#[test]
fn a_dial_that_fails_again_keeps_the_local_circuit_open_for_longer() {
    let mut world = World::new();
    world.calls(Traffic::Read, 10, Outcome::Transport(FailureKind::Tcp));
    let mut waits = Vec::new();
    for _ in 0..4 {
        let wait = refused(world.get());
        waits.push(wait.as_millis());
        world.wait(wait);
        world.calls(Traffic::Read, 1, Outcome::Transport(FailureKind::Tcp));
    }
    assert_eq!(waits, [999, 1_999, 3_999, 4_999]);
}

#[test]
fn one_failed_dial_counts_once_however_many_waited_for_it() {
    let mut world = World::new();
    for _ in 0..9 {
        let sent = world.now;
        let waiting: Vec<_> = (0..100).map(|_| admitted(world.get())).collect();
        world.wait(ms(50));
        for pass in waiting {
            world.end_sent(pass, Outcome::Transport(FailureKind::ConnectTimeout), false, sent);
        }
        assert_eq!(world.engine.local_state(), State::Closed);
    }
    world.calls(Traffic::Read, 1, Outcome::Transport(FailureKind::Connect));
    assert_eq!(world.engine.local_state(), State::Open);
}

#[test]
fn three_dials_that_hang_open_it() {
    let mut world = World::new();
    for n in 1..=3 {
        let sent = world.now;
        let pass = admitted(world.get());
        world.wait(seconds(10));
        world.end_sent(pass, Outcome::Transport(FailureKind::ConnectTimeout), false, sent);
        assert_eq!(world.engine.local_state() == State::Open, n == 3, "after {n}");
    }
}

#[test]
fn an_answer_ends_a_run_of_failed_dials_and_a_timeout_does_not() {
    for (between, opens) in [
        (Outcome::ServerError, false),
        (Outcome::Foreign, false),
        (Outcome::Transport(FailureKind::Timeout), true),
        (Outcome::Transport(FailureKind::Reset), true),
    ] {
        let mut world = World::new();
        world.calls(Traffic::Read, 9, Outcome::Transport(FailureKind::Tls));
        world.calls(Traffic::Read, 1, between);
        world.calls(Traffic::Read, 1, Outcome::Transport(FailureKind::Tls));
        assert_eq!(world.engine.local_state() == State::Open, opens, "{between:?}");
    }
}

#[test]
fn failures_to_connect_can_be_exempt() {
    let mut world = World::with(BreakerConfig::builder().local(false));
    world.calls(Traffic::Read, 1_000, Outcome::Transport(FailureKind::Tcp));
    assert!(world.changes.is_empty());
}

#[test]
fn each_control_does_what_it_says() {
    let mut world = World::new();
    world.control(Traffic::Read, Control::ForcedOpen);
    assert_eq!(world.get(), Answer::Refuse(None));
    assert_eq!(world.state(Traffic::Read), State::Open);
    world.wait(seconds(3_600));
    assert_eq!(world.get(), Answer::Refuse(None), "it does not end by itself");

    world.control(Traffic::Read, Control::ForcedClosed);
    world.calls(Traffic::Read, 100, Outcome::ServerError);
    assert_eq!(world.state(Traffic::Read), State::Closed);
    world.control(Traffic::Read, Control::Automatic);
    world.calls(Traffic::Read, 1, Outcome::ServerError);
    assert_eq!(world.state(Traffic::Read), State::Open, "it had gone on counting");

    world.control(Traffic::Read, Control::Disabled);
    assert_eq!(world.state(Traffic::Read), State::Closed);
    world.calls(Traffic::Read, 100, Outcome::ServerError);
    world.control(Traffic::Read, Control::Automatic);
    world.calls(Traffic::Read, 9, Outcome::ServerError);
    assert_eq!(world.state(Traffic::Read), State::Closed, "nothing was counted");

    world.control(Traffic::Read, Control::ObserveOnly);
    world.calls(Traffic::Read, 1, Outcome::ServerError);
    assert_eq!(world.state(Traffic::Read), State::Open);
    world.calls(Traffic::Read, 100, Outcome::ServerError);
    world.wait(seconds(1));
    world.calls(Traffic::Read, 3, Outcome::Success);
    assert_eq!(world.state(Traffic::Read), State::Closed);
    world.calls(Traffic::Read, 100, Outcome::Success); // The ramp refuses nobody either.
}

#[test]
fn what_ran_before_a_command_says_nothing_after_it() {
    for control in [Control::ForcedOpen, Control::Disabled] {
        let mut world = World::new();
        let passes: Vec<_> = (0..10).map(|_| admitted(world.get())).collect();
        world.control(Traffic::Read, control);
        world.control(Traffic::Read, Control::Automatic);
        passes.into_iter().for_each(|pass| world.end(pass, Outcome::ServerError));
        assert_eq!(world.state(Traffic::Read), State::Closed, "{control:?}");
    }
}

#[test]
fn a_reset_forgets_the_counts_the_growth_and_who_is_under_way() {
    let mut world = World::new();
    world.open(Traffic::Read);
    world.wait(seconds(1));
    let stale = probe(world.get());
    world.step(|engine, step| engine.reset(step, LIVE, Traffic::Read));
    assert_eq!((world.state(Traffic::Read), world.last_why()), (State::Closed, Why::Operator));
    world.end(stale, Outcome::ServerError);
    world.calls(Traffic::Read, 9, Outcome::ServerError);
    assert_eq!(world.state(Traffic::Read), State::Closed);
    world.calls(Traffic::Read, 1, Outcome::ServerError);
    assert_eq!(refused(world.get()).as_millis(), 999, "the first rung again");
}

#[test]
fn a_forced_write_circuit_is_not_held_up_by_a_local_one() {
    let mut world = World::new();
    world.calls(Traffic::Write, 10, Outcome::Transport(FailureKind::Dns));
    for control in [Control::ForcedClosed, Control::Disabled, Control::ObserveOnly] {
        world.control(Traffic::Write, control);
        admitted(world.write(HARMLESS));
        assert!(is_refused(world.get()), "only this partition");
    }
}

#[test]
fn intervals_double_are_diverse_and_start_over_after_a_whole_quiet_window() {
    let rules = BreakerConfig::default();
    let tops = [0, 1, 2, 3, 40, u32::MAX].map(|level| step::interval(&rules, level, u64::MAX).as_millis());
    assert_eq!(tops, [999, 1_999, 3_999, 4_999, 4_999, 4_999]);
    let floors = [0, 1, 2, 3].map(|level| step::interval(&rules, level, 0).as_millis());
    assert_eq!(floors, [500, 1_000, 2_000, 2_500]);
    let draws = (0..1_000_u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let fleet: std::collections::HashSet<_> = draws.map(|draw| step::interval(&rules, 0, draw)).collect();
    assert!(fleet.len() > 990, "a fleet does not come back in one instant");

    for (quiet, expected) in [(seconds(59), 3_999), (seconds(61), 999)] {
        let mut world = World::new();
        world.open(Traffic::Read);
        for _ in 0..2 {
            let wait = refused(world.get());
            world.wait(wait);
            world.calls(Traffic::Read, 3, Outcome::Success);
            world.wait(if world.changes.len() == 3 { seconds(1) } else { quiet });
            world.open(Traffic::Read);
        }
        assert_eq!(refused(world.get()).as_millis(), expected);
    }
}

#[test]
fn the_circuits_of_a_host_take_a_fixed_size_whatever_has_happened() {
    // Ten buckets of four counts, for two circuits of two modes and the local one.
    assert!(size_of::<Engine>() < 4_096, "{}", size_of::<Engine>());
}

#[test]
fn a_call_that_its_own_circuit_refuses_does_not_keep_the_dial_to_itself() {
    let mut world = World::new();
    world.calls(Traffic::Write, 10, Outcome::Transport(FailureKind::Tcp));
    world.wait(seconds(1));
    world.control(Traffic::Read, Control::ForcedClosed);
    world.control(Traffic::Read, Control::Automatic);
    // Reads open by what was under way, while the host could not be dialled.
    let first = admitted(world.get());
    world.drop(first);
    world.engine.pairs[LIVE].read.half_open(&mut Step {
        rules: &world.rules,
        now: world.now,
        draw: 0,
        changes: &mut world.changes,
    });
    let dialling = admitted(world.get());
    world.engine.settle_local(
        &mut Step { rules: &world.rules, now: world.now, draw: 0, changes: &mut world.changes },
        dialling.local,
        Dial::Neutral,
        None,
    );
    assert!(is_refused(world.get()), "its probe is under way");
    assert!(admitted(world.write(HARMLESS)).local.is_probe(), "so another may dial");
}
