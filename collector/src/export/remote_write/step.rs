//! A step of an export: how far it is once a request is done with.

use super::Protocol;
use super::body::Body;
use crate::export::ExportCursor;
use crate::export::progress::{Record, SliceProgress};
use crate::store::ProgressKey;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

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

/// The head of a step in a journal. Slices, aggregates and the body follow.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    archive_id: [u8; 16],
    passed: U64,
    slice_count: U32,
    aggregates_length: U32,
    sample_count: U32,
    /// 1 or 2: that of the body.
    protocol: u8,
}

impl Step {
    /// In a journal, with the request's body, if there is one.
    pub(super) fn to_bytes(&self, body: Option<&Body>) -> Vec<u8> {
        let head = Head {
            archive_id: self.archive_id,
            passed: self.passed.into(),
            slice_count: (self.slices.len() as u32).into(),
            aggregates_length: (self.aggregates.len() as u32).into(),
            sample_count: body.map_or(0, |body| body.sample_count as u32).into(),
            protocol: match body.map(|body| body.protocol) {
                Some(Protocol::V2) => 2,
                _ => 1,
            },
        };
        let mut bytes = head.as_bytes().to_vec();
        for (key, progress) in &self.slices {
            bytes.extend(Record::new(key, progress).as_bytes());
        }
        bytes.extend(&self.aggregates);
        bytes.extend(body.into_iter().flat_map(|body| &body.bytes));
        bytes
    }

    /// What a journal has of a step in that tier; `None` if it is something else.
    pub(super) fn from_bytes(bytes: &[u8], tier: u8) -> Option<(Self, Option<Body>)> {
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
        let body = Body {
            bytes: body.to_vec(),
            protocol: match head.protocol {
                1 => Protocol::V1,
                2 => Protocol::V2,
                _ => return None,
            },
            sample_count: head.sample_count.get() as usize,
        };
        Some((step, Some(body).filter(|body| !body.bytes.is_empty())))
    }

    /// Moves a cursor behind it.
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
            bytes in prop::collection::vec(any::<u8>(), 0..20),
            protocol in prop::sample::select(vec![Protocol::V1, Protocol::V2]),
            sample_count in 0..9_000usize,
        ) {
            let step = step(slices, aggregates);
            let body = Some(Body { bytes, protocol, sample_count }).filter(|body| !body.bytes.is_empty());
            let bytes = step.to_bytes(body.as_ref());
            prop_assert_eq!(Step::from_bytes(&bytes, 1), Some((step, body)));
        }

        #[test]
        fn any_bytes_are_refused_or_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Step::from_bytes(&bytes, 1);
        }
    }
}
