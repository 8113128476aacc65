//! Whatever goes away in the middle gives back what it had.

use std::time::Duration;

use futures_util::FutureExt;
use http::{Request, Response};
use tokio_test::task;
use tower::{Service, service_fn};

use crate::{
    governor::{Bucket, Governor, GovernorConfig, GovernorGate, Limit, Wait, tests::*},
    vocab::{Admit, Deadline, Error, Gate, Outcome, Priority, Refusal, time},
};

/// Two at once, two in flight, then one each 100 ms.
fn narrow() -> GovernorGate {
    let limit = Limit::per_second(n(10)).burst(2).in_flight(2);
    let config =
        GovernorConfig::builder().limit(Bucket::Global, limit).limit(Bucket::EachOperation, Limit::UNLIMITED);
    GovernorGate::new(config.build().expect("a config"))
}

fn caller() -> Caller {
    Caller::get("/v1/balance").priority(Priority::Critical)
}

fn waiting(gate: &GovernorGate) -> Wait {
    match caller().admit(gate) {
        Admit::Wait(wait) => wait,
        other => panic!("{other:?}"),
    }
}

fn standing(gate: &GovernorGate) -> (usize, u32) {
    let [account] = &gate.handle().snapshot()[..] else { panic!("one account") };
    (account.waiting(Priority::Critical), account.in_flight())
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_was_not_sent_gives_back_its_token_and_its_place() {
    let gate = narrow();
    for _ in 0..50 {
        let permits = [caller().admit(&gate), caller().admit(&gate)];
        assert!(permits.iter().all(|admit| matches!(admit, Admit::Now(_))), "{permits:?}");
        assert_eq!(standing(&gate), (0, 2));
    }
    assert_eq!(standing(&gate), (0, 0));
    let mut sent = caller().enter(&gate).await.expect("admitted");
    GovernorGate::sent(&mut sent, time::now());
    drop(sent);
    assert_eq!(standing(&gate), (0, 0));
    let _one = caller().enter(&gate).now_or_never().expect("at once").expect("admitted");
    assert!(matches!(caller().admit(&gate), Admit::Wait(_)), "the token of what was sent is spent");
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_poll_a_wait_leaves_nothing_behind_and_the_next_goes_in_its_place() {
    // The k-th of five waiters is dropped after so many polls, its time having come or not.
    for who in 0..5 {
        for polls in 0..4 {
            let gate = narrow();
            (0..2).for_each(|_| {
                settle(
                    caller().enter(&gate).now_or_never().expect("now").expect("admitted"),
                    Outcome::Success,
                )
            });
            let began = time::now();
            let mut waits: Vec<_> = (0..5).map(|_| Some(task::spawn(waiting(&gate)))).collect();
            let mut admitted = 0;
            for round in 0..8 {
                if round == polls {
                    waits[who] = None;
                }
                for slot in &mut waits {
                    let Some(wait) = slot else { continue };
                    if let std::task::Poll::Ready(permit) = wait.poll() {
                        settle(permit.expect("admitted"), Outcome::Success);
                        admitted += 1;
                        *slot = None;
                    }
                }
                // All are done at the time of the fourth token, if one went without it.
                if waits.iter().all(Option::is_none) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let dropped_early = polls <= who + 1;
            assert_eq!(admitted, if dropped_early { 4 } else { 5 }, "{who} after {polls}");
            let took = time::now().duration_since(began).as_millis();
            let tokens = if dropped_early { 4 } else { 5 };
            assert!(took <= tokens * 100 + 1, "{who} after {polls}: {took} ms");
            assert_eq!(standing(&gate), (0, 0));
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _full =
                [(); 2].map(|()| caller().enter(&gate).now_or_never().expect("now").expect("admitted"));
            assert!(matches!(caller().admit(&gate), Admit::Wait(_)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_when_it_was_admitted_but_has_not_looked_it_hands_on() {
    let gate = narrow();
    let first = caller().enter(&gate).await.expect("admitted");
    let second = caller().enter(&gate).await.expect("admitted");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut woken = task::spawn(waiting(&gate));
    let mut next = task::spawn(waiting(&gate));
    assert!(woken.poll().is_pending() && next.poll().is_pending());
    settle(first, Outcome::Success);
    assert!(woken.is_woken() && !next.is_woken());
    drop(woken);
    assert!(next.is_woken());
    assert!(next.poll().is_ready());
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_the_deadline_even_if_nothing_happens() {
    let gate = narrow();
    let _held = [caller().enter(&gate).await, caller().enter(&gate).await];
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = time::now();
    let refused = caller().deadline(Duration::from_secs(7)).enter(&gate).await.unwrap_err();
    assert_eq!(refused, Refusal::DeadlineExceeded);
    assert_eq!(time::now().duration_since(began), Duration::from_secs(7));
    assert_eq!(standing(&gate), (0, 2));
}

/// S-105, through the driver of all gates.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_is_queued_was_never_sent() {
    let gate = narrow();
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let seen = std::sync::Arc::clone(&sent);
    let client = service_fn(move |_: Request<String>| {
        seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::future::pending::<Result<Response<String>, Error>>()
    });
    let mut service = Governor::new(client, gate.clone());
    let mut call = || {
        let mut request = request(&http::Method::GET, "/v1/balance");
        request.extensions_mut().insert(Priority::Critical);
        request.extensions_mut().insert(Deadline::after(Duration::from_secs(60)));
        task::spawn(service.call(request))
    };
    let mut calls: Vec<_> = (0..5).map(|_| call()).collect();
    assert!(calls.iter_mut().all(|call| call.poll().is_pending()));
    assert_eq!(sent.load(std::sync::atomic::Ordering::Relaxed), 2);
    assert_eq!(standing(&gate), (3, 2));
    calls.truncate(2);
    assert_eq!(standing(&gate), (0, 2));
    // Those had been sent: their tokens are spent, their places are free.
    drop(calls);
    assert_eq!(standing(&gate), (0, 0));
    assert!(matches!(caller().admit(&gate), Admit::Wait(_)));
}
