//! `rondo query --follow`: points as they become complete.

use super::{print, warn};
use crate::commands::cli::Format;
use crate::commands::output::stdout;
use crate::query::{AnswerJson, PointJson, SeriesJson, name_of};
use serde::Serialize;
use std::collections::HashMap;
use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(1);

/// What one look found.
pub(super) struct Look {
    pub(super) answer: AnswerJson,
    /// Whether nothing more will come.
    pub(super) is_last: bool,
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    instance: &'a str,
    schema: &'a str,
    incarnation: &'a str,
    name: &'a str,
    labels: &'a std::collections::BTreeMap<String, String>,
    #[serde(flatten)]
    point: &'a PointJson,
}

/// Prints what is new at each `look`, until the last. A look is given the wall time from which on it has to answer.
/// What there is at the first look is not new, unless that is the last, too.
pub(super) fn follow(
    format: Format,
    mut look: impl FnMut(Option<i128>) -> anyhow::Result<Look>,
) -> anyhow::Result<usize> {
    let mut printed: HashMap<(String, String, u32, String), i128> = HashMap::new();
    let (mut count, mut is_first, mut from) = (0, true, None);
    loop {
        let Look { answer, is_last } = look(from)?;
        let mut fresh: Vec<(&SeriesJson, &PointJson)> = Vec::new();
        for series in &answer.series {
            let name = name_of(series);
            let key = (
                series.incarnation.clone(),
                series.schema.clone(),
                series.part,
                name,
            );
            let newest = printed.entry(key).or_insert(i128::MIN);
            for point in series.points.iter().filter(|point| !point.partial) {
                if point.wall_ns > *newest {
                    *newest = point.wall_ns;
                    fresh.push((series, point));
                }
            }
        }
        if !is_first || is_last {
            // Stable: of one interval, in the order of the answer.
            fresh.sort_by_key(|(_, point)| point.wall_ns);
            print_fresh(format, &answer, &fresh, count == 0)?;
            if count == 0 && !fresh.is_empty() {
                warn(print::why_no_quantiles(&answer).as_slice());
            }
            count += fresh.len();
        }
        if is_last {
            return Ok(count);
        }
        // A coarse row becomes complete long after its start.
        let steps = answer
            .series
            .iter()
            .flat_map(|series| &series.parts)
            .map(|part| part.step_ns);
        let reach = 2 * i128::from(steps.max().unwrap_or(0)) + 10_000_000_000;
        from = printed
            .values()
            .max()
            .filter(|newest| **newest > i128::MIN)
            .map(|newest| newest - reach);
        is_first = false;
        sleep(PERIOD);
    }
}

fn print_fresh(
    format: Format,
    answer: &AnswerJson,
    fresh: &[(&SeriesJson, &PointJson)],
    is_start: bool,
) -> anyhow::Result<()> {
    let mut out = stdout();
    match format {
        Format::Table => {
            for (series, point) in fresh {
                writeln!(out, "{}", print::line(&answer.quantiles, series, point))?;
            }
        }
        Format::Json => {
            for (series, point) in fresh {
                let line = Line {
                    instance: &series.instance,
                    schema: &series.schema,
                    incarnation: &series.incarnation,
                    name: &series.name,
                    labels: &series.labels,
                    point,
                };
                serde_json::to_writer(&mut out, &line)?;
                writeln!(out)?;
            }
        }
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(&mut out);
            if is_start && !fresh.is_empty() {
                csv.write_record(print::csv_header(&answer.quantiles))?;
            }
            for (series, point) in fresh {
                csv.write_record(print::csv_row(&answer.quantiles, series, point))?;
            }
            csv.flush()?;
        }
    }
    out.flush()?;
    Ok(())
}
