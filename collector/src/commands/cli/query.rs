//! Arguments of `rondo query` and `rondo explain`.

use super::{BusArgs, OutputArgs};
use crate::query::{Params, Tier, parse_quantile, parse_time};
use crate::selector::Selector;
use crate::span::Span;
use clap::Args;
use std::path::PathBuf;
use std::str::FromStr;

pub(super) const QUERY_EXAMPLES: &str = "\
Examples:
  rondo query vm-1 '{}'                                   all series, the last minute
  rondo query vm-1 vcpu_exits_total --range 10m
  rondo query vm-1 'vcpu_exits_total{vcpu=\"0\",reason!~\"io|mmio\"}'
  rondo query vm-1 '{}' --range all -o json               the JSON of spec/json.md
  rondo query vm-1 '{__name__=~\"block_.*\"}' -o csv > block.csv
  rondo query vm-1 exit_latency_ns --follow               points as they come
  rondo query /var/lib/rondo 'load{instance=\"vm-1\"}' --range 7d      from a store
  rondo query vm-1 load --store /var/lib/rondo --range 1h  from the slab and the store
  rondo query http://127.0.0.1:9190 '{tenant=\"blue\"}' --tier 1 --quantile 0.5,0.99

A selector is a name, matchers in braces, or both. Matchers are label=\"x\", label!=\"x\", label=~\"regex\" and
label!~\"regex\"; a regex has to match the whole value, and a label that is not there has an empty one. instance, schema,
incarnation and the machine's own labels can be matched too; a series' own label of a name comes first.

Times are UTC and follow the present wall clock; t_ns and the JSON of a slab have slab time. Flags are `filled` (nothing
was stored for the interval: a counter is unchanged, a distribution had no samples), `partial` (the interval is not
over), `torn` (the writer was, or died, in the middle of a write) and `sealed` (the machine ended in it). Count, sum and
counters are totals since the registration of the series. KNOWN is how many of the intervals of tier 0 that make up
a coarser one are known. The JSON of anything but a slab alone is that of spec/query.md.";

pub(super) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  rondo explain vm-1 '{}'
  rondo explain /var/lib/rondo 'load{instance=\"vm-1\"}' --range 7d

Each series has a row for each tier that has intervals of it: from when to when, how many, and for which
part of the range it answers. Where there are no points, the last line says why.";

/// A selector, with the text that it was made from, as a collector gets it.
#[derive(Debug, Clone)]
pub struct Typed {
    /// What was typed.
    pub text: String,
    /// What it means.
    pub selector: Selector,
}

impl FromStr for Typed {
    type Err = crate::selector::SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self {
            text: text.to_owned(),
            selector: text.parse()?,
        })
    }
}

/// Which points.
#[derive(Debug, Args)]
pub struct Selection {
    /// A path of a slab (ending in .slab, or starting with / or .), an instance on the bus, INSTANCE/SCHEMA, the
    /// directory of a store, or a collector: http://HOST:PORT or unix:PATH
    pub target: String,
    /// Which series: NAME, {LABEL="VALUE",…} or both; {} for all
    pub selector: Typed,
    /// How far back from the newest interval: 30s, 10m, 1h30m, …, or all
    #[arg(short, long, default_value = "1m")]
    pub range: Span,
    /// From when on: RFC 3339, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "range")]
    pub start: Option<i128>,
    /// Until when, exclusive
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub end: Option<i128>,
    /// From which tier: auto (the finest that has each part), or its number; 0 is what slabs hold
    #[arg(long, default_value = "auto")]
    pub tier: Tier,
    /// Quantiles of histograms: numbers from 0 to 1
    #[arg(long, value_name = "Q,…", value_delimiter = ',', value_parser = parse_quantile)]
    pub quantile: Vec<f64>,
    /// A store to join with the slabs of an instance
    #[arg(long, env = "RONDO_STORE", value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Which bus.
    #[command(flatten)]
    pub bus: BusArgs,
    /// How to print it.
    #[command(flatten)]
    pub output: OutputArgs,
}

impl Selection {
    /// What is asked for, whoever answers.
    pub(crate) fn params(&self) -> Params {
        Params {
            selector: self.selector.selector.clone(),
            start: self.start,
            end: self.end,
            range: self.range,
            tier: self.tier,
            quantiles: self.quantile.clone(),
        }
    }
}

/// Arguments of `rondo query`.
#[derive(Debug, Args)]
pub struct Query {
    /// Which points.
    #[command(flatten)]
    pub selection: Selection,
    /// Print new points as they become complete, until the machine ends
    #[arg(short, long)]
    pub follow: bool,
}

/// Arguments of `rondo explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// Which points.
    #[command(flatten)]
    pub selection: Selection,
}
