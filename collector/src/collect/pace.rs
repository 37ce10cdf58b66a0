//! When passes are due: once a second, at absolute instants.
//!
//! A loop that sleeps a second after each pass drifts, and so skips a second now and then. A pass that
//! takes longer than a second is followed by the next tick that is still to come; those in between
//! are counted, not made up for: one pass reads all that is new.

use std::time::{Duration, Instant};

/// From one tick to the next.
pub const PASS_INTERVAL: Duration = Duration::from_secs(1);

/// How long after the second a tick comes: an interval is complete a kernel tick after its end.
const AFTER_SECOND: Duration = Duration::from_millis(50);

/// The ticks.
#[derive(Debug)]
pub struct Pace {
    next: Instant,
    missed_count: u64,
}

impl Pace {
    /// A tick now, and then one a little after each second of the wall clock begins, where `wall` is its present
    /// time: most slabs' intervals have just ended then.
    pub fn aligned(now: Instant, wall: Duration) -> Self {
        let into_second = Duration::from_nanos(wall.subsec_nanos().into());
        let since_tick = (into_second + PASS_INTERVAL - AFTER_SECOND).as_nanos() % PASS_INTERVAL.as_nanos();
        // Less than a second, so the tick before now is due at once, and no other is.
        let since_tick = Duration::from_nanos(u64::try_from(since_tick).unwrap_or(0));
        Self::from(now.checked_sub(since_tick).unwrap_or(now))
    }

    /// Ticks at `first` and each second after it.
    pub fn from(first: Instant) -> Self {
        Self {
            next: first,
            missed_count: 0,
        }
    }

    /// Whether a tick is due; the next one is then after `now`.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let Some(late) = now.checked_duration_since(self.next) else {
            return false;
        };
        let missed = late.as_secs();
        self.missed_count += missed;
        self.next += PASS_INTERVAL + Duration::from_secs(missed);
        true
    }

    /// The next tick.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Ticks that passed unused because a pass took too long, or the process did not run.
    pub fn missed_count(&self) -> u64 {
        self.missed_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_pass_skips_ticks_and_counts_them() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::from(start);
        assert!(pace.is_due(ms(0)) && !pace.is_due(ms(999)) && pace.is_due(ms(1_000)));
        // That pass took 2.5 s: ticks 2 and 3 are due together, 4 is the next.
        assert!(pace.is_due(ms(3_500)));
        assert_eq!((pace.missed_count(), pace.next()), (1, ms(4_000)));
    }

    #[test]
    fn aligned_ticks_come_at_once_and_then_after_each_second() {
        let now = Instant::now() + Duration::from_secs(10);
        for (into_second, to_next) in [(0, 50), (49, 1), (50, 1_000), (51, 999), (999, 51)] {
            let mut pace = Pace::aligned(now, Duration::from_millis(7_000 + into_second));
            assert!(pace.is_due(now) && !pace.is_due(now));
            assert_eq!(
                (pace.next() - now, pace.missed_count()),
                (Duration::from_millis(to_next), 0)
            );
        }
    }

    proptest! {
        /// Whatever passes take, ticks stay whole seconds from the first, none comes twice, and
        /// those used and missed are all there were.
        #[test]
        fn ticks_never_drift(steps in prop::collection::vec(0u64..3_000, 1..100)) {
            let start = Instant::now();
            let mut pace = Pace::from(start);
            let (mut now, mut used) = (start, 0);
            for step in steps {
                now += Duration::from_millis(step);
                used += u64::from(pace.is_due(now));
                let next = pace.next() - start;
                prop_assert_eq!(next.subsec_nanos(), 0);
                prop_assert!(pace.next() > now && pace.next() <= now + PASS_INTERVAL);
                prop_assert_eq!(used + pace.missed_count(), next.as_secs());
            }
        }
    }
}
