mod limits;
mod rotation;
mod table;

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header::CONTENT_TYPE};

use super::*;
use crate::{
    retry::{backoff::Jitter, retry_after},
    vocab::{Failure, Recorder, Refusal, headers::IDEMPOTENCY_KEY, time},
};

const SECOND: Duration = Duration::from_secs(1);

/// How an attempt ends.
#[derive(Clone, Debug)]
enum End {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        error: Option<(Option<String>, Option<String>)>,
    },
    /// A success, whose body broke off while it was read.
    BodyLost,
    Failure(Failure),
    Refusal(Option<Duration>),
}

/// An answer whose body says nothing.
fn answer(status: u16) -> End {
    End::Answer { status, headers: vec![("request-id".into(), "req_1".into())], error: None }
}

impl End {
    fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.into(), value.into()));
        }
        self
    }

    fn code(mut self, code: &str) -> Self {
        if let Self::Answer { error, .. } = &mut self {
            *error = Some((Some(code.into()), Some("invalid_request_error".into())));
        }
        self
    }

    fn told(self, again: bool) -> Self {
        self.header("stripe-should-retry", if again { "true" } else { "false" })
    }
}

/// One call, driven attempt by attempt: what arrives goes through the report, as in a service.
struct Scene {
    engine: Engine,
    call: Call,
    request: Request<()>,
    handle: Recorder,
    progress: Progress,
    next: Purpose,
    now: Instant,
    last: Option<Attempt>,
    /// Whether there is another API key, once an attempt has ended.
    newer_api_key: bool,
}

impl Scene {
    fn new(method: Method, path: &str, keyed: bool) -> Self {
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        if keyed {
            request.headers_mut().insert(IDEMPOTENCY_KEY, HeaderValue::from_static("key-1"));
        }
        let handle = Recorder::default();
        let kind = CallKind::of(&request);
        assert_eq!(kind.keyed, keyed, "a key counts where Stripe heeds it");
        let now = time::now();
        let call = Call {
            kind,
            max_attempts: NonZeroU32::new(3).unwrap(),
            replayable: true,
            deadline: now + Duration::from_secs(75),
            min_attempt: SECOND,
        };
        Self {
            engine: Engine::new(&RetryConfig::default()),
            call,
            request,
            handle,
            progress: Progress::default(),
            next: Purpose::First,
            now,
            last: None,
            newer_api_key: false,
        }
    }

    fn post() -> Self {
        Self::new(Method::POST, "/v1/example", true)
    }

    fn unkeyed_post() -> Self {
        Self::new(Method::POST, "/v1/example", false)
    }

    fn attempts(mut self, attempts: u32) -> Self {
        self.call.max_attempts = NonZeroU32::new(attempts).unwrap();
        self
    }

    fn time_left(mut self, time: Duration) -> Self {
        self.call.deadline = self.now + time;
        self
    }

    /// Makes one attempt that ends like this, and returns what comes next.
    fn ends(&mut self, end: &End) -> Decision {
        self.ends_drawing(end, u64::MAX)
    }

    fn ends_drawing(&mut self, end: &End, draw: u64) -> Decision {
        self.progress.begin(self.next);
        let entered = self.handle.enter(&self.request, self.next);
        let mut retry_after = None;
        match end {
            End::Answer { status, headers, error } => {
                let headers: HeaderMap = headers
                    .iter()
                    .map(|(name, value)| {
                        (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
                    })
                    .collect();
                self.handle.answered(StatusCode::from_u16(*status).unwrap(), &headers);
                if let Some((code, error_type)) = error {
                    self.handle.refined(code.as_deref(), error_type.as_deref());
                }
                retry_after = retry_after::parse(&headers, || SystemTime::UNIX_EPOCH);
            }
            End::Failure(failure) => self.handle.failed(*failure),
            End::BodyLost => {
                let headers = HeaderMap::from_iter([(
                    crate::vocab::headers::REQUEST_ID,
                    HeaderValue::from_static("req_1"),
                )]);
                self.handle.answered(StatusCode::OK, &headers);
                self.handle.body_lost();
            }
            End::Refusal(_) => drop(self.handle.refuse(Refusal::DeadlineExceeded)),
        }
        if self.newer_api_key {
            self.handle.newer_api_key();
        }
        let mut attempt = entered.close().expect("nobody else is in it");
        if let End::Refusal(hint) = end {
            attempt.refusal = Some(Refusal::CircuitOpen { retry_in: *hint });
        }
        let ended =
            Ended { attempt: &attempt, retry_after, certainty: self.handle.certainty(), now: self.now };
        let decision = self.engine.decide(&self.call, &mut self.progress, ended, draw);
        if let Decision::Again { wait, purpose, .. } = decision {
            self.next = purpose;
            self.now += wait;
        }
        self.last = Some(attempt);
        decision
    }

    /// The reasons of all decisions up to the end; the last end repeats.
    fn runs(&mut self, ends: &[End]) -> (u32, Stop) {
        let mut made = 0;
        loop {
            let end = &ends[(made as usize).min(ends.len() - 1)];
            made += 1;
            match self.ends(end) {
                Decision::Stop { why, .. } => return (made, why),
                Decision::Again { .. } => assert!(made < 1_000, "it never stops"),
            }
        }
    }
}

fn stops(why: Stop) -> Decision {
    Decision::Stop { why, retry_in: None }
}

fn waits(decision: Decision) -> (Duration, Purpose) {
    match decision {
        Decision::Again { wait, purpose, .. } => (wait, purpose),
        Decision::Stop { why, .. } => panic!("stopped: {why}"),
    }
}

/// The whole milliseconds of a wait with the highest draw, which falls short of the top of its rung by a nanosecond.
fn top(decision: Decision) -> u128 {
    waits(decision).0.as_millis() + 1
}

fn failure(kind: &str) -> Failure {
    use FailureKind::*;
    let not_sent = [Connect, Dns, Tcp, Tls, ConnectTimeout];
    let unknown = [Timeout, Reset, Body, Protocol, Other];
    let named = |kinds: &[FailureKind]| kinds.iter().copied().find(|one| one.as_str() == kind);
    named(&not_sent)
        .map(Failure::not_sent)
        .or_else(|| named(&unknown).map(Failure::unknown))
        .unwrap_or_else(|| panic!("no failure is called {kind}"))
}

// === what is sent again ===

#[test]
fn success_foreign_success_and_redirect_are_final_whatever_the_header_says() {
    for status in [200, 201, 204, 301, 302, 304, 307] {
        for told in [true, false] {
            assert_eq!(Scene::post().ends(&answer(status).told(told)), stops(Stop::Final), "{status}");
        }
    }
    let foreign = End::Answer { status: 200, headers: vec![], error: None };
    assert_eq!(Scene::post().ends(&foreign), stops(Stop::Final));
}

#[test]
fn no_header_sends_an_unkeyed_write_again_that_may_have_been_executed() {
    let writes = [
        Scene::unkeyed_post as fn() -> Scene,
        || Scene::new(Method::DELETE, "/v2/example", false),
        || Scene::new(Method::PATCH, "/v1/example", false),
        || Scene::new(Method::POST, "/v2/example", false),
        || Scene::new(Method::POST, "/other", false),
        || Scene::new(Method::DELETE, "/other", false),
    ];
    for scene in writes {
        for status in [408, 409, 424, 499, 500, 502, 503, 504, 599] {
            assert_eq!(scene().ends(&answer(status).told(true)), stops(Stop::Unkeyed), "{status}");
            assert_eq!(scene().ends(&answer(status)), stops(Stop::Unkeyed), "{status}");
            assert_eq!(scene().ends(&answer(status).code("api_error").told(true)), stops(Stop::Unkeyed));
        }
        for kind in ["timeout", "reset", "protocol", "other", "body"] {
            assert_eq!(scene().ends(&End::Failure(failure(kind))), stops(Stop::Unkeyed), "{kind}");
        }
        // What Stripe rejected before executing anything may go again if it says so, and a limiter's no always.
        assert_eq!(top(scene().ends(&answer(400).told(true))), 500);
        assert_eq!(top(scene().ends(&answer(429))), 2_000);
        for kind in ["connect", "dns", "tcp", "connect_timeout"] {
            assert_eq!(top(scene().ends(&End::Failure(failure(kind)))), 500, "{kind}");
        }
    }
}

#[test]
fn what_repeats_harmlessly_is_sent_again_without_a_key() {
    for (method, path) in [
        (Method::GET, "/v1/example"),
        (Method::GET, "/v2/example"),
        (Method::HEAD, "/other"),
        (Method::DELETE, "/v1/example"),
    ] {
        for end in [
            answer(409),
            answer(500),
            answer(503),
            End::Failure(failure("timeout")),
            End::Failure(failure("reset")),
        ] {
            let mut scene = Scene::new(method.clone(), path, false);
            assert_eq!(
                scene.runs(std::slice::from_ref(&end)),
                (3, Stop::Attempts),
                "{method} {path} {end:?}"
            );
        }
    }
}

#[test]
fn a_refused_handshake_is_never_repeated() {
    for scene in [Scene::post, Scene::unkeyed_post] {
        assert_eq!(scene().ends(&End::Failure(failure("tls"))), stops(Stop::Final));
    }
}

#[test]
fn a_v1_post_answered_500_is_sent_once_more_and_not_twice() {
    assert_eq!(Scene::post().attempts(10).runs(&[answer(500)]), (2, Stop::Final));
    // In between other things may happen.
    let ends = [answer(500), answer(503), End::Failure(failure("reset")), answer(500)];
    assert_eq!(Scene::post().attempts(10).runs(&ends), (4, Stop::Final));
    // Other 5xx come from the edge, and are not stored.
    for status in [501, 502, 503, 504, 520] {
        assert_eq!(Scene::post().attempts(10).runs(&[answer(status)]), (10, Stop::Attempts));
    }
    assert_eq!(
        Scene::new(Method::POST, "/other", true).attempts(10).runs(&[answer(500)]),
        (2, Stop::Final),
        "what no version is known of is treated as v1"
    );
}

#[test]
fn a_500_is_repeated_up_to_the_limit_where_stripe_executes_anew_or_stores_nothing() {
    for (method, path, keyed) in [
        (Method::POST, "/v2/example", true),
        (Method::DELETE, "/v2/example", true),
        (Method::GET, "/v1/example", false),
        (Method::DELETE, "/v1/example", false),
    ] {
        let mut scene = Scene::new(method.clone(), path, keyed).attempts(5);
        assert_eq!(scene.runs(&[answer(500)]), (5, Stop::Attempts), "{method} {path}");
    }
}

#[test]
fn a_replayed_500_is_final() {
    let replayed = answer(500).header("idempotent-replayed", "true");
    assert_eq!(Scene::post().ends(&replayed), stops(Stop::Final));
    assert_eq!(Scene::post().runs(&[answer(500), replayed.clone()]), (2, Stop::Final));
    assert_eq!(Scene::post().runs(&[End::Failure(failure("timeout")), replayed]), (2, Stop::Final));
}

#[test]
fn a_limit_of_one_object_is_final_unless_stripe_says_otherwise() {
    let limited = answer(429).header("stripe-rate-limited-reason", "resource-specific").code("rate_limit");
    assert_eq!(Scene::post().ends(&limited), stops(Stop::Final));
    assert_eq!(Scene::new(Method::GET, "/v1/example", false).ends(&limited), stops(Stop::Final));
    assert_eq!(top(Scene::post().ends(&limited.told(true))), 2_000);
}

#[test]
fn stripes_no_ends_every_call_and_only_its_exact_words_count() {
    for status in [400, 408, 409, 429, 500, 502, 503] {
        assert_eq!(Scene::post().ends(&answer(status).told(false)), stops(Stop::Header), "{status}");
    }
    for word in ["True", "FALSE", "yes", "", " false", "true, false"] {
        let decision = Scene::post().ends(&answer(503).header("stripe-should-retry", word));
        assert_eq!(top(decision), 500, "{word:?} is not one of the two words");
        let decision = Scene::post().ends(&answer(400).header("stripe-should-retry", word));
        assert_eq!(decision, stops(Stop::Final), "{word:?}");
    }
}

#[test]
fn stripes_yes_is_bounded_by_the_attempts() {
    for status in [400, 401, 402, 404, 408, 500] {
        assert_eq!(Scene::post().runs(&[answer(status).told(true)]), (3, Stop::Attempts), "{status}");
    }
}
