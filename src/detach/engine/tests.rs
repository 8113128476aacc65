use http::{Method, Request};
use proptest::prelude::*;

use super::*;
use crate::vocab::{Purpose, Recorder, Stop};

fn registry(max_detached: usize, max_unresolved: usize) -> Registry<&'static str> {
    Registry::new(DetachConfig { max_detached, max_unresolved })
}

fn operation() -> Operation {
    Operation::resolve(&Method::POST, "/v1/charges")
}

/// The account of a call that was lost.
fn unknown() -> ReportHandle {
    let recorder = Recorder::default();
    let entered = recorder.enter(&Request::post("/v1/charges").body(()).expect("valid"), Purpose::First);
    drop(entered);
    assert_eq!(recorder.certainty(), Certainty::Unknown);
    recorder.handle().clone()
}

fn not_sent() -> ReportHandle {
    let recorder = Recorder::default();
    recorder.stopped(Stop::Cancelled, None);
    recorder.handle().clone()
}

#[test]
fn a_full_registry_refuses_and_a_closed_one_refuses_for_good() {
    let mut calls = registry(2, 9);
    let first = calls.admit(operation(), unknown()).unwrap();
    calls.admit(operation(), unknown()).unwrap();
    assert_eq!(calls.admit(operation(), unknown()), Err(Refusal::Saturated { retry_in: RETRY_IN }));
    assert!(calls.end(first, false).is_some());
    let third = calls.admit(operation(), unknown()).unwrap();
    assert_ne!(third, first, "a name is not used again");
    calls.close();
    assert_eq!(calls.admit(operation(), unknown()), Err(Refusal::ShuttingDown), "that it is full is no news");
    assert!(calls.end(third, false).is_some());
    assert_eq!(calls.admit(operation(), unknown()), Err(Refusal::ShuttingDown));
    assert!(calls.is_closed());
}

#[test]
fn a_call_ends_once_and_the_last_one_is_told() {
    let mut calls = registry(9, 9);
    let ids = [1, 2].map(|_| calls.admit(operation(), not_sent()).unwrap());
    assert_eq!(calls.end(ids[0], false).map(|ended| ended.last), Some(false));
    assert!(calls.end(ids[0], true).is_none(), "a slot is dropped after it was ended");
    calls.abandon(ids[0]);
    assert_eq!((calls.in_flight(), calls.abandoned()), (1, 0));
    assert_eq!(calls.end(ids[1], false).map(|ended| ended.last), Some(true));
}

#[test]
fn only_an_unknown_end_that_nobody_was_told_of_is_kept() {
    // Why nobody was told; whether it is noted, and whether it is kept.
    for (why, account, noted, kept) in [
        ("told", unknown(), false, 0),
        ("abandoned", unknown(), true, 1),
        ("untold", unknown(), true, 1),
        ("cut", unknown(), true, 1),
        ("abandoned", not_sent(), true, 0),
        ("cut", not_sent(), true, 0),
    ] {
        let mut calls = registry(9, 9);
        let id = calls.admit(operation(), account).unwrap();
        match why {
            "abandoned" => (0..2).for_each(|_| calls.abandon(id)),
            "cut" => drop(calls.cut()),
            _ => {}
        }
        assert_eq!(calls.abandoned(), usize::from(why == "abandoned"), "{why}");
        let ended = calls.end(id, why == "untold").unwrap();
        assert_eq!((ended.untold.is_some(), calls.drained().unresolved.len()), (noted, kept), "{why}");
        assert_eq!((calls.in_flight(), calls.abandoned()), (0, 0), "{why}");
    }
}

#[test]
fn the_list_is_bounded_and_keeps_the_last() {
    let mut calls = registry(9, 2);
    let names =
        ["charges.create", "refunds.create", "payouts.create"].map(|name| Operation::new(name).unwrap());
    for operation in names {
        let id = calls.admit(operation, unknown()).unwrap();
        calls.end(id, true);
    }
    let drained = calls.drained();
    let kept: Vec<_> = drained.unresolved.iter().map(|call| call.operation).collect();
    assert_eq!((kept, drained.forgotten), (names[1..].to_vec(), 1));
    assert_eq!(calls.drained().unresolved.len(), 2, "it is not used up");
}

#[test]
fn what_is_cut_off_is_cut_off_once_wherever_it_has_come_to() {
    let mut calls = registry(9, 9);
    let [runs, starts, ended] = [1, 2, 3].map(|_| calls.admit(operation(), unknown()).unwrap());
    assert_eq!(calls.started(runs, "runs"), None);
    calls.end(ended, false);
    assert_eq!(
        calls.started(ended, "ended"),
        Some("ended"),
        "it has ended before it was known to have started"
    );
    assert!(calls.drained().unresolved.is_empty(), "what goes on is not given up");
    assert_eq!(calls.cut(), ["runs"]);
    assert_eq!(calls.started(starts, "starts"), Some("starts"), "it is to be cut off at once");
    assert!(calls.cut().is_empty());
    assert_eq!(calls.drained().unresolved.len(), 2, "one that does not end is reported all the same");
    calls.end(runs, false);
    calls.end(starts, false);
    assert_eq!(calls.drained().unresolved.len(), 2, "and not twice");
}

#[test]
fn what_cannot_be_cut_off_is_reported_only_if_it_is_unknown() {
    let mut calls = registry(9, 9);
    calls.admit(operation(), not_sent()).unwrap();
    calls.cut();
    assert!(calls.drained().unresolved.is_empty());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit,
    Abandon(usize),
    End(usize, bool),
    Cut,
}

proptest! {
    /// Against a list of what is under way.
    #[test]
    fn its_counts_are_those_of_a_list(
        steps in prop::collection::vec(
            prop_oneof![
                4 => Just(Step::Admit),
                2 => (0..8_usize).prop_map(Step::Abandon),
                3 => (0..8_usize, any::<bool>()).prop_map(|(n, untold)| Step::End(n, untold)),
                1 => Just(Step::Cut),
            ],
            0..60,
        )
    ) {
        let (max_detached, max_unresolved) = (4, 3);
        let mut calls = registry(max_detached, max_unresolved);
        // Name, abandoned, cut.
        let mut model: Vec<(Id, bool, bool)> = Vec::new();
        let mut unresolved = 0;
        for step in steps {
            match step {
                Step::Admit => match calls.admit(operation(), unknown()) {
                    Ok(id) => model.push((id, false, false)),
                    Err(_) => prop_assert_eq!(model.len(), max_detached),
                },
                Step::Abandon(n) => if let Some(call) = model.get_mut(n) {
                    calls.abandon(call.0);
                    call.1 = true;
                },
                Step::End(n, untold) => if n < model.len() {
                    let (id, abandoned, cut) = model.remove(n);
                    let ended = calls.end(id, untold).expect("it is under way");
                    let expected = untold || abandoned || cut;
                    prop_assert_eq!(ended.untold.is_some(), expected);
                    prop_assert_eq!(ended.last, model.is_empty());
                    unresolved += usize::from(expected);
                },
                Step::Cut => {
                    calls.cut();
                    model.iter_mut().for_each(|call| call.2 = true);
                }
            }
            prop_assert_eq!(calls.in_flight(), model.len());
            prop_assert_eq!(calls.abandoned(), model.iter().filter(|call| call.1).count());
            let stuck = model.iter().filter(|call| call.2).count();
            let drained = calls.drained();
            prop_assert_eq!(drained.unresolved.len(), unresolved.min(max_unresolved) + stuck);
            prop_assert_eq!(drained.forgotten as usize, unresolved.saturating_sub(max_unresolved));
        }
    }
}
