//! Saying that a test cannot run here, so loudly that nobody takes it for passed.

use std::io::Write;
use std::process::{Command, Stdio};

/// Writes `SKIPPED name: reason` to stderr, past the capture of the test harness, and appends it to
/// the file that `RONDO_SKIP_LOG` names, from which `make test` counts and prints it.
pub fn skip(name: &str, reason: &str) {
    let line = format!("SKIPPED {name}: {reason}\n");
    // One write each, so that lines of tests that run at the same time do not mix.
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("stderr takes a line");
    if let Some(log) = std::env::var_os("RONDO_SKIP_LOG") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    }
}

/// Whether a command is there. Skipping aloud is the caller's.
#[allow(dead_code, reason = "not every test that takes this file in asks")]
pub fn has(command: &str) -> bool {
    let version = Command::new(command)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}
