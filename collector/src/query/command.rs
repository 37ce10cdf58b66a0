//! `rondo query`: the points of series.

use crate::cli::{Format, Query};
use crate::json;
use crate::output::{Grid, Side, stdout, write_json};
use crate::run::Outcome;
use crate::{show, target};
use rondo_reader::{Point, PointValue, Series, Slab, View};
use std::io::Write;

pub(crate) fn run(args: &Query) -> anyhow::Result<Outcome> {
    let slab = target::open(&args.target, &args.bus)?;
    let view = slab.view()?;
    let range = view.window().map(|(first, last)| {
        (
            args.range
                .first_ns(last, slab.layout().axis.interval_ns())
                .max(first),
            last,
        )
    });
    let series: Vec<&Series> = slab
        .series()
        .iter()
        .filter(|series| args.selector.matches(&series.name, &series.labels))
        .collect();

    let mut out = stdout();
    let point_count = match args.output.format {
        Format::Json => {
            let json = json::read(&slab, &view, series.iter().copied(), range)?;
            write_json(&mut out, &json)?;
            // Without points there are still the series.
            series.len()
        }
        Format::Csv => csv(&slab, &view, &series, range, &mut out)?,
        Format::Table => table(&slab, &view, &series, range, &mut out)?,
    };
    out.flush()?;
    if series.is_empty() {
        let count = slab.series().len();
        eprintln!(
            "rondo: no series matches; `rondo info {}` shows the {count} that are there",
            args.target
        );
    } else if point_count == 0 {
        eprintln!("rondo: nothing is known of these series in this range; try --range all");
    }
    Ok(if point_count == 0 {
        Outcome::Found
    } else {
        Outcome::Done
    })
}

/// A point's columns: value, count, sum, min, max, last.
fn columns(value: PointValue) -> [String; 6] {
    let text = |value: Option<f64>| value.map(show::number).unwrap_or_default();
    let only = |value: String| {
        let mut columns: [String; 6] = Default::default();
        columns[0] = value;
        columns
    };
    match value {
        PointValue::Gauge(value) => only(show::number(value)),
        PointValue::Counter(value) => only(value.to_string()),
        PointValue::Distribution {
            count,
            sum,
            min,
            max,
            last,
        } => [
            String::new(),
            count.to_string(),
            show::number(sum),
            text(min),
            text(max),
            text(last),
        ],
        PointValue::Torn => Default::default(),
    }
}

/// `filled partial`, in words.
fn flags(point: &Point) -> String {
    let flags = [
        ("filled", point.filled),
        ("partial", point.partial),
        ("torn", point.value == PointValue::Torn),
    ];
    flags
        .into_iter()
        .filter(|(_, is_set)| *is_set)
        .map(|(name, _)| name)
        .collect::<Vec<_>>()
        .join(" ")
}

fn csv(
    slab: &Slab,
    view: &View,
    series: &[&Series],
    range: Option<(u64, u64)>,
    out: &mut impl Write,
) -> anyhow::Result<usize> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "instance", "schema", "name", "labels", "t_ns", "time", "value", "count", "sum", "min", "max",
        "last", "flags",
    ])?;
    let (identity, mut rows) = (slab.identity(), 0);
    let Some((first, last)) = range else { return Ok(0) };
    for series in series {
        let labels = show::labels(&series.labels);
        for point in slab.range(series, view, first, last)? {
            let (t, time) = (point.t.to_string(), show::time(view.wall_ns(point.t)));
            let (values, flags) = (columns(point.value), flags(&point));
            let before = [
                &identity.instance,
                &identity.schema,
                &series.name,
                &labels,
                &t,
                &time,
            ];
            csv.write_record(before.into_iter().chain(&values).chain([&flags]))?;
            rows += 1;
        }
    }
    csv.flush()?;
    Ok(rows)
}

fn table(
    slab: &Slab,
    view: &View,
    series: &[&Series],
    range: Option<(u64, u64)>,
    out: &mut impl Write,
) -> anyhow::Result<usize> {
    use Side::{Left, Right};
    let numbers = ["VALUE", "COUNT", "SUM", "MIN", "MAX", "LAST"];
    // Columns that no selected series has would only take space.
    let has_values = series.iter().any(|series| !series.kind.is_distribution());
    let has_totals = series.iter().any(|series| series.kind.is_distribution());
    let wanted = |i: usize| if i == 0 { has_values } else { has_totals };
    let mut header = vec![("TIME", Left), ("SERIES", Left)];
    header.extend(
        numbers
            .iter()
            .enumerate()
            .filter(|(i, _)| wanted(*i))
            .map(|(_, name)| (*name, Right)),
    );
    header.extend([("UNIT", Left), ("FLAGS", Left)]);
    let mut grid = Grid::new(&header);
    let mut rows = 0;
    for series in series {
        let Some((first, last)) = range else { continue };
        let name = show::series(series);
        for point in slab.range(series, view, first, last)? {
            let mut row = vec![show::time(view.wall_ns(point.t)), name.clone()];
            row.extend(
                columns(point.value)
                    .into_iter()
                    .enumerate()
                    .filter(|(i, _)| wanted(*i))
                    .map(|(_, cell)| cell),
            );
            row.extend([series.unit.to_string(), flags(&point)]);
            grid.add(row);
            rows += 1;
        }
    }
    if rows > 0 {
        grid.write(out)?;
    }
    Ok(rows)
}
