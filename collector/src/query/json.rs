//! The JSON of an answer: exactly `spec/query.md`. What prints an answer works from it too, so that
//! one from far away looks like one from here.

use super::answer::{Answer, Part, Point, SeriesAnswer, Value};
use super::input::StoredRuns;
use super::plan::Plan;
use super::{Request, Tier};
use crate::show;
use rondo_reader::Kind;
use rondo_shm_layout::{Functions, Labels};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// An answer. All times are nanoseconds since the Unix epoch on the present wall clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerJson {
    /// What was asked for; null where the range is open.
    pub start_wall_ns: Option<i64>,
    /// Exclusive.
    pub end_wall_ns: Option<i64>,
    /// `auto`, or the tier's number.
    pub tier: TierJson,
    /// Which quantiles points have, in their order.
    pub quantiles: Vec<f64>,
    /// By instance, then by time of creation, then in the order of registration.
    pub series: Vec<SeriesJson>,
    /// What could not be read, so that something may be missing.
    pub warnings: Vec<String>,
}

/// From which tier points come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TierJson {
    /// `auto`.
    Name(String),
    /// A number.
    Number(u8),
}

/// The points of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "spec/query.md says what each is")]
pub struct SeriesJson {
    pub instance: String,
    pub schema: String,
    pub instance_labels: BTreeMap<String, String>,
    pub incarnation: String,
    pub part: u32,
    pub clock_offset_ns: i64,
    pub name: String,
    pub kind: String,
    pub unit: String,
    pub help: String,
    pub labels: BTreeMap<String, String>,
    pub parts: Vec<PartJson>,
    pub points: Vec<PointJson>,
}

/// A stretch of time that one tier answers for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "spec/query.md says what each is")]
pub struct PartJson {
    pub tier: u8,
    pub step_ns: u64,
    pub start_wall_ns: i128,
    pub end_wall_ns: i128,
    pub expected: Option<u32>,
    pub functions: Vec<String>,
}

/// A point. What is not kept or not known is left out, or null.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "spec/query.md says what each is")]
pub struct PointJson {
    pub wall_ns: i128,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<NumberJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quantiles: Vec<Option<f64>>,
    #[serde(skip_serializing_if = "is_false")]
    pub filled: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub partial: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub torn: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed_wall_ns: Option<i128>,
}

/// A whole number stays exact up to 2^64 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NumberJson {
    /// A counter's.
    Whole(u64),
    /// A gauge's.
    Float(f64),
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl From<&SeriesAnswer> for SeriesJson {
    fn from(answer: &SeriesAnswer) -> Self {
        let (source, series) = (&answer.source, &answer.series);
        let pairs = |labels: &Labels| labels.iter().cloned().collect();
        Self {
            instance: source.instance.clone(),
            schema: source.schema.clone(),
            instance_labels: pairs(&source.labels),
            incarnation: show::hex(&source.incarnation),
            part: source.part,
            clock_offset_ns: answer.clock_offset_ns,
            name: series.name.clone(),
            kind: series.kind.as_str().to_owned(),
            unit: series.unit.as_str().to_owned(),
            help: series.help.clone(),
            labels: pairs(&series.labels),
            parts: answer
                .parts
                .iter()
                .map(|part| PartJson::new(answer, part))
                .collect(),
            points: answer
                .points_by_part()
                .flat_map(|(part, points)| {
                    points
                        .iter()
                        .map(move |point| PointJson::new(answer, part, point))
                })
                .collect(),
        }
    }
}

impl PartJson {
    fn new(answer: &SeriesAnswer, part: &Part) -> Self {
        let names = Functions::ALL
            .iter()
            .filter(|(_, bit)| part.functions.0 & bit != 0);
        Self {
            tier: part.tier,
            step_ns: part.step_ns,
            start_wall_ns: answer.wall_ns(part.start_ns),
            end_wall_ns: answer.wall_ns(part.end_ns),
            expected: part.expected,
            functions: names.map(|(name, _)| (*name).to_owned()).collect(),
        }
    }
}

impl PointJson {
    fn new(answer: &SeriesAnswer, part: &Part, point: &Point) -> Self {
        let (kind, row) = (answer.series.kind, point.row);
        // A gauge's only number in tier 0 is its value.
        let is_plain = part.tier == 0 && !kind.is_distribution();
        let unless_plain = |value: Option<f64>| value.filter(|value| !is_plain && value.is_finite());
        Self {
            wall_ns: answer.wall_ns(point.t),
            value: match point.value(kind, part) {
                Value::Whole(value) => Some(NumberJson::Whole(value)),
                Value::Float(value) if value.is_finite() => Some(NumberJson::Float(value)),
                Value::Float(_) | Value::None => None,
            },
            average: unless_plain(point.average()).filter(|_| !kind.is_distribution()),
            count: match kind {
                Kind::Distribution | Kind::Histogram => row.total,
                _ => Some(u64::from(row.known))
                    .filter(|_| part.tier > 0 && part.functions.has(Functions::COUNT)),
            },
            sum: unless_plain(row.sum),
            min: unless_plain(row.min),
            max: unless_plain(row.max),
            last: unless_plain(row.last),
            known: (part.tier > 0).then_some(row.known),
            quantiles: point.quantiles.clone(),
            filled: point.filled,
            partial: point.partial,
            torn: point.torn,
            sealed_wall_ns: point.sealed_ns.map(|t| answer.wall_ns(t)),
        }
    }
}

/// All of an answer but its series.
fn frame(request: &Request, warnings: Vec<String>) -> AnswerJson {
    let bound = |t: i128, open: i128| i64::try_from(t).ok().filter(|_| t != open);
    AnswerJson {
        start_wall_ns: bound(request.range.start, Request::ALL_TIME.start),
        end_wall_ns: bound(request.range.end, Request::ALL_TIME.end),
        tier: match request.tier {
            Tier::Auto => TierJson::Name("auto".to_owned()),
            Tier::Number(tier) => TierJson::Number(tier),
        },
        quantiles: request.quantiles.clone(),
        series: Vec::new(),
        warnings,
    }
}

impl AnswerJson {
    /// That of an answer to `request`.
    pub fn new(request: &Request, answer: &Answer) -> Self {
        Self {
            series: answer.series.iter().map(SeriesJson::from).collect(),
            ..frame(request, answer.warnings.clone())
        }
    }
}

/// Reads and writes one series after the other, so that no more than one is in memory.
///
/// # Errors
/// Those of `out`.
pub fn write_json<S: StoredRuns + ?Sized>(plan: &Plan<'_, S>, out: &mut impl Write) -> io::Result<()> {
    let frame = frame(plan.request(), Vec::new());
    out.write_all(b"{\"start_wall_ns\":")?;
    serde_json::to_writer(&mut *out, &frame.start_wall_ns)?;
    out.write_all(b",\"end_wall_ns\":")?;
    serde_json::to_writer(&mut *out, &frame.end_wall_ns)?;
    out.write_all(b",\"tier\":")?;
    serde_json::to_writer(&mut *out, &frame.tier)?;
    out.write_all(b",\"quantiles\":")?;
    serde_json::to_writer(&mut *out, &frame.quantiles)?;
    out.write_all(b",\"series\":[")?;
    let mut warnings = plan.warnings().to_vec();
    for index in 0..plan.series_count() {
        if index > 0 {
            out.write_all(b",")?;
        }
        let series = SeriesJson::from(&plan.read(index, &mut warnings));
        serde_json::to_writer(&mut *out, &series)?;
    }
    out.write_all(b"],\"warnings\":")?;
    serde_json::to_writer(&mut *out, &warnings)?;
    out.write_all(b"}\n")
}
