//! A store that may be there or not.

use super::input::{RunFilter, RunHead, SeriesRows, StoredRuns};
use anyhow::bail;
use std::convert::Infallible;
use std::path::Path;

/// The archives of a store, or none.
pub(super) struct Shelf;

impl Shelf {
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        bail!("{} is a directory, but no store of a collector", dir.display())
    }

    pub(super) fn empty() -> Self {
        Self
    }
}

impl StoredRuns for Shelf {
    type Key = Infallible;
    type Error = Infallible;

    fn find(&self, _: &RunFilter<'_>, _: &mut dyn FnMut(RunHead, Infallible)) -> Result<(), Infallible> {
        Ok(())
    }

    fn read_series(&self, key: &Infallible, _: usize) -> Result<SeriesRows, Infallible> {
        match *key {}
    }
}
