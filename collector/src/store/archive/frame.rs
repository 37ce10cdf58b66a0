//! A frame: what one write puts into an extent. Its header, its blocks, and its directory, which says
//! what the blocks are.
//!
//! The directory comes last so that a block's place is known, and never changes, from the moment at
//! which it waits in memory.

use super::header::{ArchiveHeader, BLOCK_BYTES};
use super::run_block::ended_ns;
use crate::store::{Run, Source};
use rondo_shm_layout::fnv1a_64;
use std::ops::Range;
use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `RONDOFRM`.
const MAGIC: [u8; 8] = *b"RONDOFRM";
/// Version of frames, blocks and directories.
const VERSION: u16 = 1;

/// The head of a frame.
#[derive(Debug, Clone, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct FrameHeader {
    pub magic: [u8; 8],
    pub version: U16,
    /// Bytes of a directory entry.
    pub entry_bytes: U16,
    /// Entries of the directory, which ends the frame.
    pub entry_count: U32,
    /// Of the archive.
    pub archive_id: [u8; 16],
    /// Grows by 1 from each use of an extent to the next.
    pub sequence: U64,
    /// Random, drawn for each use of an extent.
    pub nonce: U64,
    /// Grows by 1 from frame to frame of the archive.
    pub number: U64,
    /// All frames of lower number were on stable storage when this one was written.
    pub synced_below: U64,
    /// Start of the earliest row, on the wall clock.
    pub wall_min_ns: I64,
    /// End of the latest.
    pub wall_max_ns: I64,
    /// All of the frame, without the zeros that follow it up to the next block.
    pub length: U32,
    /// CRC32C, seeded, of all of the header before it and the directory.
    pub crc: U32,
}

/// What the directory says of a run.
#[derive(Debug, Clone, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Entry {
    /// FNV-1a 64 of the instance's name.
    pub instance_hash: U64,
    /// FNV-1a 64 of the schema's name.
    pub schema_hash: U64,
    pub incarnation: [u8; 16],
    pub uid: U32,
    pub part: U32,
    pub first_series: U32,
    pub row_count: U32,
    pub start_ns: U64,
    pub interval_ns: U64,
    pub clock_offset_ns: I64,
    pub series_count: U16,
    pub tier: u8,
    /// [`ENDED`].
    pub flags: u8,
    /// Where the run's block starts in the extent.
    pub run_offset: U32,
    pub run_length: U32,
    /// CRC32C of the block, seeded.
    pub run_crc: U32,
    /// Where its layout's block starts in the extent: in this frame or an earlier one.
    pub layout_offset: U32,
    pub layout_length: U32,
    pub layout_crc: U32,
}

/// Flag: the machine ended with this run.
pub(super) const ENDED: u8 = 1;
pub(super) const HEADER_BYTES: usize = size_of::<FrameHeader>();
pub(super) const ENTRY_BYTES: usize = size_of::<Entry>();

const _: () = assert!(HEADER_BYTES == 88 && ENTRY_BYTES == 100);

/// One use of an extent, from which all of its checksums start. What is left of an earlier use has
/// another, and so passes for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Use {
    pub sequence: u64,
    pub nonce: u64,
    seed: u32,
}

impl Use {
    pub(super) fn new(header: &ArchiveHeader, sequence: u64, nonce: u64) -> Self {
        let mut seed = crc32c::crc32c(&header.id);
        for word in [sequence, nonce] {
            seed = crc32c::crc32c_append(seed, &word.to_le_bytes());
        }
        Self {
            sequence,
            nonce,
            seed,
        }
    }

    /// Checksum of a block.
    pub(super) fn crc(self, block: &[u8]) -> u32 {
        crc32c::crc32c_append(self.seed, block)
    }
}

/// Rounds up to the next block.
pub(super) fn block_end(offset: usize) -> usize {
    offset.next_multiple_of(BLOCK_BYTES)
}

impl FrameHeader {
    /// A header of a frame with these entries, and its checksum.
    pub(super) fn new(
        archive: &ArchiveHeader,
        extent_use: Use,
        number: u64,
        synced_below: u64,
        length: usize,
        entries: &[Entry],
    ) -> Self {
        let mut header = Self {
            magic: MAGIC,
            version: VERSION.into(),
            entry_bytes: (ENTRY_BYTES as u16).into(),
            entry_count: (entries.len() as u32).into(),
            archive_id: archive.id,
            sequence: extent_use.sequence.into(),
            nonce: extent_use.nonce.into(),
            number: number.into(),
            synced_below: synced_below.into(),
            wall_min_ns: entries
                .iter()
                .map(|entry| entry.wall().0)
                .min()
                .unwrap_or(0)
                .into(),
            wall_max_ns: entries
                .iter()
                .map(|entry| entry.wall().1)
                .max()
                .unwrap_or(0)
                .into(),
            length: (length as u32).into(),
            crc: 0.into(),
        };
        header.crc = header.sum(extent_use, entries.as_bytes()).into();
        header
    }

    fn sum(&self, extent_use: Use, directory: &[u8]) -> u32 {
        crc32c::crc32c_append(extent_use.crc(&self.as_bytes()[..HEADER_BYTES - 4]), directory)
    }

    /// A header that may be one: its numbers make sense at `offset` of an extent, its checksum is not looked at yet.
    pub(super) fn parse(bytes: &[u8], archive: &ArchiveHeader, offset: usize) -> Option<Self> {
        let (header, _) = Self::read_from_prefix(bytes).ok()?;
        let room = (archive.extent_bytes.get() as usize).checked_sub(offset)?;
        let length = header.length.get() as usize;
        let least = header.directory_bytes()?.checked_add(HEADER_BYTES)?;
        (header.magic == MAGIC
            && header.version.get() == VERSION
            && usize::from(header.entry_bytes.get()) == ENTRY_BYTES
            && header.archive_id == archive.id
            && length <= room
            && least <= length)
            .then_some(header)
    }

    fn directory_bytes(&self) -> Option<usize> {
        (self.entry_count.get() as usize).checked_mul(ENTRY_BYTES)
    }

    /// Where the directory is in the frame.
    pub(super) fn directory(&self) -> std::ops::Range<usize> {
        let length = self.length.get() as usize;
        length.saturating_sub(self.directory_bytes().unwrap_or(length))..length
    }

    /// The entries of a directory that belongs to this header. All their blocks are inside the extent.
    pub(super) fn entries<'a>(&self, archive: &ArchiveHeader, directory: &'a [u8]) -> Option<&'a [Entry]> {
        if self.crc.get() != self.sum(self.extent_use(archive), directory) {
            return None;
        }
        let entries = <[Entry]>::ref_from_bytes(directory).ok()?;
        let is_inside = |offset: U32, length: U32| {
            u64::from(offset.get()) + u64::from(length.get()) <= u64::from(archive.extent_bytes.get())
        };
        let are_inside = |entry: &Entry| {
            is_inside(entry.run_offset, entry.run_length)
                && is_inside(entry.layout_offset, entry.layout_length)
        };
        entries.iter().all(are_inside).then_some(entries)
    }

    pub(super) fn extent_use(&self, archive: &ArchiveHeader) -> Use {
        Use::new(archive, self.sequence.get(), self.nonce.get())
    }
}

impl Entry {
    /// Slab time at which the last row's interval ends.
    pub(super) fn end_ns(&self) -> u64 {
        let length = self
            .interval_ns
            .get()
            .saturating_mul(u64::from(self.row_count.get()));
        self.start_ns.get().saturating_add(length)
    }

    /// Start and end on the wall clock.
    pub(super) fn wall(&self) -> (i64, i64) {
        let offset_ns = i128::from(self.clock_offset_ns.get());
        let wall = |slab_ns: u64| {
            let wall_ns = i128::from(slab_ns) + offset_ns;
            wall_ns.clamp(i64::MIN.into(), i64::MAX.into()) as i64
        };
        (wall(self.start_ns.get()), wall(self.end_ns()))
    }

    /// All but where its blocks are.
    pub(super) fn of(run: &Run, rows: Range<usize>) -> Self {
        let source: &Source = &run.source;
        Self {
            instance_hash: fnv1a_64(source.instance.as_bytes()).into(),
            schema_hash: fnv1a_64(source.schema.as_bytes()).into(),
            incarnation: source.incarnation,
            uid: source.uid.into(),
            part: source.part.into(),
            first_series: run.first_series.into(),
            row_count: (rows.len() as u32).into(),
            start_ns: run.row_ns(rows.start).into(),
            interval_ns: run.layout.interval_ns().into(),
            clock_offset_ns: run.clock_offset_ns.into(),
            series_count: (run.layout.series().len() as u16).into(),
            tier: run.layout.tier(),
            flags: if ended_ns(run, rows.end) != 0 { ENDED } else { 0 },
            run_offset: 0.into(),
            run_length: 0.into(),
            run_crc: 0.into(),
            layout_offset: 0.into(),
            layout_length: 0.into(),
            layout_crc: 0.into(),
        }
    }

    /// Rows times series.
    pub(super) fn points(&self) -> u64 {
        u64::from(self.row_count.get()) * u64::from(self.series_count.get())
    }
}
