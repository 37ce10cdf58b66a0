//! `rondo info STORE`: the facts of a store, and of one machine in it, printed.

use super::StoreFacts;
use super::instance::InstanceFacts;
use super::store_facts::{Position, Retention, SchemaTier, TierUsage};
use crate::commands::Outcome;
use crate::commands::cli::{Format, Info};
use crate::commands::output::{Grid, Side, stdout, write_json};
use crate::show;
use crate::store::Archives;
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// Positions in a table; JSON has more.
const SHOWN_MAX: usize = 10;

/// All that is printed.
#[derive(Debug, Serialize)]
struct Printed {
    #[serde(flatten)]
    store: StoreFacts,
    /// Where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<InstanceFacts>,
}

pub(super) fn run(dir: &Path, args: &Info) -> anyhow::Result<Outcome> {
    let archives = Archives::open_read_only(dir)?;
    let instance = args.instance.as_deref();
    let printed = Printed {
        store: StoreFacts::read(&archives)?,
        instance: instance
            .map(|name| InstanceFacts::read(&archives, name))
            .transpose()?,
    };
    let mut out = stdout();
    match (args.output.format, &printed.instance) {
        (Format::Json, _) => write_json(&mut out, &printed)?,
        (Format::Csv, None) => csv(&printed.store.tiers, &mut out)?,
        (Format::Csv, Some(instance)) => instance.csv(&mut out)?,
        (Format::Table, instance) => {
            table(dir, &printed.store, &mut out)?;
            if let Some(instance) = instance {
                instance.table(&mut out)?;
            }
        }
    }
    out.flush()?;
    let nothing_of_it = printed.instance.is_some_and(|instance| instance.tiers.is_empty());
    Ok(if nothing_of_it {
        Outcome::Found
    } else {
        Outcome::Done
    })
}

fn table(dir: &Path, facts: &StoreFacts, out: &mut impl Write) -> anyhow::Result<()> {
    let at_least = if facts.has_more_machines { "at least " } else { "" };
    let mut about = Grid::of_facts();
    let damaged = (facts.damaged > 0).then(|| {
        format!(
            "{} directories or blocks, which answer for nothing",
            facts.damaged
        )
    });
    let lines = [
        ("store", Some(show::printable(&dir.display().to_string()))),
        (
            "disk",
            Some(format!(
                "{} bytes ({}), for ever",
                facts.disk_bytes,
                show::size(facts.disk_bytes)
            )),
        ),
        (
            "machines",
            Some(format!(
                "{at_least}{} by name, {} incarnations",
                facts.instances, facts.incarnations
            )),
        ),
        ("damaged", damaged),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            about.add([name.to_owned(), value]);
        }
    }
    about.write(out)?;
    writeln!(out)?;
    tier_table(&facts.tiers, out)?;
    writeln!(out)?;
    for tier in &facts.tiers {
        writeln!(out, "{}", kept_in_words(tier))?;
    }
    if !facts.schemas.is_empty() {
        writeln!(out)?;
        schema_table(facts, out)?;
    }
    if !facts.positions.is_empty() {
        writeln!(out)?;
        position_table(facts, out)?;
    }
    Ok(())
}

fn tier_table(tiers: &[TierUsage], out: &mut impl Write) -> anyhow::Result<()> {
    let mut grid = Grid::new(&[
        ("TIER", Side::Right),
        ("FILE", Side::Right),
        ("EXTENTS", Side::Right),
        ("RUNS", Side::Right),
        ("ROWS", Side::Right),
        ("POINTS", Side::Right),
        ("BYTES/POINT", Side::Right),
        ("WRITTEN", Side::Right),
        ("OLDEST", Side::Left),
        ("NEWEST", Side::Left),
    ]);
    for tier in tiers {
        grid.add([
            tier_name(tier),
            show::size(tier.file_bytes),
            format!("{}/{}", tier.extents_used, tier.extents),
            tier.runs.to_string(),
            tier.rows.to_string(),
            tier.points.to_string(),
            tier.bytes_per_point
                .map_or_else(|| "-".into(), |bytes| format!("{bytes:.2}")),
            show::size(tier.written_ever_bytes),
            when(tier.oldest_ns),
            when(tier.newest_ns),
        ]);
    }
    grid.write(out)?;
    Ok(())
}

/// The last file has all later tiers too.
fn tier_name(tier: &TierUsage) -> String {
    match tier.tier {
        2 => "2+".to_owned(),
        number => number.to_string(),
    }
}

pub(super) fn when(wall_ns: Option<i64>) -> String {
    wall_ns.map_or_else(|| "-".into(), |wall_ns| show::time(wall_ns.into()))
}

fn kept_in_words(tier: &TierUsage) -> String {
    let name = tier_name(tier);
    match tier.retention {
        None => format!("tier {name} holds nothing yet: what its room is enough for is not known"),
        Some(Retention {
            ns,
            is_measured: true,
        }) => {
            format!(
                "tier {name} keeps {}: measured, its ring is full",
                show::duration(ns)
            )
        }
        Some(Retention {
            ns,
            is_measured: false,
        }) => format!(
            "tier {name} will keep {}: worked out from the bytes written since its oldest row",
            show::duration(ns)
        ),
    }
}

fn schema_table(facts: &StoreFacts, out: &mut impl Write) -> anyhow::Result<()> {
    let mut grid = Grid::new(&[
        ("SCHEMA", Side::Left),
        ("TIER", Side::Right),
        ("INTERVAL", Side::Right),
        ("SERIES", Side::Right),
        ("FUNCTIONS", Side::Left),
    ]);
    for schema in &facts.schemas {
        for SchemaTier {
            tier,
            interval_ns,
            functions,
            series,
        } in &schema.tiers
        {
            grid.add([
                schema.name.clone().unwrap_or_else(|| "(damaged)".into()),
                tier.to_string(),
                show::duration(*interval_ns),
                series.to_string(),
                functions.clone().unwrap_or_else(|| "(damaged)".into()),
            ]);
        }
    }
    grid.write(out)?;
    and_more(facts.schemas_left_out, out)
}

fn position_table(facts: &StoreFacts, out: &mut impl Write) -> anyhow::Result<()> {
    let mut grid = Grid::new(&[
        ("NOT ENDED", Side::Left),
        ("SCHEMA", Side::Left),
        ("INCARNATION", Side::Left),
        ("STORED UNTIL", Side::Left),
    ]);
    for Position {
        instance,
        schema,
        incarnation,
        part,
        tiers,
    } in facts.positions.iter().take(SHOWN_MAX)
    {
        let reached = tiers
            .iter()
            .map(|reached| format!("tier {} {}", reached.tier, show::time(reached.wall_ns.into())));
        let part = if *part == 0 {
            String::new()
        } else {
            format!("-{part}")
        };
        grid.add([
            instance.clone(),
            schema.clone(),
            format!("{}{part}", &incarnation[..8.min(incarnation.len())]),
            reached.collect::<Vec<_>>().join(", "),
        ]);
    }
    grid.write(out)?;
    let listed = facts.positions.len().saturating_sub(SHOWN_MAX) as u64;
    and_more(listed + facts.positions_left_out, out)
}

fn and_more(count: u64, out: &mut impl Write) -> anyhow::Result<()> {
    if count > 0 {
        writeln!(out, "… and {count} more")?;
    }
    Ok(())
}

fn csv(tiers: &[TierUsage], out: &mut impl Write) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "tier",
        "file_bytes",
        "extent_bytes",
        "extents",
        "extents_used",
        "runs",
        "rows",
        "points",
        "bytes",
        "written_ever_bytes",
        "oldest_ns",
        "newest_ns",
        "retention_ns",
        "retention_is_measured",
    ])?;
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    for tier in tiers {
        csv.write_record([
            tier.tier.to_string(),
            tier.file_bytes.to_string(),
            tier.extent_bytes.to_string(),
            tier.extents.to_string(),
            tier.extents_used.to_string(),
            tier.runs.to_string(),
            tier.rows.to_string(),
            tier.points.to_string(),
            tier.bytes.to_string(),
            tier.written_ever_bytes.to_string(),
            number(tier.oldest_ns),
            number(tier.newest_ns),
            tier.retention.map(|kept| kept.ns.to_string()).unwrap_or_default(),
            tier.retention
                .map(|kept| kept.is_measured.to_string())
                .unwrap_or_default(),
        ])?;
    }
    csv.flush()?;
    Ok(())
}
