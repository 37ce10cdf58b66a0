//! `rondo bench`: what a record costs on this machine, by the clock that everyone has; and what a collector costs
//! (`collector`), and what it costs to push what it has (`remote_write`).
//!
//! One thread, `series` writer-held series of all kinds in turn, with the writer's own clock read at
//! each call. A single call is shorter than the timer's own cost, so the latencies include it and the
//! timer alone is reported beside them; the throughput is timed as a whole.

mod collector;
mod first_row;
mod machines;
mod parts;
pub(crate) mod remote_write;
mod report;
mod short_machines;
pub mod synthetic;
mod usage;

pub(crate) use parts::{case, fill_store, machines};
pub use usage::anonymous_bytes;

use crate::commands::cli::{Bench, Format};
use crate::commands::{Outcome, output};
use anyhow::Context;
use rondo_writer::{SchemaConfig, SeriesHandle, Unit, Writer};
use serde::Serialize;
use std::hint::black_box;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

/// `rondo bench`.
///
/// # Errors
/// The slab cannot be created.
pub fn command(args: &Bench) -> anyhow::Result<Outcome> {
    if args.collecting.collector {
        return parts::command(args);
    }
    if args.collecting.remote_write {
        return remote_write::command(args);
    }
    let report = run(&args.dir, args.points, args.series)?;
    let mut out = output::stdout();
    match args.output.format {
        Format::Json => output::write_json(&mut out, &report)?,
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(&mut out);
            csv.serialize(&report)?;
            csv.flush()?;
        }
        Format::Table => report.write(&mut out)?,
    }
    out.flush()?;
    Ok(Outcome::Done)
}

/// What `rondo bench` found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Records in each of the two loops.
    pub points: u64,
    /// Series written in turn.
    pub series: u32,
    /// Median of one call and the timer.
    pub record_p50_ns: u64,
    /// 99 of 100 calls with the timer were not slower.
    pub record_p99_ns: u64,
    /// 999 of 1,000 calls with the timer were not slower.
    pub record_p999_ns: u64,
    /// Median of the timer around nothing.
    pub timer_ns: u64,
    /// 99th percentile of the timer around nothing.
    pub timer_p99_ns: u64,
    /// Calls a second without the timer.
    pub throughput_per_s: u64,
    /// Mean of one call without the timer.
    pub record_mean_ns: f64,
    /// The same with the time passed in.
    pub record_at_mean_ns: f64,
    /// Heap allocations during all of the records.
    pub heap_allocations: u64,
    /// Size of the slab.
    pub slab_bytes: u64,
}

impl Report {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "{} records, {} series, a slab of {} bytes\n",
            self.points, self.series, self.slab_bytes
        )?;
        let timed = [
            ("p50", self.record_p50_ns),
            ("p99", self.record_p99_ns),
            ("p99.9", self.record_p999_ns),
        ];
        for (name, ns) in timed {
            writeln!(
                out,
                "one record, {name:<6} {ns:>6} ns   with the writer's clock, and the timer around it"
            )?;
        }
        writeln!(
            out,
            "the timer, p50     {:>6} ns   around nothing (p99 {} ns)",
            self.timer_ns, self.timer_p99_ns
        )?;
        writeln!(
            out,
            "a record, mean     {:>6.2} ns   with the writer's clock, without the timer",
            self.record_mean_ns
        )?;
        writeln!(
            out,
            "a record, mean     {:>6.2} ns   with the time passed in",
            self.record_at_mean_ns
        )?;
        writeln!(
            out,
            "throughput         {:>6.1} million records/s, one thread",
            self.throughput_per_s as f64 / 1e6
        )?;
        writeln!(out, "heap allocations   {:>6}", self.heap_allocations)
    }
}

/// Whole nanoseconds up to a limit, counted: percentiles without storing ten million numbers.
struct Latencies(Vec<u64>);

impl Latencies {
    fn new() -> Self {
        Self(vec![0; 1 << 16])
    }

    fn add(&mut self, elapsed_ns: u128) {
        let last = self.0.len() - 1;
        self.0[usize::try_from(elapsed_ns).unwrap_or(last).min(last)] += 1;
    }

    /// Least latency that `per_mille` of 1,000 did not exceed.
    fn percentile(&self, per_mille: u64) -> u64 {
        let total: u64 = self.0.iter().sum();
        let rank = (total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        let at = self.0.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        at.unwrap_or(0) as u64
    }
}

/// Runs the benchmark with a slab in `directory`, whose file is removed at once.
///
/// # Errors
/// The slab cannot be created there.
pub fn run(directory: &Path, points: u64, series: u32) -> anyhow::Result<Report> {
    let distributions = series / 5;
    let schema = SchemaConfig::new("bench").capacity(series - distributions, distributions);
    let mut writer = Writer::builder("rondo-bench")
        .schema(schema)
        .bus(directory)
        .create()?;
    let slab_bytes = writer
        .paths()
        .next()
        .and_then(|path| path.metadata().ok())
        .map_or(0, |meta| meta.len());
    // Not needed under its name, and so nothing is left behind whatever ends this process.
    writer.paths().try_for_each(std::fs::remove_file)?;
    let handles = register(&mut writer, series, distributions)?;

    let mut timer = Latencies::new();
    let mut latencies = Latencies::new();
    let (mut seconds, mut seconds_passed_in) = (0.0, 0.0);
    let allocations = allocation_counter::measure(|| {
        for _ in 0..points / 10 {
            let start = Instant::now();
            timer.add(black_box(start).elapsed().as_nanos());
        }
        for (i, handle) in (0..points).zip(handles.iter().cycle()) {
            let start = Instant::now();
            writer.record(black_box(*handle), i as f64, writer.now());
            latencies.add(start.elapsed().as_nanos());
        }
        let start = Instant::now();
        for (i, handle) in (points..2 * points).zip(handles.iter().cycle()) {
            writer.record(black_box(*handle), i as f64, writer.now());
        }
        seconds = start.elapsed().as_secs_f64();
        let (start, now) = (Instant::now(), writer.now());
        for (i, handle) in (2 * points..3 * points).zip(handles.iter().cycle()) {
            writer.record(black_box(*handle), i as f64, black_box(now));
        }
        seconds_passed_in = start.elapsed().as_secs_f64();
    });
    Ok(Report {
        points,
        series,
        record_p50_ns: latencies.percentile(500),
        record_p99_ns: latencies.percentile(990),
        record_p999_ns: latencies.percentile(999),
        timer_ns: timer.percentile(500),
        timer_p99_ns: timer.percentile(990),
        throughput_per_s: (points as f64 / seconds) as u64,
        record_mean_ns: seconds * 1e9 / points as f64,
        record_at_mean_ns: seconds_passed_in * 1e9 / points as f64,
        heap_allocations: allocations.count_total,
        slab_bytes,
    })
}

/// Half gauges, half counters, and a distribution as each fifth.
fn register(writer: &mut Writer, series: u32, distributions: u32) -> anyhow::Result<Vec<SeriesHandle>> {
    (0..series)
        .map(|i| {
            let label = i.to_string();
            let handle = match i {
                i if i % 5 == 4 && i / 5 < distributions => writer
                    .distribution("bench_duration_ns")
                    .unit(Unit::Nanoseconds)
                    .label("n", &label)
                    .held(),
                i if i % 2 == 0 => writer.gauge("bench_value").label("n", &label).held(),
                _ => writer.counter("bench_events_total").label("n", &label).held(),
            };
            handle.context("cannot register the benchmark's series")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_that_was_added() {
        let mut latencies = Latencies::new();
        (1..=1000u128).for_each(|ns| latencies.add(ns));
        latencies.add(u128::MAX);
        assert_eq!((latencies.percentile(500), latencies.percentile(990)), (501, 991));
        assert_eq!(latencies.percentile(1000), (1 << 16) - 1);
    }

    #[test]
    fn records_do_not_allocate_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let report = run(directory.path(), 20_000, 30).unwrap();
        assert_eq!(report.heap_allocations, 0);
        assert!(report.record_p50_ns <= report.record_p99_ns && report.throughput_per_s > 0);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
