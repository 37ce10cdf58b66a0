//! The collector's slabs as queries want them.

use super::Collector;
use crate::query::LiveSlab;
use crate::store::{Run, Source};
use std::borrow::Cow;

impl Collector {
    /// The attached slabs whose source `takes` picks, as queries want them. Reads the windows that are still open.
    ///
    /// Slabs that cannot be read are left out: the next pass says why.
    pub fn live(&self, takes: impl Fn(&Source) -> bool) -> Vec<LiveSlab<'_>> {
        self.slabs()
            .filter(|(_, tracked)| takes(tracked.source()))
            .filter_map(|(slab, tracked)| {
                let view = slab.view().ok()?;
                let ahead = tracked.open_rows(slab, &view).ok()?;
                // Windows that are over but were not this slab's turn yet are as good as closed.
                let is_over = |run: &Run| {
                    view.is_complete(run.end_ns().saturating_sub(slab.layout().axis.interval_ns()))
                };
                let (over, open): (Vec<Run>, Vec<Run>) =
                    ahead.into_iter().flat_map(single_rows).partition(is_over);
                let waiting = tracked.waiting().map(Cow::Borrowed);
                Some(LiveSlab {
                    source: tracked.source().clone(),
                    runs: waiting.chain(over.into_iter().map(Cow::Owned)).collect(),
                    open,
                    slab: Some((slab, view)),
                })
            })
            .collect()
    }
}

/// Each row of a run as a run of its own.
fn single_rows(run: Run) -> impl Iterator<Item = Run> {
    (0..run.rows()).map(move |row| run.slice(row..row + 1))
}
