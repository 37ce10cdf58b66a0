//! What of a row leaves, and as what.

use crate::export::Nature;
use crate::export::remote_write::aggregate::Aggregated;
use crate::export::remote_write::lane::{Lane, Prepared, What};
use crate::export::remote_write::point::{Point, PointValue, STALE_BITS};
use crate::export::remote_write::proto;
use rondo_shm_layout::Labels;
use std::hash::{Hash, Hasher};

/// A value in the making of a batch.
pub(super) struct Value {
    pub(super) lane: usize,
    pub(super) series: usize,
    pub(super) stamp_ms: i64,
    pub(super) start_ms: i64,
    pub(super) value: f64,
    pub(super) histogram: Option<proto::Histogram>,
}

/// Labels that are in a request, known by a hash that was taken when they were prepared.
#[derive(PartialEq, Eq)]
pub(super) struct Seen<'l> {
    pub(super) hash: u64,
    pub(super) labels: &'l Labels,
}

impl<'l> Seen<'l> {
    pub(super) fn of(prepared: &'l Prepared) -> Self {
        Self {
            hash: prepared.hash,
            labels: &prepared.labels,
        }
    }
}

impl Hash for Seen<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

pub(super) fn merged_point(sample: &Aggregated) -> Point<'_> {
    Point {
        labels: &sample.labels,
        family: None,
        timestamp_ms: sample.stamp_ms,
        start_ms: 0,
        value: PointValue::Number(sample.value),
    }
}

/// The values of the row at the head of a lane.
pub(super) fn values_of(lane: &Lane, number: usize, values: &mut Vec<Value>) {
    let Some(head) = lane.head() else { return };
    let source = &head.run.source;
    let created_ms = i128::from(source.created_ns) + i128::from(head.run.clock_offset_ns);
    let created_ms = i64::try_from(created_ms / 1_000_000).unwrap_or(0);
    for (series, prepared) in lane.prepared().iter().enumerate() {
        if !prepared.leaves {
            continue;
        }
        let outgoing = &prepared.outgoing;
        let (value, histogram) = if head.what == What::Zeros {
            let begins = outgoing.series() >= lane.progress.series_count.into();
            let is_there =
                outgoing.nature == Nature::Cumulative && outgoing.value(head.run, head.row).is_some();
            if !begins || !is_there {
                continue;
            }
            (0.0, None)
        } else if head.what == What::End {
            // Only what was there can end.
            let was_there = (0..head.run.rows()).any(|row| {
                outgoing.value(head.run, row).is_some() || outgoing.native(head.run, row).is_some()
            });
            if !was_there {
                continue;
            }
            (f64::from_bits(STALE_BITS), None)
        } else if outgoing.is_native() {
            let Some(native) = outgoing.native(head.run, head.row) else {
                continue;
            };
            (0.0, Some(proto::Histogram::new(&native, head.stamp_ms)))
        } else {
            let Some(value) = outgoing.value(head.run, head.row) else {
                continue;
            };
            (value, None)
        };
        let has_start = outgoing.nature == Nature::Cumulative && !source.simulated_time;
        values.push(Value {
            lane: number,
            series,
            stamp_ms: head.stamp_ms,
            start_ms: if has_start { created_ms } else { 0 },
            value,
            histogram,
        });
    }
}
