//! What is read: attached slabs, and runs that are stored.
//!
//! An archive shows its directory first, as [`RunHead`]s; only the series that are wanted of the runs that
//! are wanted are decoded then.

use crate::store::{BucketCounts, Columns, Layout, RowValue, Run, Source, state};
use rondo_reader::{Slab, View};
use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Display;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

/// A slab that is attached, with what was consolidated from it and is in no archive yet.
pub struct LiveSlab<'a> {
    /// Which one.
    pub source: Arc<Source>,
    /// The slab, and what holds for its values; `None` if it can no longer be read.
    pub slab: Option<(&'a Slab, View)>,
    /// Closed rows of all tiers, each tier's in order of time.
    pub runs: Vec<Cow<'a, Run>>,
    /// For each tier from 1 on, one row: the window that is still open, as far as it is known.
    pub open: Vec<Run>,
}

/// What a directory says of a run.
#[derive(Debug, Clone)]
pub struct RunHead {
    /// Whose rows they are.
    pub source: Arc<Source>,
    /// Which series, tier and interval.
    pub layout: Arc<Layout>,
    /// See [`Run::first_series`].
    pub first_series: u32,
    /// See [`Run::start_ns`].
    pub start_ns: u64,
    /// How many rows.
    pub rows: u32,
    /// See [`Run::clock_offset_ns`].
    pub clock_offset_ns: i64,
    /// See [`Run::ended_ns`].
    pub ended_ns: u64,
}

impl From<&Run> for RunHead {
    fn from(run: &Run) -> Self {
        Self {
            source: run.source.clone(),
            layout: run.layout.clone(),
            first_series: run.first_series,
            start_ns: run.start_ns,
            rows: u32::try_from(run.rows()).unwrap_or(u32::MAX),
            clock_offset_ns: run.clock_offset_ns,
            ended_ns: run.ended_ns,
        }
    }
}

impl RunHead {
    /// Slab time at which a row's interval starts; that of the row after the last is where the run ends.
    pub fn row_ns(&self, row: u32) -> u64 {
        self.start_ns
            .saturating_add(u64::from(row).saturating_mul(self.layout.interval_ns()))
    }

    /// Start of the interval after the last row's.
    pub fn end_ns(&self) -> u64 {
        self.row_ns(self.rows)
    }

    /// The rows whose intervals overlap with that slab time.
    pub(crate) fn rows_in(&self, range: &Range<u64>) -> Range<u32> {
        let interval = self.layout.interval_ns().max(1);
        let index = |rows: u64| u32::try_from(rows).unwrap_or(u32::MAX).min(self.rows);
        let first = index(range.start.saturating_sub(self.start_ns) / interval);
        let end = index(range.end.saturating_sub(self.start_ns).div_ceil(interval));
        first..end.max(first)
    }
}

/// Which runs a query may need.
#[derive(Clone, Copy)]
pub struct RunFilter<'a> {
    /// Only this tier.
    pub tier: Option<u8>,
    /// Only this machine.
    pub instance: Option<&'a str>,
    /// Only what overlaps with this time, by the clock offset that each run was stored with.
    pub wall: (i128, i128),
    /// Only runs of such a layout.
    pub layout: &'a dyn Fn(&Layout) -> bool,
}

impl RunFilter<'_> {
    /// Whether it takes a run.
    pub fn takes(&self, head: &RunHead) -> bool {
        let wall = |t: u64| i128::from(t) + i128::from(head.clock_offset_ns);
        self.tier.is_none_or(|tier| tier == head.layout.tier())
            && self
                .instance
                .is_none_or(|instance| instance == head.source.instance)
            && wall(head.start_ns) < self.wall.1
            && wall(head.end_ns()) > self.wall.0
            && (self.layout)(&head.layout)
    }
}

/// The rows of one series of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeriesRows {
    /// Its columns.
    pub columns: Columns,
    /// See [`Run::known`]; one for each row.
    pub known: Vec<u32>,
    /// For each row, the words of its columns.
    pub words: Vec<u64>,
    /// Of a histogram, one for each row.
    pub buckets: Vec<BucketCounts>,
}

impl SeriesRows {
    /// Those of a series of a run in memory; the number is in range.
    pub fn of(run: &Run, series: usize) -> Self {
        let (width, of_series) = (run.layout.width(), run.layout.words(series));
        let rows = 0..run.rows();
        Self {
            columns: run.layout.columns(series),
            known: rows
                .clone()
                .map(|row| run.known[row * run.layout.series().len() + series])
                .collect(),
            words: rows
                .clone()
                .flat_map(|row| &run.words[row * width + of_series.start..row * width + of_series.end])
                .copied()
                .collect(),
            buckets: rows.filter_map(|row| run.buckets(row, series).cloned()).collect(),
        }
    }

    /// What a row says; that nothing is known if it is not there.
    pub fn value(&self, row: usize) -> RowValue {
        let known = self.known.get(row).copied().unwrap_or(state::UNKNOWN);
        let width = self.columns.len();
        let words = self.words.get(row * width..(row + 1) * width);
        RowValue::read(known, self.columns, words.unwrap_or_default())
    }
}

/// Runs that can be found by their directory and read by series.
pub trait StoredRuns {
    /// Where a run is.
    type Key;
    /// Why one cannot be read.
    type Error: Display;

    /// Calls `visit` with each run that `filter` takes, and maybe others, until it breaks off.
    ///
    /// # Errors
    /// Whatever keeps it from reading a directory.
    fn find(
        &self,
        filter: &RunFilter<'_>,
        visit: &mut dyn FnMut(RunHead, Self::Key) -> ControlFlow<()>,
    ) -> Result<(), Self::Error>;

    /// The rows of one series (its number in the run's layout) of a run.
    ///
    /// # Errors
    /// If the run was overwritten since, is damaged, or cannot be read.
    fn read_series(&self, key: &Self::Key, series: usize) -> Result<SeriesRows, Self::Error>;
}

/// Runs in memory: what tests use, and, empty, what there is without a store.
impl StoredRuns for [Run] {
    type Key = usize;
    type Error = Infallible;

    fn find(
        &self,
        filter: &RunFilter<'_>,
        visit: &mut dyn FnMut(RunHead, usize) -> ControlFlow<()>,
    ) -> Result<(), Infallible> {
        for (index, run) in self.iter().enumerate() {
            let head = RunHead::from(run);
            if filter.takes(&head) && visit(head, index).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read_series(&self, key: &usize, series: usize) -> Result<SeriesRows, Infallible> {
        Ok(SeriesRows::of(&self[*key], series))
    }
}
