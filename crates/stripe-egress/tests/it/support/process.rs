//! The sidecar as a process of its own.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
};

/// A sidecar that runs until it is told to stop, or dropped.
pub(crate) struct Process {
    child: Child,
    addr: SocketAddr,
    admin: SocketAddr,
    config: PathBuf,
    stderr: JoinHandle<String>,
    _stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it before `upstream`.
    pub(crate) async fn start(upstream: SocketAddr, more: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let config = std::env::temp_dir().join(format!("stripe-egress-{}-{number}.toml", std::process::id()));
        std::fs::write(&config, more).expect("a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_stripe-egress"))
            .args(["--listen=127.0.0.1:0", "--admin=127.0.0.1:0"])
            .arg(format!("--upstream=http://{upstream}"))
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut stderr = child.stderr.take().expect("it is piped");
        let stderr = tokio::spawn(async move {
            let mut text = String::new();
            stderr.read_to_string(&mut text).await.expect("text");
            text
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut addrs = Vec::new();
        for _ in 0..2 {
            let mut line = String::new();
            stdout.read_line(&mut line).await.expect("a line");
            let (_, addr) = line.trim().split_once("http://").unwrap_or_else(|| panic!("it said {line:?}"));
            addrs.push(addr.parse().expect("an address"));
        }
        Self { child, addr: addrs[0], admin: addrs[1], config, stderr, _stdout: stdout }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Writes the file anew.
    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(&self.config, text).expect("a file");
    }

    /// Sends a signal: `TERM`, `HUP`.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let killed = Command::new("kill").args([&format!("-{name}"), &pid]).status().await;
        assert!(killed.expect("there is a kill").success());
    }

    /// The most memory that it has held so far, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs on Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Waits for its end: how it ended, and what it logged.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().await.expect("it ends");
        let _ = std::fs::remove_file(&self.config);
        (status, self.stderr.await.expect("it was read"))
    }
}
