//! What of a demo's machines is in their slabs, read back by a process that wrote none of it.

use super::Witness;
use crate::output::{Grid, Side};
use anyhow::Context;
use rondo_reader::{Kind, Series, Unit};
use rondo_reader::{Limits, Liveness, Point, PointValue, Slab};
use serde::Serialize;
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

/// The whole demo.
#[derive(Debug, Serialize)]
pub struct Report {
    /// In the order they were started.
    pub machines: Vec<MachineReport>,
    /// What has to be typed to name the bus.
    #[serde(skip)]
    bus: String,
}

/// One machine.
#[derive(Debug, Serialize)]
pub struct MachineReport {
    /// Its name.
    pub instance: String,
    /// Intervals from the first to the last tick that it reported.
    pub expected_points: usize,
    /// Those of them in which every series that is recorded at a tick has a point.
    pub points: usize,
    /// Those in which one has none.
    pub gaps: usize,
    /// Whether it was killed.
    pub killed: bool,
    /// Series in its slab.
    pub series: usize,
    /// `live`, `closed` or `dead`.
    pub state: &'static str,
    /// Where its slab is.
    pub path: String,
    #[serde(skip)]
    lines: Vec<Line>,
}

/// A series worth looking at.
#[derive(Debug)]
struct Line {
    title: String,
    sparkline: String,
    latest: String,
}

impl Report {
    /// Reads every machine's slab.
    ///
    /// # Errors
    /// A slab is missing or not readable.
    pub fn read(bus: &Path, witnesses: &[Witness]) -> anyhow::Result<Self> {
        let machines = witnesses
            .iter()
            .map(|witness| MachineReport::read(&Slab::open(&witness.slab, &Limits::default())?, witness));
        let bus = if bus == Path::new(rondo_writer::DEFAULT_BUS) {
            String::new()
        } else {
            format!(" --bus {}", bus.display())
        };
        Ok(Self {
            machines: machines.collect::<anyhow::Result<_>>()?,
            bus,
        })
    }

    /// For people: a table of machines, sparklines of two of them, and what to type next.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let right = ["EXPECTED", "POINTS", "MISSING", "SERIES"].map(|name| (name, Side::Right));
        let mut table = Grid::new(&[&[("MACHINE", Side::Left), ("END", Side::Left)], &right[..]].concat());
        for machine in &self.machines {
            let end = if machine.killed { "killed" } else { machine.state };
            let numbers = [
                machine.expected_points,
                machine.points,
                machine.gaps,
                machine.series,
            ];
            let texts = [machine.instance.clone(), end.to_owned()];
            table.add(texts.into_iter().chain(numbers.map(|number| number.to_string())));
        }
        table.write(out)?;
        let killed = self.machines.iter().find(|machine| machine.killed);
        for machine in self
            .machines
            .iter()
            .find(|machine| !machine.killed)
            .into_iter()
            .chain(killed)
        {
            machine.write_lines(out)?;
        }
        let Some(first) = self.machines.first() else {
            return Ok(());
        };
        writeln!(out, "\nThe slabs stay until the next demo. Look further with")?;
        let bus = &self.bus;
        writeln!(out, "  rondo ls{bus}")?;
        writeln!(out, "  rondo info {}{bus}", first.instance)?;
        writeln!(
            out,
            "  rondo query {} work_burst_duration_ns --range all{bus}",
            first.instance
        )?;
        if let Some(killed) = killed {
            writeln!(out, "  rondo verify {}{bus}", killed.instance)?;
        }
        Ok(())
    }

    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.machines
            .iter()
            .all(|machine| machine.gaps == 0 && machine.expected_points > 0)
    }
}

impl MachineReport {
    fn read(slab: &Slab, witness: &Witness) -> anyhow::Result<Self> {
        let (first, last) = (witness.ticks.first().copied(), witness.ticks.last().copied());
        let (first, last) = first
            .zip(last)
            .with_context(|| format!("{} never ticked", witness.instance))?;
        let interval = slab.layout().axis.interval_ns();
        let view = slab.view()?;
        let expected_points = ((last - first) / interval + 1) as usize;

        let (mut lines, mut complete) = (Vec::new(), None::<HashSet<u64>>);
        for series in slab.series() {
            let points = slab.range(series, &view, first, last)?;
            if is_recorded_at_ticks(series) {
                let present = points
                    .iter()
                    .filter(|point| is_recorded(point))
                    .map(|point| point.t)
                    .collect();
                complete = Some(match complete {
                    Some(so_far) => &so_far & &present,
                    None => present,
                });
            }
            if is_interesting(series) {
                lines.push(Line::new(series, &points, (first, last, interval)));
            }
        }
        let points = complete.map_or(0, |complete| complete.len());
        Ok(Self {
            instance: witness.instance.clone(),
            expected_points,
            points,
            gaps: expected_points - points.min(expected_points),
            killed: witness.killed,
            series: slab.series().len(),
            state: slab.liveness().map(Liveness::as_str)?,
            path: slab.path().display().to_string(),
            lines,
        })
    }

    /// The series worth looking at, one a line.
    fn write_lines(&self, out: &mut impl Write) -> io::Result<()> {
        let width = self.lines.iter().map(|line| line.title.len()).max().unwrap_or(0);
        writeln!(
            out,
            "\n{} ({} seconds, {}):",
            self.instance, self.expected_points, self.state
        )?;
        for line in &self.lines {
            writeln!(
                out,
                "  {:width$}  {}  {}",
                line.title, line.sparkline, line.latest
            )?;
        }
        Ok(())
    }
}

/// The machine's main thread records these at each tick; the worker's depend on its phase.
fn is_recorded_at_ticks(series: &Series) -> bool {
    const WORKERS: [&str; 5] = ["work_", "disk_", "sleep_", "tick_lateness", "demo_"];
    !WORKERS.iter().any(|prefix| series.name.starts_with(prefix))
}

fn is_recorded(point: &Point) -> bool {
    !point.filled && !matches!(point.value, PointValue::Torn)
}

fn is_interesting(series: &Series) -> bool {
    const INTERESTING: [&str; 6] = [
        "process_user_cpu_ns_total",
        "io_written_chars_total",
        "process_rss_bytes",
        "work_burst_duration_ns",
        "disk_write_duration_ns",
        "work_iterations_total",
    ];
    INTERESTING.contains(&series.name.as_str())
}

impl Line {
    /// Gauges as they are, counters by their increase, distributions by their mean: one bar a second.
    fn new(series: &Series, points: &[Point], (first, last, interval): (u64, u64, u64)) -> Self {
        let mut bars = vec![None; ((last - first) / interval + 1) as usize];
        let mut before = None;
        for point in points {
            let value = match (point.value, before) {
                (PointValue::Gauge(value), _) => Some(value),
                (PointValue::Counter(total), Some((earlier, _))) => Some(total.wrapping_sub(earlier) as f64),
                (PointValue::Distribution { count, sum, .. }, Some((earlier, earlier_sum)))
                    if count > earlier =>
                {
                    Some((sum - earlier_sum) / (count - earlier) as f64)
                }
                _ => None,
            };
            before = match point.value {
                PointValue::Counter(total) => Some((total, 0.0)),
                PointValue::Distribution { count, sum, .. } => Some((count, sum)),
                PointValue::Gauge(_) | PointValue::Torn => before,
            };
            if let Some(bar) = bars.get_mut(((point.t - first) / interval) as usize) {
                *bar = value;
            }
        }
        let what = match series.kind {
            Kind::Gauge => "value",
            Kind::Counter => "per second",
            Kind::Distribution | Kind::Histogram => "mean",
        };
        let latest = bars.iter().rev().flatten().next().copied();
        Self {
            title: format!("{} ({what})", series.name),
            sparkline: sparkline(&bars, series.kind != Kind::Gauge),
            latest: latest.map_or_else(String::new, |value| short(value, &series.unit)),
        }
    }
}

/// One block for each value from the least (or zero) to the greatest, a space where there is none.
fn sparkline(values: &[Option<f64>], from_zero: bool) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let known = || values.iter().flatten().copied();
    let least = known().fold(if from_zero { 0.0 } else { f64::INFINITY }, f64::min);
    let range = known().fold(f64::NEG_INFINITY, f64::max) - least;
    let block = |value: f64| {
        BLOCKS[if range > 0.0 {
            ((value - least) / range * 7.0).round() as usize
        } else {
            0
        }]
    };
    values.iter().map(|value| value.map_or(' ', block)).collect()
}

/// A value with the prefix that makes it short.
fn short(value: f64, unit: &Unit) -> String {
    const TIMES: [(f64, &str); 4] = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")];
    const SIZES: [(f64, &str); 4] = [
        (1_073_741_824.0, "GiB"),
        (1_048_576.0, "MiB"),
        (1024.0, "KiB"),
        (1.0, "bytes"),
    ];
    let (steps, scale) = match unit.base() {
        Some(("seconds", scale)) => (TIMES, scale),
        Some(("bytes", scale)) => (SIZES, scale),
        _ => return format!("{value:.1} {unit}").trim_end().to_owned(),
    };
    let value = value * scale;
    let (step, name) = *steps
        .iter()
        .find(|(step, _)| value.abs() >= *step)
        .unwrap_or(&steps[3]);
    format!("{:.1} {name}", value / step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short_in_units_that_people_know() {
        assert_eq!(short(30_310.0, &Unit::Nanoseconds), "30.3 µs");
        assert_eq!(short(12_845_056.0, &Unit::Bytes), "12.2 MiB");
        assert_eq!(short(0.0, &Unit::Nanoseconds), "0.0 ns");
        assert_eq!(short(99.0, &Unit::None), "99.0");
    }

    #[test]
    fn a_sparkline_spans_from_least_to_greatest_and_shows_gaps() {
        assert_eq!(sparkline(&[Some(0.0), None, Some(7.0), Some(3.0)], false), "▁ █▄");
        assert_eq!(sparkline(&[Some(5.0), Some(5.0)], false), "▁▁");
        assert_eq!(sparkline(&[Some(5.0), Some(5.0)], true), "██");
        assert_eq!(sparkline(&[None], true), " ");
    }
}
