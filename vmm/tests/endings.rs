//! Signals, wrong flags, a bus that refuses: the VMM ends, or goes on, and says why.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Recorded, bus, has_kvm, start, vmm, wait_for_exits};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rondo_reader::Liveness;
use std::path::Path;
use std::process::Command;

#[test]
fn a_signal_ends_the_machine_cleanly() {
    if !has_kvm("a_signal_ends_the_machine_cleanly") {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let bus = bus();
        let vmm = start(bus.path(), &["--cpus", "2"]);
        wait_for_exits(bus.path());
        kill(Pid::from_raw(vmm.id().cast_signed()), signal).unwrap();
        let output = vmm.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains(&format!("ended by {signal}")), "{said}");
        assert_eq!(Recorded::read(bus.path()).view.liveness, Liveness::Closed);
    }
}

/// The message is all that a person has to go by.
#[test]
fn what_a_person_got_wrong_is_said_with_what_to_do() {
    let bus = bus();
    let said = |arguments: &[&str]| {
        let output = vmm(bus.path(), arguments).output().unwrap();
        assert_ne!(output.status.code(), Some(0));
        String::from_utf8(output.stderr).unwrap()
    };
    let memory = said(&["--memory", "1"]);
    assert!(memory.contains("at least 2 with --memory"), "{memory}");
    let cpus = said(&["--cpus", "0"]);
    assert!(cpus.contains("1..=254"), "{cpus}");
    let flag = said(&["--tox"]);
    assert!(flag.contains("--toy"), "{flag}");
    let name = said(&["--instance", "../vm"]);
    assert!(name.contains("--instance"), "{name}");

    let binary = assert_cmd::cargo::cargo_bin!("rondo-vmm");
    let nothing = Command::new(binary).output().unwrap();
    let nothing = String::from_utf8(nothing.stderr).unwrap();
    assert!(nothing.contains("--toy"), "{nothing}");
}

#[test]
fn memory_that_the_host_cannot_reserve_is_refused() {
    if !has_kvm("memory_that_the_host_cannot_reserve_is_refused") {
        return;
    }
    let bus = bus();
    let output = vmm(bus.path(), &["--memory", "17592186044415"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("give less with --memory"), "{said}");
}

/// Metrics may never be the reason why a machine does not run.
#[test]
fn a_machine_runs_without_its_bus() {
    if !has_kvm("a_machine_runs_without_its_bus") {
        return;
    }
    let nowhere = Path::new("/proc/self/no-such-bus");
    let arguments = [
        "--toy-rounds",
        "1",
        "--toy-burst",
        "1",
        "--toy-disk",
        "1",
        "--toy-idle",
        "1",
    ];
    let output = vmm(nowhere, &arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("warning: no metrics: bus directory"), "{said}");
    assert!(said.contains("the guest powered off"), "{said}");
}

/// A terminal left raw is a terminal that its person cannot use.
#[test]
fn the_terminal_is_given_back_as_it_was() {
    if !has_kvm("the_terminal_is_given_back_as_it_was") {
        return;
    }
    let binary = assert_cmd::cargo::cargo_bin!("rondo-vmm");
    let rounds = "--toy-rounds 1 --toy-burst 1 --toy-disk 1 --toy-idle 100";
    for (end, signal) in [("--seconds 1", ":"), (rounds, ":"), ("--seconds 9", "kill $vmm")] {
        let bus = bus();
        let script = format!(
            "stty -g; '{}' --toy --bus '{}' {end} </dev/tty >/dev/null 2>&1 & vmm=$!; \
             sleep 0.6; stty -g; {signal}; wait $vmm; stty -g",
            binary.display(),
            bus.path().display(),
        );
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &script, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let modes: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| line.contains(':'))
            .collect();
        assert_eq!(modes.len(), 3, "{text}");
        assert_ne!(modes[0], modes[1], "{end}: never raw");
        assert_eq!(modes[0], modes[2], "{end}");
    }
}
