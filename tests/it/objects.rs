//! Changes of one object wait for each other, if that is wanted, and Stripe never answers that it is locked.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use stripe_sim::{Canned, Latency, Profile, Sim, Step};
use tokio::time::sleep;
use tokio_test::{assert_pending, task};
use tower_stripe::{
    Deadline, Outcome, Priority, Refusal, ResponseExt, RetryLimit, StripeTransport,
    governor::{Bucket, GovernorBuilder, Limit},
    vocab::time,
};

use crate::support::{
    bytes, get,
    load::{Call, Stripe, arrivals, at_once, live, most_at_once, only, per_second, queued, read},
    millis, post, request, secs, sim, transport, transport_of, with,
};

/// How long everything takes at the other side.
const TOOK: Duration = Duration::from_millis(100);

/// A governor without rates, so that objects are all that calls wait for.
fn one_at_a_time() -> GovernorBuilder {
    only(Limit::UNLIMITED).serialize_objects(true)
}

fn stripe_of(sim: &Sim, governor: GovernorBuilder) -> Stripe {
    transport_of(sim, StripeTransport::builder().governor(governor))
}

/// Creates an object, and returns its id.
async fn created(sim: &Sim, path: &str, form: &'static str) -> String {
    let answer = transport(sim).send(live(post(path, "created", form))).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let object: serde_json::Value = serde_json::from_slice(&bytes(answer).await).expect("json");
    object["id"].as_str().expect("an id").to_owned()
}

async fn intent(sim: &Sim) -> String {
    created(sim, "/v1/payment_intents", "amount=1099&currency=eur").await
}

fn change(path: &str, n: usize) -> Call {
    with(live(post(path, &n.to_string(), format!("metadata[n]={n}"))), RetryLimit::NONE)
}

/// How many of these there were at once at most, by path.
fn at_once_by_path(sim: &Sim) -> BTreeMap<String, usize> {
    let paths: BTreeMap<_, _> = sim.log().into_iter().map(|seen| (seen.path, ())).collect();
    let most = |path: &str| most_at_once(&arrivals(sim, |seen| seen.path == path), TOOK);
    paths.into_keys().map(|path| (path.clone(), most(&path))).collect()
}

/// S-43
#[tokio::test(start_paused = true)]
async fn twenty_changes_of_one_object_go_one_by_one_in_their_order_and_meet_no_lock() {
    for serialize in [true, false] {
        let sim = sim();
        let (first, second) = (intent(&sim).await, intent(&sim).await);
        let customer = created(&sim, "/v1/customers", "name=x").await;
        sim.latency(Latency::all(Profile::constant(TOOK)));
        let stripe = stripe_of(&sim, one_at_a_time().serialize_objects(serialize));
        let path = |n| match n % 3 {
            0 => format!("/v1/payment_intents/{first}"),
            1 => format!("/v1/payment_intents/{second}"),
            _ => format!("/v1/customers/{customer}"),
        };
        let began = time::now();
        let answers = at_once(&stripe, (0..60).map(|n| change(&path(n), n))).await;
        let locked = answers
            .iter()
            .filter(|answer| answer.as_ref().expect("an answer").outcome() == Some(Outcome::LockTimeout));
        let locked = locked.count();
        if !serialize {
            // What it is against.
            assert_eq!(locked, 57);
            continue;
        }
        assert_eq!(locked, 0);
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 200)));
        let log: Vec<_> = sim.log().into_iter().filter(|seen| seen.order != "created").collect();
        let order = log.iter().map(|seen| seen.order.parse::<usize>().expect("a number"));
        let mut latest = BTreeMap::new();
        for n in order {
            assert!(latest.insert(n % 3, n).is_none_or(|before| before < n), "{n} came late");
        }
        let most = at_once_by_path(&sim);
        assert!((0..3).all(|n| most[&path(n)] == 1), "{most:?}");
        // Three objects side by side, each without a pause.
        assert_eq!(time::now() - began, TOOK * 20);
    }
}

/// S-43: all that changes an object is one thing, whatever the operation; what only reads it waits for nobody.
#[tokio::test(start_paused = true)]
async fn all_operations_that_change_an_object_wait_for_each_other_and_no_others_do() {
    let sim = sim();
    sim.latency(Latency::all(Profile::constant(TOOK)));
    let stripe = stripe_of(&sim, one_at_a_time());
    let sub = |order: &str| live(post("/v1/subscriptions/sub_1", order, "quantity=2"));
    let calls = [
        sub("1"),
        live(request("DELETE", "/v1/subscriptions/sub_1", "2", "")),
        live(post("/v1/subscriptions/sub_1/resume", "3", "")),
        live(post("/v1/subscriptions/sub_2", "other", "quantity=2")),
        live(get("/v1/subscriptions/sub_1", "read")),
        live(post("/v1/subscriptions", "create", "customer=cus_1")),
        live(post("/v1/subscriptions", "create", "customer=cus_1")),
        // The same id in another account is another object.
        post("/v1/subscriptions/sub_1", "sandbox", "quantity=2"),
    ];
    let answers = at_once(&stripe, calls).await;
    let waited: Vec<_> = answers.iter().map(queued).collect();
    let nothing = Duration::ZERO;
    assert_eq!(waited, [nothing, TOOK, TOOK * 2, nothing, nothing, nothing, nothing, nothing]);
}

/// S-43
#[tokio::test(start_paused = true)]
async fn other_objects_and_reads_are_as_fast_as_without_a_crowd_at_one() {
    let mut waits = Vec::new();
    for crowd in [false, true] {
        let sim = sim();
        sim.latency(Latency::all(Profile::constant(TOOK)));
        // The default limits: those who wait for an object hold no token and no place.
        let governor = tower_stripe::governor::GovernorConfig::builder().serialize_objects(true);
        let stripe = stripe_of(&sim, governor);
        let busy = (0..if crowd { 200 } else { 0 })
            .map(|n| with(change("/v1/subscriptions/sub_1", n), Deadline::after(secs(60))));
        let calm = async {
            sleep(millis(1)).await;
            let calls = (0..60).map(|n| {
                let path = format!("/v1/invoices/in_{n}");
                if n % 2 == 0 { change(&path, n) } else { live(read(n, "read")) }
            });
            at_once(&stripe, calls).await.iter().map(queued).collect::<Vec<_>>()
        };
        let (_, calm) = tokio::join!(at_once(&stripe, busy), calm);
        waits.push(calm.iter().sum::<Duration>() / 60);
    }
    let [alone, crowded] = waits[..] else { panic!("two runs") };
    // Ten a second of the ninety go to the crowd.
    assert!(crowded.as_secs_f64() <= alone.as_secs_f64() * 1.15 + 0.002, "{crowded:?}, alone {alone:?}");
}

/// S-44: nothing is forgotten that somebody holds, however many objects there are.
#[tokio::test(start_paused = true)]
async fn however_many_objects_there_are_none_has_two_at_once() {
    const OBJECTS: usize = 1_500;
    let sim = sim();
    sim.latency(Latency::all(Profile::constant(TOOK)));
    let governor = one_at_a_time().max_in_flight(10_000).max_queue(10_000);
    let stripe = stripe_of(&sim, governor);
    let calls = (0..OBJECTS * 2).map(|n| change(&format!("/v1/invoices/in_{}", n % OBJECTS), n));
    let answers = at_once(&stripe, calls).await;

    assert!(answers.iter().all(Result::is_ok));
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(queued(answer), TOOK * u32::from(n >= OBJECTS), "{n}");
    }
    assert_eq!(sim.log().len(), OBJECTS * 2);
}

/// S-47
#[tokio::test(start_paused = true)]
async fn meter_events_of_one_customer_and_meter_wait_for_each_other() {
    let sim = sim();
    let stripe = stripe_of(&sim, one_at_a_time());
    let event = |meter: &str, customer: &str| {
        let created = Canned::json(200, &serde_json::json!({"object": "billing.meter_event"}));
        let order = format!("{meter} {customer}");
        sim.script(&order, vec![Step::Answer(created.after(TOOK)); 3]);
        let form = format!("event_name={meter}&payload[value]=1&payload[stripe_customer_id]={customer}");
        live(post("/v1/billing/meter_events", &order, form))
    };
    let calls = [
        event("tokens", "cus_1"),
        event("tokens", "cus_1"),
        event("tokens", "cus_2"),
        event("hours", "cus_1"),
        event("tokens", "cus_1"),
        // Of which customer, it does not say: nobody can tell what to wait for.
        live(post("/v1/billing/meter_events", "nobody", "event_name=tokens")),
    ];
    let answers = at_once(&stripe, calls).await;
    let waited: Vec<_> = answers.iter().map(queued).collect();
    assert_eq!(waited, [Duration::ZERO, TOOK, Duration::ZERO, Duration::ZERO, TOOK * 2, Duration::ZERO]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_object_and_goes_away_or_has_no_time_does_not_hold_up_the_next() {
    let sim = sim();
    sim.latency(Latency::all(Profile::constant(TOOK)));
    let stripe = stripe_of(&sim, one_at_a_time());
    let sub = |order: &str| live(post("/v1/subscriptions/sub_1", order, "quantity=2"));
    let began = time::now();
    let mut all = ["holds", "goes", "late", "urgent", "last"].map(|order| {
        let call = match order {
            "late" => with(sub(order), Deadline::after(millis(50))),
            // Urgent or not: an object is changed in the order of calling.
            "last" => with(sub(order), Priority::Background),
            _ => sub(order),
        };
        task::spawn(Box::pin(stripe.send(call)))
    });
    all.iter_mut().for_each(|call| assert_pending!(call.poll()));
    let [holds, goes, late, urgent, last] = all;
    drop(goes);
    sleep(millis(50)).await;
    let refused = late.into_inner().await.expect_err("its time is over");
    assert_eq!(refused.refusal(), Some(&Refusal::DeadlineExceeded));
    let both = join_all([holds, urgent, last].map(task::Spawn::into_inner)).await;
    assert!(both.iter().all(Result::is_ok));
    let arrived = ["holds", "urgent", "last"].map(|order| sim.log_of(order)[0].arrived - began);
    assert_eq!(arrived, [Duration::ZERO, TOOK, TOOK * 2]);
    assert_eq!(sim.log().len(), 3);
}

/// A holder that is dropped, in flight or not, lets go.
#[tokio::test(start_paused = true)]
async fn a_holder_that_goes_away_lets_the_next_one_go() {
    let sim = sim();
    sim.latency(Latency::all(Profile::constant(TOOK)));
    let sub = |order: &str| live(post("/v1/subscriptions/sub_1", order, "quantity=2"));
    for in_flight in [true, false] {
        // One a second, so that who holds the object may still be waiting for a token.
        let rate = if in_flight { 100 } else { 1 };
        let governor = only(per_second(rate).burst(2)).serialize_objects(true);
        let stripe = stripe_of(&sim, governor.limit(Bucket::EachOperation, Limit::UNLIMITED));
        if !in_flight {
            at_once(&stripe, (0..2).map(|n| with(live(read(n, "burst")), Priority::Critical))).await;
        }
        let began = time::now();
        let [mut holder, mut next] =
            [format!("holder {in_flight}"), format!("next {in_flight}")].map(|order| {
                let call = with(sub(&order), Priority::Critical);
                task::spawn(Box::pin(stripe.send(call)))
            });
        assert_pending!(holder.poll());
        assert_pending!(next.poll());
        sleep(millis(10)).await;
        assert_eq!(sim.log_of(&format!("holder {in_flight}")).len(), usize::from(in_flight));
        drop(holder);
        next.into_inner().await.expect("an answer");
        let arrived = sim.log_of(&format!("next {in_flight}"))[0].arrived - began;
        // At once; or with the token that the holder would have had, after the tenth of a second of the reads before.
        let expected = if in_flight { millis(10) } else { secs(1) - TOOK };
        assert!(arrived.abs_diff(expected) <= millis(1), "{arrived:?}, not {expected:?}");
    }
}
