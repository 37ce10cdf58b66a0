//! What `rondo bench --remote-write` prints.

use super::backlog::Backlog;
use super::steady::Steady;
use crate::commands::output::{Grid, Side};
use serde::Serialize;
use std::io::{self, Write};

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) rounds: u32,
    pub(super) backlogs: Vec<Backlog>,
    pub(super) cases: Vec<Steady>,
}

/// A line of a table: what, and how it reads of one measurement.
type Line<T> = (&'static str, fn(&T) -> f64, usize);

const BACKLOG: [Line<Backlog>; 12] = [
    ("samples", |one| one.samples as f64, 0),
    ("requests", |one| one.requests as f64, 0),
    ("caught up in, ms", |one| one.took_ms, 0),
    (
        "samples a second, thousands",
        |one| one.samples as f64 / one.took_ms,
        0,
    ),
    (
        "CPU seconds for a million samples",
        |one| one.cpu_ms * 1e3 / one.samples as f64,
        3,
    ),
    (
        "bytes on the wire for a sample",
        |one| one.wire_bytes as f64 / one.samples as f64,
        2,
    ),
    ("the collector locked, median, ms", |one| one.locked_p50_ms, 3),
    ("  99th percentile, ms", |one| one.locked_p99_ms, 3),
    ("  max, ms", |one| one.locked_max_ms, 3),
    (
        "anonymous memory before, MiB",
        |one| mib(one.anonymous_bytes_before),
        2,
    ),
    ("  at most, MiB", |one| mib(one.anonymous_bytes), 2),
    (
        "samples in a request",
        |one| one.samples as f64 / one.requests as f64,
        0,
    ),
];

const STEADY: [Line<Steady>; 12] = [
    (
        "share of one core without, %",
        |case| 100.0 * case.core_share_without,
        3,
    ),
    ("  with a destination, %", |case| 100.0 * case.core_share_with, 3),
    (
        "  its thread's part, %",
        |case| 100.0 * case.core_share_pushing,
        3,
    ),
    ("passes missed", |case| case.missed_passes as f64, 0),
    ("samples", |case| case.samples as f64, 0),
    ("requests", |case| case.requests as f64, 0),
    (
        "CPU seconds for a million samples",
        |case| case.cpu_ms * 1e3 / case.samples as f64,
        3,
    ),
    ("the collector locked, median, ms", |case| case.locked_p50_ms, 3),
    ("  99th percentile, ms", |case| case.locked_p99_ms, 3),
    ("  max, ms", |case| case.locked_max_ms, 3),
    (
        "anonymous memory without, MiB",
        |case| mib(case.anonymous_bytes_without),
        2,
    ),
    (
        "  at most with a destination, MiB",
        |case| mib(case.anonymous_bytes),
        2,
    ),
];

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

fn table<T>(
    out: &mut impl Write,
    all: &[T],
    head: impl Fn(&T) -> String,
    lines: &[Line<T>],
) -> io::Result<()> {
    let heads: Vec<String> = all.iter().map(head).collect();
    let columns = heads.iter().map(|head| (head.as_str(), Side::Right));
    let columns: Vec<_> = std::iter::once(("", Side::Left)).chain(columns).collect();
    let mut grid = Grid::new(&columns);
    for (name, value, decimals) in lines {
        let values = all.iter().map(|one| format!("{:.*}", *decimals, value(one)));
        grid.add(std::iter::once((*name).to_owned()).chain(values));
    }
    grid.write(out)
}

impl Report {
    /// For people.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "50 minutes of {} machines, medians of {}\n",
            super::BACKLOG_MACHINES,
            self.rounds
        )?;
        table(out, &self.backlogs, |one| format!("{}.0", one.protocol), &BACKLOG)?;
        writeln!(out, "\nmachines that live\n")?;
        table(
            out,
            &self.cases,
            |case| format!("{} machines", case.machines),
            &STEADY,
        )
    }

    /// The measurements of machines that live, a row each.
    pub(super) fn write_csv(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        self.cases.iter().try_for_each(|case| csv.serialize(case))?;
        csv.flush()?;
        Ok(())
    }
}
