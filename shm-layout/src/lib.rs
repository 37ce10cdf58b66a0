//! The bytes and the protocol of the rondo slab.
//!
//! A slab is one file in shared memory that one process writes and any other may map and read.
//! Its layout is published in `spec/slab.md`; this crate is that page in Rust, and nothing more:
//! plain types for each record ([`Header`], [`Identity`], [`SeriesDescriptor`], …), the two slot
//! protocols ([`Stamped`] for gauges and counters, [`Seqlock`] for distributions), the arithmetic of
//! the ring ([`Axis`]) and of histogram buckets ([`buckets`]), and [`Layout::validate`], the one
//! door through which bytes of a stranger become offsets that the rest of the code trusts.
//!
//! Two rules hold everywhere:
//!
//! 1. Bytes that another process may change are only ever reached as atomics, through [`Image`],
//!    the one place here with `unsafe`. Records are copied out and the copies parsed.
//! 2. Whatever was read from a slab is checked once, on the copy, and never read again.
//!
//! ```
//! use rondo_shm_layout::{Axis, buckets};
//!
//! let axis = Axis::new(1_000_000_000, 600);
//! assert_eq!(axis.start_of(1_500_000_000), 1_000_000_000);
//! assert_eq!(buckets::index(5.0, 2, 64), 5);
//! ```

#[cfg(target_endian = "big")]
compile_error!("slabs are little-endian and their words are accessed in place");

mod axis;
pub mod buckets;
mod directory;
#[cfg(not(loom))]
mod hash;
#[cfg(not(loom))]
mod header;
#[cfg(not(loom))]
mod identity;
#[cfg(not(loom))]
mod image;
#[cfg(not(loom))]
mod layout;
#[cfg(not(loom))]
mod live;
#[cfg(not(loom))]
pub mod names;
#[cfg(not(loom))]
mod plan;
#[cfg(not(loom))]
mod rule;
mod seqlock;
#[cfg(not(loom))]
mod series;
mod shared;
mod slot;
mod stamped;
pub mod sync;
#[cfg(not(loom))]
mod text;
#[cfg(not(loom))]
mod tier;
mod unit;

pub use axis::Axis;
pub use directory::Directory;
pub use seqlock::Seqlock;
pub use shared::SharedCell;
pub use slot::{BUSY, DistributionSlot, DistributionWords, PointSlot, Read, SENTINEL};
pub use stamped::Stamped;
pub use unit::Unit;

#[cfg(not(loom))]
pub use {
    hash::fnv1a_64,
    header::{Header, MAGIC, SECTION_TABLE_OFFSET, SectionEntry, SectionKind, VERSION_MAJOR, VERSION_MINOR},
    identity::{FLAG_SIMULATED_TIME, Identity, file_name},
    image::Image,
    layout::{Geometry, IdentityInfo, Layout, Section},
    live::{Live, LiveWords},
    plan::{Capacity, Plan},
    rule::{Action, Rule, Violation},
    series::{Access, BucketArray, Kind, Series, SeriesDescriptor, SeriesInfo},
    text::{Labels, TextRef, decode_labels, encode_labels},
    tier::{Functions, Tier},
};

/// How often a reader tries a slot again before it answers [`Read::Torn`].
///
/// A writer is inside a slot for a few nanoseconds, so a second try nearly always succeeds; a
/// writer that died there never leaves, so the number has to be finite. Under loom two tries
/// show all that sixty-four would.
pub const READ_ATTEMPTS_MAX: usize = if cfg!(loom) { 2 } else { 64 };
