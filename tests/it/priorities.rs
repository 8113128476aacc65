//! Who is more urgent goes first, nobody starves, and who would come too late is told so at once.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use gcra::{
    Quota, RateLimiter, clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use http::Response;
use stripe_sim::{Fault, Latency, Limits, Profile, Sim, Step};
use tokio::time::{advance, sleep, sleep_until};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, ServiceExt, service_fn};
use tower_stripe::{
    AttemptTimeout, Certainty, Deadline, Error, Priority, Refusal, ReportHandle, RetryLimit, StripeTransport,
    governor::{Bucket, GovernorConfig, GovernorLayer},
    transport::Profile as Settings,
    vocab::{Stop, time},
};

use crate::support::{
    get,
    load::{
        Answer, Call, Stripe, arrivals, assert_within, at_once, between, count, endless, list, live,
        most_at_once, only, p99, per_second, queued, read,
    },
    millis, payment, secs, sim, stop_of, transport, transport_of, with,
};

fn one_payment(n: usize) -> Call {
    payment(&format!("payment {n}"))
}

/// The orders in which requests arrived.
fn orders(sim: &Sim) -> Vec<String> {
    sim.log().into_iter().map(|seen| seen.order).collect()
}

fn refusal(answer: Answer) -> (Option<Refusal>, Certainty) {
    let error = answer.expect_err("refused");
    (error.refusal().cloned(), error.certainty())
}

/// A number that looks as if it was drawn.
const fn draw(n: u64) -> u64 {
    let n = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n ^ (n >> 31)
}

/// S-55
#[tokio::test(start_paused = true)]
async fn payments_hardly_wait_behind_an_endless_flood_of_reports_which_goes_on() {
    for (is_live, rate, at_most) in [(true, 90.0, millis(50)), (false, 22.5, millis(200))] {
        let mode = move |call: Call| if is_live { live(call) } else { call };
        // The limits of Stripe's, for what the governor lets through must be welcome there.
        let sim = Sim::new();
        sim.latency(Latency::all(Profile::constant(millis(200))));
        let stripe = transport(&sim);
        let reports = endless(&stripe, 200, move |n| mode(list(n % 5, "report")));
        sleep(secs(5)).await;
        // Ten a second on average, at any moment.
        let payments = (0..300_u64).map(|n| {
            let (stripe, at) = (&stripe, millis(draw(n) % 30_000));
            async move {
                sleep(at).await;
                stripe.send(mode(one_payment(n as usize))).await
            }
        });
        let answers = join_all(payments).await;
        drop(reports);

        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 200)));
        let waited = p99(answers.iter().map(queued).collect());
        assert!(waited <= at_most, "p99 {waited:?} of a queue at {rate}/s");
        let reports = between(&arrivals(&sim, |seen| seen.order == "report"), secs(5), secs(35)) as f64;
        println!("{rate}/s: p99 of the queue {waited:?}, {reports} reports and 300 payments in 30 s");
        assert!(reports >= rate * 30.0 * 0.01, "{reports} in 30 s");
        // They get what the payments leave, all of it.
        assert!(reports >= (rate - 10.0) * 30.0 * 0.97, "{reports} in 30 s");
        assert!(sim.log().iter().all(|seen| seen.status.is_none_or(|status| status != 429)));
    }
}

#[tokio::test(start_paused = true)]
async fn payments_that_come_together_wait_for_each_other_and_not_for_reports() {
    let sim = sim();
    let stripe = transport(&sim);
    let reports = endless(&stripe, 200, |n| live(list(n, "report")));
    sleep(secs(5)).await;
    let answers = at_once(&stripe, (0..3).map(|n| live(one_payment(n)))).await;
    drop(reports);
    // Two tokens are in reserve, and the third comes next.
    let waited: Vec<_> = answers.iter().map(queued).collect();
    assert_eq!(waited[..2], [Duration::ZERO; 2]);
    assert!(waited[2] <= millis(12), "{waited:?}");
}

/// S-55
#[tokio::test(start_paused = true)]
async fn one_admission_in_fifty_is_for_those_who_are_least_urgent() {
    let sim = sim();
    let stripe = transport(&sim);
    let flood =
        |order: &'static str, priority| endless(&stripe, 150, move |n| live(with(read(n, order), priority)));
    let critical = flood("critical", Priority::Critical);
    let normal = flood("normal", Priority::Normal);
    let background = flood("background", Priority::Background);
    sleep(secs(30)).await;
    drop((critical, normal, background));

    let of = |order: &str| arrivals(&sim, |seen| seen.order == order).len() as f64;
    let all = sim.log().len() as f64;
    assert!(all >= 90.0 * 30.0, "the account is used up: {all}");
    for less in ["normal", "background"] {
        assert!(of(less) >= 0.01 * all, "{less}: {} of {all}", of(less));
        assert!(of(less) <= 0.04 * all, "{less}: {} of {all}", of(less));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_call_says_of_its_priority_counts_and_not_its_operation() {
    let governor = || only(per_second(10).burst(2));
    let plain = |order: &str| read(0, order);
    for (what, builder) in [
        ("default", StripeTransport::builder().governor(governor())),
        (
            "background",
            StripeTransport::profile(Settings::Background)
                .governor(governor().default_priority(Some(Priority::Background))),
        ),
    ] {
        let sim = sim();
        let stripe = transport_of(&sim, builder);
        let calls = [
            plain("burst 1"),
            plain("burst 2"),
            list(1, "list"),
            plain("read"),
            payment("payment"),
            with(payment("modest payment"), Priority::Background),
            with(list(1, "urgent list"), Priority::Critical),
        ];
        at_once(&stripe, calls).await;
        let expected = match what {
            "default" => ["burst 1", "burst 2", "payment", "urgent list", "read", "list", "modest payment"],
            // Whoever says nothing is in the background, payments included.
            _ => ["burst 1", "burst 2", "urgent list", "list", "read", "payment", "modest payment"],
        };
        assert_eq!(orders(&sim), expected, "{what}");
    }
    assert!(
        transport_of(&sim(), StripeTransport::profile(Settings::Background))
            .describe()
            .to_string()
            .contains("default_priority = background")
    );
}

/// S-58
#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_the_newest_of_the_least_urgent() {
    let sim = sim();
    let governor = only(per_second(1).burst(2)).max_queue(4);
    let stripe = transport_of(&sim, StripeTransport::builder().governor(governor));
    let call = |order: &str, priority| stripe.send(live(with(read(0, order), priority)));
    let mut waiting = ["1", "2", "old report", "report", "new report", "read"].map(|order| {
        let priority = if order.ends_with("report") { Priority::Background } else { Priority::Normal };
        task::spawn(Box::pin(call(order, priority)))
    });
    for (n, waiting) in waiting.iter_mut().enumerate() {
        assert_eq!(waiting.poll().is_ready(), n < 2);
    }
    let began = time::now();
    // As urgent as the least that wait: there is no room for it.
    let (refused, certainty) = refusal(call("late report", Priority::Background).await);
    assert_eq!((certainty, time::now()), (Certainty::NotSent, began));
    // It would have been the fifth: one token a second.
    assert_eq!(refused, Some(Refusal::Saturated { retry_in: secs(5) }));

    let mut urgent =
        ["payment 1", "payment 2"].map(|order| task::spawn(Box::pin(call(order, Priority::Critical))));
    urgent.iter_mut().for_each(|urgent| assert_pending!(urgent.poll()));
    for shed in [4, 3] {
        assert!(waiting[shed].is_woken());
        let (refused, certainty) = refusal(assert_ready!(waiting[shed].poll()));
        assert!(matches!(refused, Some(Refusal::Saturated { .. })), "{refused:?}");
        assert_eq!(certainty, Certainty::NotSent);
    }
    let [_, _, old, _, _, last] = waiting;
    let [first, second] = urgent;
    join_all([old, last, first, second].map(task::Spawn::into_inner)).await;
    assert_eq!(orders(&sim), ["1", "2", "payment 1", "payment 2", "read", "old report"]);

    // Without a queue, what cannot go at once is refused.
    let governor = only(per_second(1).burst(2)).max_queue(0);
    let stripe = transport_of(&sim, StripeTransport::builder().governor(governor));
    let answers = at_once(&stripe, (0..3).map(|n| with(live(read(n, "now")), Priority::Critical))).await;
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
}

/// S-57
#[tokio::test(start_paused = true)]
async fn a_wait_that_would_pass_the_deadline_is_not_begun() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(only(per_second(1).burst(2))));
    let queue = at_once(&stripe, (0..22).map(|n| live(with(read(n, "queue"), Priority::Critical))));
    let late = async {
        let began = time::now();
        let call = |deadline| {
            stripe.send(with(with(live(read(0, "late")), Priority::Critical), Deadline::after(deadline)))
        };
        let error = call(millis(20_900)).await.expect_err("refused");
        // Twenty wait, and one token comes a second.
        assert_eq!(error.refusal(), Some(&Refusal::WaitTooLong { wait: secs(21) }));
        assert_eq!((error.certainty(), error.attempts()), (Certainty::NotSent, 0));
        assert_eq!(stop_of(&error), Some(Stop::Deadline));
        assert_eq!(error.retry_in(), Some(secs(21)));
        assert_eq!(time::now(), began, "it did not even wait");
        call(millis(21_100)).await.expect("there was time enough");
        assert!(time::now() - began <= millis(21_002));
    };
    tokio::join!(queue, late);
    assert_eq!((orders(&sim).len(), &*orders(&sim)[22]), (23, "late"));
}

/// S-57: who was overtaken while it waited is refused at its deadline, and not later.
#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_the_deadline_whatever_was_expected() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(only(per_second(2).burst(2))));
    let began = time::now();
    let busy = at_once(&stripe, (0..2).map(|n| live(read(n, "busy"))));
    let modest = async {
        let call = with(live(list(0, "modest")), Deadline::after(secs(3)));
        let (refused, certainty) = refusal(stripe.send(call).await);
        assert_eq!((refused, certainty), (Some(Refusal::DeadlineExceeded), Certainty::NotSent));
        assert_eq!(time::now() - began, secs(3));
    };
    let urgent = async {
        sleep(millis(100)).await;
        at_once(&stripe, (0..20).map(|n| with(live(read(n, "urgent")), Priority::Critical))).await
    };
    tokio::join!(busy, modest, urgent);
    assert_eq!(sim.log_of("modest").len(), 0);
}

/// S-09
#[tokio::test(start_paused = true)]
async fn a_lost_answer_and_then_a_queue_that_is_too_long_leaves_it_unknown() {
    let sim = sim();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(only(per_second(1).burst(2))));
    sim.script("o", [Step::Fault(Fault::F3)]);
    let began = time::now();
    let lost = stripe.send(with(live(payment("o")), Deadline::after(secs(20))));
    let queue = async {
        sleep(millis(10)).await;
        at_once(&stripe, (0..40).map(|n| live(payment(&format!("other {n}"))))).await
    };
    let timed = async { (lost.await, time::now() - began) };
    let ((answer, took), _) = tokio::join!(timed, queue);

    let error = answer.expect_err("no answer arrived");
    assert!(matches!(error.refusal(), Some(Refusal::WaitTooLong { .. })), "{error}");
    assert_eq!(error.certainty(), Certainty::Unknown);
    assert_eq!(stop_of(&error), Some(Stop::Deadline));
    assert!(took <= millis(600), "{took:?}: the wait was not begun");
    assert_eq!((sim.log_of("o").len(), sim.ledger().executions("o")), (1, 1));
}

/// How far a call has come that is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dropped {
    BeforeAnyPoll,
    Queued,
    /// Its timer has fired, and it has not looked.
    Woken,
    /// Somebody else has seen to it that it may go, and it has not looked.
    Granted,
    /// It was next, and looked too early.
    Overtaken,
}

/// S-105
#[tokio::test(start_paused = true)]
async fn a_call_dropped_in_the_queue_was_not_sent_and_leaves_its_token_to_the_next() {
    use Dropped::{BeforeAnyPoll, Granted, Overtaken, Queued, Woken};
    for dropped in [BeforeAnyPoll, Queued, Woken, Granted, Overtaken] {
        let sim = sim();
        let stripe = transport_of(&sim, StripeTransport::builder().governor(only(per_second(10).burst(2))));
        let began = time::now();
        let send = |order: &str| task::spawn(Box::pin(stripe.send(live(read(0, order)))));
        at_once(&stripe, (0..2).map(|n| live(read(n, "burst")))).await;
        let handle = ReportHandle::new();
        let mut victim = task::spawn(Box::pin(stripe.send(with(live(read(0, "victim")), handle.clone()))));
        if dropped != BeforeAnyPoll {
            assert_pending!(victim.poll());
        }
        let mut others = vec![send("1"), send("2")];
        others.iter_mut().for_each(|other| assert_pending!(other.poll()));
        match dropped {
            BeforeAnyPoll | Queued => {}
            Woken => {
                advance(millis(101)).await;
                assert!(victim.is_woken());
            }
            Granted => {
                advance(millis(100)).await;
                let mut third = send("3");
                assert_pending!(third.poll());
                assert!(victim.is_woken());
                others.push(third);
            }
            Overtaken => {
                advance(millis(50)).await;
                let mut urgent =
                    task::spawn(Box::pin(stripe.send(with(live(read(0, "urgent")), Priority::Critical))));
                assert_pending!(urgent.poll());
                advance(millis(51)).await;
                assert_pending!(victim.poll());
                others.insert(0, urgent);
            }
        }
        drop(victim);
        let report = handle.report();
        assert_eq!((report.certainty(), report.attempts_made()), (Certainty::NotSent, 0), "{dropped:?}");
        join_all(others.into_iter().map(task::Spawn::into_inner)).await;

        assert!(sim.log_of("victim").is_empty());
        let arrived: Vec<_> =
            sim.log().iter().skip(2).map(|seen| (seen.arrived - began).as_millis()).collect();
        let expected: &[u128] = match dropped {
            BeforeAnyPoll | Queued => &[100, 200],
            // Nobody looked before.
            Woken => &[101, 200],
            Granted => &[100, 200, 300],
            Overtaken => &[101, 200, 300],
        };
        assert_eq!(arrived, expected, "{dropped:?}");
        let now = &stripe.governor().snapshot()[0];
        let waiting = [Priority::Critical, Priority::Normal, Priority::Background].map(|p| now.waiting(p));
        assert_eq!((waiting, now.in_flight()), ([0; 3], 0), "{dropped:?}");
    }
}

/// S-105
#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_in_flight_gives_its_place_back_but_not_its_token() {
    let sim = sim();
    sim.latency(Latency::all(Profile::constant(secs(5))));
    let governor = only(per_second(10).burst(2)).max_in_flight(1);
    let stripe = transport_of(&sim, StripeTransport::builder().governor(governor));
    let began = time::now();
    let mut first = task::spawn(Box::pin(stripe.send(live(read(0, "first")))));
    let mut second = task::spawn(Box::pin(stripe.send(live(read(0, "second")))));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    sleep(millis(700)).await;
    assert_pending!(second.poll());
    assert!(!second.is_woken());
    drop(first);
    assert!(second.is_woken());
    assert!(second.into_inner().await.is_ok());
    assert_eq!(sim.log_of("second")[0].arrived - began, millis(700));
}

#[tokio::test(start_paused = true)]
async fn no_more_are_in_flight_than_may_be_and_a_fifth_of_the_places_is_for_payments() {
    let sim = sim();
    sim.latency(Latency::all(Profile::constant(secs(1))));
    let governor = only(per_second(1_000)).max_in_flight(10);
    let stripe = transport_of(&sim, StripeTransport::builder().governor(governor));
    let calls = (0..20).map(|n| live(read(n, "read"))).chain((0..20).map(|n| live(one_payment(n))));
    at_once(&stripe, calls).await;

    let reads = arrivals(&sim, |seen| seen.order == "read");
    let all = arrivals(&sim, |_| true);
    assert_eq!((most_at_once(&all, secs(1)), most_at_once(&reads, secs(1))), (10, 8));
    let first: Vec<_> = sim.log()[..10].iter().map(|seen| seen.is_read()).collect();
    assert_eq!(first.iter().filter(|is_read| **is_read).count(), 8);
    // Ten a second, payments first: two in the first second, ten in the next one, and so on.
    let last_payment = sim.log().iter().rfind(|seen| !seen.is_read()).expect("a payment").at;
    assert!(last_payment <= millis(2_010), "{last_payment:?}");
    assert!(all[39] <= millis(4_010), "{:?}", all[39]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_timed_out_keeps_its_place_for_a_second() {
    let sim = sim();
    let governor = only(per_second(100)).max_in_flight(2);
    let stripe = transport_of(&sim, StripeTransport::builder().governor(governor));
    for n in 0..2 {
        sim.script(&format!("hangs {n}"), [Step::Hang]);
    }
    let hangs = (0..2).map(|n| {
        let call = with(live(read(n, &format!("hangs {n}"))), AttemptTimeout::new(secs(3)));
        with(with(call, RetryLimit::NONE), Priority::Critical)
    });
    let next = (0..4).map(|n| with(live(read(n, "next")), Priority::Critical));
    at_once(&stripe, hangs.chain(next)).await;
    let next = arrivals(&sim, |seen| seen.order == "next");
    assert_eq!(next.len(), 4);
    for at in next {
        assert!((millis(4_000)..=millis(4_002)).contains(&at), "{at:?}: three seconds, and one more");
    }
}

/// Counts how often what is in it is polled.
struct Counted<F> {
    inner: Pin<Box<F>>,
    polls: Arc<AtomicUsize>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.inner.as_mut().poll(cx)
    }
}

/// How often each of these calls is polled on average, each in a task of its own, and how long all took.
async fn polls<F>(calls: impl Iterator<Item = F>) -> (f64, Duration)
where
    F: Future<Output: Send> + Send + 'static,
{
    let (polls, began) = (Arc::new(AtomicUsize::new(0)), time::now());
    let tasks: Vec<_> = calls
        .map(|call| tokio::spawn(Counted { inner: Box::pin(call), polls: Arc::clone(&polls) }))
        .collect();
    let waiters = tasks.len() as f64;
    join_all(tasks).await.into_iter().for_each(|done| drop(done.expect("no panic")));
    (polls.load(Ordering::Relaxed) as f64 / waiters, time::now() - began)
}

/// Calls through the governor alone, to a client that answers at once.
async fn polls_of_governor(rate: u32, waiters: usize, call: impl Fn(usize) -> Call) -> (f64, Duration) {
    let limit = per_second(rate).burst(2);
    let layer = GovernorLayer::new(only(limit).build().expect("valid"));
    let client = layer.layer(service_fn(|_: Call| async { Ok::<_, Error>(Response::new(())) }));
    let calls: Vec<_> = (0..waiters).map(|n| client.clone().oneshot(live(call(n)))).collect();
    polls(calls.into_iter()).await
}

/// Tokio's time, for the `governor` crate.
#[derive(Clone)]
struct Paused(Instant);

impl clock::Clock for Paused {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        (time::now() - self.0).into()
    }
}

/// The loop of `until_ready`, in virtual time: whoever finds no token sleeps until the next one comes, and looks again.
async fn polls_of_until_ready(rate: u32, waiters: usize) -> (f64, Duration) {
    let began = time::now();
    let quota = Quota::per_second(count(rate)).allow_burst(count(2));
    let limiter = Arc::new(RateLimiter::direct_with_clock(quota, Paused(began)));
    let wait = |limiter: Arc<RateLimiter<NotKeyed, InMemoryState, Paused, NoOpMiddleware<Nanos>>>| async move {
        while let Err(not_until) = limiter.check() {
            let at: Nanos = not_until.earliest_possible();
            sleep_until((began + Duration::from(at)).into()).await;
        }
    };
    polls((0..waiters).map(|_| wait(Arc::clone(&limiter)))).await
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_polled_twice_in_a_queue_of_one_priority_and_four_times_in_a_mix() {
    const WAITERS: usize = 500;
    // Ninety a second: 11.1 ms each, where timers have milliseconds.
    for rate in [50, 90] {
        let ideal = (WAITERS as f64 - 2.0) / f64::from(rate);
        let assert_drained = |what: &str, took: Duration| {
            assert!(took.as_secs_f64() <= ideal * 1.01 + 0.01, "{what}: {took:?}, not {ideal} s");
        };
        let deadline = || Deadline::after(secs(60));
        let (one, took) = polls_of_governor(rate, WAITERS, |n| with(read(n, "o"), deadline())).await;
        assert!(one <= 2.0, "{rate}/s, one priority: {one} polls");
        assert_drained("one priority", took);

        let priorities = [Priority::Critical, Priority::Normal, Priority::Background];
        let mixed = |n: usize| with(with(read(n / 3, "o"), priorities[n % 3]), deadline());
        let (mix, took) = polls_of_governor(rate, WAITERS, mixed).await;
        assert!(mix <= 4.0, "{rate}/s, a mix: {mix} polls");
        assert_drained("a mix", took);

        let (until_ready, took) = polls_of_until_ready(rate, WAITERS).await;
        assert!(until_ready >= 20.0 * one, "{rate}/s: {until_ready} polls, {one} here");
        assert_drained("until_ready", took);
        println!(
            "{rate}/s, {WAITERS} waiters: one priority {one:.2} polls, a mix {mix:.2}, until_ready {until_ready:.1}"
        );
    }
}

/// Nobody knows when a place in flight will be free: who waits for one looks after itself now and then.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_in_flight_looks_once_a_second_at_most() {
    let layer = GovernorLayer::new(only(per_second(1_000)).max_in_flight(10).build().expect("valid"));
    let client = layer.layer(service_fn(|_: Call| async {
        sleep(secs(1)).await;
        Ok::<_, Error>(Response::new(()))
    }));
    let calls = (0..500).map(|n| {
        let call = with(with(live(read(n, "o")), Priority::Critical), Deadline::after(secs(90)));
        client.clone().oneshot(call)
    });
    let (polls, took) = polls(calls.collect::<Vec<_>>().into_iter()).await;
    assert!(took <= millis(50_100), "{took:?}");
    println!("500 waiters for 10 places of 1 s each: {polls:.2} polls");
    // When it comes, when it goes, and when it is answered; and for 25 seconds on average it waits.
    assert!(polls <= 3.0 + 25.0, "{polls} polls");
}

/// The same through the whole transport, with operations at limits of their own and arrivals all the time.
#[tokio::test(start_paused = true)]
async fn who_arrives_all_the_time_is_polled_four_times_at_most_too() {
    let sim = Sim::builder().limits(Limits::unlimited()).build();
    let stripe: Stripe = transport_of(
        &sim,
        StripeTransport::builder()
            .governor(GovernorConfig::builder().limit(Bucket::EachOperation, per_second(30))),
    );
    let priorities = [Priority::Critical, Priority::Normal, Priority::Background, Priority::Background];
    let calls = (0..1_000).map(|n: usize| {
        let stripe = stripe.clone();
        let call = with(live(read(n % 7, "o")), priorities[n / 7 % 4]);
        async move {
            // A hundred a second, in little crowds. This sleep is one more poll.
            sleep(millis(n as u64 / 20 * 200)).await;
            stripe.send(call).await
        }
    });
    let (polls, took) = polls(calls).await;
    assert_eq!(sim.log().len(), 1_000);
    assert!(polls <= 5.0, "{polls} polls");
    assert!(took.as_secs_f64() <= (1_000.0 - 8.0) / 90.0 * 1.02, "{took:?}");
    println!("1,000 arrivals of three priorities and seven operations: {:.2} polls", polls - 1.0);
}

#[tokio::test(start_paused = true)]
async fn what_the_table_does_not_know_shares_one_limit() {
    let sim = sim();
    let calls = (0..60).map(|n| live(get(&format!("/v1/novelties_{n}/nov_1"), "o")));
    at_once(&transport(&sim), calls).await;
    let all = arrivals(&sim, |_| true);
    assert_within(&all, 22.5, 3);
}
