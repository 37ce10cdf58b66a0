//! What a store holds, and what of it belongs to whom.

use super::archives::Archives;
use super::error::StoreError;
use super::extent::Totals;
use super::frame::ENTRY_BYTES;
use super::ring::Archive;
use rondo_shm_layout::fnv1a_64;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// What one archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveUsage {
    /// Tier that it keeps; the last one keeps all later ones too.
    pub tier: u8,
    /// Size of the file.
    pub file_bytes: u64,
    /// Size of an extent.
    pub extent_bytes: u32,
    /// How many extents there are.
    pub extent_count: usize,
    /// How many of them hold something.
    pub used_extent_count: usize,
    /// How many were filled since the archive was made, most of them in an earlier round.
    pub filled_extent_count: u64,
    /// Bytes of the frames in the extent that is being filled.
    pub filling_bytes: u64,
    /// Start of the earliest row and end of the latest, on the wall clock.
    pub wall_ns: Option<Range<i64>>,
    /// Runs on disk.
    pub runs: u64,
    /// Their rows.
    pub rows: u64,
    /// Rows times series.
    pub points: u64,
    /// Bytes of the runs' blocks.
    pub run_bytes: u64,
    /// Bytes of all frames: runs, layouts, directories, headers, and what fills up their last blocks.
    pub frame_bytes: u64,
    /// Bytes of the frame that the next flush writes.
    pub pending_bytes: usize,
    /// Bytes written since the store was opened.
    pub written_bytes: u64,
}

impl Archives {
    /// What each archive holds.
    pub fn usage(&self) -> Vec<ArchiveUsage> {
        (0u8..)
            .zip(&self.archives)
            .map(|(tier, archive)| usage(tier, archive))
            .collect()
    }

    /// Bytes of a machine by tier: its runs, their directory entries, and its share of their layouts. What
    /// is not flushed yet does not count.
    ///
    /// # Errors
    /// A directory is damaged.
    pub fn bytes_of(&self, instance: &str) -> Result<BTreeMap<u8, u64>, StoreError> {
        let hash = fnv1a_64(instance.as_bytes());
        let mut bytes = BTreeMap::new();
        for archive in &self.archives {
            // Of each layout in each extent: all runs that have it, and the instance's by tier.
            let mut shares: HashMap<(usize, u32), (u64, BTreeMap<u8, u64>)> = HashMap::new();
            for directory in archive.directories(|extent| extent.may_hold(hash)) {
                let directory = directory?;
                for entry in &directory.entries {
                    let share = shares
                        .entry((directory.place, entry.layout_offset.get()))
                        .or_default();
                    share.0 += 1;
                    if entry.instance_hash.get() == hash {
                        *bytes.entry(entry.tier).or_default() +=
                            u64::from(entry.run_length.get()) + ENTRY_BYTES as u64;
                        *share.1.entry(entry.tier).or_default() += u64::from(entry.layout_length.get());
                    }
                }
            }
            for (runs, owned) in shares.into_values() {
                for (tier, layout_bytes) in owned {
                    *bytes.entry(tier).or_default() += layout_bytes.div_ceil(runs);
                }
            }
        }
        Ok(bytes)
    }
}

fn usage(tier: u8, archive: &Archive) -> ArchiveUsage {
    let used = || archive.extents.iter().flatten();
    let newest = archive
        .order
        .back()
        .and_then(|&place| archive.extents[place].as_ref());
    let mut totals = Totals::default();
    used().for_each(|extent| totals += extent.totals);
    let earliest = used().map(|extent| extent.wall_ns.0).min();
    let latest = used().map(|extent| extent.wall_ns.1).max();
    ArchiveUsage {
        tier,
        file_bytes: archive.header.size_of(archive.extents.len()),
        extent_bytes: archive.header.extent_bytes.get(),
        extent_count: archive.extents.len(),
        used_extent_count: used().count(),
        filled_extent_count: newest.map_or(0, |extent| extent.extent_use.sequence),
        filling_bytes: newest.map_or(0, |extent| extent.end as u64),
        wall_ns: earliest.zip(latest).map(|(earliest, latest)| earliest..latest),
        runs: totals.runs,
        rows: totals.rows,
        points: totals.points,
        run_bytes: totals.run_bytes,
        frame_bytes: used().map(|extent| extent.end as u64).sum(),
        pending_bytes: archive
            .filling
            .as_ref()
            .filter(|filling| !filling.pending.entries.is_empty())
            .map_or(0, |filling| filling.pending.len()),
        written_bytes: archive
            .filling
            .as_ref()
            .map_or(0, |filling| filling.written_bytes),
    }
}
