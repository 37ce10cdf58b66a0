//! The slot protocol of gauges and counters: a stamp that says which interval the value is of.
//!
//! One writer, any number of readers that only load. Within an interval the writer stores the value
//! and nothing else: a reader sees one or the other value of the same interval, both true. Only
//! when the slot moves on to a new interval must stamp and value change together; the stamp is
//! then *busy* in between. After Boehm, "Can seqlocks get along with programming language memory
//! models?" (MSPC 2012), with the stamp in the place of the sequence number: it never repeats,
//! because time does not.

use crate::READ_ATTEMPTS_MAX;
use crate::slot::{BUSY, Read};
use crate::sync::{AtomicU64, Ordering, fence, load_acquire};

/// A stamp and `N` words of payload; slabs use `N` = 1, loom also 2.
#[repr(C)]
#[derive(Debug)]
pub struct Stamped<const N: usize> {
    stamp: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Stamped<N> {
    /// A slot that holds `stamp` and `words`; for tests and models, as slabs are mapped, not built.
    pub fn new(stamp: u64, words: [u64; N]) -> Self {
        Self {
            stamp: AtomicU64::new(stamp),
            words: words.map(AtomicU64::new),
        }
    }

    /// The stamp as the writer itself sees it, or a hint for anyone else.
    #[inline(always)]
    pub fn stamp(&self) -> u64 {
        self.stamp.load(Ordering::Relaxed)
    }

    /// The payload for the writer's own use: to store into the interval that the slot holds.
    #[inline(always)]
    pub fn words(&self) -> &[AtomicU64; N] {
        &self.words
    }

    /// Moves the slot to the interval `stamp` with a first payload. Writer only.
    #[inline(always)]
    pub fn open(&self, stamp: u64, words: [u64; N]) {
        self.stamp.store(BUSY, Ordering::Relaxed);
        // Pairs with the acquire fence in `read`: whoever sees any payload stored below, or later
        // within the interval, also sees the stamp busy or newer, and drops what it read. A release
        // *store* above would not do: it orders what precedes it, not the payload that follows.
        fence(Ordering::Release);
        for (slot, word) in self.words.iter().zip(words) {
            slot.store(word, Ordering::Relaxed);
        }
        // Pairs with the acquire load in `read`: whoever sees this stamp sees the payload.
        self.stamp.store(stamp, Ordering::Release);
    }

    /// Empties the slot, with `word` in all payload words. Only while there is no writer.
    pub fn clear(&self, word: u64) {
        self.open(0, [word; N]);
    }

    /// What the slot holds for the interval `stamp`. Never blocks; loads at most
    /// [`READ_ATTEMPTS_MAX`] times.
    #[inline]
    pub fn read(&self, stamp: u64) -> Read<[u64; N]> {
        for _ in 0..READ_ATTEMPTS_MAX {
            match self.attempt() {
                Some((found, words)) if found == stamp => return Read::Present(words),
                Some(_) => return Read::Absent,
                None => core::hint::spin_loop(),
            }
        }
        Read::Torn
    }

    /// Whatever the slot holds, with its stamp (0 if it was never written).
    #[inline]
    pub fn read_any(&self) -> Read<(u64, [u64; N])> {
        for _ in 0..READ_ATTEMPTS_MAX {
            match self.attempt() {
                Some((0, _)) => return Read::Absent,
                Some(found) => return Read::Present(found),
                None => core::hint::spin_loop(),
            }
        }
        Read::Torn
    }

    #[inline(always)]
    fn attempt(&self) -> Option<(u64, [u64; N])> {
        // Pairs with the release store of the stamp in `open`.
        let before = load_acquire(&self.stamp);
        if before == BUSY {
            return None;
        }
        let words = core::array::from_fn(|i| self.words[i].load(Ordering::Relaxed));
        // Pairs with the release fence in `open`: keeps the second look behind the payload loads.
        fence(Ordering::Acquire);
        let after = self.stamp.load(Ordering::Relaxed);
        (before == after).then_some((before, words))
    }
}
