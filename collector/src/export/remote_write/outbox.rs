//! What leaves to one destination, and the file that knows it: whatever happens, each sample leaves once, or the
//! request that it was in leaves again to the byte.

use super::body::BodyError;
use super::destination::{Destination, Protocol};
use super::exporter::{Batch, Exporter, Left};
use super::journal::{Journal, JournalError};
use super::step::Step;
use crate::collector::Collector;
use crate::export::ExportCursor;
use std::path::Path;
use std::sync::Arc;

/// What leaves to one destination.
#[derive(Debug)]
pub struct Outbox {
    exporter: Exporter,
    journal: Journal,
    tier: u8,
    /// The batch that is on its way, and whether the journal knows.
    flight: Option<(Batch, bool)>,
}

/// Why nothing can leave.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The directory of the journals cannot be made.
    #[error("cannot make {path}: {source}")]
    Directory {
        /// Which.
        path: std::path::PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A request could not be made, and was left out.
    #[error("a request could not be made, and its samples are lost: {0}")]
    Body(#[from] BodyError),
}

impl Outbox {
    /// Goes on where the journal in `directory` was left. A new destination begins with what is at most as old as its
    /// `backlog`, as of the wall clock's `now_ns`; so does one that wants another tier than before.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub fn open(directory: &Path, destination: &Arc<Destination>, now_ns: i64) -> Result<Self, OutboxError> {
        std::fs::create_dir_all(directory).map_err(|source| OutboxError::Directory {
            path: directory.to_owned(),
            source,
        })?;
        let path = directory.join(format!("{}.journal", destination.name));
        let (mut journal, recovered) = Journal::open(&path)?;
        let tier = destination.tier;
        let snapshot = recovered.snapshot.as_deref();
        let left = snapshot.and_then(|bytes| ExportCursor::from_bytes(bytes).ok());
        let mut flight = None;
        let left = match left.filter(|left| left.tier() == tier) {
            Some(mut left) => {
                let done = recovered
                    .done
                    .iter()
                    .filter_map(|bytes| Step::from_bytes(bytes, tier));
                done.for_each(|(step, _)| step.apply(&mut left));
                let in_flight = recovered.in_flight.as_deref();
                flight = in_flight.and_then(|bytes| Batch::from_bytes(bytes, tier));
                left
            }
            None => {
                let backlog_ns = i64::try_from(destination.backlog.as_nanos()).unwrap_or(i64::MAX);
                let left = ExportCursor::beginning_at(tier, now_ns.saturating_sub(backlog_ns));
                journal.begin_anew(&left.to_bytes())?;
                left
            }
        };
        let mut exporter = Exporter::new(destination.clone(), left);
        if let Some(batch) = &flight {
            exporter.set_out(batch);
        }
        Ok(Self {
            exporter,
            journal,
            tier,
            flight: flight.map(|batch| (batch, true)),
        })
    }

    /// Takes in rows that are final by now.
    pub fn pull(&mut self, collector: &Collector) {
        self.exporter.pull(collector);
    }

    /// The request that leaves now: the one before until that is [`done`](Self::done) with, or the next one, which the journal
    /// then knows. `None` if there is nothing at present.
    ///
    /// # Errors
    /// The journal cannot be written: nothing may leave then, and the next call tries again.
    pub fn next(&mut self, protocol: Protocol, now_ns: i64) -> Result<Option<&Batch>, OutboxError> {
        loop {
            if self.flight.is_none() {
                let batch = self.exporter.batch(protocol, now_ns)?;
                self.flight = batch.map(|batch| (batch, false));
            }
            let Some((batch, is_written)) = &mut self.flight else {
                return Ok(None);
            };
            if batch.body.is_some() {
                if !*is_written {
                    self.journal.begin(&batch.to_bytes())?;
                    *is_written = true;
                }
                break;
            }
            self.journal.pass(&batch.to_bytes())?;
            self.finish()?;
        }
        Ok(self.flight.as_ref().map(|(batch, _)| batch))
    }

    /// The request arrived, or was refused for good.
    ///
    /// # Errors
    /// The journal cannot be written. The request is done with nevertheless, but would leave once more if the collector were
    /// killed now.
    pub fn done(&mut self) -> Result<(), OutboxError> {
        let noted = self.journal.done();
        self.finish()?;
        Ok(noted?)
    }

    fn finish(&mut self) -> Result<(), OutboxError> {
        if let Some((batch, _)) = self.flight.take() {
            self.exporter.done(&batch);
        }
        if self.journal.is_long() {
            self.journal.begin_anew(&self.exporter.cursor().to_bytes())?;
        }
        Ok(())
    }

    /// What did not go into requests.
    pub fn counts(&self) -> Left {
        self.exporter.counts()
    }

    /// Points that wait in archives.
    pub fn points_ahead(&self) -> u64 {
        self.exporter.points_ahead()
    }

    /// Which tier leaves.
    pub fn tier(&self) -> u8 {
        self.tier
    }
}
