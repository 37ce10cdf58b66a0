//! What is kept in memory of an extent, so that most queries need not look at its directories: where its
//! frames are, what time they cover, and whose runs they may hold.

use super::frame::{Entry, FrameHeader, HEADER_BYTES, Use, block_end};
use super::header::{ArchiveHeader, BLOCK_BYTES};
use super::medium::Medium;
use std::collections::HashSet;
use std::ops::AddAssign;
use zerocopy::little_endian::U32;

/// Sums over runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub runs: u64,
    pub rows: u64,
    pub points: u64,
    pub run_bytes: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.rows += other.rows;
        self.points += other.points;
        self.run_bytes += other.run_bytes;
    }
}

/// An extent in use.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    pub extent_use: Use,
    /// Where each of its frames starts.
    pub frames: Vec<u32>,
    /// Where the next frame would start.
    pub end: usize,
    /// Low halves of the instances' hashes, ascending.
    instances: Vec<u32>,
    /// Earliest and latest on the wall clock.
    pub wall_ns: (i64, i64),
    /// Latest in slab time.
    newest_end_ns: u64,
    pub totals: Totals,
    /// Number of the oldest frame.
    pub first_number: u64,
    /// Number of the newest frame, and what it says of those before it.
    pub last_number: u64,
    pub synced_below: u64,
}

impl Extent {
    pub(super) fn new(extent_use: Use) -> Self {
        Self {
            extent_use,
            frames: Vec::new(),
            end: 0,
            instances: Vec::new(),
            wall_ns: (i64::MAX, i64::MIN),
            newest_end_ns: 0,
            totals: Totals::default(),
            first_number: 0,
            last_number: 0,
            synced_below: 0,
        }
    }

    /// Takes note of a frame that stands behind those before it. [`index`](Self::index) comes after the last one.
    pub(super) fn add(&mut self, offset: usize, header: &FrameHeader, entries: &[Entry]) {
        if self.frames.is_empty() {
            self.first_number = header.number.get();
        }
        self.frames.push(offset as u32);
        self.end = block_end(offset + header.length.get() as usize);
        self.last_number = header.number.get();
        self.synced_below = header.synced_below.get();
        self.wall_ns.0 = self.wall_ns.0.min(header.wall_min_ns.get());
        self.wall_ns.1 = self.wall_ns.1.max(header.wall_max_ns.get());
        for entry in entries {
            self.instances.push(entry.instance_hash.get() as u32);
            self.newest_end_ns = self.newest_end_ns.max(entry.end_ns());
            self.totals += Totals {
                runs: 1,
                rows: entry.row_count.get().into(),
                points: entry.points(),
                run_bytes: entry.run_length.get().into(),
            };
        }
    }

    /// Makes it fit to be asked, after frames were added.
    pub(super) fn index(&mut self) {
        self.instances.sort_unstable();
        self.instances.dedup();
    }

    /// Whether the frame at its start is there, or was on stable storage once and was damaged later.
    ///
    /// A power cut can lose that frame and keep one behind it, which stays hidden as long as what it was
    /// written over reads as before. It must not come to light later, when its rows are stored again elsewhere.
    fn has_start(&self) -> bool {
        self.frames.first() == Some(&0) || self.synced_below > self.first_number
    }

    /// Gives back the memory that only growth needs.
    pub(super) fn seal(&mut self) {
        self.frames.shrink_to_fit();
        self.instances.shrink_to_fit();
    }

    /// Whether it holds rows that end after `time_ns` in slab time, whichever slab's that is.
    pub(super) fn ends_after(&self, time_ns: u64) -> bool {
        self.newest_end_ns > time_ns
    }

    /// Whether it may hold runs of the instance; rarely a wrong yes.
    pub(super) fn may_hold(&self, instance_hash: u64) -> bool {
        self.instances.binary_search(&(instance_hash as u32)).is_ok()
    }
}

/// A frame's header and directory, as they were read and found whole.
pub(super) struct FrameHead {
    pub header: FrameHeader,
    pub entries: Vec<Entry>,
}

/// Reads the head of the frame at `offset` of an extent; `None` if there is no whole one, or if it cannot be read.
pub(super) fn read_frame(
    medium: &dyn Medium,
    archive: &ArchiveHeader,
    extent_offset: u64,
    offset: usize,
) -> Option<FrameHead> {
    let mut block = [0; BLOCK_BYTES];
    medium.read_at(&mut block, extent_offset + offset as u64).ok()?;
    let header = FrameHeader::parse(&block, archive, offset)?;
    let directory = header.directory();
    let entries = match block.get(directory.clone()) {
        Some(directory) => header.entries(archive, directory)?.to_vec(),
        None => {
            let mut bytes = vec![0; directory.len()];
            let at = extent_offset + (offset + directory.start) as u64;
            medium.read_at(&mut bytes, at).ok()?;
            header.entries(archive, &bytes)?.to_vec()
        }
    };
    Some(FrameHead { header, entries })
}

/// Whether an extent was never written to; then its first block is all zeros.
fn is_unused(medium: &dyn Medium, extent_offset: u64) -> bool {
    let mut block = [0xFF; BLOCK_BYTES];
    medium.read_at(&mut block, extent_offset).is_ok() && block == [0; BLOCK_BYTES]
}

/// What a walk over an extent found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Its frames, if it has any.
    pub extent: Option<Extent>,
    /// Where frames start whose header is whole but whose blocks are not.
    pub torn: Vec<usize>,
    /// The newest frame, whole or torn: its number, and what it says of those before.
    pub newest: Option<(u64, u64)>,
}

/// Finds the frames of an extent by their headers and directories. Of frames from number `verify_from` on,
/// which a power cut may have torn, all blocks are read too.
///
/// A frame that is damaged is stepped over block by block; those behind it are found all the same.
pub(super) fn walk(
    medium: &dyn Medium,
    archive: &ArchiveHeader,
    extent_offset: u64,
    verify_from: u64,
) -> Walk {
    let mut found = Walk::default();
    if is_unused(medium, extent_offset) {
        return found;
    }
    let mut offset = 0;
    while offset + HEADER_BYTES <= archive.extent_bytes.get() as usize {
        let next = offset + BLOCK_BYTES;
        let Some(frame) = read_frame(medium, archive, extent_offset, offset) else {
            offset = next;
            continue;
        };
        let extent_use = frame.header.extent_use(archive);
        let number = frame.header.number.get();
        let belongs = found
            .extent
            .as_ref()
            .is_none_or(|extent| extent.extent_use == extent_use && extent.last_number < number);
        if !belongs {
            offset = next;
            continue;
        }
        found.newest = found.newest.max(Some((number, frame.header.synced_below.get())));
        if number >= verify_from && !has_whole_blocks(medium, extent_offset, offset, &frame, extent_use) {
            found.torn.push(offset);
            offset = next;
            continue;
        }
        let extent = found.extent.get_or_insert_with(|| Extent::new(extent_use));
        extent.add(offset, &frame.header, &frame.entries);
        offset = extent.end;
    }
    found.extent = found.extent.filter(Extent::has_start);
    if let Some(extent) = &mut found.extent {
        extent.index();
        extent.seal();
    }
    found
}

/// Whether all runs of a frame, and the layouts that they need, are what was written.
fn has_whole_blocks(
    medium: &dyn Medium,
    extent_offset: u64,
    offset: usize,
    frame: &FrameHead,
    extent_use: Use,
) -> bool {
    let read = |offset: usize, length: usize| {
        let mut bytes = vec![0; length];
        let is_read = medium.read_at(&mut bytes, extent_offset + offset as u64).is_ok();
        is_read.then_some(bytes)
    };
    let Some(bytes) = read(offset, frame.header.length.get() as usize) else {
        return false;
    };
    let is_whole = |at: U32, length: U32, crc: U32| {
        let (at, length) = (at.get() as usize, length.get() as usize);
        let inside = at
            .checked_sub(offset)
            .and_then(|at| bytes.get(at..)?.get(..length));
        match inside {
            Some(block) => extent_use.crc(block) == crc.get(),
            // A layout in an earlier frame.
            None => read(at, length).is_some_and(|block| extent_use.crc(&block) == crc.get()),
        }
    };
    let mut layouts = HashSet::new();
    frame.entries.iter().all(|entry| {
        let has_layout = !layouts.insert((entry.layout_offset, entry.layout_length, entry.layout_crc))
            || is_whole(entry.layout_offset, entry.layout_length, entry.layout_crc);
        has_layout && is_whole(entry.run_offset, entry.run_length, entry.run_crc)
    })
}
