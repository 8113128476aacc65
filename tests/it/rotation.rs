//! A rotation of the API key loses no call and charges nothing twice, and a key that is not like the one before replaces
//! nothing.

use std::{
    collections::VecDeque,
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::Full;
use stripe_sim::{Canned, Fault, Latency, Profile, Sim, Step};
use tower::Layer;
use tower_stripe::{
    Advice, Certainty, Deadline, Outcome, Refusal, ReportHandle, ResponseExt, RetryLimit, StripeTransport,
    classify::ClassifyLayer,
    credentials::{
        ApiKey, CredentialError, CredentialProvider, CredentialsConfig, CredentialsLayer, KeyFile, NewestKey,
    },
    edge::Edge,
    retry::{BudgetConfig, RetryBuilder, RetryConfig},
    transport::Builder,
    vocab::{Mode, Purpose, Ratio, SendOnce, Stop, time},
};

use crate::support::{
    API_KEY, SimClient, assert_one_key_and_body, client, get, keys, millis, payment, secs, sim, statuses,
    stop, transport_of, ungoverned, with,
};

const NEXT_KEY: &str = "sk_test_next";

fn key(secret: &str) -> ApiKey {
    ApiKey::new(secret).expect("an api key")
}

/// The same request, that leaves the API key to the transport.
fn bare<B>(mut request: Request<B>) -> Request<B> {
    request.headers_mut().remove("authorization");
    request
}

fn pay(order: &str) -> Request<Full<Bytes>> {
    bare(payment(order))
}

/// Gives one key after the other, and counts how often it is asked. The last one stays.
#[derive(Clone)]
struct Keys(Arc<Chain>);

struct Chain {
    first: ApiKey,
    later: tokio::sync::Mutex<VecDeque<ApiKey>>,
    takes: Duration,
    asked: AtomicUsize,
}

impl Keys {
    fn new(first: &str, later: &[&str]) -> Self {
        Self::slow(first, later, Duration::ZERO)
    }

    fn slow(first: &str, later: &[&str], takes: Duration) -> Self {
        let later = later.iter().map(|secret| key(secret)).collect();
        let later = tokio::sync::Mutex::new(later);
        Self(Arc::new(Chain { first: key(first), later, takes, asked: AtomicUsize::new(0) }))
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    async fn has(&self, secret: &str) {
        *self.0.later.lock().await = VecDeque::from([key(secret)]);
    }
}

impl CredentialProvider for Keys {
    fn key(&self) -> Result<ApiKey, CredentialError> {
        Ok(self.0.first.clone())
    }

    fn newest(&self) -> NewestKey<'_> {
        Box::pin(async {
            self.0.asked.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(self.0.takes).await;
            let mut later = self.0.later.lock().await;
            let newest = if later.len() > 1 { later.pop_front() } else { later.front().cloned() };
            Ok(newest.unwrap_or_else(|| self.0.first.clone()))
        })
    }
}

fn stripe(sim: &Sim, provider: impl CredentialProvider) -> StripeTransport<SimClient> {
    transport_of(sim, builder(provider))
}

/// One retry, and never another one.
fn one_retry() -> RetryBuilder {
    let budget = BudgetConfig::default().ratio(Ratio::percent(0)).per_second(0).max_balance(1);
    RetryConfig::builder().budget(budget)
}

fn builder(provider: impl CredentialProvider) -> Builder {
    StripeTransport::builder().governor(ungoverned()).credentials(provider)
}

/// A simulator whose account has another key, and has lost the first.
fn rotated() -> Sim {
    let sim = sim();
    assert!(sim.roll_key(API_KEY, NEXT_KEY) && sim.expire_key(API_KEY));
    sim
}

// === one call ===

#[tokio::test(start_paused = true)]
async fn a_call_gets_the_key_of_the_transport_and_one_of_its_own_stays() {
    let sim = sim();
    let keys = Keys::new("sk_test_unknown", &[]);
    let stripe = stripe(&sim, keys.clone());
    assert_eq!(stripe.credentials().mode(), Some(Mode::Sandbox));
    let own = stripe.send(payment("own")).await.expect("an answer");
    assert_eq!(own.certainty(), Some(Certainty::Executed));
    let given = stripe.send(pay("given")).await.expect("an answer");
    assert_eq!(given.outcome(), Some(Outcome::Unauthorized));
    assert!(sim.log_of("given")[0].authorized);

    // A 401 to a request with a key of its own is final: nobody knows what would replace it.
    let asked = keys.asked();
    keys.has(NEXT_KEY).await;
    sim.expire_key(API_KEY);
    let own = stripe.send(payment("own-2")).await.expect("an answer");
    assert_eq!((own.outcome(), stop(&own)), (Some(Outcome::Unauthorized), Some(Stop::Final)));
    assert_eq!((keys.asked(), stripe.credentials().rotations()), (asked, 0));
}

/// S-96, S-98.
#[tokio::test(start_paused = true)]
async fn a_call_under_a_key_that_has_ended_is_sent_once_more_under_the_next_with_the_same_idempotency_key() {
    let sim = rotated();
    let provider = Keys::new(API_KEY, &[NEXT_KEY]);
    let stripe = stripe(&sim, provider.clone());
    let began = time::now();
    let response = stripe.send(pay("o")).await.expect("an answer");
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Executed), Some(Advice::Done)));
    assert_eq!(time::now(), began, "there is nothing to wait for");
    assert_eq!(statuses(&sim, "o"), [Some(401), Some(200)]);
    assert_one_key_and_body(&sim, "o");
    let purposes = response.report().expect("a report");
    let purposes: Vec<_> = purposes.attempts().iter().map(|attempt| attempt.purpose).collect();
    assert_eq!(purposes, [Purpose::First, Purpose::Rotated]);
    assert_eq!((provider.asked(), stripe.credentials().rotations()), (1, 1));

    // The next call knows.
    stripe.send(pay("p")).await.expect("an answer");
    assert_eq!((statuses(&sim, "p"), provider.asked()), (vec![Some(200)], 1));
    assert_eq!(sim.ledger().charged_twice(), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn it_comes_where_retries_are_forbidden_and_where_there_is_no_budget() {
    let sim = rotated();
    let stripe = transport_of(&sim, builder(Keys::new(API_KEY, &[NEXT_KEY])).retry(one_retry()));
    let unwell = || Step::Answer(Canned::raw(503, "{}"));
    sim.script("broke", [unwell(), unwell()]);
    let broke = stripe.send(pay("broke")).await.expect("an answer");
    assert_eq!((stop(&broke), statuses(&sim, "broke")), (Some(Stop::Budget), vec![Some(503), Some(503)]));
    let response = stripe.send(with(pay("o"), RetryLimit::NONE)).await.expect("an answer");
    assert_eq!(response.certainty(), Some(Certainty::Executed));
    assert_eq!(statuses(&sim, "o"), [Some(401), Some(200)]);
}

#[tokio::test(start_paused = true)]
async fn without_another_key_a_401_is_the_answer_and_the_provider_is_asked_once_a_call() {
    let sim = rotated();
    let keys = Keys::new(API_KEY, &[]);
    let stripe = stripe(&sim, keys.clone());
    let response = stripe.send(pay("o")).await.expect("an answer");
    assert_eq!((response.status().as_u16(), stop(&response)), (401, Some(Stop::Final)));
    assert_eq!((response.certainty(), response.advice()), (Some(Certainty::Rejected), Some(Advice::SameKey)));
    assert_eq!((statuses(&sim, "o"), keys.asked()), (vec![Some(401)], 1));
}

#[tokio::test(start_paused = true)]
async fn a_next_key_that_is_not_accepted_either_ends_the_call_and_not_in_a_loop() {
    let sim = rotated();
    let keys = Keys::new(API_KEY, &["sk_test_bad", "sk_test_worse", "sk_test_worst"]);
    let stripe = stripe(&sim, keys.clone());
    let response = stripe.send(pay("o")).await.expect("an answer");
    assert_eq!((response.status().as_u16(), stop(&response)), (401, Some(Stop::Final)));
    assert_eq!(statuses(&sim, "o"), [Some(401), Some(401)]);
}

/// What was lost before stays unknown until the key answers: here it does, under the next API key.
#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_before_the_rotation_is_replayed_after_it() {
    let sim = sim();
    assert!(sim.roll_key(API_KEY, NEXT_KEY));
    sim.script("o", [Step::Fault(Fault::F3), Step::Answer(Canned::unauthorized())]);
    let stripe = stripe(&sim, Keys::new(API_KEY, &[NEXT_KEY]));
    let response = stripe.send(pay("o")).await.expect("an answer");
    assert_eq!((response.was_replayed(), response.certainty()), (Some(true), Some(Certainty::Executed)));
    assert_eq!(statuses(&sim, "o"), [None, Some(401), Some(200)]);
    assert_one_key_and_body(&sim, "o");
    assert_eq!(sim.ledger().executions("o"), 1);
}

/// S-05: without another key it stays unknown.
#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_before_a_401_stays_unknown() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::F3), Step::Answer(Canned::unauthorized())]);
    let stripe = stripe(&sim, Keys::new(API_KEY, &[]));
    let response = stripe.send(pay("o")).await.expect("an answer");
    assert_eq!((response.status().as_u16(), response.certainty()), (401, Some(Certainty::Unknown)));
    assert_eq!(response.advice(), Some(Advice::SameKey));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_sent_again_but_the_next_call_has_the_next_key() {
    let sim = rotated();
    let stripe = stripe(&sim, Keys::new(API_KEY, &[NEXT_KEY]));
    let (head, body) = pay("o").into_parts();
    let response = stripe.send(Request::from_parts(head, SendOnce(body))).await.expect("an answer");
    assert_eq!((response.status().as_u16(), stop(&response)), (401, Some(Stop::Body)));
    stripe.send(pay("p")).await.expect("an answer");
    assert_eq!((statuses(&sim, "o"), statuses(&sim, "p")), (vec![Some(401)], vec![Some(200)]));
}

#[tokio::test(start_paused = true)]
async fn a_401_that_is_not_stripes_and_one_of_oauth_rotate_nothing() {
    let sim = sim();
    let keys = Keys::new(API_KEY, &[NEXT_KEY]);
    let stripe = stripe(&sim, keys.clone());
    sim.script("proxy", [Step::Answer(Canned::html(401))]);
    sim.script("oauth", [Step::Answer(Canned::oauth(401, "invalid_client"))]);
    let mut oauth = bare(payment("oauth"));
    *oauth.uri_mut() = "https://connect.stripe.com/oauth/token".parse().expect("a uri");
    for request in [pay("proxy"), oauth] {
        let response = stripe.send(request).await.expect("an answer");
        assert_eq!(response.outcome(), Some(Outcome::Unauthorized));
    }
    assert_eq!((keys.asked(), stripe.credentials().rotations()), (0, 0));
}

// === many calls ===

/// S-98: 300 payments under way, the old key ends in their midst.
#[tokio::test(start_paused = true)]
async fn a_rotation_under_load_loses_no_call_and_charges_nothing_twice() {
    let sim = sim();
    sim.latency(Latency::all(Profile::log_normal(millis(100), millis(400))));
    let keys = Keys::slow(API_KEY, &[NEXT_KEY], millis(200));
    let transport = transport_of(&sim, builder(keys.clone()).retry(one_retry()));
    let calls = (0..300).map(|number| {
        let (stripe, order) = (transport.clone(), format!("order-{number}"));
        let request = with(pay(&order), RetryLimit::NONE);
        async move {
            tokio::time::sleep(millis(5 * number)).await;
            (order, stripe.send(request).await)
        }
    });
    let rotation = async {
        tokio::time::sleep(millis(500)).await;
        assert!(sim.roll_key(API_KEY, NEXT_KEY));
        tokio::time::sleep(millis(100)).await;
        assert!(sim.expire_key(API_KEY));
    };
    let (answers, ()) = tokio::join!(join_all(calls), rotation);
    let mut twice = 0;
    for (order, answer) in answers {
        let response = answer.expect("an answer");
        assert_eq!(response.certainty(), Some(Certainty::Executed), "{order}");
        assert_one_key_and_body(&sim, &order);
        match &statuses(&sim, &order)[..] {
            [Some(200)] => {}
            [Some(401), Some(200)] => twice += 1,
            other => panic!("{order}: {other:?}"),
        }
    }
    assert!(twice > 3, "only {twice} calls met the rotation");
    let ledger = sim.ledger();
    assert_eq!((ledger.charged_twice(), ledger.total()), (Vec::<&str>::new(), 300));
    assert_eq!((keys.asked(), transport.credentials().rotations()), (1, 1), "one call asks for all");
}

/// The gate that closes for the old key knows nothing of the new one.
#[tokio::test(start_paused = true)]
async fn calls_that_are_refused_for_the_old_key_go_on_as_soon_as_there_is_a_new_one() {
    let sim = rotated();
    let keys = Keys::new(API_KEY, &[]);
    let stripe = stripe(&sim, keys.clone());
    for number in 0..3 {
        stripe.send(pay(&format!("o-{number}"))).await.expect("an answer");
        tokio::time::advance(millis(1)).await;
    }
    assert_eq!((stripe.auth_gate().blocked(), keys.asked()), (1, 3));
    let refused = |answer: Result<_, tower_stripe::Error<_>>| {
        let error = answer.map(|_: http::Response<_>| ()).expect_err("refused");
        assert!(matches!(error.refusal(), Some(Refusal::AuthBlocked { .. })), "{error}");
    };
    // Refused calls ask, too, but once a second.
    for _ in 0..5 {
        refused(stripe.send(pay("p")).await);
    }
    tokio::time::advance(secs(1)).await;
    for _ in 0..5 {
        refused(stripe.send(pay("p")).await);
    }
    assert_eq!((keys.asked(), sim.log().len()), (4, 3));

    keys.has(NEXT_KEY).await;
    tokio::time::advance(secs(1)).await;
    let response = stripe.send(with(pay("q"), RetryLimit::NONE)).await.expect("an answer");
    assert_eq!((response.certainty(), response.attempts()), (Some(Certainty::Executed), Some(1)));
    assert_eq!(statuses(&sim, "q"), [Some(200)]);
    // Closed for the old key, and for no other one.
    assert_eq!(stripe.auth_gate().blocked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_that_is_wrong_gives_way_to_the_one_before() {
    let sim = sim();
    let keys = Keys::new(API_KEY, &[]);
    let stripe = stripe(&sim, keys.clone());
    keys.has("sk_test_mistyped").await;
    assert!(stripe.credentials().look().await.expect("of the same mode"));
    let response = stripe.send(pay("o")).await.expect("an answer");
    assert_eq!(response.certainty(), Some(Certainty::Executed));
    assert_eq!(statuses(&sim, "o"), [Some(401), Some(200)]);
    // It is not taken up again, until it is mended.
    assert!(!stripe.credentials().look().await.expect("of the same mode"));
    stripe.send(pay("p")).await.expect("an answer");
    assert_eq!(statuses(&sim, "p"), [Some(200)]);
    sim.roll_key(API_KEY, NEXT_KEY);
    keys.has(NEXT_KEY).await;
    assert!(stripe.credentials().look().await.expect("of the same mode"));
    stripe.send(pay("q")).await.expect("an answer");
    assert_eq!((statuses(&sim, "q"), stripe.credentials().rotations()), (vec![Some(200)], 3));
}

// === what is refused ===

#[tokio::test(start_paused = true)]
async fn a_key_of_another_mode_or_account_replaces_nothing() {
    let sim = rotated();
    let keys = Keys::new(API_KEY, &["sk_live_sim"]);
    let stripe = stripe(&sim, keys.clone());
    let error = stripe.credentials().look().await.expect_err("another mode");
    assert_eq!(error.to_string(), "the api key is of live mode, where sandbox is expected");
    let response = stripe.send(pay("o")).await.expect("an answer");
    assert_eq!((response.status().as_u16(), stripe.credentials().rotations()), (401, 0));
    assert_eq!(statuses(&sim, "o"), [Some(401)], "a live key would have been accepted");

    struct Foreign;
    impl CredentialProvider for Foreign {
        fn key(&self) -> Result<ApiKey, CredentialError> {
            Ok(key(API_KEY).of_account("acct_1"))
        }

        fn newest(&self) -> NewestKey<'_> {
            Box::pin(async { Ok(key(NEXT_KEY).of_account("acct_2")) })
        }
    }
    let stripe = self::stripe(&sim, Foreign);
    let error = stripe.credentials().look().await.expect_err("another account");
    assert!(matches!(error, CredentialError::WrongAccount), "{error:?}");
    stripe.send(pay("p")).await.expect("an answer");
    assert_eq!(statuses(&sim, "p"), [Some(401)]);
}

/// S-101.
#[tokio::test(start_paused = true)]
async fn a_test_key_in_a_live_configuration_is_refused_whoever_brings_it() {
    let error = builder(key(API_KEY)).expect_mode(Mode::Live).build().expect_err("a test key");
    assert_eq!(error.to_string(), "credentials.mode = sandbox must be equal to expect_mode = live");

    let sim = sim();
    let stripe = transport_of(&sim, builder(key("sk_live_sim")).expect_mode(Mode::Live));
    let handle = ReportHandle::new();
    let error = stripe.send(with(payment("o"), handle.clone())).await.expect_err("a test key");
    let wrong = Refusal::WrongMode { expected: Mode::Live, found: Mode::Sandbox };
    assert_eq!((error.refusal(), error.certainty()), (Some(&wrong), Certainty::NotSent));
    assert_eq!((handle.certainty(), handle.report().stopped()), (Certainty::NotSent, Some(Stop::Refused)));
    assert!(sim.log().is_empty());
    let response = stripe.send(pay("o")).await.expect("an answer");
    assert_eq!(response.certainty(), Some(Certainty::Executed));
    // Without a provider, too.
    let stripe = transport_of(&sim, StripeTransport::builder().expect_mode(Mode::Live));
    let error = stripe.send(payment("p")).await.expect_err("a test key");
    assert_eq!(error.refusal(), Some(&wrong));
}

// === providers ===

/// A file that is gone when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &str) -> Self {
        let scratch = Self(std::env::temp_dir().join(format!("tower-stripe-{}-{name}", std::process::id())));
        scratch.write(content);
        scratch
    }

    fn write(&self, content: &str) {
        fs::write(&self.0, content).expect("writable");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_looked_at_in_time_and_an_empty_one_changes_nothing() {
    let sim = sim();
    sim.roll_key(API_KEY, NEXT_KEY);
    let scratch = Scratch::new("watched", API_KEY);
    let stripe = stripe(&sim, KeyFile::new(&scratch.0));
    scratch.write(NEXT_KEY);
    stripe.send(pay("a")).await.expect("an answer");
    assert_eq!(stripe.credentials().rotations(), 0, "it is not time yet");
    tokio::time::advance(secs(10)).await;
    stripe.send(pay("b")).await.expect("an answer");
    assert_eq!(stripe.credentials().rotations(), 1);
    // What happens to the old key does not matter any more.
    sim.expire_key(API_KEY);
    for content in ["", "sk_live_sim", "torn", "pk_test_sim"] {
        scratch.write(content);
        tokio::time::advance(secs(10)).await;
        let response = stripe.send(pay(&format!("c-{content}"))).await.expect("an answer");
        assert_eq!((response.certainty(), response.attempts()), (Some(Certainty::Executed), Some(1)));
    }
    assert_eq!(stripe.credentials().rotations(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_is_asked_at_once_when_its_key_has_ended() {
    let sim = rotated();
    let scratch = Scratch::new("ended", API_KEY);
    let stripe = stripe(&sim, KeyFile::new(&scratch.0));
    scratch.write(NEXT_KEY);
    let response = stripe.send(pay("o")).await.expect("an answer");
    assert_eq!(response.certainty(), Some(Certainty::Executed));
    assert_eq!(statuses(&sim, "o"), [Some(401), Some(200)]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_does_not_hold_calls_up_for_longer_than_five_seconds() {
    let sim = rotated();
    let stripe = stripe(&sim, Keys::slow(API_KEY, &[NEXT_KEY], secs(3_600)));
    let began = time::now();
    let calls = ["a", "b", "c"].map(|order| stripe.send(pay(order)));
    for answer in join_all(calls).await {
        assert_eq!(answer.expect("an answer").status().as_u16(), 401);
    }
    assert_eq!(time::now() - began, secs(5), "and one asks for all");
}

/// Whose time is over has asked for nobody else.
#[tokio::test(start_paused = true)]
async fn a_call_with_little_time_does_not_ask_for_the_others() {
    let sim = rotated();
    let keys = Keys::slow(API_KEY, &[NEXT_KEY], secs(2));
    let stripe = stripe(&sim, keys.clone());
    let hasty = stripe.send(with(pay("hasty"), Deadline::after(secs(1))));
    let (hasty, patient) = tokio::join!(hasty, stripe.send(pay("patient")));
    assert_eq!(hasty.expect("an answer").status().as_u16(), 401);
    assert_eq!(patient.expect("an answer").certainty(), Some(Certainty::Executed));
    assert_eq!((statuses(&sim, "patient"), keys.asked()), (vec![Some(401), Some(200)], 2));
}

/// Whoever leaves while it asks leaves nothing behind: the next one asks.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_asks_holds_nobody_up() {
    let sim = rotated();
    let keys = Keys::slow(API_KEY, &[NEXT_KEY], secs(1));
    let stripe = stripe(&sim, keys.clone());
    let handle = ReportHandle::new();
    let dropped = tokio::time::timeout(millis(500), stripe.send(with(pay("o"), handle.clone()))).await;
    assert!(dropped.is_err());
    assert_eq!((handle.certainty(), statuses(&sim, "o")), (Certainty::Rejected, vec![Some(401)]));
    let response = stripe.send(pay("p")).await.expect("an answer");
    assert_eq!((response.certainty(), keys.asked()), (Some(Certainty::Executed), 2));
}

// === alone, and unseen ===

/// Without a layer that retries, the next call has the next key.
#[tokio::test(start_paused = true)]
async fn the_layer_works_alone() {
    let sim = rotated();
    let config = CredentialsConfig::builder().provider(Keys::new(API_KEY, &[NEXT_KEY])).build();
    let layer = CredentialsLayer::new(config.expect("valid settings"));
    let handle = layer.handle();
    let service = layer.layer(ClassifyLayer::default().layer(Edge::new(client(&sim))));
    for (order, status) in [("a", 401), ("b", 200)] {
        let response = tower::ServiceExt::oneshot(service.clone(), pay(order)).await.expect("an answer");
        assert_eq!((response.status().as_u16(), response.attempts()), (status, Some(1)));
    }
    assert_eq!(handle.rotations(), 1);
    // Without a provider it does nothing.
    let none = CredentialsLayer::default().layer(Edge::new(client(&sim)));
    let response =
        tower::ServiceExt::oneshot(none, bare(get("/v1/customers", "c"))).await.expect("an answer");
    assert_eq!((response.status().as_u16(), sim.log_of("c")[0].authorized), (401, false));
}

#[tokio::test(start_paused = true)]
async fn no_key_is_shown_by_anything() {
    let sim = rotated();
    let stripe = stripe(&sim, Keys::new(API_KEY, &[NEXT_KEY]));
    let handle = ReportHandle::new();
    let call = stripe.send(with(pay("o"), handle.clone()));
    let mut shown = format!("{stripe:?} {call:?} {:?} {}", stripe.credentials(), stripe.describe());
    let response = call.await.expect("an answer");
    shown.push_str(&format!("{response:?} {:?}", handle.report()));
    assert!(!shown.contains(API_KEY) && !shown.contains(NEXT_KEY), "{shown}");
    assert!(keys(&sim, "o")[0].as_ref().is_some_and(|key| !shown.contains(key.as_str())));
}
