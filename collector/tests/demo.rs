//! The two commands that people try first, as they try them. The demo's machines are processes here, which run everywhere;
//! `demo_machines.rs` has how it chooses, `tests/tests/demo.rs` VMs.
#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const SECOND: i64 = 1_000_000_000;

/// Long enough for a loaded machine; nothing here waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn json(arguments: &[&str]) -> Value {
    let mut command = Command::cargo_bin("rondo").unwrap();
    let output = command.args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{arguments:?}: {} {errors}",
        output.status
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A demo of processes in these directories, and what it reports.
fn demo(arguments: &[&str], bus: &Path, store: &Path) -> Value {
    let places = ["--bus", bus.to_str().unwrap(), "--store", store.to_str().unwrap()];
    let demo = ["demo", "-o", "json", "--machines-as", "process"];
    json(&[&demo, arguments, &places].concat())
}

/// The series that a query of the store finds in a tier, as any program would ask for them.
fn query(store: &Path, selector: &str, tier: &str) -> Vec<Value> {
    let store = store.to_str().unwrap();
    let answer = json(&[
        "query", store, selector, "--range", "all", "--tier", tier, "-o", "json",
    ]);
    assert_eq!(answer["warnings"].as_array().unwrap().len(), 0, "{answer}");
    answer["series"].as_array().unwrap().clone()
}

fn stamps(series: &Value) -> Vec<i64> {
    let points = series["points"].as_array().unwrap().iter();
    points.map(|point| point["wall_ns"].as_i64().unwrap()).collect()
}

/// Whether a point of a coarser tier says that the machine ended in it.
fn is_sealed(point: &Value) -> bool {
    point["sealed_wall_ns"].is_i64()
}

/// All that a store has to say of a machine that lived for `seconds`, worked out from its points at 1 s.
fn check_machine(store: &Path, machine: &Value, seconds: usize) {
    let selector = |name: &str| {
        let (instance, incarnation) = (&machine["instance"], &machine["incarnation"]);
        format!("{name}{{instance={instance},incarnation={incarnation}}}")
    };
    let [rss] = &query(store, &selector("process_rss_bytes"), "0")[..] else {
        panic!("one series for {machine}");
    };
    let points = stamps(rss);
    assert_eq!(points.len(), seconds, "{machine}");
    assert!(
        points.windows(2).all(|two| two[1] - two[0] == SECOND),
        "{points:?}"
    );
    // The last sign of life may be what the worker recorded after the last tick.
    let all = query(store, &selector(""), "0");
    assert_eq!(all.len(), 31);
    let end = all
        .iter()
        .filter_map(|series| stamps(series).last().copied())
        .max()
        .unwrap();

    for (tier, step) in [("1", 10 * SECOND), ("2", 300 * SECOND)] {
        let [rss] = &query(store, &selector("process_rss_bytes"), tier)[..] else {
            panic!("one series for {machine} in tier {tier}");
        };
        let mut windows: Vec<i64> = points.iter().map(|t| t / step * step).collect();
        windows.dedup();
        assert_eq!(stamps(rss), windows, "{machine}");
        for (point, start) in rss["points"].as_array().unwrap().iter().zip(windows) {
            let known = points
                .iter()
                .filter(|t| (start..start + step).contains(t))
                .count();
            assert_eq!(point["known"], known, "{point}");
            let is_cut = (start..start + step - SECOND).contains(&end);
            assert_eq!(
                is_sealed(point),
                is_cut,
                "{point} of a machine that ended in {end}"
            );
            // Sealed, so it is stored for good: nobody goes on with it.
            assert!(point["partial"].is_null(), "{point}");
        }
    }
}

/// The three machines of a demo, one of which was killed, and how long each lived.
fn check_demo(report: &Value, store: &Path, seconds: u64) {
    let machines = report["machines"].as_array().unwrap();
    assert_eq!(machines.len(), 3);
    for machine in machines {
        let expected = machine["expected_points"].as_u64().unwrap();
        match machine["killed"].as_bool().unwrap() {
            true => assert!((seconds / 2..seconds).contains(&expected), "{machine}"),
            false => assert_eq!(expected, seconds, "{machine}"),
        }
        assert_eq!(machine["points"], expected, "{machine}");
        check_machine(store, machine, usize::try_from(expected).unwrap());
    }
    let killed = machines.iter().filter(|machine| machine["killed"] == true);
    assert_eq!(killed.count(), 1);
}

/// S4, in real time: machines that were only there for 45 seconds are gone, and so are their slabs.
#[test]
fn a_45_second_machine_can_be_queried_from_the_store_afterwards() {
    let (bus, store) = (
        tempfile::tempdir_in("/dev/shm").unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let report = demo(&[], bus.path(), store.path());
    check_demo(&report, store.path(), 45);
    assert_eq!(std::fs::read_dir(bus.path()).unwrap().count(), 0);
}

/// The same directories may be used again: each demo reports its own machines, and both stay.
#[test]
fn short_machines_of_two_demos_can_be_queried_from_one_store() {
    let (bus, store) = (
        tempfile::tempdir_in("/dev/shm").unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let reports = [8, 5].map(|seconds: u64| {
        let seconds_text = seconds.to_string();
        let report = demo(&["--seconds", &seconds_text], bus.path(), store.path());
        assert_eq!(std::fs::read_dir(bus.path()).unwrap().count(), 0);
        (report, seconds)
    });
    for (report, seconds) in reports {
        check_demo(&report, store.path(), seconds);
    }
    let both = query(store.path(), "process_rss_bytes{instance=\"demo-1\"}", "0");
    assert_eq!(both.len(), 2);
}

/// How many directories of demos there are, of those that this test can have made.
fn temporary(parent: &Path) -> usize {
    let names = std::fs::read_dir(parent)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with("rondo-demo-"))
        .count()
}

/// Ctrl-C in the middle: no machine, no collector and no temporary directory is left.
#[test]
fn an_interrupted_demo_leaves_nothing() {
    // The stores of other demos are elsewhere.
    let stores = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("rondo"))
        .args(["demo", "--seconds", "60", "--machines-as", "process"])
        .env("TMPDIR", stores.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let children = PathBuf::from(format!("/proc/{0}/task/{0}/children", child.id()));
    let deadline = Instant::now() + PATIENCE;
    let processes = loop {
        let text = std::fs::read_to_string(&children).unwrap();
        let processes: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if processes.len() == 4
            && processes
                .iter()
                .all(|pid| command_line(pid).contains("rondo-demo-"))
        {
            break processes;
        }
        assert!(Instant::now() < deadline, "{processes:?}");
        std::thread::sleep(Duration::from_millis(10));
    };
    let bus = command_line(&processes[0]);
    let bus = Path::new(
        bus.split('\0')
            .find(|part| part.starts_with("/dev/shm/"))
            .unwrap(),
    );
    assert!(bus.is_dir());
    assert_eq!(temporary(stores.path()), 1);
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert!(said.contains("interrupted"), "{said}");
    assert!(!bus.exists());
    assert_eq!(temporary(stores.path()), 0);
    for pid in processes {
        assert!(!command_line(&pid).contains("rondo-demo-"), "{pid} still runs");
    }
}

fn command_line(pid: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// Two collectors would remove each other's slabs.
#[test]
fn a_demo_on_a_bus_of_another_collector_says_what_to_do() {
    let (bus, store) = (
        tempfile::tempdir_in("/dev/shm").unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let mut collector = std::process::Command::new(assert_cmd::cargo::cargo_bin("rondo"))
        .args(["collect", "--listen", "none", "--store-budget", "16MiB"])
        .arg("--bus")
        .arg(bus.path())
        .arg("--store")
        .arg(store.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !bus.path().join(".collector.lock").exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let said = |option: &str, path: &Path| {
        let mut command = Command::cargo_bin("rondo").unwrap();
        let output = command.args(["demo", option]).arg(path).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let (of_bus, of_store) = (said("--bus", bus.path()), said("--store", store.path()));
    collector.kill().unwrap();
    collector.wait().unwrap();
    assert!(of_bus.contains("leave --bus out"), "{of_bus}");
    assert!(of_store.contains("use another directory"), "{of_store}");
}

/// What scripts rely on. The figures themselves are for machines that are otherwise idle.
#[test]
fn bench_prints_the_promised_object_and_allocates_nothing() {
    let report = json(&["bench", "--points", "200000", "-o", "json"]);
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
