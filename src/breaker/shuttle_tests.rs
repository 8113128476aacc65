//! Every interleaving of a few calls, or some thousand of them: `RUSTFLAGS="--cfg shuttle" cargo test --lib shuttle_`.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use http::Request;
use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    thread,
};

use super::{BreakerConfig, BreakerGate, Partition, Permit, State, Traffic};
use crate::vocab::{Admit, Ask, Ended, Gate, Host, Mode, Outcome, Recorder, time};

const READS: Partition = Partition { host: Host::Api, mode: Mode::Live, traffic: Traffic::Read };
const SCHEDULES: usize = 2_000;

fn gate() -> BreakerGate {
    BreakerGate::new(
        BreakerConfig::builder().consecutive_failures(2).jitter_seed(1).build().expect("good settings"),
    )
}

fn admit(gate: &BreakerGate, now: Instant) -> Option<Permit> {
    let request =
        Request::get("https://api.stripe.com/v1/charges/ch_1").body(String::new()).expect("a request");
    match gate.admit(&Ask::of(&request, &Recorder::default(), now), &request) {
        Admit::Now(permit) => Some(permit),
        Admit::No(_) => None,
        other => panic!("{other:?}"),
    }
}

fn end(permit: Permit, outcome: Outcome, now: Instant) {
    BreakerGate::settle(permit, &Ended::new(outcome, true, now, now));
}

/// A gate whose reads are open, and a moment at which they may be probed.
fn open() -> (BreakerGate, Instant) {
    let (gate, now) = (gate(), time::now());
    for _ in 0..2 {
        end(admit(&gate, now).expect("closed"), Outcome::ServerError, now);
    }
    (gate, now + Duration::from_secs(2))
}

fn check(f: impl Fn() + Send + Sync + 'static) {
    // A gate is built on the stack, of which a thread of the model has 32 KiB otherwise.
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    let f = Arc::new(f);
    let random = Arc::clone(&f);
    Runner::new(RandomScheduler::new(SCHEDULES), config.clone()).run(move || random());
    Runner::new(PctScheduler::new(3, SCHEDULES), config).run(move || f());
}

#[test]
fn shuttle_callers_at_half_open_are_one_probe() {
    check(|| {
        let (gate, now) = open();
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let gate = gate.clone();
                thread::spawn(move || admit(&gate, now))
            })
            .collect();
        let permits: Vec<_> =
            callers.into_iter().filter_map(|caller| caller.join().expect("no panic")).collect();
        assert_eq!(permits.len(), 1);
    });
}

#[test]
fn shuttle_a_permit_dropped_at_any_point_frees_its_lease() {
    check(|| {
        let (gate, now) = open();
        let callers: Vec<_> = (0..3_u8)
            .map(|point| {
                let gate = gate.clone();
                thread::spawn(move || {
                    let Some(mut permit) = admit(&gate, now) else { return };
                    if point > 0 {
                        let _ =
                            BreakerGate::poll_revoked(&mut permit, &mut Context::from_waker(Waker::noop()));
                    }
                    if point > 1 {
                        BreakerGate::sent(&mut permit, now);
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
        assert_eq!(gate.handle().state(READS), State::HalfOpen);
        assert!(admit(&gate, now).is_some());
    });
}

#[test]
fn shuttle_a_stale_result_is_ignored() {
    check(|| {
        let (gate, now) = (gate(), time::now());
        let stale: Vec<_> = (0..3).map(|_| admit(&gate, now).expect("closed")).collect();
        for _ in 0..2 {
            end(admit(&gate, now).expect("closed"), Outcome::ServerError, now);
        }
        let now = now + Duration::from_secs(2);
        let ends: Vec<_> = stale
            .into_iter()
            .zip([Outcome::ServerError, Outcome::Success, Outcome::ServerError])
            .map(|(permit, outcome)| thread::spawn(move || end(permit, outcome, now)))
            .collect();
        let probe = admit(&gate, now).expect("a probe");
        assert!(admit(&gate, now).is_none());
        end(probe, Outcome::Success, now);
        ends.into_iter().for_each(|end| end.join().expect("no panic"));
        assert_eq!(gate.handle().state(READS), State::HalfOpen, "one success of three");
        for _ in 0..2 {
            end(admit(&gate, now).expect("a probe"), Outcome::Success, now);
        }
        assert_eq!(gate.handle().state(READS), State::Closed);
    });
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn shuttle_who_waits_inside_hears_of_the_opening() {
    check(|| {
        let (gate, now) = (gate(), time::now());
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let mut permit = admit(&gate, now).expect("closed");
                thread::spawn(move || {
                    let woken = Arc::new(Woken::default());
                    let waker = Waker::from(Arc::clone(&woken));
                    let first = BreakerGate::poll_revoked(&mut permit, &mut Context::from_waker(&waker));
                    (permit, woken, first)
                })
            })
            .collect();
        let failing: Vec<_> = (0..2)
            .map(|_| {
                let permit = admit(&gate, now).expect("closed");
                thread::spawn(move || end(permit, Outcome::ServerError, now))
            })
            .collect();
        let waiting: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().expect("no panic")).collect();
        failing.into_iter().for_each(|end| end.join().expect("no panic"));
        for (mut permit, woken, first) in waiting {
            assert!(first.is_ready() || woken.0.load(SeqCst) == 1, "it was never woken");
            let again = BreakerGate::poll_revoked(&mut permit, &mut Context::from_waker(Waker::noop()));
            assert!(matches!(again, Poll::Ready(_)));
        }
    });
}
