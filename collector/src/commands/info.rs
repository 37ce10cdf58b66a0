//! `rondo info`: all about one slab, or a store.

mod bound;
mod facts;
mod instance;
mod store;
mod store_facts;

use crate::commands::Outcome;
use crate::commands::cli::{Format, Info};
use crate::commands::output::{Grid, Side, stdout, write_json};
use crate::commands::query::Remote;
use crate::commands::target::{self, Target};
use crate::show;
use anyhow::{Context, bail};
pub use bound::{MachineBound, TierBound};
use facts::Facts;
use rondo_reader::PointValue;
use std::io::Write;
use std::path::Path;
pub(crate) use store_facts::StoreFacts;

pub(crate) fn run(args: &Info) -> anyhow::Result<Outcome> {
    if let Some(collector) = Remote::parse(&args.target) {
        return remote(&collector, args);
    }
    // A directory is a store, or is said to be none.
    let is_directory = |target: &Target| matches!(target, Target::Path(path) if path.is_dir());
    if target::is_store(&args.target) || is_directory(&Target::parse(&args.target)) {
        return store::run(Path::new(&args.target), args);
    }
    if args.instance.is_some() {
        bail!("--instance is for stores: give the directory of one as TARGET");
    }
    let slab = target::open(&args.target, &args.bus)?;
    let facts = Facts::read(&slab)?;
    let mut out = stdout();
    match args.output.format {
        Format::Json => write_json(&mut out, &facts)?,
        Format::Csv => csv(&facts, &mut out)?,
        Format::Table => table(&facts, &mut out)?,
    }
    out.flush()?;
    Ok(Outcome::Done)
}

/// The JSON of a collector, in one line only where JSON was asked for.
fn remote(collector: &Remote, args: &Info) -> anyhow::Result<Outcome> {
    if args.instance.is_some() || args.output.format == Format::Csv {
        bail!("a collector answers with JSON about the whole store: leave out --instance and -o csv");
    }
    let body = collector.get("/metrics/info", &[])?;
    let json: serde_json::Value =
        serde_json::from_slice(&body).context("the answer is not JSON, as that of a collector is")?;
    let mut out = stdout();
    match args.output.format {
        Format::Json => write_json(&mut out, &json)?,
        _ => {
            let lines = serde_json::to_string_pretty(&json)?;
            for line in lines.lines() {
                writeln!(out, "{}", show::printable(line))?;
            }
        }
    }
    out.flush()?;
    Ok(Outcome::Done)
}

fn table(facts: &Facts<'_>, out: &mut impl Write) -> anyhow::Result<()> {
    let mut about = Grid::of_facts();
    for (name, value) in facts.in_words() {
        about.add([name.to_owned(), value]);
    }
    about.write(out)?;

    writeln!(out)?;
    let mut tiers = Grid::new(&[
        ("TIER", Side::Right),
        ("INTERVAL", Side::Right),
        ("INTERVALS", Side::Right),
        ("KEEPS", Side::Right),
        ("FUNCTIONS", Side::Left),
    ]);
    for (i, tier) in facts.tiers.iter().enumerate() {
        tiers.add([
            i.to_string(),
            show::duration(tier.interval_ns),
            tier.slot_count.to_string(),
            show::duration(tier.interval_ns.saturating_mul(tier.slot_count)),
            tier.functions.clone(),
        ]);
    }
    tiers.write(out)?;

    writeln!(out)?;
    let mut pools = Grid::new(&[
        ("ROOM FOR", Side::Left),
        ("USED", Side::Right),
        ("FREE", Side::Right),
        ("ALL", Side::Right),
    ]);
    for pool in &facts.capacity {
        let free = pool.max.saturating_sub(pool.used);
        pools.add([
            pool.of.to_owned(),
            pool.used.to_string(),
            free.to_string(),
            pool.max.to_string(),
        ]);
    }
    pools.write(out)?;

    if facts.series.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut series = Grid::new(&[
        ("SERIES", Side::Left),
        ("KIND", Side::Left),
        ("ACCESS", Side::Left),
        ("LATEST", Side::Right),
        ("UNIT", Side::Left),
        ("ENDED", Side::Left),
    ]);
    for one in &facts.series {
        series.add([
            show::series(one.series),
            one.kind.to_owned(),
            one.access.to_owned(),
            one.latest_point()
                .map_or_else(|| "-".into(), |value| in_words(&value)),
            one.unit.to_owned(),
            one.ended_ns
                .map(|t| show::time(facts.wall_ns(t)))
                .unwrap_or_default(),
        ]);
    }
    series.write(out)?;
    Ok(())
}

/// A value in one cell.
fn in_words(value: &PointValue) -> String {
    match *value {
        PointValue::Gauge(value) => show::brief(value),
        PointValue::Counter(value) => value.to_string(),
        PointValue::Distribution { count, sum, last, .. } => {
            let last = last.map_or_else(String::new, |last| format!(", last {}", show::brief(last)));
            format!("{count} samples, mean {}{last}", show::brief(sum / count as f64))
        }
        PointValue::Torn => "torn".into(),
    }
}

fn csv(facts: &Facts<'_>, out: &mut impl Write) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "instance",
        "schema",
        "name",
        "labels",
        "kind",
        "access",
        "unit",
        "help",
        "registered_ns",
        "ended_ns",
        "latest",
    ])?;
    for one in &facts.series {
        csv.write_record([
            facts.instance,
            facts.schema,
            &one.series.name,
            &show::labels(&one.series.labels),
            one.kind,
            one.access,
            one.unit,
            one.help,
            &one.registered_ns.to_string(),
            &one.ended_ns.map(|t| t.to_string()).unwrap_or_default(),
            &one.latest_point()
                .map(|value| in_words(&value))
                .unwrap_or_default(),
        ])?;
    }
    csv.flush()?;
    Ok(())
}
