//! The program: what it prints, and what it exits with.

use std::process::Output;

use tokio::process::Command;

async fn run(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_stripe-egress")).args(arguments).output();
    output.await.expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// A file with these settings, which stays until the process ends.
fn file(name: &str, settings: &str) -> String {
    let path = std::env::temp_dir().join(format!("stripe-egress-cli-{}-{name}.toml", std::process::id()));
    std::fs::write(&path, settings).expect("a file");
    format!("--config={}", path.display())
}

#[tokio::test]
async fn what_is_in_force_is_printed_from_the_outside_in() {
    let config = file("print", "[retry]\nmax_attempts = 4\n[timeouts]\ndeadline = '45s'");
    let output = run(&["--print-config", &config, "--upstream=http://127.0.0.1:9"]).await;
    assert!(output.status.success());
    let printed = text(&output.stdout);
    let at = |part: &str| printed.find(part).unwrap_or_else(|| panic!("{part} is not in\n{printed}"));
    assert!(at("listen = 127.0.0.1:12111") < at("files = http://127.0.0.1:9"));
    assert!(at("\nidempotency\n") < at("\nretry\n") && at("\nretry\n") < at("max_attempts = 4"));
    assert!(at("max_attempts = 4") < at("\nbreaker\n") && at("deadline = 45s") > 0);
}

#[tokio::test]
async fn a_check_says_what_is_fine_and_what_to_look_at() {
    let output = run(&["--check"]).await;
    assert!(output.status.success());
    let printed = text(&output.stdout);
    assert!(printed.lines().all(|line| line.starts_with("ok: ") || line.starts_with("look: ")), "{printed}");
    assert!(printed.contains("ok: it listens on this machine alone\n"), "{printed}");
    assert!(printed.contains("look: governor.replicas is not set"), "{printed}");
}

#[tokio::test]
async fn settings_that_cannot_be_exit_with_2_and_all_their_problems() {
    let config = file("wrong", "listen = '0.0.0.0:1'\n[timeouts]\nattempt = '50s'\ndeadline = '45s'");
    for arguments in [&["--check", &config][..], &["--print-config", &config], &[&config]] {
        let output = run(arguments).await;
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
        let complaint = text(&output.stderr);
        assert!(complaint.contains("listen = 0.0.0.0:1 must be a loopback address"), "{complaint}");
        assert!(complaint.contains("attempt_timeout = 50s must be at most deadline = 45s"), "{complaint}");
    }
    assert_eq!(run(&["--listne=127.0.0.1:1"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn an_address_that_is_taken_exits_with_1() {
    let taken = crate::support::listener().await;
    let addr = taken.local_addr().expect("an address");
    let output = run(&[&format!("--listen={addr}"), "--admin=off"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("cannot listen on {addr}")), "{}", text(&output.stderr));
}
