//! The time axis of a slab: intervals of equal length, and the ring of slots that holds them.

/// Interval length and ring size. Times are nanoseconds of slab time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Axis {
    interval_ns: u64,
    slot_count: u64,
}

impl Axis {
    /// An axis of `slot_count` slots of `interval_ns` each; both must be at least 1 (they are taken
    /// as 1 otherwise, so that no later division can fail).
    pub const fn new(interval_ns: u64, slot_count: u32) -> Self {
        Self {
            interval_ns: if interval_ns == 0 { 1 } else { interval_ns },
            slot_count: if slot_count == 0 { 1 } else { slot_count as u64 },
        }
    }

    /// Length of an interval.
    #[inline(always)]
    pub const fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// Slots in the ring.
    #[inline(always)]
    pub const fn slot_count(&self) -> u64 {
        self.slot_count
    }

    /// Start of the interval that `time_ns` falls into. Costs a division.
    #[inline]
    pub const fn start_of(&self, time_ns: u64) -> u64 {
        time_ns - time_ns % self.interval_ns
    }

    /// Whether `time_ns` lies in the interval that starts at `start_ns`. False for an unwritten (0)
    /// or busy (2^64−1) stamp and every valid time: one interval is the least of those.
    #[inline(always)]
    pub const fn holds(&self, start_ns: u64, time_ns: u64) -> bool {
        time_ns.wrapping_sub(start_ns) < self.interval_ns
    }

    /// Slot of the interval that starts at `start_ns`. Costs two divisions.
    #[inline]
    pub const fn slot_index(&self, start_ns: u64) -> u64 {
        start_ns / self.interval_ns % self.slot_count
    }

    /// First and last interval that a ring with this cursor may still hold, or `None` before the
    /// first interval. `cursor_ns` is taken as the interval that it falls into.
    pub fn window(&self, cursor_ns: u64) -> Option<(u64, u64)> {
        let last = self.start_of(cursor_ns);
        let back = (self.slot_count - 1).saturating_mul(self.interval_ns);
        (last >= self.interval_ns).then(|| (last.saturating_sub(back).max(self.interval_ns), last))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn unwritten_and_busy_stamps_hold_no_time() {
        let axis = Axis::new(1_000, 4);
        for time in [1_000, 1_001, 1 << 62, (1 << 63) - 1] {
            assert!(!axis.holds(0, time));
            assert!(!axis.holds(crate::BUSY, time));
            assert!(axis.holds(axis.start_of(time), time));
        }
    }

    proptest! {
        /// The ring against a queue that drops its oldest: the same intervals survive, in order.
        #[test]
        fn the_ring_keeps_what_a_queue_would(
            interval in 1u64..2_000,
            slots in 2u32..40,
            first in 1u64..100_000,
            steps in prop::collection::vec(1u64..6, 1..200),
        ) {
            let axis = Axis::new(interval, slots);
            let mut ring = vec![0u64; slots as usize];
            let mut queue = VecDeque::new();
            let mut number = first;
            for step in steps {
                ring[axis.slot_index(number * interval) as usize] = number * interval;
                queue.push_back(number * interval);
                let (oldest, newest) = axis.window(number * interval).unwrap();
                prop_assert_eq!(newest, number * interval);
                while *queue.front().unwrap() < oldest {
                    queue.pop_front();
                }
                let held: Vec<u64> = (oldest / interval..=newest / interval)
                    .map(|n| n * interval)
                    .filter(|&start| ring[axis.slot_index(start) as usize] == start)
                    .collect();
                prop_assert_eq!(&held, &queue.iter().copied().collect::<Vec<_>>());
                number += step;
            }
        }

        /// The next interval is in the next slot, so a writer that goes on in order never divides.
        #[test]
        fn the_next_interval_is_in_the_next_slot(interval in 1u64..1 << 40, slots in 2u32..1 << 20, n in 1u64..1 << 22) {
            let axis = Axis::new(interval, slots);
            let here = axis.slot_index(n * interval);
            let next = axis.slot_index((n + 1) * interval);
            prop_assert_eq!(next, if here + 1 == u64::from(slots) { 0 } else { here + 1 });
        }

        #[test]
        fn start_is_the_only_interval_that_holds_a_time(interval in 1u64..1 << 40, time in any::<u64>()) {
            let axis = Axis::new(interval, 2);
            let time = time.max(interval) >> 1 | interval;
            let start = axis.start_of(time);
            prop_assert!(axis.holds(start, time));
            prop_assert!(!axis.holds(start.wrapping_sub(interval), time));
            prop_assert!(!axis.holds(start.wrapping_add(interval), time));
        }
    }
}
