//! Layouts, each once: machines of one kind have the same series, and there may be ten thousand of them.

use super::slice::half_ring_ns;
use crate::store::{Layout, StoredSeries};
use rondo_reader::{Series, Slab};
use rondo_shm_layout::Functions;
use std::collections::HashSet;
use std::sync::Arc;

/// Rows of a run of tier 1: five minutes of ten seconds, well within what a slab holds.
const TIER_1_ROWS_MAX: usize = 30;

/// Rows of a run of further tiers: two hours of five minutes. Lost ones are made again from stored rows of the tier below.
const FURTHER_ROWS_MAX: usize = 24;

/// All layouts in use, and some that were until not long ago.
#[derive(Debug, Default)]
pub(crate) struct Layouts {
    series: HashSet<Arc<[StoredSeries]>>,
    layouts: HashSet<Arc<Layout>>,
    /// How many there may be before those that are not in use are dropped.
    limit: usize,
}

impl Layouts {
    /// The one list that equals `series`.
    pub(crate) fn series(&mut self, series: Vec<StoredSeries>) -> Arc<[StoredSeries]> {
        if let Some(known) = self.series.get(series.as_slice()) {
            return known.clone();
        }
        let series: Arc<[StoredSeries]> = series.into();
        self.series.insert(series.clone());
        series
    }

    /// The one layout that equals `layout`.
    pub(crate) fn layout(&mut self, layout: Layout) -> Arc<Layout> {
        if let Some(known) = self.layouts.get(&layout) {
            return known.clone();
        }
        self.forget_unused();
        let layout = Arc::new(layout);
        self.layouts.insert(layout.clone());
        layout
    }

    /// Costs a look at each, so not before there are twice as many as were in use the last time.
    fn forget_unused(&mut self) {
        if self.layouts.len() < self.limit {
            return;
        }
        self.layouts.retain(|layout| Arc::strong_count(layout) > 1);
        self.series.retain(|series| Arc::strong_count(series) > 1);
        self.limit = 64.max(2 * self.layouts.len());
    }
}

/// How many rows a run of a consolidated tier has before it is ended, unless memory runs short.
pub(crate) fn run_rows(slab: &Slab, tier: usize) -> usize {
    let interval_ns = slab.layout().tiers[tier].interval_ns.get();
    let rows_max = match tier {
        1 => TIER_1_ROWS_MAX.min((half_ring_ns(slab) / interval_ns) as usize),
        _ => FURTHER_ROWS_MAX,
    };
    rows_max.max(1)
}

/// Layouts of these series in tier 0 and in each consolidated tier, and how many rows a run of that tier may have.
pub(crate) fn layouts_of(
    slab: &Slab,
    series: &[Series],
    layouts: &mut Layouts,
) -> (Arc<Layout>, Vec<(Arc<Layout>, usize)>) {
    let series = layouts.series(series.iter().map(StoredSeries::from).collect());
    let tiers = &slab.layout().tiers;
    let functions: Vec<Functions> = tiers.iter().map(|tier| Functions(tier.functions.get())).collect();
    let mut make = |tier: usize, interval_ns: u64| {
        let later = functions.get(tier + 1..).unwrap_or_default();
        layouts.layout(Layout::new(
            tier as u8,
            interval_ns,
            functions[tier],
            later,
            series.clone(),
        ))
    };
    let tier_0 = make(0, slab.layout().axis.interval_ns());
    let further = (1..tiers.len()).map(|tier| {
        let interval_ns = tiers[tier].interval_ns.get();
        (make(tier, interval_ns), run_rows(slab, tier))
    });
    (tier_0, further.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_shm_layout::Functions;

    #[test]
    fn equal_layouts_are_one_and_unused_ones_go() {
        let mut layouts = Layouts::default();
        let make = |tier, layouts: &mut Layouts| {
            let series = layouts.series(Vec::new());
            layouts.layout(Layout::new(tier, 1, Functions::default(), &[], series))
        };
        let first = make(1, &mut layouts);
        assert!(Arc::ptr_eq(&first, &make(1, &mut layouts)));
        for tier in 0..=200 {
            make(tier, &mut layouts);
        }
        assert!(layouts.layouts.len() < 130, "{}", layouts.layouts.len());
        assert!(Arc::ptr_eq(&first, &make(1, &mut layouts)));
    }
}
