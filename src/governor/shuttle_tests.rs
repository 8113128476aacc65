//! Many threads at once, in thousands of orders: `RUSTFLAGS="--cfg shuttle" cargo test --lib shuttle_`.
//!
//! No time passes here: places in flight and objects are what is fought for. Whoever is not woken sleeps for ever, which
//! the checker takes for what it is.

use std::time::Instant;

use shuttle::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread::{self, Thread},
};

use super::{
    account::{Account, Admission, Call, Leave, Look, Settings},
    limits::{Limits, Route},
    queue::Grant,
    tests::*,
    *,
};
use crate::vocab::{Admit, Ended, Gate, Mode, Outcome, Priority, Ratio, sync::Lock, time};

const SCHEDULES: usize = 2_000;

fn account(in_flight: u32) -> Arc<Lock<Account<Thread>>> {
    let mut limits = Limits::default();
    limits.replace(Mode::Live, Bucket::Global, Limit::UNLIMITED.in_flight(in_flight));
    limits.replace(Mode::Live, Bucket::EachOperation, Limit::UNLIMITED);
    let settings = Settings { max_queue: 100, reserve: Ratio::percent(0) };
    Arc::new(Lock::new(Account::new(Mode::Live, std::sync::Arc::new(limits), settings)))
}

fn enter<R>(account: &Lock<Account<Thread>>, f: impl FnOnce(&mut Account<Thread>) -> R) -> R {
    let (result, woken) = account.with(|account| {
        let result = f(account);
        (result, account.woken())
    });
    woken.into_iter().for_each(|thread| thread.unpark());
    result
}

fn call(priority: Priority, object: Option<u64>) -> Call {
    let operation = operation("refunds.update");
    let route = Route::of(operation, Mode::Live);
    Call { operation, route, priority, deadline: u64::MAX, object, alone: true, probe: false }
}

/// Waits until it is admitted, or goes away after so many looks.
fn admitted(account: &Lock<Account<Thread>>, call: &Call, patience: u32) -> Option<Grant> {
    match enter(account, |account| account.admit(call, 0)) {
        Admission::Now(grant) => Some(grant),
        Admission::No(refusal) => panic!("{refusal}"),
        Admission::Wait(ticket) => {
            for _ in 0..patience {
                match enter(account, |account| account.look(ticket, 0, |_| Some(thread::current()))).0 {
                    Look::Granted(grant) => return Some(grant),
                    Look::Refused(refusal) => panic!("{refusal}"),
                    Look::Until(_) => thread::park(),
                }
            }
            enter(account, |account| account.abandon(ticket, 0));
            None
        }
    }
}

/// Each of `threads` calls twice; some go away while they wait, some after they were admitted.
fn fight(in_flight: u32, threads: u32, object: impl Fn(u32) -> Option<u64>, holders: usize) {
    let account = account(in_flight);
    let flying = Arc::new(AtomicU32::new(0));
    let held = Arc::new([(); 4].map(|()| AtomicU32::new(0)));
    let spawn = |i: u32| {
        let (account, flying, held) = (Arc::clone(&account), Arc::clone(&flying), Arc::clone(&held));
        let object = object(i);
        thread::spawn(move || {
            for round in 0..2 {
                let priority = if i % 2 == 0 { Priority::Normal } else { Priority::Critical };
                // An impatient one looks once, and goes when it is woken, without looking again.
                let patience = if (i + round) % 3 == 0 { 1 } else { u32::MAX };
                let Some(grant) = admitted(&account, &call(priority, object), patience) else { continue };
                assert!(flying.fetch_add(1, SeqCst) < in_flight, "too many in flight");
                if let Some(object) = object {
                    assert_eq!(held[object as usize].fetch_add(1, SeqCst), 0, "two hold {object}");
                }
                thread::yield_now();
                if let Some(object) = object {
                    held[object as usize].fetch_sub(1, SeqCst);
                }
                flying.fetch_sub(1, SeqCst);
                let leave = if (i + round) % 4 == 0 { Leave::Unsent } else { Leave::Ended };
                enter(&account, |account| account.leave(&grant, leave, 0));
            }
        })
    };
    assert!(holders <= 4);
    let all: Vec<_> = (0..threads).map(spawn).collect();
    all.into_iter().for_each(|thread| thread.join().expect("no panic"));
    enter(&account, |account| {
        assert_eq!((account.in_flight(), account.waiting()), (0, [0; 3]));
        assert!(account.is_idle_since(0, 0));
    });
}

#[test]
fn shuttle_places_in_flight_are_never_overdrawn_and_nobody_is_forgotten() {
    shuttle::check_random(|| fight(2, 5, |_| None, 0), SCHEDULES);
    shuttle::check_pct(|| fight(1, 4, |_| None, 0), SCHEDULES, 3);
}

#[test]
fn shuttle_an_object_never_has_two_holders_and_nobody_is_forgotten() {
    shuttle::check_random(|| fight(3, 5, |i| Some(u64::from(i % 2)), 2), SCHEDULES);
    shuttle::check_pct(|| fight(2, 4, |i| (i > 0).then_some(0), 1), SCHEDULES, 3);
}

#[test]
fn shuttle_permits_and_waits_that_are_dropped_leave_nothing_behind() {
    shuttle::check_random(
        || {
            let config = GovernorConfig::builder()
                .limit(Bucket::Global, Limit::UNLIMITED.in_flight(2))
                .limit(Bucket::EachOperation, Limit::UNLIMITED)
                .serialize_objects(true);
            let gate = GovernorGate::new(config.build().expect("a config"));
            let now: Instant = time::now();
            let spawn = |i: u32| {
                let gate = gate.clone();
                thread::spawn(move || {
                    let request = request(&http::Method::POST, &format!("/v1/refunds/re_{}", i % 2));
                    match gate.admit(&ask_of(&request, Mode::Live, now), &request) {
                        Admit::Now(mut permit) if i % 2 == 0 => {
                            GovernorGate::sent(&mut permit, now);
                            GovernorGate::settle(permit, &Ended::new(Outcome::Success, true, now, now));
                        }
                        admit => drop(admit),
                    }
                })
            };
            let all: Vec<_> = (0..5).map(spawn).collect();
            all.into_iter().for_each(|thread| thread.join().expect("no panic"));
            let [account] = &gate.handle().snapshot()[..] else { panic!("one account") };
            assert_eq!((account.in_flight(), account.waiting(Priority::Normal)), (0, 0));
        },
        SCHEDULES,
    );
}
