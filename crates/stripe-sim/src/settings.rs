//! Settings as JSON: what a scenario file and the control endpoints take. An unknown field is an error, not a shrug.

use std::{num::NonZeroU32, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::{
    faults::{Fault, FaultKind, Faults},
    fields::{Fields, Read, SettingsError},
    latency::{Latency, Profile},
    limits::{Limits, Reason},
    scenario::{Phase, Scenario},
    script::{Canned, Step},
    sim::SimBuilder,
};

pub(crate) fn faults(value: &Value, at: &str) -> Read<Faults> {
    let mut fields = Fields::of(value, at)?;
    let mut faults = Faults::probability(fields.number("probability")?.unwrap_or(0.0));
    if let Some(name) = fields.text("only")? {
        faults = faults.only(kind(&name, at)?);
    }
    for (name, weight) in fields.table("weights")? {
        let Some(weight) = weight.as_u64().and_then(|weight| u32::try_from(weight).ok()) else {
            return fields.wrong("weights", "whole numbers by fault");
        };
        faults = faults.weight(kind(&name, at)?, weight);
    }
    if let Some(range) = fields.times("late_ms")? {
        faults = faults.late(range);
    }
    if let Some(range) = fields.times("slow_ms")? {
        faults = faults.slow(range);
    }
    if let Some(limit) = fields.time("stall_limit_ms")? {
        faults = faults.stall_limit(limit);
    }
    fields.end()?;
    Ok(faults)
}

fn kind(name: &str, at: &str) -> Read<FaultKind> {
    let known = FaultKind::ALL.into_iter().find(|kind| format!("{kind:?}") == name);
    known.ok_or_else(|| SettingsError(format!("{at}: there is no fault {name}")))
}

pub(crate) fn step(value: &Value, at: &str) -> Read<Step> {
    match value.as_str() {
        Some("pass") => return Ok(Step::Pass),
        Some("hang") => return Ok(Step::Hang),
        _ => {}
    }
    let mut fields = Fields::of(value, at)?;
    let step = match fields.text("fault")? {
        Some(name) => Step::Fault(match kind(&name, at)? {
            FaultKind::F0 => Fault::F0,
            FaultKind::F1 => Fault::F1 {
                pulled: usize::try_from(fields.count("pulled")?.unwrap_or(0)).unwrap_or(usize::MAX),
            },
            FaultKind::F2 => Fault::F2,
            FaultKind::F3 => Fault::F3,
            FaultKind::F4Cut => Fault::F4Cut,
            FaultKind::F4Stall => Fault::F4Stall,
            FaultKind::F5 | FaultKind::Slow => {
                let delay = fields.time("delay_ms")?;
                let delay = fields.need("delay_ms", delay)?;
                if name == "F5" { Fault::F5 { delay } } else { Fault::Slow { delay } }
            }
            FaultKind::StoredServerError => Fault::StoredServerError { executed: fields.flag("executed")? },
            FaultKind::RefusedStream => Fault::RefusedStream,
            FaultKind::GoAway => Fault::GoAway,
            FaultKind::NoFunds => Fault::NoFunds,
        }),
        None => {
            let canned = fields.object("answer", answer)?;
            Step::Answer(fields.need("answer", canned)?)
        }
    };
    fields.end()?;
    Ok(step)
}

fn answer(value: &Value, at: &str) -> Read<Canned> {
    let mut fields = Fields::of(value, at)?;
    let mut canned = if let Some(name) = fields.text("kind")? {
        match name.as_str() {
            "lock_timeout" => Canned::lock_timeout(),
            "unauthorized" => Canned::unauthorized(),
            "key_in_use" => Canned::key_in_use(),
            "conflict" => Canned::conflict(),
            "idempotency_error" => Canned::idempotency_error(),
            "server_error" => Canned::server_error(),
            "external_dependency" => Canned::external_dependency(),
            "request_timeout" => Canned::request_timeout(),
            _ => return fields.wrong("kind", "the name of an answer"),
        }
    } else if let Some(name) = fields.text("rate_limited")? {
        match Reason::ALL.into_iter().find(|reason| reason.as_str() == name) {
            Some(reason) => Canned::rate_limited(reason),
            None => return fields.wrong("rate_limited", "one of the five reasons"),
        }
    } else if let Some(code) = fields.text("declined")? {
        Canned::declined(&code)
    } else {
        let status = fields.count("status")?;
        let status = u16::try_from(fields.need("status", status)?).ok();
        let Some(status) = status.and_then(|status| StatusCode::from_u16(status).ok()) else {
            return fields.wrong("status", "a status code");
        };
        match (fields.take("json"), fields.flag("html")?) {
            (Some(json), _) => Canned::json(status, &json),
            (None, true) => Canned::html(status),
            (None, false) => Canned::empty(status),
        }
    };
    if let Some(latency) = fields.time("after_ms")? {
        canned = canned.after(latency);
    }
    for (name, value) in fields.table("headers")? {
        let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
        match (HeaderName::from_bytes(name.as_bytes()), value) {
            (Ok(name), Some(value)) => canned = canned.header(name, value),
            _ => return fields.wrong("headers", "names and values of headers"),
        }
    }
    fields.end()?;
    Ok(canned)
}

/// A phase, or one of the ready-made scripts.
fn phases(value: &Value, at: &str) -> Read<Scenario> {
    let mut fields = Fields::of(value, at)?;
    let lasts = fields.time("lasts_ms")?;
    let lasts = fields.need("lasts_ms", lasts)?;
    let operation = fields.text("operation")?;
    let script = fields.text("script")?;
    let scenario = match script.as_deref() {
        Some("outage") => Scenario::outage(lasts),
        Some("brown_out") => Scenario::brown_out(lasts),
        Some("flapping") => {
            let times = fields.count("times")?.unwrap_or(5);
            Scenario::flapping(lasts, usize::try_from(times).unwrap_or(usize::MAX))
        }
        Some("bad_endpoint") => Scenario::bad_endpoint(fields.need("operation", operation)?, lasts),
        Some("storm_of_429") => Scenario::storm_of_429(lasts),
        Some("slow_start") => Scenario::slow_start(lasts),
        Some("hang") => Scenario::hang(lasts),
        Some("stall") => Scenario::stall(lasts),
        Some(_) => return fields.wrong("script", "the name of a script"),
        None => {
            let first = Scenario::new().then(phase(&mut fields, lasts, operation)?);
            fields
                .list("and", phase_of_the_stretch)?
                .unwrap_or_default()
                .into_iter()
                .fold(first, Scenario::and)
        }
    };
    fields.end()?;
    Ok(scenario)
}

/// A phase that begins together with another.
fn phase_of_the_stretch(value: &Value, at: &str) -> Read<Phase> {
    let mut fields = Fields::of(value, at)?;
    let lasts = fields.time("lasts_ms")?;
    let lasts = fields.need("lasts_ms", lasts)?;
    let operation = fields.text("operation")?;
    let phase = phase(&mut fields, lasts, operation)?;
    fields.end()?;
    Ok(phase)
}

fn phase(fields: &mut Fields, lasts: Duration, operation: Option<String>) -> Read<Phase> {
    let mut phase = Phase::new(lasts);
    if let Some(name) = operation {
        phase = phase.operation(name);
    }
    match fields.text("traffic")?.as_deref() {
        None => {}
        Some("reads") => phase = phase.reads(),
        Some("writes") => phase = phase.writes(),
        Some(_) => return fields.wrong("traffic", "reads or writes"),
    }
    let (answer, hangs) = (fields.object("answer", answer)?, fields.flag("hangs")?);
    let share = fields.number("share")?.unwrap_or(1.0);
    phase = match (answer, hangs) {
        (Some(_), true) => return fields.wrong("hangs", "false where there is an answer"),
        (Some(canned), false) => phase.answers(canned, share),
        (None, true) => phase.hangs(share),
        (None, false) => phase,
    };
    if fields.flag("stalls")? {
        phase = phase.stalls();
    }
    if let Some(faults) = fields.object("faults", faults)? {
        phase = phase.faults(faults);
    }
    if let Some(factor) = fields.number("slower")? {
        phase = phase.slower(factor);
    }
    Ok(phase)
}

/// The phases of an array, one after the other.
pub(crate) fn scenario(fields: &mut Fields) -> Read<Option<Scenario>> {
    let all = fields.list("phases", phases)?;
    Ok(all.map(|all| all.into_iter().fold(Scenario::new(), Scenario::followed_by)))
}

fn profile(value: &Value, at: &str) -> Read<Profile> {
    let mut fields = Fields::of(value, at)?;
    let median = fields.time("median_ms")?;
    let median = fields.need("median_ms", median)?;
    let p99 = fields.time("p99_ms")?.unwrap_or(median);
    let (share, factor) = (fields.number("tail_share")?, fields.number("tail_factor")?);
    fields.end()?;
    Ok(Profile::log_normal(median, p99).tail(share.unwrap_or(0.0), factor.unwrap_or(1.0)))
}

/// Profiles by operation; `all` is that of the others.
fn latency(value: &Value, at: &str) -> Read<Latency> {
    let Value::Object(operations) = value else {
        return Err(SettingsError(format!("{at} must be an object")));
    };
    let mut latency = match operations.get("all") {
        Some(all) => Latency::all(profile(all, &format!("{at}.all"))?),
        None => Latency::none(),
    };
    for (name, value) in operations.iter().filter(|(name, _)| *name != "all") {
        latency = latency.operation(name, profile(value, &format!("{at}.{name}"))?);
    }
    Ok(latency)
}

fn limits(value: &Value, at: &str) -> Read<Limits> {
    match value.as_str() {
        Some("published") => return Ok(Limits::published()),
        Some("unlimited") => return Ok(Limits::unlimited()),
        Some(_) => return Err(SettingsError(format!("{at} must be published, unlimited or an object"))),
        None => {}
    }
    let mut fields = Fields::of(value, at)?;
    let mut limits = Limits::published();
    type Set = fn(Limits, u32) -> Limits;
    let all: [(&str, Set); 7] = [
        ("live_rate", Limits::live_rate),
        ("sandbox_rate", Limits::sandbox_rate),
        ("endpoint_rate", Limits::endpoint_rate),
        ("search_rate", Limits::search_rate),
        ("global_concurrency", Limits::global_concurrency),
        ("endpoint_concurrency", Limits::endpoint_concurrency),
        ("intent_updates_per_hour", Limits::intent_updates_per_hour),
    ];
    for (name, set) in all {
        if let Some(limit) = fields.count(name)? {
            limits = set(limits, limit);
        }
    }
    if let Some(lag) = fields.time("search_lag_ms")? {
        limits = limits.search_lag(lag);
    }
    fields.end()?;
    Ok(limits)
}

/// The builder with everything that `value` sets.
pub(crate) fn apply(mut builder: SimBuilder, value: &Value) -> Read<SimBuilder> {
    let mut fields = Fields::of(value, "settings")?;
    if let Some(seed) = fields.take("seed") {
        let Some(seed) = seed.as_u64() else { return fields.wrong("seed", "a whole number") };
        builder = builder.seed(seed);
    }
    for key in fields.list("accounts", text)?.unwrap_or_default() {
        builder = builder.account(key);
    }
    if let Some(faults) = fields.object("faults", faults)? {
        builder = builder.faults(faults);
    }
    if let Some(limits) = fields.object("limits", limits)? {
        builder = builder.limits(limits);
    }
    if let Some(latency) = fields.object("latency", latency)? {
        builder = builder.latency(latency);
    }
    if let Some(scenario) = scenario(&mut fields)? {
        builder = builder.scenario(scenario);
    }
    if let Some(capacity) = fields.count("capacity")? {
        let Some(capacity) = NonZeroU32::new(capacity) else {
            return fields.wrong("capacity", "a number of requests per second, and not 0");
        };
        builder = builder.capacity(capacity);
    }
    if let Some(notice) = fields.text("notice")? {
        let every = NonZeroU32::new(fields.count("notice_every")?.unwrap_or(1));
        builder = builder.notice(notice, fields.need("notice_every", every)?);
    }
    builder = builder.strict_parameters(fields.flag("strict_parameters")?);
    for (order, steps) in fields.table("scripts")? {
        let Value::Array(steps) = steps else { return fields.wrong("scripts", "arrays of steps") };
        let at = format!("settings.scripts.{order}");
        let steps: Vec<_> = steps.iter().map(|value| step(value, &at)).collect::<Read<_>>()?;
        builder = builder.script(order, steps);
    }
    fields.end()?;
    Ok(builder)
}

fn text(value: &Value, at: &str) -> Read<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| SettingsError(format!("{at} must be a string")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sim::Sim;

    #[test]
    fn every_fault_can_be_scripted_by_name() {
        for kind in FaultKind::ALL {
            let value = json!({ "fault": format!("{kind:?}") });
            let mut value = value;
            if matches!(kind, FaultKind::F5 | FaultKind::Slow) {
                value["delay_ms"] = json!(5);
            }
            match step(&value, "step") {
                Ok(Step::Fault(fault)) => assert_eq!(fault.kind(), kind),
                other => panic!("{kind:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn phases_say_the_same_as_in_rust() {
        let second = Duration::from_secs(1);
        let value = json!({ "phases": [
            {
                "lasts_ms": 2000, "traffic": "writes",
                "answer": { "status": 503, "html": true, "after_ms": 40 },
                "and": [{ "lasts_ms": 1000, "traffic": "reads", "hangs": true, "share": 0.5 }],
            },
            { "lasts_ms": 1000, "stalls": true },
            { "lasts_ms": 1000, "script": "hang" },
            { "lasts_ms": 1000, "script": "stall" },
        ] });
        let mut fields = Fields::of(&value, "scenario").expect("an object");
        let fast = Canned::html(503).after(Duration::from_millis(40));
        let expected = Scenario::new()
            .then(Phase::new(second * 2).writes().answers(fast, 1.0))
            .and(Phase::new(second).reads().hangs(0.5))
            .then(Phase::new(second).stalls())
            .followed_by(Scenario::hang(second))
            .followed_by(Scenario::stall(second));
        assert_eq!(scenario(&mut fields), Ok(Some(expected)));
        assert_eq!(step(&json!("hang"), "step"), Ok(Step::Hang));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (value, message) in [
            (json!([]), "settings must be an object"),
            (json!({ "sed": 1 }), "settings.sed is not known"),
            (json!({ "faults": { "only": "F9" } }), "settings.faults: there is no fault F9"),
            (json!({ "limits": "none" }), "settings.limits must be published, unlimited or an object"),
            (json!({ "phases": [{}] }), "settings.phases[0].lasts_ms is missing"),
            (
                json!({ "phases": [{ "lasts_ms": 1, "answer": { "status": 1 } }] }),
                "settings.phases[0].answer.status must be a status code",
            ),
            (json!({ "faults": { "weights": 3 } }), "settings.faults.weights must be an object"),
            (json!({ "scripts": [] }), "settings.scripts must be an object"),
            (json!({ "latency": { "all": {} } }), "settings.latency.all.median_ms is missing"),
            (json!({ "scripts": { "a": [{ "fault": "F5" }] } }), "settings.scripts.a.delay_ms is missing"),
            (
                json!({ "capacity": 0 }),
                "settings.capacity must be a number of requests per second, and not 0",
            ),
            (
                json!({ "phases": [{ "lasts_ms": 1, "and": [{ "lasts_ms": 1, "traffic": "GET" }] }] }),
                "settings.phases[0].and[0].traffic must be reads or writes",
            ),
            (
                json!({ "phases": [{ "lasts_ms": 1, "hangs": true, "answer": { "status": 503 } }] }),
                "settings.phases[0].hangs must be false where there is an answer",
            ),
            (
                json!({ "phases": [{ "lasts_ms": 1, "script": "outage", "stalls": true }] }),
                "settings.phases[0].stalls is not known",
            ),
        ] {
            let error = apply(Sim::builder(), &value).expect_err("it is wrong");
            assert_eq!(error.to_string(), message);
        }
    }
}
