//! How far a slab is stored, so that no row is stored twice.

use super::extent::read_frame;
use super::frame::Entry;
use super::ring::Archive;
use crate::store::Source;
use rondo_shm_layout::fnv1a_64;
use std::collections::HashMap;

/// A slice of a slab in one tier, as directories know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProgressKey {
    /// Of the machine.
    pub incarnation: [u8; 16],
    /// FNV-1a 64 of the schema's name.
    pub schema_hash: u64,
    /// Owner of the slab.
    pub uid: u32,
    /// Number of the slab.
    pub part: u32,
    /// First series of the slice.
    pub first_series: u32,
    /// Number of the tier.
    pub tier: u8,
}

impl ProgressKey {
    /// The key of a slice.
    pub fn new(source: &Source, first_series: u32, tier: u8) -> Self {
        Self {
            incarnation: source.incarnation,
            schema_hash: fnv1a_64(source.schema.as_bytes()),
            uid: source.uid,
            part: source.part,
            first_series,
            tier,
        }
    }

    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            incarnation: entry.incarnation,
            schema_hash: entry.schema_hash.get(),
            uid: entry.uid.get(),
            part: entry.part.get(),
            first_series: entry.first_series.get(),
            tier: entry.tier,
        }
    }

    /// Whether it is a slice of that slab.
    pub fn is_of(&self, source: &Source) -> bool {
        *self == Self::new(source, self.first_series, self.tier)
    }
}

/// No row of a slab ends so long before its creation, though its clocks may differ by a kernel's tick.
const BEFORE_CREATION_NS: u64 = 60_000_000_000;

/// What was asked of the directories already, or appended since: end of the newest row, if there is any.
pub(super) type Progress = HashMap<ProgressKey, Option<u64>>;

impl Archive {
    /// End of the newest stored row of a slice, pending ones included.
    pub(super) fn progress(&mut self, source: &Source, key: ProgressKey) -> Option<u64> {
        if let Some(&end_ns) = self.progress.get(&key) {
            return end_ns;
        }
        let end_ns = self.find_progress(source, key);
        self.progress.insert(key, end_ns);
        end_ns
    }

    /// Asks the directories, those of the newest extents first.
    fn find_progress(&self, source: &Source, key: ProgressKey) -> Option<u64> {
        let newest = |entries: &[Entry]| {
            let of_key = entries.iter().filter(|entry| ProgressKey::of(entry) == key);
            of_key.map(Entry::end_ns).max()
        };
        let pending = self
            .filling
            .as_ref()
            .map(|filling| filling.pending.entries.as_slice());
        if let Some(end_ns) = newest(pending.unwrap_or_default()) {
            return Some(end_ns);
        }
        let instance_hash = fnv1a_64(source.instance.as_bytes());
        // A machine that comes again under its old name need not be looked for where only its past lives can be. Slab times
        // are compared with one another, so steps of the wall clock do not matter; simulated ones have no creation.
        let created_ns = if source.simulated_time {
            0
        } else {
            source.created_ns
        };
        let earliest_ns = created_ns.saturating_sub(BEFORE_CREATION_NS);
        self.order.iter().rev().find_map(|&place| {
            let extent = self.extents[place].as_ref()?;
            if !extent.ends_after(earliest_ns) || !extent.may_hold(instance_hash) {
                return None;
            }
            let extent_offset = self.header.extent_offset(place);
            let head =
                |&offset: &u32| read_frame(&*self.medium, &self.header, extent_offset, offset as usize);
            let ends = extent.frames.iter().filter_map(head);
            ends.filter_map(|head| newest(&head.entries)).max()
        })
    }

    /// Forgets what it knows of slices that are not to be kept. If one is asked for again, directories answer.
    pub(super) fn retain_progress(&mut self, keep: &impl Fn(&ProgressKey) -> bool) {
        self.progress.retain(|key, _| keep(key));
        self.progress.shrink_to_fit();
    }
}
