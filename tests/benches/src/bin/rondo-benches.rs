//! Benchmark A: what a record costs, rondo against its peers.

use anyhow::{Context, Result};
use clap::Parser;
use rondo_benches::measure::{Effort, measure};
use rondo_benches::report::{Format, Report};
use rondo_benches::rondo::{Place, rows};
use rondo_benches::{Row, cold, contention, creation, floor, peers, scanner};
use rondo_host::load::Range;
use std::path::PathBuf;

/// What a record costs, rondo against its peers.
#[derive(Parser)]
struct Arguments {
    /// A tenth of the time, for a look
    #[arg(long)]
    quick: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Puts the tables also into this page, between its markers
    #[arg(long, value_name = "FILE", conflicts_with = "quick")]
    page: Option<PathBuf>,
    /// Runs the loop of this name and nothing else, for instruction counts
    #[arg(long, value_name = "NAME", requires = "iterations")]
    count: Option<String>,
    /// Calls of that loop
    #[arg(long)]
    iterations: Option<u64>,
    /// Lists the loops
    #[arg(long)]
    list: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let place = if arguments.count.is_some() {
        Place::Private
    } else {
        Place::Bus
    };
    let all = all_rows(place);
    if arguments.list {
        all.iter().for_each(|row| println!("{}", row.name));
        return Ok(());
    }
    if let (Some(name), Some(iterations)) = (arguments.count, arguments.iterations) {
        let row = all.iter().find(|row| row.name == name);
        row.context("no such loop; --list has them")?.make()?(iterations);
        return Ok(());
    }
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    if let Some(path) = &arguments.page {
        Report::check_page(path)?;
    }
    let mut load = Range::begin()?;
    let timings = measure(&all, effort)?;
    load.look()?;
    let contention = contention::measure(effort)?;
    load.look()?;
    let scanner = scanner::measure(effort)?;
    load.look()?;
    let cold = cold::measure(&all, effort)?;
    load.look()?;
    let creation = creation::measure(effort)?;
    load.look()?;
    let report = Report {
        timings,
        contention,
        scanner,
        cold,
        creation,
        repetitions: effort.repetitions,
        load,
    };
    report.print(arguments.output)?;
    if let Some(path) = &arguments.page {
        report.write_page(path)?;
    }
    Ok(())
}

fn all_rows(place: Place) -> Vec<Row> {
    [floor()]
        .into_iter()
        .chain(rows(place))
        .chain(peers::rows())
        .collect()
}
