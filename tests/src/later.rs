//! Rewrites a slab of 1.0 as a later minor version could lay it out.
//!
//! Every record is longer, slots too, and what is new is full of ones and zeros that mean something to
//! somebody else. The sections stand in another order, among them some of kinds unknown to 1.0; so is
//! the kind of the last series, and a feature.

use crate::raw::{RawSection, RawSlab};
use rondo_shm_layout::{SectionKind, fnv1a_64};

const MINOR: u16 = 7;
const COMPAT: u32 = 1 << 5;
const ENTRY_SIZE: usize = 40;
/// What stands in the bytes that 1.0 does not know.
const NEW: u8 = 0xEE;
const UNKNOWN_SERIES_KIND: u8 = 9;

/// An old section and what becomes of it.
struct Moved {
    old: RawSection,
    new: RawSection,
    /// Bytes from slot to slot, before and after; for other sections the record's.
    step: (usize, usize),
}

impl Moved {
    fn of(slab: &RawSlab, old: RawSection, offset: usize) -> Self {
        let slot_count = slab.u32(12) as usize;
        let kind = SectionKind::from_number(old.kind).expect("only kinds of 1.0");
        let (record_size, step) = match kind {
            SectionKind::Strings | SectionKind::Buckets => (old.record_size, (1, 1)),
            SectionKind::Points => (odd_lines(2 * 16 * slot_count), (16, 2 * 16)),
            SectionKind::Distributions => (odd_lines(2 * 64 * slot_count), (64, 2 * 64)),
            SectionKind::Cells => (2 * 128, (128, 2 * 128)),
            _ => (old.record_size + 40, (old.record_size, old.record_size + 40)),
        };
        let length = record_size * old.record_count as usize;
        Self {
            old,
            new: RawSection {
                offset,
                length,
                record_size,
                ..old
            },
            step,
        }
    }

    /// Where what was at `offset` is now.
    fn offset(&self, offset: usize) -> usize {
        let from_start = offset - self.old.offset;
        let (record, rest) = (
            from_start / self.old.record_size,
            from_start % self.old.record_size,
        );
        self.new.offset
            + record * self.new.record_size
            + rest / self.step.0 * self.step.1
            + rest % self.step.0
    }

    fn copy(&self, from: &RawSlab, to: &mut RawSlab) {
        to.0[self.new.offset..self.new.offset + self.new.length].fill(NEW);
        for at in (self.old.offset..self.old.offset + self.old.length).step_by(self.step.0) {
            let target = self.offset(at);
            to.put(target, &from.0[at..at + self.step.0]);
        }
    }
}

/// The same values in another layout.
pub(crate) fn rewrite(slab: &RawSlab) -> RawSlab {
    let old = slab.sections();
    let foreign = [(77, 5, 71, 13), (4_096, 0, 0, 3)];
    let mut end = 64 + (old.len() + foreign.len()) * ENTRY_SIZE;
    let mut moved = Vec::new();
    for &section in old.iter().rev() {
        let new = Moved::of(slab, section, end.next_multiple_of(128));
        end = new.new.offset + new.new.length;
        moved.push(new);
    }
    let mut table: Vec<RawSection> = moved.iter().map(|moved| moved.new).collect();
    for (kind, record_count, length, record_size) in foreign {
        let offset = end.next_multiple_of(64);
        table.insert(
            2,
            RawSection {
                kind,
                record_count,
                offset,
                length,
                record_size,
            },
        );
        end = offset + length;
    }

    let mut later = RawSlab(vec![0; end.next_multiple_of(4_096)]);
    later.put(0, &slab.bytes::<64>(0));
    later.put(10, &MINOR.to_le_bytes());
    later.put(36, &COMPAT.to_le_bytes());
    later.put(44, &(table.len() as u16).to_le_bytes());
    later.put(46, &(ENTRY_SIZE as u16).to_le_bytes());
    let size = later.0.len() as u64;
    later.put_u64(56, size);
    for (i, section) in table.iter().enumerate() {
        let at = 64 + i * ENTRY_SIZE;
        later.0[at..at + ENTRY_SIZE].fill(NEW);
        later.put(at, &section.kind.to_le_bytes());
        later.put(at + 4, &section.record_count.to_le_bytes());
        later.put_u64(at + 8, section.offset as u64);
        later.put_u64(at + 16, section.length as u64);
        later.put(at + 24, &(section.record_size as u32).to_le_bytes());
        if foreign.iter().any(|(kind, ..)| *kind == section.kind) {
            later.0[section.offset..section.offset + section.length].fill(NEW);
        }
    }
    moved.iter().for_each(|section| section.copy(slab, &mut later));
    let live = later.section(SectionKind::Live).offset;
    later.put_u64(48, live as u64);
    let tiers = later.section(SectionKind::Tiers);
    let hash = fnv1a_64(&later.0[tiers.offset..tiers.offset + tiers.length]);
    later.put_u64(16, hash);
    mend_references(&mut later, &moved);
    later
}

/// Makes everything that says where something is say where it is now.
fn mend_references(later: &mut RawSlab, moved: &[Moved]) {
    let section = |kind: SectionKind| {
        moved
            .iter()
            .find(|moved| moved.old.kind == kind as u32)
            .expect("a slab has each kind")
    };
    let mend = |later: &mut RawSlab, at: usize, kind: SectionKind| {
        if later.u64(at) != 0 {
            let target = section(kind).offset(later.offset(at));
            later.put_u64(at, target as u64);
        }
    };
    let identity = section(SectionKind::Identity).new.offset;
    for text in [64, 80, 96] {
        mend(later, identity + text, SectionKind::Strings);
    }
    let series = section(SectionKind::Series).new;
    let series_count = later.u64(later.live(128)) as usize;
    for at in (0..series_count).map(|i| series.offset + i * series.record_size) {
        for text in [32, 48, 64, 80] {
            mend(later, at + text, SectionKind::Strings);
        }
        mend(later, at + 96, SectionKind::Cells);
        mend(later, at + 104, SectionKind::Buckets);
        let columns = if later.0[at] < 3 {
            SectionKind::Points
        } else {
            SectionKind::Distributions
        };
        mend(later, at + 8, columns);
        later.put(at + 4, &(section(columns).step.1 as u32).to_le_bytes());
    }
    let last = series.offset + (series_count - 1) * series.record_size;
    later.0[last..last + 128].fill(NEW);
    later.0[last] = UNKNOWN_SERIES_KIND;
}

/// A stride as section 13 has it.
fn odd_lines(bytes: usize) -> usize {
    let bytes = bytes.next_multiple_of(64);
    if (bytes / 64).is_multiple_of(2) {
        bytes + 64
    } else {
        bytes
    }
}
