//! The scripts that need more than Rust, as part of the one test command: Stripe's own libraries, and a browser.
//!
//! They install what they need under `target/`, or from Debian where they may. What cannot be had is left out, and said; where
//! `CI` is set nothing is left out.

#![expect(clippy::print_stdout, reason = "what is left out is said where somebody sees it")]

use std::{path::Path, process::Command};

const SCRIPTS: [&str; 2] = ["official-sdks", "egress-page"];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // As the usual harness does: what is no option says which tests are wanted.
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return;
    }
    let wanted: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    let mut failed = Vec::new();
    for script in SCRIPTS {
        if !wanted.is_empty() && !wanted.iter().any(|part| script.contains(part.as_str())) {
            continue;
        }
        println!("\nscripts/{script}");
        let mut command = Command::new("bash");
        command.current_dir(&root).arg(format!("scripts/{script}"));
        if !in_ci {
            command.arg("--allow-skip");
        }
        match command.status() {
            Ok(status) if status.success() => {}
            Ok(status) => failed.push(format!("scripts/{script}: {status}")),
            Err(error) if in_ci => failed.push(format!("scripts/{script}: {error}")),
            Err(error) => println!("SKIPPED: scripts/{script}: {error}"),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("; "));
}
