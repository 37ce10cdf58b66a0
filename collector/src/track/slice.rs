//! The consolidation of some series of one slab: the rows that are closed, and the windows that are open.
//!
//! A *slice* is up to [`crate::store::SLICE_SERIES_MAX`] series that stand side by side in a slab; nearly every slab is one. Its
//! position in time, `next_ns`, moves on as intervals are folded into the open window of tier 1. Where a
//! window ends it is *closed*: it becomes a row of its tier's run, and is folded into the open window of the next tier. Closed rows do not change any more.
//!
//! Everything here can be lost: after a crash it is made again from the slab and from stored rows of the tier below.

mod points;

use super::buckets::BucketLog;
use super::gather::{Carry, Found, gather};
use super::host::HostShare;
use crate::consolidate::Window;
use crate::exposition::HostTotals;
use crate::store::{BucketCounts, Layout, Run, Source};
use rondo_reader::{Error, Series, Slab, View};
use std::collections::VecDeque;
use std::sync::Arc;

/// Intervals that are read from a slab at once.
const INTERVALS_AT_ONCE: u64 = 16;

/// A consolidated tier of a slice.
#[derive(Debug)]
pub(crate) struct TierRows {
    pub(crate) layout: Arc<Layout>,
    /// The window that is open, and its start.
    open: Option<(u64, Window)>,
    /// Closed rows that are not in an archive yet.
    pub(crate) run: Option<Run>,
    /// How many rows a run may have.
    rows_max: usize,
}

#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) source: Arc<Source>,
    pub(crate) first_series: u32,
    series_count: usize,
    /// Rows of tier 0 were stored up to here when the slab was taken up, which then was not its first time.
    pub(crate) points_stored_ns: u64,
    /// Start of the first interval that is not folded yet; 0 before the first sample.
    pub(crate) next_ns: u64,
    carries: Vec<Carry>,
    logs: Vec<BucketLog>,
    host: HostShare,
    pub(crate) tier_0: Arc<Layout>,
    /// Tier 1 and further ones.
    pub(crate) tiers: Vec<TierRows>,
    /// Runs that get no further rows, oldest first, until they are in an archive.
    pub(crate) ended: VecDeque<Run>,
    /// As of the last time that the slab was read.
    pub(crate) clock_offset_ns: i64,
    /// Rows closed since they were last counted, by consolidated tier.
    pub(crate) rows_closed: Vec<u64>,
}

/// What half of a slab's slots stand for.
pub(crate) fn half_ring_ns(slab: &Slab) -> u64 {
    let axis = slab.layout().axis;
    (axis.slot_count() / 2).saturating_mul(axis.interval_ns())
}

/// Memory used again from slab to slab.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    intervals: Vec<Window>,
}

impl Slice {
    pub(crate) fn new(
        source: Arc<Source>,
        first_series: u32,
        tier_0: Arc<Layout>,
        tiers: Vec<(Arc<Layout>, usize)>,
    ) -> Self {
        let series_count = tier_0.series().len();
        let mut slice = Self {
            source,
            first_series,
            series_count,
            points_stored_ns: 0,
            next_ns: 0,
            carries: Vec::new(),
            logs: Vec::new(),
            host: HostShare::default(),
            rows_closed: vec![0; tiers.len()],
            tier_0,
            tiers: tiers
                .into_iter()
                .map(|(layout, rows_max)| TierRows {
                    layout,
                    open: None,
                    run: None,
                    rows_max,
                })
                .collect(),
            ended: VecDeque::new(),
            clock_offset_ns: 0,
        };
        slice.carries.resize(series_count, Carry::Unread);
        slice
            .logs
            .resize(slice.tier_0.histograms().len(), BucketLog::default());
        slice
    }

    /// Takes in series that were registered since, whose layouts these are: the rows so far become runs of their own.
    pub(crate) fn grow(&mut self, tier_0: Arc<Layout>, layouts: Vec<Arc<Layout>>) {
        self.series_count = tier_0.series().len();
        self.carries.resize(self.series_count, Carry::Unread);
        self.logs.resize(tier_0.histograms().len(), BucketLog::default());
        self.tier_0 = tier_0;
        self.end_runs(0);
        for (tier, layout) in self.tiers.iter_mut().zip(layouts) {
            if let Some((_, window)) = &mut tier.open {
                window.resize(self.series_count);
            }
            tier.layout = layout;
        }
    }

    /// Length of a window of tier 1; 0 if there is no such tier.
    pub(crate) fn window_ns(&self) -> u64 {
        self.tiers.first().map_or(0, |tier| tier.layout.interval_ns())
    }

    pub(crate) fn has_histograms(&self) -> bool {
        !self.logs.is_empty()
    }

    /// Adds what was folded to the totals of the host.
    pub(crate) fn share(&mut self, slab: &Slab, is_old: bool, totals: &mut HostTotals) {
        let series = self.series(slab);
        self.host.update(series, &self.carries, is_old, totals);
    }

    pub(crate) fn tell_gauges(&self, totals: &mut HostTotals) {
        self.host.tell_gauges(totals);
    }

    /// How much time there is between what is folded and the windows that were over when the writer was at `newest_ns`.
    pub(crate) fn lag_ns(&self, newest_ns: u64) -> u64 {
        let window_ns = self.window_ns();
        if self.next_ns == 0 || window_ns == 0 {
            return 0;
        }
        (newest_ns - newest_ns % window_ns).saturating_sub(self.next_ns)
    }

    /// Whether there may be something to fold: the writer is in a later window, by `delay_ns` at least. Costs no look at the slab.
    pub(crate) fn is_due(&self, slab: &Slab, newest_ns: u64, delay_ns: u64) -> bool {
        newest_ns != 0 && self.stop_ns(slab, newest_ns, delay_ns) > self.next_ns
    }

    /// How far to fold if intervals are final up to `final_ns`: to the end of a window, unless the ring would come round
    /// before that.
    pub(crate) fn stop_ns(&self, slab: &Slab, final_ns: u64, delay_ns: u64) -> u64 {
        let window_ns = self.window_ns();
        if final_ns == u64::MAX || window_ns == 0 {
            return final_ns;
        }
        // A ring of two slots has half a ring to read in each pass.
        if final_ns.saturating_sub(self.next_ns) >= half_ring_ns(slab) {
            return final_ns;
        }
        let due_ns = final_ns.saturating_sub(delay_ns);
        due_ns - due_ns % window_ns
    }

    fn series<'s>(&self, slab: &'s Slab) -> &'s [Series] {
        let first = self.first_series as usize;
        &slab.series()[first..first + self.series_count]
    }

    /// Folds all intervals that start before `until_ns` and are in the view's window, and closes the windows that end with
    /// them. Returns what was found, and how many intervals were overwritten before they were read.
    pub(crate) fn fold(
        &mut self,
        slab: &Slab,
        view: &View,
        until_ns: u64,
        scratch: &mut Scratch,
    ) -> Result<(Found, u64), Error> {
        let (mut found, mut lost) = (Found::default(), 0);
        let Some((window_first, window_last)) = view.window() else {
            return Ok((found, lost));
        };
        self.clock_offset_ns = view.clock_offset_ns;
        let interval_ns = slab.layout().axis.interval_ns();
        let until_ns = until_ns.min(window_last.saturating_add(interval_ns));
        let first_ns = self.first_ns(slab, window_first);
        if self.next_ns < first_ns {
            if self.next_ns != 0 {
                lost = (first_ns - self.next_ns) / interval_ns;
                self.carries.fill(Carry::Unread);
            }
            self.next_ns = first_ns;
        }
        let Some(window_ns) = self.tiers.first().map(|tier| tier.layout.interval_ns()) else {
            self.next_ns = self.next_ns.max(until_ns);
            return Ok((found, lost));
        };
        while self.next_ns < until_ns {
            let window_start = self.next_ns - self.next_ns % window_ns;
            let window_end = window_start + window_ns;
            let end = (self.next_ns + INTERVALS_AT_ONCE * interval_ns)
                .min(window_end)
                .min(until_ns);
            let intervals = self.read(slab, view, end, scratch, &mut found)?;
            let window = self.open(0, window_start);
            intervals.iter().for_each(|interval| window.merge(interval));
            self.next_ns = end;
            if end == window_end {
                self.close(0);
            }
        }
        Ok((found, lost))
    }

    /// Where the slab's knowledge of these series begins: a young machine's window reaches back to before it was there.
    fn first_ns(&self, slab: &Slab, window_first: u64) -> u64 {
        let registered = self.series(slab).iter().map(|series| series.registered_ns).min();
        slab.layout()
            .axis
            .start_of(registered.unwrap_or(0))
            .max(window_first)
    }

    /// The intervals from `next_ns` to before `end_ns`, one window each.
    fn read<'s>(
        &mut self,
        slab: &Slab,
        view: &View,
        end_ns: u64,
        scratch: &'s mut Scratch,
        found: &mut Found,
    ) -> Result<&'s [Window], Error> {
        let count = ((end_ns - self.next_ns) / slab.layout().axis.interval_ns()) as usize;
        if scratch.intervals.len() < count {
            scratch.intervals.resize(count, Window::default());
        }
        let intervals = &mut scratch.intervals[..count];
        for interval in intervals.iter_mut() {
            interval.reset(self.series_count);
        }
        let series = self.series(slab);
        let stretch = (self.next_ns, count as u64);
        let gathered = gather(
            slab,
            view,
            series,
            &mut self.carries,
            stretch,
            |index, interval, value, _| {
                intervals[interval].set_point(index, value);
            },
        )?;
        found.add(gathered);
        Ok(intervals)
    }

    /// The open window of a consolidated tier (0 for tier 1), which starts at `start_ns`. An older one is closed.
    fn open(&mut self, tier: usize, start_ns: u64) -> &mut Window {
        if self.tiers[tier]
            .open
            .as_ref()
            .is_some_and(|(start, _)| *start != start_ns)
        {
            self.close(tier);
        }
        let open = &mut self.tiers[tier].open;
        &mut open
            .get_or_insert_with(|| (start_ns, Window::empty(self.series_count)))
            .1
    }

    fn close(&mut self, tier: usize) {
        let Some((start_ns, window)) = self.tiers[tier].open.take() else {
            return;
        };
        if window.is_empty() {
            return;
        }
        let buckets = self.buckets_at(start_ns + self.tiers[tier].layout.interval_ns());
        let rows = &mut self.tiers[tier];
        if rows.run.as_ref().is_some_and(|run| run.end_ns() != start_ns) {
            self.end_run(tier, 0);
        }
        let rows = &mut self.tiers[tier];
        let run = rows.run.get_or_insert_with(|| {
            Run::new(
                self.source.clone(),
                rows.layout.clone(),
                self.first_series,
                start_ns,
            )
        });
        window.write_row(run);
        run.buckets.extend(buckets);
        self.rows_closed[tier] += 1;
        let row_ns = rows.layout.interval_ns();
        if run.rows() >= rows.rows_max {
            self.end_run(tier, 0);
        }
        self.feed(tier + 1, start_ns, row_ns, &window);
    }

    /// Folds a row of the tier before, which starts at `start_ns`, into the open window of a consolidated tier.
    fn feed(&mut self, tier: usize, start_ns: u64, row_ns: u64, row: &Window) {
        let Some(window_ns) = self.tiers.get(tier).map(|tier| tier.layout.interval_ns()) else {
            return;
        };
        let window_start = start_ns - start_ns % window_ns;
        self.open(tier, window_start).merge(row);
        if start_ns + row_ns == window_start + window_ns {
            self.close(tier);
        }
    }

    /// Folds stored rows of the tier before into the open window of tier number `tier`: what a crash lost.
    pub(crate) fn recover(&mut self, tier: u8, run: &Run, first_row: usize) {
        for row in first_row..run.rows() {
            let window = Window::read_row(run, row);
            self.feed(
                usize::from(tier) - 1,
                run.row_ns(row),
                run.layout.interval_ns(),
                &window,
            );
        }
    }

    fn end_run(&mut self, tier: usize, ended_ns: u64) {
        let clock_offset_ns = self.clock_offset_ns;
        self.ended.extend(self.tiers[tier].run.take().map(|run| Run {
            clock_offset_ns,
            ended_ns,
            ..run
        }));
    }

    /// Closes all open windows, though part of them never was: the machine has ended.
    pub(crate) fn seal(&mut self, ended_ns: u64) {
        for tier in 0..self.tiers.len() {
            self.close(tier);
            self.end_run(tier, ended_ns);
        }
        // A run that was full with its last window was ended by that.
        for tier in &self.tiers {
            let of_tier = |run: &&mut Run| run.layout.tier() == tier.layout.tier();
            if let Some(last) = self.ended.iter_mut().rev().find(of_tier)
                && (last.start_ns..last.end_ns()).contains(&ended_ns)
            {
                last.ended_ns = ended_ns;
            }
        }
    }

    /// Ends the runs that have at least so many rows, so that they can be stored. Open windows stay open.
    pub(crate) fn end_runs(&mut self, rows_min: usize) {
        for tier in 0..self.tiers.len() {
            if self.tiers[tier]
                .run
                .as_ref()
                .is_some_and(|run| run.rows() >= rows_min)
            {
                self.end_run(tier, 0);
            }
        }
    }

    /// Remembers the buckets of all histograms as they are now, the end of the interval `t`.
    pub(crate) fn sample_buckets(&mut self, slab: &Slab, view: &View, t: u64) -> Result<(), Error> {
        let interval_ns = slab.layout().axis.interval_ns();
        let first = self.first_series as usize;
        let series = &slab.series()[first..first + self.series_count];
        for (log, &index) in self.logs.iter_mut().zip(self.tier_0.histograms()) {
            if let Some(buckets) = slab.buckets(&series[index as usize], view)? {
                log.sample(t, interval_ns, &buckets.counts);
            }
        }
        Ok(())
    }

    /// The buckets of each histogram just before `end_ns`.
    fn buckets_at(&self, end_ns: u64) -> Vec<BucketCounts> {
        let interval_ns = self.tier_0.interval_ns();
        self.logs
            .iter()
            .flat_map(|log| log.at([end_ns.saturating_sub(interval_ns)], interval_ns))
            .collect()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let runs = self
            .ended
            .iter()
            .chain(self.tiers.iter().filter_map(|tier| tier.run.as_ref()));
        runs.map(Run::memory_bytes).sum::<usize>()
            + self.logs.iter().map(BucketLog::memory_bytes).sum::<usize>()
    }
}
