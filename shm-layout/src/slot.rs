//! The slots of a column: 16 bytes for a gauge or counter, one cache line for a distribution.

use crate::seqlock::Seqlock;
use crate::stamped::Stamped;
use crate::sync::{AtomicU64, Ordering};

/// The stamp of a slot that is being moved to another interval, or whose writer died doing so.
pub const BUSY: u64 = u64::MAX;

/// What value words hold before the first write: a quiet NaN no arithmetic produces, compared by bits.
pub const SENTINEL: u64 = 0x7FF8_524F_4E44_4F31;

/// What a reader finds in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read<T> {
    /// A consistent value.
    Present(T),
    /// The slot holds another interval, or none.
    Absent,
    /// The writer was inside the slot at every attempt, or died there.
    Torn,
}

impl<T> Read<T> {
    /// The value, if there is one.
    pub fn present(self) -> Option<T> {
        match self {
            Read::Present(value) => Some(value),
            Read::Absent | Read::Torn => None,
        }
    }
}

/// The slot of a gauge (bits of an `f64`) or counter (`u64`): stamp and value.
pub type PointSlot = Stamped<1>;

/// The slot of a distribution: one cache line, so that a sample touches no second one.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct DistributionSlot {
    lock: Seqlock<6>,
    reserved: AtomicU64,
}

/// The payload of a [`DistributionSlot`], as a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DistributionWords {
    /// Start of the interval in slab time; 0 never written, [`BUSY`] while being opened.
    pub stamp: u64,
    /// Samples since registration.
    pub count: u64,
    /// Their sum since registration.
    pub sum: f64,
    /// Least sample of the interval.
    pub min: f64,
    /// Greatest sample of the interval.
    pub max: f64,
    /// Latest sample of the interval.
    pub last: f64,
}

impl DistributionWords {
    /// What a slot holds that never was written.
    pub const UNWRITTEN: [u64; 6] = [0, SENTINEL, SENTINEL, SENTINEL, SENTINEL, SENTINEL];

    fn from_words([stamp, count, sum, min, max, last]: [u64; 6]) -> Self {
        let f = f64::from_bits;
        Self {
            stamp,
            count,
            sum: f(sum),
            min: f(min),
            max: f(max),
            last: f(last),
        }
    }
}

impl DistributionSlot {
    /// A slot that never was written; for tests and models.
    pub fn new() -> Self {
        Self {
            lock: Seqlock::new(DistributionWords::UNWRITTEN),
            reserved: AtomicU64::new(0),
        }
    }

    /// The stamp as the writer itself sees it, or a hint for anyone else.
    #[inline(always)]
    pub fn stamp(&self) -> u64 {
        self.lock.words()[0].load(Ordering::Relaxed)
    }

    /// Count and sum as the writer itself left them: what the next interval goes on from.
    #[inline(always)]
    pub fn totals(&self) -> (u64, f64) {
        let words = self.lock.words();
        (
            words[1].load(Ordering::Relaxed),
            f64::from_bits(words[2].load(Ordering::Relaxed)),
        )
    }

    /// Adds a finite sample to the interval that the slot holds. `bucket` is the histogram's, if any.
    #[inline(always)]
    pub fn add(&self, sample: f64, bucket: Option<&AtomicU64>) {
        self.lock.update(|[_, count, sum, min, max, last]| {
            let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
            let store = |word: &AtomicU64, bits: u64| word.store(bits, Ordering::Relaxed);
            store(count, load(count).wrapping_add(1));
            store(sum, (f64::from_bits(load(sum)) + sample).to_bits());
            // Compare and select compile to one instruction each; `f64::min` has to mind NaN.
            let (least, greatest) = (f64::from_bits(load(min)), f64::from_bits(load(max)));
            store(min, if sample < least { sample } else { least }.to_bits());
            store(max, if sample > greatest { sample } else { greatest }.to_bits());
            store(last, sample.to_bits());
            if let Some(bucket) = bucket {
                store(bucket, load(bucket).wrapping_add(1));
            }
        });
    }

    /// Moves the slot to the interval `stamp` with its first sample, going on from `totals`.
    #[inline(always)]
    pub fn open(&self, stamp: u64, totals: (u64, f64), sample: f64, bucket: Option<&AtomicU64>) {
        self.lock.update(|words| {
            let store = |i: usize, bits: u64| words[i].store(bits, Ordering::Relaxed);
            // Tells whoever reopens the slab after a crash whether the totals were being replaced.
            store(0, BUSY);
            store(1, totals.0.wrapping_add(1));
            store(2, (totals.1 + sample).to_bits());
            store(3, sample.to_bits());
            store(4, sample.to_bits());
            store(5, sample.to_bits());
            if let Some(bucket) = bucket {
                bucket.store(bucket.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            }
            store(0, stamp);
        });
    }

    /// Empties the slot. Only while there is no writer.
    pub fn clear(&self) {
        self.lock.repair(DistributionWords::UNWRITTEN);
    }

    /// Whether the writer is inside, or died there.
    pub fn is_torn(&self) -> bool {
        self.lock.sequence() & 1 == 1
    }

    /// The sequence, for a check that spans several loads (see [`Self::is_still`]).
    pub fn sequence(&self) -> u64 {
        self.lock.sequence()
    }

    /// Whether the slot stood still since `sequence` was loaded. Its buckets may have moved: a later sample
    /// may have gone to another slot.
    pub fn is_still(&self, sequence: u64) -> bool {
        self.lock.is_still(sequence)
    }

    /// The word that 1.0 leaves for later versions.
    pub fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// What the slot holds for the interval `stamp`.
    #[inline]
    pub fn read(&self, stamp: u64) -> Read<DistributionWords> {
        match self.lock.read() {
            Read::Present(words) if words[0] == stamp => Read::Present(DistributionWords::from_words(words)),
            Read::Present(_) | Read::Absent => Read::Absent,
            Read::Torn => Read::Torn,
        }
    }

    /// Whatever the slot holds.
    #[inline]
    pub fn read_any(&self) -> Read<DistributionWords> {
        match self.lock.read() {
            Read::Present([0, ..]) | Read::Absent => Read::Absent,
            Read::Present(words) => Read::Present(DistributionWords::from_words(words)),
            Read::Torn => Read::Torn,
        }
    }

    /// The raw words, for checks of what a slot holds that claims to be unwritten.
    pub fn raw(&self) -> Read<[u64; 6]> {
        self.lock.read()
    }
}

impl Default for DistributionSlot {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<PointSlot>() == 16 && align_of::<PointSlot>() == 8);
    assert!(size_of::<DistributionSlot>() == 64 && align_of::<DistributionSlot>() == 64);
};

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The writer's arithmetic, seen from a reader: totals run on, the rest starts over.
    #[test]
    fn a_new_interval_goes_on_from_the_totals() {
        let (first, second) = (DistributionSlot::new(), DistributionSlot::new());
        first.open(10, (0, 0.0), 3.0, None);
        first.add(1.0, None);
        first.add(2.0, None);
        second.open(20, first.totals(), -5.0, None);
        assert_eq!(
            first.read(10),
            Read::Present(DistributionWords {
                stamp: 10,
                count: 3,
                sum: 6.0,
                min: 1.0,
                max: 3.0,
                last: 2.0
            })
        );
        assert_eq!(
            second.read_any(),
            Read::Present(DistributionWords {
                stamp: 20,
                count: 4,
                sum: 1.0,
                min: -5.0,
                max: -5.0,
                last: -5.0
            })
        );
        assert_eq!(second.read(10), Read::Absent);
    }

    /// A writer that died inside is a value, not a spin, and repair makes the slot absent for good.
    #[test]
    fn a_torn_slot_is_a_value_and_can_be_cleared() {
        let slot = DistributionSlot::new();
        slot.open(10, (0, 0.0), 3.0, None);
        let before = slot.sequence();
        slot.lock.update(|_| assert_eq!(slot.read(10), Read::Torn));
        assert!(!slot.is_torn());
        slot.clear();
        assert_eq!(slot.read_any(), Read::Absent);
        assert!(slot.sequence() > before, "the sequence never starts over");

        let point = PointSlot::new(BUSY, [1]);
        assert_eq!(point.read(10), Read::Torn);
        point.clear(SENTINEL);
        assert_eq!(point.read_any(), Read::Absent);
    }
}
