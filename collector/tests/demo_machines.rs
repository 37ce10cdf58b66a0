//! What the demo's machines are: what was asked for, or what is possible, and a reason in any case.
//!
//! VMMs here are scripts that say what a real one would say on a host of another kind.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;

/// A VMM that does what the script says. The demo tries it as the machine `demo-trial` first.
fn vmm(script: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("rondo-vmm");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    directory
}

fn demo(vmm: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("rondo").unwrap();
    command.args(["demo", "-o", "json", "--machines", "1", "--seconds", "4"]);
    command.arg("--vmm").arg(vmm).args(arguments);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const NO_KVM: &str = "echo 'rondo-vmm: there is no /dev/kvm; load the module' >&2; exit 1";
/// As on a processor that KVM does not know how to enter.
const NO_END: &str = r#"echo '{"event":"ended","why":"the time is up","lost_events":0}' >&2"#;

#[test]
fn where_no_guest_runs_the_machines_are_processes_and_the_demo_says_why() {
    for (script, why) in [
        (NO_KVM, "not VMs: there is no /dev/kvm; load the module\n"),
        (NO_END, "did not come to its end: the time is up\n"),
    ] {
        let vmm = vmm(script);
        let output = demo(&vmm.path().join("rondo-vmm"), &[]);
        assert!(output.status.success(), "{output:?}");
        assert!(said(&output).contains(why), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["machines_as"], "process");
        let [machine] = &report["machines"].as_array().unwrap()[..] else {
            panic!("{report}");
        };
        assert_eq!(machine["gaps"], 0);
        assert!(machine["skipped_recorded"].is_null());
    }
}

#[test]
fn vms_that_cannot_be_are_an_error_with_what_to_do() {
    let vmm = vmm(NO_KVM);
    let guest = tempfile::tempdir().unwrap();
    let refused = |program: &Path, arguments: &[&str]| {
        let output = demo(program, arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        said(&output)
    };
    let program = vmm.path().join("rondo-vmm");
    let forced = refused(&program, &["--machines-as", "vmm"]);
    assert!(
        forced.contains("cannot be VMs") && forced.contains("load the module"),
        "{forced}"
    );
    let missing = refused(Path::new("/nonexistent/rondo-vmm"), &["--machines-as", "vmm"]);
    assert!(missing.contains("build it"), "{missing}");

    let linux = ["--linux", guest.path().to_str().unwrap()];
    let no_kernel = refused(&program, &linux);
    assert!(no_kernel.contains("/vmlinuz; make it"), "{no_kernel}");
    let both = refused(&program, &[&linux[..], &["--machines-as", "process"]].concat());
    assert!(both.contains("leave out --linux"), "{both}");
    let other = refused(&program, &["--machines-as", "container"]);
    assert!(other.contains("auto, vmm, process"), "{other}");
}

/// A VMM that runs the first guest, but not the machines.
#[test]
fn a_machine_that_fails_is_named_with_what_it_said() {
    let vmm = vmm(r#"case "$*" in
        *demo-trial*) echo '{"event":"ended","why":"the guest powered off","lost_events":0}' >&2 ;;
        *) echo 'rondo-vmm: cannot reserve 16 MiB' >&2; exit 1 ;;
        esac"#);
    let output = demo(&vmm.path().join("rondo-vmm"), &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = said(&output);
    assert!(said.contains("machine demo-1 failed"), "{said}");
    assert!(said.contains("cannot reserve 16 MiB"), "{said}");
}

/// What it made is not known then, so nothing can be compared.
#[test]
fn a_machine_whose_events_are_lost_is_an_error() {
    let vmm = vmm(r#"case "$*" in
        *demo-trial*) echo '{"event":"ended","why":"the guest powered off","lost_events":0}' >&2 ;;
        *) echo '{"event":"ended","why":"ended by SIGTERM","lost_events":3}' >&2 ;;
        esac"#);
    let output = demo(&vmm.path().join("rondo-vmm"), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("3 of its events are lost"), "{output:?}");
}
