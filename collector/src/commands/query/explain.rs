//! `rondo explain`: an explanation as a table, CSV or JSON.

use super::place::Place;
use super::{limits, pairs, request, warn};
use crate::commands::Outcome;
use crate::commands::cli::{Explain, Format, Selection};
use crate::commands::output::{Grid, Side, stdout, write_json};
use crate::query::{Explanation, explain};
use crate::show;
use anyhow::Context;
use std::io::Write;

pub(crate) fn run_explain(args: &Explain) -> anyhow::Result<Outcome> {
    let selection = &args.selection;
    let place = Place::open(selection, selection.store.as_deref())?;
    let params = place.params(selection);
    let explanation = match &place {
        Place::Remote(remote) => {
            let body = remote.get("/metrics/explain", &pairs(selection))?;
            serde_json::from_slice(&body).context("this is no explanation")?
        }
        _ => place.with(|live, store| {
            let request = request(live, store, &params, limits(selection))?;
            Ok(explain(live, store, &request)?)
        })?,
    };
    print_explanation(&explanation, selection)?;
    Ok(if explanation.points == 0 {
        Outcome::Found
    } else {
        Outcome::Done
    })
}

fn print_explanation(explanation: &Explanation, selection: &Selection) -> anyhow::Result<()> {
    let mut out = stdout();
    match selection.output.format {
        Format::Json => write_json(&mut out, explanation)?,
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(&mut out);
            csv.write_record(COLUMNS.map(|(name, _)| name.to_lowercase()))?;
            for row in rows(explanation) {
                csv.write_record(row)?;
            }
            csv.flush()?;
        }
        Format::Table => {
            let mut grid = Grid::new(&COLUMNS);
            for row in rows(explanation) {
                grid.add(row);
            }
            if !explanation.series.is_empty() {
                grid.write(&mut out)?;
            }
            if let Some(reason) = &explanation.reason {
                writeln!(out, "No points: {}.", show::printable(reason))?;
            }
        }
    }
    out.flush()?;
    warn(&explanation.warnings);
    Ok(())
}

const COLUMNS: [(&str, Side); 10] = [
    ("INSTANCE", Side::Left),
    ("RUN", Side::Left),
    ("SERIES", Side::Left),
    ("TIER", Side::Right),
    ("STEP", Side::Right),
    ("OLDEST", Side::Left),
    ("NEWEST", Side::Left),
    ("INTERVALS", Side::Right),
    ("ANSWERS", Side::Left),
    ("ENDED", Side::Left),
];

/// A row for each tier of each series.
fn rows(explanation: &Explanation) -> impl Iterator<Item = [String; 10]> {
    explanation.series.iter().flat_map(|series| {
        series.tiers.iter().map(|tier| {
            let parts = series
                .parts
                .iter()
                .filter(|part| (part.tier, part.step_ns) == (tier.tier, tier.step_ns));
            let answers: Vec<String> = parts
                .map(|part| {
                    format!(
                        "{} to {}",
                        show::time(part.start_wall_ns),
                        show::time(part.end_wall_ns)
                    )
                })
                .collect();
            [
                series.instance.clone(),
                series.incarnation.chars().take(8).collect(),
                series.series.clone(),
                tier.tier.to_string(),
                show::duration(tier.step_ns),
                show::time(tier.oldest_wall_ns),
                show::time(tier.newest_wall_ns),
                tier.intervals.to_string(),
                answers.join(", "),
                series.ended_wall_ns.map(show::time).unwrap_or_default(),
            ]
        })
    })
}
