//! What leaves to one destination, and the file that knows it: whatever happens, each sample leaves once, or the
//! request that it was in leaves again to the byte.

use super::body::{Body, BodyError};
use super::destination::{Destination, Protocol};
use super::exporter::{Batch, Exporter, Left};
use super::journal::{Journal, JournalError};
use crate::collector::Collector;
use crate::export::{ExportCursor, Histograms};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

/// What leaves to one destination.
#[derive(Debug)]
pub struct Outbox {
    exporter: Exporter,
    journal: Journal,
    flight: Option<Flight>,
    histograms_left_out: u64,
}

/// The batch that is on its way.
#[derive(Debug)]
struct Flight {
    batch: Batch,
    /// Whether the journal knows.
    is_written: bool,
    /// How many of its requests are done with.
    parts_done: usize,
}

/// Why nothing can leave.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The directory of the journals cannot be made.
    #[error("cannot make {path}: {error}")]
    Directory {
        /// Which.
        path: std::path::PathBuf,
        /// The system's answer.
        error: std::io::Error,
    },
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A request could not be made, and was left out.
    #[error("a request could not be made, and its samples are lost")]
    Body(#[from] BodyError),
}

impl Outbox {
    /// Goes on where the journal in `directory` was left. A new destination begins with what is at most as old as its
    /// `backlog`, as of the wall clock's `now_ns`. One that wants another tier than before begins behind the newest row that it
    /// has had of that one: the series are the same, and older samples would be out of order. One that wants no native histograms
    /// has none in the batch that was on its way either, as a server that will never take them would never take another.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub fn open(directory: &Path, destination: &Arc<Destination>, now_ns: i64) -> Result<Self, OutboxError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| OutboxError::Directory {
            path: directory.to_owned(),
            error,
        })?;
        let path = directory.join(format!("{}.journal", destination.name));
        let (journal, recovered) = Journal::open(&path)?;
        let tier = destination.tier;
        if recovered.cut_bytes > 0 {
            tracing::warn!(
                "remote write to {}: cut {} bytes off the end of the journal that are no whole record; what they stood for \
                 leaves once more",
                destination.name,
                recovered.cut_bytes
            );
        }
        let snapshot = recovered.snapshot.as_deref().and_then(read_snapshot);
        let before = snapshot.as_ref().map(|(left, _)| left.tier());
        let read = |bytes: &Vec<u8>| Batch::from_bytes(bytes, before?);
        let mut done: Vec<Batch> = recovered.done.iter().filter_map(read).collect();
        let mut flight = recovered.in_flight.as_ref().and_then(read);
        let is_new = before != Some(tier);
        let backlog_ns = i64::try_from(destination.backlog.as_nanos()).unwrap_or(i64::MAX);
        let backlog_ns = now_ns.saturating_sub(backlog_ns);
        let (mut left, aggregates) =
            snapshot.unwrap_or_else(|| (ExportCursor::beginning_at(tier, backlog_ns), &[]));
        done.iter().for_each(|batch| batch.apply(&mut left));
        let mut newest_ns = None;
        if left.tier() != tier {
            // What is on its way of the other tier may have arrived.
            flight.iter().for_each(|batch| batch.apply(&mut left));
            newest_ns = left.newest_ns();
            let begin_ns = newest_ns.map_or(backlog_ns, |newest_ns| backlog_ns.max(newest_ns + 1));
            left = ExportCursor::beginning_at(tier, begin_ns);
            (done, flight) = (Vec::new(), None);
        }
        let aggregates = if is_new { &[][..] } else { aggregates };
        let mut exporter = Exporter::new(destination.clone(), left);
        let mut is_whole = exporter.apply_aggregates(aggregates);
        for batch in &done {
            is_whole &= exporter.take_over(batch);
        }
        if let Some(batch) = &flight {
            is_whole &= exporter.take_over(batch);
        }
        if !is_whole {
            tracing::warn!(
                "remote write to {}: what was added up is lost, and begins anew",
                destination.name
            );
            exporter.forget_aggregates(now_ns);
        }
        let mut histograms_left_out = 0;
        if destination.naming.histograms == Histograms::Classic
            && let Some(batch) = &mut flight
        {
            histograms_left_out = leave_out_histograms(batch)?;
        }
        if let Some(newest_ns) = newest_ns {
            exporter.forget_aggregates(newest_ns.max(now_ns));
        }
        let mut outbox = Self {
            exporter,
            journal,
            flight: flight.map(|batch| Flight {
                batch,
                is_written: true,
                parts_done: recovered.parts_done,
            }),
            histograms_left_out,
        };
        if is_new {
            outbox.journal.begin_anew(&outbox.exporter.snapshot())?;
        }
        Ok(outbox)
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
    pub fn next(&mut self, protocol: Protocol, now_ns: i64) -> Result<Option<Body>, OutboxError> {
        loop {
            if self.flight.is_none() {
                let batch = self.exporter.batch(protocol, now_ns)?;
                self.flight = batch.map(|batch| Flight {
                    batch,
                    is_written: false,
                    parts_done: 0,
                });
            }
            let Some(flight) = &mut self.flight else {
                return Ok(None);
            };
            match flight.batch.bodies.get(flight.parts_done) {
                // All of it was left out.
                Some(body) if body.sample_count == 0 && flight.is_written => {
                    self.done()?;
                    continue;
                }
                Some(body) => {
                    if !flight.is_written {
                        self.journal.begin(&flight.batch.to_bytes())?;
                        flight.is_written = true;
                    }
                    return Ok(Some(body.clone()));
                }
                None if flight.is_written => self.journal.done()?,
                None => self.journal.pass(&flight.batch.to_bytes())?,
            }
            self.finish()?;
        }
    }

    /// The request arrived, or was refused for good. Returns the newest stamp in its batch, if that is done with.
    ///
    /// # Errors
    /// The journal cannot be written. The request is done with nevertheless, but would leave once more if the collector were
    /// killed now.
    pub fn done(&mut self) -> Result<Option<i64>, OutboxError> {
        let Some(flight) = &mut self.flight else {
            return Ok(None);
        };
        flight.parts_done += 1;
        if flight.parts_done < flight.batch.bodies.len() {
            self.journal.part_done()?;
            return Ok(None);
        }
        let newest_ms = flight.batch.newest_ms;
        let noted = self.journal.done();
        self.finish()?;
        noted?;
        Ok(newest_ms)
    }

    fn finish(&mut self) -> Result<(), OutboxError> {
        if let Some(flight) = self.flight.take() {
            self.exporter.done(&flight.batch);
        }
        if self.journal.is_long() {
            self.journal.begin_anew(&self.exporter.snapshot())?;
        }
        Ok(())
    }

    /// What did not go into requests.
    pub fn counts(&self) -> Left {
        self.exporter.counts()
    }

    /// Native histograms that were on their way and are not wanted any more.
    pub fn histograms_left_out(&self) -> u64 {
        self.histograms_left_out
    }

    /// Points that wait in archives.
    pub fn points_ahead(&self) -> u64 {
        self.exporter.points_ahead()
    }
}

/// How many. A request of which nothing is left stays, empty: the journal counts those that are done with.
fn leave_out_histograms(batch: &mut Batch) -> Result<u64, BodyError> {
    let mut all = 0;
    for body in &mut batch.bodies {
        let (rest, left_out) = body.without_histograms()?;
        *body = rest;
        all += left_out as u64;
    }
    Ok(all)
}

/// The cursor of a snapshot, and its aggregates.
fn read_snapshot(bytes: &[u8]) -> Option<(ExportCursor, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (cursor, aggregates) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some((ExportCursor::from_bytes(cursor).ok()?, aggregates))
}
