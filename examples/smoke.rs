//! A smoke run before a launch: seven calls through `StripeTransport`, and whether each came to what it must.
//!
//! `cargo run --example smoke [-- --real --json]`
//!
//! Against the embedded simulator, or with `--real` against a test-mode account at Stripe, whose API key is read from
//! the environment: `STRIPE_API_KEY`. A key of live mode is refused. No key is ever printed.
//!
//! Exit status: 0 if every step came to what was expected, 1 if one did not, 2 if it could not begin.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::{fmt, process::ExitCode, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use stripe_sim::{Canned, Reason, Server, Sim, Step};
use tower_stripe::{
    Advice, BoxError, Certainty, IdempotencyKey, Outcome, Report, ReportHandle, ResponseExt, RetryLimit,
    StripeTransport, edge::hyper_util::Client, vocab::time,
};

const USAGE: &str = "usage: smoke [--real] [--json]

  --real   against a test-mode account at Stripe, with the API key in STRIPE_API_KEY, and not the embedded simulator
  --json   print JSON instead of a table";
const STRIPE: &str = "https://api.stripe.com";
const VARIABLE: &str = "STRIPE_API_KEY";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("smoke: {wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments).await {
        Ok(run) => {
            if arguments.json {
                println!("{:#}", run.json());
            } else {
                println!("{run}");
            }
            if run.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("smoke: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    /// The API key of a real account; `None` for the simulator.
    real: Option<String>,
    json: bool,
}

impl Arguments {
    /// `None` if help was asked for. What is wrong is said without repeating it: it might be a key.
    fn parse(arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<Option<Self>, String> {
        let mut parsed = Self { real: None, json: false };
        for argument in arguments {
            match argument.to_str() {
                Some("--real") => parsed.real = Some(api_key()?),
                Some("--json") => parsed.json = true,
                Some("--help" | "-h") => return Ok(None),
                _ => return Err("there are no arguments but --real, --json and --help".into()),
            }
        }
        Ok(Some(parsed))
    }
}

/// The key of the environment, if it is one of test mode.
fn api_key() -> Result<String, String> {
    let key = std::env::var(VARIABLE).map_err(|_| format!("--real needs an API key in {VARIABLE}"))?;
    let rest = ["sk_test_", "rk_test_"].iter().find_map(|prefix| key.strip_prefix(prefix));
    match rest {
        None => Err(format!("{VARIABLE} must begin with sk_test_ or rk_test_: nothing else is safe to try")),
        Some(rest)
            if rest.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') =>
        {
            Err(format!("{VARIABLE} begins as a test-mode key and does not go on as one"))
        }
        Some(_) => Ok(key),
    }
}

/// Whom the run talks to.
struct Shop {
    stripe: StripeTransport<Client>,
    base: String,
    api_key: String,
}

/// One request of the run.
struct Call {
    path: String,
    form: String,
    key: Option<IdempotencyKey>,
    retries: Option<RetryLimit>,
}

/// What a call came to.
struct Seen {
    status: Option<StatusCode>,
    /// The status of the object, or the code of the error.
    word: String,
    id: Option<String>,
    replayed: bool,
    report: Report,
    took: Duration,
}

/// What a step must come to.
struct Expected {
    status: StatusCode,
    word: &'static str,
    replayed: bool,
    /// What the first of two attempts must have met.
    after: Option<Outcome>,
    certainty: Certainty,
    advice: Advice,
}

enum Verdict {
    Passed(Seen),
    Failed(Seen, String),
    Skipped(&'static str),
}

struct Row {
    step: &'static str,
    expected: Expected,
    verdict: Verdict,
}

struct Run {
    base: String,
    simulated: bool,
    rows: Vec<Row>,
}

async fn run(arguments: &Arguments) -> Result<Run, BoxError> {
    let Some(api_key) = arguments.real.clone() else {
        let sim = Sim::new();
        let server = Server::bind(sim.clone(), ([127, 0, 0, 1], 0).into()).await?;
        let shop = Shop {
            stripe: StripeTransport::builder().allow_host("127.0.0.1").build()?.layer(Client::new()),
            base: format!("http://{}", server.addr()),
            api_key: "sk_test_sim".to_owned(),
        };
        let run = steps(shop, Some(&sim)).await?;
        server.shutdown().await;
        return Ok(run);
    };
    let shop = Shop { stripe: StripeTransport::new(Client::new()), base: STRIPE.to_owned(), api_key };
    steps(shop, None).await
}

/// All steps, in order.
async fn steps(shop: Shop, sim: Option<&Sim>) -> Result<Run, BoxError> {
    const NOTHING_PAID: &str = "skipped: there is no payment";
    const NOT_REAL: &str = "skipped: a real account cannot be told to";
    let mut rows = Vec::new();

    let paid = shop.send(Call::payment("create", "pm_card_visa")).await?;
    let key = paid.report.idempotency_key().cloned();
    let payment = paid.id.clone().filter(|_| paid.status == Some(StatusCode::OK));
    let named = payment.is_some() && key.is_some();
    rows.push(Row::of("create", Expected::done("succeeded"), paid).and(named, "a payment without an id"));

    let expected = Expected { replayed: true, ..Expected::done("succeeded") };
    match (&payment, key) {
        (Some(payment), Some(key)) => {
            let again = shop.send(Call { key: Some(key), ..Call::payment("create", "pm_card_visa") }).await?;
            let same = again.id.as_ref() == Some(payment);
            let once = sim.is_none_or(|sim| sim.ledger().executions("smoke-create") == 1);
            rows.push(
                Row::of("replay", expected, again).and(same, "another payment").and(once, "charged twice"),
            );
        }
        _ => rows.push(Row::skipped("replay", expected, NOTHING_PAID)),
    }

    let declined = shop.send(Call::payment("decline", "pm_card_chargeDeclined")).await?;
    let expected = Expected {
        status: StatusCode::PAYMENT_REQUIRED,
        certainty: Certainty::Rejected,
        advice: Advice::NewKey,
        ..Expected::done("generic_decline")
    };
    rows.push(Row::of("decline", expected, declined));

    let challenged = shop.send(Call::payment("3ds", "pm_card_authenticationRequired")).await?;
    rows.push(Row::of("3ds", Expected::done("requires_action"), challenged));

    let expected = Expected { after: Some(Outcome::LockTimeout), ..Expected::done("succeeded") };
    match (sim, &payment) {
        (None, _) => rows.push(Row::skipped("lock", expected, NOT_REAL)),
        (_, None) => rows.push(Row::skipped("lock", expected, NOTHING_PAID)),
        (Some(sim), Some(payment)) => {
            sim.script("smoke-lock", [Step::Answer(Canned::lock_timeout())]);
            let path = format!("/v1/payment_intents/{payment}");
            let seen = shop.send(Call::of(path, "metadata[order]=smoke-lock".to_owned())).await?;
            rows.push(Row::of("lock", expected, seen));
        }
    }

    let expected = Expected {
        status: StatusCode::TOO_MANY_REQUESTS,
        certainty: Certainty::Rejected,
        advice: Advice::SameKey,
        ..Expected::done("rate_limit")
    };
    match sim {
        None => rows.push(Row::skipped("429", expected, NOT_REAL)),
        Some(sim) => {
            sim.script("smoke-429", [Step::Answer(Canned::rate_limited(Reason::GlobalRate))]);
            let call = Call { retries: Some(RetryLimit::NONE), ..Call::payment("429", "pm_card_visa") };
            rows.push(Row::of("429", expected, shop.send(call).await?));
        }
    }

    match &payment {
        None => rows.push(Row::skipped("refund", Expected::done("succeeded"), NOTHING_PAID)),
        Some(payment) => {
            let form = format!("payment_intent={payment}&metadata[order]=smoke-refund");
            let seen = shop.send(Call::of("/v1/refunds".to_owned(), form)).await?;
            rows.push(Row::of("refund", Expected::done("succeeded"), seen));
        }
    }
    Ok(Run { base: shop.base, simulated: sim.is_some(), rows })
}

impl Call {
    const fn of(path: String, form: String) -> Self {
        Self { path, form, key: None, retries: None }
    }

    /// Creates and confirms a payment in one request.
    fn payment(step: &str, card: &str) -> Self {
        let form = format!(
            "amount=1099&currency=eur&confirm=true&payment_method_types[]=card&payment_method={card}\
             &metadata[order]=smoke-{step}"
        );
        Self::of("/v1/payment_intents".to_owned(), form)
    }
}

impl Shop {
    /// Whatever the call comes to is a result; an error is a mistake of this program.
    async fn send(&self, call: Call) -> Result<Seen, BoxError> {
        let mut request = Request::post(format!("{}{}", self.base, call.path))
            .header("authorization", format!("Bearer {}", self.api_key))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(call.form)))?;
        let handle = ReportHandle::new();
        request.extensions_mut().insert(handle.clone());
        if let Some(key) = call.key {
            request.extensions_mut().insert(key);
        }
        if let Some(retries) = call.retries {
            request.extensions_mut().insert(retries);
        }
        let began = time::now();
        let mut seen = Seen {
            status: None,
            word: String::new(),
            id: None,
            replayed: false,
            report: handle.report(),
            took: Duration::ZERO,
        };
        match self.stripe.send(request).await {
            Ok(response) => {
                seen.status = Some(response.status());
                seen.replayed = response.was_replayed() == Some(true);
                let outcome = response.outcome().map_or("", |outcome| outcome.as_str());
                let body =
                    response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let error = &body["error"];
                let words = [&body["status"], &error["decline_code"], &error["code"]];
                seen.word = words.iter().find_map(|word| word.as_str()).unwrap_or(outcome).to_owned();
                seen.id = body["id"].as_str().map(str::to_owned);
            }
            Err(error) => seen.word = error.outcome().as_str().to_owned(),
        }
        seen.took = began.elapsed();
        seen.report = handle.report();
        Ok(seen)
    }
}

impl Expected {
    /// Stripe executed it, and the object is in this state.
    const fn done(word: &'static str) -> Self {
        Self {
            status: StatusCode::OK,
            word,
            replayed: false,
            after: None,
            certainty: Certainty::Executed,
            advice: Advice::Done,
        }
    }

    /// What is not as it must be.
    fn missed(&self, seen: &Seen) -> Option<String> {
        let report = &seen.report;
        let first = report.attempts().first().map(|attempt| attempt.outcome);
        let wrong = [
            (seen.status != Some(self.status) || seen.word != self.word, self.to_string()),
            // A retry of the transport's own may be answered with a replay; that is no mistake.
            (self.replayed && !seen.replayed, "a replayed answer".to_owned()),
            (!self.replayed && seen.replayed && report.attempts_made() == 1, "no replayed answer".to_owned()),
            (self.after.is_some() && first != self.after, self.to_string()),
            (report.certainty() != self.certainty, format!("certainty {}", self.certainty)),
            (report.advice() != self.advice, format!("advice {}", self.advice)),
        ];
        wrong.into_iter().find_map(|(wrong, what)| wrong.then_some(format!("expected {what}")))
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replayed = if self.replayed { ", replayed" } else { "" };
        write!(f, "{} {}{replayed}", self.status.as_u16(), self.word)?;
        self.after.map_or(Ok(()), |after| write!(f, " after {}", after.as_str()))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replayed = if self.replayed { ", replayed" } else { "" };
        match self.status {
            Some(status) => write!(f, "{} {}{replayed}", status.as_u16(), self.word)?,
            None => write!(f, "no answer: {}", self.word)?,
        }
        match self.report.attempts() {
            [first, .., _] => write!(f, " after {}", first.outcome.as_str()),
            _ => Ok(()),
        }
    }
}

impl Row {
    fn of(step: &'static str, expected: Expected, seen: Seen) -> Self {
        let verdict = match expected.missed(&seen) {
            Some(missed) => Verdict::Failed(seen, missed),
            None => Verdict::Passed(seen),
        };
        Self { step, expected, verdict }
    }

    const fn skipped(step: &'static str, expected: Expected, why: &'static str) -> Self {
        Self { step, expected, verdict: Verdict::Skipped(why) }
    }

    /// Fails a step that passed so far, unless `holds`.
    fn and(mut self, holds: bool, wrong: &str) -> Self {
        self.verdict = match self.verdict {
            Verdict::Passed(seen) if !holds => Verdict::Failed(seen, wrong.to_owned()),
            verdict => verdict,
        };
        self
    }

    fn seen(&self) -> Option<&Seen> {
        match &self.verdict {
            Verdict::Passed(seen) | Verdict::Failed(seen, _) => Some(seen),
            Verdict::Skipped(_) => None,
        }
    }

    const fn result(&self) -> &'static str {
        match self.verdict {
            Verdict::Passed(_) => "passed",
            Verdict::Failed(..) => "FAILED",
            Verdict::Skipped(_) => "skipped",
        }
    }
}

impl Seen {
    fn request_id(&self) -> Option<String> {
        self.report.request_ids().last().map(ToString::to_string)
    }
}

impl Run {
    fn passed(&self) -> bool {
        self.rows.iter().all(|row| !matches!(row.verdict, Verdict::Failed(..)))
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let seen = row.seen();
            let why = match &row.verdict {
                Verdict::Passed(_) => None,
                Verdict::Failed(_, why) => Some(why.as_str()),
                Verdict::Skipped(why) => Some(*why),
            };
            json!({
                "step": row.step,
                "result": row.result().to_lowercase(),
                "why": why,
                "expected": row.expected.to_string(),
                "seen": seen.map(Seen::to_string),
                "certainty": seen.map(|seen| seen.report.certainty().as_str()),
                "advice": seen.map(|seen| seen.report.advice().as_str()),
                "request_id": seen.and_then(Seen::request_id),
                "attempts": seen.map(|seen| seen.report.attempts_made()),
                "ms": seen.map(|seen| u64::try_from(seen.took.as_millis()).unwrap_or(u64::MAX)),
            })
        });
        json!({
            "base": self.base,
            "simulator": self.simulated,
            "passed": self.passed(),
            "steps": rows.collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.simulated { "the embedded simulator" } else { "a test-mode account" };
        writeln!(f, "{what} at {}\n", self.base)?;
        writeln!(
            f,
            "{:<8} {:<32} {:<32} {:<9} {:<9} {:<20} {:>6}  result",
            "step", "expected", "seen", "certainty", "advice", "request id", "ms"
        )?;
        let mut counts = [0; 3];
        for row in &self.rows {
            let expected = row.expected.to_string();
            write!(f, "{:<8} {expected:<32} ", row.step)?;
            match row.seen() {
                None => write!(f, "{:<32} {:<9} {:<9} {:<20} {:>6}", "-", "-", "-", "-", "-")?,
                Some(seen) => write!(
                    f,
                    "{:<32} {:<9} {:<9} {:<20} {:>6}",
                    seen.to_string(),
                    seen.report.certainty(),
                    seen.report.advice(),
                    seen.request_id().as_deref().unwrap_or("-"),
                    seen.took.as_millis(),
                )?,
            }
            match &row.verdict {
                Verdict::Passed(_) => writeln!(f, "  passed")?,
                Verdict::Failed(_, why) => writeln!(f, "  FAILED: {why}")?,
                Verdict::Skipped(why) => writeln!(f, "  {why}")?,
            }
            counts[match row.verdict {
                Verdict::Passed(_) => 0,
                Verdict::Failed(..) => 1,
                Verdict::Skipped(_) => 2,
            }] += 1;
        }
        let [passed, failed, skipped] = counts;
        write!(f, "\npassed={passed} failed={failed} skipped={skipped}")
    }
}
