//! An answer as a table, or as CSV.

use crate::commands::output::{Grid, Side};
use crate::query::{AnswerJson, NumberJson, PartJson, PointJson, SeriesJson, name_of};
use crate::show;
use std::io::Write;

/// How many points an answer has.
pub(super) fn point_count(answer: &AnswerJson) -> usize {
    answer.series.iter().map(|series| series.points.len()).sum()
}

/// Each point with its series.
fn rows(answer: &AnswerJson) -> impl Iterator<Item = (&SeriesJson, &PointJson)> {
    answer
        .series
        .iter()
        .flat_map(|series| series.points.iter().map(move |point| (series, point)))
}

/// The part that a point is in.
fn part_of<'s>(series: &'s SeriesJson, point: &PointJson) -> Option<&'s PartJson> {
    let at = series
        .parts
        .partition_point(|part| part.end_wall_ns <= point.wall_ns);
    series.parts.get(at)
}

/// A point's columns: value, count, sum, min, max, last, average.
fn numbers(point: &PointJson, shown: impl Fn(f64) -> String) -> [String; 7] {
    let float = |value: Option<f64>| value.map(&shown).unwrap_or_default();
    [
        match point.value {
            Some(NumberJson::Whole(value)) => value.to_string(),
            Some(NumberJson::Float(value)) => shown(value),
            None => String::new(),
        },
        point.count.map(|count| count.to_string()).unwrap_or_default(),
        float(point.sum),
        float(point.min),
        float(point.max),
        float(point.last),
        float(point.average),
    ]
}

/// The quantiles of a point, as many as were asked for. They are known to a part of a bucket, so that people are shown
/// brief ones; programs get what was computed.
fn quantile_cells(quantiles: &[f64], point: &PointJson, shown: impl Fn(f64) -> String) -> Vec<String> {
    let of = |index| point.quantiles.get(index).copied().flatten();
    (0..quantiles.len())
        .map(|index| of(index).map(&shown).unwrap_or_default())
        .collect()
}

/// Why the quantiles that were asked for are nowhere in an answer that has points.
pub(super) fn why_no_quantiles(answer: &AnswerJson) -> Option<&'static str> {
    let mut points = answer.series.iter().flat_map(|series| &series.points);
    let is_asked = !answer.quantiles.is_empty() && point_count(answer) > 0;
    if !is_asked || points.any(|point| point.quantiles.iter().any(Option::is_some)) {
        return None;
    }
    let mut parts = answer.series.iter().flat_map(|series| &series.parts);
    Some(if answer.series.iter().all(|series| series.kind != "histogram") {
        "only histograms have quantiles"
    } else if parts.all(|part| part.tier == 0) {
        "tier 0 keeps no buckets of each interval, and so no quantiles; ask for --tier 1"
    } else {
        "the buckets of these intervals are not known, and so no quantiles"
    })
}

/// `filled partial`, in words.
fn flags(point: &PointJson) -> String {
    let flags = [
        ("filled", point.filled),
        ("partial", point.partial),
        ("torn", point.torn),
        ("sealed", point.sealed_wall_ns.is_some()),
    ];
    let names: Vec<&str> = flags
        .into_iter()
        .filter(|(_, is_set)| *is_set)
        .map(|(name, _)| name)
        .collect();
    names.join(" ")
}

/// `9/10`: how many of the intervals of tier 0 are known.
fn known(part: Option<&PartJson>, point: &PointJson) -> String {
    match (point.known, part.and_then(|part| part.expected)) {
        (Some(known), Some(expected)) => format!("{known}/{expected}"),
        (Some(known), None) => known.to_string(),
        (None, _) => String::new(),
    }
}

/// Names of the quantiles as columns: `q0.99`.
fn quantile_names(quantiles: &[f64]) -> Vec<String> {
    quantiles
        .iter()
        .map(|q| format!("q{}", show::number(*q)))
        .collect()
}

/// The columns of CSV. Those of quantiles come last.
pub(super) fn csv_header(quantiles: &[f64]) -> Vec<String> {
    let names = "instance,schema,name,labels,t_ns,time,value,count,sum,min,max,last,flags,average,known,expected,\
                 tier,step_ns,incarnation";
    names
        .split(',')
        .map(ToOwned::to_owned)
        .chain(quantile_names(quantiles))
        .collect()
}

/// A row of CSV.
pub(super) fn csv_row(quantiles: &[f64], series: &SeriesJson, point: &PointJson) -> Vec<String> {
    let part = part_of(series, point);
    let [value, count, sum, min, max, last, average] = numbers(point, show::number);
    let text = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let labels = series
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    let slab_ns = point.wall_ns - i128::from(series.clock_offset_ns);
    let mut row = vec![
        series.instance.clone(),
        series.schema.clone(),
        series.name.clone(),
        show::labels(&labels.collect()),
        slab_ns.to_string(),
        show::time(point.wall_ns),
        value,
        count,
        sum,
        min,
        max,
        last,
        flags(point),
        average,
        text(point.known.map(u64::from)),
        text(
            part.filter(|_| point.known.is_some())
                .and_then(|part| part.expected)
                .map(u64::from),
        ),
        text(part.map(|part| u64::from(part.tier))),
        text(part.map(|part| part.step_ns)),
        series.incarnation.clone(),
    ];
    row.extend(quantile_cells(quantiles, point, show::number));
    row
}

/// Prints CSV, one series after the other, and counts the points.
pub(super) fn csv(
    quantiles: &[f64],
    all: impl IntoIterator<Item = SeriesJson>,
    out: &mut impl Write,
) -> anyhow::Result<usize> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(csv_header(quantiles))?;
    let mut count = 0;
    for series in all {
        for point in &series.points {
            csv.write_record(csv_row(quantiles, &series, point))?;
        }
        count += series.points.len();
    }
    csv.flush()?;
    Ok(count)
}

/// Prints a table, without the columns that say nothing here.
pub(super) fn table(answer: &AnswerJson, out: &mut impl Write) -> anyhow::Result<()> {
    let mut header = vec![
        "TIME", "INSTANCE", "SERIES", "TIER", "VALUE", "COUNT", "SUM", "MIN", "MAX", "LAST", "AVERAGE",
    ]
    .into_iter()
    .map(ToOwned::to_owned)
    .collect::<Vec<_>>();
    header.extend(
        quantile_names(&answer.quantiles)
            .iter()
            .map(|name| name.to_uppercase()),
    );
    header.extend(["KNOWN", "UNIT", "FLAGS"].map(ToOwned::to_owned));

    let mut sources: Vec<_> = answer
        .series
        .iter()
        .map(|one| (&one.instance, &one.incarnation))
        .collect();
    sources.dedup();
    let mut cells: Vec<Vec<String>> = Vec::new();
    for (series, point) in rows(answer) {
        let part = part_of(series, point);
        let tier = part.map(|part| format!("{} ({})", part.tier, show::duration(part.step_ns)));
        let is_coarse = series.parts.iter().any(|part| part.tier > 0);
        let mut row = vec![
            show::time(point.wall_ns),
            series.instance.clone(),
            name_of(series),
            tier.filter(|_| is_coarse).unwrap_or_default(),
        ];
        row.extend(numbers(point, show::brief));
        row.extend(quantile_cells(&answer.quantiles, point, show::brief));
        row.extend([known(part, point), series.unit.clone(), flags(point)]);
        // An answer may come from afar, and a table goes to a terminal.
        cells.push(row.iter().map(|cell| show::printable(cell)).collect());
    }
    // What is empty in all rows would only take space; a machine is named where there are several.
    let is_shown = |index: usize| match header[index].as_str() {
        "TIME" | "SERIES" | "UNIT" | "FLAGS" => true,
        "INSTANCE" => sources.len() > 1,
        // The mean is what a gauge's value mostly is; where it differs it is shown.
        "AVERAGE" => cells
            .iter()
            .any(|row| !row[index].is_empty() && row[index] != row[4]),
        _ => cells.iter().any(|row| !row[index].is_empty()),
    };
    let shown: Vec<usize> = (0..header.len()).filter(|&index| is_shown(index)).collect();
    let side = |index: usize| match header[index].as_str() {
        "TIME" | "INSTANCE" | "SERIES" | "TIER" | "UNIT" | "FLAGS" => Side::Left,
        _ => Side::Right,
    };
    let columns: Vec<(&str, Side)> = shown
        .iter()
        .map(|&index| (header[index].as_str(), side(index)))
        .collect();
    let mut grid = Grid::new(&columns);
    for row in &cells {
        grid.add(shown.iter().map(|&index| row[index].clone()));
    }
    if !cells.is_empty() {
        grid.write(out)?;
    }
    Ok(())
}

/// One point on a line, for those who watch.
pub(super) fn line(quantiles: &[f64], series: &SeriesJson, point: &PointJson) -> String {
    const NAMES: [&str; 7] = ["", "count ", "sum ", "min ", "max ", "last ", "average "];
    let mut line = format!(
        "{}  {}  {}",
        show::time(point.wall_ns),
        series.instance,
        name_of(series)
    );
    for (name, number) in NAMES
        .iter()
        .zip(numbers(point, show::brief))
        .filter(|(_, number)| !number.is_empty())
    {
        line.push_str(&format!("  {name}{number}"));
    }
    for (name, number) in quantile_names(quantiles)
        .iter()
        .zip(quantile_cells(quantiles, point, show::brief))
        .filter(|(_, number)| !number.is_empty())
    {
        line.push_str(&format!("  {name} {number}"));
    }
    let part = part_of(series, point);
    let is_cut = point.known.is_some() && part.and_then(|part| part.expected) > point.known;
    let cut = if is_cut {
        format!("{} known", known(part, point))
    } else {
        String::new()
    };
    for word in [series.unit.clone(), cut, flags(point)]
        .iter()
        .filter(|word| !word.is_empty())
    {
        line.push_str(&format!("  {word}"));
    }
    show::printable(&line)
}
