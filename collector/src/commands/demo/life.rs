//! What has to be in the store of a machine that reported when it ticked, and how much of it is.
//!
//! In each second that had a tick, each series that is recorded at ticks has a point. Each window of a coarser tier that has
//! such a second is stored, and knows all of them. The machine's end seals the last window of each tier, unless that was
//! complete by then.

use crate::query::{Point, SeriesAnswer};
use serde::Serialize;
use std::collections::HashSet;

/// The windows of one tier that a machine's points are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TierReport {
    /// Its number.
    pub tier: u8,
    /// Length of a window.
    pub step_ns: u64,
    /// How many windows there have to be.
    pub expected: usize,
    /// Those of them in which every series that is recorded at a tick is known to have all its points.
    pub windows: usize,
    /// How many of them the machine's end cut short.
    pub sealed_expected: usize,
    /// How many are stored as sealed by it.
    pub sealed: usize,
}

impl TierReport {
    pub(super) fn is_complete(&self) -> bool {
        self.windows == self.expected && self.sealed == self.sealed_expected
    }

    /// `6, 1 sealed`, or `5 of 6, 1 sealed`.
    pub(super) fn in_words(&self) -> String {
        let mut words = self.windows.to_string();
        if self.windows != self.expected {
            words += &format!(" of {}", self.expected);
        }
        if self.sealed > 0 || self.sealed_expected > 0 {
            words += &format!(", {}", self.sealed);
            if self.sealed != self.sealed_expected {
                words += &format!(" of {}", self.sealed_expected);
            }
            words += " sealed";
        }
        words
    }
}

/// The ticks that a machine reported, of which there is at least one.
pub(super) struct Life {
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
    pub(super) interval_ns: u64,
    /// Starts of their intervals, ascending.
    ticks: Vec<u64>,
}

impl Life {
    /// `None` of a machine that never ticked.
    pub(super) fn new(mut ticks: Vec<u64>, interval_ns: u64) -> Option<Self> {
        ticks.sort_unstable();
        ticks.dedup();
        Some(Self {
            first_ns: *ticks.first()?,
            last_ns: *ticks.last()?,
            interval_ns,
            ticks,
        })
    }

    /// From the first to the last tick, in intervals.
    pub(super) fn length(&self) -> usize {
        ((self.last_ns - self.first_ns) / self.interval_ns + 1) as usize
    }

    /// Intervals in between in which it did not tick.
    pub(super) fn skipped(&self) -> usize {
        self.length() - self.ticks.len()
    }

    /// How many intervals of `step_ns` have a tick.
    pub(super) fn count(&self, step_ns: u64) -> usize {
        let mut windows: Vec<u64> = self.ticks.iter().map(|tick| tick / step_ns).collect();
        windows.dedup();
        windows.len()
    }

    /// How many ticks are in the window that starts at `start_ns`.
    pub(super) fn ticks_in(&self, start_ns: u64, step_ns: u64) -> u64 {
        let before = |end_ns: u64| self.ticks.partition_point(|tick| *tick < end_ns) as u64;
        before(start_ns.saturating_add(step_ns)) - before(start_ns)
    }

    /// Starts of the windows of `step_ns` in its time of which every series that is recorded at ticks has a point that `is_good`.
    pub(super) fn whole(
        &self,
        all: &[SeriesAnswer],
        step_ns: u64,
        is_good: impl Fn(&Point) -> bool,
    ) -> HashSet<u64> {
        let of = |series: &SeriesAnswer| -> HashSet<u64> {
            let here = series
                .points
                .iter()
                .filter(|point| self.ticks_in(point.t, step_ns) > 0);
            here.filter(|point| is_good(point)).map(|point| point.t).collect()
        };
        let at_ticks = all
            .iter()
            .filter(|series| is_recorded_at_ticks(&series.series.name));
        let common = at_ticks.map(of).reduce(|all, one| &all & &one);
        common.unwrap_or_default()
    }

    /// What is stored of a tier; the machine's last sign of life was in the interval of `end_ns`.
    pub(super) fn tier(&self, all: &[SeriesAnswer], (tier, step_ns): (u8, u64), end_ns: u64) -> TierReport {
        let windows = self.whole(all, step_ns, |point| {
            u64::from(point.row.known) >= self.ticks_in(point.t, step_ns)
        });
        let sealed = self.whole(all, step_ns, |point| point.sealed_ns.is_some());
        // Cut short: the window of the last tick is also that of the end, and an interval of it is missing.
        let last_window = self.last_ns / step_ns * step_ns;
        let is_cut = end_ns < last_window + step_ns - self.interval_ns;
        TierReport {
            tier,
            step_ns,
            expected: self.count(step_ns),
            windows: windows.len(),
            sealed_expected: usize::from(is_cut),
            sealed: sealed.len(),
        }
    }
}

/// The machine's main thread records these at each tick; those of a process's worker, of vCPUs and of disks depend on what
/// happens, and how late a tick was is not known of the last one.
fn is_recorded_at_ticks(name: &str) -> bool {
    const OTHERS: [&str; 9] = [
        "work_",
        "disk_",
        "sleep_",
        "tick_lateness",
        "vcpu_exit",
        "vcpu_run_",
        "blk_",
        "boot_",
        "vmm_tick_lateness",
    ];
    !OTHERS.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{RowValue, Source, StoredSeries};
    use rondo_reader::{Kind, Unit};
    use std::sync::Arc;

    const SECOND: u64 = 1_000_000_000;

    fn life(first: u64, seconds: u64) -> Life {
        let ticks = (first..first + seconds).map(|second| second * SECOND);
        Life::new(ticks.collect(), SECOND).unwrap()
    }

    /// Whatever second it starts in: compared with counting the seconds one by one.
    #[test]
    fn a_life_of_45_seconds_is_in_5_or_6_windows_of_10_s_and_1_or_2_of_5_min() {
        for first in 0..600 {
            let life = life(first, 45);
            for (step, possible) in [(10, 5..=6), (300, 1..=2), (1, 45..=45)] {
                let windows: HashSet<u64> = (first..first + 45).map(|second| second / step).collect();
                assert_eq!(life.count(step * SECOND), windows.len(), "{first} {step}");
                assert!(possible.contains(&windows.len()));
                let ticks =
                    (0..=700 / step).map(|window| life.ticks_in(window * step * SECOND, step * SECOND));
                assert_eq!(ticks.sum::<u64>(), 45, "{first} {step}");
            }
        }
    }

    /// What a machine did not record cannot be missing from the store.
    #[test]
    fn a_second_without_a_tick_is_skipped_and_nothing_is_expected_of_it() {
        let ticks = [8, 9, 10, 32, 33].map(|second| second * SECOND);
        let life = Life::new(ticks.to_vec(), SECOND).unwrap();
        assert_eq!((life.length(), life.skipped()), (26, 21));
        assert_eq!((life.count(SECOND), life.count(10 * SECOND)), (5, 3));
        assert_eq!(life.ticks_in(0, 10 * SECOND), 2);
        assert_eq!(life.ticks_in(20 * SECOND, 10 * SECOND), 0);
        assert!(Life::new(Vec::new(), SECOND).is_none());
    }

    #[test]
    fn only_a_window_that_the_end_cuts_short_is_to_be_sealed() {
        let sealed = |first, end| {
            let life = life(first, 45);
            life.tier(&[], (1, 10 * SECOND), end * SECOND).sealed_expected
        };
        // Last ticks in 44, 49 and, with a worker that went on into the next interval, 48.
        assert_eq!(
            (sealed(0, 44), sealed(5, 49), sealed(4, 48), sealed(4, 49)),
            (1, 0, 1, 0)
        );
    }

    fn series(name: &str, points: Vec<Point>) -> SeriesAnswer {
        let source = Source {
            incarnation: [1; 16],
            boot_id: [2; 16],
            instance: "demo-1".to_owned(),
            schema: "vmm".to_owned(),
            part: 0,
            uid: 0,
            labels: Vec::new(),
            created_ns: 0,
            simulated_time: false,
            interval_ns: SECOND,
        };
        let series = StoredSeries {
            kind: Kind::Gauge,
            unit: Unit::None,
            name: name.to_owned(),
            help: String::new(),
            labels: Vec::new(),
            buckets: None,
        };
        SeriesAnswer {
            source: Arc::new(source),
            clock_offset_ns: 0,
            series: Arc::new(series),
            parts: Vec::new(),
            points,
        }
    }

    fn window(second: u64, known: u32, sealed: Option<u64>) -> Point {
        Point {
            t: second * SECOND,
            row: RowValue {
                known,
                total: None,
                sum: None,
                min: None,
                max: None,
                last: Some(1.0),
            },
            filled: false,
            torn: false,
            partial: false,
            sealed_ns: sealed.map(|second| second * SECOND),
            quantiles: Vec::new(),
        }
    }

    /// A demo that cannot fail would show nothing.
    #[test]
    fn a_window_that_lacks_a_point_or_a_seal_of_one_series_does_not_count() {
        // Seconds 8 to 21: 2 in the first window, 10, and 2.
        let life = life(8, 14);
        let good = || vec![window(0, 2, None), window(10, 10, None), window(20, 2, Some(21))];
        let of = |other: Vec<Point>| {
            let all = [
                series("a", good()),
                series("b", other),
                series("work_of_phases", Vec::new()),
            ];
            life.tier(&all, (1, 10 * SECOND), 21 * SECOND)
        };
        let complete = of(good());
        assert!(complete.is_complete());
        assert_eq!(complete.in_words(), "3, 1 sealed");
        let lacking = [
            (
                vec![window(0, 2, None), window(10, 9, None), window(20, 2, Some(21))],
                "2 of 3, 1 sealed",
            ),
            (
                vec![window(10, 10, None), window(20, 2, Some(21))],
                "2 of 3, 1 sealed",
            ),
            (
                vec![window(0, 2, None), window(10, 10, None), window(20, 2, None)],
                "3, 0 of 1 sealed",
            ),
            (Vec::new(), "0 of 3, 0 of 1 sealed"),
        ];
        for (other, words) in lacking {
            let tier = of(other);
            assert!(!tier.is_complete());
            assert_eq!(tier.in_words(), words);
        }
        // What is stored beside the life that was reported is not counted.
        let more = [window(30, 1, Some(30))].into_iter().chain(good()).collect();
        assert_eq!(of(more), complete);
    }
}
