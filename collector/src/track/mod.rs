//! A slab under observation: from its first row to the moment when its file may go.
//!
//! Nothing is read each second but a few words: whether the writer ticked, and whether a window of tier 1 has ended
//! meanwhile. Only then are the slots of that window read, column by column, each once. The slab itself is
//! the memory of what is not consolidated yet; so it does not matter when, or by which of several collectors one after the other, a
//! window is made, as long as it is before the ring has come round.
//!
//! A writer's end is noticed by its lock. Then all that is left is consolidated, open windows are sealed, and
//! what the slab holds becomes rows of tier 0.

mod buckets;
mod gather;
mod host;
mod layouts;
mod recover;
mod slice;
mod workshop;

pub(crate) use layouts::Layouts;
pub(crate) use layouts::layouts_of;
#[cfg(feature = "cli")]
pub(crate) use layouts::run_rows;
pub use workshop::Tally;
pub(crate) use workshop::Workshop;

use crate::exposition::HostTotals;
use crate::store::{Archives, Run, SLICE_SERIES_MAX, Source, StoreError};
use recover::recover;
use rondo_reader::{Counters, Error, Liveness, Slab, View};
use slice::Slice;
use std::collections::VecDeque;
use std::sync::Arc;

/// Runs of fewer rows are not ended early.
const EARLY_ROWS_MIN: usize = 4;

/// Runs that wait for a store that fails, before no further rows are made: what is not consolidated stays in the slab.
const WAITING_RUNS_MAX: usize = 64;

/// Slabs that take turns in consolidating do so in the first eight tenths of a window.
const TURNS: u64 = 8;

/// How long after one another passes are made.
const PASS_NS: u64 = 1_000_000_000;

/// What became of a slab in a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Its writer lives.
    Live,
    /// Its writer was found gone, and everything that it left is in runs now.
    Ended,
}

/// A slab and what has been made of it.
#[derive(Debug)]
pub struct Tracked {
    source: Arc<Source>,
    slices: Vec<Slice>,
    /// Which turn it takes, if slabs take turns.
    turn: u64,
    ticked_ns: u64,
    /// The same in the pass before: whatever has a value in an interval before it is registered, and known by now.
    settled_ns: u64,
    /// Passes since the last tick.
    silent_passes: u32,
    /// Samples that the writer had refused in the last pass.
    refused: [u64; 3],
}

impl Tracked {
    /// Takes up a slab where the archives say that it was left.
    pub(crate) fn attach(
        slab: &Slab,
        archives: &mut Archives,
        layouts: &mut Layouts,
    ) -> Result<Self, StoreError> {
        let source = Arc::new(Source::from(slab));
        let mut tracked = Self {
            turn: u64::from_le_bytes(source.incarnation[..8].try_into().unwrap_or_default()),
            source,
            slices: Vec::new(),
            ticked_ns: 0,
            settled_ns: 0,
            silent_passes: 0,
            refused: [0; 3],
        };
        tracked.take_series(slab, archives, layouts)?;
        Ok(tracked)
    }

    /// Takes in the series that the slab has by now.
    fn take_series(
        &mut self,
        slab: &Slab,
        archives: &mut Archives,
        layouts: &mut Layouts,
    ) -> Result<(), StoreError> {
        let slices = slab.series().chunks(SLICE_SERIES_MAX);
        for (index, series) in slices.enumerate() {
            match self.slices.get_mut(index) {
                Some(slice) if slice.tier_0.series().len() == series.len() => {}
                Some(slice) => {
                    let (tier_0, tiers) = layouts_of(slab, series, layouts);
                    slice.grow(tier_0, tiers.into_iter().map(|(layout, _)| layout).collect());
                }
                None => {
                    let first_series = (index * SLICE_SERIES_MAX) as u32;
                    let (tier_0, tiers) = layouts_of(slab, series, layouts);
                    let mut slice = Slice::new(self.source.clone(), first_series, tier_0, tiers);
                    recover(&mut slice, archives)?;
                    self.slices.push(slice);
                }
            }
        }
        Ok(())
    }

    /// Looks at the slab once: consolidates windows that have ended, and all of it if the writer is gone.
    pub(crate) fn pass(
        &mut self,
        slab: &mut Slab,
        archives: &mut Archives,
        workshop: &mut Workshop,
    ) -> Result<Seen, PassError> {
        if slab.refresh()? {
            self.take_series(slab, archives, &mut workshop.layouts)?;
        }
        self.settled_ns = self.ticked_ns;
        let live = slab.live()?;
        // A slab that is seen for the first time may be of a machine that is long gone.
        let is_first_look = self.ticked_ns == 0;
        if live.ticked_ns > self.ticked_ns && !is_first_look {
            (self.ticked_ns, self.silent_passes) = (live.ticked_ns, 0);
        } else {
            self.silent_passes = self.silent_passes.saturating_add(1);
            // A writer that ticked was alive; of one that did not, the lock has to be asked for, and the file's size.
            if slab.view()?.liveness != Liveness::Live {
                return self.end(slab, archives, workshop);
            }
            if is_first_look {
                (self.ticked_ns, self.silent_passes) = (live.ticked_ns, 0);
            }
        }
        if self
            .slices
            .iter()
            .any(|slice| slice.ended.len() > WAITING_RUNS_MAX)
        {
            return Ok(Seen::Live);
        }
        self.count_refused(&live, workshop);
        let newest_ns = live.ticked_ns.max(live.cursor_ns);
        let has_histograms = self.slices.iter().any(Slice::has_histograms);
        let delay_ns = self.delay_ns(workshop.takes_turns);
        if !has_histograms
            && !self
                .slices
                .iter()
                .any(|slice| slice.is_due(slab, newest_ns, delay_ns))
        {
            return Ok(Seen::Live);
        }
        let view = slab.view()?;
        if view.liveness != Liveness::Live {
            return self.end(slab, archives, workshop);
        }
        // Once more: what was registered since the first look may have values in intervals that this view has for final.
        if slab.refresh()? {
            self.take_series(slab, archives, &mut workshop.layouts)?;
        }
        if let Some(complete_ns) = view.complete_ns() {
            for slice in &mut self.slices {
                slice.sample_buckets(slab, &view, complete_ns)?;
            }
        }
        self.fold(slab, &view, delay_ns, workshop)?;
        // What waits for its turn is not late.
        let in_turn_ns = newest_ns.saturating_sub(delay_ns);
        let lag_ns = self.slices.iter().map(|slice| slice.lag_ns(in_turn_ns)).max();
        workshop.lag_ns = workshop.lag_ns.max(lag_ns.unwrap_or(0));
        Ok(Seen::Live)
    }

    fn count_refused(&mut self, live: &Counters, workshop: &mut Workshop) {
        let refused = [live.stale_count, live.future_count, live.bad_count];
        for ((all, now), before) in workshop.tally.refused.iter_mut().zip(refused).zip(self.refused) {
            // A hostile slab's may fall.
            *all = all.saturating_add(now.saturating_sub(before));
        }
        self.refused = refused;
    }

    /// How much later than it could be a window is consolidated, so that the work of many slabs is spread over a few
    /// seconds.
    fn delay_ns(&self, takes_turns: bool) -> u64 {
        let window_ns = self.slices.first().map_or(0, Slice::window_ns);
        if takes_turns {
            window_ns / 10 * (self.turn % TURNS)
        } else {
            0
        }
    }

    /// Consolidates the windows that have ended.
    pub(crate) fn fold(
        &mut self,
        slab: &Slab,
        view: &View,
        delay_ns: u64,
        workshop: &mut Workshop,
    ) -> Result<(), Error> {
        let until_ns = final_ns(slab, view);
        for slice in &mut self.slices {
            let until_ns = slice.stop_ns(slab, until_ns, delay_ns);
            let (found, lost) = slice.fold(slab, view, until_ns, &mut workshop.scratch)?;
            slice.share(
                slab,
                self.source.created_ns < workshop.started_ns,
                &mut workshop.host,
            );
            workshop.tally.points += found.points;
            workshop.tally.torn += found.torn;
            workshop.tally.intervals_lost += lost;
            workshop.tally.add_closed(slice);
        }
        Ok(())
    }

    /// The writer is gone: consolidates all that is left, and makes rows of tier 0 of what the slab holds.
    fn end(
        &mut self,
        slab: &mut Slab,
        archives: &mut Archives,
        workshop: &mut Workshop,
    ) -> Result<Seen, PassError> {
        if workshop.is_store_refusing {
            return Ok(Seen::Live);
        }
        // The last that it registered and wrote.
        if slab.refresh()? {
            self.take_series(slab, archives, &mut workshop.layouts)?;
        }
        let view = slab.view()?;
        if view.liveness == Liveness::Live {
            // Reopened meanwhile.
            return Ok(Seen::Live);
        }
        let ended_ns = view.ticked_ns.max(view.cursor_ns);
        let has_histograms = self.slices.iter().any(Slice::has_histograms);
        for slice in &mut self.slices {
            if has_histograms {
                slice.sample_buckets(slab, &view, view.cursor_ns)?;
            }
        }
        self.fold(slab, &view, 0, workshop)?;
        let mut points = Vec::new();
        for slice in &self.slices {
            let stored_ns = archives
                .progress(&self.source, slice.first_series, 0)
                .unwrap_or(0);
            points.push(slice.points(slab, &view, stored_ns..u64::MAX)?);
        }
        // Nothing fails from here on, so that nothing is handed over twice.
        for (slice, mut points) in self.slices.iter_mut().zip(points) {
            slice.seal(ended_ns);
            workshop.tally.add_closed(slice);
            if let Some(last) = points.last_mut() {
                last.ended_ns = ended_ns;
            }
            workshop
                .tally
                .add_rows(0, points.iter().map(|run| run.rows() as u64).sum());
            slice.ended.extend(points);
        }
        Ok(Seen::Ended)
    }

    /// Hands over the runs that have ended. Those that the archives do not take stay, unless they never will: these are
    /// given up, and the first reason is returned.
    pub(crate) fn store(
        &mut self,
        archives: &mut Archives,
        workshop: &mut Workshop,
    ) -> Result<Option<StoreError>, StoreError> {
        let mut given_up = None;
        for slice in &mut self.slices {
            while let Some(run) = slice.ended.front() {
                let appended = archives.append(run);
                workshop.is_store_refusing = appended.as_ref().is_err_and(|error| !error.is_permanent());
                match appended {
                    Err(error) if error.is_permanent() => given_up = given_up.or(Some(error)),
                    appended => appended?,
                }
                slice.ended.pop_front();
            }
        }
        Ok(given_up)
    }

    /// Ends the runs that have at least so many rows.
    pub(crate) fn end_runs(&mut self, rows_min: usize) {
        self.slices.iter_mut().for_each(|slice| slice.end_runs(rows_min));
    }

    /// Ends its runs early if it is its turn in this pass: when memory runs short, each slab does so once in `turns` passes.
    pub(crate) fn end_runs_in_turn(&mut self, pass: u64, turns: u64) {
        if self.turn / TURNS % turns == pass % turns {
            self.end_runs(EARLY_ROWS_MIN);
        }
    }

    /// Whose slab it is.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Closed rows that no archive has yet, in order of time within each tier.
    pub fn waiting(&self) -> impl Iterator<Item = &Run> {
        self.slices.iter().flat_map(|slice| {
            let open = slice.tiers.iter().filter_map(|tier| tier.run.as_ref());
            slice.ended.iter().chain(open)
        })
    }

    /// The same, each with what to add to its times to have the wall clock's: of runs that go on, that is not settled.
    pub(crate) fn waiting_at(&self) -> impl Iterator<Item = (&Run, i64)> {
        self.slices.iter().flat_map(|slice| {
            let ended = slice.ended.iter().map(|run| (run, run.clock_offset_ns));
            let open = slice.tiers.iter().filter_map(|tier| tier.run.as_ref());
            ended.chain(open.map(|run| (run, slice.clock_offset_ns)))
        })
    }

    /// Rows of tier 0 that are final, not stored, and of which each series was known in the last pass, of each slice from the time on that `since_ns` has for its first series.
    pub(crate) fn points_since(&self, slab: &Slab, since_ns: impl Fn(u32) -> u64) -> Result<Vec<Run>, Error> {
        let view = slab.view()?;
        let settled_ns = slab.layout().axis.start_of(self.settled_ns);
        let until_ns = final_ns(slab, &view).min(settled_ns);
        let mut points = Vec::new();
        for slice in &self.slices {
            let from_ns = since_ns(slice.first_series).max(slice.points_stored_ns);
            points.extend(slice.points(slab, &view, from_ns..until_ns)?);
        }
        Ok(points)
    }

    /// The rows of windows that [`Self::waiting`] and the archives do not have yet, as they would be if they were closed now.
    pub(crate) fn open_rows(&self, slab: &Slab, view: &View) -> Result<VecDeque<Run>, Error> {
        let mut all = VecDeque::new();
        for slice in &self.slices {
            all.extend(slice.open_rows(slab, view)?);
        }
        Ok(all)
    }

    /// Tells the newest value of each gauge.
    pub(crate) fn tell_gauges(&self, totals: &mut HostTotals) {
        self.slices.iter().for_each(|slice| slice.tell_gauges(totals));
    }

    /// Whether the writer holds its lock but has not ticked for ten intervals, or ten passes if these are longer.
    pub fn is_stuck(&self) -> bool {
        let intervals = self.source.interval_ns.div_ceil(PASS_NS).max(1);
        u64::from(self.silent_passes) > 10 * intervals
    }

    /// Memory that its rows take.
    pub fn memory_bytes(&self) -> usize {
        self.slices.iter().map(Slice::memory_bytes).sum()
    }
}

/// Why a slab could not be worked on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    #[error(transparent)]
    Slab(#[from] Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where the intervals end that are not only over but will not be filled any more either: the writer has ticked
/// since, or has begun two later intervals without ticking, or is gone.
fn final_ns(slab: &Slab, view: &View) -> u64 {
    let interval_ns = slab.layout().axis.interval_ns();
    if view.liveness != Liveness::Live {
        return u64::MAX;
    }
    let over_ns = view
        .complete_ns()
        .map_or(0, |newest| newest.saturating_add(interval_ns));
    let ticked_ns = view.ticked_ns.saturating_add(interval_ns);
    over_ns.min(ticked_ns.max(view.cursor_ns.saturating_sub(interval_ns)))
}
