//! A collector that never rests and pushes to a server, to be killed at any moment.
//!
//! Arguments: bus, store, budget in bytes, URL. Prints a line at the end of each pass in which a slab was removed.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

use rondo_collector::collector::{Collector, CollectorSettings};
use rondo_collector::export::remote_write::Sender;
use rondo_collector::store::ArchiveSettings;
use rondo_reader::Limits;
use rondo_tests::export::destination;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, bus, store, budget, url] = &arguments[..] else {
        panic!("bus, store, budget, URL");
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
    let journals = settings.store.join("export");
    let collector = Collector::open(settings, Instant::now()).unwrap();
    let collector = Arc::new(RwLock::new(collector));
    let mut destination = destination(url);
    // Many requests, so that many are under way when it is killed.
    destination.batch_samples = 20;
    let sender = Sender::start(Arc::new(destination), &journals, collector.clone(), None);
    loop {
        let report = collector.write().unwrap().pass(Instant::now(), true);
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        if report.unlinked > 0 {
            println!("{}", report.unlinked);
        }
        sender.wake();
        std::thread::sleep(Duration::from_millis(1));
    }
}
