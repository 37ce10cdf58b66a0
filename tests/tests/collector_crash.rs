//! SIGKILL of the collector at any moment: every row is stored, once, whoever stores it.
//!
//! Machines of simulated time come and go while a collector that never rests is killed and started again. After the
//! last start has caught up, every tier of every machine has to be what the values alone give.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::store::Archives;
use rondo_tests::killing::{Killing, Over};
use rondo_tests::simulation::{GUIDE, Host, S, START, assert_tiers, schema, stored, world};
use std::process::{Command, Stdio};
use std::time::Duration;

const BUDGET: u64 = 64 << 20;

#[test]
fn no_row_is_lost_or_stored_twice_when_the_collector_is_killed() {
    let host = Host::new();
    let killing = Killing {
        kills: 200,
        life_max: Duration::from_millis(120),
        second: Duration::from_millis(1),
    };
    let collect = || {
        Command::new(env!("CARGO_BIN_EXE_fast_collector"))
            .args([host.bus.path(), host.store.path()])
            .arg(BUDGET.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let (machines, mut collector) = killing.run(&host, &schema(&GUIDE), collect);
    collector.kill().unwrap();
    collector.wait().unwrap();

    let archives = Archives::open_read_only(host.store.path()).unwrap();
    for Over { instance, seconds } in &machines {
        assert_tiers(&archives, instance, 0..*seconds, &GUIDE);
        // As many as the slab held when the machine ended. If it was idle when the ring's oldest slot was written, what a
        // counter was then is known from the next slot on only.
        let held = seconds.saturating_sub(600)..*seconds;
        let is_known = |second: &u64| held.start == 0 || (held.start..=*second).any(world::is_busy);
        let known = held.clone().filter(is_known);
        let expected: Vec<(u64, u64)> = known
            .map(|second| (START + second * S, world::counter(second)))
            .collect();
        let points = stored(&archives, instance, 0, "counter_total");
        let points: Vec<(u64, u64)> = points
            .into_iter()
            .filter_map(|(t, point)| Some((t, point.total?)))
            .collect();
        assert_eq!(points, expected, "{instance} in tier 0");
    }
}
