//! Equal values of many slabs, kept once.
//!
//! Machines that run the same program have the same series but for the time of their registration, so a
//! reader of 10,000 slabs holds few different ones. Two rules:
//!
//! 1. The interner holds no value. A value goes with its last holder, and its entry goes with it, so nobody
//!    makes the interner grow by more than what the slabs that he has there hold.
//! 2. Equality decides, not the hash. Hashes are keyed, so nobody can choose texts that collide;
//!    should two do so, the later value is kept by itself.

use rondo_shm_layout::{Geometry, SeriesInfo};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Entries that are not worth giving memory back for.
const ENTRIES_MIN: usize = 64;

/// Where equal values are found.
#[derive(Debug)]
pub(crate) struct Interner<T> {
    hasher: RandomState,
    /// By hash.
    known: Mutex<HashMap<u64, Weak<Kept<T>>>>,
}

/// What slabs of one bus have in common.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) geometries: Arc<Interner<Geometry>>,
    pub(crate) series: Arc<Interner<SeriesInfo>>,
}

impl Common {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            geometries: Interner::new(),
            series: Interner::new(),
        }
    }
}

/// A value and where it is known.
#[derive(Debug)]
struct Kept<T> {
    value: T,
    hash: u64,
    interner: Weak<Interner<T>>,
}

/// A value that others may hold too: a pointer.
#[derive(Debug)]
pub(crate) struct Shared<T>(Arc<Kept<T>>);

impl<T: Hash + Eq> Interner<T> {
    /// Without values.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            hasher: RandomState::new(),
            known: Mutex::default(),
        })
    }

    /// The value as others hold it, if one does. Costs a hash of it, and a comparison.
    pub(crate) fn share(self: &Arc<Self>, value: T) -> Shared<T> {
        let hash = self.hasher.hash_one(&value);
        // Without the lock from here on: a last holder takes it when it lets go.
        let known = self.lock().get(&hash).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.value == value) {
            return Shared(known);
        }
        let kept = Arc::new(Kept {
            value,
            hash,
            interner: Arc::downgrade(self),
        });
        self.lock().insert(hash, Arc::downgrade(&kept));
        Shared(kept)
    }
}

impl<T> Interner<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Weak<Kept<T>>>> {
        // Every change is a single call, so a panic elsewhere leaves the map whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the entry of a value that is gone.
    fn forget(&self, hash: u64) {
        let mut known = self.lock();
        // Meanwhile an equal value may have come, or one of the same hash.
        if known.get(&hash).is_some_and(|kept| kept.strong_count() == 0) {
            known.remove(&hash);
        }
        if known.capacity() > ENTRIES_MIN.max(known.len() * 8) {
            let entries = known.len() * 2;
            known.shrink_to(entries);
        }
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        if let Some(interner) = self.interner.upgrade() {
            interner.forget(self.hash);
        }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_others_are_not() {
        let interner = Interner::new();
        let (a, again, b) = (interner.share("a"), interner.share("a"), interner.share("b"));
        assert!(Arc::ptr_eq(&a.0, &again.0) && !Arc::ptr_eq(&a.0, &b.0));
        assert_eq!((*a, *b, interner.lock().len()), ("a", "b", 2));
    }

    /// Or a user who makes and removes slabs could fill the reader's memory.
    #[test]
    fn nothing_is_left_of_values_that_nobody_holds() {
        let interner = Interner::new();
        let mut held: Vec<_> = (0..10_000).map(|i| interner.share(i)).collect();
        let most = interner.lock().capacity();
        held.truncate(3);
        assert_eq!(interner.lock().len(), 3);
        assert!(interner.lock().capacity() < most / 50);
        drop(held);
        assert_eq!(interner.lock().len(), 0);
        assert_eq!(*interner.share(7), 7, "what was forgotten can come again");
    }

    #[test]
    fn a_value_outlives_its_interner() {
        let interner = Interner::new();
        let value = interner.share("a".to_owned());
        drop(interner);
        assert_eq!(*value, "a");
    }

    /// Several threads may attach and drop slabs at the same time.
    #[test]
    fn threads_share_and_let_go_at_once() {
        let interner = Interner::new();
        std::thread::scope(|scope| {
            for start in 0..4 {
                let interner = &interner;
                scope.spawn(move || {
                    for i in start..20_000 {
                        assert_eq!(*interner.share(i % 5), i % 5);
                    }
                });
            }
        });
        assert_eq!(interner.lock().len(), 0);
    }
}
