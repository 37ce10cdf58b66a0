//! The series of a slab, each checked against those before it.
//!
//! The tables that a new series is looked up in ([`Checks`]) are several times as large as the series
//! themselves, and of use only while series come. So they are let go between two rounds of
//! admission, and filled again from the series when one more comes, unless that would cost much:
//!
//! - up to [`REFILL_MAX`] series they always go: filling them again takes some 10 µs;
//! - of more series they go only if at least an eighth of all came since they were filled. So whoever registers
//!   series one after the other makes each be looked at a bounded number of times, about eight.

mod checks;

use crate::interner::Interner;
use crate::series::Series;
use checks::Checks;
use rondo_shm_layout::{SeriesInfo, Violation};
use std::sync::Arc;

/// Series of which the tables are filled again whenever one more comes.
const REFILL_MAX: usize = 128;

/// All series admitted so far.
#[derive(Debug)]
pub(crate) struct Catalogue {
    series: Vec<Series>,
    checks: Option<Box<Checks>>,
    /// Series there were when the tables were filled.
    filled_from: usize,
    interner: Arc<Interner<SeriesInfo>>,
}

impl Catalogue {
    /// Without series. They share what they have in common with others of `interner`.
    pub(crate) fn new(interner: Arc<Interner<SeriesInfo>>) -> Self {
        Self {
            series: Vec::new(),
            checks: None,
            filled_from: 0,
            interner,
        }
    }

    pub(crate) fn series(&self) -> &[Series] {
        &self.series
    }

    pub(crate) fn into_series(self) -> Vec<Series> {
        self.series
    }

    /// Takes in a series, unless it breaks a rule together with those before it. Costs a few hash lookups.
    pub(crate) fn admit(&mut self, series: rondo_shm_layout::Series) -> Result<(), Violation> {
        let series = Series::shared(series, &self.interner);
        if self.checks.is_none() {
            let mut checks = Box::<Checks>::default();
            // They broke no rule before.
            self.series.iter().try_for_each(|known| checks.admit(known))?;
            self.filled_from = self.series.len();
            self.checks = Some(checks);
        }
        if let Some(checks) = &mut self.checks {
            checks.admit(&series)?;
        }
        self.series.push(series);
        Ok(())
    }

    /// Gives back what is only of use while series come. Of no effect if none came.
    pub(crate) fn settle(&mut self) {
        let (count, came) = (self.series.len(), self.series.len() - self.filled_from);
        if self.checks.is_some() && (count <= REFILL_MAX || came >= count / 8) {
            self.checks = None;
            self.series.shrink_to_fit();
        }
    }
}
