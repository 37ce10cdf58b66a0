//! The head of an archive: two equal blocks, written once when it is made.

use super::error::StoreError;
use super::medium::Medium;
use std::io;
use std::path::Path;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes that one write never tears apart from what is around it, or so the format assumes.
pub(super) const BLOCK_BYTES: usize = 4096;
/// Where the first extent starts: after both copies of the head.
pub(super) const EXTENTS_OFFSET: u64 = 2 * BLOCK_BYTES as u64;
/// `RONDOARC`.
pub(super) const MAGIC: [u8; 8] = *b"RONDOARC";
/// Version of the format.
pub(super) const VERSION: u16 = 1;

/// What the extents of an archive have in common.
#[derive(Debug, Clone, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct ArchiveHeader {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: U16,
    /// Tier that it keeps; the last archive also keeps all later tiers.
    pub tier: U16,
    /// Size of an extent.
    pub extent_bytes: U32,
    /// Random.
    pub id: [u8; 16],
    /// CRC32C of all that is before it.
    pub crc: U32,
}

const _: () = assert!(size_of::<ArchiveHeader>() == 36);

/// Whether extents may be that large.
pub(super) fn is_extent_size(bytes: u32) -> bool {
    bytes.is_power_of_two() && (1 << 14..=1 << 24).contains(&bytes)
}

impl ArchiveHeader {
    pub(super) fn new(tier: u16, extent_bytes: u32) -> io::Result<Self> {
        let mut header = Self {
            magic: MAGIC,
            version: VERSION.into(),
            tier: tier.into(),
            extent_bytes: extent_bytes.into(),
            id: [0; 16],
            crc: 0.into(),
        };
        getrandom::fill(&mut header.id).map_err(io::Error::other)?;
        header.crc = header.sum().into();
        Ok(header)
    }

    fn sum(&self) -> u32 {
        crc32c::crc32c(&self.as_bytes()[..size_of::<Self>() - 4])
    }

    /// Writes both copies.
    pub(super) fn write(&self, medium: &dyn Medium) -> io::Result<()> {
        let mut block = [0; BLOCK_BYTES];
        block[..size_of::<Self>()].copy_from_slice(self.as_bytes());
        medium.write_at(&[block, block].concat(), 0)?;
        medium.sync()
    }

    /// Reads either copy; the second answer is whether both are as they should be.
    pub(super) fn read(medium: &dyn Medium, path: &Path) -> Result<(Self, bool), StoreError> {
        let refuse = |why: String| StoreError::NotAnArchive {
            path: path.to_owned(),
            why,
        };
        let copies = [0, BLOCK_BYTES as u64].map(|offset| {
            let mut bytes = [0; size_of::<Self>()];
            medium.read_at(&mut bytes, offset)?;
            io::Result::Ok(Self::read_from_bytes(&bytes).ok())
        });
        if let [Err(error), Err(_)] = &copies
            && error.kind() != io::ErrorKind::UnexpectedEof
        {
            return Err(refuse(format!("its head cannot be read: {error}")));
        }
        let mut copies = copies.into_iter().map(|copy| copy.ok().flatten());
        let (first, second) = (copies.next().flatten(), copies.next().flatten());
        let is_whole = |header: &Self| header.magic == MAGIC && header.crc.get() == header.sum();
        let are_equal = first == second;
        let header = [first, second]
            .into_iter()
            .flatten()
            .find(is_whole)
            .ok_or_else(|| refuse("both copies of its head are damaged, or it is something else".into()))?;
        match header.version.get() {
            VERSION => {}
            other => {
                return Err(refuse(format!(
                    "format {other}; this version understands {VERSION}"
                )));
            }
        }
        if !is_extent_size(header.extent_bytes.get()) {
            return Err(refuse(format!("extents of {} bytes", header.extent_bytes)));
        }
        Ok((header, are_equal))
    }

    /// How many whole extents a file of that size has.
    pub(super) fn extent_count(&self, size: u64) -> usize {
        (size.saturating_sub(EXTENTS_OFFSET) / u64::from(self.extent_bytes.get())) as usize
    }

    /// Size of a file of so many extents.
    pub(super) fn size_of(&self, extent_count: usize) -> u64 {
        self.extent_offset(extent_count)
    }

    /// Where an extent starts.
    pub(super) fn extent_offset(&self, place: usize) -> u64 {
        EXTENTS_OFFSET + place as u64 * u64::from(self.extent_bytes.get())
    }
}
