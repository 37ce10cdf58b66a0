//! A value that goes up and down.

use crate::admit::count;
use crate::clock::Clock;
use crate::mapping::Column;
use rondo_shm_layout::PointSlot;
use rondo_shm_layout::sync::Ordering;

/// The one handle of an owned gauge. `Send`, for one thread at a time; keeps the slab mapped.
///
/// A record within an interval is one relaxed store, and touches two cache lines: the handle and the
/// slot. It never fails; what is refused (NaN, a stale or future timestamp) is counted in the slab.
#[repr(C, align(64))]
pub struct Gauge {
    column: Column<PointSlot>,
    clock: Clock,
}

impl Gauge {
    pub(crate) fn new(column: Column<PointSlot>, clock: Clock) -> Self {
        Self { column, clock }
    }

    /// A gauge that goes nowhere, at the same cost.
    pub fn noop() -> Self {
        crate::noop::noop(|writer| writer.gauge("noop").owned())
    }

    /// Sets the value as of the slab's clock (see [`Clock::now`] for what that costs).
    #[inline]
    pub fn set(&mut self, value: f64) {
        self.set_at(self.clock.now(), value);
    }

    /// Sets the value as of `now_ns`, slab time from [`Clock::now`].
    #[inline]
    pub fn set_at(&mut self, now_ns: u64, value: f64) {
        if self.column.holds(now_ns) && !value.is_nan() {
            self.column.slot().words()[0].store(value.to_bits(), Ordering::Relaxed);
        } else {
            self.open(now_ns, value);
        }
    }

    #[inline(never)]
    fn open(&mut self, now_ns: u64, value: f64) {
        if value.is_nan() {
            count::<()>(self.column.owner.live().bad_count);
        } else if let Some(start) = self.column.advance(now_ns) {
            self.column.slot().open(start, [value.to_bits()]);
        }
    }

    /// Ends the series: what it measured has gone away.
    pub fn end(self) {
        self.column.set_ended(self.clock.now());
    }
}
