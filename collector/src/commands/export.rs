//! `rondo export`: rows of one tier, taken away as text that other systems read.
//!
//! The series of one name leave together, as OpenMetrics wants it, so the store is read name by name; of each name machine by
//! machine, and of each machine a few series at a time. Memory is that of the list of stored runs, and of those rows.
//!
//! A cursor is replaced after the last byte has been written. Whoever stops in between gets the rows once more, and
//! never too few.

mod csv;
mod families;
mod file;
mod jsonl;
mod left;
mod machine;
mod openmetrics;
mod sink;
mod slab;
mod slice;
mod stock;

use crate::commands::Outcome;
use crate::commands::cli::{Export, ExportFormat};
use crate::commands::output::say;
use crate::commands::target;
use crate::export::Naming;
use crate::show;
use crate::store::Archives;
use anyhow::bail;
use families::Families;
use file::Output;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use left::Left;
use machine::Counts;
use sink::Sink;
use std::path::Path;
use stock::Stock;

pub(crate) fn run(args: &Export) -> anyhow::Result<Outcome> {
    let naming = Naming {
        base_units: !args.no_base_units,
        ..Naming::default()
    };
    let (mut stock, left) = open(args)?;
    match &left {
        Some(left) => stock.keep_left(left),
        None => stock.keep_range(args.start, args.end, args.range),
    }
    let mut output = Output::open(args.output.as_deref())?;
    let families = Families::of(&stock, naming);
    let mut sink: Box<dyn Sink + '_> = match args.format {
        ExportFormat::Openmetrics => Box::new(openmetrics::OpenMetrics::new(&mut output, families.names())),
        ExportFormat::Csv => Box::new(csv::Csv::new(&mut output)?),
        ExportFormat::Jsonl => Box::new(jsonl::JsonLines::new(&mut output)),
    };
    let counts = write(&mut stock, &families, naming, &mut *sink, args.quiet)?;
    sink.finish()?;
    drop(sink);
    output.complete()?;
    if let Some((left, path)) = left.as_ref().zip(args.cursor.as_deref()) {
        left.save(path)?;
    }
    for warning in &stock.warnings {
        say!("rondo: {}", show::printable(warning));
    }
    if !args.quiet {
        say!(
            "rondo: {} samples of {} series with {} names",
            counts.samples,
            counts.series,
            counts.families
        );
    }
    // Nothing new is what a cursor is for.
    let is_nothing = counts.samples == 0 && left.is_none();
    Ok(if is_nothing { Outcome::Found } else { Outcome::Done })
}

/// What TARGET has, and what of it has not left yet.
fn open(args: &Export) -> anyhow::Result<(Stock, Option<Left>)> {
    let text = args.target.as_str();
    if text.starts_with("http://") || text.starts_with("unix:") {
        bail!("a collector is no target: export the directory of its store, also while it runs");
    }
    if target::is_store(text) || Path::new(text).is_dir() {
        let archives = Archives::open_read_only(Path::new(text))?;
        let tier = args.tier.unwrap_or(1);
        let left = args
            .cursor
            .as_deref()
            .map(|path| Left::find(path, &archives, tier));
        let left = left.transpose()?;
        return Ok((Stock::stored(archives, tier, &args.selector.selector), left));
    }
    if args.cursor.is_some() {
        bail!("a slab keeps its rows for minutes: a cursor is for stores");
    }
    let slab = target::open(text, &args.bus)?;
    if let Some(tier @ 1..) = args.tier {
        bail!("a slab holds tier 0 only; for tier {tier} export the collector's store");
    }
    Ok((slab::stock(&slab, &args.selector.selector)?, None))
}

fn write(
    stock: &mut Stock,
    families: &Families,
    naming: Naming,
    sink: &mut dyn Sink,
    is_quiet: bool,
) -> anyhow::Result<Counts> {
    let machines = stock.machines();
    let bar = progress_bar((families.names().len() * machines.len()) as u64, is_quiet);
    let mut counts = Counts::default();
    for family in families.iter() {
        bar.set_message(family.name.clone());
        let mut has_head = false;
        for slices in &machines {
            let mut machine = machine::Machine::new(stock, slices.clone(), family, naming);
            machine.write(sink, &mut has_head, &mut counts)?;
            let warnings = machine.warnings;
            stock.warn(warnings);
            bar.inc(1);
        }
        counts.families += u64::from(has_head);
    }
    bar.finish_and_clear();
    Ok(counts)
}

/// On standard error, if that is a terminal.
fn progress_bar(length: u64, is_quiet: bool) -> ProgressBar {
    if is_quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("[{bar:40}] {percent} % {elapsed} {msg}");
    let bar = ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_finish(ProgressFinish::AndClear)
}
