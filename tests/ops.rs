//! What is in `ops/` works with a real Prometheus. A test binary of its own, since it takes a minute and starts
//! programs.

use std::{path::Path, process::Command};

/// The script says what it checks, and what it leaves out where there is no Prometheus; where `CI` is set, that is a
/// failure.
#[test]
fn every_query_of_the_dashboard_and_of_the_rules_has_an_answer() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/observability");
    match Command::new(&script).status() {
        Ok(status) => assert!(status.success(), "{}: {status}", script.display()),
        Err(error) => panic!("{} needs python3: {error}", script.display()),
    }
}
