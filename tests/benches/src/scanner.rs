//! What readers cost the writer: one that takes the newest values every millisecond, one that scans
//! the whole slab as often, and one that does so without pause.
//!
//! The writer's time is the CPU time of its thread: a reader that the kernel puts on the writer's core
//! is not what this is about.

use crate::measure::{Effort, median};
use crate::rondo::{INTERVAL_NS, START_NS, each, schema};
use crate::row::{Run, round_robin};
use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use rondo_reader::{Limits, Slab};
use rondo_writer::Writer;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How the other thread reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Idle,
    LatestEveryMillisecond,
    EveryMillisecond,
    WithoutPause,
    Over,
}

const PACES: [Pace; 5] = [
    Pace::Idle,
    Pace::LatestEveryMillisecond,
    Pace::EveryMillisecond,
    Pace::WithoutPause,
    Pace::Over,
];

/// One kind of record while a reader scans.
pub struct Scanned {
    /// What a table says.
    pub title: &'static str,
    /// Nobody reads, ns a call.
    pub idle_ns: Vec<f64>,
    /// Every millisecond the newest value of each series is read.
    pub latest_ns: Vec<f64>,
    /// Every millisecond the whole slab is read.
    pub paced_ns: Vec<f64>,
    /// The whole slab is read without pause.
    pub flooded_ns: Vec<f64>,
    /// Readings that were made in all.
    pub scan_count: u64,
}

impl Scanned {
    /// Median of `with` above the same of `idle_ns`, in percent, over neighbouring turns.
    pub fn cost_percent(&self, with: &[f64]) -> f64 {
        let pairs = with.iter().zip(&self.idle_ns);
        median(
            pairs
                .map(|(with, without)| (with / without - 1.0) * 100.0)
                .collect(),
        )
    }
}

/// Times gauges and distributions, 30 of each, while the slab is read whole.
///
/// # Errors
/// The slab cannot be made or read.
pub fn measure(effort: Effort) -> Result<Vec<Scanned>> {
    let turns = effort.repetitions * 2;
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let make = |kind: &str| {
        Writer::builder(kind)
            .schema(schema())
            .bus(directory.path())
            .simulated_time(START_NS)
            .create()
    };
    let mut writer = make("gauges")?;
    let mut gauges = each(|i| writer.gauge("g").label("i", i).owned())?;
    // A ring that has been round: the scan finds a value in every slot.
    for tick in 0..600 {
        for gauge in &mut gauges {
            gauge.set_at(START_NS + tick * INTERVAL_NS, 1.0);
        }
    }
    let now = START_NS + 599 * INTERVAL_NS;
    let run = round_robin(gauges, move |gauge, i| gauge.set_at(now, f64::from_bits(i)));
    let of_gauges = watch("30 gauges", &writer, run, turns)?;

    let mut writer = make("distributions")?;
    let mut distributions = each(|i| writer.distribution("d").label("i", i).owned())?;
    for tick in 0..600 {
        for distribution in &mut distributions {
            distribution.record_at(START_NS + tick * INTERVAL_NS, 1.0);
        }
    }
    let run = round_robin(distributions, move |distribution, i| {
        distribution.record_at(now, i as f64);
    });
    Ok(vec![of_gauges, watch("30 distributions", &writer, run, turns)?])
}

fn watch(title: &'static str, writer: &Writer, mut run: Run, turns: usize) -> Result<Scanned> {
    let path = writer.paths().next().context("the slab has no file")?.to_owned();
    let pace = Arc::new(AtomicU64::new(0));
    let thread = std::thread::spawn({
        let pace = pace.clone();
        move || scan(&path, &pace)
    });
    let mut result = Scanned {
        title,
        idle_ns: Vec::new(),
        latest_ns: Vec::new(),
        paced_ns: Vec::new(),
        flooded_ns: Vec::new(),
        scan_count: 0,
    };
    let turn = Duration::from_millis(12);
    let calls = crate::measure::calls_for(&mut run, turn);
    for _ in 0..turns {
        let results = [
            &mut result.idle_ns,
            &mut result.latest_ns,
            &mut result.paced_ns,
            &mut result.flooded_ns,
        ];
        for (number, ns) in results.into_iter().enumerate() {
            pace.store(number as u64, Ordering::Relaxed);
            run(calls / 4);
            let before = thread_time()?;
            run(calls);
            let took = thread_time()? - before;
            ns.push(took.as_nanos() as f64 / calls as f64);
        }
    }
    pace.store(4, Ordering::Relaxed);
    result.scan_count = thread
        .join()
        .map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    Ok(result)
}

/// CPU time of this thread.
fn thread_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Reads values of all series, as often as `pace` says; returns how often that was.
fn scan(path: &Path, pace: &AtomicU64) -> Result<u64> {
    let slab = Slab::open(path, &Limits::default())?;
    let mut scan_count = 0;
    loop {
        let pace = PACES[pace.load(Ordering::Relaxed) as usize % PACES.len()];
        match pace {
            Pace::Over => return Ok(scan_count),
            Pace::Idle => std::thread::sleep(Duration::from_millis(1)),
            Pace::LatestEveryMillisecond => {
                let view = slab.view()?;
                for series in slab.series() {
                    std::hint::black_box(slab.latest(series, &view)?);
                }
                scan_count += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            Pace::EveryMillisecond | Pace::WithoutPause => {
                let view = slab.view()?;
                let mut found = 0_u64;
                slab.scan(&view, 0, u64::MAX, |_, _| found += 1)?;
                anyhow::ensure!(std::hint::black_box(found) > 0, "the scan found nothing");
                scan_count += 1;
                if pace == Pace::EveryMillisecond {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }
}
