//! What is kept in memory of an extent, so that most queries need not look at its directories: where its
//! frames are, what time they cover, and whose runs they may hold.

use super::frame::{Entry, FrameHeader, HEADER_BYTES, Use, block_end};
use super::header::{ArchiveHeader, BLOCK_BYTES};
use super::medium::Medium;
use std::ops::AddAssign;

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
    first_number: u64,
    /// Number of the newest frame, and what it says of those before it.
    pub last_number: u64,
    synced_below: u64,
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

    /// Takes note of a frame that stands behind those before it.
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
        let known = self.instances.len();
        for entry in entries {
            let instance = entry.instance_hash.get() as u32;
            if self.instances[..known].binary_search(&instance).is_err() {
                self.instances.push(instance);
            }
            self.newest_end_ns = self.newest_end_ns.max(entry.end_ns());
            self.totals += Totals {
                runs: 1,
                rows: entry.row_count.get().into(),
                points: entry.points(),
                run_bytes: entry.run_length.get().into(),
            };
        }
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
        if number >= verify_from && !has_whole_blocks(medium, extent_offset, extent_use, &frame.entries) {
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
        extent.seal();
    }
    found
}

fn has_whole_blocks(medium: &dyn Medium, extent_offset: u64, extent_use: Use, entries: &[Entry]) -> bool {
    let mut block = Vec::new();
    let mut layout_seen = None;
    entries.iter().all(|entry| {
        let layout = (
            entry.layout_offset.get(),
            entry.layout_length.get(),
            entry.layout_crc.get(),
        );
        let run = (
            entry.run_offset.get(),
            entry.run_length.get(),
            entry.run_crc.get(),
        );
        let mut is_whole = |(offset, length, crc): (u32, u32, u32)| {
            // Lengths are those of a directory whose checksum is right.
            block.resize(length as usize, 0);
            medium
                .read_at(&mut block, extent_offset + u64::from(offset))
                .is_ok()
                && extent_use.crc(&block) == crc
        };
        let has_layout = layout_seen == Some(layout) || is_whole(layout);
        layout_seen = Some(layout);
        has_layout && is_whole(run)
    })
}
