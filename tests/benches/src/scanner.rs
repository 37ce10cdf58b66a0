//! What readers cost the writer: one that takes the newest values every millisecond, one that scans
//! the whole slab as often, and one that does so without pause.
//!
//! Writer and reader have a core each, and the writer's time is the CPU time of its thread. Turns in
//! which either had to wait for other programs do not count.

use crate::measure::{Effort, cpu_time};
use crate::rondo::{INTERVAL_NS, START_NS, each, schema};
use crate::row::{Run, round_robin};
use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use rondo_host::figures::median;
use rondo_reader::{Limits, Slab};
use rondo_writer::Writer;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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

/// How long a turn is.
const TURN: Duration = Duration::from_millis(10);

/// How much of a turn the writer must have run, and of its best rate the reader, for the turn to count.
const RUNNING_MIN: f64 = 0.8;

/// One turn.
struct Turn {
    /// What a call took the writer, to what it took in the idle turn before.
    ratio: f64,
    /// How much of the time the writer ran.
    running: f64,
    /// Readings meanwhile, in a millisecond.
    rate: f64,
}

/// Turns of one pace.
#[derive(Default)]
pub struct Turns(Vec<Turn>);

impl Turns {
    fn undisturbed(&self) -> impl Iterator<Item = &Turn> {
        self.0.iter().filter(|turn| turn.running >= RUNNING_MIN)
    }

    /// The best rate of the reader, in readings a millisecond.
    pub fn best_rate(&self) -> f64 {
        self.undisturbed().map(|turn| turn.rate).fold(0.0, f64::max)
    }

    fn counted(&self) -> Vec<f64> {
        let enough = self.best_rate() * RUNNING_MIN;
        let counted = self.undisturbed().filter(|turn| turn.rate >= enough);
        counted.map(|turn| turn.ratio).collect()
    }

    /// Median cost to the writer; not a number if no turn counts.
    pub fn cost_percent(&self) -> f64 {
        let counted = self.counted();
        if counted.is_empty() {
            return f64::NAN;
        }
        (median(counted) - 1.0) * 100.0
    }

    /// How many turns counted, of how many.
    pub fn counts(&self) -> (usize, usize) {
        (self.counted().len(), self.0.len())
    }
}

/// One kind of record while a reader reads.
#[derive(Default)]
pub struct Scanned {
    /// What a table says.
    pub title: &'static str,
    /// Nobody reads, ns a call.
    pub idle_ns: Vec<f64>,
    /// Every millisecond the newest value of each series is read.
    pub latest: Turns,
    /// Every millisecond the whole slab is read.
    pub whole: Turns,
    /// The whole slab is read without pause.
    pub flooded: Turns,
}

/// Times gauges and distributions, 30 of each, while the slab is read whole.
///
/// # Errors
/// The slab cannot be made or read.
pub fn measure(effort: Effort) -> Result<Vec<Scanned>> {
    let turns = effort.repetitions * 8;
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
    let readings = Arc::new(AtomicU64::new(0));
    let cores = sched_getaffinity(Pid::from_raw(0))?;
    let thread = std::thread::spawn({
        let (pace, readings) = (pace.clone(), readings.clone());
        move || scan(&path, &pace, &readings)
    });
    pin(0)?;
    let mut result = Scanned {
        title,
        ..Scanned::default()
    };
    let calls = crate::measure::calls_for(&mut run, TURN);
    for _ in 0..turns {
        let paces = [&mut result.latest, &mut result.whole, &mut result.flooded];
        for (turns, number) in paces.into_iter().zip(1..) {
            pace.store(0, Ordering::Relaxed);
            run(calls / 8);
            let idle_ns = cpu_time(&mut run, calls)?;
            result.idle_ns.push(idle_ns);
            pace.store(number, Ordering::Relaxed);
            run(calls / 4);
            let (start, before) = (Instant::now(), readings.load(Ordering::Relaxed));
            let ns = cpu_time(&mut run, calls)?;
            let done = readings.load(Ordering::Relaxed) - before;
            let wall_ns = start.elapsed().as_nanos() as f64;
            turns.0.push(Turn {
                ratio: ns / idle_ns,
                running: ns * calls as f64 / wall_ns,
                rate: done as f64 / wall_ns * 1e6,
            });
        }
    }
    pace.store(4, Ordering::Relaxed);
    thread
        .join()
        .map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    sched_setaffinity(Pid::from_raw(0), &cores)?;
    Ok(result)
}

/// Keeps this thread on the n-th of the cores that it may use.
fn pin(n: usize) -> Result<()> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let mut cores = (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false));
    let core = cores.nth(n).context("two cores are needed")?;
    let mut only = CpuSet::new();
    only.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &only)?)
}

/// Reads values of all series, as often as `pace` says, and counts.
fn scan(path: &Path, pace: &AtomicU64, readings: &AtomicU64) -> Result<()> {
    let slab = Slab::open(path, &Limits::default())?;
    pin(1)?;
    loop {
        let pace = PACES[pace.load(Ordering::Relaxed) as usize % PACES.len()];
        match pace {
            Pace::Over => return Ok(()),
            Pace::Idle => {}
            Pace::LatestEveryMillisecond => {
                let view = slab.view()?;
                for series in slab.series() {
                    black_box(slab.latest(series, &view)?);
                }
            }
            Pace::EveryMillisecond | Pace::WithoutPause => {
                let view = slab.view()?;
                let mut found = 0_u64;
                slab.scan(&view, 0, u64::MAX, |_, _| found += 1)?;
                anyhow::ensure!(black_box(found) > 0, "the scan found nothing");
            }
        }
        if pace != Pace::WithoutPause {
            std::thread::sleep(Duration::from_millis(1));
        }
        readings.fetch_add(1, Ordering::Relaxed);
    }
}
