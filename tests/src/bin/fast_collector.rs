//! A collector that never rests: `rondo collect` without its clock, to be killed at any moment.
//!
//! Arguments: bus, store, budget in bytes. Prints a line at the end of each pass in which a slab was removed.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

use rondo_collector::collector::{Collector, CollectorSettings};
use rondo_collector::store::ArchiveSettings;
use rondo_reader::Limits;
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, bus, store, budget] = &arguments[..] else {
        panic!("bus, store, budget");
    };
    let settings = CollectorSettings {
        bus: bus.into(),
        store: store.into(),
        archives: ArchiveSettings {
            budget_bytes: budget.parse().unwrap(),
            extent_bytes: 64 << 10,
        },
        keep: Duration::ZERO,
        limits: Limits::default(),
    };
    let mut collector = Collector::open(settings, Instant::now()).unwrap();
    loop {
        let report = collector.pass(Instant::now(), true);
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        if report.unlinked > 0 {
            println!("{}", report.unlinked);
        }
    }
}
