//! How far a slice of a slab has left, and its form in a file.

use crate::store::ProgressKey;
use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// How far a slice of a slab has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SliceProgress {
    /// Slab time: rows that start before it have left.
    pub(crate) end_ns: u64,
    /// What was added to slab time for the newest of them.
    pub(crate) clock_offset_ns: i64,
    /// FNV-1a 64 of the instance's name.
    pub(crate) instance_hash: u64,
    /// The archive's frame in which a run of it was seen last.
    pub(crate) frame: Option<u64>,
    /// How many of its series have begun to leave.
    pub(crate) series_count: u16,
    /// Whether its series carry the label `incarnation`.
    pub(crate) is_labelled: bool,
    /// Whether its machine ended with them, and everything about that has left too.
    pub(crate) is_ended: bool,
}

const LABELLED: u8 = 1;
const ENDED: u8 = 2;
/// No frame has this number.
const NO_FRAME: u64 = u64::MAX;

/// A slice and how far it has come, in a file.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Record {
    incarnation: [u8; 16],
    schema_hash: U64,
    uid: U32,
    part: U32,
    first_series: U32,
    end_ns: U64,
    clock_offset_ns: I64,
    instance_hash: U64,
    frame: U64,
    series_count: U16,
    flags: u8,
}

const _: () = assert!(size_of::<Record>() == 71);

impl SliceProgress {
    /// Of a slice of which nothing has left.
    pub(crate) fn nothing(instance_hash: u64) -> Self {
        Self {
            end_ns: 0,
            clock_offset_ns: i64::MIN,
            instance_hash,
            frame: None,
            series_count: 0,
            is_labelled: false,
            is_ended: false,
        }
    }
}

impl Record {
    pub(crate) fn new(key: &ProgressKey, progress: &SliceProgress) -> Self {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        Self {
            incarnation: key.incarnation,
            schema_hash: key.schema_hash.into(),
            uid: key.uid.into(),
            part: key.part.into(),
            first_series: key.first_series.into(),
            end_ns: progress.end_ns.into(),
            clock_offset_ns: progress.clock_offset_ns.into(),
            instance_hash: progress.instance_hash.into(),
            frame: progress.frame.unwrap_or(NO_FRAME).into(),
            series_count: progress.series_count.into(),
            flags: flag(progress.is_labelled, LABELLED) | flag(progress.is_ended, ENDED),
        }
    }

    pub(crate) fn parts(&self, tier: u8) -> (ProgressKey, SliceProgress) {
        let key = ProgressKey {
            incarnation: self.incarnation,
            schema_hash: self.schema_hash.get(),
            uid: self.uid.get(),
            part: self.part.get(),
            first_series: self.first_series.get(),
            tier,
        };
        let progress = SliceProgress {
            end_ns: self.end_ns.get(),
            clock_offset_ns: self.clock_offset_ns.get(),
            instance_hash: self.instance_hash.get(),
            frame: Some(self.frame.get()).filter(|frame| *frame != NO_FRAME),
            series_count: self.series_count.get(),
            is_labelled: self.flags & LABELLED != 0,
            is_ended: self.flags & ENDED != 0,
        };
        (key, progress)
    }
}
