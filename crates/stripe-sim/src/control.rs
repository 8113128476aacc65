//! `/_sim/`: the simulator itself as JSON over HTTP, for tests in any language. Only for clients on the same machine.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, ORIGIN},
};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    body::SimBody,
    clock::unix_seconds,
    faults::Faults,
    fields::{Fields, SettingsError},
    log::Exchange,
    pull::Pull,
    settings,
    sim::Sim,
};

/// Where the endpoints are.
pub(crate) const PATH: &str = "/_sim/";

/// What is answered to a request for one of them.
pub(crate) async fn handle(sim: &Sim, request: Request<Incoming>) -> Response<SimBody> {
    let (parts, body) = request.into_parts();
    // A page in a browser on this machine is not meant to reach this.
    if parts.headers.contains_key(ORIGIN) {
        return respond(StatusCode::FORBIDDEN, &json!({ "error": "browsers have no business here" }));
    }
    let mut pull = Pull::new(body);
    let read = pull.take(usize::MAX).await;
    let taken = pull.taken();
    let value = match (read, taken.is_empty()) {
        (Ok(()), true) => Ok(json!({})),
        (Ok(()), false) => serde_json::from_slice(&taken).map_err(|error| error.to_string()),
        (Err(_), _) => Err("the body cannot be read".to_owned()),
    };
    let name = parts.uri.path().strip_prefix(PATH).unwrap_or_default();
    let done =
        value.and_then(|value| act(sim, &parts.method, name, &value).map_err(|error| error.to_string()));
    match done {
        Ok(Some(value)) => respond(StatusCode::OK, &value),
        Ok(None) => respond(StatusCode::NOT_FOUND, &json!({ "error": "there is nothing of this name" })),
        Err(error) => respond(StatusCode::BAD_REQUEST, &json!({ "error": error })),
    }
}

fn act(sim: &Sim, method: &Method, name: &str, value: &Value) -> Result<Option<Value>, SettingsError> {
    let done = Ok(Some(json!({ "done": true })));
    match (method.as_str(), name) {
        ("GET", "ledger") => Ok(Some(ledger(sim))),
        ("GET", "log") => Ok(Some(json!({ "requests": requests(&sim.log()) }))),
        ("GET", "clock") => Ok(Some(json!({ "unix_seconds": unix_seconds(sim.clock().now()) }))),
        ("POST", "clock") => {
            let mut fields = Fields::of(value, "clock")?;
            let (ahead, back) = (fields.time("advance_ms")?, fields.time("rewind_ms")?);
            fields.end()?;
            sim.clock().advance(ahead.unwrap_or_default());
            sim.clock().rewind(back.unwrap_or_default());
            Ok(Some(json!({ "unix_seconds": unix_seconds(sim.clock().now()) })))
        }
        ("POST", "settle") => {
            sim.settle();
            done
        }
        ("POST", "faults") => {
            sim.faults(settings::faults(value, "faults")?);
            done
        }
        ("DELETE", "faults") => {
            sim.faults(Faults::none());
            done
        }
        ("POST", "script") => {
            let mut fields = Fields::of(value, "script")?;
            let (order, steps) = (fields.text("order")?, fields.list("steps", settings::step)?);
            let (order, steps) = (fields.need("order", order)?, fields.need("steps", steps)?);
            fields.end()?;
            sim.script(&order, steps);
            done
        }
        ("POST", "scenario") => {
            let mut fields = Fields::of(value, "scenario")?;
            let scenario = settings::scenario(&mut fields)?.unwrap_or_default();
            fields.end()?;
            sim.play(scenario);
            done
        }
        ("POST", "authenticate") => {
            let mut fields = Fields::of(value, "authenticate")?;
            let intent = fields.text("payment_intent")?;
            let (intent, passed) = (fields.need("payment_intent", intent)?, fields.flag("passed")?);
            fields.end()?;
            Ok(Some(json!({ "done": sim.authenticate(&intent, passed) })))
        }
        ("POST", "roll_key") => {
            let mut fields = Fields::of(value, "roll_key")?;
            let (key, new) = (fields.text("key")?, fields.text("new")?);
            let (key, new) = (fields.need("key", key)?, fields.need("new", new)?);
            fields.end()?;
            Ok(Some(json!({ "done": sim.roll_key(&key, new) })))
        }
        ("POST", "expire_key") => {
            let mut fields = Fields::of(value, "expire_key")?;
            let key = fields.text("key")?;
            let key = fields.need("key", key)?;
            fields.end()?;
            Ok(Some(json!({ "done": sim.expire_key(&key) })))
        }
        _ => Ok(None),
    }
}

fn ledger(sim: &Sim) -> Value {
    let ledger = sim.ledger();
    let order = |(order, executions): (&str, u32)| {
        (order.to_owned(), json!({ "executions": executions, "declines": ledger.declines(order) }))
    };
    json!({
        "orders": ledger.iter().map(order).collect::<serde_json::Map<_, _>>(),
        "charged_twice": ledger.charged_twice(),
        "total": ledger.total(),
        "in_flight": sim.in_flight(),
        "queued": sim.queued(),
    })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn requests(log: &[Exchange]) -> Vec<Value> {
    let began = log.first().map(|first| first.arrived);
    let request = |seen: &Exchange| {
        let since = began.map(|began| seen.arrived.saturating_duration_since(began));
        json!({
            "method": seen.method.as_str(),
            "path": seen.path,
            "order": seen.order,
            "idempotency_key": seen.idempotency_key,
            "version": seen.version,
            "account": seen.account,
            "body": String::from_utf8_lossy(&seen.body),
            "authorized": seen.authorized,
            "arrived_ms": since.map(milliseconds),
            "at_ms": milliseconds(seen.at),
            "step": format!("{:?}", seen.step),
            "status": seen.status.map(|status| status.as_u16()),
            "request_id": seen.request_id,
            "executed": seen.executed,
            "replayed": seen.replayed,
        })
    };
    log.iter().map(request).collect()
}

fn respond(status: StatusCode, value: &Value) -> Response<SimBody> {
    let mut response = Response::new(SimBody::whole(Bytes::from(value.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
