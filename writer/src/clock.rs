//! Where time comes from.
//!
//! Slab time is CLOCK_MONOTONIC plus an anchor, so a step of the wall clock goes unnoticed. Records
//! without a timestamp read the coarse clock, which the kernel moves on at each of its ticks (1 to
//! 10 ms): 4.4 ns through the vDSO where the fine one takes 23. Cheaper still is the interval that
//! [`Writer::tick`](crate::Writer::tick) moves on ([`TimeSource::Tick`]): one load.

use crate::mapping::{Pinned, SlabMemory};
use crate::system_clock::read;
use nix::time::ClockId;
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

/// When the next tick is due, in slab time: the last one was in the interval of `ticked_ns` (0 for none).
///
/// In the middle of an interval, where half of one of delay either way does no harm; with
/// [`TimeSource::Tick`] at its start, as a timer may be late but is never early. Never again in the
/// interval that was ticked, nor in one that is over; in one that goes on without a tick, it may be
/// past already, and is due at once.
pub(crate) fn next_tick_ns(interval_ns: u64, source: TimeSource, ticked_ns: u64, now_ns: u64) -> u64 {
    let phase = match source {
        TimeSource::Coarse => interval_ns / 2,
        TimeSource::Tick => 0,
    };
    let this = now_ns - now_ns % interval_ns;
    this.max(ticked_ns.saturating_add(interval_ns))
        .saturating_add(phase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    /// Starts of the intervals that a machine ticks which starts at `start` and lives for `life`, as
    /// its timer is late by what `lateness` gives.
    fn ticked(source: TimeSource, start: u64, life: u64, mut lateness: impl FnMut() -> u64) -> Vec<u64> {
        let (mut now, mut all) = (start, Vec::new());
        // The writer of a machine that has its time from ticks ticks when it is made.
        let mut last = if source == TimeSource::Tick {
            start - start % SECOND
        } else {
            0
        };
        loop {
            // A timer that is due in the past fires at once.
            now = now.max(next_tick_ns(SECOND, source, last, now)) + lateness();
            if now >= start + life {
                return all;
            }
            last = now - now % SECOND;
            all.push(last);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// Free-running one-second loops skipped or doubled a second in 6 of 1,000 machines that lived
        /// for 45 s; a skipped interval reads as a writer that was not there.
        #[test]
        fn every_interval_of_a_short_life_is_ticked_exactly_once(
            start in 1_000 * SECOND..1_001 * SECOND,
            late in prop::collection::vec(0..400_000_000u64, 60),
        ) {
            for source in [TimeSource::Coarse, TimeSource::Tick] {
                let mut late = late.iter().copied().cycle();
                let ticks = ticked(source, start, 45 * SECOND, || late.next().unwrap());
                let first = start - start % SECOND;
                // A Coarse machine made in the last 400 ms of an interval may come too late for that one.
                let is_first_missed = source == TimeSource::Tick || ticks[0] != first;
                let expected: Vec<u64> = (u64::from(is_first_missed)..).map(|n| first + n * SECOND).take(ticks.len()).collect();
                prop_assert_eq!(&ticks, &expected);
                prop_assert!(ticks.len() >= 44);
            }
        }

        /// A loop that was held up must not skip the interval that it wakes up in as well.
        #[test]
        fn a_tick_is_due_in_the_present_interval_or_the_next(
            ticked in 0..100u64, now in 100 * SECOND..102 * SECOND, interval in 1_000_000..2 * SECOND,
        ) {
            for source in [TimeSource::Coarse, TimeSource::Tick] {
                let present = now - now % interval;
                let due = |ticked| { let due = next_tick_ns(interval, source, ticked, now); due - due % interval };
                prop_assert_eq!(due(present), present + interval);
                prop_assert_eq!(due(present - ticked % 50 * interval - interval), present);
                prop_assert_eq!(due(0), present);
            }
        }
    }
}
