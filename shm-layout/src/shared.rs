//! The live cell of a shared series: any thread of the writer writes it, the tick copies it.
//!
//! The cell is the truth and the slots are its history. An add is one atomic instruction that can
//! not be lost, whatever interval it falls into; which slot it first shows in is decided by the
//! next tick.

use crate::slot::SENTINEL;
use crate::sync::{AtomicU64, Ordering};

/// One value on a pair of cache lines of its own (adjacent lines are fetched in pairs).
#[repr(C, align(128))]
#[derive(Debug)]
pub struct SharedCell {
    value: AtomicU64,
}

impl SharedCell {
    /// A cell that holds `bits`; for tests and models, as slabs are mapped, not built.
    pub fn new(bits: u64) -> Self {
        Self {
            value: AtomicU64::new(bits),
        }
    }

    /// Adds to a counter. Any thread; wraps at 2^64.
    #[inline(always)]
    pub fn add(&self, increment: u64) {
        // Relaxed: the value stands alone, nothing else is published by it.
        self.value.fetch_add(increment, Ordering::Relaxed);
    }

    /// Sets a gauge. Any thread; the last store wins.
    #[inline(always)]
    pub fn set(&self, bits: u64) {
        self.value.store(bits, Ordering::Relaxed);
    }

    /// The present bits.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// The present bits, unless the gauge was never set.
    #[inline(always)]
    pub fn get_if_set(&self) -> Option<u64> {
        Some(self.get()).filter(|&bits| bits != SENTINEL)
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<SharedCell>() == 128);
