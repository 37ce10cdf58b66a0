//! How rows come in: from the collector into the lanes of their slices.

use super::Exporter;
use crate::collector::Collector;
use crate::export::progress::SliceProgress;
use crate::export::remote_write::lane::Lane;
use crate::export::remote_write::merging::{Before, began_in};
use crate::export::remote_write::owners::{Coming, Living, Standing};
use crate::export::{Drained, stamp_ms};
use rondo_shm_layout::fnv1a_64;

/// Rows that are drained at once, under the collector's lock.
const DRAIN_ROWS: usize = 256;

/// Rows that wait in lanes before no more are drained: a backlog stays where it is, in the archive.
const WAITING_ROWS_MAX: usize = 8_192;

impl Exporter {
    /// Drains rows until there are enough for a batch, or no more. Takes a few milliseconds, in which the collector makes no
    /// pass.
    pub fn pull(&mut self, collector: &Collector) {
        let mut living = None;
        loop {
            let rows_max = if self.has_enough() {
                // Only to see what was overwritten meanwhile.
                0
            } else {
                DRAIN_ROWS
            };
            let drain = collector.drain(&mut self.drained, rows_max);
            self.counts.points_lost += drain.points_lost;
            self.counts.damages += drain.errors.len() as u64;
            self.is_caught_up = drain.is_caught_up;
            let is_last = drain.is_caught_up || rows_max == 0;
            if !drain.drained.is_empty() {
                let living = living.get_or_insert_with(|| {
                    let mut living = Living::default();
                    collector
                        .slabs()
                        .for_each(|(_, tracked)| living.add(tracked.source()));
                    living
                });
                drain
                    .drained
                    .into_iter()
                    .for_each(|drained| self.admit(drained, living, collector));
            }
            if is_last {
                return;
            }
        }
    }

    /// Whether there is enough for a batch, or as much as may wait. Looks at few lanes if they are many.
    fn has_enough(&self) -> bool {
        let enough = 2 * self.destination.batch_samples;
        let (mut ready, mut waiting) = (0, 0);
        self.lanes.values().any(|lane| {
            ready += lane.width();
            waiting += lane.rows();
            ready >= enough || waiting >= WAITING_ROWS_MAX
        })
    }

    /// Puts rows into the lane of their slice.
    fn admit(&mut self, drained: Drained, living: &Living, collector: &Collector) {
        let (key, run) = (drained.key(), &drained.run);
        let instance_hash = fnv1a_64(run.source.instance.as_bytes());
        let known = self.lanes.get(&key).map(|lane| lane.progress);
        let known = known.or_else(|| self.on_its_way.get(&key).copied());
        let known = known.or_else(|| self.left.slices.get(&key).copied());
        if drained.is_end {
            // Of one whose name is another's by now, a marker would end the series of that one.
            let is_labelled = known.is_some_and(|progress| progress.is_labelled);
            if known.is_none() || !is_labelled && !self.owners.is_owner(instance_hash, key.incarnation) {
                return;
            }
        }
        let mut progress = known.unwrap_or_else(|| {
            let mut progress = SliceProgress::nothing(instance_hash);
            if drained.first_row > 0 || !began_in(&run.source, run) {
                // It began before, with what has not left: there is no telling when it was 0.
                progress.series_count = u16::try_from(run.layout.series().len()).unwrap_or(u16::MAX);
            }
            progress
        });
        // What is older than the export's beginning stays, a 0 as well.
        let begin_ms = self.left.begin_ns.saturating_sub(1).div_euclid(1_000_000);
        let (mut after, mut floor_ms) = (None, begin_ms);
        if !progress.is_labelled && !drained.is_end {
            let offset_ns = progress.clock_offset_ns.max(run.clock_offset_ns);
            // As it is stamped: the last row of a machine that ended in the middle of a window ends there, and the next machine may
            // begin in the same window.
            let end_ns = |row: usize| i128::from(stamp_ms(run, row, offset_ns)) * 1_000_000;
            let coming = Coming {
                instance_hash,
                incarnation: key.incarnation,
                is_known: known.is_some(),
                ends_ns: (end_ns(drained.first_row), end_ns(run.rows().saturating_sub(1))),
            };
            match self.owners.standing(coming, living) {
                Standing::Owner => {}
                Standing::Heir { before, newest_ns } => {
                    // Behind the marker that ends that one.
                    let newest_ms = i64::try_from(newest_ns.div_euclid(1_000_000)).unwrap_or(i64::MAX);
                    (after, floor_ms) = (Some(before), begin_ms.max(newest_ms.saturating_add(1)));
                }
                Standing::Second => progress.is_labelled = true,
            }
        }
        match self.lanes.get_mut(&key) {
            Some(lane) => {
                lane.set_labelled(progress.is_labelled);
                lane.push(drained);
            }
            None => {
                let before = self.merging.as_mut();
                let before = before.map(|merging| merging.before(&drained, known.is_some(), collector));
                let mut lane = Lane::new(drained, progress);
                (lane.after, lane.floor_ms) = (after, floor_ms);
                lane.before = before.unwrap_or(Before::Unknown);
                self.lanes.insert(key, lane);
                self.turns.push_back(key);
            }
        }
    }
}
