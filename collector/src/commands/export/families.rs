//! Under which names the series of each layout leave.

use super::stock::Stock;
use crate::export::{Naming, outgoing};
use crate::exposition::FamilyKind;
use std::collections::{BTreeMap, HashSet};

/// The names, in order.
pub(super) struct Families(BTreeMap<String, Family>);

/// What leaves under one name.
pub(super) struct Family {
    /// With a counter's `_total`.
    pub(super) name: String,
    /// `None` where machines disagree.
    pub(super) kind: Option<FamilyKind>,
    pub(super) unit: String,
    pub(super) help: String,
    /// By number of the layout: which of its series have something to do with the name.
    of_layout: BTreeMap<usize, Vec<usize>>,
}

impl Families {
    /// Costs a look at each layout, not at each machine.
    pub(super) fn of(stock: &Stock, naming: Naming) -> Self {
        let mut all: BTreeMap<String, Family> = BTreeMap::new();
        let mut seen = HashSet::new();
        for slice in &stock.slices {
            if !seen.insert(slice.layout_id) {
                continue;
            }
            // Neither the name nor the kind depends on the machine.
            for one in outgoing(&slice.source, &slice.layout, None, naming) {
                let family = &one.family;
                let known = all.entry(family.name.clone()).or_insert_with(|| Family {
                    name: family.name.clone(),
                    kind: Some(family.kind),
                    unit: family.unit.clone(),
                    help: family.help.clone(),
                    of_layout: BTreeMap::new(),
                });
                known.kind = known.kind.filter(|kind| *kind == family.kind);
                let series = known.of_layout.entry(slice.layout_id).or_default();
                if series.last() != Some(&one.series()) {
                    series.push(one.series());
                }
            }
        }
        Self(all)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Family> {
        self.0.values()
    }

    pub(super) fn names(&self) -> HashSet<String> {
        self.0.keys().cloned().collect()
    }
}

impl Family {
    /// Which series of a layout have something to do with the name, ascending.
    pub(super) fn series_of(&self, layout_id: usize) -> &[usize] {
        self.of_layout.get(&layout_id).map_or(&[], Vec::as_slice)
    }
}
