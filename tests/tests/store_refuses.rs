//! Disks that are too small, and disks that fail while machines come and go.
//!
//! Both need a process of their own: one has a tmpfs that nobody else sees, the other a limit on the size of files, behind
//! which every write fails with EFBIG, the one before it in the middle.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rondo_collector::collector::{Collector, CollectorSettings};
use rondo_collector::store::{ArchiveSettings, Archives, StoreError};
use rondo_tests::simulation::{GUIDE, Host, Machine, assert_tiers, pass, schema, stored};
use rondo_tests::skip::skip;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const CHILD: &str = "RONDO_TEST_CHILD";

/// Where the child of a test is to work, if this process is one.
fn told() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Runs a test as the child of itself, by a shell script that ends with `exec "$@"`.
fn child(name: &str, script: &str, directory: &Path, around: &[&str]) -> std::io::Result<Output> {
    let program = std::env::current_exe()?;
    let words = around.iter().copied().chain(["sh", "-c", script, "sh"]);
    let mut words = words.map(std::ffi::OsString::from);
    let mut command = Command::new(words.next().unwrap_or_default());
    command
        .args(words)
        .arg(program)
        .args(["--exact", name, "--nocapture"]);
    command.env(CHILD, directory).output()
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes))
        .concat()
}

fn archives_of(budget_bytes: u64) -> ArchiveSettings {
    ArchiveSettings {
        budget_bytes,
        extent_bytes: 64 << 10,
    }
}

/// Space runs out when the store is made, or never: then the message says what to do, and nothing is left behind that would have
/// to be tidied up first.
#[test]
fn a_store_that_does_not_fit_is_refused_at_the_start_and_leaves_nothing() {
    const NAME: &str = "a_store_that_does_not_fit_is_refused_at_the_start_and_leaves_nothing";
    if let Some(directory) = told() {
        return on_a_small_disk(&directory);
    }
    let directory = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs -o size=6m rondo \"${CHILD}\" || exit 77; exec \"$@\"");
    let around = ["unshare", "--mount", "--propagation", "private"];
    let Ok(output) = child(NAME, &script, directory.path(), &around) else {
        return skip(NAME, "no unshare");
    };
    let text = text(&output);
    if output.status.code() == Some(77) || text.contains("unshare: ") {
        return skip(NAME, text.trim());
    }
    assert!(output.status.success() && text.contains("it fits now"), "{text}");
}

fn on_a_small_disk(disk: &Path) {
    let store = disk.join("store");
    // The first file fits, the second does not.
    let Err(error) = Archives::open(&store, &archives_of(9 << 20)) else {
        panic!("9 MiB on 6");
    };
    let said = error.to_string();
    let StoreError::NoRoom {
        needed_bytes,
        free_bytes,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(needed_bytes, 9 << 20);
    assert!((5 << 20..=6 << 20).contains(&free_bytes), "{free_bytes}");
    assert!(said.contains("9437184") && said.contains("make room"), "{said}");
    let left: Vec<_> = std::fs::read_dir(&store)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert!(left.iter().all(|name| name == "store.lock"), "{left:?}");

    let remount = |size: &str| {
        let options = format!("remount,size={size}");
        let status = Command::new("mount").args(["-o", &options]).arg(disk).status();
        assert!(status.unwrap().success());
    };
    remount("10m");
    let host = Host::new();
    let settings = |budget_bytes| CollectorSettings {
        store: store.clone(),
        archives: archives_of(budget_bytes),
        ..host.settings()
    };
    let mut collector = Collector::open(settings(9 << 20), host.start).unwrap();
    let mut machine = Machine::start(&host, "vm", schema(&GUIDE));
    machine.live_and_pass(0..45, &host, &mut collector);
    drop(machine);
    pass(&mut collector, host.at(45));
    collector.finish(host.at(46));
    drop(collector);
    // Nor does a larger budget than there is room for harm what is there.
    let Err(error) = Archives::open(&store, &archives_of(20 << 20)) else {
        panic!("20 MiB on 10");
    };
    assert!(matches!(error, StoreError::NoRoom { .. }), "{error}");
    let archives = Archives::open(&store, &archives_of(9 << 20)).unwrap();
    assert_tiers(&archives, "vm", 0..45, &GUIDE);
    println!("it fits now");
}

/// What the disk refuses is tried again until it takes it; nothing leaves its slab before that, and in the end each row is
/// there once.
#[test]
fn a_disk_that_fails_for_a_while_loses_nothing() {
    const NAME: &str = "a_disk_that_fails_for_a_while_loses_nothing";
    if let Some(directory) = told() {
        return on_a_failing_disk(&directory);
    }
    let directory = tempfile::tempdir().unwrap();
    // Else the signal would end it before EFBIG is returned.
    let output = child(NAME, "trap '' XFSZ; exec \"$@\"", directory.path(), &[]).unwrap();
    let text = text(&output);
    assert!(output.status.success() && text.contains("all is there"), "{text}");
}

/// From now on writes to files fail from this byte on. Returns what it was.
fn limit_files(bytes: u64) -> u64 {
    let (before, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, bytes.min(hard), hard).unwrap();
    before
}

fn on_a_failing_disk(store: &Path) {
    let host = Host::new();
    let settings = CollectorSettings {
        store: store.to_owned(),
        archives: archives_of(4 << 20),
        keep: Duration::ZERO,
        ..host.settings()
    };
    let open = || Collector::open(settings.clone(), host.start).unwrap();
    let on_bus = || std::fs::read_dir(host.bus.path()).unwrap().count();
    let mut collector = open();
    let mut long = Machine::start(&host, "long", schema(&GUIDE));
    let mut short: Vec<(u64, Machine)> = Vec::new();
    let (mut numbers, mut most_waiting, mut most_bytes) = (0, 0, 0);
    for second in 0..1_400 {
        long.live(second);
        // One of 45 seconds every 10 seconds, by its own clock.
        if second % 10 == 0 && second < 1_300 {
            // The bus is another disk, but the same limit.
            let limit = limit_files(u64::MAX);
            let machine = Machine::start(&host, &format!("vm-{numbers}"), schema(&GUIDE));
            limit_files(limit);
            short.push((second, machine));
            numbers += 1;
        }
        short
            .iter_mut()
            .for_each(|(start, machine)| machine.live(second - *start));
        short.retain(|(start, _)| second - *start < 44);
        match second {
            // In the middle of a frame, wherever that is by now; and later, everywhere.
            100 => _ = limit_files(21_000),
            500 | 1_100 => _ = limit_files(u64::MAX),
            700 => _ = limit_files(0),
            // Another collector finds what this one had in memory where it was.
            900 => {
                drop(collector);
                limit_files(u64::MAX);
                collector = open();
                limit_files(0);
            }
            _ => {}
        }
        let report = collector.pass(host.at(second), true);
        let is_failing = (100..500).contains(&second) || (700..1_100).contains(&second);
        let (live, waiting) = (short.len() + 1, on_bus() - short.len() - 1);
        if is_failing && waiting > 0 && second % 100 > 60 {
            assert!(!report.errors.is_empty(), "nothing was said in second {second}");
            let said = format!("{:#}", report.errors[0]);
            assert!(
                said.contains("archive") && said.contains("File too large"),
                "{said}"
            );
        }
        if !is_failing {
            assert!(report.errors.is_empty(), "second {second}: {:?}", report.errors);
            // Those that waited in their slabs are stored by the pass after the first that worked, and one that ended just now
            // may be noticed in the next.
            let is_over = ![500, 501, 1_100, 1_101].contains(&second);
            assert!(
                !is_over || on_bus() <= live + 3,
                "{} files in second {second}",
                on_bus()
            );
        }
        most_waiting = most_waiting.max(waiting);
        let rows_bytes: usize = collector.slabs().map(|(_, tracked)| tracked.memory_bytes()).sum();
        most_bytes = most_bytes.max(rows_bytes);
    }
    // Four hundred seconds of machines waited on the bus.
    assert!(most_waiting >= 35, "{most_waiting}");
    // In their slabs: as rows in memory they would take three times as much, and no end of it.
    assert!(most_bytes < 48 << 10, "{most_bytes} bytes of rows in memory");
    drop(long);
    for second in 1_400..1_403 {
        pass(&mut collector, host.at(second));
    }
    assert_eq!(on_bus(), 0);
    all_is_there(collector.archives(), numbers);
    drop(collector);
    all_is_there(open().archives(), numbers);
    println!("all is there");
}

fn all_is_there(archives: &Archives, numbers: u64) {
    assert_tiers(archives, "long", 0..1_400, &GUIDE);
    for number in 0..numbers {
        let instance = format!("vm-{number}");
        assert_tiers(archives, &instance, 0..45, &GUIDE);
        assert_eq!(stored(archives, &instance, 0, "counter_total").len(), 45);
    }
}
