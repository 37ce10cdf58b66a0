//! A collector that never rests: `rondo collect` without its clock, to be killed at any moment.
//!
//! Arguments: bus, store, budget in bytes, and a URL to push to, if any. Prints a line at the end of each pass in which a slab was
//! removed.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

use rondo_collector::collector::{Collector, CollectorSettings};
use rondo_collector::export::remote_write::{Destination, Sender};
use rondo_collector::store::ArchiveSettings;
use rondo_reader::Limits;
use rondo_tests::export::destination;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, bus, store, budget, urls @ ..] = &arguments[..] else {
        panic!("bus, store, budget, and perhaps a URL");
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
    let sender = urls.first().map(|url| {
        let destination = Destination {
            // Many requests, so that many are under way when it is killed.
            batch_samples: 20,
            ..destination(url)
        };
        Sender::start(Arc::new(destination), &journals, collector.clone(), None)
    });
    loop {
        let report = collector.write().unwrap().pass(Instant::now(), true);
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        if report.unlinked > 0 {
            println!("{}", report.unlinked);
        }
        if let Some(sender) = &sender {
            sender.wake();
            // It has to have the collector to itself now and then.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
