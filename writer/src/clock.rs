//! Where time comes from.
//!
//! Slab time is CLOCK_MONOTONIC plus an anchor, so a step of the wall clock goes unnoticed. Records
//! without a timestamp read the coarse clock, which the kernel moves on at each of its ticks (1 to
//! 10 ms): 4.4 ns through the vDSO where the fine one takes 23. Cheaper still is the interval that
//! [`Writer::tick`](crate::Writer::tick) moves on ([`TimeSource::Tick`]): one load.

use crate::mapping::{Pinned, SlabMemory};
use nix::time::{ClockId, clock_gettime};
use rondo_shm_layout::sync::{AtomicU64, Ordering};
use std::sync::Arc;

/// What handles take as the present when they are not given a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeSource {
    /// CLOCK_MONOTONIC_COARSE: right to one kernel tick, whatever the rest of the program does.
    #[default]
    Coarse,
    /// The interval of the last [`Writer::tick`](crate::Writer::tick). Costs one load, and is right
    /// as long as ticks come in time: a sample between the end of an interval and the tick that
    /// opens the next counts for the old one. [`Writer::next_tick`](crate::Writer::next_tick)
    /// therefore asks for ticks at the start of each interval, not in its middle.
    Tick,
}

/// A slab's clock: cheap to copy into the threads that record.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Coarse { anchor_ns: u64 },
    Tick(Pinned<AtomicU64>),
}

impl Clock {
    pub(crate) fn new(slab: &Arc<SlabMemory>, source: TimeSource) -> Self {
        let identity = &slab.layout.identity;
        if identity.simulated_time || source == TimeSource::Tick {
            Self(Source::Tick(Pinned::ticked(slab)))
        } else {
            Self(Source::Coarse {
                anchor_ns: identity.anchor_ns(),
            })
        }
    }

    /// The present in slab time, to be passed to any number of `…_at` calls. Costs one coarse clock
    /// read (about 4.4 ns), or one load with [`TimeSource::Tick`].
    #[inline(always)]
    pub fn now(&self) -> u64 {
        match &self.0 {
            Source::Coarse { anchor_ns } => coarse_ns().wrapping_add(*anchor_ns),
            Source::Tick(ticked) => ticked.load(Ordering::Relaxed),
        }
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

#[inline(always)]
fn read(clock: ClockId) -> u64 {
    // These clocks exist on every Linux; 0 would be refused as stale, not written.
    clock_gettime(clock).map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
}

#[inline(always)]
fn coarse_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC_COARSE)
}

/// CLOCK_MONOTONIC in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Both clocks at one moment: the wall clock between two reads of the monotonic one, the closest of
/// a few tries (a try that was interrupted shows as a wide pair).
pub(crate) fn both_ns() -> (u64, u64) {
    let try_once = || {
        let before = monotonic_ns();
        let real = read(ClockId::CLOCK_REALTIME);
        let after = monotonic_ns();
        (
            after.saturating_sub(before),
            before + after.saturating_sub(before) / 2,
            real,
        )
    };
    let (_, monotonic, real) = (0..3).map(|_| try_once()).min().unwrap_or_default();
    (monotonic, real)
}
