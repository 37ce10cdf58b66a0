//! Times rows against each other on a machine that has other things to do.
//!
//! All rows take turns in every repetition, so what disturbs one disturbs its neighbours too, and
//! ratios are taken within a repetition before their median is. Turns are measured in CPU time of the
//! thread, which goes on only while it runs; batches are too short for that, and take the clock on the wall.

use crate::row::{Row, Run};
use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use rondo_host::figures::{median, quantile};
use std::time::{Duration, Instant};

/// Calls that are timed as one, because a single call is shorter than the clock's step.
pub const BATCH: u64 = 64;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Repetitions of everything.
    pub repetitions: usize,
    /// How long each row runs in a repetition.
    pub turn: Duration,
    /// Batches of [`BATCH`] calls of each row in all.
    pub batches: usize,
}

impl Effort {
    /// For the figures that are published.
    pub const FULL: Self = Self {
        repetitions: 31,
        turn: Duration::from_millis(4),
        batches: 6_200,
    };
    /// To see that all rows run.
    pub const QUICK: Self = Self {
        repetitions: 5,
        turn: Duration::from_millis(1),
        batches: 500,
    };
}

/// What a row took.
pub struct Timing {
    /// The row's short name.
    pub name: &'static str,
    /// What a table says.
    pub title: &'static str,
    /// Nanoseconds a call, one value for each repetition.
    pub ns: Vec<f64>,
    /// Nanoseconds a call in each batch, ascending.
    pub batch_ns: Vec<f64>,
}

impl Timing {
    /// The median over the repetitions.
    pub fn median_ns(&self) -> f64 {
        median(self.ns.clone())
    }

    /// The median of the ratios to `other` in the same repetition.
    pub fn ratio_to(&self, other: &Self) -> f64 {
        median(self.ns.iter().zip(&other.ns).map(|(a, b)| a / b).collect())
    }

    /// A quantile of the batches.
    pub fn batch_quantile_ns(&self, q: f64) -> f64 {
        quantile(&self.batch_ns, q)
    }
}

/// CPU nanoseconds of this thread for each of `iterations` calls.
///
/// # Errors
/// The kernel has no such clock.
pub fn cpu_time(run: &mut Run, iterations: u64) -> Result<f64> {
    let before = thread_time()?;
    run(iterations);
    Ok((thread_time()? - before).as_nanos() as f64 / iterations as f64)
}

fn thread_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Nanoseconds a call of `iterations` calls.
pub fn time(run: &mut (impl FnMut(u64) + ?Sized), iterations: u64) -> f64 {
    let start = Instant::now();
    run(iterations);
    start.elapsed().as_nanos() as f64 / iterations as f64
}

/// Calls that take about as long as `turn`.
pub fn calls_for(run: &mut (impl FnMut(u64) + ?Sized), turn: Duration) -> u64 {
    run(1_000);
    let ns = time(run, 1_000).max(0.2);
    ((turn.as_nanos() as f64 / ns) as u64).clamp(BATCH, 50_000_000)
}

/// Times all rows, in turns.
///
/// # Errors
/// A row cannot be set up.
pub fn measure(rows: &[Row], effort: Effort) -> Result<Vec<Timing>> {
    let mut runs = Vec::new();
    for row in rows {
        let mut run = row.make().with_context(|| row.title)?;
        let calls = calls_for(&mut run, effort.turn);
        runs.push((run, calls));
    }
    let mut timings: Vec<_> = rows
        .iter()
        .map(|row| Timing {
            name: row.name,
            title: row.title,
            ns: Vec::new(),
            batch_ns: Vec::new(),
        })
        .collect();
    for _ in 0..effort.repetitions {
        for ((run, calls), timing) in runs.iter_mut().zip(&mut timings) {
            run(*calls / 16); // warms caches that the row before has taken
            timing.ns.push(cpu_time(run, *calls)?);
            for _ in 0..effort.batches / effort.repetitions {
                timing.batch_ns.push(time(run, BATCH));
            }
        }
    }
    for timing in &mut timings {
        timing.batch_ns.sort_by(f64::total_cmp);
    }
    Ok(timings)
}
