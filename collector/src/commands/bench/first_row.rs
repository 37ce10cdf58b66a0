//! How long a new slab takes to be readable: from before it is created, on a bus with a thousand others, to a query that
//! returns its first row.
//!
//! Its time is simulated, so that there is a row at once. A daemon learns of the slab from the kernel within a
//! few milliseconds more, unless slabs come in crowds.

use super::collector::{fails, ms, quantile, settings};
use super::machines::{Machine, Machines};
use super::synthetic::{SECOND_NS, START_NS};
use crate::collector::Collector;
use crate::query::{Plan, Request};
use crate::selector::Selector;
use crate::store::ArchiveSettings;
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Slabs that are there already.
const LIVE: u32 = 1_000;

/// New ones, one after the other.
const NEW: u32 = 50;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FirstRow {
    pub(crate) live_slabs: u32,
    pub(crate) median_ms: f64,
    pub(crate) max_ms: f64,
}

/// Measures.
pub(crate) fn measure(bus: &Path, store: &Path, stop: &AtomicBool) -> anyhow::Result<FirstRow> {
    let archives = ArchiveSettings {
        budget_bytes: 64 << 20,
        ..ArchiveSettings::default()
    };
    let mut collector = Collector::open(settings(bus, store, archives), Instant::now())?;
    let _machines = Machines::start(bus, LIVE)?;
    fails(collector.pass(Instant::now(), true))?;
    let mut took = Vec::new();
    let mut new = Vec::new();
    for number in LIVE..LIVE + NEW {
        anyhow::ensure!(!stop.load(Ordering::Relaxed), "stopped");
        let begin = Instant::now();
        let mut machine = Machine::create(bus, number, Some(START_NS))?;
        machine.live_at(START_NS);
        machine.live_at(START_NS + SECOND_NS);
        fails(collector.discover())?;
        let instance = format!("vm-{number:06}");
        let selector: Selector = format!("vmm_gauge_number_1{{instance=\"{instance}\"}}").parse()?;
        let live = collector.live(|source| source.instance == instance);
        let answer = Plan::new(&live, collector.archives(), Request::new(selector))?.answer();
        took.push(ms(begin.elapsed()));
        let points: Vec<u64> = answer
            .series
            .iter()
            .flat_map(|series| series.points.iter().map(|point| point.t))
            .collect();
        anyhow::ensure!(
            points.contains(&START_NS),
            "the row of a new slab was not found: {points:?}"
        );
        new.push(machine);
    }
    Ok(FirstRow {
        live_slabs: LIVE,
        median_ms: quantile(&took, 0.5),
        max_ms: quantile(&took, 1.0),
    })
}
