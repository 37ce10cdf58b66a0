//! The words that change for the whole slab, on three pairs of cache lines: what moves every
//! interval, what changes with a registration or a life, and what only trouble touches.

use crate::directory::Directory;
use crate::image::Image;
use crate::sync::{AtomicU64, Ordering};
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The live record: where its words are. Never read as a whole while a writer lives.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Live {
    /// Start of the newest interval that a slot was opened for.
    pub cursor_ns: U64,
    /// Start of the interval of the last tick.
    pub ticked_ns: U64,
    /// Zero.
    pub reserved_line0: [u8; 112],
    /// Series descriptors in use.
    pub series_count: U64,
    /// Who holds the slab.
    pub writer_pid: U64,
    /// How often it was reopened.
    pub reopen_count: U64,
    /// Slab time of a clean close, or 0.
    pub closed_ns: U64,
    /// Zero.
    pub reserved_line1: [u8; 96],
    /// Registrations refused.
    pub refused_count: U64,
    /// Samples older than their series' newest interval.
    pub stale_count: U64,
    /// Samples too far ahead.
    pub future_count: U64,
    /// Samples refused for their value.
    pub bad_count: U64,
    /// Zero.
    pub reserved_line2: [u8; 96],
}

const _: () = assert!(size_of::<Live>() == 384);

/// The live words of one slab.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the fields are those of `Live`")]
pub struct LiveWords<'m> {
    pub cursor_ns: &'m AtomicU64,
    pub ticked_ns: &'m AtomicU64,
    pub series_count: &'m AtomicU64,
    pub writer_pid: &'m AtomicU64,
    pub reopen_count: &'m AtomicU64,
    pub closed_ns: &'m AtomicU64,
    pub refused_count: &'m AtomicU64,
    pub stale_count: &'m AtomicU64,
    pub future_count: &'m AtomicU64,
    pub bad_count: &'m AtomicU64,
}

impl<'m> LiveWords<'m> {
    /// The words of the live section at `offset`, or `None` if it does not fit there.
    pub fn at(image: Image<'m>, offset: u64) -> Option<Self> {
        let word = |field: usize| image.word(offset.checked_add(field as u64)?);
        use core::mem::offset_of;
        Some(Self {
            cursor_ns: word(offset_of!(Live, cursor_ns))?,
            ticked_ns: word(offset_of!(Live, ticked_ns))?,
            series_count: word(offset_of!(Live, series_count))?,
            writer_pid: word(offset_of!(Live, writer_pid))?,
            reopen_count: word(offset_of!(Live, reopen_count))?,
            closed_ns: word(offset_of!(Live, closed_ns))?,
            refused_count: word(offset_of!(Live, refused_count))?,
            stale_count: word(offset_of!(Live, stale_count))?,
            future_count: word(offset_of!(Live, future_count))?,
            bad_count: word(offset_of!(Live, bad_count))?,
        })
    }

    /// The count of published series.
    pub fn directory(&self) -> Directory<'m> {
        Directory::new(self.series_count)
    }

    /// Raises the cursor to `start_ns`, if it is behind. Before the slot is opened: then no stamp
    /// is ever beyond the cursor, whenever the writer dies.
    #[inline(always)]
    pub fn raise_cursor(&self, start_ns: u64) {
        if self.cursor_ns.load(Ordering::Relaxed) < start_ns {
            self.cursor_ns.fetch_max(start_ns, Ordering::Relaxed);
        }
    }
}
