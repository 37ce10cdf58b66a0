//! Adds up the samples of many series in windows of the wall clock.
//!
//! 1. A sample with stamp `s` belongs to the window that ends at the first multiple of the step that is not before
//!    `s`.
//! 2. Windows are emitted in order of time, when the caller says that nothing more comes for them. Growth that comes
//!    later all the same goes to the next window, so that totals lose nothing; a value that comes later is dropped,
//!    and counted.
//! 3. A counter begins with a 0 one window before its first sample, so that its first growth is seen. It goes on for
//!    5 minutes (at least one window) after the last machine reported, as machines come and go; then it gets a stale
//!    marker. For 6 hours its total is remembered. After that it would begin at 0 again, which is a counter's reset
//!    to any server.
//! 4. Anything else is what was said in the window. A window in which nothing was said gets a stale marker, the next
//!    ones nothing.
//! 5. Memory is bounded: at most 10,000 groups and a million open windows of groups. What is beyond that is refused,
//!    and counted.
//!
//! Sums of whole growth are exact, see [`super::amount`]; sums of values are added up as doubles in the order in
//! which they come.

use super::group::{Group, Kind};
use super::rule::AggregateOp;
use crate::export::remote_write::labels::{NAME, is_label_name, is_metric_name, value};
use crate::export::remote_write::point::STALE_BITS;
use rondo_shm_layout::Labels;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Says that a series has ended.
pub(super) const STALE: f64 = f64::from_bits(STALE_BITS);

/// How long a counter goes on after its last machine.
const QUIET_MS: u64 = 5 * 60 * 1_000;

/// How long its total is remembered.
const FORGET_MS: u64 = 6 * 3_600 * 1_000;

/// Labels with more bytes are refused.
const LABELS_BYTES_MAX: usize = 4_096;

/// Stamps up to the year 10,000 or so.
const STAMP_MS_MAX: i64 = 1 << 48;

/// What a series said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// What a cumulative series grew by since its row before.
    Growth(f64),
    /// The value of any other.
    Value(f64),
}

/// A sample that leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregated {
    /// Sorted, with a name.
    pub labels: Arc<Labels>,
    /// End of its window, in milliseconds since 1970.
    pub stamp_ms: i64,
    /// Its value, or a stale marker.
    pub value: f64,
}

/// What was not as it should be, since the engine was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AggregatorCounts {
    /// Values that came after their window was emitted, and are lost.
    pub late: u64,
    /// Growth that came so, and went to the next window.
    pub delayed: u64,
    /// Samples for which there was no room.
    pub refused: u64,
    /// Samples with the labels of a group of another kind.
    pub conflicting: u64,
    /// Samples that are not numbers, shrink, are of no time or have labels that cannot leave.
    pub unusable: u64,
}

/// Lengths of time, in windows.
#[derive(Debug, Clone)]
pub(super) struct Times {
    pub(super) step_ms: u64,
    pub(super) quiet: u64,
    pub(super) forget: u64,
}

impl Times {
    fn new(step_ms: u64) -> Self {
        let step_ms = step_ms.clamp(1, 1 << 40);
        let quiet = (QUIET_MS / step_ms).max(1);
        let forget = (FORGET_MS / step_ms).max(4 * quiet);
        Self {
            step_ms,
            quiet,
            forget,
        }
    }

    /// The window that a stamp belongs to.
    fn window_of(&self, stamp_ms: i64) -> Option<u64> {
        let is_time = (0..=STAMP_MS_MAX).contains(&stamp_ms);
        is_time.then(|| stamp_ms.cast_unsigned().div_ceil(self.step_ms))
    }

    pub(super) fn window_max(&self) -> u64 {
        STAMP_MS_MAX.cast_unsigned().div_ceil(self.step_ms) + 1
    }

    pub(super) fn end_ms(&self, window: u64) -> i64 {
        window.saturating_mul(self.step_ms).cast_signed()
    }
}

/// How much is held.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) groups: usize,
    pub(super) cells: usize,
}

/// The engine. A sample costs a look-up by its labels; an emitted window costs a look at each group.
#[derive(Debug, Clone)]
pub struct Aggregator {
    pub(super) times: Times,
    pub(super) bounds: Bounds,
    /// By number, in the order in which they appeared.
    pub(super) groups: BTreeMap<u64, Group>,
    pub(super) numbers: HashMap<Arc<Labels>, u64>,
    /// The last window that was emitted.
    pub(super) mark: Option<u64>,
    /// Open windows of all groups.
    pub(super) cell_count: usize,
    counts: AggregatorCounts,
    pub(super) journal: Pending,
}

/// What was not written down yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    pub(super) changed: BTreeSet<u64>,
    pub(super) removed: BTreeSet<u64>,
    pub(super) mark_moved: bool,
}

impl Aggregator {
    /// An engine that knows nothing, of windows of `step_ms`: the interval of the tier that its samples are from.
    pub fn new(step_ms: u64) -> Self {
        Self {
            times: Times::new(step_ms),
            bounds: Bounds {
                groups: 10_000,
                cells: 1_000_000,
            },
            groups: BTreeMap::new(),
            numbers: HashMap::new(),
            mark: None,
            cell_count: 0,
            counts: AggregatorCounts::default(),
            journal: Pending::default(),
        }
    }

    /// An engine that knows nothing but that another has emitted up to `stamp_ms`: for new rules, or if the state was
    /// lost. It leaves out one window, so that its counters have room for the 0 that they begin with.
    pub fn beginning_after(step_ms: u64, stamp_ms: i64) -> Self {
        let mut engine = Self::new(step_ms);
        engine.mark = engine.times.window_of(stamp_ms).map(|window| window + 1);
        engine.journal.mark_moved = true;
        engine
    }

    /// Takes a sample of a group. `stamp_ms` is the end of its own window, by the wall clock; `labels` are those of
    /// the group, sorted.
    pub fn add(&mut self, op: AggregateOp, labels: &Labels, stamp_ms: i64, reading: Reading) {
        let (Reading::Growth(sample) | Reading::Value(sample)) = reading;
        let is_usable = sample.is_finite() && (matches!(reading, Reading::Value(_)) || sample >= 0.0);
        let window = self.times.window_of(stamp_ms).filter(|_| is_usable);
        let Some(mut window) = window else {
            self.counts.unusable += 1;
            return;
        };
        let kind = Kind::of(op, reading);
        if let Some(mark) = self.mark.filter(|&mark| window <= mark) {
            if kind != Kind::Counter {
                self.counts.late += 1;
                return;
            }
            self.counts.delayed += 1;
            window = mark + 1;
        }
        let Some(number) = self.number(labels, kind) else {
            return;
        };
        let Some(group) = self.groups.get_mut(&number) else {
            return;
        };
        if group.kind != kind {
            self.counts.conflicting += 1;
            return;
        }
        if !group.cells.contains_key(&window) {
            if self.cell_count == self.bounds.cells {
                self.counts.refused += 1;
                return;
            }
            self.cell_count += 1;
        }
        group.take(window, sample);
        self.journal.changed.insert(number);
    }

    /// The number of the group with these labels, which may be new.
    fn number(&mut self, labels: &Labels, kind: Kind) -> Option<u64> {
        if let Some(&number) = self.numbers.get(labels) {
            return Some(number);
        }
        if !can_leave(labels) {
            self.counts.unusable += 1;
            return None;
        }
        if self.groups.len() == self.bounds.groups || self.cell_count == self.bounds.cells {
            self.counts.refused += 1;
            return None;
        }
        let labels = Arc::new(labels.clone());
        let number = self.groups.last_key_value().map_or(0, |(last, _)| last + 1);
        self.numbers.insert(Arc::clone(&labels), number);
        self.groups.insert(number, Group::new(labels, kind));
        Some(number)
    }

    /// Emits all windows that end at or before `stamp_ms`, and were not emitted: at most one sample of a group for
    /// each window, those of a group in order of time. All that was said of a group before is said again only in
    /// later windows.
    ///
    /// The result is as long as groups times windows; a caller with a long way to go takes it in steps.
    pub fn emit_until(&mut self, stamp_ms: i64) -> Vec<Aggregated> {
        let mut out = Vec::new();
        let until = stamp_ms.clamp(0, STAMP_MS_MAX).cast_unsigned() / self.times.step_ms;
        if self.mark.is_some_and(|mark| mark >= until) {
            return out;
        }
        while let Some(window) = self.next_window().filter(|&window| window <= until) {
            for (&number, group) in &mut self.groups {
                self.cell_count -= usize::from(group.cells.contains_key(&window));
                if group.emit(window, &self.times, &mut out) {
                    self.journal.changed.insert(number);
                }
            }
            self.mark = Some(window);
        }
        self.mark = Some(until);
        self.journal.mark_moved = true;
        self.remove_what_is_over(until);
        out
    }

    /// End of the next window in which any group has something to say, in milliseconds since 1970.
    pub fn next_end_ms(&self) -> Option<i64> {
        self.next_window().map(|window| self.times.end_ms(window))
    }

    /// The next window in which any group has something to say.
    fn next_window(&self) -> Option<u64> {
        let is_live = |group: &Group| group.is_live;
        match self.mark {
            Some(mark) if self.groups.values().any(is_live) => Some(mark + 1),
            _ => {
                let first = |group: &Group| group.cells.first_key_value().map(|(&window, _)| window);
                self.groups.values().filter_map(first).min()
            }
        }
    }

    fn remove_what_is_over(&mut self, mark: u64) {
        let (times, journal, numbers) = (&self.times, &mut self.journal, &mut self.numbers);
        self.groups.retain(|number, group| {
            let is_over = group.is_over(mark, times);
            if is_over {
                numbers.remove(&group.labels);
                journal.changed.remove(number);
                if group.is_written {
                    journal.removed.insert(*number);
                }
            }
            !is_over
        });
    }

    /// End of the last window that was emitted, in milliseconds since 1970.
    #[cfg(test)]
    pub fn emitted_until_ms(&self) -> Option<i64> {
        self.mark.map(|mark| self.times.end_ms(mark))
    }

    /// How many groups there are.
    #[cfg(test)]
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// What was not as it should be. It is not part of the state that survives.
    pub fn counts(&self) -> AggregatorCounts {
        self.counts
    }
}

/// Whether labels are sorted, unique, not empty, not too long, and have a metric's name.
pub(super) fn can_leave(labels: &Labels) -> bool {
    let bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    bytes <= LABELS_BYTES_MAX
        && labels.is_sorted_by(|a, b| a.0 < b.0)
        && labels
            .iter()
            .all(|(name, value)| is_label_name(name) && !value.is_empty())
        && is_metric_name(value(labels, NAME))
}

#[cfg(test)]
mod tests;
