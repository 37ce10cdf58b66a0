//! The first 64 bytes, and the table behind them that says where everything else is.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a slab starts with; stored last, so that its presence says that the rest is there.
pub const MAGIC: [u8; 8] = *b"RONDOSLB";
/// Raised by a change that old readers would misread.
pub const VERSION_MAJOR: u16 = 1;
/// Raised by any other change.
pub const VERSION_MINOR: u16 = 0;
/// Where the section table starts.
pub const SECTION_TABLE_OFFSET: u64 = size_of::<Header>() as u64;

/// The header: constant once the magic is there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION_MAJOR`].
    pub version_major: U16,
    /// [`VERSION_MINOR`].
    pub version_minor: U16,
    /// Slots of each column.
    pub slot_count: U32,
    /// FNV-1a 64 over the tiers section.
    pub schema_hash: U64,
    /// Length of an interval in nanoseconds.
    pub interval_ns: U64,
    /// Feature bits that a reader must know.
    pub incompat: U32,
    /// Feature bits that a reader may ignore.
    pub compat: U32,
    /// Records in the series section.
    pub series_capacity: U32,
    /// Entries of the section table.
    pub section_count: U16,
    /// Bytes from one entry to the next.
    pub section_entry_size: U16,
    /// Where the live section starts.
    pub live_offset: U64,
    /// Size of the file in bytes.
    pub file_size: U64,
}

/// Where a section is, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SectionEntry {
    /// A [`SectionKind`], or one that this version does not know.
    pub kind: U32,
    /// Records it has room for.
    pub record_count: U32,
    /// Where it starts.
    pub offset: U64,
    /// Its length in bytes.
    pub length: U64,
    /// Bytes from one record to the next.
    pub record_size: U32,
    /// Zero.
    pub reserved: U32,
}

/// The sections of version 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum SectionKind {
    /// Who writes the slab.
    Identity = 1,
    /// The schema: how to consolidate.
    Tiers = 2,
    /// Series descriptors.
    Series = 3,
    /// Texts.
    Strings = 4,
    /// Columns of gauges and counters.
    Points = 5,
    /// Columns of distributions and histograms.
    Distributions = 6,
    /// Cells of shared series.
    Cells = 7,
    /// Buckets of histograms.
    Buckets = 8,
    /// What changes.
    Live = 9,
}

impl SectionKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Identity,
        Self::Tiers,
        Self::Series,
        Self::Strings,
        Self::Points,
        Self::Distributions,
        Self::Cells,
        Self::Buckets,
        Self::Live,
    ];

    /// The kind of that number, if this version knows it.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u32 == number)
    }

    /// What its start has to be a multiple of.
    pub fn alignment(self) -> u64 {
        match self {
            Self::Cells | Self::Live => 128,
            _ => 64,
        }
    }
}

const _: () = {
    assert!(size_of::<Header>() == 64);
    assert!(size_of::<SectionEntry>() == 32);
};
