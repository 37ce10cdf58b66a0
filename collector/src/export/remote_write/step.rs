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

/// The head of a step in a journal. Slices, aggregates and bodies follow.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    archive_id: [u8; 16],
    passed: U64,
    slice_count: U32,
    aggregates_length: U32,
}

/// The head of a body.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct BodyHead {
    length: U32,
    sample_count: U32,
    /// 1 or 2.
    protocol: u8,
}

impl Step {
    /// In a journal, with the bodies of its requests.
    pub(super) fn to_bytes(&self, bodies: &[Body]) -> Vec<u8> {
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
        for body in bodies {
            let head = BodyHead {
                length: (body.bytes.len() as u32).into(),
                sample_count: (body.sample_count as u32).into(),
                protocol: match body.protocol {
                    Protocol::V1 => 1,
                    Protocol::V2 => 2,
                },
            };
            bytes.extend(head.as_bytes());
            bytes.extend(&body.bytes);
        }
        bytes
    }

    /// What a journal has of a step in that tier; `None` if it is something else.
    pub(super) fn from_bytes(bytes: &[u8], tier: u8) -> Option<(Self, Vec<Body>)> {
        let (head, rest) = Head::ref_from_prefix(bytes).ok()?;
        let (records, rest) =
            <[Record]>::ref_from_prefix_with_elems(rest, head.slice_count.get() as usize).ok()?;
        let (aggregates, mut rest) = rest.split_at_checked(head.aggregates_length.get() as usize)?;
        let step = Self {
            archive_id: head.archive_id,
            passed: head.passed.get(),
            slices: records.iter().map(|record| record.parts(tier)).collect(),
            aggregates: aggregates.to_vec(),
        };
        let mut bodies = Vec::new();
        while !rest.is_empty() {
            let (head, behind) = BodyHead::ref_from_prefix(rest).ok()?;
            let (bytes, behind) = behind.split_at_checked(head.length.get() as usize)?;
            bodies.push(Body {
                bytes: bytes.to_vec(),
                protocol: match head.protocol {
                    1 => Protocol::V1,
                    2 => Protocol::V2,
                    _ => return None,
                },
                sample_count: head.sample_count.get() as usize,
            });
            rest = behind;
        }
        Some((step, bodies))
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
            series_count: 3,
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
        fn a_step_comes_back_with_its_bodies(
            slices in 0..5usize,
            aggregates in prop::collection::vec(any::<u8>(), 0..20),
            bodies in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..20), any::<bool>(), 0..9_000usize), 0..3),
        ) {
            let step = step(slices, aggregates);
            let bodies: Vec<Body> = bodies.into_iter().map(|(bytes, is_v2, sample_count)| Body {
                bytes,
                protocol: if is_v2 { Protocol::V2 } else { Protocol::V1 },
                sample_count,
            }).collect();
            prop_assert_eq!(Step::from_bytes(&step.to_bytes(&bodies), 1), Some((step, bodies)));
        }

        #[test]
        fn any_bytes_are_refused_or_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Step::from_bytes(&bytes, 1);
        }
    }
}
