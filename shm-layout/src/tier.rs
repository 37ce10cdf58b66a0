//! The schema as it stands in the slab: how long to keep what, and how to consolidate it.

use core::fmt;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A tier record: constant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tier {
    /// Length of its intervals.
    pub interval_ns: U64,
    /// Intervals to keep.
    pub slot_count: U64,
    /// [`Functions`].
    pub functions: U32,
    /// Zero.
    pub reserved: U32,
    /// Zero.
    pub reserved_tail: U64,
}

/// A set of consolidation functions, as bits; empty means the default of each kind of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Functions(pub u32);

impl Functions {
    /// Mean, weighted by the number of samples.
    pub const AVERAGE: Self = Self(1);
    /// Least.
    pub const MIN: Self = Self(2);
    /// Greatest.
    pub const MAX: Self = Self(4);
    /// Newest.
    pub const LAST: Self = Self(8);
    /// Sum.
    pub const SUM: Self = Self(16);
    /// How many there were.
    pub const COUNT: Self = Self(32);

    /// Names and bits.
    pub const ALL: [(&'static str, u32); 6] = [
        ("average", 1),
        ("min", 2),
        ("max", 4),
        ("last", 8),
        ("sum", 16),
        ("count", 32),
    ];

    /// Whether all of `other` are in the set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The functions of either set. That of two defaults is the default.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set has bits that this version does not know.
    pub fn has_unknown(self) -> bool {
        self.0 >= 64
    }
}

impl fmt::Display for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Self::ALL
            .iter()
            .filter(|(_, bit)| self.0 & bit != 0)
            .map(|(name, _)| *name)
            .collect();
        f.write_str(if names.is_empty() { "default" } else { "" })?;
        f.write_str(&names.join(","))
    }
}

const _: () = assert!(size_of::<Tier>() == 32);
