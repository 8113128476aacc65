//! The TOML file. Its keys are those of the README's table; those of the stack mirror its builder.

use std::net::SocketAddr;

use toml::{Table, Value};
use tower_stripe::vocab::Host;
use tracing::level_filters::LevelFilter;

use super::{Detach, Drain, Given, Limits, Settings, SettingsError, fields::Fields, stack};
use crate::{
    body::Allowance,
    upstream::{Base, Upstreams},
};

pub(super) fn read(text: &str) -> Result<Settings, SettingsError> {
    let table: Table =
        text.parse().map_err(|error: toml::de::Error| SettingsError::one(error.to_string()))?;
    let given = Given::of(&table);
    let mut problems = Vec::new();
    let settings = all(Fields::new(table, &mut problems), given);
    if problems.is_empty() { Ok(settings) } else { Err(SettingsError { problems }) }
}

fn all(mut fields: Fields<'_>, given: Given) -> Settings {
    let default = Settings::default();
    let listen = address(&mut fields, "listen").flatten().unwrap_or(default.listen);
    let admin = address(&mut fields, "admin").unwrap_or(default.admin);
    let allow_non_loopback = fields.flag("allow_non_loopback").unwrap_or(default.allow_non_loopback);
    let upstreams = upstreams(&mut fields);
    let (stack, governor) = stack::read(&mut fields);
    let mut timeouts = fields.table("timeouts");
    let deadline = timeouts.time("deadline");
    let stack = stack::timeouts(stack, timeouts.time("attempt"), deadline);
    let connect_timeout = timeouts.time("connect").unwrap_or(default.connect_timeout);
    timeouts.end();
    let detach = detach(fields.table("detach"));
    let limits = limits(fields.table("limits"));
    let mut responses = fields.table("responses");
    let stop_sdk_retries = responses.flag("stop_sdk_retries").unwrap_or(default.stop_sdk_retries);
    let stack = stack::responses(stack, &mut responses);
    responses.end();
    let mut drain = fields.table("drain");
    let linger = drain.time("linger").unwrap_or(default.drain.linger);
    let within = drain.time("within").unwrap_or(default.drain.within);
    drain.end();
    let mut log = fields.table("log");
    let level =
        log.read("level", "off, error, warn, info, debug or trace", |value| value.as_str()?.parse().ok());
    log.end();
    fields.end();
    Settings {
        listen,
        admin,
        allow_non_loopback,
        upstreams,
        stack,
        governor,
        connect_timeout,
        deadline,
        detach,
        limits,
        stop_sdk_retries,
        drain: Drain { linger, within },
        log: level.unwrap_or(LevelFilter::INFO),
        given,
    }
}

/// An address, or `"off"`.
fn address(fields: &mut Fields<'_>, name: &'static str) -> Option<Option<SocketAddr>> {
    let off = name == "admin";
    let rule = if off {
        r#"an address, as "127.0.0.1:12112", or "off""#
    } else {
        r#"an address, as "127.0.0.1:12111""#
    };
    fields.read(name, rule, |value: &Value| match value.as_str()? {
        "off" if off => Some(None),
        text => text.parse().ok().map(Some),
    })
}

fn upstreams(fields: &mut Fields<'_>) -> Upstreams {
    let api = base(fields, "upstream");
    let mut upstreams = api.map_or_else(Upstreams::default, Upstreams::new);
    let mut others = fields.table("upstreams");
    for (name, host) in
        [("files", Host::Files), ("connect", Host::Connect), ("meter_events", Host::MeterEvents)]
    {
        if let Some(base) = base(&mut others, name) {
            upstreams.replace(host, base);
        }
    }
    others.end();
    upstreams
}

fn base(fields: &mut Fields<'_>, name: &'static str) -> Option<Base> {
    let text = fields.text(name)?;
    match Base::parse(&text) {
        Ok(base) => Some(base),
        Err(rule) => {
            let problem = format!("{} must be {rule}", fields.path(name));
            fields.problem(problem);
            None
        }
    }
}

fn detach(mut fields: Fields<'_>) -> Detach {
    let default = Settings::default().detach;
    let max_detached = fields.count("max_detached").unwrap_or(default.max_detached);
    let max_unresolved = fields.count("max_unresolved").unwrap_or(default.max_unresolved);
    fields.end();
    Detach { max_detached, max_unresolved }
}

fn limits(mut fields: Fields<'_>) -> Limits {
    let default = Limits::default();
    let mut size = |name, default: usize, from: u64, to: u64| {
        let Some(bytes) = fields.bytes(name) else { return default };
        if (from..=to).contains(&bytes) {
            return usize::try_from(bytes).unwrap_or(default);
        }
        let problem = format!("{} = {bytes} must be from {from} to {to}", fields.path(name));
        fields.problem(problem);
        default
    };
    const MOST: u64 = u32::MAX as u64;
    let max_connections = size("max_connections", default.max_connections, 1, 1_000_000);
    let max_header_bytes = size("max_header_bytes", default.max_header_bytes, 8_192, 16 * 1024 * 1024);
    let max_headers = size("max_headers", default.max_headers, 16, 10_000);
    let max_buffered_bytes = size("max_buffered_bytes", default.max_buffered_bytes, 1024 * 1024, MOST / 16);
    let replayable = size("max_replayable_bytes", default.body.replayable, 0, MOST / 64);
    let largest = fields.bytes("max_body_bytes").unwrap_or(default.body.largest);
    let mut time = |name, default| match fields.time(name) {
        Some(time) if time.is_zero() => {
            let problem = format!("{} must be more than zero", fields.path(name));
            fields.problem(problem);
            default
        }
        time => time.unwrap_or(default),
    };
    let (body_idle, idle) = (time("body_idle", default.body.idle), time("idle", default.idle));
    let write_stall = time("write_stall", default.write_stall);
    if replayable > max_buffered_bytes {
        fields.problem(format!(
            "limits.max_replayable_bytes = {replayable} must be at most limits.max_buffered_bytes = {max_buffered_bytes}"
        ));
    }
    fields.end();
    Limits {
        max_connections,
        max_header_bytes,
        max_headers,
        max_buffered_bytes,
        body: Allowance { replayable, largest, idle: body_idle },
        idle,
        write_stall,
    }
}
