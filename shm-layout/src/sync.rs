//! The atomics of the protocol: `core`'s, or loom's when loom explores it (`--cfg loom`).

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU64, Ordering, fence};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU64, Ordering, fence};

/// Loads with acquire in the one form that is also defined on read-only memory.
///
/// Rust promises that an atomic load works through a read-only mapping only if it is relaxed; the
/// fence behind it makes it an acquire load. On x86-64 both forms are one plain load.
#[inline(always)]
pub fn load_acquire(word: &AtomicU64) -> u64 {
    let value = word.load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    value
}
