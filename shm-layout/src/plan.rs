//! How large a slab is and where its sections go, from how much it shall hold.

use crate::header::{Header, SECTION_TABLE_OFFSET, SectionEntry, SectionKind};
use crate::identity::Identity;
use crate::live::Live;
use crate::series::SeriesDescriptor;
use crate::tier::Tier;
use crate::{DistributionSlot, PointSlot, SharedCell};

/// What a slab has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Slots of each column.
    pub slot_count: u32,
    /// Gauges and counters.
    pub series_max: u32,
    /// Distributions and histograms.
    pub distribution_max: u32,
    /// Gauges and counters that are shared, out of `series_max`.
    pub shared_max: u32,
    /// Histogram buckets, all histograms together.
    pub buckets_max: u32,
    /// Bytes of names, units, helps and labels; equal ones are stored once.
    pub strings_max: u32,
    /// Tiers of the schema.
    pub tiers: u32,
}

/// Section offsets and the file's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The section table.
    pub table: Vec<SectionEntry>,
    /// The file's size in bytes.
    pub file_size: u64,
}

/// Columns start on a cache line and are an odd number of lines apart.
fn column_stride(bytes: u64) -> u64 {
    let lines = bytes.div_ceil(64);
    64 * (lines | 1)
}

impl Plan {
    /// The plan of the specification's section 13, or `None` if a number is out of its range.
    pub fn new(capacity: &Capacity) -> Option<Self> {
        let Capacity {
            slot_count,
            series_max,
            distribution_max,
            shared_max,
            buckets_max,
            strings_max,
            tiers,
        } = *capacity;
        let slots = u64::from(slot_count);
        let series_capacity = series_max.checked_add(distribution_max)?;
        if !(2..=1 << 20).contains(&slot_count)
            || !(1..=65_536).contains(&series_capacity)
            || !(1..=8).contains(&tiers)
        {
            return None;
        }
        let sections = [
            (SectionKind::Identity, size_of::<Identity>() as u64, 1),
            (SectionKind::Tiers, size_of::<Tier>() as u64, tiers),
            (SectionKind::Live, size_of::<Live>() as u64, 1),
            (SectionKind::Cells, size_of::<SharedCell>() as u64, shared_max),
            (
                SectionKind::Series,
                size_of::<SeriesDescriptor>() as u64,
                series_capacity,
            ),
            (SectionKind::Strings, 1, strings_max),
            (SectionKind::Buckets, 8, buckets_max),
            (
                SectionKind::Points,
                column_stride(slots * size_of::<PointSlot>() as u64),
                series_max,
            ),
            (
                SectionKind::Distributions,
                column_stride(slots * size_of::<DistributionSlot>() as u64),
                distribution_max,
            ),
        ];
        let mut end = SECTION_TABLE_OFFSET + (sections.len() * size_of::<SectionEntry>()) as u64;
        let table = sections.map(|(kind, record_size, record_count)| {
            let offset = end.next_multiple_of(128);
            let length = record_size * u64::from(record_count);
            end = offset + length;
            SectionEntry {
                kind: (kind as u32).into(),
                record_count: record_count.into(),
                offset: offset.into(),
                length: length.into(),
                record_size: (record_size as u32).into(),
                reserved: 0.into(),
            }
        });
        Some(Self {
            table: table.into(),
            file_size: end.next_multiple_of(4096),
        })
    }

    /// Where a section starts.
    pub fn offset(&self, kind: SectionKind) -> u64 {
        self.table
            .iter()
            .find(|entry| entry.kind == kind as u32)
            .map_or(0, |entry| entry.offset.get())
    }
}

const _: () = assert!(SECTION_TABLE_OFFSET as usize == size_of::<Header>());

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The formula as the specification writes it.
    fn size_as_specified(c: &Capacity) -> u64 {
        let lines = |n: u64| {
            let n = n.div_ceil(64) * 64;
            if (n / 64).is_multiple_of(2) { n + 64 } else { n }
        };
        let at = |n: u64, a: u64| n.div_ceil(a) * a;
        let u = u64::from;
        let series = u(c.series_max) + u(c.distribution_max);
        let mut size = 64 + 9 * 32;
        for length in [
            128,
            32 * u(c.tiers),
            384,
            128 * u(c.shared_max),
            128 * series,
            u(c.strings_max),
            8 * u(c.buckets_max),
            lines(16 * u(c.slot_count)) * u(c.series_max),
            lines(64 * u(c.slot_count)) * u(c.distribution_max),
        ] {
            size = at(size, 128) + length;
        }
        at(size, 4096)
    }

    proptest! {
        #[test]
        fn the_size_is_the_specified_formula(
            slot_count in 2u32..5_000, series_max in 0u32..500, distribution_max in 1u32..200,
            shared_max in 0u32..100, buckets_max in 0u32..10_000, strings_max in 0u32..100_000, tiers in 1u32..=8,
        ) {
            let capacity = Capacity { slot_count, series_max, distribution_max, shared_max, buckets_max, strings_max, tiers };
            let plan = Plan::new(&capacity).unwrap();
            prop_assert_eq!(plan.file_size, size_as_specified(&capacity));
            let mut end = 352;
            for entry in &plan.table {
                prop_assert!(entry.offset.get() >= end && entry.offset.get() % 128 == 0);
                end = entry.offset.get() + entry.length.get();
            }
            for kind in [SectionKind::Points, SectionKind::Distributions] {
                let stride = plan.table.iter().find(|e| e.kind == kind as u32).unwrap().record_size.get();
                prop_assert!(stride % 128 == 64, "an odd number of lines");
            }
        }
    }

    #[test]
    fn impossible_capacities_have_no_plan() {
        let good = Capacity {
            slot_count: 600,
            series_max: 24,
            distribution_max: 6,
            shared_max: 0,
            buckets_max: 0,
            strings_max: 0,
            tiers: 3,
        };
        assert!(Plan::new(&good).is_some());
        for bad in [
            Capacity {
                slot_count: 1,
                ..good
            },
            Capacity {
                slot_count: (1 << 20) + 1,
                ..good
            },
            Capacity {
                series_max: u32::MAX,
                ..good
            },
            Capacity {
                series_max: 0,
                distribution_max: 0,
                ..good
            },
            Capacity { tiers: 0, ..good },
        ] {
            assert_eq!(Plan::new(&bad), None);
        }
    }

    /// S3 for tier 0: 30 series of which 6 are distributions, 10 minutes of seconds, under 512 KiB.
    #[test]
    fn ten_minutes_of_thirty_series_take_less_than_512_kib() {
        let capacity = Capacity {
            slot_count: 600,
            series_max: 24,
            distribution_max: 6,
            shared_max: 8,
            buckets_max: 6 * crate::buckets::count_for(1 << 36, 3),
            strings_max: 30 * 160 + 1024,
            tiers: 3,
        };
        let size = Plan::new(&capacity).unwrap().file_size;
        assert!(size < 512 * 1024, "{size}");
    }
}
