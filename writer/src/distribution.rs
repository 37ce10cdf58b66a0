//! Samples of which count, sum, min, max and last are kept, and with buckets also quantiles.

use crate::admit::count;
use crate::clock::Clock;
use crate::mapping::{Buckets, Column};
use rondo_shm_layout::DistributionSlot;

/// The one handle of an owned distribution. `Send`, for one thread at a time; keeps the slab mapped.
///
/// A record updates one cache line under its sequence lock; with the handle, two lines. It never
/// fails; what is refused (samples that are not finite, stale or future timestamps) is counted.
#[repr(C, align(64))]
pub struct Distribution {
    column: Column<DistributionSlot>,
    clock: Clock,
}

impl Distribution {
    pub(crate) fn new(column: Column<DistributionSlot>, clock: Clock) -> Self {
        Self { column, clock }
    }

    /// A distribution that goes nowhere, at the same cost.
    pub fn noop() -> Self {
        crate::noop::noop(|writer| writer.distribution("noop").owned())
    }

    /// Adds a sample as of the slab's clock (see [`Clock::now`] for what that costs).
    #[inline]
    pub fn record(&mut self, sample: f64) {
        self.record_at(self.clock.now(), sample);
    }

    /// Adds a sample as of `now_ns`, slab time from [`Clock::now`].
    #[inline]
    pub fn record_at(&mut self, now_ns: u64, sample: f64) {
        if self.column.holds(now_ns) && sample.is_finite() {
            self.column.slot().add(sample, None);
        } else {
            self.open(now_ns, sample);
        }
    }

    #[inline(never)]
    fn open(&mut self, now_ns: u64, sample: f64) {
        if sample.is_finite() {
            self.column.open(now_ns, sample, None);
        } else {
            count::<()>(self.column.owner.live().bad_count);
        }
    }

    /// Ends the series: what it measured has gone away.
    pub fn end(self) {
        self.column.set_ended(self.clock.now());
    }
}

/// The one handle of an owned histogram. `Send`, for one thread at a time; keeps the slab mapped.
///
/// A record is a [`Distribution`]'s, and one more cache line for the bucket. Samples are at least 0.
#[repr(C, align(64))]
pub struct Histogram {
    column: Column<DistributionSlot>,
    buckets: Buckets,
    clock: Clock,
}

impl Histogram {
    pub(crate) fn new(column: Column<DistributionSlot>, buckets: Buckets, clock: Clock) -> Self {
        Self {
            column,
            buckets,
            clock,
        }
    }

    /// A histogram that goes nowhere, at the same cost.
    pub fn noop() -> Self {
        crate::noop::noop(|writer| writer.histogram("noop").owned())
    }

    /// Adds a sample as of the slab's clock (see [`Clock::now`] for what that costs).
    #[inline]
    pub fn record(&mut self, sample: f64) {
        self.record_at(self.clock.now(), sample);
    }

    /// Adds a sample as of `now_ns`, slab time from [`Clock::now`].
    #[inline]
    pub fn record_at(&mut self, now_ns: u64, sample: f64) {
        if self.column.holds(now_ns) && is_histogram_sample(sample) {
            self.column.slot().add(sample, Some(self.buckets.of(sample)));
        } else {
            self.open(now_ns, sample);
        }
    }

    #[inline(never)]
    fn open(&mut self, now_ns: u64, sample: f64) {
        if is_histogram_sample(sample) {
            self.column.open(now_ns, sample, Some(self.buckets.of(sample)));
        } else {
            count::<()>(self.column.owner.live().bad_count);
        }
    }

    /// Ends the series: what it measured has gone away.
    pub fn end(self) {
        self.column.set_ended(self.clock.now());
    }
}

#[inline(always)]
pub(crate) fn is_histogram_sample(sample: f64) -> bool {
    // Also false for NaN. Negative zero passes, and is 0.
    (0.0..=f64::MAX).contains(&sample)
}
