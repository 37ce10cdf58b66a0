//! The slot protocol of distributions: several words that only make sense together.
//!
//! A classic seqlock with one writer: the sequence is odd while the words change. Readers only
//! load, so it works through a read-only mapping; they try a bounded number of times and get
//! [`Read::Torn`] as a value, because a writer may have died inside. The sequence runs on for
//! the life of the slab, also when the slot is used for another lap of the ring: starting over
//! would let a reader that slept for a lap take two halves for a whole.

use crate::READ_ATTEMPTS_MAX;
use crate::slot::Read;
use crate::sync::{AtomicU64, Ordering, fence, load_acquire};

/// A sequence and `N` words of payload; slabs use `N` = 6, loom 2.
#[repr(C)]
#[derive(Debug)]
pub struct Seqlock<const N: usize> {
    sequence: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Seqlock<N> {
    /// A lock at rest that holds `words`; for tests and models, as slabs are mapped, not built.
    pub fn new(words: [u64; N]) -> Self {
        Self {
            sequence: AtomicU64::new(0),
            words: words.map(AtomicU64::new),
        }
    }

    /// Lets `change` store the words as one. Writer only.
    ///
    /// `change` stores and loads relaxed; it must not panic, or the slot stays torn.
    #[inline(always)]
    pub fn update(&self, change: impl FnOnce(&[AtomicU64; N])) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        // Pairs with the acquire fence in `read`: whoever sees a word stored below also sees the
        // sequence odd or newer.
        fence(Ordering::Release);
        change(&self.words);
        // Pairs with the acquire load in `read`: whoever sees this number sees all words.
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// The words for the writer's own use.
    #[inline(always)]
    pub fn words(&self) -> &[AtomicU64; N] {
        &self.words
    }

    /// The sequence: a hint, or half of a check that spans more than this lock (see [`Self::is_still`]).
    #[inline(always)]
    pub fn sequence(&self) -> u64 {
        load_acquire(&self.sequence)
    }

    /// Whether nothing changed since `sequence` was loaded, and nothing was changing then.
    #[inline(always)]
    pub fn is_still(&self, sequence: u64) -> bool {
        // Pairs with the release fence in `update`, like the second look of `read`.
        fence(Ordering::Acquire);
        sequence & 1 == 0 && self.sequence.load(Ordering::Relaxed) == sequence
    }

    /// Makes a lock whose writer died inside whole again, with `words`. Only while there is no writer.
    pub fn repair(&self, words: [u64; N]) {
        let sequence = self.sequence.load(Ordering::Relaxed) | 1;
        self.sequence.store(sequence, Ordering::Relaxed);
        fence(Ordering::Release);
        for (slot, word) in self.words.iter().zip(words) {
            slot.store(word, Ordering::Relaxed);
        }
        self.sequence.store(sequence.wrapping_add(1), Ordering::Release);
    }

    /// All words as they were at one moment, or [`Read::Torn`] after [`READ_ATTEMPTS_MAX`] tries.
    #[inline]
    pub fn read(&self) -> Read<[u64; N]> {
        for _ in 0..READ_ATTEMPTS_MAX {
            // Pairs with the release store in `update`.
            let sequence = load_acquire(&self.sequence);
            let words = core::array::from_fn(|i| self.words[i].load(Ordering::Relaxed));
            if self.is_still(sequence) {
                return Read::Present(words);
            }
            core::hint::spin_loop();
        }
        Read::Torn
    }
}
