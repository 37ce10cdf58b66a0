//! A batch: samples that leave in one request, and what is then behind them.

use crate::export::progress::{Record, SliceProgress};
use crate::export::ExportCursor;
use crate::store::ProgressKey;
use rondo_shm_layout::Labels;
use std::sync::Arc;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A sample on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct OutSample {
    /// Sorted by name and unique, `__name__` among them.
    pub labels: Arc<Labels>,
    /// Milliseconds since the Unix epoch.
    pub stamp_ms: i64,
    /// NaN only as a stale marker.
    pub value: f64,
}

/// The bits of a stale marker: a NaN of its own, by which Prometheus ends a series.
pub const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

/// How far an export is once a batch is done with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Step {
    pub(super) archive_id: [u8; 16],
    /// Frames below have left.
    pub(super) passed: u64,
    pub(super) slices: Vec<(ProgressKey, SliceProgress)>,
    /// What changed in the aggregates.
    pub(super) aggregates: Vec<u8>,
}

/// The head of a batch in a journal. Slices, aggregates and the body follow.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    archive_id: [u8; 16],
    passed: U64,
    slice_count: U32,
    aggregates_length: U32,
}

impl Step {
    /// In a journal, with the request's body.
    pub(super) fn to_bytes(&self, body: &[u8]) -> Vec<u8> {
        let head = Head {
            archive_id: self.archive_id,
            passed: self.passed.into(),
            slice_count: (self.slices.len() as u32).into(),
            aggregates_length: (self.aggregates.len() as u32).into(),
        };
        let mut bytes = head.as_bytes().to_vec();
        for (key, progress) in &self.slices {
            bytes.extend(Record::new(key, progress).as_bytes());
        }
        bytes.extend(&self.aggregates);
        bytes.extend(body);
        bytes
    }

    /// What a journal has of a batch of that tier, and the body of its request; `None` if it is something else.
    pub(super) fn from_bytes(bytes: &[u8], tier: u8) -> Option<(Self, &[u8])> {
        let (head, rest) = Head::ref_from_prefix(bytes).ok()?;
        let (records, rest) =
            <[Record]>::ref_from_prefix_with_elems(rest, head.slice_count.get() as usize).ok()?;
        let (aggregates, body) = rest.split_at_checked(head.aggregates_length.get() as usize)?;
        let step = Self {
            archive_id: head.archive_id,
            passed: head.passed.get(),
            slices: records.iter().map(|record| record.parts(tier)).collect(),
            aggregates: aggregates.to_vec(),
        };
        Some((step, body))
    }

    /// Moves a cursor behind the batch.
    pub(super) fn apply(&self, cursor: &mut ExportCursor) {
        (cursor.archive_id, cursor.passed) = (self.archive_id, self.passed);
        cursor.slices.extend(self.slices.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step(slices: usize, aggregates: Vec<u8>) -> Step {
        let key = |number: usize| ProgressKey {
            incarnation: [number as u8; 16],
            schema_hash: 7,
            uid: 0,
            part: 0,
            first_series: 0,
            tier: 1,
        };
        let progress = SliceProgress {
            end_ns: 5,
            clock_offset_ns: 6,
            instance_hash: 7,
            frame: Some(8),
            is_labelled: false,
            is_ended: true,
        };
        Step {
            archive_id: [9; 16],
            passed: 10,
            slices: (0..slices).map(|number| (key(number), progress)).collect(),
            aggregates,
        }
    }

    proptest! {
        #[test]
        fn a_step_comes_back_with_its_body(
            slices in 0..5usize,
            aggregates in prop::collection::vec(any::<u8>(), 0..20),
            body in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let step = step(slices, aggregates);
            let bytes = step.to_bytes(&body);
            prop_assert_eq!(Step::from_bytes(&bytes, 1), Some((step, &body[..])));
        }

        #[test]
        fn any_bytes_are_refused_or_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Step::from_bytes(&bytes, 1);
        }
    }
}
