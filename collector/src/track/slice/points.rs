//! What a slice has that is not consolidated: all points of a machine that has ended, and the windows that are still open.

use super::{Scratch, Slice, TierRows};
use crate::consolidate::write_points;
use crate::store::{BucketCounts, Run};
use crate::track::gather::{Carry, gather};
use crate::track::host::HostShare;
use rondo_reader::{Error, PointValue, Slab, View};
use std::collections::VecDeque;
use std::ops::Range;

/// Rows of tier 0 in a run: ten minutes of seconds.
const POINT_ROWS_MAX: u64 = 600;

impl Slice {
    /// What the slab holds of the intervals that start in `range`, as rows of tier 0: all of it is stored of a machine that
    /// has ended. A run has as many rows as are read at once; intervals of which nothing is known are left out.
    pub(crate) fn points(&self, slab: &Slab, view: &View, range: Range<u64>) -> Result<Vec<Run>, Error> {
        let mut runs = Vec::new();
        let Some((window_first, window_last)) = view.window() else {
            return Ok(runs);
        };
        let interval_ns = slab.layout().axis.interval_ns();
        let (series, mut carries) = (self.series(slab), vec![Carry::Unread; self.series_count]);
        let end_ns = window_last.saturating_add(interval_ns).min(range.end);
        let mut next_ns = range.start.max(self.first_ns(slab, window_first));
        while next_ns < end_ns {
            let count = (end_ns - next_ns).div_ceil(interval_ns).min(POINT_ROWS_MAX);
            let mut points = vec![None; count as usize * self.series_count];
            let place = |index, interval| interval * self.series_count + index;
            gather(
                slab,
                view,
                series,
                &mut carries,
                (next_ns, count),
                |index, interval, value, filled| {
                    points[place(index, interval)] = Some((value, filled));
                },
            )?;
            let rows: Vec<&[Option<(PointValue, bool)>]> = points.chunks(self.series_count).collect();
            let is_known = |row: &&[Option<(PointValue, bool)>]| row.iter().any(Option::is_some);
            let mut run = None::<Run>;
            for (row, t) in rows.into_iter().zip((0..).map(|row| next_ns + row * interval_ns)) {
                if is_known(&row) {
                    let new = || Run::new(self.source.clone(), self.tier_0.clone(), self.first_series, t);
                    write_points(run.get_or_insert_with(new), row.iter().copied());
                } else {
                    runs.extend(run.take());
                }
            }
            runs.extend(run);
            next_ns += count * interval_ns;
        }
        for run in &mut runs {
            run.buckets = self.buckets_of(run.start_ns, run.rows());
            run.clock_offset_ns = view.clock_offset_ns;
        }
        Ok(runs)
    }

    /// The buckets of each histogram in each of `rows` intervals from `first_ns` on, in the order of rows.
    fn buckets_of(&self, first_ns: u64, rows: usize) -> Vec<BucketCounts> {
        let interval_ns = self.tier_0.interval_ns();
        let times = || (0..rows as u64).map(|row| first_ns + row * interval_ns);
        let columns: Vec<Vec<BucketCounts>> =
            self.logs.iter().map(|log| log.at(times(), interval_ns)).collect();
        (0..rows)
            .flat_map(|row| columns.iter().map(move |column| column[row].clone()))
            .collect()
    }

    /// The open windows as they would be closed now, with what `fold` has not reached yet: one row for each tier that has any.
    pub(crate) fn open_rows(&self, slab: &Slab, view: &View) -> Result<VecDeque<Run>, Error> {
        let mut ahead = Self {
            source: self.source.clone(),
            first_series: self.first_series,
            series_count: self.series_count,
            points_stored_ns: self.points_stored_ns,
            next_ns: self.next_ns,
            carries: self.carries.clone(),
            logs: self.logs.clone(),
            host: HostShare::default(),
            tier_0: self.tier_0.clone(),
            tiers: self
                .tiers
                .iter()
                .map(|tier| TierRows {
                    layout: tier.layout.clone(),
                    open: tier.open.clone(),
                    run: None,
                    rows_max: usize::MAX,
                })
                .collect(),
            ended: VecDeque::new(),
            clock_offset_ns: self.clock_offset_ns,
            rows_closed: self.rows_closed.clone(),
        };
        ahead.fold(slab, view, u64::MAX, &mut Scratch::default())?;
        ahead.seal(0);
        Ok(ahead.ended)
    }
}
