//! The room with the casts: mapped memory, seen as atomics.
//!
//! Everything else in this crate is safe code on top of [`Image`].
#![allow(unsafe_code)]

use crate::shared::SharedCell;
use crate::slot::{DistributionSlot, PointSlot};
use crate::sync::{AtomicU64, Ordering};
use core::marker::PhantomData;
use core::ptr::NonNull;
use zerocopy::FromBytes;

/// A slab's bytes, wherever they are: a shared mapping or an owned copy.
///
/// Hands out references to atomics only, and copies of constant bytes, each checked against the
/// length. All offsets are bytes from the start; `None` means out of bounds or misaligned.
#[derive(Debug, Clone, Copy)]
pub struct Image<'m> {
    // Invariants, from `new`:
    // 1. `base` is aligned to 128 bytes;
    // 2. `len` rounded up to a multiple of 8 bytes from `base` on are readable for 'm;
    // 3. while 'm lasts, this process accesses those bytes as `AtomicU64` only.
    base: NonNull<u8>,
    len: usize,
    lifetime: PhantomData<&'m [AtomicU64]>,
}

// SAFETY: an Image is a shared reference to a slice of atomics in all but name (invariants 2, 3),
// and `&[AtomicU64]` is Send and Sync.
unsafe impl Send for Image<'_> {}
// SAFETY: as above.
unsafe impl Sync for Image<'_> {}

impl<'m> Image<'m> {
    /// # Safety
    /// For all of 'm: `base` is aligned to 128 bytes, `len` rounded up to a multiple of 8 bytes from
    /// it are readable, and nothing in this process accesses them but as `AtomicU64`.
    pub unsafe fn new(base: NonNull<u8>, len: usize) -> Self {
        debug_assert!(base.addr().get().is_multiple_of(128));
        Self {
            base,
            len,
            lifetime: PhantomData,
        }
    }

    /// Bytes of the slab.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A pointer to `size` bytes at `offset`, if they are there and aligned to `align` ≤ 128.
    #[inline]
    fn at(&self, offset: u64, size: usize, align: usize) -> Option<NonNull<u8>> {
        let offset = usize::try_from(offset).ok()?;
        let inside = offset.checked_add(size).is_some_and(|end| end <= self.len);
        // SAFETY: `offset` ≤ `len`, so the result is inside the allocation or one past it (2).
        (inside && offset.is_multiple_of(align)).then(|| unsafe { self.base.add(offset) })
    }

    /// One live word.
    #[inline]
    pub fn word(&self, offset: u64) -> Option<&'m AtomicU64> {
        // SAFETY: in bounds (2), aligned (1 and `at`), and atomic everywhere (3).
        self.at(offset, 8, 8).map(|at| unsafe { at.cast().as_ref() })
    }

    /// `count` live words one after the other.
    pub fn words(&self, offset: u64, count: usize) -> Option<&'m [AtomicU64]> {
        let at = self.at(offset, count.checked_mul(8)?, 8)?;
        // SAFETY: as in `word`, for `count` of them.
        Some(unsafe { core::slice::from_raw_parts(at.cast().as_ptr(), count) })
    }

    /// The slot of a gauge or counter.
    #[inline]
    pub fn point_slot(&self, offset: u64) -> Option<&'m PointSlot> {
        // SAFETY: in bounds and aligned; `PointSlot` is `repr(C)` and of `AtomicU64` throughout (3).
        self.at(offset, size_of::<PointSlot>(), 8)
            .map(|at| unsafe { at.cast().as_ref() })
    }

    /// The slot of a distribution.
    #[inline]
    pub fn distribution_slot(&self, offset: u64) -> Option<&'m DistributionSlot> {
        // SAFETY: as in `point_slot`.
        self.at(offset, size_of::<DistributionSlot>(), 64)
            .map(|at| unsafe { at.cast().as_ref() })
    }

    /// The cell of a shared series.
    #[inline]
    pub fn shared_cell(&self, offset: u64) -> Option<&'m SharedCell> {
        // SAFETY: as in `point_slot`; the padding of `SharedCell` is never touched.
        self.at(offset, size_of::<SharedCell>(), 128)
            .map(|at| unsafe { at.cast().as_ref() })
    }

    /// Copies bytes out. They should be constant; if they are not, each aligned word is still whole.
    pub fn copy(&self, offset: u64, into: &mut [u8]) -> Option<()> {
        self.at(offset, into.len(), 1)?;
        let mut at = offset;
        let mut rest = into;
        while !rest.is_empty() {
            let skip = (at % 8) as usize;
            let word_offset = (at - skip as u64) as usize;
            // SAFETY: the word that a byte below `len` lies in is inside the readable bytes (2).
            let word = unsafe { self.base.add(word_offset) };
            // SAFETY: readable (2), aligned (1), atomic (3).
            let word: &AtomicU64 = unsafe { word.cast().as_ref() };
            let bytes = word.load(Ordering::Relaxed).to_le_bytes();
            let n = rest.len().min(8 - skip);
            let (now, later) = rest.split_at_mut(n);
            now.copy_from_slice(&bytes[skip..skip + n]);
            at += n as u64;
            rest = later;
        }
        Some(())
    }

    /// A copy of `length` bytes.
    pub fn bytes(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        self.at(offset, length, 1)?; // before anything of a stranger's size is allocated
        let mut bytes = vec![0; length];
        self.copy(offset, &mut bytes)?;
        Some(bytes)
    }

    /// A copy of a record.
    pub fn record<T: FromBytes + zerocopy::IntoBytes>(&self, offset: u64) -> Option<T> {
        let mut record = T::new_zeroed();
        self.copy(offset, record.as_mut_bytes())?;
        Some(record)
    }

    /// Stores bytes. Only for the creator, before anyone else sees the slab or these bytes.
    ///
    /// `offset` and the length must be multiples of 8.
    pub fn store(&self, offset: u64, bytes: &[u8]) -> Option<()> {
        let words = self.words(offset, bytes.len() / 8)?;
        let (chunks, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return None;
        }
        for (word, bytes) in words.iter().zip(chunks) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(128))]
    struct Lines([u64; 32]);

    #[test]
    fn nothing_outside_the_length_is_handed_out() {
        let mut lines = Lines([0x0807_0605_0403_0201; 32]);
        // SAFETY: aligned, 256 bytes long, alive to the end of the test, and accessed through the image only.
        let image = unsafe { Image::new(NonNull::from(&mut lines.0).cast(), 250) };
        assert!(image.word(240).is_some());
        assert!(image.word(248).is_none() && image.word(4).is_none() && image.word(u64::MAX - 7).is_none());
        assert!(image.words(0, usize::MAX).is_none() && image.words(8, 31).is_none());
        assert!(image.distribution_slot(128).is_some() && image.distribution_slot(32).is_none());
        assert_eq!(image.bytes(246, 4), Some(vec![7, 8, 1, 2]));
        assert_eq!(image.bytes(247, 4), None);
        assert_eq!(image.bytes(5, 0), Some(vec![]));
        assert_eq!(image.store(8, &[9; 16]), Some(()));
        assert_eq!(image.bytes(7, 3), Some(vec![8, 9, 9]));
        assert_eq!(image.store(8, &[9; 15]), None);
    }
}
