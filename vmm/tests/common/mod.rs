//! Runs `rondo-vmm` and reads what it recorded, from outside and through the reader.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test uses another part, and one that cannot go on fails"
)]

#[path = "../../../tests/src/random.rs"]
pub mod random;
#[path = "../../../tests/src/recorded.rs"]
mod recorded;
#[path = "../../../tests/src/skip.rs"]
mod skip;
#[path = "../../../tests/src/toy.rs"]
mod toy;
#[path = "../../../tests/src/wait.rs"]
mod wait;

pub use recorded::{Recorded, SECOND, bus, slab_path};
pub use skip::{has, skip};
use toy::ledger;
pub use toy::{BRIEF, has_kvm, wait_for_exits};
pub use wait::wait_until;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The VMM with a toy guest and further arguments.
pub fn vmm(bus: &Path, arguments: &[&str]) -> Command {
    toy::vmm(assert_cmd::cargo::cargo_bin!("rondo-vmm"), bus, arguments)
}

/// What a VMM that ended said and recorded.
pub struct Run {
    pub exit_code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub ledger: BTreeMap<String, u64>,
    pub recorded: Recorded,
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Run {
    let bus = bus();
    let output = vmm(bus.path(), arguments).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    Run {
        exit_code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        ledger: ledger(&stderr),
        stderr,
        recorded: Recorded::read(bus.path()),
    }
}

/// Starts it, with its output thrown away. It ends by itself when the test fails and leaves it alone.
pub fn start(bus: &Path, arguments: &[&str]) -> Child {
    vmm(bus, arguments)
        .args(["--seconds", "30"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}
