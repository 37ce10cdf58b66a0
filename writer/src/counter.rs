//! A total that only grows.

use crate::admit::count;
use crate::clock::Clock;
use crate::mapping::Column;
use rondo_shm_layout::PointSlot;
use rondo_shm_layout::sync::Ordering;

/// The one handle of an owned counter. `Send`, for one thread at a time; keeps the slab mapped.
///
/// An add within an interval is one load and one relaxed store of the slot's value; two cache lines.
/// It never fails; what is refused (a falling total, a stale or future timestamp) is counted.
#[repr(C, align(64))]
pub struct Counter {
    column: Column<PointSlot>,
    clock: Clock,
}

impl Counter {
    /// A counter whose first slot, its zero, is written already.
    pub(crate) fn new(column: Column<PointSlot>, clock: Clock) -> Self {
        Self { column, clock }
    }

    /// A counter that goes nowhere, at the same cost.
    pub fn noop() -> Self {
        crate::noop::noop(|writer| writer.counter("noop").owned())
    }

    /// Adds as of the slab's clock (see [`Clock::now`] for what that costs).
    #[inline]
    pub fn add(&mut self, increment: u64) {
        self.add_at(self.clock.now(), increment);
    }

    /// Adds as of `now_ns`, slab time from [`Clock::now`]. Wraps at 2^64.
    #[inline]
    pub fn add_at(&mut self, now_ns: u64, increment: u64) {
        let word = &self.column.slot().words()[0];
        if self.column.holds(now_ns) {
            let total = word.load(Ordering::Relaxed).wrapping_add(increment);
            word.store(total, Ordering::Relaxed);
        } else {
            self.open(now_ns, self.total().wrapping_add(increment));
        }
    }

    /// Takes over a total that is counted elsewhere, as of `now_ns`. Refused if it falls.
    #[inline]
    pub fn set_total_at(&mut self, now_ns: u64, total: u64) {
        if total < self.total() {
            count::<()>(self.column.owner.live().bad_count);
        } else if self.column.holds(now_ns) {
            self.column.slot().words()[0].store(total, Ordering::Relaxed);
        } else {
            self.open(now_ns, total);
        }
    }

    /// Takes over a total that is counted elsewhere, as of the slab's clock. Refused if it falls.
    #[inline]
    pub fn set_total(&mut self, total: u64) {
        self.set_total_at(self.clock.now(), total);
    }

    /// The total so far.
    #[inline]
    pub fn total(&self) -> u64 {
        let slot = self.column.slot();
        match slot.stamp() {
            0 => 0,
            _ => slot.words()[0].load(Ordering::Relaxed),
        }
    }

    #[inline(never)]
    fn open(&mut self, now_ns: u64, total: u64) {
        if let Some(start) = self.column.advance(now_ns) {
            self.column.slot().open(start, [total]);
        }
    }

    /// Ends the series: what it counted has gone away.
    pub fn end(self) {
        self.column.set_ended(self.clock.now());
    }
}

/// Writes a counter's zero, if it has no value yet: so the first increase counts.
pub(crate) fn write_zero(column: &mut Column<PointSlot>, now_ns: u64) {
    if column.slot().stamp() == 0
        && let Some(start) = column.advance(now_ns)
    {
        column.slot().open(start, [0]);
    }
}
