//! Series that any thread may write: one cell each, which the tick copies into slots.

use crate::admit::count;
use crate::mapping::Pinned;
use rondo_shm_layout::SharedCell;

/// A counter for any number of threads. Clones add to the same cell.
///
/// An add is one atomic instruction: a few nanoseconds alone, more when threads contend for the line.
/// No add is lost; the tick decides which interval it first shows in.
#[derive(Clone)]
pub struct SharedCounter(pub(crate) Pinned<SharedCell>);

impl SharedCounter {
    /// A counter that goes nowhere, at the same cost.
    pub fn noop() -> Self {
        crate::noop::noop(|writer| writer.counter("noop").shared())
    }

    /// Adds. Wraps at 2^64.
    #[inline]
    pub fn add(&self, increment: u64) {
        self.0.add(increment);
    }

    /// The total so far, of all threads.
    pub fn total(&self) -> u64 {
        self.0.get()
    }
}

/// A gauge for any number of threads. Clones set the same cell; the last one wins.
#[derive(Clone)]
pub struct SharedGauge(pub(crate) Pinned<SharedCell>);

impl SharedGauge {
    /// A gauge that goes nowhere, at the same cost.
    pub fn noop() -> Self {
        crate::noop::noop(|writer| writer.gauge("noop").shared())
    }

    /// Sets the value. NaN is refused and counted.
    #[inline]
    pub fn set(&self, value: f64) {
        if value.is_nan() {
            count::<()>(self.0.owner().live().bad_count);
        } else {
            self.0.set(value.to_bits());
        }
    }
}
