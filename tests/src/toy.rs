//! A VMM with the toy guest: whether it can run here, how it is started, and what the guest says that it did.
#![allow(
    dead_code,
    reason = "not every test that takes this file in asks for all of it"
)]

use super::recorded::{Recorded, find_slab};
use super::skip::skip;
use super::wait::wait_until;
use rondo_reader::{Limits, Slab};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether guests can run here; says so aloud if not.
pub fn has_kvm(test: &str) -> bool {
    match kvm_ioctls::Kvm::new() {
        Ok(_) => true,
        Err(error) => {
            skip(test, &format!("/dev/kvm cannot be opened: {error}"));
            false
        }
    }
}

/// The toy guest's shortest life.
pub const BRIEF: [&str; 8] = [
    "--toy-rounds",
    "1",
    "--toy-burst",
    "1",
    "--toy-disk",
    "1",
    "--toy-idle",
    "1",
];

/// The VMM `binary` with a toy guest on a bus, and further arguments.
pub fn vmm(binary: impl AsRef<OsStr>, bus: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["--toy", "--instance", "vm-1", "--bus"])
        .arg(bus)
        .args(arguments)
        .env_remove("RONDO_BUS")
        .stdin(Stdio::null());
    command
}

/// The numbers of the line in which the toy guest says what it did.
pub fn ledger(stderr: &str) -> BTreeMap<String, u64> {
    let line = stderr.lines().find_map(|line| line.split_once("toy guest: "));
    let (_, numbers) = line.unwrap_or_else(|| panic!("no ledger: {stderr}"));
    let number = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    numbers.split(' ').map(number).collect()
}

/// Waits until the guest of the only machine on a bus has left for the VMM some times.
pub fn wait_for_exits(bus: &Path) {
    wait_until("exits", || {
        let slab = find_slab(bus).and_then(|path| Slab::open(path, &Limits::default()).ok());
        // The last series that is registered before the guest runs.
        let is_ready = |slab: &Slab| {
            let mut series = slab.series().iter();
            series.any(|series| series.name == "vcpu_cpu_time_ns_total")
        };
        slab.as_ref().is_some_and(is_ready) && Recorded::read(bus).exits("0", "io_out") > 20
    });
}
