//! A slab as the collector has it: tracked, ended, stored, removed.

use crate::store::{Archives, StoreError};
use crate::track::{PassError, Seen, Tracked, Workshop};
use rondo_reader::{Error, Liveness, Slab};
use std::time::Instant;

/// What a slab is to the collector.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// `None` before the first look, and once all of it is stored.
    pub(super) tracked: Option<Tracked>,
    pub(super) ended: Option<Ended>,
}

/// A machine that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) at: Instant,
    /// Whether its rows were handed to the archives, and in which pass.
    pub(super) stored_in_pass: Option<u64>,
    /// Whether its file was removed.
    pub(super) is_removed: bool,
    /// Whether it was given up because it cannot be read any more. Nobody who reopens it changes that.
    pub(super) is_lost: bool,
}

/// What a look at a slab came to, beside rows.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) end: Option<End>,
    /// What is not tried again.
    pub(super) given_up: Option<StoreError>,
}

/// How a machine was found to have ended.
#[derive(Debug)]
pub(super) enum End {
    Ended,
    /// Nothing of it can be read any more.
    Lost(Error),
}

impl Attached {
    /// One look at the slab, and what came of it into the archives.
    pub(super) fn look(
        &mut self,
        slab: &mut Slab,
        archives: &mut Archives,
        workshop: &mut Workshop,
        (now, pass): (Instant, u64),
    ) -> Result<Looked, PassError> {
        let mut looked = Looked::default();
        match &mut self.ended {
            None => {
                let tracked = match &mut self.tracked {
                    Some(tracked) => tracked,
                    None => self
                        .tracked
                        .insert(Tracked::attach(slab, archives, &mut workshop.layouts)?),
                };
                looked.end = match tracked.pass(slab, archives, workshop) {
                    Ok(Seen::Live) => None,
                    Ok(Seen::Ended) => Some(End::Ended),
                    // What was consolidated before can still be stored.
                    Err(PassError::Slab(error @ (Error::Lost(_) | Error::Rejected { .. }))) => {
                        tracked.end_runs(0);
                        Some(End::Lost(error))
                    }
                    Err(error) => return Err(error),
                };
                self.ended = looked.end.as_ref().map(|end| Ended {
                    at: now,
                    stored_in_pass: None,
                    is_removed: false,
                    is_lost: matches!(end, End::Lost(_)),
                });
            }
            // It may have been reopened: then it goes on where the archives say.
            Some(ended) if ended.stored_in_pass.is_some() => {
                if !ended.is_removed && !ended.is_lost && slab.liveness()? == Liveness::Live {
                    *self = Self::default();
                }
                return Ok(looked);
            }
            Some(_) => {}
        }
        if let Some(tracked) = &mut self.tracked {
            looked.given_up = tracked.store(archives, workshop)?;
        }
        if let Some(ended) = &mut self.ended {
            ended.stored_in_pass = Some(pass);
            self.tracked = None;
        }
        Ok(looked)
    }

    pub(super) fn is_stored(&self) -> bool {
        self.ended.is_some_and(|ended| ended.stored_in_pass.is_some())
    }
}
