//! Rows on their way into aggregates, and windows of aggregates on their way out.
//!
//! What a counter has grown by is told from the row before, wherever that is: in the same run, in the one that left before it,
//! or, after a restart, in the archive.

use super::aggregate::{AggregateOp, Aggregated, Aggregator, Reading};
use super::lane::{Head, Prepared};
use crate::collector::Collector;
use crate::export::{Drained, Naming, Nature, outgoing};
use crate::store::{ProgressKey, Run, Source};
use rondo_shm_layout::Labels;
use std::collections::HashMap;

/// How long after its end a window waits for those that are late: machines take turns in being consolidated, in eight tenths of a
/// window, and passes are a second apart.
const GRACE_MS: i64 = 2_500;

/// Rows of a run at most: in a backlog, the rows of one machine come before older ones of another by so many.
const RUN_ROWS_MAX: i64 = 32;

/// The row before the first of a run.
#[derive(Debug, Clone)]
pub(super) enum Before {
    /// The machine had just begun: everything grew from 0.
    Nothing,
    /// The last row of this run.
    Row(Box<Run>),
    /// It is nowhere to be found.
    Unknown,
}

/// The aggregates of one destination.
#[derive(Debug)]
pub(super) struct Merging {
    pub(super) engine: Aggregator,
    step_ms: i64,
    naming: Naming,
    /// The last row that left of each slice whose lane is empty.
    before: HashMap<ProgressKey, Before>,
    newest_ms: i64,
    /// Growth that could not be told.
    pub(super) unknown: u64,
}

impl Merging {
    pub(super) fn new(tier: u8, naming: Naming) -> Self {
        // As schemas have it unless told otherwise; windows are of the wall clock, so others fit in too.
        let step_ms = match tier {
            0 => 1_000,
            1 => 10_000,
            _ => 300_000,
        };
        Self {
            engine: Aggregator::new(step_ms),
            step_ms: step_ms.cast_signed(),
            naming,
            before: HashMap::new(),
            newest_ms: 0,
            unknown: 0,
        }
    }

    /// Begins anew, behind what may be out by now.
    pub(super) fn begin_anew(&mut self, now_ms: i64) {
        self.engine = Aggregator::beginning_after(self.step_ms.cast_unsigned(), now_ms);
    }

    /// The row before the first of these rows. Costs a search of the archive for a slice that this process has not seen before.
    pub(super) fn before(&mut self, drained: &Drained, is_known: bool, collector: &Collector) -> Before {
        if drained.first_row > 0 {
            return Before::Unknown;
        }
        let (key, run) = (drained.key(), &drained.run);
        if let Some(before) = self.before.remove(&key) {
            return before;
        }
        if !is_known && began_in(&run.source, run) {
            return Before::Nothing;
        }
        let stored = stored_before(&key, run, collector);
        stored.map_or(Before::Unknown, |row| Before::Row(Box::new(row)))
    }

    /// What a slice said last, for when it comes again.
    pub(super) fn keep(&mut self, key: ProgressKey, before: Before) {
        self.before.insert(key, before);
    }

    /// Forgets slices that are not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&ProgressKey) -> bool) {
        self.before.retain(|key, _| keep(key));
    }

    /// Takes in the row at the head of a lane.
    pub(super) fn take(&mut self, head: Head<'_>, before: &Before, prepared: &[Prepared]) {
        self.newest_ms = self.newest_ms.max(head.stamp_ms);
        let earlier = Earlier::of(head, before, self.naming);
        for series in prepared {
            let Some((op, labels)) = &series.part_of else {
                continue;
            };
            let Some(value) = series.outgoing.value(head.run, head.row) else {
                continue;
            };
            let reading = match series.outgoing.nature {
                Nature::Cumulative if *op == AggregateOp::Sum => match earlier.growth(series, value) {
                    Some(growth) => Reading::Growth(growth),
                    None => {
                        self.unknown += 1;
                        continue;
                    }
                },
                _ => Reading::Value(value),
            };
            self.engine.add(*op, labels, head.stamp_ms, reading);
        }
    }

    /// The next window, if nothing more is to be expected for it. `waiting_ms` is the stamp of the oldest row in any lane;
    /// without one, and `is_caught_up`, the clock decides.
    pub(super) fn emit(
        &mut self,
        now_ms: i64,
        is_caught_up: bool,
        waiting_ms: Option<i64>,
    ) -> Vec<Aggregated> {
        let until_ms = match waiting_ms {
            None if is_caught_up => now_ms - self.step_ms - GRACE_MS,
            _ => {
                let safe_ms = self.newest_ms - RUN_ROWS_MAX * self.step_ms;
                safe_ms
                    .min(waiting_ms.unwrap_or(i64::MAX) - 1)
                    .min(now_ms - self.step_ms - GRACE_MS)
            }
        };
        let next_ms = self.engine.next_end_ms().filter(|next_ms| *next_ms <= until_ms);
        next_ms.map_or_else(Vec::new, |next_ms| self.engine.emit_until(next_ms))
    }
}

/// Whether the machine began in the first row of the run.
pub(super) fn began_in(source: &Source, run: &Run) -> bool {
    source.simulated_time || source.created_ns.saturating_add(run.layout.interval_ns()) >= run.start_ns
}

/// The stored row before a run.
fn stored_before(key: &ProgressKey, run: &Run, collector: &Collector) -> Option<Run> {
    let archives = collector.archives();
    let all = archives.runs(key.tier, Some(&run.source.instance), i64::MIN..i64::MAX);
    let mut before = all.filter_map(Result::ok).filter(|stored| {
        stored.key() == *key && (stored.start_ns()..stored.end_ns()).contains(&run.start_ns.saturating_sub(1))
    });
    let stored = archives.read(&before.next()?).ok()?;
    let row =
        (0..stored.rows()).find(|&row| stored.row_ns(row) + stored.layout.interval_ns() == run.start_ns)?;
    Some(stored.slice(row..row + 1))
}

/// Values before a row.
struct Earlier<'r> {
    head: Head<'r>,
    before_run: BeforeRun<'r>,
}

/// Values before the first row of a run.
enum BeforeRun<'r> {
    Nothing,
    Unknown,
    /// In the first row of a run of the same layout.
    Same(&'r Run),
    /// Of another layout, by labels before any rule.
    Other(HashMap<Labels, Option<f64>>),
}

impl<'r> Earlier<'r> {
    fn of(head: Head<'r>, before: &'r Before, naming: Naming) -> Self {
        let before_run = match before {
            Before::Nothing => BeforeRun::Nothing,
            Before::Unknown => BeforeRun::Unknown,
            Before::Row(run) if run.layout == head.run.layout => BeforeRun::Same(run),
            Before::Row(run) => {
                let series = outgoing(&run.source, &run.layout, None, naming).into_iter();
                BeforeRun::Other(
                    series
                        .map(|one| (one.labels.clone(), one.value(run, 0)))
                        .collect(),
                )
            }
        };
        Self { head, before_run }
    }

    /// What a series has grown by to be at `value`, if that can be told. A slab's totals never fall, but for the sum of a
    /// distribution whose samples were below 0: there is no counter that could say so.
    fn growth(&self, series: &Prepared, value: f64) -> Option<f64> {
        let mut rows = (0..self.head.row).rev();
        let in_run = rows.find_map(|row| series.outgoing.value(self.head.run, row));
        let before = match (&self.before_run, in_run) {
            (_, Some(before)) => before,
            (BeforeRun::Nothing, None) => 0.0,
            (BeforeRun::Unknown, None) => return None,
            (BeforeRun::Same(run), None) => series.outgoing.value(run, 0)?,
            (BeforeRun::Other(values), None) => match values.get(&series.outgoing.labels) {
                Some(before) => (*before)?,
                // It was registered since.
                None => 0.0,
            },
        };
        (value >= before).then_some(value - before)
    }
}
