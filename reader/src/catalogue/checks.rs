//! Whether a series breaks a rule together with those before it.

use crate::series::Series;
use rondo_shm_layout::{Kind, Rule, Violation};
use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};

/// Bytes of all texts of a slab's series together.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// A series, compared by its name and labels.
#[derive(Debug)]
struct Identified(Series);

impl PartialEq for Identified {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name && self.0.labels == other.0.labels
    }
}

impl Eq for Identified {}

impl Hash for Identified {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
        self.0.labels.hash(state);
    }
}

/// A series, compared by its name alone.
#[derive(Debug)]
struct Named(Series);

impl Borrow<str> for Named {
    fn borrow(&self) -> &str {
        &self.0.name
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Named {}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.as_str().hash(state);
    }
}

/// What the series so far take: names, places, texts.
#[derive(Debug, Default)]
pub(super) struct Checks {
    identities: HashSet<Identified>,
    kinds: HashMap<Named, Kind>,
    columns: HashSet<u64>,
    cells: HashSet<u64>,
    /// Start and end of each histogram's buckets.
    buckets: BTreeMap<u64, u64>,
    text_bytes: usize,
}

impl Checks {
    /// Takes what `series` takes, unless another has it.
    pub(super) fn admit(&mut self, series: &Series) -> Result<(), Violation> {
        let index = series.index;
        let broken = |rule, detail: &str| Err(Violation::new(rule, format!("series {index}: {detail}")));
        let labels: usize = series
            .labels
            .iter()
            .map(|(name, value)| 4 + name.len() + value.len())
            .sum();
        let texts = series.name.len() + series.unit.as_str().len() + series.help.len() + labels;
        if self.text_bytes + texts > TEXT_BYTES_MAX {
            return broken(
                Rule::TextBounds,
                "the texts of the series together are more than 16 MiB",
            );
        }
        if self
            .kinds
            .get(series.name.as_str())
            .is_some_and(|kind| *kind != series.kind)
        {
            return broken(
                Rule::SeriesUnique,
                &format!("another {} has another kind", series.name),
            );
        }
        if self.identities.contains(&Identified(series.clone())) {
            return broken(
                Rule::SeriesUnique,
                &format!("another {} has the same labels", series.name),
            );
        }
        if self.columns.contains(&series.column_offset) {
            return broken(
                Rule::ColumnShared,
                &format!("its column at {} is another's", series.column_offset),
            );
        }
        if let Some(cell) = series.cell_offset.filter(|cell| self.cells.contains(cell)) {
            return broken(Rule::ColumnShared, &format!("its cell at {cell} is another's"));
        }
        if let Some(array) = series.buckets {
            let end = array.offset + 8 * u64::from(array.count);
            if self
                .buckets
                .range(..end)
                .next_back()
                .is_some_and(|(_, &other_end)| other_end > array.offset)
            {
                return broken(
                    Rule::ColumnShared,
                    &format!("its buckets at {} overlap another's", array.offset),
                );
            }
            self.buckets.insert(array.offset, end);
        }
        self.text_bytes += texts;
        self.columns.insert(series.column_offset);
        self.cells.extend(series.cell_offset);
        self.kinds.entry(Named(series.clone())).or_insert(series.kind);
        self.identities.insert(Identified(series.clone()));
        Ok(())
    }
}
