//! The demo with VMs: real guests on KVM, one of them killed, all read back from the store when they are gone.

#![allow(clippy::unwrap_used, missing_docs)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rondo_tests::recorded::SECOND;
use rondo_tests::toy::has_kvm;
use rondo_tests::wait::wait_until;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const RONDO: &str = env!("CARGO_BIN_EXE_rondo_collect");

/// Long enough for each phase. One takes 3 s, but three times as long where guests are emulated and have to wait for a core.
const SECONDS: u64 = 30;

fn demo() -> Command {
    let mut command = Command::new(RONDO);
    command.args(["demo", "-o", "json", "--machines-as", "vmm", "--vmm"]);
    command.arg(env!("CARGO_BIN_EXE_rondo_vmm"));
    command
}

fn json(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The values that a store has of a series of a machine, by second; also those that follow from the ones before.
fn points(store: &Path, instance: &str, series: &str, labels: &str, tier: &str) -> BTreeMap<u64, f64> {
    let mut command = Command::new(RONDO);
    command.arg("query").arg(store);
    command.arg(format!("{series}{{instance=\"{instance}\"{labels}}}"));
    command.args(["--range", "all", "--tier", tier, "-o", "json"]);
    let answer = json(&mut command);
    let [series] = &answer["series"].as_array().unwrap()[..] else {
        panic!("one series: {answer}");
    };
    let points = series["points"].as_array().unwrap().iter();
    points
        .map(|point| {
            let second = point["wall_ns"].as_u64().unwrap() / SECOND;
            (second, point["value"].as_f64().unwrap_or(f64::NAN))
        })
        .collect()
}

/// What came to a counter in each second.
fn per_second(totals: &BTreeMap<u64, f64>) -> Vec<f64> {
    let pairs = totals.iter().zip(totals.iter().skip(1));
    pairs
        .filter(|((before, _), (second, _))| **second == **before + 1)
        .map(|((_, before), (_, now))| now - before)
        .collect()
}

#[test]
fn vms_that_are_gone_are_in_the_store_with_their_phases() {
    if !has_kvm("vms_that_are_gone_are_in_the_store_with_their_phases") {
        return;
    }
    let (bus, store) = (
        tempfile::tempdir_in("/dev/shm").unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let mut command = demo();
    command
        .args(["--seconds", &SECONDS.to_string(), "--bus"])
        .arg(bus.path());
    let report = json(command.arg("--store").arg(store.path()));
    assert_eq!(report["machines_as"], "vmm");
    assert_eq!(std::fs::read_dir(bus.path()).unwrap().count(), 0);
    let machines = report["machines"].as_array().unwrap();
    let killed: Vec<bool> = machines
        .iter()
        .map(|machine| machine["killed"].as_bool().unwrap())
        .collect();
    assert_eq!(killed, [false, true, false]);

    for machine in machines {
        let instance = machine["instance"].as_str().unwrap();
        let number = |key: &str| {
            machine[key]
                .as_u64()
                .unwrap_or_else(|| panic!("{key} of {machine}"))
        };
        // Of a busy host each machine may have skipped ticks, and says so; it was told to end or killed after so many.
        let least = if machine["killed"] == true {
            SECONDS / 2
        } else {
            SECONDS
        };
        assert!(number("expected_points") >= least, "{machine}");
        assert_eq!(number("points"), number("expected_points"), "{machine}");
        assert_eq!(number("skipped"), number("skipped_recorded"), "{machine}");
        // A gauge follows from nothing; one that is killed may have ticked once more than it could say.
        let uptime = points(store.path(), instance, "vmm_uptime_seconds", "", "0");
        let ticks = number("points")..=number("points") + u64::from(machine["killed"] == true);
        assert!(ticks.contains(&(uptime.len() as u64)), "{machine}: {uptime:?}");
        for tier in ["1", "2"] {
            assert!(!points(store.path(), instance, "vmm_uptime_seconds", "", tier).is_empty());
        }
        if machine["killed"] == true {
            continue;
        }
        // A burst, the disk and idleness differ by more than anybody could overlook.
        for (series, labels) in [
            ("vcpu_exits_total", ",reason=\"io_in\""),
            ("vcpu_exits_total", ",reason=\"mmio_read\""),
            ("blk_requests_total", ",op=\"write\""),
            ("blk_bytes_total", ",direction=\"write\""),
        ] {
            let increases = per_second(&points(store.path(), instance, series, labels, "0"));
            let (least, most) = increases.iter().fold((f64::MAX, 0.0), |(least, most), one| {
                (one.min(least), one.max(most))
            });
            assert!(
                most >= 20.0 * least.max(1.0),
                "{instance} {series} {labels}: {increases:?}"
            );
        }
    }
}

/// Ctrl-C in the middle: no VM, no disk, no slab is left.
#[test]
fn an_interrupted_demo_leaves_no_vm() {
    if !has_kvm("an_interrupted_demo_leaves_no_vm") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut demo = demo()
        .args(["--seconds", "60"])
        .env("TMPDIR", directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let children = format!("/proc/{0}/task/{0}/children", demo.id());
    let vms = || -> Vec<String> {
        let children = std::fs::read_to_string(&children).unwrap();
        let children = children.split_whitespace().map(str::to_owned);
        children.filter(|pid| is_vm(pid)).collect()
    };
    wait_until("three VMs", || vms().len() == 3);
    let vms = vms();
    let bus = bus_of(&vms[0]);
    assert!(bus.is_dir(), "{}", bus.display());
    kill(Pid::from_raw(demo.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(2));
    for pid in vms {
        assert!(!is_vm(&pid), "{pid} still runs");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    assert!(!bus.exists(), "{}", bus.display());
}

/// What it was told with `--bus`.
fn bus_of(pid: &str) -> PathBuf {
    let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let mut arguments = arguments.split('\0').skip_while(|argument| *argument != "--bus");
    arguments.nth(1).unwrap().into()
}

/// Whether a machine of the demo is that process.
fn is_vm(pid: &str) -> bool {
    let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    arguments.contains("--toy") && arguments.contains("rondo-demo-") && !arguments.contains("demo-child")
}
