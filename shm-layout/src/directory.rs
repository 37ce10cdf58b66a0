//! How series appear to readers: records first, then a count with release.
//!
//! Records below the count never change, so a reader that has seen the count may copy them in any
//! way it likes: it never sees half a name.

use crate::sync::{AtomicU64, Ordering, load_acquire};

/// The count of a table that only grows.
#[derive(Debug, Clone, Copy)]
pub struct Directory<'m> {
    count: &'m AtomicU64,
}

impl<'m> Directory<'m> {
    /// The directory whose count is this word.
    pub fn new(count: &'m AtomicU64) -> Self {
        Self { count }
    }

    /// Makes the records below `count` visible. Writer only; `count` must not fall.
    pub fn publish(&self, count: u64) {
        // Pairs with the acquire load in `published`.
        self.count.store(count, Ordering::Release);
    }

    /// How many records may be read.
    pub fn published(&self) -> u64 {
        // Pairs with the release store in `publish`.
        load_acquire(self.count)
    }
}
