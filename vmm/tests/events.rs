//! What `--events` says of a machine is what its slab has.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{BRIEF, SECOND, bus, has_kvm, run, slab_path, vmm};
use serde_json::Value;

/// A supervisor that never reads a slab knows which rows it has, those that the VMM missed included.
#[test]
fn the_events_have_each_tick_that_the_slab_has() {
    if !has_kvm("the_events_have_each_tick_that_the_slab_has") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let run = run(&["--seconds", "3", "--events", path.to_str().unwrap()]);
    assert_eq!(run.exit_code, Some(0), "{}", run.stderr);
    let text = std::fs::read_to_string(path).unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [started, ticks @ .., ended] = &events[..] else {
        panic!("{text}");
    };
    assert_eq!(started["event"], "started");
    assert_eq!(ended["why"], "the time is up");
    assert_eq!(
        (&ended["exit_code"], &ended["lost_events"]),
        (&0.into(), &0.into())
    );

    let told: Vec<u64> = ticks
        .iter()
        .map(|tick| tick["ticked_ns"].as_u64().unwrap())
        .collect();
    let stored = run.recorded.points("vmm_uptime_seconds", &[]);
    let stored: Vec<u64> = stored.iter().map(|point| point.t).collect();
    assert_eq!(told, stored);
    let intervals = (told[told.len() - 1] - told[0]) / SECOND + 1;
    let missed = run.recorded.counter("vmm_missed_ticks_total", &[]);
    assert_eq!(ended["missed_ticks"], missed);
    assert_eq!(intervals - told.len() as u64, missed);
}

/// How a parent listens: the VMM's standard error is a pipe, in which lines of JSON are the events.
#[test]
fn events_on_standard_error_name_the_slab_on_the_bus() {
    if !has_kvm("events_on_standard_error_name_the_slab_on_the_bus") {
        return;
    }
    let bus = bus();
    let output = vmm(bus.path(), &BRIEF)
        .args(["--events", "/dev/stderr"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let events = said.lines().filter(|line| line.starts_with('{'));
    let events: Vec<Value> = events.map(|line| serde_json::from_str(line).unwrap()).collect();
    let slab = slab_path(bus.path());
    assert_eq!(events[0]["slab"], slab.to_str().unwrap());
    assert_eq!(events.last().unwrap()["why"], "the guest powered off", "{said}");
    assert!(said.contains("rondo-vmm: the guest powered off\n"), "{said}");
}

#[test]
fn events_that_nobody_can_take_are_refused_at_the_start() {
    if !has_kvm("events_that_nobody_can_take_are_refused_at_the_start") {
        return;
    }
    let output = vmm(bus().path(), &["--events", "/nonexistent/events"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("cannot write events to /nonexistent/events"),
        "{said}"
    );
}
