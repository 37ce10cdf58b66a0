//! The JSON of a slab: exactly `spec/json.md`, which readers in other languages print too.

use crate::show;
use rondo_reader::{Error, Kind, Point, PointValue, Series, Slab, View};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// A slab and the points of some of its series.
#[derive(Debug, Serialize)]
pub(crate) struct SlabJson<'s> {
    instance: &'s str,
    schema: &'s str,
    instance_labels: Pairs<'s>,
    incarnation: String,
    part: u32,
    interval_ns: u64,
    start_ns: u64,
    end_ns: u64,
    clock_offset_ns: i64,
    series: Vec<SeriesJson<'s>>,
}

#[derive(Debug, Serialize)]
struct SeriesJson<'s> {
    name: &'s str,
    kind: &'static str,
    unit: &'s str,
    help: &'s str,
    labels: Pairs<'s>,
    registered_ns: u64,
    ended_ns: Option<u64>,
    latest: Option<PointJson>,
    points: Vec<PointJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buckets: Option<Vec<(u64, Option<u64>, u64)>>,
}

/// Labels as an object, in their order.
#[derive(Debug)]
pub(crate) struct Pairs<'s>(pub(crate) &'s [(String, String)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A point. Numbers that are not finite become null, as JSON has no word for them.
#[derive(Debug)]
pub(crate) struct PointJson(pub(crate) Point);

impl Serialize for PointJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("t", &self.0.t)?;
        match self.0.value {
            PointValue::Gauge(value) => map.serialize_entry("value", &value)?,
            PointValue::Counter(value) => map.serialize_entry("value", &value)?,
            PointValue::Distribution {
                count,
                sum,
                min,
                max,
                last,
            } => {
                map.serialize_entry("count", &count)?;
                map.serialize_entry("sum", &sum)?;
                map.serialize_entry("min", &min)?;
                map.serialize_entry("max", &max)?;
                map.serialize_entry("last", &last)?;
            }
            PointValue::Torn => map.serialize_entry("torn", &true)?,
        }
        for (flag, is_set) in [("filled", self.0.filled), ("partial", self.0.partial)] {
            if is_set {
                map.serialize_entry(flag, &true)?;
            }
        }
        map.end()
    }
}

/// Reads `series` of `slab` in the intervals from `first_ns` to `last_ns`, which are in the view's window.
pub(crate) fn read<'s>(
    slab: &'s Slab,
    view: &View,
    series: impl IntoIterator<Item = &'s Series>,
    range: Option<(u64, u64)>,
) -> Result<SlabJson<'s>, Error> {
    let (identity, interval_ns) = (slab.identity(), slab.layout().axis.interval_ns());
    let read_one = |series: &'s Series| -> Result<SeriesJson<'s>, Error> {
        let points = match range {
            Some((first, last)) => slab.range(series, view, first, last)?,
            None => Vec::new(),
        };
        let buckets = slab.buckets(series, view)?;
        Ok(SeriesJson {
            name: &series.name,
            kind: series.kind.as_str(),
            unit: series.unit.as_str(),
            help: &series.help,
            labels: Pairs(&series.labels),
            registered_ns: series.registered_ns,
            ended_ns: slab.ended_ns(series)?,
            latest: slab.latest(series, view)?.map(PointJson),
            points: points.into_iter().map(PointJson).collect(),
            buckets: buckets.filter(|_| series.kind == Kind::Histogram).map(|buckets| {
                buckets
                    .non_empty()
                    .map(|one| (one.lower, one.upper, one.count))
                    .collect()
            }),
        })
    };
    Ok(SlabJson {
        instance: &identity.instance,
        schema: &identity.schema,
        instance_labels: Pairs(&identity.labels),
        incarnation: show::hex(&identity.incarnation),
        part: identity.part,
        interval_ns,
        start_ns: range.map_or(0, |(first, _)| first),
        end_ns: range.map_or(0, |(_, last)| last.saturating_add(interval_ns)),
        clock_offset_ns: view.clock_offset_ns,
        series: series.into_iter().map(read_one).collect::<Result<_, _>>()?,
    })
}

/// The JSON of all of a slab, as `rondo query SLAB '{}' --range all -o json` prints it.
///
/// # Errors
/// [`Error::Lost`], or the system's refusal to say whether the writer lives.
pub fn slab_json(slab: &Slab) -> Result<serde_json::Value, Error> {
    let view = slab.view()?;
    let json = read(slab, &view, slab.series(), view.window())?;
    // Numbers, strings and objects with string keys always have a JSON value.
    Ok(serde_json::to_value(json).unwrap_or_default())
}
