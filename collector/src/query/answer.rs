//! What a query finds.

use crate::store::{RowValue, Source, StoredSeries};
use rondo_reader::Kind;
use rondo_shm_layout::Functions;
use std::sync::Arc;

/// All series that were found.
#[derive(Debug, Clone)]
pub struct Answer {
    /// By instance, then by time of creation, then in the order of registration.
    pub series: Vec<SeriesAnswer>,
    /// What could not be read, so that something may be missing.
    pub warnings: Vec<String>,
}

/// The points of one series.
#[derive(Debug, Clone)]
pub struct SeriesAnswer {
    /// Whose it is.
    pub source: Arc<Source>,
    /// What to add to slab time to show it on the wall clock.
    pub clock_offset_ns: i64,
    /// What it is.
    pub series: Arc<StoredSeries>,
    /// Which tier answered for which part, in order of time. Points of a part are all those that are known in it.
    pub parts: Vec<Part>,
    /// In order of time.
    pub points: Vec<Point>,
}

impl SeriesAnswer {
    /// A stamp as the present wall clock shows it.
    pub fn wall_ns(&self, t: u64) -> i128 {
        i128::from(t) + i128::from(self.clock_offset_ns)
    }

    /// The parts, each with its points.
    pub fn points_by_part(&self) -> impl Iterator<Item = (&Part, &[Point])> {
        self.parts.iter().scan(&self.points[..], |rest, part| {
            let (these, after) = rest.split_at(rest.partition_point(|point| point.t < part.end_ns));
            *rest = after;
            Some((part, these))
        })
    }
}

/// A stretch of time that one tier answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Number of the tier.
    pub tier: u8,
    /// Length of an interval.
    pub step_ns: u64,
    /// Slab time at which its first point's interval starts.
    pub start_ns: u64,
    /// Slab time at which its last point's interval ends.
    pub end_ns: u64,
    /// How many points of tier 0 an interval has, if that is a sensible number.
    pub expected: Option<u32>,
    /// The tier's consolidation functions; of no meaning for tier 0.
    pub functions: Functions,
}

/// What a series was in one interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Slab time at which the interval starts.
    pub t: u64,
    /// What is kept of it. `known` is the number of known points of tier 0; of a point of tier 0 it is 1, or 0 if torn.
    pub row: RowValue,
    /// Tier 0: nothing was stored for the interval; the value follows from that.
    pub filled: bool,
    /// Tier 0: the writer was, or died, in the middle of a write; nothing is known.
    pub torn: bool,
    /// The interval is not over, or was not when the row was made that is still open.
    pub partial: bool,
    /// Slab time of the machine's last tick, if the interval was cut short by its end.
    pub sealed_ns: Option<u64>,
    /// The quantiles that were asked for, of a histogram; empty for other kinds.
    pub quantiles: Vec<Option<f64>>,
}

impl Point {
    /// The mean of the known values of a gauge or counter over the interval, if their sum is kept.
    pub fn average(&self) -> Option<f64> {
        self.row
            .sum
            .filter(|_| self.row.known > 0)
            .map(|sum| sum / f64::from(self.row.known))
    }

    /// The one number that stands for a gauge's interval: of tier 0 its value; of others what the first of the tier's
    /// functions gives, in the order average, last, max, min, sum, count.
    pub fn gauge(&self, part: &Part) -> Option<f64> {
        if part.tier == 0 {
            return self.row.last;
        }
        let functions = match part.functions {
            default if default == Functions::default() => Functions::AVERAGE,
            functions => functions,
        };
        let choices = [
            (Functions::AVERAGE, self.average()),
            (Functions::LAST, self.row.last),
            (Functions::MAX, self.row.max),
            (Functions::MIN, self.row.min),
            (Functions::SUM, self.row.sum),
            (Functions::COUNT, Some(f64::from(self.row.known))),
        ];
        let chosen = choices.into_iter().find(|(function, _)| functions.has(*function));
        chosen.and_then(|(_, value)| value)
    }

    /// What a column `value` shows: a gauge's number, or a counter's total at the end of the interval. Distributions
    /// have none.
    pub fn value(&self, kind: Kind, part: &Part) -> Value {
        match kind {
            Kind::Gauge => self.gauge(part).map_or(Value::None, Value::Float),
            Kind::Counter => self.row.total.map_or(Value::None, Value::Whole),
            Kind::Distribution | Kind::Histogram => Value::None,
        }
    }

    /// The words that say what is special about it.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        [
            ("filled", self.filled),
            ("partial", self.partial),
            ("torn", self.torn),
            ("sealed", self.sealed_ns.is_some()),
        ]
        .into_iter()
        .filter(|(_, is_set)| *is_set)
        .map(|(name, _)| name)
    }
}

/// A number, whole where it has to stay exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// There is none.
    None,
    /// A counter's.
    Whole(u64),
    /// A gauge's.
    Float(f64),
}
