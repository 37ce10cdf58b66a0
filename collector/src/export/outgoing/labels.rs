//! The labels of what leaves: those of the series, of its machine, and who it is.
//!
//! The series' own win over its machine's, and those over `instance` and `incarnation`, as on the page that Prometheus
//! scrapes. A label with an empty value is the same as none.

use super::Outgoing;
use crate::store::{Source, StoredSeries};
use rondo_shm_layout::Labels;
use std::collections::BTreeMap;

/// All labels of a series but its name, sorted.
pub(super) struct LabelsOf<'a>(Vec<(&'a str, &'a str)>);

impl<'a> LabelsOf<'a> {
    pub(super) fn new(source: &'a Source, series: &'a StoredSeries, incarnation: Option<&'a str>) -> Self {
        let who = [
            ("instance", source.instance.as_str()),
            ("incarnation", incarnation.unwrap_or_default()),
        ];
        let declared = source.labels.iter().chain(&series.labels);
        let declared = declared.map(|(name, value)| (name.as_str(), value.as_str()));
        // The last of a name counts.
        let mut all: BTreeMap<&str, &str> = who.into_iter().chain(declared).collect();
        all.retain(|name, value| !name.is_empty() && !value.is_empty());
        Self(all.into_iter().collect())
    }

    /// With a name and a boundary, which nobody else may set.
    pub(super) fn with(&self, name: &str, le: Option<&str>) -> Labels {
        let mut all = Vec::with_capacity(self.0.len() + 2);
        all.extend(self.0.iter().copied());
        for (name, value) in std::iter::once(("__name__", name)).chain(le.map(|le| ("le", le))) {
            match all.binary_search_by_key(&name, |(name, _)| *name) {
                Ok(at) => all[at].1 = value,
                Err(at) => all.insert(at, (name, value)),
            }
        }
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        all.into_iter().map(owned).collect()
    }
}

/// Leaves out what has the labels of another: of those with a name of their own the first stays, or the first of all.
pub(super) fn unique(all: &mut Vec<Outgoing>) {
    let mut order: Vec<usize> = (0..all.len()).collect();
    let rank = |index: usize| (&all[index].labels, all[index].is_derived, index);
    order.sort_by(|&a, &b| rank(a).cmp(&rank(b)));
    let mut stays = vec![true; all.len()];
    for pair in order.windows(2) {
        stays[pair[1]] = all[pair[0]].labels != all[pair[1]].labels;
    }
    let mut stays = stays.into_iter();
    all.retain(|_| stays.next().unwrap_or(true));
}
