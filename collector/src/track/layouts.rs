//! Layouts, each once: machines of one kind have the same series, and there may be ten thousand of them.

use crate::store::{Layout, StoredSeries};
use std::collections::HashSet;
use std::sync::Arc;

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
