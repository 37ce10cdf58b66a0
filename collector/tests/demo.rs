//! The two commands that people try first, as they try them.
#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;
use serde_json::Value;
use std::path::Path;

fn json(arguments: &[&str], bus: &Path) -> Value {
    let mut command = Command::cargo_bin("rondo").unwrap();
    let output = command.args(arguments).env("RONDO_BUS", bus).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{arguments:?}: {} {errors}",
        output.status
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// S4, in short: every second that a machine reported is in its slab, also of the one that was killed.
/// The second run finds the slabs of the first and replaces them.
#[test]
fn no_second_of_a_demo_is_missing() {
    let bus = tempfile::tempdir_in("/dev/shm").unwrap();
    for _ in 0..2 {
        let report = json(
            &["demo", "--seconds", "6", "--machines", "3", "-o", "json"],
            bus.path(),
        );
        let machines = report["machines"].as_array().unwrap();
        assert_eq!(machines.len(), 3);
        for machine in machines {
            let killed = machine["killed"].as_bool().unwrap();
            let expected = machine["expected_points"].as_u64().unwrap();
            assert!(
                if killed {
                    (2..6).contains(&expected)
                } else {
                    expected == 6
                },
                "{machine}"
            );
            assert_eq!(machine["points"], expected, "{machine}");
            assert_eq!(machine["gaps"], 0, "{machine}");
            let verify = Command::cargo_bin("rondo")
                .unwrap()
                .arg("verify")
                .arg(machine["path"].as_str().unwrap())
                .output();
            assert!(verify.unwrap().status.success(), "{machine}");
        }
        assert_eq!(
            machines
                .iter()
                .filter(|machine| machine["killed"] == true)
                .count(),
            1
        );
        assert_eq!(std::fs::read_dir(bus.path()).unwrap().count(), 3);
    }
}

/// What scripts rely on. The figures themselves are for machines that are otherwise idle.
#[test]
fn bench_prints_the_promised_object_and_allocates_nothing() {
    let bus = tempfile::tempdir_in("/dev/shm").unwrap();
    let report = json(&["bench", "--points", "200000", "-o", "json"], bus.path());
    assert_eq!(
        (report["points"].as_u64(), report["series"].as_u64()),
        (Some(200_000), Some(30))
    );
    assert_eq!(report["heap_allocations"], 0);
    for key in [
        "record_p50_ns",
        "record_p99_ns",
        "record_p999_ns",
        "timer_ns",
        "throughput_per_s",
    ] {
        assert!(report[key].as_u64().unwrap() > 0, "{key} in {report}");
    }
}

#[test]
fn a_demo_without_a_bus_says_what_to_do() {
    let mut command = Command::cargo_bin("rondo").unwrap();
    let output = command
        .args(["demo", "--bus", "/nonexistent/bus"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("create it"),
        "{output:?}"
    );
}
