//! Arguments of `rondo export`.

use super::{BusArgs, Typed};
use crate::query::parse_time;
use crate::span::Span;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

pub(super) const EXPORT_EXAMPLES: &str = "\
Examples:
  rondo export /var/lib/rondo -O all.om             all of tier 1, as OpenMetrics with timestamps
  promtool tsdb create-blocks-from openmetrics all.om /var/lib/prometheus
  rondo export /var/lib/rondo '{instance=\"vm-1\"}' --tier 0 -f csv -O vm-1.csv
  rondo export /var/lib/rondo --range 1d -f jsonl | curl -T - http://127.0.0.1:8428/api/v1/import
  rondo export /var/lib/rondo --cursor jobs/nightly.cursor -f jsonl -O \"$(date -I).jsonl\"
  rondo export vm-1 block_bytes_total -f csv        what the slab of a machine holds

A store can be exported while a collector writes to it; what the collector has still in memory is not in it. Names and values
leave in base units, so exit_ns as exit_seconds, stamped with the end of their interval. Gauges of tiers 1 and up are averages;
distributions leave as _count and _sum with _min and _max of each interval, histograms also as _bucket. A slab alone has no
buckets of each interval.

openmetrics has the samples of a series one after the other, which suits promtool, not scrapes. jsonl is the format of
VictoriaMetrics' /api/v1/import. csv has the columns time (RFC 3339), name, instance, labels (JSON) and value.

With --cursor, only rows leave that did not at earlier times, and the cursor is replaced when all of them are written: with
the same FILE, two exports never have a row in common. Use one for each selection. Memory grows with the number of
machines and stored runs, not with their rows: some 0.2 kB for each run, and 0.9 kB for the first of each machine.

Exit code 1 if nothing matched; with --cursor there may be nothing new.";

/// In which format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// OpenMetrics 1.0 with timestamps
    Openmetrics,
    /// A row for each sample
    Csv,
    /// A line for up to 10,000 samples of a series
    Jsonl,
}

/// Arguments of `rondo export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The directory of a store, a path of a slab (ending in .slab, or starting with / or .), an instance on the bus, or
    /// INSTANCE/SCHEMA
    pub target: String,
    /// Which series: NAME, {LABEL="VALUE",…} or both; all unless given
    #[arg(default_value = "{}")]
    pub selector: Typed,
    /// In which format
    #[arg(short, long, value_enum, default_value_t = ExportFormat::Openmetrics)]
    pub format: ExportFormat,
    /// From which tier: 1 unless given, but 0 of a slab, which has no other
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=7))]
    pub tier: Option<u8>,
    /// How far back from the newest interval: 10m, 1d, …, or all
    #[arg(short, long, default_value = "all")]
    pub range: Span,
    /// From when on: RFC 3339, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "range")]
    pub start: Option<i128>,
    /// Until when, exclusive
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub end: Option<i128>,
    /// Where to; standard output if it is - or not given. The file is there once it is whole
    #[arg(short = 'O', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Only what this file says has not left yet; made if it is not there
    #[arg(long, value_name = "FILE", conflicts_with_all = ["range", "start", "end"])]
    pub cursor: Option<PathBuf>,
    /// Leave names and values in the units of the series
    #[arg(long)]
    pub no_base_units: bool,
    /// Say nothing if all goes well
    #[arg(short, long)]
    pub quiet: bool,
    /// Which bus.
    #[command(flatten)]
    pub bus: BusArgs,
}
