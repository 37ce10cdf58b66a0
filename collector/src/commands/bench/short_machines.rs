//! What a machine of 45 seconds leaves: bytes in the store, and the time that it takes to put them there.

use super::collector::{fails, settings, written};
use super::machines::{Machine, SERIES};
use super::synthetic::{SECOND_NS, START_NS};
use super::usage::process_cpu;
use crate::collector::Collector;
use crate::store::ArchiveSettings;
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MACHINES: u32 = 500;
const SECONDS: u64 = 45;

/// What was found, for each machine unless it says otherwise.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ShortMachines {
    pub(crate) machines: u32,
    pub(crate) seconds: u64,
    /// From its end to rows on disk.
    pub(crate) cpu_us: f64,
    pub(crate) written_bytes: f64,
    /// Rows of all tiers times series.
    pub(crate) stored_points: f64,
    pub(crate) bytes_per_stored_point: f64,
    /// A sample is one series' second.
    pub(crate) bytes_per_sample: f64,
}

/// Measures, in simulated time.
pub(crate) fn measure(bus: &Path, store: &Path, stop: &AtomicBool) -> anyhow::Result<ShortMachines> {
    let archives = ArchiveSettings {
        budget_bytes: 256 << 20,
        ..ArchiveSettings::default()
    };
    let now = Instant::now();
    let mut collector = Collector::open(settings(bus, store, archives), now)?;
    for number in 0..MACHINES {
        anyhow::ensure!(!stop.load(Ordering::Relaxed), "stopped");
        let mut machine = Machine::create(bus, number, Some(START_NS))?;
        (0..SECONDS).for_each(|second| machine.live_at(START_NS + second * SECOND_NS));
        machine.writer.close();
    }
    let begin = process_cpu();
    fails(collector.pass(now, true))?;
    // Rows of ended machines are made durable when their slabs may go.
    let report = collector.pass(now + Duration::from_secs(60), false);
    let removed = report.unlinked;
    fails(report)?;
    let cpu = process_cpu() - begin;
    anyhow::ensure!(
        removed == MACHINES as usize,
        "{removed} slabs were removed of {MACHINES}"
    );
    let usage = collector.archives().usage();
    let (bytes, points) = (
        written(&collector),
        usage.iter().map(|usage| usage.points).sum::<u64>(),
    );
    let each = |all: u64| all as f64 / f64::from(MACHINES);
    Ok(ShortMachines {
        machines: MACHINES,
        seconds: SECONDS,
        cpu_us: each(cpu.as_nanos() as u64) / 1e3,
        written_bytes: each(bytes),
        stored_points: each(points),
        bytes_per_stored_point: bytes as f64 / points as f64,
        bytes_per_sample: each(bytes) / (SECONDS * SERIES as u64) as f64,
    })
}
