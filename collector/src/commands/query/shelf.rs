//! A store that may be there or not.

use crate::query::{RunFilter, RunHead, SeriesRows, StoredRuns};
use crate::store::{Archives, RunRef, StoreError};
use std::ops::ControlFlow;
use std::path::Path;

/// The archives of a store, or none.
pub(super) struct Shelf(Option<Archives>);

impl Shelf {
    /// What the store in `dir` holds at this moment, whoever may be writing.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        Ok(Self(Some(Archives::open_read_only(dir)?)))
    }

    pub(super) fn empty() -> Self {
        Self(None)
    }
}

impl StoredRuns for Shelf {
    type Key = RunRef;
    type Error = StoreError;

    fn find(
        &self,
        filter: &RunFilter<'_>,
        visit: &mut dyn FnMut(RunHead, RunRef) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.0
            .as_ref()
            .map_or(Ok(()), |archives| archives.find(filter, visit))
    }

    fn read_series(&self, key: &RunRef, series: usize) -> Result<SeriesRows, StoreError> {
        match &self.0 {
            Some(archives) => StoredRuns::read_series(archives, key, series),
            // There is no run that such a key could be of.
            None => Ok(SeriesRows::default()),
        }
    }
}
