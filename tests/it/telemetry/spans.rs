//! A span for each call, and within it one for each attempt, with the names of OpenTelemetry's conventions; and a line
//! for each call.

#![expect(clippy::disallowed_types, reason = "the lock of the library is its own")]

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex},
};

use stripe_sim::{Canned, Fault, Reason, Sim, Step};
use tower_stripe::{
    ReportHandle, RetryLimit, StripeTransport,
    breaker::Scope,
    governor::{Bucket, GovernorConfig, Limit},
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, Registry, layer::Context, prelude::*, registry::LookupSpan};

use crate::support::{
    get, keyed, millis, payment, payment_with, request, secs, sim, transport, transport_of, with,
};

/// What was told of a span or an event.
#[derive(Clone, Debug)]
struct Told {
    name: String,
    level: Level,
    /// The name of the span that it is in.
    within: Option<String>,
    fields: BTreeMap<String, String>,
}

impl Told {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name().into(), format!("{value:?}"));
    }
}

/// Writes down the spans when they close, and events when they happen.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Vec<Told>>>);

impl Book {
    /// From now on, in this thread.
    fn opened() -> (Self, tracing::subscriber::DefaultGuard) {
        let book = Self::default();
        let guard = tracing::subscriber::set_default(Registry::default().with(book.clone()));
        // So that call sites are not asked of other threads' subscribers alone.
        tracing::callsite::rebuild_interest_cache();
        (book, guard)
    }

    fn write(&self, told: Told) {
        self.0.lock().expect("nobody panics with it").push(told);
    }

    fn all(&self, name: &str) -> Vec<Told> {
        let told = self.0.lock().expect("nobody panics with it");
        told.iter().filter(|told| told.name == name).cloned().collect()
    }

    /// The lines of the log, one for each call.
    fn lines(&self) -> Vec<(Level, String)> {
        let told = self.0.lock().expect("nobody panics with it");
        let lines = told.iter().filter(|told| told.within.as_deref() == Some("stripe.call"));
        let lines = lines.filter_map(|told| Some((told.level, told.field("message")?.to_owned())));
        lines.filter(|(_, line)| line.contains(" => ")).collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Book {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, ctx: Context<'_, S>) {
        let span = ctx.span(id).expect("it was just made");
        let mut told = Told {
            name: span.name().into(),
            level: *span.metadata().level(),
            within: span.parent().map(|parent| parent.name().into()),
            fields: BTreeMap::new(),
        };
        attributes.record(&mut told);
        span.extensions_mut().insert(told);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, ctx: Context<'_, S>) {
        let span = ctx.span(id).expect("it is open");
        if let Some(told) = span.extensions_mut().get_mut::<Told>() {
            values.record(told);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let within = ctx.event_span(event).map(|span| span.name().to_owned());
        let mut told =
            Told { name: "event".into(), level: *event.metadata().level(), within, fields: BTreeMap::new() };
        event.record(&mut told);
        self.write(told);
    }

    fn on_close(&self, id: span::Id, ctx: Context<'_, S>) {
        let span = ctx.span(&id).expect("it is closing");
        if let Some(told) = span.extensions_mut().remove::<Told>() {
            self.write(told);
        }
    }
}

async fn paid_at_the_third_attempt(sim: &Sim) -> Book {
    sim.script("o", [Step::Fault(Fault::F3), Step::Answer(Canned::rate_limited(Reason::GlobalRate))]);
    let (book, _guard) = Book::opened();
    transport(sim).send(payment("o")).await.expect("paid");
    book
}

#[tokio::test(start_paused = true)]
async fn a_call_has_a_span_and_each_attempt_one_within_it() {
    let book = paid_at_the_third_attempt(&sim()).await;
    let calls = book.all("stripe.call");
    let [call] = &calls[..] else { panic!("{calls:?}") };
    let attempts = book.all("stripe.attempt");
    assert_eq!(attempts.len(), 3);
    assert!(attempts.iter().all(|attempt| attempt.within.as_deref() == Some("stripe.call")));
    for (field, expected) in [
        ("otel.name", "payment_intents.create"),
        ("otel.kind", "internal"),
        ("stripe.operation", "payment_intents.create"),
        ("stripe.mode", "sandbox"),
        ("stripe.outcome", "success"),
        ("stripe.certainty", "executed"),
        ("stripe.attempts", "3"),
        ("stripe.stopped", "final"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(call.field(field), Some(expected), "{field}");
    }
    assert_eq!(call.field("error.type"), None, "it went well in the end");
    assert!(call.field("stripe.request_id").is_some_and(|id| id.starts_with("req_")));
}

#[tokio::test(start_paused = true)]
async fn an_attempts_span_has_the_names_of_opentelemetrys_conventions() {
    let book = paid_at_the_third_attempt(&sim()).await;
    let attempts = book.all("stripe.attempt");
    for attempt in &attempts {
        for (field, expected) in [
            ("otel.name", "POST /v1/payment_intents"),
            ("otel.kind", "client"),
            ("http.request.method", "POST"),
            ("url.template", "/v1/payment_intents"),
            ("server.address", "api.stripe.com"),
            ("server.port", "443"),
        ] {
            assert_eq!(attempt.field(field), Some(expected), "{field}");
        }
    }
    let all = |field| attempts.iter().map(|attempt| attempt.field(field)).collect::<Vec<_>>();
    assert_eq!(all("http.request.resend_count"), [None, Some("1"), Some("2")]);
    assert_eq!(all("error.type"), [Some("reset"), Some("rate_limited"), None]);
    assert_eq!(all("otel.status_code"), [Some("ERROR"), Some("ERROR"), None]);
    assert_eq!(all("http.response.status_code"), [None, Some("429"), Some("200")]);
    assert_eq!(all("stripe.rate_limited_reason"), [None, Some("global_rate"), None]);
    assert_eq!(all("stripe.certainty"), [Some("unknown"), Some("rejected"), Some("executed")]);
    assert_eq!(all("stripe.idempotency.replayed"), [None, None, Some("true")]);
    assert_eq!(all("stripe.purpose"), [Some("first"), Some("retry"), Some("retry")]);
}

/// (Source: OpenTelemetry's semantic conventions: what is no known method is `_OTHER`.)
#[tokio::test(start_paused = true)]
async fn a_method_that_nobody_knows_is_not_written_down() {
    let sim = sim();
    let (book, _guard) = Book::opened();
    let method = "sk_test_in_the_wrong_place";
    let odd = request(method, "/v1/customers", "o", "");
    let _ = transport(&sim).send(with(odd, RetryLimit::NONE)).await;
    let attempts = book.all("stripe.attempt");
    assert_eq!(attempts[0].field("http.request.method"), Some("_OTHER"));
    assert!(book.lines()[0].1.starts_with("_OTHER other => "), "{:?}", book.lines());
    let all = format!("{:?} {:?} {:?}", book.all("stripe.call"), attempts, book.all("event"));
    assert!(!all.contains(method), "{all}");
}

#[tokio::test(start_paused = true)]
async fn the_port_is_that_of_the_scheme_where_none_is_named() {
    let client = tower::service_fn(|_: http::Request<http_body_util::Full<bytes::Bytes>>| async {
        Ok::<_, tower_stripe::BoxError>(http::Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
    });
    let layer = StripeTransport::builder().allow_host("127.0.0.1").build().expect("valid settings");
    for (uri, port) in [("http://127.0.0.1/v1/balance", "80"), ("http://127.0.0.1:8080/v1/balance", "8080")] {
        let (book, _guard) = Book::opened();
        let mut request = get("/v1/balance", "o");
        *request.uri_mut() = uri.parse().expect("a URI");
        let _ = layer.layer(client).send(with(request, RetryLimit::NONE)).await;
        assert_eq!(book.all("stripe.attempt")[0].field("server.port"), Some(port), "{uri}");
    }
}

/// Reads the report of a call whenever something is recorded.
struct Reader(ReportHandle);

impl<S: Subscriber> Layer<S> for Reader {
    fn on_record(&self, _: &span::Id, _: &span::Record<'_>, _: Context<'_, S>) {
        assert!(self.0.report().attempts().len() < 9);
    }
}

/// A subscriber is anybody's: no lock is held while it is told.
#[test]
fn a_subscriber_may_read_the_report_of_the_call_that_it_is_told_of() {
    let (done, ended) = std::sync::mpsc::channel();
    // In a thread of its own, since it would never end.
    std::thread::spawn(move || {
        let handle = ReportHandle::new();
        let _guard = tracing::subscriber::set_default(Registry::default().with(Reader(handle.clone())));
        tracing::callsite::rebuild_interest_cache();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let sim = sim();
        sim.script("o", [Step::Fault(Fault::F3)]);
        runtime.expect("a runtime").block_on(async {
            transport(&sim).send(with(payment("o"), handle)).await.expect("paid");
        });
        done.send(()).expect("the test waits");
    });
    ended.recv_timeout(std::time::Duration::from_secs(60)).expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn what_happens_in_between_are_events_within_the_call() {
    let sim = sim();
    let book = paid_at_the_third_attempt(&sim).await;
    let events = book.all("event");
    let again: Vec<_> =
        events.iter().filter(|event| event.field("message") == Some("sending again")).collect();
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|event| event.within.as_deref() == Some("stripe.call")));
    assert!(
        events.iter().any(|event| event.field("reason") == Some("global_rate")),
        "the governor slows down"
    );

    let (book, _guard) = Book::opened();
    sim.script("n", [Step::Answer(Canned::declined("do_not_honor").notice("upgrade soon"))]);
    let stripe = transport(&sim);
    stripe.send(payment("n")).await.expect("answered");
    stripe.breaker().force_open(Scope::All);
    let events = book.all("event");
    let notice = events.iter().find(|event| event.field("message") == Some("stripe has a notice"));
    let notice = notice.expect("it is told");
    assert_eq!((notice.field("notice"), notice.level), (Some("upgrade soon"), Level::WARN));
    assert!(events.iter().any(|event| event.field("partition") == Some("api/live/write")), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_turn_is_an_event_and_stands_in_the_span_of_the_attempt_after_it() {
    let sim = sim();
    let slow = Limit::per_second(NonZeroU32::MIN).burst(2);
    let governor = GovernorConfig::builder().limit(Bucket::Global, slow);
    let (book, _guard) = Book::opened();
    let stripe = transport_of(&sim, StripeTransport::builder().governor(governor));
    for order in ["first", "second", "third"] {
        stripe.send(payment(order)).await.expect("paid");
    }
    let events = book.all("event");
    let turns: Vec<_> =
        events.iter().filter(|event| event.field("message") == Some("its turn has come")).collect();
    let [turn] = turns[..] else { panic!("{turns:?}") };
    assert_eq!((turn.field("waited_ms"), turn.within.as_deref()), (Some("1000"), Some("stripe.call")));
    let queued: Vec<_> =
        book.all("stripe.attempt").iter().map(|span| span.fields.get("stripe.queued_ms").cloned()).collect();
    assert_eq!(queued, [None, None, Some("1000".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_is_no_error_and_closes_its_spans() {
    let sim = sim();
    sim.script("o", [Step::Fault(Fault::Slow { delay: secs(60) })]);
    let (book, _guard) = Book::opened();
    let call = transport(&sim).send(payment("o"));
    tokio::time::timeout(millis(50), call).await.expect_err("it hangs");
    let ([call], [attempt]) = (&book.all("stripe.call")[..], &book.all("stripe.attempt")[..]) else {
        panic!("one of each")
    };
    for span in [call, attempt] {
        assert_eq!((span.field("stripe.outcome"), span.field("error.type")), (Some("cancelled"), None));
        assert_eq!(span.field("stripe.certainty"), Some("unknown"));
    }
}

#[tokio::test(start_paused = true)]
async fn each_call_has_a_line_at_the_level_of_whose_business_it_is() {
    let sim = sim();
    sim.script("limited", std::iter::repeat_n(Step::Answer(Canned::rate_limited(Reason::GlobalRate)), 3));
    sim.script("lost", [Step::Fault(Fault::F3)]);
    sim.script("wrong", [Step::Answer(Canned::unauthorized())]);
    sim.script("again", [Step::Fault(Fault::F3)]);
    for order in ["left", "left unread"] {
        sim.script(order, [Step::Fault(Fault::Slow { delay: secs(60) })]);
    }
    let (book, _guard) = Book::opened();
    let stripe: StripeTransport<_> = transport(&sim);
    let once = |order| with(payment(order), RetryLimit::NONE);
    stripe.send(payment("o")).await.expect("paid");
    stripe.send(payment_with("declined", "pm_card_chargeDeclined")).await.expect("answered");
    stripe.send(payment("limited")).await.expect("answered");
    stripe.send(once("lost")).await.expect_err("lost");
    stripe.send(once("wrong")).await.expect("answered");
    stripe.send(get("/v1/nothing/known", "read")).await.expect("answered");
    let mut two = keyed(payment("two"), "one");
    two.headers_mut().insert("idempotency-key", "two".parse().expect("a header"));
    stripe.send(two).await.expect_err("refused");
    stripe.send(payment("again")).await.expect("paid");
    for left in [payment("left"), get("/v1/customers", "left unread")] {
        tokio::time::timeout(millis(50), stripe.send(left)).await.expect_err("it hangs");
    }

    let lines = book.lines();
    let expected = [
        (Level::DEBUG, "POST payment_intents.create => 200 in ", "(1 attempt, req_", ")"),
        (Level::INFO, "POST payment_intents.create => 402 in ", "(1 attempt, req_", ", declined)"),
        (
            Level::WARN,
            "POST payment_intents.create => 429 in ",
            "(3 attempts, req_",
            ", rate_limited: global_rate)",
        ),
        (
            Level::WARN,
            "POST payment_intents.create => reset in ",
            "(1 attempt",
            ", stripe may have executed it)",
        ),
        (Level::ERROR, "POST payment_intents.create => 401 in ", "(1 attempt, req_", ", unauthorized)"),
        (Level::INFO, "GET other => 404 in ", "(1 attempt, req_", ", not_found)"),
        (Level::ERROR, "POST payment_intents.create => refused in ", "(0 attempts", ", conflicting_keys)"),
        (Level::INFO, "POST payment_intents.create => 200 in ", "(2 attempts, req_", ", replayed)"),
        (
            Level::WARN,
            "POST payment_intents.create => cancelled in ",
            "(1 attempt",
            ", stripe may have executed it)",
        ),
        (Level::DEBUG, "GET customers.list => cancelled in ", "(1 attempt", ")"),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for ((level, line), (expected, begin, middle, end)) in lines.iter().zip(expected) {
        assert_eq!(*level, expected, "{line}");
        assert!(line.starts_with(begin) && line.contains(middle) && line.ends_with(end), "{line}");
    }
}
