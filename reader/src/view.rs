//! What holds for all values that are read together, fixed before the first of them.
//!
//! The order matters: a slot that was read while the writer lived, or before it ticked, must not
//! pass for final. So liveness, the clock, the tick and the cursor are taken first, slots after.

use crate::liveness::{Boot, Liveness, boot};
use nix::time::{ClockId, clock_gettime};
use rondo_shm_layout::{Axis, IdentityInfo, LiveWords, sync};

/// No stamp lies beyond.
pub(crate) const INSTANT_MAX: u64 = 1 << 63;

/// How late a writer's clock may be: it reads one that moves with the kernel's tick.
const CLOCK_TICK_NS: u64 = 10_000_000;

/// The state of a slab at one moment. All times are nanoseconds of slab time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Whether the writer lives.
    pub liveness: Liveness,
    /// The present, as the writer's clock shows it. Of no meaning for a slab of another boot or with
    /// simulated time.
    pub now_ns: u64,
    /// Start of the interval of the writer's last tick; 0 before the first.
    pub ticked_ns: u64,
    /// Start of the newest interval that a slot was opened for; 0 before the first.
    pub cursor_ns: u64,
    /// What to add to a stamp to show it on the present wall clock, in whole intervals; 0 for a slab
    /// of another boot or with simulated time.
    pub clock_offset_ns: i64,
    axis: Axis,
    window: Option<Window>,
    simulated_time: bool,
}

/// The intervals that a ring may hold, and their slots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    /// Start of the first.
    pub(crate) first: u64,
    /// Start of the last.
    pub(crate) last: u64,
    /// Slot of the first.
    first_index: u64,
    /// Slot of the last.
    last_index: u64,
}

impl Window {
    fn new(axis: Axis, cursor_ns: u64) -> Option<Self> {
        axis.window(cursor_ns).map(|(first, last)| Self {
            first,
            last,
            first_index: axis.slot_index(first),
            last_index: axis.slot_index(last),
        })
    }

    /// Start of the first interval that starts at or after `time_ns`, and its slot; if it is before the
    /// window, the slot of the window's first instead. `None` after the window. One division.
    pub(crate) fn at(&self, axis: Axis, time_ns: u64) -> Option<(u64, u64)> {
        let intervals_back = self.last.checked_sub(time_ns)? / axis.interval_ns();
        let t = self.last - intervals_back * axis.interval_ns();
        if t < self.first {
            return Some((t, self.first_index));
        }
        // Fewer than there are slots.
        let index = self.last_index.checked_sub(intervals_back);
        let index = index.unwrap_or_else(|| self.last_index + axis.slot_count() - intervals_back);
        Some((t, index))
    }
}

impl View {
    pub(crate) fn take(
        live: &LiveWords<'_>,
        axis: Axis,
        identity: &IdentityInfo,
        liveness: Liveness,
    ) -> Self {
        let (monotonic, realtime) = (
            clock_ns(ClockId::CLOCK_MONOTONIC),
            clock_ns(ClockId::CLOCK_REALTIME),
        );
        let now_ns = monotonic.wrapping_add(identity.anchor_ns());
        // Pairs with the release store of the tick: the slots that it filled are seen.
        let ticked_ns = sync::load_acquire(live.ticked_ns);
        let cursor_ns = axis.start_of(sync::load_acquire(live.cursor_ns).min(INSTANT_MAX));
        let is_comparable = boot(&identity.boot_id) == Boot::Present && !identity.simulated_time;
        let offset = if is_comparable {
            realtime.wrapping_sub(now_ns).cast_signed()
        } else {
            0
        };
        let clock_offset_ns = round_to(offset, axis.interval_ns());
        let simulated_time = identity.simulated_time;
        Self {
            liveness,
            now_ns,
            ticked_ns,
            cursor_ns,
            clock_offset_ns,
            axis,
            window: Window::new(axis, cursor_ns),
            simulated_time,
        }
    }

    /// Start of the first and of the last interval that can be asked for, or `None` before the first sample.
    pub fn window(&self) -> Option<(u64, u64)> {
        self.window.map(|window| (window.first, window.last))
    }

    pub(crate) fn slots(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// Whether the interval that starts at `t` is over, so that its values are final. (A thread that
    /// is suspended between taking the time and storing its sample can still be late.)
    pub fn is_complete(&self, t: u64) -> bool {
        if self.liveness != Liveness::Live {
            return true;
        }
        if self.simulated_time {
            return self.cursor_ns > t;
        }
        t.saturating_add(self.axis.interval_ns())
            .saturating_add(CLOCK_TICK_NS)
            <= self.now_ns
    }

    /// Start of the newest interval of the window that is complete: how far a collector may read.
    pub fn complete_ns(&self) -> Option<u64> {
        let (first, last) = self.window()?;
        if self.is_complete(last) {
            return Some(last);
        }
        let interval = self.axis.interval_ns();
        let last_complete = if self.simulated_time {
            last.saturating_sub(interval)
        } else {
            self.axis
                .start_of(self.now_ns.saturating_sub(CLOCK_TICK_NS))
                .saturating_sub(interval)
        };
        (last_complete >= first).then_some(last_complete.min(last))
    }

    /// A stamp as the present wall clock shows it, in nanoseconds since the Unix epoch.
    pub fn wall_ns(&self, t: u64) -> i128 {
        i128::from(t) + i128::from(self.clock_offset_ns)
    }
}

fn clock_ns(clock: ClockId) -> u64 {
    // Both clocks exist on every Linux.
    clock_gettime(clock).map_or(0, |t| {
        t.tv_sec().cast_unsigned() * 1_000_000_000 + t.tv_nsec().cast_unsigned()
    })
}

/// `value` rounded to the nearest multiple of `step`, a half away from zero.
fn round_to(value: i64, step: u64) -> i64 {
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    let half = step / 2 * value.signum();
    let value = value.saturating_add(half);
    value - value % step
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn live_at(now_ns: u64, cursor_ns: u64) -> View {
        let axis = Axis::new(1_000_000_000, 10);
        View {
            liveness: Liveness::Live,
            now_ns,
            ticked_ns: cursor_ns,
            cursor_ns,
            clock_offset_ns: 0,
            axis,
            window: Window::new(axis, cursor_ns),
            simulated_time: false,
        }
    }

    #[test]
    fn an_interval_is_complete_one_clock_tick_after_its_end() {
        assert!(!live_at(8_009_999_999, 7_000_000_000).is_complete(7_000_000_000));
        assert!(live_at(8_010_000_000, 7_000_000_000).is_complete(7_000_000_000));
        let dead = View {
            liveness: Liveness::Dead,
            ..live_at(0, 7_000_000_000)
        };
        assert!(
            dead.is_complete(7_000_000_000),
            "a dead writer changes nothing any more"
        );
    }

    /// Where the collector stops must be the last interval for which `is_complete` says yes.
    #[test]
    fn the_newest_complete_interval_is_complete_and_the_next_is_not() {
        for now_ms in (6_000..9_000).step_by(5) {
            let view = live_at(now_ms * 1_000_000, 7_000_000_000);
            let complete = view.complete_ns().unwrap();
            assert!(view.is_complete(complete));
            assert!(
                complete == 7_000_000_000 || !view.is_complete(complete + 1_000_000_000),
                "{now_ms}"
            );
        }
        let simulated = View {
            simulated_time: true,
            ..live_at(u64::MAX, 7_000_000_000)
        };
        assert_eq!(simulated.complete_ns(), Some(6_000_000_000));
        assert_eq!(live_at(0, 0).complete_ns(), None);
    }

    proptest! {
        /// One division must come to the same as the two of the specification, in the first lap too.
        #[test]
        fn a_time_of_the_window_leads_to_its_slot(
            interval in 1u64..50,
            slots in 2u32..20,
            cursor in 0u64..3_000,
            time in 0u64..3_500,
        ) {
            let axis = Axis::new(interval, slots);
            let at = Window::new(axis, cursor).and_then(|window| window.at(axis, time));
            let start = time.next_multiple_of(interval);
            let expected = axis.window(cursor).and_then(|(first, last)| {
                (start <= last).then(|| (start, axis.slot_index(start.max(first))))
            });
            prop_assert_eq!(at, expected);
        }
    }

    #[test]
    fn offsets_are_whole_intervals() {
        for (value, rounded) in [
            (0, 0),
            (499, 0),
            (500, 1000),
            (-499, 0),
            (-500, -1000),
            (-1400, -1000),
        ] {
            assert_eq!(round_to(value, 1000), rounded);
        }
    }
}
