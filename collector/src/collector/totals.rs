//! What happened, for those who want to know.

use super::attached::{End, Looked};
use crate::track::{PassError, Tally};

/// What happened since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Passes.
    pub passes: u64,
    /// Machines (slabs) found ended.
    pub ended: u64,
    /// Slabs removed after they were stored.
    pub unlinked: u64,
    /// Slabs that could not be read any more: cut short, or broken by their writer.
    pub lost: u64,
    /// Failures of the store.
    pub store_errors: u64,
    /// What was read and made.
    pub tally: Tally,
}

/// Slabs by state, at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct States {
    /// The writer holds its lock, and ticks.
    pub live: u64,
    /// The writer holds its lock, but has not ticked for ten passes.
    pub stuck: u64,
    /// The writer is gone.
    pub ended: u64,
    /// Files that were not let in.
    pub refused: u64,
    /// Its file was cut short; until the directory is read again.
    pub lost: u64,
}

/// What a pass found that somebody should know.
#[derive(Debug, Default)]
pub struct PassReport {
    /// Slabs that came.
    pub attached: usize,
    /// Machines that ended.
    pub ended: usize,
    /// Slabs removed.
    pub unlinked: usize,
    /// What went wrong; all of it is tried again.
    pub errors: Vec<anyhow::Error>,
}

impl Totals {
    pub(super) fn complain(&mut self, error: PassError, report: &mut PassReport) {
        // As what they are, so that whoever reads the report can tell them apart.
        report.errors.push(match error {
            PassError::Slab(error) => error.into(),
            PassError::Store(error) => {
                self.store_errors += 1;
                error.into()
            }
        });
    }

    pub(super) fn count(&mut self, looked: Looked, report: &mut PassReport) {
        match looked.end {
            None => {}
            Some(End::Ended) => {
                self.ended += 1;
                report.ended += 1;
            }
            Some(End::Lost(error)) => {
                self.lost += 1;
                report.errors.push(error.into());
            }
        }
        if let Some(error) = looked.given_up {
            self.store_errors += 1;
            report.errors.push(error.into());
        }
    }
}
