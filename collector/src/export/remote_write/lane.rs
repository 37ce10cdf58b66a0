//! Rows of one slice that wait to leave, one after the other.

use super::aggregate::{AggregateOp, AggregateRule};
use super::destination::Destination;
use super::labels;
use super::merging::Before;
use super::relabel::relabel;
use crate::export::progress::SliceProgress;
use crate::export::{Drained, Outgoing, outgoing, stamp_ms};
use crate::show;
use crate::store::{Layout, ProgressKey, Run};
use rondo_shm_layout::Labels;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// The rows of a slice that were drained and have not left.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) key: ProgressKey,
    /// As of the last row that left.
    pub(super) progress: SliceProgress,
    /// An incarnation whose lanes have to be empty first.
    pub(super) after: Option<[u8; 16]>,
    /// Nothing may leave with this stamp, or an earlier one.
    pub(super) floor_ms: i64,
    queue: VecDeque<Drained>,
    /// The next row of the first in the queue.
    row: usize,
    prepared: Option<(Arc<Layout>, Vec<Prepared>)>,
    /// What the slice said before the first row of the queue. Looked after only where there are aggregates.
    pub(super) before: Before,
}

/// A series of the slice, ready to leave.
#[derive(Debug)]
pub(super) struct Prepared {
    /// After all rules.
    pub(super) labels: Labels,
    /// Of them.
    pub(super) hash: u64,
    /// Its own labels are there only if there are aggregates.
    pub(super) outgoing: Outgoing,
    /// What it is a part of, if it is.
    pub(super) part_of: Option<(AggregateOp, Labels)>,
    /// Whether it leaves itself.
    pub(super) leaves: bool,
}

/// The row at the head of a lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'l> {
    pub(super) run: &'l Run,
    pub(super) row: usize,
    pub(super) stamp_ms: i64,
    pub(super) what: What,
}

/// What leaves of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// That series which add up begin with it, and so were 0 before: without that, nobody behind could tell by how much they
    /// grew in it. Leaves before the row, with an earlier stamp.
    Zeros,
    Values,
    /// That the machine is gone. Leaves after the last row, with a later stamp.
    End,
}

impl Lane {
    pub(super) fn new(drained: Drained, progress: SliceProgress) -> Self {
        Self {
            key: drained.key(),
            progress,
            after: None,
            floor_ms: i64::MIN,
            row: drained.first_row,
            queue: VecDeque::from([drained]),
            prepared: None,
            before: Before::Unknown,
        }
    }

    /// Series of the row that leaves next; those of the layout as long as they are not prepared.
    pub(super) fn width(&self) -> usize {
        match (&self.prepared, self.queue.front()) {
            (Some((_, prepared)), _) => prepared.len(),
            (None, Some(first)) => first.run.layout.series().len(),
            (None, None) => 0,
        }
    }

    /// From here on with the label, if it is to have one.
    pub(super) fn set_labelled(&mut self, is_labelled: bool) {
        if self.progress.is_labelled != is_labelled {
            self.progress.is_labelled = is_labelled;
            self.prepared = None;
        }
    }

    pub(super) fn push(&mut self, drained: Drained) {
        if self.queue.is_empty() {
            self.row = drained.first_row;
        }
        self.queue.push_back(drained);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Rows that wait.
    pub(super) fn rows(&self) -> usize {
        let first = self.queue.front().map_or(0, |first| self.row - first.first_row);
        self.queue.iter().map(Drained::rows).sum::<usize>() - first
    }

    /// The oldest frame from which rows wait.
    pub(super) fn oldest_frame(&self) -> Option<u64> {
        self.queue.iter().filter_map(|drained| drained.frame).min()
    }

    /// What to add to slab time: a machine's wall clock never goes back, or its samples would.
    fn clock_offset_ns(&self, run: &Run) -> i64 {
        self.progress.clock_offset_ns.max(run.clock_offset_ns)
    }

    /// The row that leaves next, or what leaves before or after it.
    pub(super) fn head(&self) -> Option<Head<'_>> {
        let first = self.queue.front()?;
        let run = &first.run;
        let offset_ns = self.clock_offset_ns(run);
        let head = |row: usize, stamp_ms: i64, what: What| {
            Some(Head {
                run,
                row,
                stamp_ms,
                what,
            })
        };
        if first.is_end {
            let row = run.rows().checked_sub(1)?;
            return head(row, stamp_ms(run, row, offset_ns).saturating_add(1), What::End);
        }
        match self.zeros_ms(run, offset_ns) {
            Some(zeros_ms) => head(self.row, zeros_ms, What::Zeros),
            None => head(self.row, stamp_ms(run, self.row, offset_ns), What::Values),
        }
    }

    /// When the series were 0 that begin with the row that leaves next; `None` if there are none, or it is not known.
    fn zeros_ms(&self, run: &Run, offset_ns: i64) -> Option<i64> {
        if run.layout.series().len() <= self.progress.series_count.into() {
            return None;
        }
        let start_ns = run.row_ns(self.row);
        let zeros_ns = match self.progress.series_count {
            // The machine itself was not there before.
            0 if !run.source.simulated_time => run.source.created_ns.max(start_ns),
            _ => start_ns,
        };
        let zeros_ms = (i128::from(zeros_ns) + i128::from(offset_ns)).div_euclid(1_000_000);
        let zeros_ms = i64::try_from(zeros_ms).ok()?;
        let is_between = zeros_ms > self.floor_ms && zeros_ms < stamp_ms(run, self.row, offset_ns);
        is_between.then_some(zeros_ms)
    }

    /// The series of the row that leaves next.
    pub(super) fn prepared(&self) -> &[Prepared] {
        self.prepared.as_ref().map_or(&[], |(_, prepared)| prepared)
    }

    /// Prepares the series of the row that leaves next.
    pub(super) fn prepare(&mut self, destination: &Destination, hashes: &RandomState) {
        let Some(first) = self.queue.front() else { return };
        let layout = &first.run.layout;
        let is_ready = self
            .prepared
            .as_ref()
            .is_some_and(|(of, _)| Arc::ptr_eq(of, layout) || of == layout);
        if !is_ready {
            let prepared = prepare(&first.run, self.progress.is_labelled, destination, hashes);
            self.prepared = Some((layout.clone(), prepared));
        }
    }

    /// They are prepared again when they are needed.
    pub(super) fn forget_prepared(&mut self) {
        self.prepared = None;
    }

    /// Moves behind what is at the head, and keeps the last row of a run if wanted; how far the slice is once that has left.
    pub(super) fn advance(&mut self, keeps_last: bool) -> SliceProgress {
        let Some(head) = self.head() else {
            return self.progress;
        };
        let (run, row, what) = (head.run, head.row, head.what);
        let mut progress = self.progress;
        progress.clock_offset_ns = self.clock_offset_ns(run);
        progress.series_count = u16::try_from(run.layout.series().len()).unwrap_or(u16::MAX);
        progress.is_ended = what == What::End;
        progress.end_ns = match what {
            // Nothing of it has left, but it is known.
            What::Zeros => progress.end_ns.max(run.row_ns(row)),
            What::Values => run.row_ns(row) + run.layout.interval_ns(),
            What::End => progress.end_ns,
        };
        let is_through = what == What::End || what == What::Values && row + 1 >= run.rows();
        let last = (is_through && keeps_last).then(|| run.slice(row..row + 1));
        progress.frame = self
            .queue
            .front()
            .and_then(|first| first.frame)
            .or(progress.frame);
        self.progress = progress;
        if what == What::Values {
            self.row += 1;
        }
        if let Some(last) = last {
            self.before = Before::Row(Box::new(last));
        }
        if is_through {
            self.queue.pop_front();
            self.row = self.queue.front().map_or(0, |next| next.first_row);
        }
        self.progress
    }
}

/// The series of a run as the destination gets them.
fn prepare(run: &Run, is_labelled: bool, destination: &Destination, hashes: &RandomState) -> Vec<Prepared> {
    let incarnation = is_labelled.then(|| show::hex(&run.source.incarnation[..4]));
    let all = outgoing(
        &run.source,
        &run.layout,
        incarnation.as_deref(),
        destination.naming,
    );
    all.into_iter()
        .filter_map(|mut outgoing| {
            let labels = if destination.aggregate.is_empty() {
                std::mem::take(&mut outgoing.labels)
            } else {
                outgoing.labels.clone()
            };
            let labels = with_external(labels, &destination.external_labels);
            let labels = relabel(&destination.relabel, labels)?;
            let merged = AggregateRule::first(&destination.aggregate, &labels);
            Some(Prepared {
                leaves: merged.as_ref().is_none_or(|(rule, _)| rule.keeps_originals()),
                part_of: merged.map(|(rule, labels)| (rule.op(), labels)),
                hash: hashes.hash_one(&labels),
                labels,
                outgoing,
            })
        })
        .collect()
}

/// With the labels that a series does not have itself.
fn with_external(mut labels: Labels, external: &Labels) -> Labels {
    for (name, value) in external {
        if labels::value(&labels, name).is_empty() {
            labels::set(&mut labels, name, value.clone());
        }
    }
    labels
}
