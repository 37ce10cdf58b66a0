//! `rondo collect` as a process that is stopped, held up and started twice, while machines go on.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use nix::sys::signal::Signal;
use rondo_collector::store::Archives;
use rondo_tests::collect::Collect;
use rondo_tests::recorded::find_slab;
use rondo_tests::simulation::{
    GUIDE, Host, Machine, S, START, assert_tiers, expected_rows, schema, stored, world,
};
use rondo_tests::wait::wait_until;
use std::time::Duration;

/// Whether it will collect is to be seen.
fn try_start(host: &Host) -> Collect {
    let binary = env!("CARGO_BIN_EXE_rondo_collect");
    let quiet = ["--listen", "none", "--keep", "0s"];
    Collect::start(binary, host.bus.path(), host.store.path(), &quiet)
}

fn start(host: &Host) -> Collect {
    let mut collector = try_start(host);
    collector.wait_until_it_collects();
    collector
}

/// Seconds of many machines, as fast as a machine that has other things to do as well makes them.
fn live(machines: &mut [Machine], seconds: std::ops::Range<u64>) {
    for second in seconds {
        machines.iter_mut().for_each(|machine| machine.live(second));
        std::thread::sleep(Duration::from_millis(4));
    }
}

/// Whatever is complete when the signal comes is in the store when the process is gone; the next one takes up the rest.
#[test]
fn sigterm_under_load_stores_everything_that_is_complete() {
    const MACHINES: usize = 40;
    let host = Host::new();
    let mut machines: Vec<Machine> = (0..MACHINES)
        .map(|number| Machine::start(&host, &format!("vm-{number}"), schema(&GUIDE)))
        .collect();
    let mut now = 0;
    for seconds in [95, 310, 7, 240] {
        let mut collector = start(&host);
        live(&mut machines, now..now + seconds);
        now += seconds;
        collector.send(Signal::SIGTERM);
        // It is still busy with what was there.
        live(&mut machines, now..now + 5);
        assert_eq!(collector.end(), Some(0));
        let archives = Archives::open_read_only(host.store.path()).unwrap();
        for number in 0..MACHINES {
            let rows = stored(&archives, &format!("vm-{number}"), 1, "gauge");
            for (window, row) in expected_rows("gauge", 0..(now - 1) / 10 * 10, 10) {
                assert_eq!(rows.get(&window), Some(&row), "vm-{number}, at {now}");
            }
        }
        now += 5;
        live(&mut machines, now..now + 30);
        now += 30;
    }
    drop(machines);
    let mut collector = try_start(&host);
    wait_until("slabs are left", || {
        std::fs::read_dir(host.bus.path())
            .unwrap()
            .all(|file| !file.unwrap().file_name().to_string_lossy().ends_with(".slab"))
    });
    collector.stop();
    let archives = Archives::open_read_only(host.store.path()).unwrap();
    for number in 0..MACHINES {
        assert_tiers(&archives, &format!("vm-{number}"), 0..now, &GUIDE);
    }
}

/// Held up for less than a slab holds, it loses nothing; for longer, the gap is as long as what was overwritten.
#[test]
fn a_collector_that_is_held_up_loses_what_left_the_ring_and_nothing_else() {
    let host = Host::new();
    let mut machines = vec![Machine::start(&host, "vm", schema(&GUIDE))];
    let mut collector = start(&host);
    let is_stored = |window: u64| {
        let archives = Archives::open_read_only(host.store.path()).unwrap();
        stored(&archives, "vm", 1, "gauge").contains_key(&(START + window * S))
    };
    let mut now = 0;
    let mut gaps = Vec::new();
    for held_up in [450, 1_000] {
        live(&mut machines, now..now + 100);
        now += 100;
        collector.stop();
        assert!(is_stored((now - 1) / 10 * 10 - 10));
        collector = start(&host);
        std::thread::sleep(Duration::from_millis(1_500));
        collector.send(Signal::SIGSTOP);
        (now..now + held_up).for_each(|second| machines[0].live(second));
        if held_up > 600 {
            // From where the last one stored to what the ring still has.
            gaps.push((now - 1) / 10 * 10..now + held_up - 600);
        }
        now += held_up;
        collector.send(Signal::SIGCONT);
        std::thread::sleep(Duration::from_millis(2_500));
    }
    drop(machines);
    wait_until("the slab is left", || find_slab(host.bus.path()).is_none());
    collector.stop();
    let archives = Archives::open_read_only(host.store.path()).unwrap();
    let mut expected = expected_rows("gauge", 0..gaps[0].start, 10);
    expected.extend(expected_rows("gauge", gaps[0].end..now, 10));
    assert_eq!(stored(&archives, "vm", 1, "gauge"), expected);
    let totals = stored(&archives, "vm", 2, "counter_total");
    assert_eq!(
        totals.values().next_back().unwrap().total,
        Some(world::counter(now - 1))
    );
}

/// Two writers of one store would overwrite each other's rows.
#[test]
fn a_second_collector_of_one_store_is_told_who_has_it() {
    let host = Host::new();
    let mut first = start(&host);
    let other = Host {
        bus: tempfile::tempdir_in("/dev/shm").unwrap(),
        ..host
    };
    let mut second = try_start(&other);
    let pid = first.id();
    let mut said = second.line();
    while !said.contains("another process") {
        assert_ne!(said, "", "it said nothing");
        said = second.line();
    }
    assert!(
        said.contains(&format!("another process (pid {pid}) has the store")),
        "{said}"
    );
    assert_eq!(second.end(), Some(2));
    // Killed, it leaves the store to whoever comes next.
    first.kill();
    let mut third = start(&other);
    third.stop();
}
