//! What `rondo bench --collector` prints.

use super::collector::Case;
use super::first_row::FirstRow;
use super::short_machines::ShortMachines;
use crate::commands::output::{Grid, Side};
use serde::Serialize;
use std::io::{self, Write};

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) cases: Vec<Case>,
    pub(super) first_row: FirstRow,
    pub(super) short_machines: ShortMachines,
}

/// A line of the table: what, and how it reads of one case.
type Line = (&'static str, fn(&Case) -> Option<String>);

const LINES: [Line; 22] = [
    ("passes measured", |case| Some(case.passes.to_string())),
    ("passes missed", |case| Some(case.missed_passes.to_string())),
    ("CPU time of a pass, median, ms", |case| {
        decimals(case.pass_cpu_median_ms)
    }),
    ("  99th percentile, ms", |case| decimals(case.pass_cpu_p99_ms)),
    ("  max, ms", |case| decimals(case.pass_cpu_max_ms)),
    ("a pass by the wall clock, median, ms", |case| {
        decimals(case.pass_median_ms)
    }),
    ("  max, ms", |case| decimals(case.pass_max_ms)),
    ("share of one core, %", |case| {
        Some(format!("{:.3}", 100.0 * case.core_share))
    }),
    ("samples read", |case| Some(case.samples.to_string())),
    ("CPU time for a sample, ns", |case| decimals(case.sample_cpu_ns)),
    ("intervals lost", |case| Some(case.lost.to_string())),
    ("slots torn", |case| Some(case.torn.to_string())),
    ("anonymous memory, MiB", |case| {
        decimals(case.anonymous_bytes as f64 / 1024.0 / 1024.0)
    }),
    ("  bytes for a series", |case| {
        Some(format!("{:.0}", case.anonymous_bytes_per_series))
    }),
    ("CPU time to attach a slab, µs", |case| {
        decimals(case.attach_cpu_us)
    }),
    ("  of its first pass, µs", |case| {
        decimals(case.first_pass_cpu_us)
    }),
    ("CPU time of a look at the directory, ms", |case| {
        decimals(case.rescan_cpu_ms)
    }),
    ("written to the store, KiB/s", |case| {
        decimals(case.written_bytes as f64 / 1024.0 / case.passes as f64)
    }),
    ("CPU time to store an ended machine, µs", |case| {
        decimals(case.end_cpu_us)
    }),
    ("full store, MiB", |case| {
        case.full_store
            .as_ref()
            .and_then(|full| decimals(full.bytes as f64 / 1024.0 / 1024.0))
    }),
    ("  opened in, ms", |case| {
        case.full_store.as_ref().and_then(|full| decimals(full.open_ms))
    }),
    ("  a series over 7 days read in, ms", |case| {
        case.full_store.as_ref().and_then(|full| decimals(full.read_ms))
    }),
];

fn decimals(value: f64) -> Option<String> {
    Some(format!("{value:.2}"))
}

impl Report {
    /// For people.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let heads: Vec<String> = self
            .cases
            .iter()
            .map(|case| format!("{} machines", case.machines))
            .collect();
        let columns = heads.iter().map(|head| (head.as_str(), Side::Right));
        let columns: Vec<_> = std::iter::once(("", Side::Left)).chain(columns).collect();
        let mut grid = Grid::new(&columns);
        for (name, value) in LINES {
            let values: Vec<Option<String>> = self.cases.iter().map(value).collect();
            if values.iter().any(Option::is_some) {
                let values = values.into_iter().map(Option::unwrap_or_default);
                grid.add(std::iter::once(name.to_owned()).chain(values));
            }
        }
        grid.write(out)?;
        let FirstRow {
            live_slabs,
            median_ms,
            max_ms,
        } = self.first_row;
        writeln!(
            out,
            "\na new slab among {live_slabs}: its first row is read {median_ms:.2} ms after its creation begins (max {max_ms:.2} ms)"
        )?;
        let short = &self.short_machines;
        writeln!(
            out,
            "a machine of {} s: {:.0} bytes written, {:.2} for a sample, {:.2} for a stored point; {:.0} µs of CPU time",
            short.seconds,
            short.written_bytes,
            short.bytes_per_sample,
            short.bytes_per_stored_point,
            short.cpu_us
        )
    }

    /// The cases, a row each.
    pub(super) fn write_csv(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        for case in &self.cases {
            let flat = Case {
                full_store: None,
                ..case.clone()
            };
            csv.serialize(flat)?;
        }
        csv.flush()?;
        Ok(())
    }
}
