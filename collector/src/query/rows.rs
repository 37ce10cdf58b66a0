//! Rows as they were read, before tiers are joined: those that are stored, and those of a slab.

use super::answer::Point;
use super::join::Row;
use crate::store::{BucketCounts, RowValue, state};
use rondo_reader::{Point as SlabPoint, PointValue};
use rondo_shm_layout::Functions;

/// A row as it was read.
pub(super) struct Found {
    pub(super) point: Point,
    pub(super) functions: Functions,
    /// Cumulative, at the end of the interval; where they are known.
    pub(super) buckets: Option<BucketCounts>,
    /// Whether the series had no sample before the interval.
    pub(super) is_first: bool,
}

/// Rows of one tier, in order of time.
pub(super) struct TierRows {
    pub(super) tier: u8,
    pub(super) interval_ns: u64,
    pub(super) rows: Vec<Found>,
}

/// Where a row is among those of all tiers.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) start_ns: u64,
    pub(super) known: u64,
    pub(super) index: usize,
}

impl Row for Candidate {
    fn start_ns(&self) -> u64 {
        self.start_ns
    }

    fn known(&self) -> u64 {
        self.known
    }
}

/// The rows of a tier, added if there are none yet.
pub(super) fn level(tiers: &mut Vec<TierRows>, tier: u8, interval_ns: u64) -> &mut TierRows {
    let at = tiers
        .iter()
        .position(|rows| (rows.tier, rows.interval_ns) == (tier, interval_ns));
    let at = at.unwrap_or_else(|| {
        tiers.push(TierRows {
            tier,
            interval_ns,
            rows: Vec::new(),
        });
        tiers.len() - 1
    });
    &mut tiers[at]
}

/// A stored row as a point; `None` if nothing is known.
pub(super) fn point_of(tier: u8, t: u64, row: RowValue) -> Option<Point> {
    let (is_torn, is_filled) = match (tier, row.known) {
        (_, state::UNKNOWN) => return None,
        (0, known) => (known == state::TORN, known == state::FILLED),
        _ => (false, false),
    };
    let row = match tier {
        0 if is_torn => NOTHING,
        0 => RowValue { known: 1, ..row },
        _ => row,
    };
    Some(Point {
        t,
        row,
        filled: is_filled,
        torn: is_torn,
        partial: false,
        sealed_ns: None,
        quantiles: Vec::new(),
    })
}

const NOTHING: RowValue = RowValue {
    known: 0,
    total: None,
    sum: None,
    min: None,
    max: None,
    last: None,
};

/// A slab's point; `None` for a gauge that is not a number, which breaks the rules.
pub(super) fn found_in_slab(point: SlabPoint) -> Option<Found> {
    let row = match point.value {
        PointValue::Gauge(value) if value.is_nan() => return None,
        PointValue::Gauge(value) => RowValue {
            known: 1,
            last: Some(value),
            ..NOTHING
        },
        PointValue::Counter(total) => RowValue {
            known: 1,
            total: Some(total),
            ..NOTHING
        },
        PointValue::Distribution {
            count,
            sum,
            min,
            max,
            last,
        } => RowValue {
            known: 1,
            total: Some(count),
            sum: Some(sum),
            min,
            max,
            last,
        },
        PointValue::Torn => NOTHING,
    };
    Some(Found {
        point: Point {
            t: point.t,
            row,
            filled: point.filled,
            torn: point.value == PointValue::Torn,
            partial: point.partial,
            sealed_ns: None,
            quantiles: Vec::new(),
        },
        functions: Functions::default(),
        buckets: None,
        is_first: false,
    })
}
