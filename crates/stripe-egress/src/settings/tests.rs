use super::*;

fn problems(text: &str) -> Vec<String> {
    match Settings::from_toml(text).and_then(|settings| settings.check()) {
        Ok(()) => Vec::new(),
        Err(error) => error.problems().to_vec(),
    }
}

fn described(text: &str) -> String {
    Settings::from_toml(text)
        .and_then(|settings| settings.describe())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Everything that a file can say, and what of it is in force then.
const EVERYTHING: &str = r#"
listen = "127.0.0.1:9000"
admin = "off"
upstream = "https://proxy.internal"
allow_non_loopback = true

[upstreams]
files = "http://127.0.0.1:9001"
connect = "https://connect.stripe.com"
meter_events = "https://[::1]:9"

[retry]
max_attempts = 5
base_delay = "250ms"
max_delay = "8s"
limiter_base_delay = "3s"
limiter_max_delay = "20s"
max_retry_after = "30s"
min_attempt = "2s"

[timeouts]
attempt = "20s"
deadline = "45s"
connect = "3s"

[idempotency]
prefix = "shop"
require_explicit_key = true
guard = true

[credentials]
expect_mode = "sandbox"

[auth_gate]
enabled = false
rejections = 5
probe_interval = "1m"

[breaker]
enabled = true
window = "90s"
min_calls = 20
failure_ratio = "40%"
consecutive_failures = 7
abandoned_after = "5s"
base_interval = "2s"
max_interval = "9s"
probe_lease = "4s"
probe_successes = 2
ramp = "1s"
probe_grace = "50ms"
money_grace = "150ms"
synthetic_probes = false
local = false

[governor]
enabled = true
replicas = 3
share = "80%"
max_in_flight = 50
max_queue = 10
reserve = "12.5%"
serialize_objects = true

[governor.limits.search]
per_second = 5
burst = 4

[governor.limits."payment_intents.create"]
per_second = 9
in_flight = 6

[detach]
max_detached = 77
max_unresolved = 78

[limits]
max_connections = 12
max_header_bytes = 16384
max_headers = 50
max_replayable_bytes = 2048
max_buffered_bytes = 2097152
max_body_bytes = 4096
body_idle = "7s"
idle = "8s"
write_stall = "9s"

[responses]
stop_sdk_retries = false
buffer = 4096

[drain]
linger = "1s"
within = "11s"

[log]
level = "debug"
"#;

#[test]
fn everything_that_a_file_can_say_is_in_force_afterwards() {
    let text = described(EVERYTHING);
    for line in [
        "listen = 127.0.0.1:9000",
        "admin = off",
        "allow_non_loopback = true",
        "log.level = debug",
        "api = https://proxy.internal",
        "files = http://127.0.0.1:9001",
        "connect = https://connect.stripe.com",
        "meter_events = https://[::1]:9",
        "timeouts.connect = 3s",
        "max_attempts = 5",
        "base_delay = 250ms",
        "max_delay = 8s",
        "limiter_base_delay = 3s",
        "limiter_max_delay = 20s",
        "max_retry_after = 30s",
        "min_attempt = 2s",
        "attempt = 20s",
        "deadline = 45s",
        r#"prefix = "shop""#,
        "require_explicit_key = true",
        "guard = true",
        "expect_mode = sandbox",
        "rejections = 5",
        "probe_interval = 60s",
        "control = automatic",
        "window = 90s",
        "min_calls = 20",
        "failure_ratio = 40 %",
        "consecutive_failures = 7",
        "abandoned_after = 5s",
        "base_interval = 2s",
        "max_interval = 9s",
        "probe_lease = 4s",
        "probe_successes = 2",
        "ramp = 1s",
        "probe_grace = 50ms",
        "money_grace = 150ms",
        "synthetic_probes = false",
        "local = false",
        "replicas = 3",
        "share = 80 %",
        "max_queue = 10",
        "reserve = 12.5 %",
        "serialize_objects = true",
        "live limit = search, 1.67/s, burst 4",
        "live limit = payment_intents.create, 3/s, burst 2, 2 in flight",
        "max_detached = 77",
        "max_unresolved = 78",
        "max_connections = 12",
        "max_header_bytes = 16384",
        "max_headers = 50",
        "max_replayable_bytes = 2048",
        "max_buffered_bytes = 2097152",
        "max_body_bytes = 4096",
        "body_idle = 7s",
        "idle = 8s",
        "write_stall = 9s",
        "stop_sdk_retries = false",
        "buffer = 4096",
        "linger = 1s",
        "within = 11s",
        r#"allow_host = "127.0.0.1""#,
        r#"allow_host = "[::1]""#,
        r#"allow_host = "proxy.internal""#,
    ] {
        assert!(text.lines().any(|said| said.trim() == line), "{line:?} is not in\n{text}");
    }
    assert!(text.contains("global, 26.67/s, burst 4, 50 in flight"), "{text}");
}

#[test]
fn every_key_of_a_file_is_in_the_readme() {
    let readme = include_str!("../../README.md");
    let table: toml::Table = EVERYTHING.parse().unwrap();
    for (section, value) in &table {
        match value {
            toml::Value::Table(keys) => {
                assert!(readme.contains(&format!("[{section}]")), "[{section}]");
                for key in keys.keys() {
                    assert!(readme.contains(&format!("`{key}`")), "{section}.{key} is not in the README");
                }
            }
            _ => assert!(readme.contains(&format!("`{section}`")), "{section} is not in the README"),
        }
    }
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(described(""), Settings::default().describe().unwrap());
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    for (text, problem) in [
        ("[retry]\nmax_atempts = 3", "retry.max_atempts is not known; did you mean retry.max_attempts?"),
        ("[retries]", "retries is not known; did you mean retry?"),
        ("listn = '127.0.0.1:1'", "listn is not known; did you mean listen?"),
        ("[governor.limits.search]\nrate = 3", "governor.limits.search.rate is not known"),
        (
            "[governor.limits.charges]\nper_second = 3",
            "governor.limits.charges is not known; it must be one of global",
        ),
        ("[log]\nxyz = 1", "log.xyz is not known; known here: level"),
    ] {
        let told = problems(text);
        assert!(told.len() == 1 && told[0].starts_with(problem), "{told:?}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let told = problems(
        "listen = 'here'\nadmin = 3\nupstream = 'http://api.stripe.com'\nretry = 5\n\
         [timeouts]\nattempt = 20\ndeadline = '5'\n[breaker]\nfailure_ratio = 0.5\nenabled = 'yes'\n\
         [governor]\nreplicas = 0\nlimits = 1\n[limits]\nmax_connections = 0\nidle = '0s'\n[log]\nlevel = 'loud'",
    );
    for problem in [
        r#"listen = "here" must be an address, as "127.0.0.1:12111""#,
        r#"admin = 3 must be an address, as "127.0.0.1:12112", or "off""#,
        "upstream must be a URL of https: plain http is allowed only to loopback addresses",
        "retry = 5 must be a table",
        r#"timeouts.attempt = 20 must be a time with its unit, as "500ms" or "2s""#,
        r#"timeouts.deadline = "5" must be a time with its unit, as "500ms" or "2s""#,
        r#"breaker.failure_ratio = 0.5 must be a share, as "50%""#,
        r#"breaker.enabled = "yes" must be true or false"#,
        "governor.replicas = 0 must be a whole number of at least 1",
        "governor.limits = 1 must be a table of tables",
        "limits.max_connections = 0 must be from 1 to 1000000",
        "limits.idle must be more than zero",
        r#"log.level = "loud" must be off, error, warn, info, debug or trace"#,
    ] {
        assert!(told.iter().any(|said| said == problem), "{problem} is not among\n{told:#?}");
    }
    assert_eq!(told.len(), 13);
}

#[test]
fn what_contradicts_itself_is_told_with_both_sides() {
    let told = problems(
        "[timeouts]\nattempt = '50s'\ndeadline = '45s'\n[retry]\nbase_delay = '9s'\nmax_delay = '1s'",
    );
    assert!(told.contains(&"attempt_timeout = 50s must be at most deadline = 45s".to_owned()), "{told:?}");
    assert!(told.contains(&"base_delay = 9s must be at most max_delay = 1s".to_owned()), "{told:?}");
}

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    let told = problems("[retry\nmax_attempts = 3");
    assert!(told.len() == 1 && told[0].contains("line 1"), "{told:?}");
}

#[test]
fn a_secret_in_the_wrong_place_is_not_printed() {
    let told = problems("[log]\nlevel = 'sk_live_0123456789012345678901234567890123'");
    assert!(told.len() == 1 && !told[0].contains("sk_live"), "{told:?}");
}

#[test]
fn the_checklist_looks_at_what_the_defaults_leave_open_and_no_more() {
    let looks = |text: &str| {
        let settings = Settings::from_toml(text).unwrap();
        let open: Vec<_> =
            settings.checklist().into_iter().filter(|found| !found.fine).map(|found| found.text).collect();
        open
    };
    let open = looks("");
    assert!(open.len() == 1 && open[0].starts_with("governor.replicas"), "{open:?}");
    assert!(looks("[governor]\nreplicas = 1").is_empty());
    let open = looks(
        "listen = '0.0.0.0:1'\nadmin = 'off'\nallow_non_loopback = true\nupstream = 'http://127.0.0.1:1'\n\
         [retry]\nmax_attempts = 1\n[timeouts]\ndeadline = '80s'\n[breaker]\nenabled = false\n\
         [auth_gate]\nenabled = false\n[governor]\nenabled = false\n[responses]\nstop_sdk_retries = false\n\
         [drain]\nlinger = '5s'\nwithin = '26s'",
    );
    assert_eq!(open.len(), 10, "{open:#?}");
}
