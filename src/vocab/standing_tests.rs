//! Certainty and advice of a call, against a model that looks at the whole list of attempts at once.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::{
    Advice, ApiVersion, Attempt, CallKind, Certainty, Failure, FailureKind, Outcome, Purpose, Refusal,
    Standing, Verb, key::History, time,
};

/// What became of one attempt.
#[derive(Clone, Debug)]
struct Event {
    what: What,
    replayed: bool,
}

#[derive(Clone, Debug)]
enum What {
    /// `code` and `type` are what was read of the body; `None` where it could not be read.
    Answer {
        status: u16,
        request_id: bool,
        json: bool,
        read: Option<(Option<&'static str>, Option<&'static str>)>,
    },
    Fails(Failure),
    Cancelled,
    /// By ourselves.
    Refused,
}

/// An answer of Stripe's whose body was not read.
fn answer(status: u16) -> Event {
    Event { what: What::Answer { status, request_id: true, json: true, read: None }, replayed: false }
}

/// An answer of Stripe's with this `code` and this `type`.
fn error(status: u16, code: &'static str, error_type: &'static str) -> Event {
    let word = |word: &'static str| Some(word).filter(|word| !word.is_empty());
    let read = Some((word(code), word(error_type)));
    Event { what: What::Answer { status, request_id: true, json: true, read }, replayed: false }
}

/// A 200 page of something in between.
fn page() -> Event {
    Event { what: What::Answer { status: 200, request_id: false, json: false, read: None }, replayed: false }
}

fn fails(failure: Failure) -> Event {
    Event { what: What::Fails(failure), replayed: false }
}

/// A response that never came: it may have been executed.
fn lost() -> Event {
    fails(Failure::unknown(FailureKind::Timeout))
}

fn never_sent() -> Event {
    fails(Failure::not_sent(FailureKind::Tcp))
}

fn refused() -> Event {
    Event { what: What::Refused, replayed: false }
}

impl Event {
    fn replayed(mut self) -> Self {
        self.replayed = true;
        self
    }

    /// The account that the vocabulary makes of it.
    fn attempt(&self, kind: CallKind) -> Attempt {
        let mut attempt = Attempt::begun(Purpose::First, time::now());
        match &self.what {
            What::Answer { status, request_id, json, read } => {
                let mut headers = HeaderMap::new();
                let content = if *json { "application/json" } else { "text/html; charset=utf-8" };
                headers.insert("content-type", HeaderValue::from_static(content));
                if *request_id {
                    headers.insert("request-id", HeaderValue::from_static("req_1"));
                }
                if self.replayed {
                    headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
                }
                attempt.answered(kind, StatusCode::from_u16(*status).unwrap(), &headers);
                if let Some((code, error_type)) = read {
                    attempt.refined(*code, *error_type);
                }
            }
            What::Fails(failure) => attempt.failed(*failure),
            What::Cancelled => {}
            What::Refused => attempt.refused(Refusal::CircuitOpen { retry_in: Some(Duration::from_secs(1)) }),
        }
        attempt
    }
}

// === the model ===

mod model {
    use super::*;

    pub(super) fn status(event: &Event) -> Option<u16> {
        match event.what {
            What::Answer { status, .. } => Some(status),
            _ => None,
        }
    }

    /// What one attempt proves.
    pub(super) fn proves(kind: CallKind, event: &Event) -> Certainty {
        let What::Answer { status, request_id, json, read } = &event.what else {
            return match &event.what {
                What::Fails(failure) => failure.certainty(),
                What::Refused => Certainty::NotSent,
                _ => Certainty::Unknown,
            };
        };
        match status {
            200..=299 if *request_id || *json => Certainty::Executed,
            300..=399 if kind.verb == Verb::Get => Certainty::Rejected,
            408 | 424 | 499 => Certainty::Unknown,
            409 => {
                let in_use = matches!(read, Some((Some("idempotency_key_in_use"), _)));
                // A body that says neither code nor type, or only that it is about the key, leaves the question open.
                let unread = matches!(read, None | Some((None, None | Some("idempotency_error"))));
                if in_use || unread && kind.keyed { Certainty::Unknown } else { Certainty::Rejected }
            }
            400..=499 => Certainty::Rejected,
            _ => Certainty::Unknown,
        }
    }

    fn v1_key(kind: CallKind) -> bool {
        kind.keyed && kind.api == ApiVersion::V1
    }

    /// Stripe stored a failure and will give no other answer to this key. In v2 it executes failed work again.
    fn stored_failure(kind: CallKind, event: &Event) -> bool {
        let failed = status(event).is_some_and(|status| status >= 500);
        kind.keyed && kind.api != ApiVersion::V2 && event.replayed && failed
    }

    /// An answer that speaks for the key as a whole.
    fn settles(kind: CallKind, event: &Event) -> bool {
        let rejected = proves(kind, event) == Certainty::Rejected
            && status(event).is_some_and(|status| (400..500).contains(&status));
        v1_key(kind) && rejected && (event.replayed || status(event) == Some(402))
    }

    pub(super) fn certainty(kind: CallKind, all: &[Event]) -> Certainty {
        let any = |certainty| all.iter().any(|event| proves(kind, event) == certainty);
        if any(Certainty::Executed) {
            return Certainty::Executed;
        }
        if all.iter().any(|event| stored_failure(kind, event)) {
            return Certainty::Unknown;
        }
        let open = all.iter().enumerate().any(|(i, event)| {
            let unknown = proves(kind, event) == Certainty::Unknown;
            unknown && !all[i + 1..].iter().any(|later| settles(kind, later))
        });
        match (open, any(Certainty::Rejected)) {
            (true, _) => Certainty::Unknown,
            (false, true) => Certainty::Rejected,
            (false, false) => Certainty::NotSent,
        }
    }

    pub(super) fn advice(kind: CallKind, all: &[Event], history: Option<History>, expired: bool) -> Advice {
        let certainty = certainty(kind, all);
        if certainty == Certainty::Executed {
            return Advice::Done;
        }
        let Some(history) = history else {
            let harmless = kind.verb == Verb::Get || kind.verb == Verb::Delete && kind.api == ApiVersion::V1;
            let resend = certainty != Certainty::Unknown || harmless;
            return if resend { Advice::Resend } else { Advice::Reconcile };
        };
        // Whatever the 4xx, unless its status has a meaning of its own that leaves no room for this one.
        let mismatch = |event: &Event| match event.what {
            What::Answer { status, read: Some((_, Some("idempotency_error"))), .. } => {
                (400..500).contains(&status) && ![401, 402, 403, 408, 409, 424, 429, 499].contains(&status)
            }
            _ => false,
        };
        if expired || all.iter().any(|event| stored_failure(kind, event) || mismatch(event)) {
            return Advice::Reconcile;
        }
        let last = all.iter().rfind(|event| !matches!(event.what, What::Refused));
        let unheard = last.and_then(status).is_some_and(|status| matches!(status, 429 | 401 | 403));
        if certainty == Certainty::Unknown || unheard || history == History::Unknown {
            return Advice::SameKey;
        }
        Advice::NewKey
    }
}

// === against the model ===

fn stands(kind: CallKind, all: &[Event]) -> Standing {
    let mut standing = Standing::default();
    all.iter().for_each(|event| standing.observe(kind, &event.attempt(kind)));
    standing
}

fn any_event() -> impl Strategy<Value = Event> {
    let status = prop_oneof![
        6 => prop::sample::select(vec![
            200, 302, 400, 401, 402, 403, 404, 408, 409, 424, 429, 499, 500, 502, 503,
        ]),
        1 => 100_u16..1_000,
    ];
    let code = prop::option::of(prop::sample::select(vec![
        "idempotency_key_in_use",
        "lock_timeout",
        "rate_limit",
        "card_declined",
        "resource_missing",
    ]));
    let error_type = prop::option::of(prop::sample::select(vec![
        "idempotency_error",
        "invalid_request_error",
        "api_error",
        "card_error",
    ]));
    let read = prop::option::of((code, error_type));
    let answer = (status, any::<bool>(), any::<bool>(), read)
        .prop_map(|(status, request_id, json, read)| What::Answer { status, request_id, json, read });
    let failure = prop::sample::select(vec![
        Failure::unknown(FailureKind::Timeout),
        Failure::unknown(FailureKind::Reset),
        Failure::not_sent(FailureKind::Tcp),
        Failure::handed_back(FailureKind::StreamRefused),
    ]);
    let what = prop_oneof![
        8 => answer,
        3 => failure.prop_map(What::Fails),
        1 => Just(What::Cancelled),
        2 => Just(What::Refused),
    ];
    (what, prop::bool::weighted(0.25)).prop_map(|(what, replayed)| Event { what, replayed })
}

fn any_kind() -> impl Strategy<Value = CallKind> {
    let verb = prop::sample::select(vec![Verb::Get, Verb::Post, Verb::Delete]);
    let api = prop::sample::select(vec![ApiVersion::V1, ApiVersion::V2, ApiVersion::Other]);
    // Stripe heeds no key on a GET, so no GET counts as keyed.
    (verb, api, any::<bool>()).prop_map(|(verb, api, keyed)| CallKind {
        verb,
        api,
        keyed: keyed && verb != Verb::Get,
    })
}

fn any_history() -> impl Strategy<Value = History> {
    prop::sample::select(vec![History::Fresh, History::Unknown])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn certainty_and_advice_equal_a_naive_models(
        kind in any_kind(), all in prop::collection::vec(any_event(), 0..6),
        history in any_history(), expired in any::<bool>(),
    ) {
        let standing = stands(kind, &all);
        prop_assert_eq!(standing.certainty(), model::certainty(kind, &all));
        let history = kind.keyed.then_some(history);
        let advice = Advice::of(&standing, kind, history, expired);
        prop_assert_eq!(advice, model::advice(kind, &all, history, expired));
    }

    /// A key that is bound to an answer leaves no question, and one that leaves a question is bound to none.
    #[test]
    #[cfg(feature = "telemetry")]
    fn a_bound_key_says_what_is_certain(kind in any_kind(), all in prop::collection::vec(any_event(), 0..6)) {
        let standing = stands(kind, &all);
        let executed = standing.certainty() == Certainty::Executed;
        prop_assert_eq!(standing.bound() == Some(Certainty::Executed), executed);
        if let Some(bound) = standing.bound() {
            prop_assert_eq!(standing.certainty(), bound);
        }
    }

    #[test]
    fn one_attempt_proves_what_the_model_says(kind in any_kind(), event in any_event()) {
        prop_assert_eq!(event.attempt(kind).certainty, model::proves(kind, &event));
    }

    /// What a new key would cost when it is wrong: two charges. So these hold whatever the model says.
    #[test]
    fn a_new_key_is_advised_only_for_a_fresh_one_of_a_call_that_provably_ended(
        kind in any_kind(), all in prop::collection::vec(any_event(), 0..6), history in any_history(),
    ) {
        let standing = stands(kind, &all);
        let new_key = |expired| {
            Advice::of(&standing, kind, kind.keyed.then_some(history), expired) == Advice::NewKey
        };
        if new_key(false) {
            prop_assert_eq!(history, History::Fresh);
            prop_assert!(kind.keyed);
            prop_assert!(matches!(standing.certainty(), Certainty::NotSent | Certainty::Rejected));
        }
        prop_assert!(!new_key(true), "the key has expired");
    }

    #[test]
    fn an_unknown_attempt_sticks_whatever_is_refused_after_it(
        kind in any_kind(), later in prop::collection::vec(any_event(), 0..5),
    ) {
        let speaks = |event: &Event| {
            let status = model::status(event).unwrap_or_default();
            (200..300).contains(&status) || kind.keyed && (status == 402 || event.replayed)
        };
        let all: Vec<_> =
            [lost()].into_iter().chain(later.into_iter().filter(|event| !speaks(event))).collect();
        prop_assert_eq!(stands(kind, &all).certainty(), Certainty::Unknown);
    }

    #[test]
    fn our_own_refusals_change_nothing(
        kind in any_kind(), all in prop::collection::vec(any_event(), 0..6), at in any::<prop::sample::Index>(),
    ) {
        let mut more = all.clone();
        more.insert(at.index(all.len() + 1), refused());
        prop_assert_eq!(stands(kind, &all), stands(kind, &more));
    }
}

// === sequences with a name ===

const V1: CallKind = CallKind { verb: Verb::Post, api: ApiVersion::V1, keyed: true };
const V2: CallKind = CallKind { verb: Verb::Post, api: ApiVersion::V2, keyed: true };
const OTHER: CallKind = CallKind { verb: Verb::Post, api: ApiVersion::Other, keyed: true };

const fn unkeyed(kind: CallKind) -> CallKind {
    CallKind { keyed: false, ..kind }
}

/// Certainty, and advice for a fresh key and for one of unknown history.
fn verdict(kind: CallKind, all: &[Event]) -> (Certainty, Advice, Advice) {
    let standing = stands(kind, all);
    let advice = |history| Advice::of(&standing, kind, kind.keyed.then_some(history), false);
    (standing.certainty(), advice(History::Fresh), advice(History::Unknown))
}

#[test]
fn sequences_come_to_what_they_should() {
    use Advice::{Done, NewKey, Reconcile, SameKey};
    use Certainty::{Executed, NotSent, Rejected, Unknown};
    let limited = || error(429, "rate_limit", "invalid_request_error");
    let in_use = || error(409, "idempotency_key_in_use", "invalid_request_error");
    let mismatch = || error(400, "", "idempotency_error");
    let invalid = || error(400, "parameter_missing", "invalid_request_error");
    let declined = || error(402, "card_declined", "card_error");
    let locked = || error(429, "lock_timeout", "invalid_request_error");
    for (name, kind, all, expected) in [
        ("nothing yet", V1, vec![], (NotSent, NewKey, SameKey)),
        ("lost, then limited", V1, vec![lost(), limited(), limited()], (Unknown, SameKey, SameKey)),
        ("lost, then not authorised", V1, vec![lost(), answer(401)], (Unknown, SameKey, SameKey)),
        ("lost, in use", V1, vec![lost(), in_use()], (Unknown, SameKey, SameKey)),
        (
            "lost, in use, replayed",
            V1,
            vec![lost(), in_use(), answer(200).replayed()],
            (Executed, Done, Done),
        ),
        ("lost, then a mismatch", V1, vec![lost(), mismatch()], (Unknown, Reconcile, Reconcile)),
        ("a mismatch at once", V1, vec![mismatch()], (Rejected, Reconcile, Reconcile)),
        ("a mismatch, v2", V2, vec![mismatch()], (Rejected, Reconcile, Reconcile)),
        ("500", V1, vec![answer(500)], (Unknown, SameKey, SameKey)),
        ("500, replayed", V1, vec![answer(500), answer(500).replayed()], (Unknown, Reconcile, Reconcile)),
        ("500, replayed at once", V1, vec![answer(500).replayed()], (Unknown, Reconcile, Reconcile)),
        ("a stored 500 stays", V1, vec![answer(500).replayed(), declined()], (Unknown, Reconcile, Reconcile)),
        ("a stored 500, other", OTHER, vec![answer(500).replayed()], (Unknown, Reconcile, Reconcile)),
        ("v2 500, then a success", V2, vec![answer(500), answer(200)], (Executed, Done, Done)),
        (
            "lost, then 400, and the first may land yet",
            V1,
            vec![lost(), invalid()],
            (Unknown, SameKey, SameKey),
        ),
        ("lost, then 400, replayed", V1, vec![lost(), invalid().replayed()], (Rejected, NewKey, SameKey)),
        ("lost, then 400, replayed, v2", V2, vec![lost(), invalid().replayed()], (Unknown, SameKey, SameKey)),
        ("lost, then declined", V1, vec![lost(), declined()], (Rejected, NewKey, SameKey)),
        ("lost, then declined, v2", V2, vec![lost(), declined()], (Unknown, SameKey, SameKey)),
        ("lost, then declined, other", OTHER, vec![lost(), declined()], (Unknown, SameKey, SameKey)),
        ("declined, then lost", V1, vec![declined(), lost()], (Unknown, SameKey, SameKey)),
        ("declined, v2", V2, vec![declined()], (Rejected, NewKey, SameKey)),
        ("lost, then never sent", V1, vec![lost(), never_sent()], (Unknown, SameKey, SameKey)),
        ("never sent", V1, vec![never_sent(), never_sent()], (NotSent, NewKey, SameKey)),
        ("limited", V1, vec![limited()], (Rejected, SameKey, SameKey)),
        ("locked", V1, vec![locked()], (Rejected, SameKey, SameKey)),
        ("forbidden", V1, vec![answer(403)], (Rejected, SameKey, SameKey)),
        ("limited, then refused by us", V1, vec![limited(), refused()], (Rejected, SameKey, SameKey)),
        ("invalid", V1, vec![invalid()], (Rejected, NewKey, SameKey)),
        ("lost, then refused by us", V1, vec![lost(), refused()], (Unknown, SameKey, SameKey)),
        ("refused by us", V1, vec![refused()], (NotSent, NewKey, SameKey)),
        ("lost, then somebody's page", V1, vec![lost(), page()], (Unknown, SameKey, SameKey)),
        (
            "limited, then lost, then a success",
            V1,
            vec![limited(), lost(), answer(200)],
            (Executed, Done, Done),
        ),
        (
            "executed, whatever comes later",
            V1,
            vec![answer(200), answer(500).replayed()],
            (Executed, Done, Done),
        ),
    ] {
        assert_eq!(verdict(kind, &all), expected, "{name}");
        let expired = |history| Advice::of(&stands(kind, &all), kind, Some(history), true);
        let past = if expected.0 == Executed { Done } else { Reconcile };
        assert_eq!((expired(History::Fresh), expired(History::Unknown)), (past, past), "{name}, expired");
    }
}

#[test]
fn without_a_key_the_advice_is_to_resend_only_what_provably_did_not_run() {
    let post = unkeyed(V1);
    for (all, expected) in [
        (vec![], Advice::Resend),
        (vec![never_sent()], Advice::Resend),
        (vec![answer(400)], Advice::Resend),
        (vec![answer(409)], Advice::Resend),
        (vec![answer(429)], Advice::Resend),
        (vec![lost()], Advice::Reconcile),
        (vec![lost(), answer(400)], Advice::Reconcile),
        (vec![lost(), answer(402)], Advice::Reconcile),
        (vec![answer(500)], Advice::Reconcile),
        (vec![answer(200)], Advice::Done),
        (vec![page()], Advice::Reconcile),
    ] {
        assert_eq!(Advice::of(&stands(post, &all), post, None, false), expected, "{all:?}");
    }
    let get = CallKind { verb: Verb::Get, ..post };
    let delete = CallKind { verb: Verb::Delete, ..post };
    let delete_v2 = CallKind { api: ApiVersion::V2, ..delete };
    for (kind, expected) in [(get, Advice::Resend), (delete, Advice::Resend), (delete_v2, Advice::Reconcile)]
    {
        assert_eq!(Advice::of(&stands(kind, &[lost()]), kind, None, false), expected, "{kind:?}");
    }
}

// === heads ===

fn head(kind: CallKind, event: &Event) -> (Outcome, Certainty) {
    let attempt = event.attempt(kind);
    (attempt.outcome, attempt.certainty)
}

#[test]
fn every_status_is_understood_and_only_a_4xx_says_that_nothing_was_executed() {
    for kind in [V1, V2, OTHER, unkeyed(V1), CallKind { verb: Verb::Delete, ..unkeyed(V1) }] {
        for status in 100..=999 {
            for event in [answer(status), error(status, "", "")] {
                let (outcome, certainty) = head(kind, &event);
                assert!(!outcome.as_str().is_empty());
                let rejected = certainty == Certainty::Rejected;
                assert!(!rejected || (400..500).contains(&status), "{kind:?} {status}: {outcome}");
                assert_eq!(certainty == Certainty::Executed, (200..300).contains(&status), "{status}");
                assert_ne!(certainty, Certainty::NotSent, "something answered");
            }
        }
    }
}

#[test]
fn heads_prove_what_they_should() {
    use Certainty::{Executed, Rejected, Unknown};
    let get = CallKind { verb: Verb::Get, api: ApiVersion::V1, keyed: false };
    for (kind, event, outcome, certainty) in [
        (V1, page(), "foreign", Unknown),
        (get, page(), "foreign", Unknown),
        (V1, answer(302), "redirect", Unknown),
        (get, answer(302), "redirect", Rejected),
        (V1, answer(304), "redirect", Unknown),
        (V1, answer(408), "interrupted", Unknown),
        (V1, answer(424), "interrupted", Unknown),
        (V1, answer(499), "interrupted", Unknown),
        (get, answer(424), "interrupted", Unknown),
        (V1, answer(404), "not_found", Rejected),
        (V1, answer(409), "conflict", Unknown),
        (unkeyed(V1), answer(409), "conflict", Rejected),
        (get, answer(409), "conflict", Rejected),
        (V1, error(409, "idempotency_key_in_use", ""), "key_in_use", Unknown),
        (unkeyed(V1), error(409, "idempotency_key_in_use", ""), "key_in_use", Unknown),
        (V1, error(409, "", "api_error"), "conflict", Rejected),
        (V1, error(409, "conflict", ""), "conflict", Rejected),
        (V1, error(409, "", ""), "conflict", Unknown),
        (V1, error(409, "", "idempotency_error"), "conflict", Unknown),
        (unkeyed(V1), error(409, "", ""), "conflict", Rejected),
        (V1, error(429, "lock_timeout", ""), "lock_timeout", Rejected),
        (V1, error(400, "lock_timeout", ""), "invalid_request", Rejected),
        (V1, error(400, "rate_limit", ""), "invalid_request", Rejected),
        (V1, error(400, "", "idempotency_error"), "key_mismatch", Rejected),
        (V1, error(404, "", "idempotency_error"), "key_mismatch", Rejected),
        (V1, error(500, "idempotency_key_in_use", "idempotency_error"), "server_error", Unknown),
        (V1, error(200, "idempotency_key_in_use", "idempotency_error"), "success", Executed),
    ] {
        let (of_head, proven) = head(kind, &event);
        assert_eq!((of_head.as_str(), proven), (outcome, certainty), "{kind:?} {event:?}");
    }
}

#[test]
fn a_success_is_stripes_by_its_request_id_or_by_json() {
    let certainty = |headers: &[(&'static str, &'static str)]| {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect::<HeaderMap>();
        Outcome::of_head(V1, StatusCode::OK, &headers).1
    };
    for content in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.stripe+json"] {
        assert_eq!(certainty(&[("content-type", content)]), Certainty::Executed, "{content}");
    }
    for content in ["text/html", "", "application/jsonp", "text/plain; application/json", "+json", "xx"] {
        assert_eq!(certainty(&[("content-type", content)]), Certainty::Unknown, "{content}");
        assert_eq!(certainty(&[("content-type", content), ("request-id", "req_1")]), Certainty::Executed);
    }
    assert_eq!(certainty(&[]), Certainty::Unknown);
}

#[test]
fn the_words_of_an_answers_headers_must_be_exact() {
    let with = |name: &'static str, value: &'static str| {
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))]);
        let mut attempt = Attempt::begun(Purpose::First, time::now());
        attempt.answered(V1, StatusCode::INTERNAL_SERVER_ERROR, &headers);
        (attempt.replayed, attempt.should_retry)
    };
    assert_eq!(with("idempotent-replayed", "true"), (true, None));
    assert_eq!(with("idempotent-replayed", "True"), (false, None));
    assert_eq!(with("idempotent-replayed", "false"), (false, None));
    assert_eq!(with("stripe-should-retry", "true"), (false, Some(true)));
    assert_eq!(with("stripe-should-retry", "false"), (false, Some(false)));
    assert_eq!(with("stripe-should-retry", "FALSE"), (false, None));
    assert_eq!(with("stripe-should-retry", ""), (false, None));
}

#[test]
fn headers_that_contradict_themselves_say_nothing() {
    let with = |lines: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("stripe-should-retry", HeaderValue::from_static(line));
            headers.append("idempotent-replayed", HeaderValue::from_static(line));
        }
        let mut attempt = Attempt::begun(Purpose::First, time::now());
        attempt.answered(V1, StatusCode::INTERNAL_SERVER_ERROR, &headers);
        (attempt.replayed, attempt.should_retry)
    };
    assert_eq!(with(&["true", "true"]), (true, Some(true)));
    assert_eq!(with(&["true", "false"]), (false, None));
    assert_eq!(with(&["false", "true"]), (false, None));
    assert_eq!(with(&["false", "false"]), (false, Some(false)));
}

#[test]
fn a_head_that_came_before_a_failure_stands() {
    for status in [200, 402, 500] {
        let mut attempt = answer(status).attempt(V1);
        let before = (attempt.outcome, attempt.certainty);
        attempt.failed(Failure::not_sent(FailureKind::Tcp));
        assert_eq!((attempt.outcome, attempt.certainty), before, "{status}");
    }
}
