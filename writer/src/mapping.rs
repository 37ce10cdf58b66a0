//! The room with the writer's memory: a slab's mapping, and pointers into it that keep it alive.
//!
//! Everything else in this crate is safe code on top of [`SlabMemory`], [`Pinned`] and [`Column`].
#![allow(unsafe_code)]

use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::sys::mman::{MmapAdvise, madvise};
use rondo_shm_layout::sync::{AtomicU64, Ordering};
use rondo_shm_layout::{
    Axis, BucketArray, DistributionSlot, Image, Layout, LiveWords, PointSlot, SharedCell, Violation, buckets,
};
use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

/// 128 bytes at an address that is a multiple of 128.
#[repr(align(128))]
#[derive(Clone)]
struct Lines {
    _words: [u64; 16],
}

enum Backing {
    /// A file that others can map.
    Shared { mapping: MmapRaw, birthmark: Birthmark },
    /// Memory of this process alone, from a box: where no-op handles write to.
    Private(NonNull<[Lines]>),
}

/// Zeroed or mapped bytes that are about to become a slab.
pub(crate) struct Memory {
    // Invariants:
    // 1. `base` points to `len` bytes (and as many more as make up a multiple of 8), aligned to 128;
    // 2. they stay readable, writable and in place until this is dropped;
    // 3. they are accessed as `AtomicU64` only.
    base: NonNull<u8>,
    len: usize,
    backing: Backing,
}

// SAFETY: the memory is not bound to a thread, and is accessed as atomics only (3).
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps `len` bytes of `file`, prefaults them, keeps them out of forked children, and tries to
    /// keep them from being swapped out.
    pub(crate) fn map(file: &File, len: usize) -> io::Result<Self> {
        let raw = MmapOptions::new().len(len).map_raw(file)?;
        // A forked helper that kept the mapping would keep the lock, and so a dead machine alive.
        raw.advise(Advice::DontFork)?;
        match raw.advise(Advice::PopulateWrite) {
            // Before Linux 5.14.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => touch_each_page(&raw),
            populated => populated?,
        }
        // A limit on locked memory is no reason to go without metrics.
        let _ = raw.lock();
        let birthmark = Birthmark::new()?;
        let base = NonNull::new(raw.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
        // Invariants 1, 2: a shared, writable mapping of `len` bytes starts on a page and ends with one.
        Ok(Self {
            base,
            len,
            backing: Backing::Shared {
                mapping: raw,
                birthmark,
            },
        })
    }

    /// As many zeroed bytes that nobody else sees.
    pub(crate) fn private(len: usize) -> Self {
        // Invariants 1, 2: `Lines` is aligned to 128, and the items stay until they are unboxed.
        let lines = NonNull::from(Box::leak(
            vec![Lines { _words: [0; 16] }; len.div_ceil(128)].into_boxed_slice(),
        ));
        Self {
            base: lines.cast(),
            len,
            backing: Backing::Private(lines),
        }
    }

    pub(crate) fn image(&self) -> Image<'_> {
        // SAFETY: invariants 1 to 3 are what `Image::new` asks for, for as long as `self` is borrowed.
        unsafe { Image::new(self.base, self.len) }
    }

    /// Whether the memory is there: not in a forked child of the process that mapped it.
    fn is_here(&self) -> bool {
        match &self.backing {
            Backing::Shared { birthmark, .. } => birthmark.is_of_this_process(),
            Backing::Private(_) => true,
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let nothing = Backing::Private(NonNull::from(&mut []));
        match std::mem::replace(&mut self.backing, nothing) {
            // SAFETY: from `Box::leak` in `private`, and only here turned back, once.
            Backing::Private(lines) => drop(unsafe { Box::from_raw(lines.as_ptr()) }),
            Backing::Shared { mapping, birthmark } if birthmark.is_of_this_process() => drop(mapping),
            // The address range is not ours to unmap in a child: who knows what lies there now.
            Backing::Shared { mapping, .. } => std::mem::forget(mapping),
        }
    }
}

/// A page that the kernel empties in forked children. Process ids would not do: they come again, and
/// in a new pid namespace the child of process 1 is process 1.
struct Birthmark(MmapRaw);

impl Birthmark {
    fn new() -> io::Result<Self> {
        let page = MmapRaw::from(MmapOptions::new().len(size_of::<u64>()).map_anon()?);
        let start = NonNull::new(page.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
        let advice = MmapAdvise::MADV_WIPEONFORK;
        // SAFETY: a private page of our own, in which a child that finds zeros finds what it may.
        unsafe { madvise(start.cast(), page.len(), advice) }?;
        let birthmark = Self(page);
        birthmark.word().store(1, Ordering::Relaxed);
        Ok(birthmark)
    }

    fn word(&self) -> &AtomicU64 {
        // SAFETY: a page of our own: aligned, as long as `self`, and accessed here only.
        unsafe { AtomicU64::from_ptr(self.0.as_mut_ptr().cast()) }
    }

    fn is_of_this_process(&self) -> bool {
        self.word().load(Ordering::Relaxed) == 1
    }
}

/// Writes to each page without changing it.
fn touch_each_page(mapping: &MmapRaw) {
    for offset in (0..mapping.len()).step_by(4096) {
        // SAFETY: `offset` is less than the length of the mapping.
        let word = unsafe { mapping.as_mut_ptr().add(offset) };
        // SAFETY: a mapping starts on a page, so the word is aligned and ends on the page it starts on;
        // it lives until `mapping` is dropped, and others access it as an atomic too.
        let word = unsafe { AtomicU64::from_ptr(word.cast()) };
        word.fetch_or(0, Ordering::Relaxed);
    }
}

/// The memory of a slab together with its checked layout. Shared by the writer and all handles;
/// the slab is closed when the last of them is gone.
pub(crate) struct SlabMemory {
    // Both declared before `memory`, and never handed out for longer than a borrow of an owner.
    live: LiveWords<'static>,
    image: Image<'static>,
    pub(crate) layout: Layout,
    /// Which series have a handle now, by index.
    claimed: Box<[AtomicBool]>,
    /// Totals that distributions go on from after a crash, by index; not set in a new slab.
    resumed: OnceLock<Box<[Resumed]>>,
    closes: AtomicBool,
    memory: Memory,
}

/// How much further than its newest slot says a distribution was when its writer died. To be taken once.
#[derive(Default)]
pub(crate) struct Resumed {
    pending: AtomicBool,
    slot: Totals,
    found: Totals,
}

#[derive(Default)]
struct Totals {
    count: AtomicU64,
    sum: AtomicU64,
}

impl Totals {
    fn new((count, sum): (u64, f64)) -> Self {
        Self {
            count: AtomicU64::new(count),
            sum: AtomicU64::new(sum.to_bits()),
        }
    }

    fn get(&self) -> (u64, f64) {
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed));
        (self.count.load(Ordering::Relaxed), sum)
    }
}

impl Resumed {
    /// `found` are the totals to go on from, `slot` those in the newest slot that is left.
    pub(crate) fn new(slot: (u64, f64), found: (u64, f64)) -> Self {
        Self {
            pending: AtomicBool::new(true),
            slot: Totals::new(slot),
            found: Totals::new(found),
        }
    }

    /// What to go on from in a new slot, where the newest one is at `totals` by now: late samples may
    /// have gone into it.
    ///
    /// Relaxed: only the one handle of the series takes them, and claiming it synchronised.
    fn take(&self, totals: (u64, f64)) -> (u64, f64) {
        if !self.pending.load(Ordering::Relaxed) {
            return totals;
        }
        self.pending.store(false, Ordering::Relaxed);
        let (slot, found) = (self.slot.get(), self.found.get());
        if totals.0 == slot.0 {
            return found;
        }
        let count = found.0.wrapping_add(totals.0.wrapping_sub(slot.0));
        (count, found.1 + (totals.1 - slot.1))
    }
}

impl SlabMemory {
    /// # Errors
    /// The rule that the bytes break.
    pub(crate) fn new(memory: Memory) -> Result<Self, Violation> {
        let layout = Layout::validate(memory.image())?;
        // SAFETY: as in `Memory::image`; the longer lifetime ends with `self`, which owns the
        // memory, whose bytes do not move when `memory` does (2), and `live()` hides it.
        let image: Image<'static> = unsafe { Image::new(memory.base, memory.len) };
        let live = layout.live(image).ok_or_else(|| {
            Violation::new(
                rondo_shm_layout::Rule::LiveOffset,
                "the live section is outside the file",
            )
        })?;
        let capacity = layout.header.series_capacity.get();
        let claimed = (0..capacity).map(|_| AtomicBool::new(false)).collect();
        Ok(Self {
            live,
            image,
            layout,
            claimed,
            resumed: OnceLock::new(),
            closes: AtomicBool::new(false),
            memory,
        })
    }

    pub(crate) fn image(&self) -> Image<'_> {
        self.image
    }

    #[inline(always)]
    pub(crate) fn live(&self) -> &LiveWords<'_> {
        &self.live
    }

    pub(crate) fn axis(&self) -> Axis {
        self.layout.axis
    }

    /// Takes the one handle of a series; false if it is taken.
    pub(crate) fn claim(&self, index: u32) -> bool {
        // Acquire pairs with the release in `release`: what the last handle's thread stored is seen
        // by the thread of the next.
        self.claimed
            .get(index as usize)
            .is_some_and(|taken| !taken.swap(true, Ordering::Acquire))
    }

    /// Sets what distributions go on from. Once, by whoever reopens the slab.
    pub(crate) fn resume(&self, totals: Vec<Resumed>) {
        let _ = self.resumed.set(totals.into());
    }

    /// What a distribution whose newest slot is at `totals` goes on from in a new slot.
    #[inline]
    pub(crate) fn go_on_from(&self, index: u32, totals: (u64, f64)) -> (u64, f64) {
        match self.resumed.get().and_then(|all| all.get(index as usize)) {
            Some(resumed) => resumed.take(totals),
            None => totals,
        }
    }

    /// From now on the end of this is the end of the slab: until then, a slab that is being reopened
    /// is still another's.
    pub(crate) fn close_when_dropped(&self) {
        self.closes.store(true, Ordering::Relaxed);
    }

    fn release(&self, index: u32) {
        if let Some(taken) = self.claimed.get(index as usize) {
            taken.store(false, Ordering::Release);
        }
    }
}

impl Drop for SlabMemory {
    fn drop(&mut self) {
        // A fork must not close its parent's slab, and a panic is not a clean end.
        let closes = self.closes.load(Ordering::Relaxed);
        if closes && self.memory.is_here() && !std::thread::panicking() {
            let now = crate::clock::monotonic_ns().wrapping_add(self.layout.identity.anchor_ns());
            let now = if self.layout.identity.simulated_time {
                self.live
                    .cursor_ns
                    .load(Ordering::Relaxed)
                    .saturating_add(self.axis().interval_ns())
            } else {
                now
            };
            self.live.closed_ns.store(now, Ordering::Release);
        }
    }
}

/// A slab's bytes, at hand without a look at the slab, which it keeps mapped.
pub(crate) struct PinnedImage {
    // Invariant: of the memory of `owner`, and never handed out for longer than a borrow of `self`.
    image: Image<'static>,
    pub(crate) owner: Arc<SlabMemory>,
}

impl PinnedImage {
    pub(crate) fn new(owner: Arc<SlabMemory>) -> Self {
        let image = owner.image;
        Self { image, owner }
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> Image<'_> {
        self.image
    }
}

/// A reference into a slab that keeps the slab mapped.
pub(crate) struct Pinned<T> {
    // Invariant: points into the memory of `owner`, from one of its `Image`'s checked accessors.
    at: NonNull<T>,
    owner: Arc<SlabMemory>,
}

// SAFETY: it is a `&T` and an `Arc` in all but name; every T here is made of atomics.
unsafe impl<T: Sync> Send for Pinned<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Pinned<T> {}

impl<T> Clone for Pinned<T> {
    fn clone(&self) -> Self {
        Self {
            at: self.at,
            owner: self.owner.clone(),
        }
    }
}

impl<T> std::ops::Deref for Pinned<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the invariant; the owner keeps the memory in place for as long as `self` lives.
        unsafe { self.at.as_ref() }
    }
}

impl Pinned<SharedCell> {
    /// The cell at `offset`.
    pub(crate) fn cell(owner: &Arc<SlabMemory>, offset: u64) -> Option<Self> {
        let at = NonNull::from(owner.image().shared_cell(offset)?);
        Some(Self {
            at,
            owner: owner.clone(),
        })
    }
}

impl Pinned<AtomicU64> {
    /// The slab's word for its last tick.
    pub(crate) fn ticked(owner: &Arc<SlabMemory>) -> Self {
        Self {
            at: NonNull::from(owner.live().ticked_ns),
            owner: owner.clone(),
        }
    }
}

impl<T> Pinned<T> {
    pub(crate) fn owner(&self) -> &SlabMemory {
        &self.owner
    }
}

/// A histogram's buckets.
#[repr(C)]
pub(crate) struct Buckets {
    // Invariant: `first` points to `count` ≥ 1 words in the memory of `owner`.
    first: NonNull<AtomicU64>,
    count: u32,
    precision: u8,
    owner: Arc<SlabMemory>,
}

// SAFETY: a reference to atomics and an `Arc`; nothing in it is bound to a thread.
unsafe impl Send for Buckets {}

impl Buckets {
    pub(crate) fn new(owner: &Arc<SlabMemory>, array: BucketArray) -> Option<Self> {
        let words = owner
            .image()
            .words(array.offset, array.count as usize)
            .filter(|words| !words.is_empty())?;
        let first = NonNull::from(words).cast();
        Some(Self {
            first,
            count: array.count,
            precision: array.precision,
            owner: owner.clone(),
        })
    }

    /// The bucket of a sample that is finite and at least 0.
    #[inline(always)]
    pub(crate) fn of(&self, sample: f64) -> &AtomicU64 {
        // Without the sign of a negative zero.
        let index = buckets::index(sample.abs(), self.precision, self.count);
        // SAFETY: `index` returns less than `count`: one of the words of the invariant.
        let bucket = unsafe { self.first.add(index) };
        // SAFETY: the invariant; `owner` keeps the memory in place for as long as `self` lives.
        unsafe { bucket.as_ref() }
    }
}

/// A kind of slot, and how to find one in an image.
pub(crate) trait Slot: Sized + Sync {
    fn at(image: Image<'_>, offset: u64) -> Option<&Self>;
    fn stamp(&self) -> u64;
}

impl Slot for PointSlot {
    fn at(image: Image<'_>, offset: u64) -> Option<&Self> {
        image.point_slot(offset)
    }
    #[inline(always)]
    fn stamp(&self) -> u64 {
        PointSlot::stamp(self)
    }
}

impl Slot for DistributionSlot {
    fn at(image: Image<'_>, offset: u64) -> Option<&Self> {
        image.distribution_slot(offset)
    }
    #[inline(always)]
    fn stamp(&self) -> u64 {
        DistributionSlot::stamp(self)
    }
}

/// A series' column, at the slot of its newest interval. Whoever has it is the series' one writer.
#[repr(C)]
pub(crate) struct Column<S> {
    // Invariants:
    // 1. `first` points to `slot_count` slots of type S without gaps, in the memory of `owner`;
    // 2. `current` is one of them.
    current: NonNull<S>,
    /// The axis's; 0 while nothing was written, so that an unwritten slot holds no time at all.
    interval_ns: u64,
    first: NonNull<S>,
    slot_count: u32,
    index: u32,
    pub(crate) owner: Arc<SlabMemory>,
}

// SAFETY: a column is a reference to atomics and an `Arc`; nothing in it is bound to a thread.
unsafe impl<S: Sync> Send for Column<S> {}

impl<S: Slot> Column<S> {
    /// The column of series `index` at `offset`, at its newest slot (the first if there is none).
    /// The caller has claimed the series.
    pub(crate) fn new(owner: &Arc<SlabMemory>, index: u32, offset: u64) -> Option<Self> {
        let image = owner.image();
        let slot_count = u32::try_from(owner.axis().slot_count()).ok()?;
        let first = S::at(image, offset)?;
        // Invariant 1: both ends are inside, aligned, and as far apart as an array's would be.
        S::at(image, offset + u64::from(slot_count - 1) * size_of::<S>() as u64)?;
        let first = NonNull::from(first);
        let mut column = Self {
            current: first,
            interval_ns: 0,
            first,
            slot_count,
            index,
            owner: owner.clone(),
        };
        let newest = (0..slot_count).max_by_key(|&i| {
            column.seek(i);
            // The first of a column never written.
            (column.slot().stamp(), std::cmp::Reverse(i))
        });
        column.seek(newest?);
        if column.slot().stamp() != 0 {
            column.interval_ns = owner.axis().interval_ns();
        }
        Some(column)
    }

    /// The newest slot.
    #[inline(always)]
    pub(crate) fn slot(&self) -> &S {
        // SAFETY: invariants 1 and 2, and `owner` keeps the memory in place.
        unsafe { self.current.as_ref() }
    }

    #[inline(always)]
    fn seek(&mut self, slot_index: u32) {
        assert!(slot_index < self.slot_count);
        // SAFETY: `slot_index` < `slot_count`, so the result is one of the slots (1), which keeps 2.
        self.current = unsafe { self.first.add(slot_index as usize) };
    }

    #[inline(always)]
    fn step(&mut self) {
        // SAFETY: at most one past the last slot (2), which is still within the allocation.
        let next = unsafe { self.current.add(1) };
        // SAFETY: one past the last slot (1).
        let end = unsafe { self.first.add(self.slot_count as usize) };
        self.current = if next == end { self.first } else { next };
    }

    /// Whether the newest slot holds the interval of `now_ns`.
    #[inline(always)]
    pub(crate) fn holds(&self, now_ns: u64) -> bool {
        now_ns.wrapping_sub(self.slot().stamp()) < self.interval_ns
    }

    /// Moves on to the slot of the interval of `now_ns`, which is not the newest one's, and returns
    /// the interval's start; the caller opens the slot. `None`: refused, and counted.
    #[inline(always)]
    pub(crate) fn advance(&mut self, now_ns: u64) -> Option<u64> {
        let next = self.slot().stamp().wrapping_add(self.interval_ns);
        // The next interval is in the next slot: no division, and no look at the clock.
        let start = if now_ns.wrapping_sub(next) < self.interval_ns && now_ns < 1 << 63 {
            self.step();
            next
        } else {
            self.jump(now_ns)?
        };
        self.owner.live().raise_cursor(start);
        Some(start)
    }

    #[cold]
    fn jump(&mut self, now_ns: u64) -> Option<u64> {
        let axis = self.owner.axis();
        let start = crate::admit::admit(&self.owner, self.slot().stamp(), now_ns)?;
        self.seek(u32::try_from(axis.slot_index(start)).ok()?);
        self.interval_ns = axis.interval_ns();
        Some(start)
    }

    /// Marks the series as ended at `now_ns`, or as there again with 0.
    pub(crate) fn set_ended(&self, now_ns: u64) {
        crate::registry::set_ended(&self.owner, self.index, now_ns);
    }
}

impl Column<DistributionSlot> {
    /// Moves on to the interval of `now_ns` with a sample that was found good.
    #[inline(always)]
    pub(crate) fn open(&mut self, now_ns: u64, sample: f64, bucket: Option<&AtomicU64>) {
        let newest = self.slot();
        let totals = if newest.stamp() == 0 {
            (0, 0.0)
        } else {
            newest.totals()
        };
        if let Some(start) = self.advance(now_ns) {
            let totals = self.owner.go_on_from(self.index, totals);
            self.slot().open(start, totals, sample, bucket);
        }
    }
}

impl<S> Drop for Column<S> {
    fn drop(&mut self) {
        self.owner.release(self.index);
    }
}
