//! One measurement of `rondo bench --collector`: a collector over machines that record in real time.
//!
//! Passes are made as `rondo collect` makes them: a little after each second, with a look at the directory every ten
//! seconds. The process does nothing else, so its memory and its CPU time are the collector's.

use super::machines::{Machines, SERIES};
use super::synthetic::SECOND_NS;
use super::usage::{anonymous_bytes, process_cpu, thread_cpu};
use crate::collect::pace::Pace;
use crate::collector::{Collector, CollectorSettings};
use crate::commands::cli::BenchCase;
use crate::query::{Plan, Request, Tier};
use crate::selector::Selector;
use crate::store::ArchiveSettings;
use anyhow::Context;
use rondo_reader::Limits;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// The first passes are not counted: slabs are touched for the first time, and their windows are of the time before.
const WARM_UP_PASSES: u64 = 12;

/// Passes from one look at the directory to the next.
const RESCAN_PASSES: u64 = 10;

/// Looks at the directory beside those of passes.
const RESCANS: u32 = 9;

/// What a measurement found. CPU time is that of user mode and kernel together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) machines: u32,
    pub(crate) series: u64,
    pub(crate) passes: u64,
    /// Seconds without a pass, since one took too long or the process did not run.
    pub(crate) missed_passes: u64,
    pub(crate) pass_cpu_median_ms: f64,
    pub(crate) pass_cpu_p99_ms: f64,
    pub(crate) pass_cpu_max_ms: f64,
    /// By the wall clock, whatever else the machine did.
    pub(crate) pass_median_ms: f64,
    pub(crate) pass_max_ms: f64,
    /// CPU time of the whole process, writing and fdatasync included, as a share of one core.
    pub(crate) core_share: f64,
    /// Points read from slabs.
    pub(crate) samples: u64,
    pub(crate) sample_cpu_ns: f64,
    /// Intervals overwritten before they were read; torn slots.
    pub(crate) lost: u64,
    pub(crate) torn: u64,
    pub(crate) anonymous_bytes: u64,
    pub(crate) anonymous_bytes_per_series: f64,
    /// CPU time of letting in all slabs at once, for each.
    pub(crate) attach_cpu_us: f64,
    /// The first pass reads what machines recorded before.
    pub(crate) first_pass_cpu_us: f64,
    /// CPU time of one look at the directory, when nothing came or went.
    pub(crate) rescan_cpu_ms: f64,
    /// Written to the store while it was measured.
    pub(crate) written_bytes: u64,
    /// CPU time for each machine if all end at once.
    pub(crate) end_cpu_us: f64,
    pub(crate) full_store: Option<FullStore>,
}

/// What a full store costs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FullStore {
    pub(crate) bytes: u64,
    pub(crate) open_ms: f64,
    pub(crate) read_points: u64,
    /// One series over the newest 7 days.
    pub(crate) read_ms: f64,
}

/// Measures. A signal that sets `stop` ends it early.
pub(crate) fn measure(args: &BenchCase, bus: &Path, store: &Path, stop: &AtomicBool) -> anyhow::Result<Case> {
    let begin = Instant::now();
    let mut collector = Collector::open(settings(bus, store, ArchiveSettings::default()), begin)?;
    let open_ms = ms(begin.elapsed());
    let full_store = args
        .collecting
        .full_store
        .then(|| read_a_week(&collector, open_ms));
    let full_store = full_store.transpose()?;

    let machines = Machines::start(bus, args.machines)?;
    let begin = thread_cpu();
    fails(collector.discover())?;
    let attach = thread_cpu() - begin;

    let mut measured = Measured::default();
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let mut pace = Pace::aligned(Instant::now(), wall);
    let mut start = Start::of(&collector);
    let mut first_pass = Duration::ZERO;
    let mut last = Instant::now();
    for pass in 0..WARM_UP_PASSES + args.collecting.seconds {
        while !pace.is_due(Instant::now()) {
            anyhow::ensure!(!stop.load(Ordering::Relaxed), "stopped");
            std::thread::sleep(pace.next().saturating_duration_since(Instant::now()));
        }
        let (began, cpu) = (Instant::now(), thread_cpu());
        fails(collector.pass(began, pass % RESCAN_PASSES == 0))?;
        let (cpu, took) = (thread_cpu() - cpu, began.elapsed());
        match pass {
            0 => first_pass = cpu,
            pass if pass < WARM_UP_PASSES => {}
            _ => measured.add(cpu, took),
        }
        if pass + 1 == WARM_UP_PASSES {
            start = Start::of(&collector);
            start.missed = pace.missed_count();
        }
        last = Instant::now();
    }
    let (process, wall) = (process_cpu() - start.cpu, last - start.at);
    let (tally, anonymous) = (collector.totals().tally.clone(), anonymous_bytes());
    let written_bytes = written(&collector) - start.written_bytes;
    let rescan = (0..RESCANS).map(|_| {
        let begin = thread_cpu();
        fails(collector.discover()).map(|()| ms(thread_cpu() - begin))
    });
    let rescan = rescan.collect::<anyhow::Result<Vec<f64>>>()?;

    machines.end()?;
    let begin = thread_cpu();
    // The first may still see a tick that is new.
    for _ in 0..2 {
        fails(collector.pass(Instant::now(), false))?;
    }
    let end = thread_cpu() - begin;
    anyhow::ensure!(
        collector.totals().ended == u64::from(args.machines),
        "not all machines were found ended"
    );

    let each = |all: Duration| all.as_nanos() as f64 / 1e3 / f64::from(args.machines);
    let series = u64::from(args.machines) * SERIES as u64;
    let samples = tally.points - start.samples;
    Ok(Case {
        machines: args.machines,
        series,
        passes: args.collecting.seconds,
        missed_passes: pace.missed_count() - start.missed,
        pass_cpu_median_ms: measured.cpu(0.5),
        pass_cpu_p99_ms: measured.cpu(0.99),
        pass_cpu_max_ms: measured.cpu(1.0),
        pass_median_ms: quantile(&measured.wall_ms, 0.5),
        pass_max_ms: quantile(&measured.wall_ms, 1.0),
        core_share: process.as_secs_f64() / wall.as_secs_f64(),
        samples,
        sample_cpu_ns: measured.cpu_ms.iter().sum::<f64>() * 1e6 / samples.max(1) as f64,
        lost: tally.intervals_lost,
        torn: tally.torn,
        anonymous_bytes: anonymous,
        anonymous_bytes_per_series: anonymous as f64 / series as f64,
        attach_cpu_us: each(attach),
        first_pass_cpu_us: each(first_pass),
        rescan_cpu_ms: quantile(&rescan, 0.5),
        written_bytes,
        end_cpu_us: each(end),
        full_store,
    })
}

/// What a collector of these directories needs to know.
pub(super) fn settings(bus: &Path, store: &Path, archives: ArchiveSettings) -> CollectorSettings {
    CollectorSettings {
        bus: bus.into(),
        store: store.into(),
        archives,
        keep: Duration::from_secs(60),
        limits: Limits::default(),
    }
}

/// The first thing that went wrong in a pass: what is measured is one in which nothing does.
pub(super) fn fails(report: crate::collector::PassReport) -> anyhow::Result<()> {
    report.errors.into_iter().next().map_or(Ok(()), Err)
}

/// Bytes written to the store since it was opened.
pub(super) fn written(collector: &Collector) -> u64 {
    let usage = collector.archives().usage();
    usage.iter().map(|usage| usage.written_bytes).sum()
}

pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// One series of one of the machines that fill the store, as a query over its newest week.
fn read_a_week(collector: &Collector, open_ms: f64) -> anyhow::Result<FullStore> {
    let usage = collector.archives().usage();
    let newest = usage.last().and_then(|usage| usage.wall_ns.as_ref());
    let end = i128::from(newest.context("the store is empty")?.end);
    let selector: Selector = "vmm_gauge_number_17{instance=\"vm-000123\"}".parse()?;
    let request = Request {
        range: end - 7 * 86_400 * i128::from(SECOND_NS)..end,
        tier: Tier::Number(2),
        ..Request::new(selector)
    };
    let begin = Instant::now();
    let live = collector.live(|_| false);
    let answer = Plan::new(&live, collector.archives(), request)?.answer();
    let read_ms = ms(begin.elapsed());
    let read_points = answer
        .series
        .iter()
        .map(|series| series.points.len() as u64)
        .sum();
    anyhow::ensure!(read_points > 0, "nothing was found in the full store");
    Ok(FullStore {
        bytes: usage.iter().map(|usage| usage.frame_bytes).sum(),
        open_ms,
        read_points,
        read_ms,
    })
}

/// Where everything stood when counting began.
struct Start {
    at: Instant,
    cpu: Duration,
    samples: u64,
    written_bytes: u64,
    missed: u64,
}

impl Start {
    fn of(collector: &Collector) -> Self {
        Self {
            at: Instant::now(),
            cpu: process_cpu(),
            samples: collector.totals().tally.points,
            written_bytes: written(collector),
            missed: 0,
        }
    }
}

#[derive(Debug, Default)]
struct Measured {
    cpu_ms: Vec<f64>,
    wall_ms: Vec<f64>,
}

impl Measured {
    fn add(&mut self, cpu: Duration, took: Duration) {
        self.cpu_ms.push(ms(cpu));
        self.wall_ms.push(ms(took));
    }

    fn cpu(&self, share: f64) -> f64 {
        quantile(&self.cpu_ms, share)
    }
}

/// The least value that this share of all does not exceed; 0 of none.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_there() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), 100.0);
        assert_eq!(quantile(&values, 0.99), 198.0);
        assert_eq!(quantile(&values, 1.0), 200.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
