//! Pages of machines that write real slabs.

use super::machines::{MachineLimits, MachinesError, machine_page};
use super::page::Page;
use super::write::Format;
use crate::selector::Selector;
use crate::show;
use rondo_reader::{Bus, Limits};
use rondo_writer::{Unit, Writer};
use std::path::Path;
use std::time::Instant;

const SECOND: u64 = 1_000_000_000;

fn machine(bus: &Path, instance: &str) -> Writer {
    Writer::builder(instance)
        .label("tenant", "blue")
        .label("zone", "z1")
        .bus(bus)
        .simulated_time(100 * SECOND)
        .create()
        .unwrap()
}

fn page_of(bus: &Path, matches: &[&str], limits: &MachineLimits) -> Result<Page, MachinesError> {
    let bus = Bus::open(bus, &Limits::default()).unwrap();
    assert_eq!(bus.refused_count(), 0);
    let matches: Vec<Selector> = matches.iter().map(|text| text.parse().unwrap()).collect();
    machine_page(bus.slabs(), &matches, limits)
}

fn text_of(bus: &Path, matches: &[&str]) -> String {
    page_of(bus, matches, &MachineLimits::default())
        .unwrap()
        .write(Format::Text)
}

/// The lines that are values of machines.
fn values(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.contains("instance=")).collect()
}

#[test]
fn series_leave_with_the_labels_of_their_machine_and_their_own_win() {
    let bus = tempfile::tempdir().unwrap();
    let mut writer = machine(bus.path(), "vm-1");
    let mut exits = writer
        .counter("exits")
        .label("vcpu", "0")
        .label("zone", "z2")
        .owned()
        .unwrap();
    exits.add_at(100 * SECOND, 3);
    writer.tick_at(100 * SECOND);
    let text = text_of(bus.path(), &[]);
    assert_eq!(
        values(&text),
        [r#"exits_total{instance="vm-1",tenant="blue",vcpu="0",zone="z2"} 3"#]
    );
    assert!(
        text.contains("# HELP exits_total No help was registered.\n"),
        "{text}"
    );
    assert!(text.contains("\nrondo_series_conflicts 0\n"), "{text}");
}

#[test]
fn an_idle_counter_stays_and_an_unset_gauge_goes_after_five_intervals() {
    let bus = tempfile::tempdir().unwrap();
    let mut writer = machine(bus.path(), "vm-1");
    let _idle = writer.counter("idle").owned().unwrap();
    let mut load = writer.gauge("load").owned().unwrap();
    let mut wait = writer
        .distribution("wait_ms")
        .unit(Unit::Milliseconds)
        .owned()
        .unwrap();
    let _quiet = writer.distribution("quiet").owned().unwrap();
    load.set_at(100 * SECOND, 0.5);
    wait.record_at(100 * SECOND, 1.5);
    wait.record_at(100 * SECOND, 2.5);
    let names = |text: &str| -> Vec<String> {
        values(text)
            .iter()
            .map(|line| line.replace(r#"{instance="vm-1",tenant="blue",zone="z1"}"#, ""))
            .collect()
    };
    let always = [
        "idle_total 0",
        "quiet_count 0",
        "quiet_sum 0",
        "wait_seconds_count 2",
        "wait_seconds_sum 0.004",
    ];
    let fresh = ["load 0.5", "wait_seconds_max 0.0025", "wait_seconds_min 0.0015"];
    for second in 100..=106 {
        writer.tick_at(second * SECOND);
        let mut expected = always.to_vec();
        if second <= 105 {
            expected.extend(fresh);
        }
        let mut found = names(&text_of(bus.path(), &[]));
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected, "after {second}");
    }
}

#[test]
fn only_what_lives_is_there() {
    let bus = tempfile::tempdir().unwrap();
    let (mut here, mut gone) = (machine(bus.path(), "here"), machine(bus.path(), "gone"));
    let disk = here.counter("disk").owned().unwrap();
    let _ = here.counter("exits").owned().unwrap();
    let _ = gone.counter("exits").owned().unwrap();
    disk.end();
    gone.close();
    let text = text_of(bus.path(), &[]);
    assert_eq!(
        values(&text),
        [r#"exits_total{instance="here",tenant="blue",zone="z1"} 0"#]
    );
}

#[test]
fn the_later_of_two_incarnations_carries_its_label() {
    let bus = tempfile::tempdir().unwrap();
    let mut old = machine(bus.path(), "vm-1");
    let _ = old.counter("exits").owned().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2));
    let mut new = Writer::builder("vm-1")
        .bus(bus.path())
        .simulated_time(200 * SECOND)
        .create()
        .unwrap();
    let _ = new.counter("exits").owned().unwrap();
    let incarnation = show::hex(&new.incarnation()[..4]);
    let text = text_of(bus.path(), &[]);
    let expected = [
        format!(r#"exits_total{{incarnation="{incarnation}",instance="vm-1"}} 0"#),
        r#"exits_total{instance="vm-1",tenant="blue",zone="z1"} 0"#.to_owned(),
    ];
    assert_eq!(values(&text), expected);
    drop(old);
    let text = text_of(bus.path(), &[]);
    assert_eq!(
        values(&text),
        [r#"exits_total{instance="vm-1"} 0"#],
        "alone again"
    );
}

/// One machine that calls a gauge what all others call a counter costs its own series only.
#[test]
fn what_contradicts_an_earlier_machine_is_left_out_and_counted() {
    let bus = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (machine(bus.path(), "a"), machine(bus.path(), "b"));
    let _ = a.distribution("wait").unit(Unit::Nanoseconds).owned().unwrap();
    let _ = b.histogram("wait_seconds").unit(Unit::Seconds).owned().unwrap();
    let _ = b.counter("exits").owned().unwrap();
    let text = text_of(bus.path(), &[]);
    assert!(text.contains("wait_seconds_count{instance=\"a\""), "{text}");
    assert!(
        !text.contains("wait_seconds_count{instance=\"b\"") && text.contains("exits_total{instance=\"b\""),
        "{text}"
    );
    assert!(text.contains("\nrondo_series_conflicts 1\n"), "{text}");
}

#[test]
fn histograms_of_all_machines_have_the_same_boundaries() {
    let bus = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (machine(bus.path(), "a"), machine(bus.path(), "b"));
    let mut wait = a.histogram("wait").unit(Unit::Nanoseconds).owned().unwrap();
    wait.record_at(100 * SECOND, 5.0);
    let mut wait = b.histogram("wait").unit(Unit::Nanoseconds).owned().unwrap();
    wait.record_at(100 * SECOND, 8.0);
    wait.record_at(100 * SECOND, 1e30);
    let text = text_of(bus.path(), &[]).replace(r#",tenant="blue",zone="z1""#, "");
    let expected = [
        r#"wait_seconds_bucket{instance="a",le="5e-09"} 0"#,
        r#"wait_seconds_bucket{instance="a",le="6e-09"} 1"#,
        r#"wait_seconds_bucket{instance="a",le="8e-09"} 1"#,
        r#"wait_seconds_bucket{instance="a",le="9e-09"} 1"#,
    ];
    assert_eq!(values(&text)[..4], expected);
    let b: Vec<&str> = values(&text)
        .into_iter()
        .filter(|line| line.contains("\"b\""))
        .collect();
    let of_b = |line: &str| assert!(b.contains(&line), "{line}: {b:?}");
    of_b(r#"wait_seconds_bucket{instance="b",le="6e-09"} 0"#);
    of_b(r#"wait_seconds_bucket{instance="b",le="9e-09"} 1"#);
    of_b(r#"wait_seconds_bucket{instance="b",le="+Inf"} 2"#);
    of_b(r#"wait_seconds_count{instance="b"} 2"#);
    of_b(r#"wait_seconds_sum{instance="b"} 1e21"#);
}

#[test]
fn selectors_take_by_the_names_and_labels_of_machine_and_series() {
    let bus = tempfile::tempdir().unwrap();
    let mut writer = machine(bus.path(), "vm-1");
    let _ = writer
        .counter("busy_ns")
        .unit(Unit::Nanoseconds)
        .label("vcpu", "0")
        .owned()
        .unwrap();
    let _ = writer.counter("exits").label("zone", "z2").owned().unwrap();
    for (matches, count) in [
        (vec!["busy_ns"], 1),
        (vec!["busy_seconds_total"], 0),
        (vec!["{instance=\"vm-1\"}"], 2),
        (vec!["{schema=\"vmm\",tenant=\"blue\"}"], 2),
        (vec!["{zone=\"z1\"}"], 1),
        (vec!["{zone=\"z2\"}"], 1),
        (vec!["busy_ns", "{zone=\"z2\"}", "busy_ns"], 2),
        (vec!["{instance!=\"vm-1\"}"], 0),
    ] {
        assert_eq!(values(&text_of(bus.path(), &matches)).len(), count, "{matches:?}");
    }
}

/// A page is whole, or is not: a part of it would look as if the rest had gone.
#[test]
fn too_many_series_are_refused_and_so_is_taking_too_long() {
    let bus = tempfile::tempdir().unwrap();
    let mut writer = machine(bus.path(), "vm-1");
    let _ = writer.counter("a").owned().unwrap();
    let _ = writer.distribution("b").owned().unwrap();
    // a, b_count, b_sum, and rondo_series_conflicts.
    let limits = |series_max, deadline| MachineLimits { series_max, deadline };
    assert_eq!(
        page_of(bus.path(), &[], &limits(4, None)).unwrap().series_count(),
        4
    );
    assert_eq!(
        page_of(bus.path(), &[], &limits(3, None)),
        Err(MachinesError::TooMany(3))
    );
    assert_eq!(
        page_of(bus.path(), &[], &limits(1, None)),
        Err(MachinesError::TooMany(1))
    );
    let past = Some(Instant::now());
    assert_eq!(
        page_of(bus.path(), &[], &limits(4, past)),
        Err(MachinesError::TooLate)
    );
}
